"""Where one structure ends and the next begins in a text file of many: frames of extxyz, blocks of a CIF.

Files are read once, line by line, and no more than two structures are held. A part that is broken is passed on as it
stands, so that it shows up by its name, and the next one begins where the format says that one can.
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

# of lines that belong to no frame so many are kept
_MOST_STRAY = 1000
_STRUCTURE = re.compile(rb"_(atom_site[_.](fract|Cartn)_x|cell[_.]length_a)\b", re.IGNORECASE)


class Part(NamedTuple):
    """Lines of a file, from line ``line`` (from 1); ``rest`` where lines follow that no further part could be found in."""

    lines: list[bytes]
    line: int
    rest: bool = False


def split_frames(lines: Iterable[bytes]) -> Iterator[Part]:
    """The frames of an extxyz file: a number of atoms alone in its line, a line of text, and one line per atom.

    A frame ends before its stated number of atoms where the next number stands alone in a line. Lines that are left over
    belong to the frame where they look like its atoms, else they are a part of their own, up to the next such number.
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
                if left <= stated and _is_count(line):  # the line of text may be a number
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
    """The next line with anything in it, or an empty one."""
    return next(((k, line) for k, line in numbered if line.strip()), (0, b""))


def _is_count(line: bytes) -> bool:
    # atoms have longer lines, which need no further look
    return len(line) < 24 and line.strip().isdigit()


def split_blocks(lines: Iterable[bytes]) -> Iterator[Part]:
    """The data blocks of a CIF that list atoms or state a cell; what precedes the first ``data_`` belongs to it."""
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
    """A block, or what it falls into where a text in it was never closed and swallowed the blocks behind it."""
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
    """The frames of an extxyz file, named by ``name=`` in their second line, else by the file and their number.

    A file without frames is one candidate, so that its name is followed by the reason.
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
    """The structures of a CIF, named by the file, and by their blocks where there are several.

    A file without a structure is one candidate, so that its name is followed by the reason.
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
    """Parts with their numbers from 1 and whether there is only one, for which one is read ahead."""
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
