"""Distances and angles by kind: bonds, distances across an atom, and angles, each symmetry-distinct one once (host)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..errors import ParameterError
from .bonds import Cutoffs, plan_angles, plan_bonds
from .expand import positions
from .geometry import angles, distances
from .unit import AsymmetricUnit

# Elements of a kind: ("Si", "O"), or with a bridging atom, ("O", "Si", "O").
Kind = tuple[str, ...]
_SAME = 1e-4


class Spread(NamedTuple):
    """Distribution of a kind of distance (Å) or angle (degrees): mean, standard deviation, number of values."""

    mean: float
    sigma: float
    number: int


@dataclass(frozen=True)
class DistancePlan:
    """Distances between atoms that are bonded (1-2) or bonded to a common atom (1-3); see :func:`plan_distances`.

    Attributes:
        pairs: atoms for :func:`distances`.
        multiplicity: number of distances of the conventional cell equivalent to each.
        ends: per pair, its two elements in alphabetical order.
        across: per pair, the elements of the atoms bonded to both ends; empty for bonds.
        name: of the crystal, for messages.
    """

    pairs: Int[np.ndarray, "n 2 5"]
    multiplicity: Int[np.ndarray, " n"]
    ends: tuple[Kind, ...]
    across: tuple[frozenset[str], ...]
    name: str

    def select(self, kinds: Iterable[Kind]) -> list[Int[np.ndarray, " _"]]:
        """Select the pairs of each kind.

        Args:
            kinds: ``("O", "Si", "O")`` selects distances between two O bonded to the same Si; ``("Si", "O")`` selects
                bonds, and ``("O", "O")``, if no such bond exists, distances across any atom. If both exist,
                ``("O", "O")`` selects the bonds, provided that a kind for the distances across atoms is also requested.

        Returns:
            Per kind, indices into ``pairs``.

        Raises:
            ParameterError: a kind that does not occur, is ambiguous, or shares distances with another.
        """
        kinds = [_checked(kind, (2, 3)) for kind in kinds]
        spelled_out = {tuple(sorted((kind[0], kind[2]))) for kind in kinds if len(kind) == 3}
        chosen: list[np.ndarray] = []
        for kind in kinds:
            ends = tuple(sorted((kind[0], kind[-1])))
            mine = np.array([e == ends for e in self.ends], dtype=bool)
            bonded = np.array([not between for between in self.across], dtype=bool)
            if len(kind) == 3:
                mine &= [kind[1] in between for between in self.across]
            elif (mine & bonded).any():
                if (mine & ~bonded).any() and ends not in spelled_out:
                    middle = sorted(set().union(*(self.across[k] for k in np.flatnonzero(mine & ~bonded))))
                    raise ParameterError(
                        f"in {self.name}, {'-'.join(kind)} are bonds and also distances across {' and '.join(middle)}: ask for "
                        f"{(kind[0], middle[0], kind[1])} instead, or for both"
                    )
                mine &= bonded
            if not mine.any():
                raise ParameterError(
                    f"{self.name} has no distances of the kind {'-'.join(kind)}; there are {self._occurring()}"
                )
            for other, indices in zip(kinds, chosen, strict=False):
                if mine[indices].any():
                    raise ParameterError(f"{'-'.join(other)} and {'-'.join(kind)} have distances in common")
            chosen.append(np.flatnonzero(mine))
        return chosen

    def _occurring(self) -> str:
        names = {
            "-".join((first, *middle, second))
            for (first, second), across in zip(self.ends, self.across, strict=True)
            for middle in [(element,) for element in across] or ((),)
        }
        return ", ".join(sorted(names, key=lambda name: (name.count("-"), name))) or "no bonds at all"


def plan_distances(crystal: AsymmetricUnit, cutoffs: Cutoffs = None) -> DistancePlan:
    """Find bonds and distances across one atom (host).

    Args:
        crystal: concrete crystal.
        cutoffs: longest bonds, as for :func:`plan_bonds`.

    Returns:
        Every symmetry-distinct distance once, bonds first. Two bonded atoms that also share a neighbour count as a
        bond.
    """
    bonds, triplets = plan_bonds(crystal, cutoffs).distinct(), plan_angles(crystal, cutoffs).triplets
    pairs = np.concatenate([bonds, triplets[:, [0, 2]]])
    leader, multiplicity = distinct_pairs(crystal, pairs)
    across: dict[int, set[str]] = {int(k): set() for k in np.unique(leader)}
    for first, atoms in zip(leader[len(bonds) :], triplets, strict=True):
        if first >= len(bonds):
            across[int(first)].add(crystal.elements[atoms[1, 0]])
    kept = np.array(sorted(across), dtype=int)
    return DistancePlan(
        pairs=pairs[kept],
        multiplicity=multiplicity[kept],
        ends=tuple(tuple(sorted(crystal.elements[atom[0]] for atom in pairs[k])) for k in kept),
        across=tuple(frozenset(across[k]) for k in kept.tolist()),
        name=crystal.name,
    )


def distinct_pairs(
    crystal: AsymmetricUnit, pairs: Int[np.ndarray, "n 2 5"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Find pairs of atoms related by the space group (host).

    Args:
        crystal: concrete crystal.
        pairs: two atoms each.

    Returns:
        For each pair, the first pair equivalent to it, and the number of pairs in the cell equivalent to it.
    """
    sites, group = crystal.sites(), crystal.group
    points = positions(np.asarray(crystal.xyz, dtype=float), group, pairs)
    step = points[:, 1] - points[:, 0]
    seen = []  # the step as it looks from either end, moved to where its site is
    for end, vector in ((0, step), (1, -step)):
        seen.append(np.linalg.solve(group.rotations[pairs[:, end, 1]].astype(float), vector[..., None])[..., 0])
    first, second = pairs[:, 0, 0], pairs[:, 1, 0]
    leader, multiplicity = np.full(len(pairs), -1), np.zeros(len(pairs), dtype=int)
    for k in range(len(pairs)):
        if leader[k] >= 0:
            continue
        forth, back = (sites[pairs[k, end, 0]].stabiliser @ seen[end][k] for end in (0, 1))
        alike = np.zeros(len(pairs), dtype=bool)
        for images, start, stop in ((forth, first[k], second[k]), (back, second[k], first[k])):
            open_ = np.flatnonzero((leader < 0) & (first == start) & (second == stop))
            alike[open_[_among(seen[0][open_], images)]] = True
        number = len(np.unique(_first_like(forth))) * sites[first[k]].multiplicity
        turned_round = first[k] == second[k] and _among(back[:1], forth)[0]
        leader[alike] = k
        multiplicity[alike] = number // 2 if turned_round else number
    return leader, multiplicity


