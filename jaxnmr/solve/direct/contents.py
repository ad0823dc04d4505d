"""Contents of a cell: formulas, and possible numbers of formula units (host)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, log
from pathlib import Path

import gemmi
import numpy as np

from ...crystal import SpaceGroup, volume
from ...errors import ConventionError, SymmetryError
from ...typing import Numbers
from .formula import Composition, parse_composition
from .prior import kinds, options
from .wyckoff import wyckoff_positions

_FILE = Path(__file__).with_name("prior.json")
# largest number of non-hydrogen atoms that programs are compiled for
MOST_ATOMS = 400
# numbers of units this much less likely than the best are not listed
_UNLIKELY = 1e-3
# largest number of contents of unknown ratios considered
MOST_RATIOS = 200
# conversion of densities: 1 g/cm³ in atomic mass units per Å³
_UNITS_PER_A3 = 0.602214076


@dataclass(frozen=True)
class Contents:
    """One alternative for the contents of a cell.

    Attributes:
        atoms: number of each non-hydrogen element in the conventional cell.
        hydrogen: number of hydrogen or deuterium atoms, which are left out.
        units: number of formula units in the cell.
        density: g/cm³.
        volume_per_atom: Å³ per non-hydrogen atom.
        probability: probability among all numbers of formula units, from atomic volumes in known crystals.
    """

    atoms: dict[str, int]
    hydrogen: int
    units: int
    density: float
    volume_per_atom: float
    probability: float


def possible_contents(
    composition: Composition,
    cell: Numbers,
    group: SpaceGroup,
    density: float | None = None,
) -> tuple[Contents, ...]:
    """List possible numbers of formula units in a cell, the most likely first.

    Args:
        composition: a formula, or numbers by element. With ``None`` for each element only the elements are known: then
            all ratios for which there is room, limited to the `MOST_RATIOS` most likely.
        cell: six numbers, Å and degrees.
        group: space group, whose multiplicities must allow the contents.
        density: g/cm³, if known (to 10 %).

    Raises:
        ConventionError: the formula is invalid.
        SymmetryError: no number of formula units fits.
    """
    if density is not None and not density > 0:
        raise ConventionError(f"the density is {density} g/cm³; expected a positive number")
    space = float(volume(np.asarray(cell, dtype=float)))
    if not isinstance(composition, str) and any(n is None for n in composition.values()):
        return _ratios(tuple(composition), space, group, density)
    unit = parse_composition(composition)
    hydrogen = unit.get("H", 0)
    heavy = {element: n for element, n in unit.items() if element != "H"}
    mass = sum(n * gemmi.Element(element).weight for element, n in unit.items())
    expected, spread = expected_volume(unit)
    if density is not None:
        expected, spread = mass / (density * _UNITS_PER_A3), 0.06
    most = max(1, int(min(3.0 * space / expected, MOST_ATOMS / sum(heavy.values()))))
    weights = {z: exp(-0.5 * (log(space / (z * expected)) / spread) ** 2) for z in range(1, most + 1)}
    likely = {z: w for z, w in weights.items() if w > _UNLIKELY * max(weights.values()) and w > 1e-5}
    fits = {z: w for z, w in likely.items() if _placeable(group, {e: z * n for e, n in heavy.items()})}
    if not fits:
        why = (
            f"volumes of known crystals ask for {space / expected:.2f} formula units"
            if density is None
            else f"the density asks for {space / expected:.2f} formula units"
        )
        raise SymmetryError(
            f"no number of formula units {''.join(f'{e}{n if n > 1 else str()}' for e, n in unit.items())} fits a cell of {space:.1f} Å³ "
            f"with {group.name}: {why}, and its positions allow {'none' if likely else 'no number'} near it. Check composition, cell "
            "and group, or give contents="
        )
    total = sum(fits.values())
    made = [
        Contents(
            {e: z * n for e, n in heavy.items()}, z * hydrogen, z, z * mass / (space * _UNITS_PER_A3),
            space / (z * sum(heavy.values())), w / total,
        )
        for z, w in fits.items()
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda one: -one.probability))


def _ratios(elements: tuple[str, ...], space: float, group: SpaceGroup, density: float | None) -> tuple[Contents, ...]:
    """List contents of these elements in any ratio that fill a cell."""
    parse_composition(dict.fromkeys(elements, 1.0))
    heavy = tuple(e for e in elements if e not in ("H", "D"))
    listed = kinds(wyckoff_positions(group))
    each = [expected_volume({e: 1})[0] for e in heavy]
    most = [int(1.5 * space / v) for v in each]
    counts = [[n for n in range(1, m + 1) if next(options(listed, n), None) is not None] for m in most]
    found: list[tuple[float, tuple[int, ...]]] = []
    masses = [gemmi.Element(e).weight for e in heavy]
    spread = _volumes()["spread"] if density is None else 0.06

    def fill(taken: tuple[int, ...], size: float) -> None:
        if len(taken) == len(heavy):
            off = log(space / size) if density is None else log(size / (density * _UNITS_PER_A3 * space))
            found.append((-0.5 * (off / spread) ** 2, taken))
            return
        k = len(taken)
        one = each[k] if density is None else masses[k]
        limit = (1.0 + 3.0 * spread) * (space if density is None else density * _UNITS_PER_A3 * space)
        for n in counts[k]:
            if size + n * one > limit:
                break
            fill((*taken, n), size + n * one)

    fill((), 0.0)
    best = [one for one in sorted(found, reverse=True)[:MOST_RATIOS] if one[0] > log(1e-5)]
    if not best:
        raise SymmetryError(
            f"no numbers of {', '.join(heavy)} fill a cell of {space:.1f} Å³ with {group.name}: check elements, cell and group"
        )
    total = sum(exp(score) for score, _ in best)
    return tuple(
        Contents(
            dict(zip(heavy, taken, strict=True)), 0, 0,
            sum(n * m for n, m in zip(taken, masses, strict=True)) / (space * _UNITS_PER_A3), space / sum(taken), exp(score) / total,
        )
        for score, taken in best
    )  # fmt: skip


def expected_volume(unit: Mapping[str, int]) -> tuple[float, float]:
    """Return the expected volume in Å³ of these atoms from known crystals, and its relative standard deviation."""
    table = _volumes()
    each = table["volumes"]
    common = float(np.median(list(each.values())))
    return sum(n * each.get(element, common) for element, n in unit.items()), table["spread"]


@lru_cache(maxsize=1)
def _volumes() -> dict:
    return json.loads(_FILE.read_text(encoding="utf-8"))["contents"]


def _placeable(group: SpaceGroup, atoms: Mapping[str, int]) -> bool:
    listed = kinds(wyckoff_positions(group))
    return all(next(options(listed, n), None) is not None for n in atoms.values())


def indistinguishable(elements: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """List pairs of elements whose numbers of electrons differ by at most one, hardly distinguishable by X-rays."""
    number = {element: gemmi.Element(element).atomic_number for element in elements}
    ordered = sorted(elements, key=number.__getitem__)
    return tuple((a, b) for a, b in pairwise(ordered) if number[b] - number[a] <= 1)
