"""Initialisation of a worker, called by Dask."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore keyboard interrupts: the process that hands out work ends the workers after saving results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
