"""Conversion of candidates to items of a campaign (host)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._arguments import shown
from ..._digest import digest
from ..._words import writable
from ...campaign.work import Item
from ...crystal import Crystal
from ...errors import ConventionError, ParameterError
from ...io.structures.ase import from_ase
from ...io.structures.candidate import Candidate
from ...io.structures.candidates import Candidates, candidate_of_file, read_candidates


def items_of(candidates: Any) -> Iterator[Item]:
    """Yield items; candidates in files are read one after the other, on demand.

    Args:
        candidates: as for :func:`jaxnmr.screen`.

    Raises:
        ConventionError: there are no candidates, or two with the same name.
        ParameterError: a candidate is not a structure.
        ParseError: a file does not exist.
    """
    if isinstance(candidates, str | Path):
        candidates = read_candidates(candidates)
    if isinstance(candidates, Candidates):
        return map(_read_later, candidates)
    if isinstance(candidates, Mapping):
        items = [_item(writable(str(name)), given) for name, given in candidates.items()]
    else:
        items = [item for given in candidates for item in _unnamed(given)]
    if not items:
        raise ConventionError("no candidates were given")
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise ConventionError(
                f"two candidates are called {item.name!r}: give them by name, screen({{'first': ..., 'second': ...}}, ...)"
            )
        seen.add(item.name)
    return iter(items)


def _unnamed(given: Any) -> Iterable[Item]:
    if isinstance(given, str | Path):
        return items_of(given)
    if isinstance(given, Crystal):
        return [_item(writable(given.name), given)]
    if hasattr(given, "get_chemical_formula"):
        return [_item(given.get_chemical_formula(empirical=True), given)]
    raise ParameterError(
        f"one of the candidates is {shown(given)}; expected a Crystal, a file or ASE's Atoms, or any of them by name"
    )


def _item(name: str, given: Any) -> Item:
    if isinstance(given, str | Path):
        return _read_later(candidate_of_file(given, name))
    if isinstance(given, Crystal):
        kind = digest(given.group, given.species, int(given.n_sites))
        return Item(_key(name, digest(given).encode()), name, kind, Given(given), 2048)
    if hasattr(given, "get_chemical_formula"):
        said = (given.numbers, given.positions, given.cell.array, given.pbc, sorted(given.arrays), repr(given.info))
        of = Given(given)
        return Item(_key(name, digest(*said).encode()), name, given.get_chemical_formula(), of, 256 + 64 * len(given))
    # its row of the table will report that it is not a structure
    return Item(_key(name, shown(given).encode()), name, "", Given(given))


def _read_later(candidate: Candidate) -> Item:
    candidate = candidate._replace(name=writable(candidate.name))
    key = _key(candidate.name, candidate.suffix.encode(), candidate.content)
    return Item(key, candidate.name, candidate.kind, candidate, 256 + len(candidate.content))


def _key(name: str, *content: bytes) -> str:
    """Return a digest of a candidate's source: finished candidates are recognised without building them."""
    made = hashlib.sha256()
    for part in (name.encode(), *content):
        made.update(f"{len(part)}:".encode())
        made.update(part)
    return made.hexdigest()


@dataclass(frozen=True)
class Given:
    """A candidate already in memory, a crystal or ASE ``Atoms``."""

    structure: Any

    def crystal(self) -> Crystal:
        """Return the structure."""
        return self.structure if isinstance(self.structure, Crystal) else from_ase(self.structure)
