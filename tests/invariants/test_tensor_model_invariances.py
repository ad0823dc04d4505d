"""What a tensor model must not depend on, and what it must follow exactly; random parameters, double precision."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_models import (
    CUTOFF,
    ELEMENTS,
    LATTICE,
    POSITIONS,
    SPECIES,
    components,
    config,
    model,
    plain_graph,
    quartz,
    tensors,
)

from jaxnmr import Crystal
from jaxnmr.graph import batch_graphs, structure_graph
from jaxnmr.models.networks.irreps import cartesian

PROPER = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()


def close(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * np.abs(expected[0]).max())


def test_the_tensors_have_all_their_parts():
    shielding, efg = tensors()
    part = 0.5 * (shielding - shielding.swapaxes(1, 2))
    assert (np.abs(part).max(axis=(1, 2)) > 1e-4).all()
    anisotropic = shielding - np.trace(shielding, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3) - part
    assert (np.abs(anisotropic).max(axis=(1, 2)) > 1e-2).all()
    assert (np.abs(efg).max(axis=(1, 2)) > 1e-3).all()
    np.testing.assert_allclose(efg, efg.swapaxes(1, 2), atol=1e-15)
    np.testing.assert_allclose(np.trace(efg, axis1=1, axis2=2), 0.0, atol=1e-15)


@pytest.mark.parametrize("operation", [PROPER, -np.eye(3), -PROPER, np.diag([1.0, -1.0, 1.0])])
def test_tensors_turn_and_reflect_with_the_structure(operation):
    expected = [operation @ t @ operation.T for t in tensors()]
    close(tensors(LATTICE @ operation.T, POSITIONS @ operation.T), expected)


def test_tensors_do_not_know_where_the_origin_is_or_in_which_cell_an_atom_was_listed():
    cells = np.array([[0, 0, 0], [1, -2, 0], [0, 0, 3], [-1, 0, 0], [2, 2, 2]])
    close(tensors(positions=POSITIONS + np.array([1.3, -20.0, 0.4]) + cells @ LATTICE), tensors())


def test_tensors_follow_the_order_of_atoms():
    order = np.array([3, 0, 4, 2, 1])
    swapped = tensors(positions=POSITIONS[order], elements=[ELEMENTS[k] for k in order])
    close(swapped, [t[order] for t in tensors()])


@pytest.mark.parametrize("matrix", [np.diag([2, 1, 1]), np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]])])
def test_a_supercell_has_the_tensors_of_its_cell(matrix):
    lattice = matrix @ LATTICE
    cells = np.array([[0, 0, 0], [1, 0, 0]])
    positions = np.concatenate([POSITIONS + c @ LATTICE for c in cells])
    close(tensors(lattice, positions, ELEMENTS * 2), [np.concatenate([t, t]) for t in tensors()])


def test_another_choice_of_cell_vectors_changes_nothing():
    close(tensors(np.array([[1, 0, 0], [3, 1, 0], [-1, 2, 1]]) @ LATTICE), tensors())


def test_padding_has_no_influence():
    graph = structure_graph(LATTICE, POSITIONS, ELEMENTS, cutoff=CUTOFF, species=SPECIES)
    padded, bare = components(model(), plain_graph()), components(model(), graph)
    for name in bare:
        np.testing.assert_allclose(padded[name][: len(ELEMENTS)], bare[name], rtol=0, atol=1e-12)


def test_neighbours_in_a_batch_do_not_see_each_other():
    near = structure_graph(LATTICE, POSITIONS, ELEMENTS, cutoff=CUTOFF, species=SPECIES)
    other = structure_graph(1.1 * LATTICE, 1.1 * POSITIONS, ELEMENTS, cutoff=CUTOFF, species=SPECIES)
    both = components(model(), batch_graphs([other, near], n_node=32, n_edge=640, n_graph=3))
    n = len(ELEMENTS)
    mine = [np.asarray(cartesian(both[h.name][n : 2 * n], h.irreps)) for h in config().heads]
    close(mine, tensors())


def atoms_of(crystal: Crystal):
    cell = crystal.expand()
    lattice = np.asarray(cell.lattice)
    return lattice, np.asarray(cell.fractional) @ lattice, [s.rstrip("0123456789+-") for s in cell.species]


RHOMBOHEDRAL = dict(cell=[4.2, 4.2, 4.2, 75, 75, 75], spacegroup="R 3 c:R")
CRYSTALS = {
    "quartz": quartz(),
    # axes that are neither along nor across the cell vectors, and a centring
    "rhombohedral": Crystal.create(species=["Si", "O"], xyz=[[0.0, 0.0, 0.0], [0.21, 0.48, 0.77]], **RHOMBOHEDRAL),
    "centred": Crystal.create(
        cell=[6.1, 5.2, 4.6, 90, 104, 90],
        spacegroup="C 1 2/m 1",
        species=["Si", "O"],
        xyz=[[0.1, 0, 0.3], [0.35, 0, 0.2]],
    ),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_crystal_has_the_tensors_of_all_its_atoms_without_symmetry(name):
    crystal = CRYSTALS[name]
    found = model().predict(crystal)
    lattice, positions, elements = atoms_of(crystal)
    expected = tensors(lattice, positions, elements)
    # of a centred cell the prediction lists one primitive cell: whose atom is which of the conventional one?
    primitive = np.asarray(found.lattice)
    apart = (np.asarray(found.positions)[:, None] - positions) @ np.linalg.inv(primitive)
    same = np.linalg.norm((apart - np.round(apart)) @ primitive, axis=2) < 1e-9
    assert (same.sum(axis=1) * len(same) == len(positions)).all()
    atoms = same.argmax(axis=1)
    close([found.of_atoms("shielding")], [expected[0][atoms]])
    oxygen = np.array([elements[k] == "O" for k in atoms])
    np.testing.assert_allclose(found.of_atoms("efg")[oxygen], expected[1][atoms][oxygen], atol=1e-12)


def test_equivalent_atoms_of_a_plain_cell_agree_to_rounding():
    lattice, positions, elements = atoms_of(quartz())
    shielding, efg = tensors(lattice, positions, elements)
    for tensor in (shielding, efg):
        values = np.linalg.eigvalsh(0.5 * (tensor + tensor.swapaxes(1, 2)))
        for start, stop in ((0, 3), (3, 9)):
            assert np.ptp(values[start:stop], axis=0).max() < 1e-12 * np.abs(shielding).max()


def test_a_site_on_a_twofold_axis_has_a_tensor_with_that_axis():
    tensor = np.asarray(model().predict(quartz()).shielding_ppm[0])
    # Si of quartz sits on the axis along a, which is x
    turn = np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(turn @ tensor @ turn.T, tensor, atol=1e-11)
    assert abs(tensor[1, 2]) > 1e-4


def test_an_atom_at_the_cutoff_comes_and_goes_smoothly():
    box = 30.0 * np.eye(3)
    start = np.array([[0.0, 0, 0], [1.7, 0.0, 0.0], [1.7, CUTOFF, 0.0]])
    graph = structure_graph(box, start, ("Si", "O", "O"), cutoff=1.2 * CUTOFF, species=SPECIES)
    graph = batch_graphs([graph], n_node=32, n_edge=640, n_graph=3)

    def first(distance):
        positions = np.array(graph.nodes["positions"])
        positions[2, 1] = distance
        values = components(model(), graph._replace(nodes=graph.nodes | {"positions": positions}))
        return np.concatenate([np.ravel(v[:2]) for v in values.values()])

    apart = first(1.1 * CUTOFF)
    np.testing.assert_array_equal(first(CUTOFF + 1e-9), apart)
    distances = CUTOFF * np.array([0.02, 0.01, 0.005])
    size = np.array([np.abs(first(CUTOFF - d) - apart).max() for d in distances])
    assert size[0] > 1e-6
    # the third power of the distance to the cutoff, or higher: value, slope and curvature are continuous
    assert (np.diff(np.log(size)) / np.diff(np.log(distances)) > 2.8).all()
