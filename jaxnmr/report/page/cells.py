"""Structures of a page: atoms of a cell with those that complete coordination polyhedra, bonds, cell edges."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ...crystal import plan_bonds
from ...plot.structures import atom_style
from ..contents import Contents
from ..publication.tables import formula_text

if TYPE_CHECKING:
    from ...crystal import Crystal

_ANIONS = frozenset(("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"))
# atoms within this fractional distance of a face of the cell are drawn on both sides
_FACE = 2e-3
# bonds of one length agree to this, Å
_SAME = 2e-3
# larger cells are drawn without the atoms around them
_MANY = 1500


def page_cell(name: str, crystal: Crystal) -> dict[str, Any]:
    """Return a structure as plain values: Cartesian coordinates in Å."""
    lattice = np.asarray(crystal.lattice(), dtype=float)
    site, frac = _atoms(crystal)
    inside = np.all((frac > -_FACE) & (frac < 1.0 + _FACE), axis=1)
    pairs = _bonds(crystal, site, frac, inside)
    anion = np.array([element in _ANIONS for element in crystal.elements])
    drawn = inside.copy()
    if inside.sum() <= _MANY:
        for a, b in pairs:
            # coordination polyhedra of cations are complete
            drawn[b] |= inside[a] and not anion[site[a]]
            drawn[a] |= inside[b] and not anion[site[b]]
    place = np.cumsum(drawn) - 1
    elements = crystal.elements
    atoms = [
        {
            "label": crystal.labels[site[k]],
            "element": elements[site[k]],
            "at": np.round(frac[k] @ lattice, 4).tolist(),
            "xyz": np.round(frac[k], 4).tolist(),
            "occupancy": round(float(np.asarray(crystal.occupancy)[site[k]]), 4),
            "u": round(float(np.asarray(crystal.u_equivalent())[site[k]]), 5),
        }
        for k in np.flatnonzero(drawn)
    ]
    return {
        "name": name,
        "title": f"{name}: {formula_text(Contents.of(crystal))}, {crystal.group.name}",
        "atoms": atoms,
        "bonds": [[int(place[a]), int(place[b])] for a, b in pairs if drawn[a] and drawn[b]],
        "lattice": np.round(lattice, 5).tolist(),
        "elements": {element: atom_style(element) for element in dict.fromkeys(elements)},
    }


def _atoms(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Return sites ``(n,)`` and fractional coordinates ``(n, 3)`` of atoms in the cell and one cell around it."""
    full = crystal.expand()
    frac = np.asarray(full.fractional, dtype=float)
    frac = frac - np.floor(frac + _FACE)
    site = np.asarray(full.site, dtype=int)
    if len(frac) > _MANY:
        return site, frac
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    moved = (frac[None] + shifts[:, None]).reshape(-1, 3)
    near = np.all((moved > -0.75) & (moved < 1.75), axis=1)
    return np.tile(site, len(shifts))[near], moved[near]


def _bonds(crystal: Crystal, site: np.ndarray, frac: np.ndarray, inside: np.ndarray) -> list[tuple[int, int]]:
    """List bonded pairs of atoms, one of them in the cell: those whose distance is in the table of bonds."""
    lengths: dict[tuple[int, int], list[float]] = {}
    plan = plan_bonds(crystal)
    for (first, second), row in zip(plan.pairs, plan.table(crystal), strict=True):
        lengths.setdefault((int(first[0]), int(second[0])), []).append(row.distance)
    if not lengths:
        return []
    at = frac @ np.asarray(crystal.lattice(), dtype=float)
    longest = max(max(of) for of in lengths.values()) + _SAME
    out: list[tuple[int, int]] = []
    for a in np.flatnonzero(inside):
        away = np.linalg.norm(at - at[a], axis=1)
        for b in np.flatnonzero((away < longest) & (away > 0.1)):
            known = lengths.get((int(site[a]), int(site[b])), ())
            if (b > a or not inside[b]) and any(abs(away[b] - d) < _SAME for d in known):
                out.append((int(a), int(b)))
    return out
