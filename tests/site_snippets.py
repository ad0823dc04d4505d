"""Fenced blocks of documentation pages, and what commands print compared with what pages show."""

import math
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Block(NamedTuple):
    """A fenced block: language, title (empty without one) and text."""

    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page below ``docs``, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(language, title or "", body) for language, title, body in _FENCE.findall(text)]


def _agree(shown: str, said: str) -> bool:
    """Whether two lines have the same words, and numbers that differ by less than the machine may make them differ."""
    if re.sub(r"\s+", " ", _NUMBER.sub("#", shown)).strip() != re.sub(r"\s+", " ", _NUMBER.sub("#", said)).strip():
        return False
    pairs = zip(_NUMBER.finditer(shown), _NUMBER.finditer(said), strict=True)
    for a, b in pairs:
        # times, and how short the last steps are, depend on the machine
        if re.match(r"\s*s\b", shown[a.end() :]) or shown[: a.start()].rstrip().endswith("shift/esd"):
            continue
        x, y = (float(found[0].replace("−", "-")) for found in (a, b))
        # uncertainties in parentheses are one or two digits, the last decimals of values may move
        if not math.isclose(x, y, rel_tol=0.02, abs_tol=1.01 * 10.0 ** -len(a[0].partition(".")[2])):
            return False
    return True


def missing(shown: str, said: str) -> list[str]:
    """Lines of a page that a command did not print, in this order; lines with an ellipsis alone stand for anything."""
    rest = said.splitlines()
    lacking = []
    for line in shown.splitlines():
        if not line.strip() or line.strip() in ("...", "…"):
            continue
        place = next((k for k, other in enumerate(rest) if _agree(line, other)), None)
        if place is None:
            lacking.append(line)
        else:
            rest = rest[place + 1 :]
    return lacking


def patched(text: str, change: str) -> str:
    """A text after a change as ``diff`` shows it: lines with ``-`` become those with ``+``; others say where.

    Raises:
        ValueError: the lines are not there.
    """
    for part in re.split(r"^@@.*\n", change, flags=re.MULTILINE):
        lines = part.splitlines()
        before = "\n".join(line[1:] for line in lines if line[:1] in ("-", " "))
        after = "\n".join(line[1:] for line in lines if line[:1] in ("+", " "))
        if text.count(before) != 1:
            raise ValueError(f"{text.count(before)} places with:\n{before}")
        text = text.replace(before, after)
    return text
