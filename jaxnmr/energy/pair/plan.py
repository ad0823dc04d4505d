"""Which pairs and reciprocal vectors, or which mesh, the energy of a crystal runs over."""

from collections import Counter
from typing import Any

import jraph
import numpy as np
from jaxtyping import Float, Int

from ..._arrays import is_concrete, namespace
from ..._struct import Struct, static
from ...crystal import Crystal, Expansion, lattice, metric, plan_expansion, positions, primitive_basis
from ...errors import ConventionError
from ...graph import bucket, plan_neighbours
from ...graph.neighbours import Neighbours
from ...graph.structure import neighbour_list_margin, species_numbers
from ...typing import Array, Numbers
from .ewald import ACCURACY, Reciprocal, plan_reciprocal, require_neutral
from .mesh import Mesh, plan_mesh

# occupancies this close to 1 are
_FULL = 1e-6
# sizes are those of a geometric series, so that lists made again have mostly the size of those before
_GROWTH = 1.2


class PairPlan(Struct):
    """Neighbours and reciprocal vectors of a crystal, both padded; see :func:`plan_pairs`.

    Attributes:
        expansion: the atoms of a primitive cell.
        basis: rows, the vectors of that cell in terms of those of the crystal.
        kinds: element of every atom, its number in ``species``.
        senders, receivers, shifts: pairs; only one atom of every site receives. In a crystal without symmetry every pair is met
            from one end only.
        weight: of every pair in the energy of the conventional cell: half of the atoms of the site, 1 where it is met once, 0 for
            padding.
        reciprocal: of the primitive cell.
        points, vectors: positions and lattice when pairs were listed, Å.
        species: elements that have parameters.
        charges: e, of each of them.
        cutoff, skin: Å; pairs are listed up to the sum.
        accuracy: of the sum over charges, eV per atom.
        force_error: rms of forces where the sum runs over a mesh, eV/Å; 0 where it runs over reciprocal vectors.
    """

    expansion: Expansion
    basis: Float[Array, "3 3"]
    kinds: Int[Array, " atoms"]
    senders: Int[Array, " pairs"]
    receivers: Int[Array, " pairs"]
    shifts: Int[Array, "pairs 3"]
    weight: Float[Array, " pairs"]
    reciprocal: Reciprocal | Mesh
    points: Float[Array, "atoms 3"]
    vectors: Float[Array, "3 3"]
    species: tuple[str, ...] = static()
    charges: tuple[float, ...] = static()
    cutoff: float = static()
    skin: float = static()
    accuracy: float = static()
    force_error: float = static(default=0.0)

    def placed(self, crystal: Crystal) -> tuple[Float[Array, "atoms 3"], Float[Array, "3 3"]]:
        """Positions of the atoms and lattice of the primitive cell, Å (traceable)."""
        return self.expansion.placed(crystal, self.basis)

    def margin(self, crystal: Crystal) -> Float[Array, ""]:
        """How far, in Å, atoms and cell may still move; plan again when it is no longer positive (traceable).

        The smaller of what is left of the neighbours' skin, and of the growth of the cell that reciprocal vectors or mesh allow.
        """
        xp = namespace(crystal.cell, crystal.xyz)
        points, vectors = self.placed(crystal)
        now, then = _graph(points, vectors), _graph(self.points, self.vectors)
        pairs = neighbour_list_margin(now, then, self.cutoff, self.cutoff + self.skin)
        deformation = xp.linalg.solve(xp.asarray(self.vectors), vectors)
        strain = deformation @ deformation.T - xp.eye(3, dtype=vectors.dtype)
        # no direction has become longer than this
        grown = xp.sqrt(1.0 + xp.sqrt(xp.sum(strain**2)))
        left = (xp.asarray(self.reciprocal.stretch) / grown - 1.0) * self.cutoff
        return xp.minimum(pairs, left)

    def renewed(self, crystal: Crystal) -> "PairPlan":
        """The plan for what the crystal has become (host)."""
        listed = _listed(
            crystal, self.expansion, self.basis, self.kinds, self.charges, self.cutoff, self.skin, self.accuracy,
            self.force_error,
        )  # fmt: skip
        return self.replace(**listed)


