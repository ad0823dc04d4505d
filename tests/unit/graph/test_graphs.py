"""Graphs of structures: edge vectors, symmetry images, the skin, padding."""

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, SPECIES, plain_graph, quartz

from jaxnmr import Crystal
from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.graph import (
    batch_graphs,
    bucket,
    build_graph,
    edge_vectors,
    pad_graph,
    plan_graph,
    plan_neighbours,
    structure_graph,
)

CUTOFF, SKIN = 3.0, 0.4


def plan(crystal=None):
    return plan_graph(crystal or quartz(), cutoff=CUTOFF, skin=SKIN, species=SPECIES)


def test_edge_vectors_are_those_of_the_neighbour_search():
    graph = structure_graph(LATTICE, POSITIONS, ELEMENTS, cutoff=4.0, species=SPECIES)
    pairs = plan_neighbours(LATTICE, POSITIONS, 4.0)
    np.testing.assert_allclose(edge_vectors(graph), pairs.vectors(LATTICE, POSITIONS), atol=1e-14)


def test_edge_vectors_move_with_positions_and_stretch_with_the_cell():
    graph = structure_graph(LATTICE, POSITIONS, ELEMENTS, cutoff=4.0, species=SPECIES)

    def lengths(lattice):
        nodes = graph.nodes | {"positions": jnp.linalg.solve(LATTICE.T, POSITIONS.T).T @ lattice}
        return jnp.linalg.norm(edge_vectors(graph._replace(nodes=nodes, globals={"lattice": lattice[None]})), axis=1)

    # a cell 1 % larger in all directions has edges 1 % longer
    _, change = jax.jvp(lengths, (jnp.asarray(LATTICE),), (jnp.asarray(LATTICE),))
    np.testing.assert_allclose(change, lengths(jnp.asarray(LATTICE)), rtol=1e-12)


def test_padding_edges_have_length_zero_and_join_padding_nodes():
    padded = plain_graph()
    mask = np.asarray(jraph.get_edge_padding_mask(padded))
    vectors = np.asarray(edge_vectors(padded))
    np.testing.assert_array_equal(vectors[~mask], 0.0)
    assert (np.linalg.norm(vectors[mask], axis=1) > 0.5).all()
    assert (padded.receivers[~mask] >= len(ELEMENTS)).all() and (np.diff(padded.receivers) >= 0).all()


def test_graphs_side_by_side_keep_their_own_cells():
    one = structure_graph(LATTICE, POSITIONS, ELEMENTS, cutoff=3.0, species=SPECIES)
    two = structure_graph(1.1 * LATTICE, 1.1 * POSITIONS, ELEMENTS, cutoff=3.3, species=SPECIES)
    both = batch_graphs([one, two])
    vectors, edges = np.asarray(edge_vectors(both)), len(one.senders)
    np.testing.assert_allclose(vectors[:edges], edge_vectors(one), atol=1e-14)
    np.testing.assert_allclose(vectors[edges : 2 * edges], 1.1 * np.asarray(edge_vectors(one)), atol=1e-13)


def test_symmetry_images_are_counted_on_when_graphs_are_joined():
    reference = plan().reference
    both = batch_graphs([reference, reference])
    n = len(reference.nodes["species"])
    np.testing.assert_array_equal(both.nodes["image"][n : 2 * n], reference.nodes["image"] + n)


def test_the_graph_of_a_crystal_has_every_atom_once_and_edges_at_its_sites():
    made = plan()
    assert made.multiplicity.tolist() == [3, 6] and len(made.reference.nodes["species"]) == 9
    assert set(made.reference.receivers) == set(made.sites)
    full = build_graph(quartz(), cutoff=CUTOFF, skin=SKIN)
    mine = np.sort(np.linalg.norm(edge_vectors(made.reference), axis=1))
    theirs = np.linalg.norm(edge_vectors(full), axis=1)[np.isin(full.receivers, made.sites)]
    np.testing.assert_allclose(mine, np.sort(theirs), atol=1e-12)


def test_operations_of_a_hexagonal_cell_are_orthogonal_and_lead_from_site_to_atom():
    made = plan()
    nodes = made.graph(quartz()).nodes
    turn, positions = np.asarray(nodes["turn"]), np.asarray(nodes["positions"])
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), nodes["parity"], atol=1e-12)
    np.testing.assert_allclose(turn[made.sites], np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-12)
    # the bond vectors of an atom are those of its site, turned
    pairs = plan_neighbours(made.reference.globals["lattice"][0], positions, 1.8)
    bonds = pairs.vectors(made.reference.globals["lattice"][0], positions)
    order = lambda v: v[np.lexsort(np.round(v, 6).T)]
    for atom, home in enumerate(nodes["image"]):
        theirs = bonds[pairs.receivers == home] @ turn[atom].T
        np.testing.assert_allclose(order(bonds[pairs.receivers == atom]), order(theirs), atol=1e-9)


