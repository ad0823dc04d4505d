"""Assignment of two elements indistinguishable by X-rays to sites, by bond valences (host).

Source: M. O'Keeffe & N. E. Brese, J. Am. Chem. Soc. 113, 3226 (1991): ``s = exp((R - d)/0.37 Å)`` with R from two
numbers of each element.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...crystal import Crystal, lattice, plan_expansion, positions

# usual valences of elements that may be confused
VALENCES = {
    "N": 3.0,
    "O": 2.0,
    "F": 1.0,
    "S": 2.0,
    "Cl": 1.0,
    "Na": 1.0,
    "Mg": 2.0,
    "Al": 3.0,
    "Si": 4.0,
    "P": 5.0,
    "K": 1.0,
    "Ca": 2.0,
}
ANIONS = frozenset("N O F S Cl Se Br I".split())
_SOFTNESS = 0.37
# Å; a bond of this length has a valence below 0.01 for all but the largest elements
_LONGEST = 4.5
# largest number of sites of the two elements for which all orders are evaluated
_MOST_SITES = 12


@dataclass(frozen=True)
class Order:
    """One distribution of two elements over sites.

    Attributes:
        crystal: structure with this order.
        misfit: root mean square of (valence sum - usual valence) over the atoms of both elements.
        sums: bond-valence sum at each of these sites, by label of this crystal.
    """

    crystal: Crystal
    misfit: float
    sums: Mapping[str, float]


def orders_by_bond_valences(crystal: Crystal, pair: tuple[str, str]) -> tuple[Order, ...]:
    """List all distributions of two elements over their sites that keep the composition, the most likely first.

    Args:
        crystal: structure with both elements.
        pair: the elements, such as ``("O", "F")``.

    Returns:
        Empty if a valence or parameter of an element is unknown, or there are too many sites.
    """
    table = _parameters()
    sites = [k for k, element in enumerate(crystal.elements) if element in pair]
    known = all(element in table for element in crystal.elements) and all(element in VALENCES for element in pair)
    if not known or not 2 <= len(sites) <= _MOST_SITES or len({element in ANIONS for element in pair}) != 1:
        return ()
    copies = np.array([site.multiplicity for site in crystal.sites()])
    wanted = sum(copies[k] for k in sites if crystal.elements[k] == pair[0])
    distances = _distances(crystal)
    found = []
    for size in range(1, len(sites)):
        for chosen in combinations(sites, size):
            if copies[list(chosen)].sum() == wanted:
                elements = list(crystal.elements)
                for k in sites:
                    elements[k] = pair[0] if k in chosen else pair[1]
                found.append(_order(crystal, elements, sites, copies, distances))
    return tuple(sorted(found, key=lambda order: order.misfit))


def _order(
    crystal: Crystal,
    elements: list[str],
    sites: list[int],
    copies: np.ndarray,
    distances: list[list[tuple[int, float]]],
) -> Order:
    table = _parameters()
    sums: dict = {}
    total = 0.0
    for k in sites:
        kind = elements[k] in ANIONS
        here = sum(
            float(np.exp((bond_length(table[elements[k]], table[elements[j]]) - d) / _SOFTNESS))
            for j, d in distances[k]
            if (elements[j] in ANIONS) != kind
        )
        sums[k] = here
        total += copies[k] * (here - VALENCES[elements[k]]) ** 2
    species = [elements[k] if k in sites else crystal.species[k] for k in range(len(elements))]
    # labels follow the elements
    named = Crystal.create(
        cell=crystal.cell, spacegroup=crystal.group, species=species, xyz=crystal.xyz, occupancy=crystal.occupancy, u_iso=crystal.u_iso,
        name=crystal.name, snap_distance=1e-3,
    )  # fmt: skip
    sums = {named.labels[k]: sums[k] for k in sites}
    return Order(named, float(np.sqrt(total / copies[sites].sum())), sums)


def bond_length(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the length of a bond of valence 1 in Å between elements with these parameters (r, c)."""
    (r, c), (q, e) = one, other
    return r + q - r * q * (np.sqrt(c) - np.sqrt(e)) ** 2 / (c * r + e * q)


def _distances(crystal: Crystal) -> list[list[tuple[int, float]]]:
    """Return the neighbours of each site as sites with distances in Å."""
    plan = plan_expansion(crystal)
    xyz = positions(np.asarray(crystal.xyz, dtype=float), crystal.group, plan.atoms)
    basis = np.asarray(lattice(np.asarray(crystal.cell, dtype=float)))
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(basis), axis=0)
    reach = np.ceil(_LONGEST / spacing).astype(int) + 1
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    out = []
    for k in range(len(crystal.labels)):
        delta: Float[np.ndarray, "atoms shifts 3"] = (xyz - np.asarray(crystal.xyz, dtype=float)[k])[:, None] + shifts
        d = np.linalg.norm(delta @ basis, axis=-1)
        atom, _ = np.nonzero((d > 0.1) & (d < _LONGEST))
        out.append(list(zip(plan.atoms[atom, 0].tolist(), d[(d > 0.1) & (d < _LONGEST)].tolist(), strict=True)))
    return out


@lru_cache(maxsize=1)
def _parameters() -> dict[str, tuple[float, float]]:
    record = json.loads(Path(__file__).with_name("bond_valences.json").read_text(encoding="utf-8"))
    return {element: (r, c) for element, (r, c) in record["elements"].items()}
