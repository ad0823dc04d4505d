"""Clusters that a campaign can run on: one that is there, or processes of this machine; and workers for one (host)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConventionError, ParseError
from .worker import versions

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = "15s"
_PRELOAD = ["jaxnmr.campaign.preload"]
# with jax imported and nothing compiled
_LEAST_MEMORY = 300_000_000


@contextmanager
def connected(
    *,
    scheduler: str | None = None,
    scheduler_file: str | Path | None = None,
    workers: int | None = None,
    memory_limit: str | None = None,
) -> Iterator[Client | None]:
    """A client of the cluster that is asked for; ``None`` where none is.

    Args:
        scheduler: its address, ``tcp://host:8786`` or, with certificates in Dask's configuration, ``tls://``.
        scheduler_file: where a scheduler wrote its address, on a disk in common.
        workers: so many processes on this machine, with one core each.
        memory_limit: of each of these, such as ``"4GB"``; a process that exceeds it is killed and started again. By default
            their share of the memory.

    Raises:
        ConventionError: several of these at once, no scheduler there, workers of other versions, no workers, a limit that is none,
            or dask.distributed lacking.
        ParseError: a scheduler file that is none.
    """
    asked = [name for name, value in
             (("scheduler", scheduler), ("scheduler-file", scheduler_file), ("workers", workers)) if value is not None]  # fmt: skip
    if not asked:
        yield None
        return
    if len(asked) > 1:
        raise ConventionError(f"{' and '.join(asked)} say different things: give one of them")
    distributed = require_distributed()
    if workers is not None:
        _require_sense(workers, memory_limit)
        with _quiet(), _local(workers, memory_limit) as cluster, distributed.Client(cluster) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client
        return
    address = scheduler if scheduler_file is None else address_in(scheduler_file)
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
    except (TimeoutError, OSError, ValueError, TypeError) as err:
        raise ConventionError(
            f"no scheduler answers at {address} ({_brief(err)}): start one there with dask scheduler --scheduler-file FILE, or give another "
            "address"
        ) from None
    with _quiet(), client:
        require_same_versions(client)
        yield client


def require_distributed() -> Any:
    """The package ``distributed``.

    Raises:
        ConventionError: it is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise ConventionError(
            "working on a cluster, or with several processes, needs dask.distributed: pip install 'jaxnmr[cluster]'"
        ) from None
    return distributed


def _require_sense(workers: int, memory_limit: str | None) -> None:
    from dask.utils import parse_bytes

    if workers < 1:
        raise ConventionError(f"{workers} workers; expected at least one")
    if memory_limit is None:
        return
    try:
        limit = parse_bytes(memory_limit)
    except ValueError:
        raise ConventionError(f"the memory limit {memory_limit!r} is no size; expected one such as 4GB") from None
    if limit < _LEAST_MEMORY:
        raise ConventionError(
            f"the memory limit {memory_limit!r} is less than what a process takes that does nothing; expected {_LEAST_MEMORY // 10**6}MB or more"
        )


def require_same_versions(client: Client) -> None:
    """Refuse workers whose numbers might differ from those made here.

    Raises:
        ConventionError: a worker with other versions of jaxnmr, jax, jaxlib, numpy, distributed or Python, or without one of them.
    """
    mine = versions()
    try:
        found = client.run(versions)
    except Exception as err:
        raise ConventionError(
            f"a worker of this cluster cannot run jaxnmr ({_brief(err)}): install the same environment everywhere, or start workers with "
            "jaxnmr worker"
        ) from None
    for worker, theirs in found.items():
        wrong = [f"{name} {theirs.get(name, 'missing')}" for name in mine if theirs.get(name) != mine[name]]
        if wrong:
            here = ", ".join(f"{name} {mine[name]}" for name in mine if theirs.get(name) != mine[name])
            raise ConventionError(
                f"the worker at {worker} has {', '.join(wrong)}, here there is {here}: numbers of one table must come from one version; "
                "install the same everywhere"
            )


