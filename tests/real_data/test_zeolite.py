"""Zeolite ZSM-12: the framework in C 2/c, its network of bonds, and distorted structures that are found again."""

from pathlib import Path

import jax
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import distances, metric, plan_distances, primitive, primitive_basis, select_angles, transformed
from jaxnmr.graph import edge_vectors, plan_graph
from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel
from jaxnmr.models.networks.irreps import tensor_basis
from jaxnmr.objective.objective import residuals

pytestmark = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore:.*no displacement of all sites")]
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


def test_a_structure_moved_by_half_of_c_is_the_same_structure(zeolite, framework):
    hidden = zeolite.distorted(framework, seed=3, free=("xyz",))
    np.testing.assert_array_equal(hidden.cell, framework.cell)
    other = zeolite.equivalent(hidden, framework)
    assert zeolite.displacements(other, hidden).max() > 0.05
    np.testing.assert_allclose(zeolite.equivalent(other, framework).xyz, hidden.xyz, atol=1e-12)
    np.testing.assert_allclose(zeolite.displacements(zeolite.equivalent(framework, framework), framework), 0, atol=1e-9)
    plan = plan_distances(framework)
    for kind in plan.select(SILICA):
        one, two = (np.sort(distances(crystal, plan.pairs[kind])) for crystal in (hidden, other))
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_tensors_and_distances_lead_back_to_the_structure_they_belong_to(zeolite, framework):
    hidden = zeolite.distorted(framework, seed=3, free=("xyz",))
    head = HeadConfig(name="shielding", irreps="1x0e+1x2e", elements=("Si",))
    config = NetworkConfig(
        species=("O", "Si"), heads=(head,), hidden="4x0e+3x1o+3x2e", layers=1, cutoff=3.6, radial=6, radial_hidden=(8,)
    )
    scale = {"shielding": np.full((2, 2), 2000.0)}
    network = TensorModel.create(config, key=jax.random.key(3), scale=scale, dtype=np.float64)
    blank = jn.TensorTerm("29Si", np.zeros((7, 3, 3)), sigma=1.0, reference=jn.ShiftReference(0.0, 1.0), name="nmr")
    known = jn.Restraint.distances(framework, SILICA)
    known = known.replace(target=distances(hidden, known.atoms), sigma=np.full(len(known.atoms), 0.01))
    # with nothing observed and unit uncertainty the residuals are what is calculated
    params = (objective := jn.Objective(blank + known, crystal=hidden, models=network)).parameters().free("xyz")
    prepared, spec = objective.bind(params), params.spec
    shielding = residuals(spec.layout, prepared, params.offset(), spec.transform, params.theta)[:42].reshape(7, 6)
    # principal directions matter, not only traces
    assert 1.0 < np.std(shielding[:, 3:]) < 100.0 and 1.0 < np.ptp(shielding[:, :3]) < 1000.0

    start = zeolite.shaken(hidden, np.random.default_rng(1), 0.02)
    objective = jn.Objective(blank.replace(observed=shielding) + known, crystal=start, models=network)
    fit = jn.refine(objective, objective.parameters().free("xyz"), suggest=False)
    assert fit.parameters.n_free == 63 and fit.n_observations == 42
    assert zeolite.displacements(start, hidden).max() > 0.04
    np.testing.assert_allclose(zeolite.displacements(fit.crystal, hidden), 0.0, atol=1e-4)
    assert all(atom.shares["nmr"] > 0.01 for atom in fit.information.atoms)


def test_drawn_errors_of_a_model_have_its_uncertainty_in_every_component(zeolite):
    import zeolite_data

    sigma = np.broadcast_to([2.0, 0.5], (4000, 2))
    drawn = zeolite_data.errors(sigma, np.random.default_rng(0))
    basis = tensor_basis()
    spread = np.einsum("sij,kij->sk", drawn, basis).std(axis=0)
    np.testing.assert_allclose(spread[0], 2.0, rtol=0.05)
    np.testing.assert_allclose(spread[1:4], 0.0, atol=1e-12)
    np.testing.assert_allclose(spread[4:], 0.5, rtol=0.05)
