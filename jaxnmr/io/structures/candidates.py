"""Candidates for a screening, one after another: from folders, multi-structure files, databases and tables.

Candidates are never all held in memory, and none is parsed before its crystal is requested.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ..._words import counted, listed
from ...errors import ConventionError, ParseError, require_kind
from .candidate import UNREADABLE, Candidate
from .candidate_kinds import UNKNOWN, kind_of_text
from .candidate_tables import (
    candidates_of_database,
    candidates_of_parquet,
    check_database,
    check_parquet,
    count_database,
    count_parquet,
)
from .candidate_texts import candidates_of_cif, candidates_of_extxyz, split_blocks, split_frames

__all__ = ["Candidate", "Candidates", "read_candidates"]

_CIF, _FRAMES, _DATABASES, _PARQUET = (".cif", ".mcif"), (".xyz", ".extxyz"), (".db", ".json"), (".parquet",)
_OTHERS = (".res", ".ins", ".exp", ".magres", ".vasp", ".poscar", ".cell", ".xsf")
# names of VASP files contain one of these
_VASP = ("POSCAR", "CONTCAR")


def read_candidates(sources: Sequence[str | Path] | str | Path) -> Candidates:
    """Collect candidate structures from files, to be read one after another.

    Args:
        sources: any mixture of folders, whose structure files are taken in order of name, without subfolders; CIF files
            of one or several blocks; extxyz files (``.extxyz``, ``.xyz``) of one or many frames; ASE databases
            (``.db``, ``.json``); parquet files with columns ``name`` and ``cif``; any other file supported by
            :func:`jaxnmr.read_crystal`.

    Returns:
        An iterable that can be used any number of times and reads files during iteration.

    Raises:
        ParseError: a source that does not exist, is empty or does not match its suffix, or a missing package.
        ConventionError: no sources.
        ParameterError: something that is not a path.
    """
    require_kind(sources, (str, Path, Sequence), "sources", "a folder or file, or several of them")
    named = [sources] if isinstance(sources, str | Path) else sources
    for source in named:
        require_kind(source, (str, Path), "one of the sources", "a folder or file")
    paths = [Path(source) for source in named]
    if not paths:
        raise ConventionError("no candidates were given: name folders or files of structures")
    for path in paths:
        _check(path)
    return Candidates(tuple(paths))


def candidate_of_file(path: str | Path, name: str) -> Candidate:
    """Return a single-structure file as a candidate; if it cannot be read, ``crystal()`` raises the error."""
    path = Path(path)
    try:
        return next(_of_one_file(path))._replace(name=name)
    except OSError as err:
        why = "no such file" if isinstance(err, FileNotFoundError) else f"cannot be read: {err.strerror or err}"
        return Candidate(name, why.encode(), UNREADABLE, UNKNOWN, str(path))


@dataclass(frozen=True)
class Candidates:
    """Structures in files, in the order of the sources.

    Iteration raises a ConventionError if two have the same name, stating both places. Content that cannot be read still
    becomes a candidate, whose ``crystal()`` raises the reason, and iteration continues.

    Attributes:
        sources: folders and files.
    """

    sources: tuple[Path, ...]

    def __iter__(self) -> Iterator[Candidate]:
        # instead of storing a million names, eight bytes of each suffice to distinguish almost all of them
        seen: set[int] = set()
        for position, candidate in enumerate(self._all()):
            mark = _mark(candidate.name)
            if mark in seen:
                self._refuse_another(candidate, position)
            seen.add(mark)
            yield candidate

    def count(self) -> int:
        """Return the number of candidates, without reading structures.

        CIF files in folders count as one structure each, so that they need not be opened.
        """
        total = 0
        for path in self.sources:
            if path.is_dir():
                for file in _structure_files(path):
                    total += 1 if _kind(file) != "frames" else _COUNTS["frames"](file)
            else:
                total += _COUNTS.get(_kind(path), _one)(path)
        return total

    def _all(self) -> Iterator[Candidate]:
        for path in self.sources:
            yield from chain.from_iterable(map(_candidates_of, _structure_files(path) if path.is_dir() else [path]))

    def _refuse_another(self, second: Candidate, position: int) -> None:
        """Find the first candidate with the name of a second one; there is none if only their hashes agree."""
        for _, first in zip(range(position), self._all(), strict=False):
            if first.name == second.name:
                raise ConventionError(
                    f"two candidates are called {second.name!r}: {first.origin} and {second.origin}. Results are kept by "
                    "name: rename one, or leave one out"
                )


def _mark(name: str) -> int:
    return hash(name)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    kinds = {_CIF: "cif", _FRAMES: "frames", _DATABASES: "database", _PARQUET: "parquet"}
    return next((kind for suffixes, kind in kinds.items() if suffix in suffixes), "file")


def _structure_files(folder: Path) -> Iterator[Path]:
    """Yield the structure files in a folder, sorted by name, except hidden ones and databases."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_structure_file(entry.name) and not entry.is_dir())
    return (folder / name for name in names)


def _is_structure_file(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and (suffix in _CIF + _FRAMES + _OTHERS or any(word in name for word in _VASP))


def _check(path: Path) -> None:
    try:
        if path.is_dir():
            if next(_structure_files(path), None) is None:
                raise ParseError(
                    path,
                    None,
                    f"a folder without structures ({counted(len(os.listdir(path)), 'file')} of other kinds); expected "
                    f"{listed((*_CIF[:1], *_FRAMES, *_OTHERS), 'or')}, not in subfolders; databases are to be named themselves",
                )
            return
        if path.stat().st_size == 0:
            raise ParseError(path, None, "is empty (0 bytes); expected structures")
        if (kind := _kind(path)) in _CHECKS:
            _CHECKS[kind](path)
    except FileNotFoundError:
        pattern = any(mark in str(path) for mark in "*?[")
        why = (
            "nothing matches this pattern"
            if pattern
            else "no such file or folder; check the name and the working directory"
        )
        raise ParseError(path, None, why) from None
    except OSError as err:
        raise ParseError(path, None, f"cannot be opened: {err.strerror or err}") from err


def _candidates_of(path: Path) -> Iterator[Candidate]:
    try:
        yield from _READERS.get(_kind(path), _of_one_file)(path)
    except OSError as err:
        reason = f"cannot be read: {err.strerror or err}"
        yield Candidate(path.stem, reason.encode(), UNREADABLE, UNKNOWN, str(path))


def _of_one_file(path: Path) -> Iterator[Candidate]:
    vasp = any(word in path.name for word in _VASP) or path.suffix.lower() in (".vasp", ".poscar")
    # POSCAR.12 and POSCAR.13 differ after the dot
    name = path.name.removesuffix(".vasp").removesuffix(".poscar") if vasp else path.stem
    suffix = path.suffix.lower()
    suffix = ".vasp" if vasp else suffix if suffix in _OTHERS else path.name
    content = path.read_bytes()
    yield Candidate(name, content, suffix, kind_of_text(content, suffix), str(path))


def _one(path: Path) -> int:
    return 1


def _count_parts(path: Path, split: Callable) -> int:
    with path.open("rb") as file:
        return max(sum(1 for _ in split(file)), 1)


_CHECKS = {"database": check_database, "parquet": check_parquet}
_READERS = {
    "cif": candidates_of_cif,
    "frames": candidates_of_extxyz,
    "database": candidates_of_database,
    "parquet": candidates_of_parquet,
}
_COUNTS: dict[str, Callable[[Path], int]] = {
    "cif": lambda path: _count_parts(path, split_blocks),
    "frames": lambda path: _count_parts(path, split_frames),
    "database": count_database,
    "parquet": count_parquet,
}
