"""Agreement of determinations from different seeds, and its description in words (host)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..._words import counted, listed
from ..direct.equivalence import SAME, apart, atoms_of
from ..direct.solutions import CLEAR_GAP, MOST_OVERLAP, gap_of
from .refined import SAME_ENERGY, UNDECIDED, by_energy
from .seeds import SeedRow

_ORDER = {"solved": 0, "not solved": 1}


def in_order(rows: Sequence[SeedRow]) -> list[SeedRow]:
    """Sort rows, the best first: solved ones, then refined ones by the Bayesian information criterion, others by R.

    If criteria hardly differ and all energies are known, the lower energy is first.
    """
    ordered = sorted(
        rows,
        key=lambda row: (
            _ORDER.get(row.status, 2),
            not row.refined,
            # of refinements that end in the same minimum the first seed is taken
            round(row.bic, 2) if row.refined else np.nan_to_num(row.r_factor, nan=np.inf),
            row.seed,
        ),
    )
    first = [row for row in ordered if row.refined and row.status == ordered[0].status]
    order = by_energy([row.bic for row in first], [row.energy_ev_atom for row in first]) if first else []
    return [*(first[k] for k in order), *ordered[len(first) :]]


def compared(ordered: Sequence[SeedRow]) -> list[SeedRow]:
    """Number the structures of rows, and measure distances of atoms from those of the first.

    Structures are the same if atoms lie within 0.05 (V/N)^(1/3), root mean square, in any setting, origin and hand;
    elements that X-rays hardly distinguish count as one.

    Args:
        ordered: rows, the best first.
    """
    found: list[SeedRow] = []
    examples: list[SeedRow] = []
    for row in ordered:
        number, distance = 0, float("nan")
        for k, example in enumerate(examples, start=1):
            between = _between(row, example)
            if between is not None:
                number, distance = k, between if k == 1 else distance
                break
        if row.crystal is not None and number == 0:
            examples.append(row)
            number, distance = len(examples), 0.0 if len(examples) == 1 else distance
        found.append(replace(row, structure=number, distance=distance))
    return found


def _between(row: SeedRow, example: SeedRow) -> float | None:
    """Return the distance in Å between the atoms of equal structures, ``None`` for different ones."""
    if row.crystal is None or example.crystal is None:
        return None
    same = {b: a for a, b in {*row.alike, *example.alike}}
    distance = apart(row.crystal, example.crystal, same)
    return distance if distance is not None and distance <= SAME * atoms_of(example.crystal).spacing else None


@dataclass(frozen=True)
class Agreement:
    """Comparison of the results of seeds.

    Attributes:
        rows: compared rows, the best first.
        alike: rows with the structure of the best, including the best.
        alternatives: best row of every other structure that fits equally well.
        text: summary in one or two sentences.
    """

    rows: tuple[SeedRow, ...]
    alike: tuple[SeedRow, ...]
    alternatives: tuple[SeedRow, ...]
    text: str

    @property
    def undecided(self) -> tuple[SeedRow, ...]:
        """Alternatives that the energy does not exclude."""
        best = self.rows[0].energy_ev_atom
        return tuple(row for row in self.alternatives if not row.energy_ev_atom > best + SAME_ENERGY)


def agreement(rows: Sequence[SeedRow]) -> Agreement:
    """Compare the results of seeds.

    Another structure fits equally well if it has no more coordinates and its R is below 1.25 times that of the best:
    Rwp if both were refined, otherwise that of the search (1.5 times if it is above 0.1); or if its Bayesian
    information criterion is lower, or hardly higher.

    Args:
        rows: one or more.
    """
    found = compared(in_order(rows))
    best = found[0]
    alike = tuple(row for row in found if row.structure == 1)
    firsts = {row.structure: row for row in reversed(found) if row.structure > 1}
    alternatives = tuple(firsts[k] for k in sorted(firsts) if _as_good(firsts[k], best))
    return Agreement(tuple(found), alike, alternatives, _text(found, alike, alternatives))


def _as_good(other: SeedRow, best: SeedRow) -> bool:
    if not other.overlap <= MOST_OVERLAP:
        return False
    if not (other.refined and best.refined):
        return other.coordinates <= best.coordinates and other.r_factor < gap_of(best.r_factor) * best.r_factor
    close = other.coordinates <= best.coordinates and other.rwp < CLEAR_GAP * best.rwp
    return close or other.bic < best.bic + UNDECIDED


def _text(found: Sequence[SeedRow], alike: Sequence[SeedRow], alternatives: Sequence[SeedRow]) -> str:
    if not alike:
        return f"None of {counted(len(found), 'seed')} found a structure."
    if len(found) == 1:
        return "A single seed: there is nothing to compare this structure with."
    furthest = max(row.distance for row in alike)
    within = f" (atoms within {max(ceil(1e3 * furthest), 1) / 1e3:.3f} Å)" if len(alike) > 1 else ""
    verb = "found" if found[0].status == "solved" else "ended in"
    parts = [f"{len(alike)} of {counted(len(found), 'seed')} {verb} this structure{within}"]
    for other in alternatives:
        seeds = [row for row in found if row.structure == other.structure]
        parts.append(
            f"{_named(seeds)} ended in another one that fits as well ({_figures(other)}; here {_figures(found[0])})"
        )
    shown = {1, *(other.structure for other in alternatives)}
    worse = [row for row in found if row.structure not in shown and row.crystal is not None]
    if worse:
        r = [row.r_factor for row in worse]
        span = f"{min(r):.3f}" if len(r) == 1 else f"{min(r):.3f} to {max(r):.3f}"
        parts.append(f"{_named(worse)} in {'one that fits' if len(worse) == 1 else 'others that fit'} worse (R {span})")
    none = [row for row in found if row.crystal is None and row.status != "error"]
    if none:
        parts.append(f"{_named(none)} in none")
    failed = [row for row in found if row.status == "error"]
    if failed:
        parts.append(f"{_named(failed)} could not be determined ({failed[0].reason})")
    return "; ".join(parts) + "."


def _named(rows: Sequence[SeedRow]) -> str:
    """List seeds by number, a few of them."""
    numbers = [str(row.seed) for row in sorted(rows, key=lambda row: row.seed)]
    shown = numbers if len(numbers) < 7 else [*numbers[:5], f"{len(numbers) - 5} more"]
    return f"seed{'' if len(rows) == 1 else 's'} {listed(shown)}"


def _figures(row: SeedRow) -> str:
    """Format the group, R factors and energy of a structure."""
    rwp = f", Rwp {row.rwp:.2f} %" if row.refined else ""
    energy = f", {row.energy_ev_atom:.4f} eV per atom" if np.isfinite(row.energy_ev_atom) else ""
    return f"{row.group}, R {row.r_factor:.3f}{rwp}{energy}"
