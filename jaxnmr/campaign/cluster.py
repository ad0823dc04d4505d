"""Work on a Dask cluster, including recovery from workers that die (host).

Every chunk is assigned to one worker, so that the cause of its death is known: the chunk it was working on. The items
of that chunk are then retried one by one; an item that has killed three workers on its own gets an error row.
"""

from __future__ import annotations

import hashlib
import queue
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

from ..errors import ConventionError, JaxnmrError
from .chunks import LEAST, MOST, Chunks
from .rows import Row
from .work import Item, Work, failed
from .worker import Unfit, chunk, versions

if TYPE_CHECKING:
    from distributed import Client

# number of workers that may die of a single item
DEATHS = 3
# chunks per worker, including the one in work; for long work the second should not wait while other workers are idle
_AHEAD = 2
_SECONDS = 0.5
_LOOK = 1.0
# waiting time for rows in transit
_PATIENCE = 10.0
# target duration of a chunk in seconds: the chunks of a worker that dies are lost
_SPAN = 20.0
# time without workers before a warning
_LONELY = 30.0


@dataclass(eq=False)
class _Chunk:
    """A chunk of items at a worker.

    Attributes:
        deaths: number of workers that died with this single item.
        finished: whether the worker has finished them; rows may still be in transit.
    """

    items: list[Item]
    worker: str
    deaths: int
    future: Any = None
    finished: bool = False


@dataclass
class _Waiting:
    """Items to be processed again."""

    items: list[Item]
    deaths: int = 0


