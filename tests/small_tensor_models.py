"""Structures and a small network that tests of tensor models share, so that they also share compiled programs."""

from functools import cache

import jax
import numpy as np

from jaxnmr import Crystal
from jaxnmr.graph import batch_graphs, structure_graph
from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel
from jaxnmr.models.networks.irreps import cartesian

SPECIES = ("O", "Si")
CUTOFF = 3.6
# polar and axial, so that a wrong sign or parity anywhere shows
HIDDEN = "4x0e+2x0o+3x1e+3x1o+3x2e"

# a triclinic cell without symmetry, smaller than the cutoff
LATTICE = np.array([[3.9, 0.0, 0.0], [1.1, 4.1, 0.0], [-0.7, 0.9, 4.6]])
FRACTIONAL = np.array(
    [[0.03, 0.11, 0.07], [0.46, 0.08, 0.21], [0.31, 0.55, 0.62], [0.78, 0.62, 0.41], [0.12, 0.71, 0.9]]
)
ELEMENTS = ("Si", "O", "Si", "O", "O")
POSITIONS = FRACTIONAL @ LATTICE


def quartz() -> Crystal:
    """Alpha quartz, P3_2 21: Si on a twofold axis, O in a general position."""
    return Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120],
        spacegroup="P 32 2 1",
        species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
        name="quartz",
    )


@cache
def config() -> NetworkConfig:
    heads = (HeadConfig(name="shielding", elements=("Si", "O")), HeadConfig(name="efg", elements=("O",)))
    return NetworkConfig(species=SPECIES, heads=heads, hidden=HIDDEN, cutoff=CUTOFF, radial=6, radial_hidden=(8,))


@cache
def model() -> TensorModel:
    """Random parameters in double precision; scales and shifts differ by species and rank."""
    rng = np.random.default_rng(5)
    given = {head.name: rng.uniform(0.5, 2.0, (len(SPECIES), len(head.ranks))) for head in config().heads}
    shift = {"shielding": np.array([[250.0, 0.0, 0.0], [400.0, 0.0, 0.0]])}
    return TensorModel.create(config(), key=jax.random.key(3), scale=given, shift=shift, dtype=np.float64)


def plain_graph(lattice=LATTICE, positions=POSITIONS, elements=ELEMENTS, cutoff=CUTOFF):
    """The graph of all atoms, padded to the one size all tests use."""
    graph = structure_graph(lattice, positions, elements, cutoff=cutoff, species=SPECIES)
    return batch_graphs([graph], n_node=32, n_edge=640, n_graph=3)


components = jax.jit(lambda model, graph: model.components(graph))


def tensors(lattice=LATTICE, positions=POSITIONS, elements=ELEMENTS) -> tuple[np.ndarray, np.ndarray]:
    """Shieldings and field gradients of all atoms of a cell, each ``(atoms, 3, 3)``."""
    out = components(model(), plain_graph(lattice, positions, elements))
    n = len(elements)
    return tuple(np.asarray(cartesian(out[h.name][:n], h.irreps)) for h in config().heads)
