"""Assignment of elements to the sites of a structure type (host)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import product
from math import gcd, log
from typing import NamedTuple

import numpy as np

from ...errors import ConventionError
from ..direct.contents import expected_volume
from ..direct.formula import Composition, parse_composition
from .types import StructureType

# natural logarithms: penalties for splitting the sites of one element between two, and for merging two elements
_SPLIT, _MERGE = 2.0, 1.0
# largest number of decorations per type
MOST = 400
# volumes this many standard deviations away are rejected; tails are long, since metal atoms are larger than those in
# salts
_FAR = 6.0


class Decoration(NamedTuple):
    """Elements of the sites, and their log prior probability up to a constant."""

    elements: tuple[str, ...]
    log_prior: float


class Wanted(NamedTuple):
    """Knowledge of the contents.

    Attributes:
        amounts: formula unit, if known.
        elements: all elements, if known; both are empty if nothing is known.
    """

    amounts: dict[str, int]
    elements: tuple[str, ...]


def wanted(composition: Composition | Sequence[str] | None) -> Wanted:
    """Read a composition: a formula or amounts, elements only (a list, or ``None`` for every amount), or nothing.

    Raises:
        ConventionError: the composition is neither a formula nor a list of elements.
    """
    if composition is None:
        return Wanted({}, ())
    if isinstance(composition, Mapping):
        missing = [e for e, n in composition.items() if n is None]
        if missing and len(missing) < len(composition):
            raise ConventionError(
                f"amounts are given for some elements, not for {', '.join(missing)}; give all of them, or none (elements only)"
            )
        if missing:
            composition = list(composition)
    if isinstance(composition, str | Mapping):
        amounts = parse_composition(composition)
        return Wanted(amounts, tuple(amounts))
    elements = tuple(dict.fromkeys(composition))
    parse_composition(dict.fromkeys(elements, 1.0))
    return Wanted({}, elements)


def contents_of(one: StructureType, elements: Sequence[str]) -> dict[str, int]:
    """Return the number of atoms of each element in the conventional cell."""
    found: dict[str, int] = {}
    for element, n in zip(elements, one.multiplicity.tolist(), strict=True):
        found[element] = found.get(element, 0) + n
    return found


def log_volume(contents: Mapping[str, int], volume: float) -> float:
    """Return the log probability that these atoms fill a cell of this volume in Å³, at best 0."""
    expected, spread = expected_volume(contents)
    off = log(volume / expected) / spread
    return -2.5 * log(1.0 + off**2 / 4.0) if abs(off) < _FAR else -np.inf


def decorations(one: StructureType, known: Wanted, volume: float) -> list[Decoration]:
    """List decorations of a type with a composition, without those of too many or too few atoms for the cell.

    Sites of one element of the type keep a common element if possible; other decorations are tried with a penalty.

    Args:
        one: structure type.
        known: result of :func:`wanted`; with nothing known the decorations are the observed ones.
        volume: volume of the cell, Å³.
    """
    found: dict[tuple[str, ...], float] = {}
    if known.amounts:
        total, units = sum(known.amounts.values()), one.atoms
        if units % total:
            return []
        goal = {e: n * units // total for e, n in known.amounts.items()}
        if not np.isfinite(log_volume(goal, volume)):
            return []
        for elements in _filled(one.multiplicity.tolist(), goal):
            found[elements] = _price(one, elements)
            if len(found) == MOST:
                break
    elif known.elements:
        for elements in _chosen(one, known.elements):
            found.setdefault(elements, _price(one, elements))
            if len(found) == MOST:
                break
    else:
        found = {elements: 0.0 for elements in one.known}
    rows = [Decoration(e, p + log_volume(contents_of(one, e), volume)) for e, p in found.items()]
    return sorted((row for row in rows if np.isfinite(row.log_prior)), key=lambda row: -row.log_prior)


def _filled(multiplicities: list[int], goal: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Iterate over assignments of elements to all sites that give the required numbers of atoms."""
    if not multiplicities:
        yield ()
        return
    first, *rest = multiplicities
    # the rest must be a sum of whole sites
    common = reduce(gcd, rest, 0)
    for element, n in goal.items():
        if n < first:
            continue
        left = {**goal, element: n - first}
        if common and any(m % common for m in left.values()):
            continue
        for others in _filled(rest, left):
            yield (element, *others)


def _chosen(one: StructureType, elements: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Iterate over assignments of elements to kinds, then to sites, that use every element."""
    kinds = int(one.kind.max()) + 1
    for by_kind in product(elements, repeat=kinds):
        if set(by_kind) == set(elements):
            yield tuple(by_kind[k] for k in one.kind)
    if kinds < len(one.kind) <= 5:
        for by_site in product(elements, repeat=len(one.kind)):
            if set(by_site) == set(elements):
                yield by_site


def _price(one: StructureType, elements: tuple[str, ...]) -> float:
    """Return the log penalty of splits and merges relative to the kinds of the type."""
    pairs = set(zip(one.kind.tolist(), elements, strict=True))
    return -_SPLIT * (len(pairs) - len({k for k, _ in pairs})) - _MERGE * (len(pairs) - len({e for _, e in pairs}))