def measure_distances(
    crystals: Sequence[AsymmetricUnit], kinds: Iterable[Kind], *, cutoffs: Cutoffs = None
) -> dict[Kind, Spread]:
    """Collect means and spreads of kinds of distances from known structures, as expectations for others (host).

    Args:
        crystals: known structures. Every symmetry-distinct distance is one value.
        kinds: as for :meth:`DistancePlan.select`; every structure must have all of them.
        cutoffs: longest bonds, as for :func:`plan_bonds`.

    Returns:
        By kind, in Å.

    Raises:
        ParameterError: a kind that is missing from a structure, has fewer than two values, or is ambiguous.
    """
    values: dict[Kind, list[np.ndarray]] = {tuple(kind): [] for kind in kinds}
    for crystal in crystals:
        plan = plan_distances(crystal, cutoffs)
        for kind, chosen in zip(values, plan.select(values), strict=True):
            values[kind].append(np.asarray(distances(crystal, plan.pairs[chosen]), dtype=float))
    return _spreads(values)


def measure_angles(
    crystals: Sequence[AsymmetricUnit], kinds: Iterable[Kind], *, cutoffs: Cutoffs = None
) -> dict[Kind, Spread]:
    """Collect statistics of angles at the middle atom, ``("Si", "O", "Si")``, degrees; see :func:`measure_distances`."""
    values: dict[Kind, list[np.ndarray]] = {tuple(kind): [] for kind in kinds}
    for crystal in crystals:
        for kind, (triplets, _) in zip(values, select_angles(crystal, values, cutoffs), strict=True):
            values[kind].append(np.asarray(angles(crystal, triplets), dtype=float))
    return _spreads(values)


