"""Ambiguous labels in capitals: CA1, calcium or carbon A1; HO1, holmium or the hydrogen of O1.

If nothing else distinguishes them, distances do: a bond to carbon or hydrogen is far shorter than one to a metal.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np

from ...crystal import lattice

# shortest bond as a fraction of the sum of covalent radii (Nb=O 0.74, Cr=O 0.79), and longest as a multiple
_SHORTEST, _LONGEST = 0.745, 1.2
# beyond this distance in Å, the listed sites contain no true neighbour
_FAR = 3.2
_CAPITALS = re.compile(r"([A-Z])([A-Z])([A-Z]*)(?![a-z])")
# gases, synthetic and controlled elements: not assumed without a better reason
_UNLIKELY = frozenset("He Ne Ar Kr Xe Rn Po At Fr Ra Ac Pa Np Pu Am Cm Bk Cf".split())


class Neighbour(NamedTuple):
    """The nearest other site: distance in Å, and its possible elements."""

    distance: float
    elements: tuple[str, ...]


def two_readings(label: str) -> tuple[str, str] | None:
    """Return the two-letter and the one-letter element of a label such as ``HO1``; ``None`` if it is unambiguous."""
    found = _CAPITALS.match(label)
    if found is None:
        return None
    both, first = (found[1] + found[2]).capitalize(), found[1]
    known = all(gemmi.Element(e).atomic_number > 0 for e in (both, first))
    return (both, first) if known and gemmi.Element(both).atomic_number <= 96 else None


def nearest(k: int, cell: np.ndarray, xyz: np.ndarray, labels: Sequence[str]) -> Neighbour:
    """Return the site nearest to number ``k``, among those listed and their translations."""
    apart = np.delete(xyz, k, axis=0) - xyz[k]
    if not len(apart):
        return Neighbour(np.inf, ())
    apart -= np.round(apart)
    shifts = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm((apart[:, None] + shifts) @ lattice(cell), axis=-1).min(axis=1)
    distance = np.where(distance < 0.3, np.inf, distance)  # several elements on one position
    other = int(np.argmin(distance))
    letters = re.match(r"[A-Za-z]*", [*labels[:k], *labels[k + 1 :]][other])
    words = ((letters[0] if letters else "")[:2].capitalize(), (letters[0] if letters else "")[:1].upper())
    return Neighbour(float(distance[other]), tuple(w for w in words if w and gemmi.Element(w).atomic_number > 0))


def chosen(readings: tuple[str, str], label: str, neighbour: Neighbour, labels: Sequence[str]) -> tuple[str, str]:
    """Choose one of two readings, with a remark for the user; the remark is empty if distances leave no doubt.

    Args:
        readings: possible elements of the label.
        label: the label.
        neighbour: of the site.
        labels: of all sites.
    """
    both, first = readings
    bonds = [neighbour.distance / _bond(both, e) for e in neighbour.elements]
    lighter = [neighbour.distance / _bond(first, e) for e in neighbour.elements]
    placed = any(re.match(rf"{first}(?![A-Za-z])", other) for other in labels)
    if label[2:3].isupper():
        # CAA is carbon to most programs, CLA chlorine: the better fit is chosen
        off = [min((abs(np.log(r)) for r in ratios), default=np.inf) for ratios in (bonds, lighter)]
        found = both if off[0] < off[1] and neighbour.distance < _FAR else first
        clear = abs(off[0] - off[1]) > 0.3 if neighbour.distance < _FAR else first == "H"
        return found, "" if clear else f"{label} as {found}, which can be {both if found == first else first}"
    seen = f"its neighbour is at {neighbour.distance:.2f} Å"
    if bonds and max(bonds) < _SHORTEST and min(lighter) < _LONGEST:
        return first, f"{label} as {first} ({seen}, too near for {both})"
    if both in _UNLIKELY and (placed or first in "CHNO"):
        return first, f"{label} as {first}, not {both}"
    if bonds and max(bonds) >= _SHORTEST and neighbour.distance < _FAR and min(lighter) > _LONGEST:
        return both, ""
    mixed = any(re.match(r"[A-Z][a-z]\d", other) for other in labels)
    if mixed and placed:
        return first, f"{label} as {first}, not {both}, since other labels write elements with a small letter"
    return both, f"{label} as {both}, which can be {first}" if placed else ""


def _bond(one: str, other: str) -> float:
    return gemmi.Element(one).covalent_r + gemmi.Element(other).covalent_r
