"""Splitting of text files into structures: frames of extxyz, blocks of a CIF.

Files are read once, line by line, and at most two structures are held in memory. A broken part is passed on unchanged,
so that it is reported by name, and the next one begins where the format allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from ...errors import ParseError
from ._cif_block import parse_cif
from .candidate import Candidate
from .candidate_kinds import UNKNOWN, kind_of_cif, kind_of_frame, pairs_of

# number of lines kept that belong to no frame
_MOST_STRAY = 1000
_STRUCTURE = re.compile(rb"_(atom_site[_.](fract|Cartn)_x|cell[_.]length_a)\b", re.IGNORECASE)


class Part(NamedTuple):
    """Lines of a file, from line ``line`` (from 1); ``rest`` if lines follow that contain no further part."""

    lines: list[bytes]
    line: int
    rest: bool = False


def split_frames(lines: Iterable[bytes]) -> Iterator[Part]:
    """Split an extxyz file into frames: a number of atoms alone on its line, a comment line, and one line per atom.

    A frame ends before its stated number of atoms if the next number stands alone on a line. Surplus lines
    belong to the frame if they look like its atoms; otherwise they form a separate part, up to the next such number.
    """
    numbered = enumerate(lines, start=1)
    pending: Iterator[tuple[int, bytes]] = iter(())
    while True:
        first, line = _next_written(chain(pending, numbered))
        if not line:
            return
        part, pending = [line], iter(())
        if _is_count(line):
            stated = int(line)
            left = stated + 1
            for k, line in numbered:
                if left <= stated and _is_count(line):  # the comment line may be a number
                    pending = iter([(k, line)])
                    break
                part.append(line)
                left -= 1
                if not left:
                    break
            if left:
                yield Part(part, first)
                continue
            k, line = _next_written(numbered)
            if not line or _is_count(line) or len(line.split()) != len(part[-1].split()):
                pending = iter([(k, line)] if line else ())
                yield Part(part, first)
                continue
            part.append(line)
        rest = True
        for k, line in numbered:
            if _is_count(line):
                pending, rest = iter([(k, line)]), False
                break
            if len(part) < _MOST_STRAY:
                part.append(line)
        yield Part(part, first, rest)


def _next_written(numbered: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Return the next line that is not blank, or an empty one."""
    return next(((k, line) for k, line in numbered if line.strip()), (0, b""))


def _is_count(line: bytes) -> bool:
    # atom lines are longer, so that the length check is sufficient
    return len(line) < 24 and line.strip().isdigit()


def split_blocks(lines: Iterable[bytes]) -> Iterator[Part]:
    """Split a CIF into data blocks that list atoms or state a cell; text before the first ``data_`` belongs to it."""
    part, first, in_text, begun = list[bytes](), 1, False, False
    hidden: list[int] = []
    for k, line in enumerate(lines, start=1):
        if line.startswith(b";"):
            in_text = not in_text
        elif _begins_block(line):
            if in_text:
                hidden.append(len(part))
            else:
                if begun:
                    yield from _structures(part, first, hidden)
                    part, first, hidden = [], k, []
                begun = True
        part.append(line)
    yield from _structures(part, first, hidden)


def _structures(part: list[bytes], first: int, hidden: list[int]) -> Iterator[Part]:
    """Yield a block, or the blocks swallowed by a text field in it that was never closed."""
    if hidden:
        try:
            parse_cif(Path(), b"".join(part))
        except ParseError:
            for start, stop in pairwise([0, *hidden, len(part)]):
                yield from _structures(part[start:stop], first + start, [])
            return
    if _STRUCTURE.search(b"".join(part)):
        yield Part(part, first)


def _begins_block(line: bytes) -> bool:
    return b"data_" in line[:16].lower() and line.removeprefix(b"\xef\xbb\xbf").lstrip()[:5].lower() == b"data_"


def candidates_of_extxyz(path: Path) -> Iterator[Candidate]:
    """Yield the frames of an extxyz file, named by ``name=`` in their second line, else by the file and their number.

    A file without frames yields one candidate, so that the reason is reported under its name.
    """
    none = True
    with path.open("rb") as file:
        for number, part, alone in _counted(split_frames(file)):
            none = False
            whole = _is_count(part.lines[0]) and len(part.lines) == int(part.lines[0]) + 2
            pairs = pairs_of(part.lines[1]) if len(part.lines) > 1 and _is_count(part.lines[0]) else {}
            yield Candidate(
                name=pairs.get("name") or (path.stem if alone else f"{path.stem}-{number}"),
                content=b"".join(part.lines),
                suffix=".extxyz",
                kind=kind_of_frame(pairs, part.lines[2:]) if whole else UNKNOWN,
                origin=_origin(path, "" if alone else f"frame {number}", part),
                line=part.line,
            )
    if none:
        yield Candidate(path.stem, path.read_bytes(), ".extxyz", UNKNOWN, str(path))


def candidates_of_cif(path: Path) -> Iterator[Candidate]:
    """Yield the structures of a CIF, named by the file, and by their blocks if there are several.

    A file without a structure yields one candidate, so that the reason is reported under its name.
    """
    none = True
    with path.open("rb") as file:
        for number, part, alone in _counted(split_blocks(file)):
            none = False
            content = b"".join(part.lines)
            block = next((line.strip()[5:].split(None, 1)[:1] for line in part.lines if _begins_block(line)), [])
            named = block[0].decode("utf-8", errors="replace") if block else str(number)
            yield Candidate(
                name=path.stem if alone else f"{path.stem}-{named}",
                content=content,
                suffix=".cif",
                kind=kind_of_cif(content),
                origin=_origin(path, "" if alone else f"block {number}", part),
                line=part.line,
            )
    if none:
        yield Candidate(path.stem, path.read_bytes(), ".cif", UNKNOWN, str(path))


def _counted(parts: Iterator[Part]) -> Iterator[tuple[int, Part, bool]]:
    """Yield parts with their numbers from 1 and whether there is only one, reading one part ahead."""
    before = next(parts, None)
    alone, number = True, 1
    while before is not None:
        after = next(parts, None)
        alone = alone and after is None
        yield number, before, alone
        before, number = after, number + 1


def _origin(path: Path, place: str, part: Part) -> str:
    lost = f"{place or 'all'} and what is left of the file, where no other begins" if part.rest else place
    return f"{path}, {lost}" if lost else str(path)
