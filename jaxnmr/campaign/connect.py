"""Client of the cluster for a campaign: of an existing one, or of processes on this machine (host)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConventionError, ParseError
from .processes import brief, of_this_machine, require_distributed, require_sense
from .worker import versions

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = "15s"


@contextmanager
def connected(
    *,
    scheduler: str | None = None,
    scheduler_file: str | Path | None = None,
    workers: int | None = None,
    memory_limit: str | None = None,
) -> Iterator[Client | None]:
    """Yield a client of the requested cluster; ``None`` if none is requested.

    Args:
        scheduler: address, ``tcp://host:8786`` or, with certificates in Dask's configuration, ``tls://``.
        scheduler_file: file with the address of a scheduler, on a shared disk.
        workers: number of processes on this machine, with one core each.
        memory_limit: memory limit of each of these, such as ``"4GB"``; a process that exceeds it is killed and
            restarted. By default their share of the memory.

    Raises:
        ConventionError: more than one of these is given, there is no scheduler, workers are missing or have other
            versions, the memory limit is invalid, or dask.distributed is not installed.
        ParseError: the scheduler file is invalid.
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
        require_sense(workers, memory_limit)
        with _quiet(), of_this_machine(workers, memory_limit) as cluster, distributed.Client(cluster) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client
        return
    address = scheduler if scheduler_file is None else address_in(scheduler_file)
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
    except (TimeoutError, OSError, ValueError, TypeError) as err:
        raise ConventionError(
            f"no scheduler answers at {address} ({brief(err)}): start one there with dask scheduler --scheduler-file FILE, or give another "
            "address"
        ) from None
    with _quiet(), client:
        require_same_versions(client)
        yield client


def require_same_versions(client: Client) -> None:
    """Refuse workers whose results might differ from those calculated here.

    Raises:
        ConventionError: a worker has other versions of jaxnmr, jax, jaxlib, numpy, distributed or Python, or lacks one
            of them.
    """
    mine = versions()
    try:
        found = client.run(versions)
    except Exception as err:
        raise ConventionError(
            f"a worker of this cluster cannot run jaxnmr ({brief(err)}): install the same environment everywhere, or start workers with "
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
    """Return the address in a scheduler file.

    Raises:
        ParseError: there is no such file, or no address in it.
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
    """Suppress logs of workers that die and restart: what became of their items is in the table."""
    loggers = [logging.getLogger(name) for name in ("distributed", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
