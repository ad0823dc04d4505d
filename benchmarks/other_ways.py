"""The derivatives of ``bench_zeolite.py`` without jaxnmr's structure, to see what that is worth.

All ways give the derivatives of the 29Si tensors (six elements each) and of the restrained distances by the coordinates of
all sites. The scheme of nmrcryspy is OUR re-enactment with our own network: for every evaluation the model is read and the
graph of all atoms of the cell made anew, automatic differentiation goes backward once per element, and derivatives of
distances are differences. Once operation by operation, as programs without a compiler work (jax is slower at that than
others), and once with compiled passes, which flatters the scheme.
"""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import clock

from jaxnmr.crystal import distances, plan_expansion
from jaxnmr.graph import structure_graph
from jaxnmr.models import TensorModel
from jaxnmr.models.networks.irreps import cartesian

# columns at once, where all of them would not fit in the memory
BATCH = 8
STEP = 1e-5


def steps(objective, sites) -> dict[str, tuple[float, np.ndarray]]:
    """By way, milliseconds of the second evaluation (the first compiles), and the derivatives ``(numbers, sites, 3)``.

    Args:
        objective: one model, one crystal, and a restraint as its last term.
        sites: numbers of those with tensors.
    """
    (crystal,) = objective.crystals.values()
    model, pairs = objective.sources[0].model, objective.terms[-1].atoms
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = model.save(Path(folder) / "model.safetensors")
        ways = {
            "as nmrcryspy, re-enacted, operation by operation": re_enacted(
                saved, crystal, pairs, sites, compiled=False
            ),
            "as nmrcryspy, re-enacted, compiled": re_enacted(saved, crystal, pairs, sites, compiled=True),
            "jax.jacfwd, all coordinates of all atoms": all_coordinates(model, crystal, pairs, sites),
            "jax.jacfwd, coordinates of the sites": coordinates_of_sites(model, crystal, pairs, sites),
        }
        for name, way in ways.items():
            way()
            began = clock()
            found = way()
            out[name] = 1e3 * (clock() - began), found
    return out


def re_enacted(path: Path, crystal, pairs, sites, *, compiled: bool):
    """Everything anew, backward once per element; a function without arguments."""
    forward = lambda model, graph, at, x: jax.vjp(lambda x: elements(model, graph, at, x), x)
    backward = lambda pull, row: pull(row)[0]
    if compiled:
        forward, backward = jax.jit(forward), jax.jit(backward)

    def step():
        model = TensorModel.load(path)
        graph, at, chain = all_atoms(model, crystal, sites)
        values, pull = forward(model, graph, at, jnp.asarray(graph.nodes["positions"]))
        rows = [np.asarray(backward(pull, row)) for row in jnp.eye(values.size, dtype=values.dtype)]
        tensors = np.einsum("naj,ajsk->nsk", np.stack(rows), chain)
        return np.concatenate([tensors, differences(crystal, pairs)])

    return step


def differences(crystal, pairs) -> np.ndarray:
    """Derivatives of distances by central differences, coordinate by coordinate."""
    xyz = np.asarray(crystal.xyz, dtype=float)
    at = lambda moved: np.asarray(distances(crystal.replace(xyz=moved), pairs))
    out = np.empty((len(pairs), *xyz.shape))
    for site, k in np.ndindex(*xyz.shape):
        move = np.zeros_like(xyz)
        move[site, k] = STEP
        out[:, site, k] = (at(xyz + move) - at(xyz - move)) / (2 * STEP)
    return out


def all_coordinates(model, crystal, pairs, sites):
    """Forward along every Cartesian coordinate of every atom of the cell, in batches, then the symmetry."""
    graph, at, chain = all_atoms(model, crystal, sites)
    start = jnp.asarray(graph.nodes["positions"])

    @jax.jit
    def jacobian(model, x):
        one = lambda tangent: jax.jvp(lambda x: elements(model, graph, at, x), (x,), (tangent,))[1]
        columns = jnp.eye(x.size, dtype=x.dtype).reshape(-1, *x.shape)
        return jax.lax.map(one, columns, batch_size=BATCH)

    def step():
        columns = np.asarray(jacobian(model, start))
        tensors = np.einsum("ajn,ajsk->nsk", columns.reshape(*start.shape, -1), chain)
        return np.concatenate([tensors, np.asarray(slopes(crystal, pairs))])

    return step


def coordinates_of_sites(model, crystal, pairs, sites):
    """``jax.jacfwd`` along the coordinates of the sites, with the images made by symmetry, all columns at once."""
    plan = model.plan(crystal)

    @jax.jit
    def jacobian(model, xyz):
        def at(xyz):
            tensors = model.tensors(crystal.replace(xyz=xyz), plan)["shielding"][np.asarray(sites)]
            return six(tensors)

        return jax.jacfwd(at)(xyz)

    def step():
        tensors = np.asarray(jacobian(model, jnp.asarray(crystal.xyz)))
        return np.concatenate([tensors, np.asarray(slopes(crystal, pairs))])

    return step


@jax.jit
def slopes(crystal, pairs):
    """Exact derivatives of distances."""
    return jax.jacfwd(lambda xyz: distances(crystal.replace(xyz=xyz), pairs))(jnp.asarray(crystal.xyz))


def all_atoms(model, crystal, sites):
    """The graph of the conventional cell, nodes of the sites, and what their coordinates do to all atoms."""
    expansion = plan_expansion(crystal)
    cell = expansion.cell_of(crystal)
    lattice = np.asarray(cell.lattice)
    graph = structure_graph(
        lattice, np.asarray(cell.fractional) @ lattice, expansion.species, cutoff=model.config.cutoff,
        species=model.config.species,
    )  # fmt: skip
    atoms = np.asarray(expansion.atoms)
    chain = np.zeros((len(atoms), 3, crystal.n_sites, 3))
    turned = np.einsum("aik,ij->ajk", np.asarray(crystal.group.rotations, dtype=float)[atoms[:, 1]], lattice)
    chain[np.arange(len(atoms)), :, atoms[:, 0], :] = turned
    return graph, jnp.asarray(expansion.asymmetric[np.asarray(sites)]), chain


def elements(model, graph, at, positions):
    """Six elements of the tensors of some nodes, in a row."""
    components = model.components(graph._replace(nodes=graph.nodes | {"positions": positions}))["shielding"]
    return six(cartesian(components[at], model.config.head("shielding").irreps))


def six(tensors):
    """Elements of the symmetric part of tensors ``(sites, 3, 3)``, one after the other."""
    tensors = 0.5 * (tensors + jnp.swapaxes(tensors, 1, 2))
    i, j = np.triu_indices(3)
    return tensors[:, i, j].ravel()
