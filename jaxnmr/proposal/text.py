"""Text of run files, written for first-time readers (host)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 110


def value(of: Any) -> str:
    """Format a value as TOML: strings, numbers, booleans, lists and tables of them."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {value(part)}" for name, part in of.items()) + " }"
    if isinstance(of, str | Path):
        return json.dumps(str(of), ensure_ascii=False)
    if isinstance(of, Sequence):
        return "[" + ", ".join(map(value, of)) + "]"
    if isinstance(of, int):
        return str(of)
    text = f"{float(of):.8g}"
    return text if any(c in text for c in ".einf") else f"{text}.0"


def key(name: str) -> str:
    """Format a key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def comment(*sentences: str) -> list[str]:
    """Format lines of a comment, one paragraph per sentence."""
    return [f"# {line}" for sentence in sentences for line in wrap(sentence, _WIDTH, break_on_hyphens=False)]


def table(header: str, entries: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> list[str]:
    """Format a table; ``notes`` become comments on their keys."""
    lines = [header] if header else []
    for name, of in entries.items():
        line = f"{key(name)} = {value(of)}"
        note = (notes or {}).get(name)
        lines.append(f"{line:44}  # {note}" if note else line)
    return lines


def beside(file: Path, run: Path) -> str:
    """Return the path of a file relative to the run file's folder, or absolute if that is far away."""
    here, there = run.absolute().parent, file.absolute()
    relative = os.path.relpath(there, here)
    return relative if relative.count("..") <= 3 else str(there)
