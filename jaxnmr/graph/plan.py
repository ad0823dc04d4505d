"""The graph of a `Crystal`: neighbours are listed once, positions and lattice follow from the crystal."""

from collections.abc import Sequence

import jraph
import numpy as np
from jaxtyping import Float, Int

from .._arguments import checked
from .._arrays import namespace
from .._struct import Struct, static
from ..crystal import Crystal, Expansion, SpaceGroup, lattice, metric, plan_expansion, positions, primitive_basis
from ..errors import ConventionError
from ..typing import Array
from .structure import neighbour_list_margin, structure_graph


class GraphPlan(Struct):
    """Atoms that fill the cell, their neighbours, and the symmetry operations relating them; see :func:`plan_graph`.

    Attributes:
        reference: the graph at the time neighbours were listed, up to ``cutoff + skin``.
        expansion: images of the sites that form the nodes, the atoms of a primitive cell.
        basis: the vectors of the primitive cell in terms of those of the crystal, as rows.
        sites: the node of every site of the crystal.
        multiplicity: number of atoms in the conventional cell that are images of each site.
        species: the table of elements.
        cutoff, skin: Å.
    """

    reference: jraph.GraphsTuple
    expansion: Expansion
    basis: Float[Array, "3 3"]
    sites: Int[Array, " sites"]
    multiplicity: Int[Array, " sites"]
    species: tuple[str, ...] = static()
    cutoff: float = static()
    skin: float = static()

    def graph(self, crystal: Crystal) -> jraph.GraphsTuple:
        """Return the graph of a crystal with the same group and sites (traceable in cell and coordinates).

        The cell may change only in the directions allowed by its space group; otherwise images are no longer
        equivalent.
        """
        xp = namespace(crystal.cell, crystal.xyz)
        vectors = lattice(xp.asarray(crystal.cell))
        atoms = xp.asarray(self.expansion.atoms)
        fractional = positions(xp.asarray(crystal.xyz), crystal.group, atoms)
        nodes = self.reference.nodes | {
            "positions": fractional @ vectors,
            "turn": cartesian_operations(crystal.group, vectors)[atoms[:, 1]],
        }
        own = xp.asarray(self.basis, dtype=vectors.dtype) @ vectors
        return self.reference._replace(nodes=nodes, globals={"lattice": own[None]})

    def margin(self, crystal: Crystal) -> Float[Array, ""]:
        """Return the remaining skin in Å (traceable); neighbours must be listed again once it is not positive."""
        return neighbour_list_margin(self.graph(crystal), self.reference, self.cutoff, self.cutoff + self.skin)

    def renewed(self, crystal: Crystal) -> "GraphPlan":
        """Return the plan with neighbours listed again (host)."""
        return plan_graph(crystal, cutoff=self.cutoff, skin=self.skin, species=self.species)


def plan_graph(crystal: Crystal, *, cutoff: float, skin: float = 0.5, species: Sequence[str]) -> GraphPlan:
    """List the neighbours of every site of a crystal (host).

    Nodes are the atoms of one primitive cell, as atoms related by centring translations are equivalent. Only one atom
    of every site receives edges; the network's result for it is rotated to its images. In P1 every atom is a site.

    Args:
        crystal: without partial occupancies.
        cutoff: of the model, Å.
        skin: neighbours are listed up to ``cutoff + skin``, so that atoms may move.
        species: the elements for which the model has parameters.

    Raises:
        ConventionError: partial occupancy, coinciding atoms, an element that is not in the table, or a cutoff or
            skin out of range.
    """
    if not (np.isfinite(skin) and skin >= 0):
        raise ConventionError(f"the skin is {skin}; expected a distance in Å, 0 or more")
    for label, occupancy in zip(crystal.labels, np.asarray(crystal.occupancy), strict=True):
        if occupancy < 1.0 - 1e-6:
            raise ConventionError(
                f"site {label} has the occupancy {occupancy:g}: tensors depend on which atom is there; order the "
                "structure (a supercell, or the main alternative at occupancy 1)"
            )
    expansion = plan_expansion(crystal, primitive=True)
    site, operation = expansion.atoms[:, 0], expansion.atoms[:, 1]
    sites = expansion.asymmetric
    cell = expansion.cell_of(crystal.replace(cell=np.asarray(crystal.cell), xyz=np.asarray(crystal.xyz)))
    vectors = np.asarray(cell.lattice, dtype=float)
    basis = primitive_basis(crystal.group, metric(np.asarray(crystal.cell, dtype=float)))
    reference = structure_graph(
        basis @ vectors,
        np.asarray(cell.fractional, dtype=float) @ vectors,
        expansion.species,
        cutoff=cutoff + skin,
        species=species,
        image=sites[site],
        turn=np.asarray(cartesian_operations(crystal.group, vectors))[operation],
    )
    return GraphPlan(
        reference=reference,
        expansion=expansion,
        basis=basis,
        sites=sites,
        multiplicity=np.bincount(site) * len(crystal.group.centring),
        species=tuple(species),
        cutoff=float(cutoff),
        skin=float(skin),
    )


@checked
def build_graph(
    crystal: Crystal, *, cutoff: float, skin: float = 0.0, species: Sequence[str] | None = None
) -> jraph.GraphsTuple:
    """Build a plain graph of all atoms of the conventional cell, for user-defined networks (host).

    Args:
        crystal: the crystal.
        cutoff, skin: neighbours are those within the sum, Å.
        species: the table that ``nodes["species"]`` refers to; by default the elements of the crystal in alphabetical
            order.

    Raises:
        ConventionError: coinciding atoms, or an element that is not in the table.

    Example:
        >>> graph = jn.build_graph(quartz, cutoff=2.0)
        >>> int(graph.n_node[0]), int(graph.n_edge[0])
        (9, 24)
    """
    cell = crystal.expand()
    vectors = np.asarray(cell.lattice, dtype=float)
    return structure_graph(
        vectors,
        np.asarray(cell.fractional, dtype=float) @ vectors,
        cell.species,
        cutoff=cutoff + skin,
        species=sorted(set(crystal.elements)) if species is None else species,
    )


def cartesian_operations(group: SpaceGroup, vectors: Float[Array, "3 3"]) -> Float[Array, "operations 3 3"]:
    """Return Cartesian matrices of the operations: with ``cart = frac @ L``, a rotation R is ``L^T R L^-T``."""
    xp = namespace(vectors)
    rotations = xp.asarray(group.rotations, dtype=vectors.dtype)
    return xp.einsum("ji,njk,lk->nil", vectors, rotations, xp.linalg.inv(vectors))
