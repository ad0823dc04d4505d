"""Items of a campaign, and the work on each (host)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from .rows import Row


class Item(NamedTuple):
    """One item of work, which may be sent to another machine.

    Attributes:
        key: digest of everything its row depends on; unique.
        name: name for display; unique.
        kind: kind of item; items of one kind share compiled programs.
        content: input for `Work.rows`.
        size: approximate size of the content in memory, bytes.
    """

    key: str
    name: str
    kind: str = ""
    content: Any = None
    size: int = 256


class Work(Protocol):
    """Conversion of items to rows; pickled if other processes do the work."""

    def begin(self) -> Any:
        """Return what a process needs once for all items, such as files read or caches of programs; never pickled."""

    def rows(self, state: Any, items: Iterable[Item]) -> Iterator[Row]:
        """Yield a row for every item, in any order; items are taken when there is room for them.

        An error in an item is recorded in its row. An exception means that no item can be processed.
        """


def failed(item: Item, message: str) -> Row:
    """Make the row of a failed item."""
    return Row(item.key, item.name, "error", message)
