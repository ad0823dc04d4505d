"""Options of commands that can use a cluster, and the command ``jaxnmr worker``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .codes import OK

if TYPE_CHECKING:
    from distributed import Client

    from ..campaign.drive import Tally


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose where work is done."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://node17:8786")
    where.add_argument("--scheduler-file", metavar="FILE", help="which the scheduler of a Dask cluster wrote")
    where.add_argument("--workers", type=int, metavar="N", help="that many processes on this machine, one core each")
    parser.add_argument(
        "--memory-limit",
        metavar="SIZE",
        help="of each of the --workers, such as 4GB (default: their share of the memory)",
    )


def engine(arguments: argparse.Namespace) -> AbstractContextManager[Client | None]:
    """Connect the client requested by the options; none without them, or if a command has no such options."""
    from ..campaign.connect import connected

    names = ("scheduler", "scheduler_file", "workers", "memory_limit")
    return connected(**{name: getattr(arguments, name, None) for name in names})


def progress(tally: Tally) -> str:
    """Format the progress of a campaign: counts, rate and time left."""
    done = tally.known + tally.done
    of = f" of {tally.total}" if tally.total is not None else ""
    left = f", {duration(tally.left)} left" if tally.left else ""
    return f"[{done}{of}, {60 * tally.rate:.3g} per minute{left}]"


def duration(seconds: float) -> str:
    """Format seconds in a readable unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def add_worker(command: Callable) -> None:
    """Add the command ``worker`` to the parser."""
    worker = command(
        "worker", _worker, "work for the scheduler of a Dask cluster until it ends",
        "srun jaxnmr worker --scheduler-file scheduler.json --workers 32", parents=(),
    )  # fmt: skip
    where = worker.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler", metavar="ADDRESS", help="such as tcp://node17:8786")
    where.add_argument("--scheduler-file", metavar="FILE", help="which the scheduler wrote")
    worker.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes on this machine, one core each (default: 1)"
    )
    worker.add_argument("--gpu", action="store_true", help="one process for each GPU that is visible here")
    worker.add_argument("--memory-limit", metavar="SIZE", help="of each process, such as 4GB (default: its share)")


def _worker(arguments: argparse.Namespace, console: Console) -> int:
    from ..campaign.connect import address_in
    from ..campaign.processes import serve

    address = arguments.scheduler or address_in(arguments.scheduler_file)
    console.print(f"working for {escape(address)} until it ends")
    serve(address, workers=arguments.workers, gpu=arguments.gpu, memory_limit=arguments.memory_limit)
    return OK