def plan_pairs(
    crystal: Crystal, *, species: tuple[str, ...], charges: tuple[float, ...], cutoff: float, skin: float,
    accuracy: float = ACCURACY, force_error: float = 0.0,
) -> PairPlan:  # fmt: skip
    """List the pairs of a crystal (host).

    Args:
        crystal: fully occupied.
        species: the elements that have parameters.
        charges: e, one per element of ``species``.
        cutoff: Å.
        skin: pairs are listed up to ``cutoff + skin``, so that atoms may move.
        accuracy: of the sum over charges, eV per atom.
        force_error: above 0 the sum runs over a mesh with this rms error of forces, eV/Å, whatever the accuracy.

    Raises:
        ConventionError: an element without parameters, partial occupancy, a charged cell, atoms on top of each other, numbers
            that are no crystal's.
    """
    if not is_concrete(crystal.cell, crystal.xyz):
        raise ConventionError("a plan needs numbers: make it outside jit and grad, and hand it over")
    if not (np.isfinite(skin) and skin >= 0):
        raise ConventionError(f"the skin is {skin}; expected a distance in Å, 0 or more")
    _check_sites(crystal, species)
    expansion = plan_expansion(crystal, primitive=True)
    cell = np.asarray(crystal.cell, dtype=float)
    basis = primitive_basis(crystal.group, metric(cell))
    kinds = species_numbers(expansion.species, species)
    require_neutral(np.asarray(charges, dtype=float)[kinds], f"the primitive cell of {crystal.name}")
    return PairPlan(
        expansion=expansion,
        basis=basis,
        kinds=kinds,
        **_listed(crystal, expansion, basis, kinds, charges, cutoff, skin, accuracy, force_error),
        species=tuple(species),
        charges=tuple(charges),
        cutoff=float(cutoff),
        skin=float(skin),
        accuracy=float(accuracy),
        force_error=float(force_error),
    )


def _listed(
    crystal: Crystal, expansion: Expansion, basis: Numbers, kinds: Numbers, charges: tuple[float, ...],
    cutoff: float, skin: float, accuracy: float, force_error: float,
) -> dict[str, Any]:  # fmt: skip
    """What of a plan depends on where atoms are."""
    site = np.asarray(expansion.atoms)[:, 0]
    cell, xyz = np.asarray(crystal.cell, dtype=float), np.asarray(crystal.xyz, dtype=float)
    vectors = np.asarray(lattice(cell))
    points = np.asarray(positions(xyz, crystal.group, expansion.atoms)) @ vectors
    own = np.asarray(basis) @ vectors
    try:
        pairs = plan_neighbours(own, points, cutoff + skin, expansion.asymmetric, names=_names(expansion.labels))
    except ConventionError as error:
        raise ConventionError(f"{crystal.name}: {error}") from None
    once = len(expansion.asymmetric) == len(site)
    if once:
        pairs = _met_once(pairs)
    q = np.asarray(charges, dtype=float)[np.asarray(kinds)]
    if force_error:
        reciprocal: Reciprocal | Mesh = plan_mesh(own, q, cutoff=cutoff, force_error=force_error)
    else:
        reciprocal = plan_reciprocal(own, q, accuracy=accuracy, cutoff=cutoff, skin=skin, growth=_GROWTH)
    size = bucket(len(pairs.senders), growth=_GROWTH)
    share = np.bincount(site) * len(crystal.group.centring) * (1.0 if once else 0.5)
    return {
        "senders": _padded(pairs.senders, size),
        "receivers": _padded(pairs.receivers, size),
        # of padding an atom and its own image, so that no distance is 0
        "shifts": _padded(pairs.shifts, size, 1),
        "weight": _padded(share[site[pairs.receivers]], size),
        "reciprocal": reciprocal,
        "points": points,
        "vectors": own,
    }


def _met_once(pairs: Neighbours) -> Neighbours:
    """One of every two pairs that differ in direction only."""
    h, k, l = pairs.shifts.T
    ahead = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (l > 0))))
    kept = (pairs.senders > pairs.receivers) | ((pairs.senders == pairs.receivers) & ahead)
    return Neighbours(pairs.senders[kept], pairs.receivers[kept], pairs.shifts[kept])


def _check_sites(crystal: Crystal, species: tuple[str, ...]) -> None:
    """Refuse elements without parameters and positions that are not occupied by one atom."""
    known = {*species, *({"D"} if "H" in species else ())}
    for label, element in zip(crystal.labels, crystal.elements, strict=True):
        if element not in known:
            raise ConventionError(
                f"site {label} of {crystal.name} is {element}, which this potential has no parameters for; it knows "
                f"{', '.join(species)}: take a file with {element}, or another energy model"
            )
    for label, occupancy in zip(crystal.labels, np.asarray(crystal.occupancy), strict=True):
        if occupancy < 1.0 - _FULL:
            raise ConventionError(
                f"site {label} of {crystal.name} has the occupancy {occupancy:g}: an energy needs to know which atoms are there; "
                "order the structure (a supercell, or the main alternative at occupancy 1)"
            )


def _names(labels: tuple[str, ...]) -> list[str]:
    """Atoms for errors: ``O1``, its second image ``O1 (2)``."""
    seen: Counter[str] = Counter()
    names = []
    for label in labels:
        seen[label] += 1
        names.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return names


def _padded(array: np.ndarray, size: int, fill: int = 0) -> np.ndarray:
    rest = np.full((size - len(array), *array.shape[1:]), fill, dtype=array.dtype)
    return np.concatenate([array, rest])


def _graph(points: Array, vectors: Array) -> jraph.GraphsTuple:
    return jraph.GraphsTuple(
        nodes={"positions": points}, edges=None, senders=None, receivers=None, globals={"lattice": vectors[None]}, n_node=None,
        n_edge=None,
    )  # fmt: skip
