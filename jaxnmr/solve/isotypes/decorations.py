"""Which element goes on which site of a structure type (host)."""

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

# natural logarithms: what it costs that sites of one element get two, and that two elements become one
_SPLIT, _MERGE = 2.0, 1.0
# decorations of one type that are looked at
MOST = 400
# volumes this many standard deviations away are no volume; tails are long, as atoms of metals are larger than those of salts
_FAR = 6.0


class Decoration(NamedTuple):
    """Elements of the sites, and the logarithm of how probable they are before the pattern is looked at, up to a constant."""

    elements: tuple[str, ...]
    log_prior: float


class Wanted(NamedTuple):
    """What is known of the contents.

    Attributes:
        amounts: formula unit, where it is known.
        elements: all elements, where they are known; nothing is known when both are empty.
    """

    amounts: dict[str, int]
    elements: tuple[str, ...]


def wanted(composition: Composition | Sequence[str] | None) -> Wanted:
    """Read a composition: a formula or amounts, elements only (a list, or ``None`` for every amount), or nothing.

    Raises:
        ConventionError: what is no formula and no list of elements.
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
    """Atoms of each element in the conventional cell."""
    found: dict[str, int] = {}
    for element, n in zip(elements, one.multiplicity.tolist(), strict=True):
        found[element] = found.get(element, 0) + n
    return found


def log_volume(contents: Mapping[str, int], volume: float) -> float:
    """Logarithm of how probable it is that these atoms fill a cell of so many Å³, 0 at best."""
    expected, spread = expected_volume(contents)
    off = log(volume / expected) / spread
    return -2.5 * log(1.0 + off**2 / 4.0) if abs(off) < _FAR else -np.inf


def decorations(one: StructureType, known: Wanted, volume: float) -> list[Decoration]:
    """Decorations of a type with a composition, those of too many or too few atoms for the cell left out.

    Sites of one element of the type keep one element where that is possible; others are tried as well and cost something.

    Args:
        one: the type.
        known: of :func:`wanted`; with nothing known the decorations are those that were seen.
        volume: of the cell, Å³.
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
    """All ways to give every site an element so that the numbers of atoms are met."""
    if not multiplicities:
        yield ()
        return
    first, *rest = multiplicities
    # what is left must be a sum of whole sites
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
    """All ways to give kinds, then sites, an element so that every element is there."""
    kinds = int(one.kind.max()) + 1
    for by_kind in product(elements, repeat=kinds):
        if set(by_kind) == set(elements):
            yield tuple(by_kind[k] for k in one.kind)
    if kinds < len(one.kind) <= 5:
        for by_site in product(elements, repeat=len(one.kind)):
            if set(by_site) == set(elements):
                yield by_site


def _price(one: StructureType, elements: tuple[str, ...]) -> float:
    """Splits and merges against the kinds of the type."""
    pairs = set(zip(one.kind.tolist(), elements, strict=True))
    return -_SPLIT * (len(pairs) - len({k for k, _ in pairs})) - _MERGE * (len(pairs) - len({e for _, e in pairs}))
