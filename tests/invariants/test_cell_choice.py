"""The tensors a network finds do not depend on how a crystal is described: centred, primitive, as a supercell, in P1."""

from functools import cache

import numpy as np
import pytest
from small_tensor_models import model

from jaxnmr import Crystal
from jaxnmr.crystal import lattice, metric, primitive, primitive_basis, transformed


@cache
def centred() -> Crystal:
    """Twelve atoms in general position of C c; six in a primitive cell."""
    return Crystal.create(
        cell=[6.1, 5.4, 5.0, 90, 104, 90], spacegroup="C 1 c 1", species=["Si", "O", "O"], name="centred",
        xyz=[[0.12, 0.21, 0.1], [0.31, 0.05, 0.27], [0.17, 0.48, 0.02]],
    )  # fmt: skip


@cache
def tensors(crystal: Crystal) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model().predict(crystal).tensors.items()}


BASIS = primitive_basis(centred().group, metric(centred().cell))
DESCRIPTIONS = {
    "primitive": (primitive(centred()), BASIS),
    "with other axes": (transformed(centred(), ((1, 0, 0), (0, 1, 0), (1, 0, 1))), ((1, 0, 0), (0, 1, 0), (1, 0, 1))),
    "as a supercell": (transformed(centred(), np.diag([1, 1, 2])), np.diag([1, 1, 2])),
    "in a subgroup": (transformed(centred(), np.eye(3), spacegroup="P 1 c 1"), np.eye(3)),
    "without symmetry": (transformed(centred(), np.eye(3), spacegroup="P 1"), np.eye(3)),
    "without symmetry, primitive": (transformed(centred(), BASIS, spacegroup="P 1"), BASIS),
}


@pytest.mark.parametrize("new, matrix", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_the_tensors_are_those_of_the_centred_cell(new, matrix):
    # a crystal puts a along x, so that another cell is turned in space
    turn = np.linalg.solve(matrix @ lattice(centred().cell), lattice(new.cell))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    chosen = [new.labels.index(label) for label in centred().labels]
    for name, expected in tensors(centred()).items():
        found = tensors(new)[name][chosen]
        kept = np.isfinite(expected[:, 0, 0])  # elements that the head was trained on
        assert kept.any() and np.abs(expected[kept]).max() > 0.1
        np.testing.assert_allclose(found[kept], (turn.T @ expected @ turn)[kept], rtol=0, atol=1e-10)


def test_a_graph_holds_one_atom_per_primitive_cell():
    plan = model().plan(centred())
    assert len(plan.reference.nodes["species"]) == 6 and plan.multiplicity.tolist() == [4, 4, 4]
    assert abs(np.linalg.det(plan.graph(centred()).globals["lattice"][0])) == pytest.approx(centred().volume() / 2)


def test_the_primitive_lattice_follows_the_cell():
    crystal = centred()
    larger = crystal.replace(cell=crystal.cell * np.array([1.01, 1.02, 0.99, 1, 1.01, 1]))
    graph, anew = model().plan(crystal).graph(larger), model().plan(larger).reference
    np.testing.assert_allclose(graph.globals["lattice"], anew.globals["lattice"], atol=1e-12)
    np.testing.assert_allclose(graph.nodes["turn"], anew.nodes["turn"], atol=1e-12)
    assert float(model().plan(crystal).margin(larger)) < float(model().plan(crystal).margin(crystal))
