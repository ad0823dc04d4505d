"""A periodic structure as a `jraph.GraphsTuple`.

Nodes are the atoms of a cell: ``positions`` ``(nodes, 3)`` in Å, ``species`` ``(nodes,)`` indices into a table of
elements. Edges are neighbours: ``shifts`` ``(edges, 3)``, integer translations of the sender. The global is the
``lattice`` ``(graphs, 3, 3)``. Edge vectors are functions of positions and lattice, so that both have derivatives.

If symmetry is used, atoms are images of a few representatives, and only these receive edges. Three more node arrays
describe the images: ``image`` ``(nodes,)``, the node of which the atom is an image, ``turn`` ``(nodes, 3, 3)``, the
Cartesian matrix that transforms the representative's tensors to the atom's, and ``parity`` ``(nodes,)``, its
determinant. A shorter fourth array, ``representatives``, lists the nodes that are their own image, in order; a network
may compute these alone.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jaxtyping import Float, Int

from .._arrays import namespace
from ..crystal import element_of
from ..errors import ConventionError, ShapeError
from ..typing import Array, Numbers
from .neighbours import plan_neighbours

# a deuteron has the same electronic environment as a proton
_SAME_ELECTRONS = {"D": "H"}


def structure_graph(
    lattice: Numbers,
    positions: Numbers,
    elements: Sequence[str],
    *,
    cutoff: float,
    species: Sequence[str],
    image: Numbers | None = None,
    turn: Numbers | None = None,
) -> jraph.GraphsTuple:
    """Build the graph of the atoms of a cell (host).

    Args:
        lattice: ``(3, 3)`` cell vectors in rows, Å.
        positions: ``(atoms, 3)`` in Å.
        elements: per atom; charges are ignored.
        cutoff: Å.
        species: the table of elements to which the indices of the graph refer.
        image, turn: representatives and Cartesian matrices of symmetry images, as above; by default every atom
            represents itself.

    Returns:
        One graph of NumPy arrays, with edges sorted by receiver.

    Raises:
        ShapeError, ConventionError: see :func:`plan_neighbours`; an element that is not in the table.
    """
    numbers = species_numbers(elements, species)
    points = np.asarray(positions, dtype=float)
    if points.shape != (len(numbers), 3):
        raise ShapeError(f"positions have the shape {points.shape}; expected ({len(numbers)}, 3), one row per element")
    vectors = np.asarray(lattice, dtype=float)
    centres = None if image is None else np.unique(np.asarray(image))
    pairs = plan_neighbours(vectors, points, cutoff, centres)
    nodes = {"positions": points, "species": numbers}
    if centres is not None:
        turns = np.asarray(turn, dtype=float)
        nodes |= {"image": np.asarray(image, dtype=np.int32), "turn": turns, "parity": np.sign(np.linalg.det(turns))}
        nodes["representatives"] = centres.astype(np.int32)
    return jraph.GraphsTuple(
        nodes=nodes,
        edges={"shifts": pairs.shifts},
        senders=pairs.senders,
        receivers=pairs.receivers,
        globals={"lattice": vectors[None]},
        n_node=np.array([len(numbers)], dtype=np.int32),
        n_edge=np.array([len(pairs.senders)], dtype=np.int32),
    )


def edge_vectors(graph: jraph.GraphsTuple) -> Float[Array, "edges 3"]:
    """Vectors from receiver to sender in Å, traceable; 0 for padding edges."""
    positions = jnp.asarray(graph.nodes["positions"])
    lattices = jnp.asarray(graph.globals["lattice"])
    shifts = jnp.asarray(graph.edges["shifts"]).astype(positions.dtype)
    if len(lattices) == 1:
        offsets = shifts @ lattices[0]
    else:
        total = len(graph.senders)
        owner = jnp.repeat(jnp.arange(len(lattices)), jnp.asarray(graph.n_edge), total_repeat_length=total)
        offsets = jnp.einsum("ei,eij->ej", shifts, lattices[owner])
    return positions[graph.senders] - positions[graph.receivers] + offsets


def neighbour_list_margin(
    graph: jraph.GraphsTuple, reference: jraph.GraphsTuple, cutoff: float, reach: float
) -> Float[Array, ""]:
    """Distance by which the closest unlisted pair must still exceed the cutoff, in Å (traceable).

    A pair that was beyond ``reach`` in the reference is now beyond ``s reach - 2 u``, where s is a lower bound of the
    stretch ratio of the cell in any direction, ``s^2 >= 1 - |F F^T - 1|`` for the deformation F, and u the largest
    displacement of an atom within the cell relative to the common one. Rotations of the whole structure do not matter.

    Args:
        graph, reference: one structure, now and at the time neighbours were listed.
        cutoff, reach: the cutoff of the model and the larger one of the list, Å.

    Returns:
        The margin; while it is positive, no pair within the cutoff is missing. It has no derivative.
    """
    xp = namespace(graph.globals["lattice"], graph.nodes["positions"])
    now, then = (xp.asarray(g.globals["lattice"][0]) for g in (graph, reference))
    deformation = xp.linalg.solve(then, now)
    fractional = lambda g, cell: xp.linalg.solve(cell.T, xp.asarray(g.nodes["positions"]).T).T
    moved = fractional(graph, now) - fractional(reference, then)
    moved = (moved - moved.mean(axis=0)) @ now
    strain = deformation @ deformation.T - xp.eye(3, dtype=now.dtype)
    shrunk = xp.sqrt(xp.maximum(1.0 - xp.sqrt(xp.sum(strain**2)), 0.0))
    farthest = xp.sqrt(xp.max(xp.sum(moved**2, axis=-1)))
    margin = shrunk * reach - 2.0 * farthest - cutoff
    return margin if xp is np else jax.lax.stop_gradient(margin)


def species_numbers(elements: Sequence[str], species: Sequence[str]) -> Int[np.ndarray, " atoms"]:
    """Return indices of elements in a table.

    Raises:
        ConventionError: names the elements that are not in the table.
    """
    plain = [element_of(symbol)[0] for symbol in elements]
    plain = [symbol if symbol in species else _SAME_ELECTRONS.get(symbol, symbol) for symbol in plain]
    unknown = sorted(set(plain) - set(species))
    if unknown:
        raise ConventionError(
            f"the structure contains {', '.join(unknown)}, which this model has never seen; it knows "
            f"{', '.join(species)}: use a model trained on all elements of the structure"
        )
    return np.array([list(species).index(symbol) for symbol in plain], dtype=np.int32)