def _spreads(values: dict[Kind, list[np.ndarray]]) -> dict[Kind, Spread]:
    joined = {kind: np.concatenate(lists) if lists else np.zeros(0) for kind, lists in values.items()}
    for kind, numbers in joined.items():
        if len(numbers) < 2:
            raise ParameterError(f"{len(numbers)} values of {'-'.join(kind)} have no spread: give more structures")
    return {kind: Spread(float(v.mean()), float(v.std(ddof=1)), len(v)) for kind, v in joined.items()}


def select_angles(
    crystal: AsymmetricUnit, kinds: Iterable[Kind], cutoffs: Cutoffs = None
) -> list[tuple[Int[np.ndarray, "_ 3 5"], Int[np.ndarray, " _"]]]:
    """Select the angles of every kind (host).

    Args:
        crystal: concrete crystal.
        kinds: three elements, the middle atom second; the order of the outer two does not matter.
        cutoffs: longest bonds, as for :func:`plan_bonds`.

    Returns:
        Per kind, triplets and the number of angles of the conventional cell equivalent to each.

    Raises:
        ParameterError: a kind that does not occur or is given twice.
    """
    plan = plan_angles(crystal, cutoffs)
    middle = plan.triplets[:, 1, 0]
    per_site = np.array([site.multiplicity for site in crystal.sites()])
    names = [_plain([crystal.elements[atom[0]] for atom in atoms]) for atoms in plan.triplets]
    chosen: dict[Kind, tuple[np.ndarray, np.ndarray]] = {}
    for kind in kinds:
        plain = _plain(_checked(kind, (3,)))
        mine = np.array([name == plain for name in names], dtype=bool)
        if not mine.any():
            found = ", ".join(sorted({"-".join(name) for name in names})) or "no angles at all"
            raise ParameterError(f"{crystal.name} has no angles of the kind {'-'.join(kind)}; there are {found}")
        if plain in chosen:
            raise ParameterError(f"angles of the kind {'-'.join(kind)} are given twice")
        chosen[plain] = plan.triplets[mine], (plan.multiplicity * per_site[middle])[mine]
    return list(chosen.values())


def _checked(kind: Kind, sizes: tuple[int, ...]) -> Kind:
    if isinstance(kind, str) or len(kind) not in sizes or not all(isinstance(element, str) for element in kind):
        raise ParameterError(
            f"a kind is {' or '.join(map(str, sizes))} elements such as ('O', 'Si', 'O'); got {kind!r}"
        )
    return tuple(kind)


def _plain(kind: Sequence[str]) -> Kind:
    """Return a kind of angle with its outer elements in alphabetical order."""
    first, last = sorted((kind[0], kind[2]))
    return first, kind[1], last


def _among(vectors: Float[np.ndarray, "n 3"], images: Float[np.ndarray, "m 3"]) -> Bool[np.ndarray, " n"]:
    """Return whether each vector is among the others."""
    return (np.abs(vectors[:, None] - images).max(axis=-1) < _SAME).any(axis=1)


def _first_like(vectors: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    """Return, for every vector, the index of the first one equal to it."""
    return (np.abs(vectors[:, None] - vectors).max(axis=-1) < _SAME).argmax(axis=1)
