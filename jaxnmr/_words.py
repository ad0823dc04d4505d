"""Words of messages and reports."""

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """A number with its noun in the singular or the plural: ``"1 site"``, ``"2 sites"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words in a row: ``"S, Cl and P"``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def writable(text: str) -> str:
    """A text that can be written as UTF-8: names of files may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode()
