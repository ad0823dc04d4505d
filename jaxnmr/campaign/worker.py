"""Code that runs inside a worker of a cluster: work set up once per process, and chunks of items (host)."""

from __future__ import annotations

import os
import pickle
import platform
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from .rows import Row
from .work import Item, Work

# set up once per process and campaign
_BEGUN: dict[str, tuple[Work, Any]] = {}
# a worker may have several threads; the state is made for one
_ONE_AT_A_TIME = threading.Lock()


def versions() -> dict[str, str]:
    """Return the versions that must be the same for all results of one table."""
    named = {name: metadata.version(name) for name in ("jaxnmr", "jax", "jaxlib", "numpy", "distributed")}
    return named | {"python": ".".join(map(str, sys.version_info[:2]))}


class Unfit(Exception):
    """Error of a worker that cannot process any item: other versions, or the work cannot be set up there."""


def chunk(campaign: str, work: bytes | None, wanted: dict[str, str], items: Sequence[Item]) -> list[Row] | None:
    """Return the rows of some items, in a worker; ``None`` if the worker does not have the work (any more).

    Args:
        campaign: digest of the work; its state is kept in this process.
        work: pickled work; ``None`` for a worker that received it before.
        wanted: versions of the process that handed it out.
        items: items to process.

    Raises:
        Unfit: see there.
    """
    _require_same(wanted)
    with _ONE_AT_A_TIME:
        if campaign not in _BEGUN:
            if work is None:
                return None
            _BEGUN.clear()
            _BEGUN[campaign] = _begun(work)
        made, state = _BEGUN[campaign]
        try:
            return list(made.rows(state, iter(items)))
        except SystemExit as err:
            # Dask would close the worker, and nothing would restart it
            raise RuntimeError(f"the work wanted to end the process (exit code {err.code})") from None


def _require_same(wanted: dict[str, str]) -> None:
    mine = versions()
    pairs = [
        f"{name} {mine.get(name, 'missing')} instead of {of}" for name, of in wanted.items() if mine.get(name) != of
    ]
    if pairs:
        raise Unfit(
            f"the worker on {platform.node()} has {', '.join(pairs)}: install the same versions there as where work is handed out"
        )


def _begun(work: bytes) -> tuple[Work, Any]:
    try:
        made: Work = pickle.loads(work)
        return made, made.begin()
    except Exception as err:
        raise Unfit(
            f"the work cannot be begun in process {os.getpid()} on {platform.node()}: {type(err).__name__}: {err}"
        ) from None
