"""What a worker does first (named to Dask, which calls it)."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave an interruption to whoever hands out work: it ends the workers when it has kept what there is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