def address_in(path: str | Path) -> str:
    """The address in a scheduler file.

    Raises:
        ParseError: no such file, or no address in it.
    """
    try:
        return str(json.loads(Path(path).read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        raise ParseError(
            path, None, "no such file; dask scheduler --scheduler-file writes it when the scheduler has started"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ParseError(
            path, None, "is no scheduler file; expected what dask scheduler --scheduler-file wrote"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of workers that die and come back on the screen: what became of their items is in the table."""
    loggers = [logging.getLogger(name) for name in ("distributed", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _local(workers: int, memory_limit: str | None) -> Iterator[Any]:
    """Processes of this machine, which end with the campaign."""
    import dask
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory(prefix="jaxnmr-workers-") as folder, dask.config.set(_SETTINGS):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=memory_limit or "auto", dashboard_address="127.0.0.1:0",
            local_directory=folder, silence_logs=logging.CRITICAL, env=environment(), preload=_PRELOAD,
        )  # fmt: skip
        with cluster:
            yield cluster


_SETTINGS = {
    # every chunk is meant for one worker
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.profile.enabled": False,
    # a chunk holds the thread, not the process; a worker that compiles is not dead
    "distributed.admin.tick.limit": "1h",
    # a worker that is being started again is not lost, however often that happens: given up, it would be ended for good
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # nothing is stored in workers that could make room: one that is large works on until it is too large
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


def environment(gpu: str | None = None) -> dict[str, str]:
    """Environment of a worker: one core, or one GPU; compiled programs are those of every other process."""
    if gpu is not None:
        return {"CUDA_VISIBLE_DEVICES": gpu, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    one_core = ("PJRT_NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(one_core, "1") | {"JAX_PLATFORMS": "cpu"}


def serve(address: str, *, workers: int, gpu: bool, memory_limit: str | None) -> None:
    """Run workers of this machine for a scheduler until it ends.

    Args:
        address: of the scheduler.
        workers: how many on processors, one core each; with ``gpu`` one for every GPU that this process sees, whatever is said here.
        gpu: see there.
        memory_limit: of each; by default its share of the memory.

    Raises:
        ConventionError: no scheduler answers, there is no GPU, no workers, or a limit that is none.
    """
    require_distributed()
    _require_sense(workers, memory_limit)
    import dask
    from distributed import Nanny

    places = gpus() if gpu else [None] * workers
    limit = memory_limit or ("auto" if len(places) == 1 else 1.0 / len(places))

    async def run(folder: str) -> None:
        nannies = [
            Nanny(address, nthreads=1, memory_limit=limit, local_directory=folder, env=environment(place), death_timeout=60,
                  resources={"GPU": 1} if gpu else None, preload=_PRELOAD)
            for place in places
        ]  # fmt: skip
        # what a queue sends before it kills: workers and their folder are cleared away, as after an interruption
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cast(asyncio.Task, asyncio.current_task()).cancel)
        await asyncio.gather(*nannies)
        await asyncio.gather(*(nanny.finished() for nanny in nannies))

    with tempfile.TemporaryDirectory(prefix="jaxnmr-workers-") as folder, dask.config.set(_SETTINGS):
        try:
            asyncio.run(run(folder))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        except (TimeoutError, OSError) as err:
            raise ConventionError(f"no scheduler answers at {address} ({_brief(err)}): start it first") from None


def gpus() -> list[str]:
    """GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Raises:
        ConventionError: there is none.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return named.split(",")
    found: list[str] = []
    if named is None and shutil.which("nvidia-smi"):
        lines = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.splitlines()
        found = [str(k) for k, line in enumerate(line for line in lines if line.startswith("GPU "))]
    if not found:
        raise ConventionError("no GPU is visible to this process (nvidia-smi -L); start workers without --gpu")
    return found


def _brief(err: BaseException) -> str:
    """An error in one line."""
    text = str(err).splitlines()[0] if str(err) else ""
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
