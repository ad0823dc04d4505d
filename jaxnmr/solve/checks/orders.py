"""Arrangements of two elements on the same sites of a framework, for X-rays that do not distinguish them (host)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from ..._arguments import checked
from ...crystal import Crystal, plan_expansion, positions
from ...crystal.sites import minimum_image
from ...errors import ConventionError, ParameterError

# number of arrangements beyond which they are sampled
_LISTED = 20000
# fractional; positions closer than this are the same
_SAME = 1e-3


@dataclass(frozen=True)
class Arrangement:
    """One distribution of two elements over the sites.

    Attributes:
        crystal: all atoms of the cell in P1.
        copies: number of arrangements equivalent by the symmetry of the framework; of a sample, the number drawn.
    """

    crystal: Crystal
    copies: int


@checked
def orders_of(
    crystal: Crystal,
    elements: tuple[str, str],
    *,
    numbers: tuple[int, int] | None = None,
    times: tuple[int, int, int] = (1, 1, 1),
    most: int = 200,
    seed: int = 0,
) -> tuple[Arrangement, ...]:
    """List all distributions of two elements over their common sites, unique under the symmetry of the structure.

    Which is right must be decided by data sensitive to the elements: model tensors against a spectrum
    (`benchmarks/solve/gehlenite_orders.py`), an energy, bond-valence sums.

    Args:
        crystal: framework, with either element on each of these sites.
        elements: such as ``("Al", "Si")``.
        numbers: atoms of each in the larger cell, as many as there are sites; by default as in ``crystal``.
        times: numbers of cells along a, b and c.
        most: number of random arrangements, drawn with ``seed``, if there are more than 20 000.

    Returns:
        The most frequent first.

    Raises:
        ConventionError: the crystal lacks both elements, or one of them without ``numbers``, or the numbers do not add
            up.
    """
    if min(times) < 1 or most < 1:
        raise ParameterError(f"times is {times} and most is {most}; expected positive numbers")
    xyz, kinds = _atoms(crystal, times)
    sites = np.flatnonzero(np.isin(kinds, elements))
    first = int((kinds == elements[0]).sum())
    wanted = numbers or (first, len(sites) - first)
    if len(sites) == 0 or min(wanted) < 0 or sum(wanted) != len(sites) or (numbers is None and min(wanted) == 0):
        raise ConventionError(
            f"{crystal.name} has {len(sites)} atoms of {elements[0]} or {elements[1]} in {times[0]} x {times[1]} x {times[2]} cells, and "
            f"{wanted[0]} and {wanted[1]} are to be put there: give numbers= that add up"
        )
    ways = _ways(len(sites), wanted[0], most, np.random.default_rng(seed))
    keys = _canonical(ways, _permutations(crystal, xyz[sites], times))
    _, index, copies = np.unique(keys, return_index=True, return_counts=True)
    cell = np.asarray(crystal.cell, dtype=float) * np.array([*times, 1, 1, 1])
    found = []
    for k in np.argsort(-copies, kind="stable"):
        species = kinds.copy()
        species[sites] = np.where(ways[index[k]], elements[0], elements[1])
        made = Crystal.create(
            cell=cell, spacegroup="P 1", species=species.tolist(), xyz=xyz, u_iso=_mean_u(crystal), name=crystal.name
        )
        found.append(Arrangement(made, int(copies[k])))
    return tuple(found)


def _mean_u(crystal: Crystal) -> float:
    return max(float(np.mean(np.asarray(crystal.u_equivalent()))), 1e-4)


def _atoms(crystal: Crystal, times: Sequence[int]) -> tuple[Float[np.ndarray, "atoms 3"], np.ndarray]:
    """Return all atoms of the larger cell, in its fractional coordinates."""
    plan = plan_expansion(crystal)
    one = np.asarray(positions(np.asarray(crystal.xyz, dtype=float), crystal.group, plan.atoms))
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in times], indexing="ij"), axis=-1).reshape(-1, 3)
    kinds = np.array(crystal.elements, dtype=object)[np.asarray(plan.atoms)[:, 0]]
    return ((one % 1.0 + cells[:, None]) / np.array(times)).reshape(-1, 3), np.tile(kinds, len(cells))


def _permutations(crystal: Crystal, xyz: Float[np.ndarray, "n 3"], times: Sequence[int]) -> Int[np.ndarray, "k n"]:
    """Return site permutations by operations that preserve the larger cell, and by translations between its cells."""
    size = np.array(times, dtype=float)
    group = crystal.group
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in times], indexing="ij"), axis=-1).reshape(-1, 3)
    found = set()
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        turned = rotation * size[None, :] / size[:, None]
        if np.abs(turned - np.rint(turned)).max() > 1e-9:
            continue
        for cell in cells:
            moved = xyz @ turned.T + (translation + cell) / size
            off = np.abs(minimum_image(moved[:, None] - xyz)).max(axis=-1)
            if off.min(axis=1).max() < _SAME:
                found.add(tuple(off.argmin(axis=1).tolist()))
    return np.array(sorted(found))


def _ways(n: int, first: int, most: int, rng: np.random.Generator) -> Bool[np.ndarray, "m n"]:
    """Return the sites of the first element in each arrangement."""
    if comb(n, first) <= _LISTED:
        chosen = np.array(list(combinations(range(n), first)), dtype=int).reshape(-1, first)
    else:
        chosen = np.array([rng.choice(n, first, replace=False) for _ in range(most)])
    ways = np.zeros((len(chosen), n), dtype=bool)
    ways[np.arange(len(chosen))[:, None], chosen] = True
    return ways


def _canonical(ways: Bool[np.ndarray, "m n"], permutations: Int[np.ndarray, "k n"]) -> np.ndarray:
    """Return the same bytes for all equivalent arrangements: the smallest. Trailing zeros do not affect the order."""
    best: np.ndarray | None = None
    for permutation in permutations:
        packed = np.ascontiguousarray(np.packbits(ways[:, permutation], axis=1))
        keys = packed.view(f"S{packed.shape[1]}").ravel()
        best = keys if best is None else np.where(keys < best, keys, best)
    assert best is not None
    return best
