"""Worker processes on this machine: for a single command, or for the scheduler of a cluster (host)."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from ..errors import ConventionError

_PRELOAD = ["jaxnmr.campaign.preload"]
# memory of a process that has imported JAX and compiled nothing
_LEAST_MEMORY = 300_000_000
_SETTINGS = {
    # every chunk is assigned to one worker
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.profile.enabled": False,
    # a chunk holds the thread, not the process; a worker that compiles is not dead
    "distributed.admin.tick.limit": "1h",
    # a worker being restarted is not lost, however often that happens; otherwise it would never be replaced
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # workers store nothing that could be freed: a large one continues until it exceeds the limit
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


def require_distributed() -> Any:
    """Return the package ``distributed``.

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


def require_sense(workers: int, memory_limit: str | None) -> None:
    """Refuse an impossible number of processes or memory limit.

    Raises:
        ConventionError: with the invalid argument and what is expected.
    """
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


@contextmanager
def of_this_machine(workers: int, memory_limit: str | None) -> Iterator[Any]:
    """Yield a cluster of processes on this machine, which end with the campaign."""
    import dask
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory(prefix="jaxnmr-workers-") as folder, dask.config.set(_SETTINGS):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=memory_limit or "auto", dashboard_address="127.0.0.1:0",
            local_directory=folder, silence_logs=logging.CRITICAL, env=environment(), preload=_PRELOAD,
        )  # fmt: skip
        with cluster:
            yield cluster


def environment(gpu: str | None = None) -> dict[str, str]:
    """Return the environment of a worker: one core, or one GPU; programs are compiled as in any other process."""
    if gpu is not None:
        return {"CUDA_VISIBLE_DEVICES": gpu, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    one_core = ("PJRT_NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(one_core, "1") | {"JAX_PLATFORMS": "cpu"}


def serve(address: str, *, workers: int, gpu: bool, memory_limit: str | None) -> None:
    """Run workers on this machine for a scheduler until it ends.

    Args:
        address: address of the scheduler.
        workers: number of CPU workers, one core each; ignored with ``gpu``.
        gpu: run one worker for every GPU visible to this process instead.
        memory_limit: memory limit of each; by default its share of the memory.

    Raises:
        ConventionError: no scheduler answers, there is no GPU, no workers are requested, or the memory limit is invalid.
    """
    require_distributed()
    require_sense(workers, memory_limit)
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
        # sent by a queueing system before it kills: clean up workers and their folder, as after an interruption
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cast(asyncio.Task, asyncio.current_task()).cancel)
        await asyncio.gather(*nannies)
        await asyncio.gather(*(nanny.finished() for nanny in nannies))

    with tempfile.TemporaryDirectory(prefix="jaxnmr-workers-") as folder, dask.config.set(_SETTINGS):
        try:
            asyncio.run(run(folder))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        except (TimeoutError, OSError) as err:
            raise ConventionError(f"no scheduler answers at {address} ({brief(err)}): start it first") from None


def gpus() -> list[str]:
    """List the GPUs that this process may use, by their names in ``CUDA_VISIBLE_DEVICES``.

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


def brief(err: BaseException) -> str:
    """Describe an error in one line."""
    text = str(err).splitlines()[0] if str(err) else ""
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