def test_the_margin_is_the_skin_at_first_and_is_not_used_up_by_a_common_displacement():
    crystal = Crystal.create(
        cell=[4.1, 5.2, 6.3, 80, 95, 105], spacegroup="P 1", species=["Si", "O"], xyz=[[0, 0, 0], [0.4, 0.2, 0]]
    )
    made = plan(crystal)
    assert float(made.margin(crystal)) == pytest.approx(SKIN, abs=1e-12)
    moved = crystal.replace(xyz=crystal.xyz + np.array([0.3, -0.2, 0.1]))
    assert float(made.margin(moved)) == pytest.approx(SKIN, abs=1e-12)


def test_while_the_margin_is_positive_no_neighbour_is_missing():
    rng = np.random.default_rng(7)
    crystal = quartz()
    made, outcomes = plan(), []
    for size in (0.005, 0.01, 0.02, 0.04, 0.08):
        cell = crystal.cell * (1 - size * rng.uniform(0, 1)) * np.array([1, 1, 1 - size, 1, 1, 1])
        site = crystal.xyz + np.array([[size, 0, 0], [0, 0, 0]]) * rng.choice([-1, 1]) / 3
        moved = crystal.replace(cell=cell, xyz=site + size * rng.uniform(-0.5, 0.5, (2, 3)) * np.array([[0], [1]]))
        graph = made.graph(moved)
        now = plan_neighbours(graph.globals["lattice"][0], graph.nodes["positions"], CUTOFF, made.sites)
        listed = np.column_stack([made.reference.receivers, made.reference.senders, made.reference.edges["shifts"]])
        missing = set(map(tuple, np.column_stack([now.receivers, now.senders, now.shifts]))) - set(map(tuple, listed))
        outcomes.append(float(jax.jit(lambda p, c: p.margin(c))(made, moved)) > 0)
        assert not (outcomes[-1] and missing)
    assert outcomes[0] and not outcomes[-1]


def test_a_shrinking_cell_uses_up_the_skin():
    crystal = Crystal.create(cell=[4, 4, 4, 90, 90, 90], spacegroup="P 1", species=["Si"], xyz=[[0, 0, 0]])
    made = plan(crystal)
    for factor, enough in ((0.95, True), (CUTOFF / (CUTOFF + SKIN) - 0.01, False)):
        cell = crystal.cell * np.array([factor, 1, 1, 1, 1, 1])
        assert bool(made.margin(crystal.replace(cell=cell)) > 0) == enough
    assert float(made.renewed(crystal.replace(cell=cell)).margin(crystal.replace(cell=cell))) == pytest.approx(SKIN)


def test_sizes_grow_by_quarters():
    sizes = sorted({bucket(n) for n in range(1, 3000)})
    assert sizes[0] == 16 and all(bucket(s) == s and bucket(s - 1) <= s for s in sizes)
    growth = np.array(sizes[1:]) / np.array(sizes[:-1])
    assert growth.max() <= 1.5 and growth[-5:].max() < 1.26
    assert pad_graph(build_graph(quartz(), cutoff=2.0)).nodes["species"].shape == (16,)


def test_structures_a_model_cannot_describe_are_refused():
    crystal = quartz()
    with pytest.raises(ConventionError, match=r"contains Si, which this model has never seen; it knows O, Al"):
        plan_graph(crystal, cutoff=3.0, species=("O", "Al"))
    with pytest.raises(ConventionError, match=r"O1 has the occupancy 0.5"):
        plan_graph(crystal.replace(occupancy=np.array([1.0, 0.5])), cutoff=3.0, species=SPECIES)
    with pytest.raises(ConventionError, match="skin"):
        plan_graph(crystal, cutoff=3.0, skin=-1.0, species=SPECIES)
    with pytest.raises(ConventionError, match="apart"):
        build_graph(crystal.replace(xyz=np.array([[0.4697, 0, 2 / 3], [0.47, 0.0, 0.66]])), cutoff=3.0)
    with pytest.raises(ShapeError, match="one row per element"):
        structure_graph(LATTICE, POSITIONS, ELEMENTS[:-1], cutoff=3.0, species=SPECIES)


def test_graphs_that_do_not_fit_their_padding_are_refused():
    graph = build_graph(quartz(), cutoff=2.0)
    for sizes in ({"n_node": 9}, {"n_edge": 3}, {"n_graph": 1}):
        with pytest.raises(ShapeError, match="do not fit"):
            batch_graphs([graph], **sizes)
    with pytest.raises(ShapeError, match="no graph"):
        batch_graphs([])


def test_deuterium_counts_as_hydrogen():
    graph = structure_graph(LATTICE, POSITIONS[:2], ["D", "O"], cutoff=3.0, species=("H", "O"))
    assert graph.nodes["species"].tolist() == [0, 1]