@dataclass
class Cluster:
    """Engine that uses the workers of a Dask cluster.

    Workers may come and go. Each receives chunks of items of a kind whose programs it has, never more than it will
    process soon.

    Args:
        client: of ``dask.distributed``, connected.
        least, most: number of items in a chunk, which grows from the first until it takes about `_SPAN` seconds; 1 for
            long work on few items.
    """

    client: Client
    least: int = LEAST
    most: int = MOST
    _flying: dict[str, list[_Chunk]] = field(default_factory=dict, repr=False)
    _again: deque[_Waiting] = field(default_factory=deque, repr=False)
    _unfit: set[str] = field(default_factory=set, repr=False)
    _done: queue.SimpleQueue[_Chunk] = field(default_factory=queue.SimpleQueue, repr=False)
    _has_work: set[str] = field(default_factory=set, repr=False)
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=200), repr=False)

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """Run the engine; see `Engine`.

        Raises:
            ConventionError: the work cannot be pickled, or no worker can do it.
            JaxnmrError: the scheduler is gone.
        """
        packed = _packed(work)
        campaign = hashlib.sha256(packed).hexdigest()
        chunks, numbers, wanted = Chunks(items, self.least), count(), versions()
        workers, looked, alone = dict[str, str](), -_LOOK, time.monotonic()
        try:
            while True:
                if time.monotonic() - looked > _LOOK:
                    before, workers, looked = workers, self._workers(), time.monotonic()
                    for worker in [name for name in self._flying if before.get(name) != workers.get(name)]:
                        yield from self._bury(worker, chunks)
                    alone = self._say_when_alone(workers, alone)
                for worker in workers.keys() - self._unfit:
                    while len(self._flying.setdefault(worker, [])) < min(_AHEAD, self.most) and (
                        next_ := self._next(chunks, worker)
                    ):
                        bytes_ = None if worker in self._has_work else packed
                        self._has_work.add(worker)
                        key = f"jaxnmr-{campaign[:12]}-{id(self)}-{next(numbers)}"
                        self._send(next_, key, (campaign, bytes_, wanted))
                if chunks.empty and not self._again and not any(self._flying.values()):
                    return
                try:
                    yield from self._ended(self._done.get(timeout=_SECONDS), chunks)
                except queue.Empty:
                    yield None
        finally:
            flying = [of.future for some in self._flying.values() for of in some]
            if flying and self.client.status == "running":
                self.client.cancel(flying, force=True)
            self._flying.clear()

    def _say_when_alone(self, workers: Mapping[str, str], since: float) -> float:
        """Warn once if there has been no worker for a while; return the time since when there has been none."""
        now = time.monotonic()
        if workers:
            return now
        if now - since > _LONELY:
            warnings.warn(
                f"the scheduler at {self._address} has no workers: start some, with jaxnmr worker for example; work goes "
                "on when they come",
                UserWarning,
                stacklevel=2,
            )
            return float("inf")
        return since

    # -- sending -------------------------------------------------------------------------------------------------
    def _workers(self) -> dict[str, str]:
        """Return addresses of all workers with their process identity: a restarted one may reuse an address."""

        # runs in the scheduler, where this package need not be installed
        def processes(dask_scheduler):
            return {address: worker.server_id for address, worker in dask_scheduler.workers.items()}

        try:
            return dict(self.client.run_on_scheduler(processes))
        except Exception as err:
            raise self._lost(err) from None

    def _send(self, of: _Chunk, key: str, shared: tuple) -> None:
        of.future = self.client.submit(chunk, *shared, of.items, workers=[of.worker], pure=False, key=key)
        self._flying[of.worker].append(of)
        of.future.add_done_callback(lambda _: self._done.put(of))

    def _next(self, chunks: Chunks, worker: str) -> _Chunk | None:
        if self._again:
            waiting = self._again.popleft()
            return _Chunk(waiting.items, worker, waiting.deaths)
        items = chunks.next(worker)
        return _Chunk(items, worker, 0) if items else None

    # -- receiving -----------------------------------------------------------------------------------------------
    def _ended(self, of: _Chunk, chunks: Chunks) -> Iterator[Row]:
        """Handle a chunk that the scheduler reports as ended."""
        from distributed import CancelledError, TimeoutError
        from distributed.scheduler import KilledWorker

        if of not in self._flying.get(of.worker, ()):  # its worker died earlier, and it was sent elsewhere
            return
        if of.future.status == "cancelled":
            raise self._lost(None)
        of.finished = of.future.status == "finished"
        try:
            rows = of.future.result(timeout=_PATIENCE)
        except KilledWorker:
            yield from self._bury(of.worker, chunks)
        except CancelledError:
            raise self._lost(None) from None
        except (TimeoutError, OSError):
            self._workers()  # the scheduler is alive; if the worker is gone, the next look at the workers will show it
            self._done.put(of)
        except Exception as err:
            yield from self._refused(of, err)
        else:
            self._flying[of.worker].remove(of)
            of.future.release()
            if rows is None:
                self._has_work.discard(of.worker)
                self._again.append(_Waiting(of.items, of.deaths))
                return
            self._seconds.extend(row.seconds for row in rows)
            if rows:
                span = _SPAN / max(median(self._seconds), 1e-6)
                chunks.size = int(min(max(span, self.least), self.most))
            yield from rows
            lacking = {item.key for item in of.items} - {row.key for row in rows}
            yield from (failed(item, "The work gave no row.") for item in of.items if item.key in lacking)

    def _refused(self, of: _Chunk, err: Exception) -> Iterator[Row]:
        """Handle an exception of a worker, which is then not used any more, or of one of the items of a chunk."""
        self._flying[of.worker].remove(of)
        if isinstance(err, Unfit):
            self._unfit.add(of.worker)
            self._again.append(_Waiting(of.items, of.deaths))
            if self._workers().keys() <= self._unfit:
                raise ConventionError(f"no worker can do this: {err}")
            return
        yield from self._split(of, f"{type(err).__name__}: {err}")

    def _bury(self, worker: str, chunks: Chunks) -> Iterator[Row]:
        """Recover the chunks of a worker that died: the one it was working on is taken as the cause."""
        chunks.gone(worker)
        self._has_work.discard(worker)
        self._unfit.discard(worker)
        unfinished = True
        for of in self._flying.pop(worker):
            # rows of a chunk that just ended were not yet fetched, and are lost with the worker
            finished = of.finished or of.future.status == "finished"
            of.future.release()
            if unfinished and not finished:
                unfinished = False
                yield from self._split(of, "")
            else:
                self._again.append(_Waiting(of.items, of.deaths))

    def _split(self, of: _Chunk, message: str) -> Iterator[Row]:
        """Retry the items of a fatal chunk one by one, or make an error row for a single item that failed three times."""
        # among several items the cause is unknown
        deaths = of.deaths + (len(of.items) == 1)
        if deaths >= DEATHS:
            yield failed(
                of.items[0],
                message
                or f"The process that worked on it died {DEATHS} times: out of memory, or it crashed; see the log of the worker.",
            )
            return
        self._again.extend(_Waiting([item], deaths) for item in of.items)

    @property
    def _address(self) -> str:
        return getattr(self.client.scheduler, "address", "its address")

    def _lost(self, err: Exception | None) -> JaxnmrError:
        why = f" ({type(err).__name__}: {err})" if err is not None and str(err) else ""
        return JaxnmrError(
            f"the scheduler at {self._address} is gone{why}; every row so far is in the table: start a scheduler and repeat the same call"
        )


def _packed(work: Work) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(work)
    except Exception as err:
        raise ConventionError(
            f"what is to be done cannot be sent to other processes: {type(err).__name__}: {err}. Terms, sources and functions of your own must "
            "be picklable: define them at the top of a module, without open files, locks or generators in what they hold"
        ) from None
