"""What a campaign is made of: items, and the work that is done on each (host)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from .rows import Row


class Item(NamedTuple):
    """One thing to do. It may travel to another machine.

    Attributes:
        key: digest of everything its row depends on; unique.
        name: for people; unique.
        kind: items of one kind share compiled programs.
        content: what it is, for `Work.rows`.
        size: of the content in memory, roughly, bytes.
    """

    key: str
    name: str
    kind: str = ""
    content: Any = None
    size: int = 256


class Work(Protocol):
    """How items become rows; pickled where they are worked on by other processes."""

    def begin(self) -> Any:
        """What a process needs once for all items: files read, rooms for programs; never pickled."""

    def rows(self, state: Any, items: Iterable[Item]) -> Iterator[Row]:
        """A row for every item, in any order; items are taken when there is room for them.

        What goes wrong with an item is its row. An exception means that no item can be worked on.
        """


def failed(item: Item, message: str) -> Row:
    """The row of an item of which nothing came."""
    return Row(item.key, item.name, "error", message)
