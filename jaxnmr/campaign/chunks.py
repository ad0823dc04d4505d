"""Chunks of items of one kind, each for a worker that has the programs of that kind (host)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .work import Item

# items of one kind per chunk; the remainders of rare kinds are combined at the end
LEAST, MOST = 20, 200
# memory limit of waiting items, bytes
_ROOM = 256 * 2**20
# number of chunks to look ahead for a suitable kind
_AHEAD = 20


class Chunks:
    """Items in chunks of one kind.

    As long as there are items and memory, chunks have the full size; then those of the most frequent kind go first, and
    the remainders of rare kinds are combined.

    Args:
        items: items, taken as needed.
        least: kinds with fewer remaining items share a chunk.

    Attributes:
        size: number of items in a full chunk; to be set when their duration is known.
    """

    def __init__(self, items: Iterator[Item], least: int = LEAST):
        self._items, self.least = items, least
        # the first chunks are small, for early results
        self.size = -(-least // 5)
        self._waiting: dict[str, deque[Item]] = {}
        self._bytes = self._count = 0
        self._all_seen = False
        # kinds whose programs each worker has
        self._knows: dict[str, set[str]] = {}

    def next(self, worker: str) -> list[Item]:
        """Return the next chunk for a worker: of a kind it has, else of one no other has, else of the most frequent.

        The chunk is empty when everything has been handed out.
        """
        knows = self._knows.setdefault(worker, set())
        others = set().union(*(kinds for name, kinds in self._knows.items() if name != worker))
        self._fill(knows, others)
        if not self._waiting:
            return []
        full = [kind for kind, items in self._waiting.items() if len(items) >= self.least]
        if not full:
            return self._together(knows)
        kind = max(full, key=lambda of: (of in knows, of not in others, len(self._waiting[of])))
        knows.add(kind)
        return self._take(kind, self._next_size())

    @property
    def empty(self) -> bool:
        """Return whether everything has been handed out."""
        if not self._waiting and not self._all_seen:
            self._fill(set(), set())
        return not self._waiting

    def gone(self, worker: str) -> None:
        """Forget a worker that is gone."""
        self._knows.pop(worker, None)

    def _fill(self, knows: set[str], others: set[str]) -> None:
        """Take items until there is a full chunk suitable for a worker, or enough others."""
        suits = lambda kind: len(self._waiting[kind]) >= self.size and (kind in knows or kind not in others)
        if any(suits(kind) for kind in self._waiting):
            return
        while not self._all_seen and self._bytes < _ROOM:
            if self._count >= _AHEAD * self.size and any(len(of) >= self.size for of in self._waiting.values()):
                return
            item = next(self._items, None)
            if item is None:
                self._all_seen = True
                return
            self._waiting.setdefault(item.kind, deque()).append(item)
            self._bytes += item.size
            self._count += 1
            if suits(item.kind):
                return

    def _next_size(self) -> int:
        """Return the number of items of a chunk: fewer towards the end, so that workers finish together."""
        if not self._all_seen:
            return self.size
        return max(self.least, min(self.size, -(-self._count // (2 * max(len(self._knows), 1)))))

    def _take(self, kind: str, count: int) -> list[Item]:
        items = self._waiting[kind]
        chunk = [items.popleft() for _ in range(min(count, len(items)))]
        if not items:
            del self._waiting[kind]
        self._bytes -= sum(item.size for item in chunk)
        self._count -= len(chunk)
        return chunk

    def _together(self, knows: set[str]) -> list[Item]:
        chunk: list[Item] = []
        for kind in sorted(self._waiting, key=lambda of: (of not in knows, -len(self._waiting[of]))):
            chunk += self._take(kind, self.size - len(chunk))
            knows.add(kind)
            if len(chunk) >= self.size:
                break
        return chunk
