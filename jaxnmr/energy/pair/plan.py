"""Which pairs and reciprocal vectors the energy of a crystal runs over."""

import numpy as np
from jaxtyping import Float

from ..._arrays import is_concrete, namespace
from ..._struct import Struct, static
from ...crystal import Crystal
from ...errors import ConventionError
from ...graph import GraphPlan, plan_graph
from ...graph.neighbours import OVERLAP_DISTANCE
from ...typing import Array
from .ewald import ACCURACY, Reciprocal, plan_reciprocal, require_neutral

# occupancies this close to 1 are
_FULL = 1e-6


class PairPlan(Struct):
    """Neighbours and reciprocal vectors of a crystal; see :func:`plan_pairs`.

    Attributes:
        graph: neighbours of every site, atoms of a primitive cell.
        reciprocal: of that cell.
        charges: e, of every element of ``graph.species``.
        accuracy: of the sum over charges, eV per atom.
    """

    graph: GraphPlan
    reciprocal: Reciprocal
    charges: tuple[float, ...] = static()
    accuracy: float = static()

    @property
    def skin(self) -> float:
        """How far beyond the cutoff neighbours are listed, Å."""
        return self.graph.skin

    def margin(self, crystal: Crystal) -> Float[Array, ""]:
        """How far, in Å, atoms and cell may still move; plan again when it is no longer positive (traceable).

        The smaller of what is left of the neighbours' skin, and of the growth of the cell that reciprocal vectors allow.
        """
        xp = namespace(crystal.cell, crystal.xyz)
        pairs = self.graph.margin(crystal)
        then, now = xp.asarray(self.reciprocal.lattice), xp.asarray(self.graph.graph(crystal).globals["lattice"][0])
        deformation = xp.linalg.solve(then, now)
        strain = deformation @ deformation.T - xp.eye(3, dtype=now.dtype)
        # no direction has become longer than this
        grown = xp.sqrt(1.0 + xp.sqrt(xp.sum(strain**2)))
        left = (xp.asarray(self.reciprocal.reach / self.reciprocal.radius) / grown - 1.0) * self.graph.cutoff
        return xp.minimum(pairs, left)

    def renewed(self, crystal: Crystal) -> "PairPlan":
        """The plan for what the crystal has become (host)."""
        return plan_pairs(
            crystal, species=self.graph.species, charges=self.charges, cutoff=self.graph.cutoff, skin=self.graph.skin,
            accuracy=self.accuracy,
        )  # fmt: skip


def plan_pairs(
    crystal: Crystal, *, species: tuple[str, ...], charges: tuple[float, ...], cutoff: float, skin: float,
    accuracy: float = ACCURACY,
) -> PairPlan:  # fmt: skip
    """List the pairs of a crystal (host).

    Args:
        crystal: fully occupied.
        species: the elements that have parameters.
        charges: e, one per element of ``species``.
        cutoff: Å.
        skin: pairs are listed up to ``cutoff + skin``, so that atoms may move.
        accuracy: of the sum over charges, eV per atom.

    Raises:
        ConventionError: an element without parameters, partial occupancy, a charged cell, atoms on top of each other, numbers
            that are no crystal's.
    """
    if not is_concrete(crystal.cell, crystal.xyz):
        raise ConventionError("a plan needs numbers: make it outside jit and grad, and hand it over")
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
    plain = crystal.replace(cell=np.asarray(crystal.cell, dtype=float), xyz=np.asarray(crystal.xyz, dtype=float))
    try:
        graph = plan_graph(plain, cutoff=cutoff, skin=skin, species=species)
    except ConventionError:
        closest = _closest(plain)
        if closest is None:
            raise
        raise ConventionError(closest) from None
    nodes = graph.reference.nodes
    q = np.asarray(charges, dtype=float)[nodes["species"]]
    require_neutral(q, f"the primitive cell of {crystal.name}")
    lattice = np.asarray(graph.reference.globals["lattice"][0], dtype=float)
    reciprocal = plan_reciprocal(lattice, q, accuracy=accuracy, cutoff=cutoff, skin=skin)
    return PairPlan(graph=graph, reciprocal=reciprocal, charges=tuple(charges), accuracy=float(accuracy))


def _closest(crystal: Crystal) -> str | None:
    """What to say of two atoms on top of each other; ``None`` where there are none."""
    cell = crystal.expand()
    points, lattice = np.asarray(cell.fractional), np.asarray(cell.lattice)
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    for k, atom in enumerate(np.unique(np.asarray(cell.site), return_index=True)[1]):
        between = points - points[atom]
        r = np.linalg.norm((between - np.round(between) + shifts) @ lattice, axis=-1).min(axis=0)
        r[atom] = np.inf
        other = int(np.argmin(r))
        if r[other] < OVERLAP_DISTANCE:
            first, second, distance = crystal.labels[k], cell.labels[other], r[other]
            break
    else:
        return None
    return (
        f"in {crystal.name}, {first} and {second if second != first else 'an image of it'} are {distance:.3f} Å apart: no energy "
        "describes two nuclei there; remove duplicates, choose one of the alternatives of a disordered site, or move the atom "
        "onto the special position that it is beside"
    )
