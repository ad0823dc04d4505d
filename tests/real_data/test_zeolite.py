"""Zeolite ZSM-12: the framework in C 2/c, its network of bonds, and a distorted structure to find again."""

from pathlib import Path

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import distances, metric, plan_distances, primitive, primitive_basis, select_angles, transformed
from jaxnmr.graph import edge_vectors, plan_graph

pytestmark = pytest.mark.real_data
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SILICA = {("Si", "O"): (1.60, 0.01), ("O", "O"): (2.61, 0.02), ("Si", "Si"): (3.10, 0.05)}


@pytest.fixture
def zeolite(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import zeolite

    return zeolite


@pytest.fixture
def framework(zeolite, data):
    return zeolite.framework(data)


def test_doubling_c_and_lowering_the_symmetry_puts_all_atoms_in_general_positions(framework):
    assert framework.group.name == "C 1 2/c 1"
    assert sorted(framework.elements) == ["O"] * 14 + ["Si"] * 7
    assert [site.multiplicity for site in framework.sites()] == [8] * 21
    assert len(framework.expand().site) == 168 and len(set(framework.labels)) == 21
    free = jn.Objective(jn.Restraint.bonds(framework), crystal=framework).parameters().free("xyz")
    assert free.n_free == 63


def test_every_silicon_has_four_bonds_as_long_as_the_framework_was_optimised_to(framework):
    plan = plan_distances(framework)
    bonds, edges, across = plan.select(SILICA)
    # 4 bonds and 6 edges of each of 7 tetrahedra, one distance across each of 14 oxygens
    assert (len(bonds), len(edges), len(across)) == (28, 42, 14)
    assert (plan.multiplicity == 8).all()
    length = distances(framework, plan.pairs)
    assert 1.60 < length[bonds].min() and length[bonds].max() < 1.615
    np.testing.assert_allclose(length[edges], 1.61 * np.sqrt(8 / 3), atol=0.012)
    assert len(select_angles(framework, [("Si", "O", "Si")])[0][0]) == 14


def test_the_given_cell_and_the_doubled_one_have_the_same_network(framework, data):
    given = jn.read_crystal(data / "openchemistry_crystals" / "zeolites" / "MTW.cif")
    crystals = (given, framework, transformed(framework, np.eye(3), spacegroup="P 1"))
    plans = [plan_distances(crystal) for crystal in crystals]
    for kind in SILICA:
        chosen = [plan.select([kind])[0] for plan in plans]
        number = [p.multiplicity[k].sum() / c.volume() for c, p, k in zip(crystals, plans, chosen, strict=True)]
        total = [
            p.multiplicity[k] @ distances(c, p.pairs[k]) / c.volume()
            for c, p, k in zip(crystals, plans, chosen, strict=True)
        ]
        np.testing.assert_allclose(number, number[0], rtol=1e-12)
        np.testing.assert_allclose(total, total[0], rtol=1e-12)


def test_graphs_and_primitive_cells_hold_half_of_the_atoms(framework):
    plan = plan_graph(framework, cutoff=4.0, species=("O", "Si"))
    assert len(plan.reference.nodes["species"]) == 84 and plan.multiplicity.tolist() == [8] * 21
    small = primitive(framework)
    assert [site.multiplicity for site in small.sites()] == [4] * 21 and small.labels == framework.labels
    assert np.linalg.det(primitive_basis(framework.group, metric(framework.cell))) == pytest.approx(0.5)
    edges = lambda p: np.sort(np.linalg.norm(edge_vectors(p.reference), axis=1))
    again = plan_graph(small, cutoff=4.0, species=("O", "Si"))
    np.testing.assert_allclose(edges(plan), edges(again), atol=1e-9)


def test_a_hidden_structure_is_a_plausible_silica_and_the_same_every_time(zeolite, framework):
    hidden = zeolite.distorted(framework, seed=3)
    again = zeolite.distorted(framework, seed=3)
    np.testing.assert_array_equal(hidden.xyz, again.xyz)
    assert not np.allclose(hidden.xyz, zeolite.distorted(framework, seed=4).xyz, atol=1e-3)
    moved = zeolite.displacements(hidden, framework)
    assert 0.05 < np.sqrt(np.mean(moved**2)) < 0.6
    plan = plan_distances(hidden)
    # the same bonds as the framework
    np.testing.assert_array_equal(plan.multiplicity, plan_distances(framework).multiplicity)
    for chosen, (mean, sigma) in zip(plan.select(SILICA), SILICA.values(), strict=True):
        length = distances(hidden, plan.pairs[chosen])
        assert length.mean() == pytest.approx(mean, abs=sigma)
        assert 0.3 * sigma < length.std() < 2.0 * sigma
