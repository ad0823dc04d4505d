"""Wording helpers for messages and reports."""

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural: ``"1 site"``, ``"2 sites"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words into an enumeration: ``"S, Cl and P"``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def writable(text: str) -> str:
    """Return the text in a form that UTF-8 can encode: file names may contain invalid bytes."""
    return text.encode("utf-8", "backslashreplace").decode()
