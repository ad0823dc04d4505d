"""Restraints of whole kinds of distances and angles: what they contain, and what counts as one observation."""

import numpy as np
import pytest
from small_problems import monoclinic, rutile, trigonal
from small_tensor_models import quartz

import jaxnmr as jn
from jaxnmr.crystal import angles, distances, measure_distances, select_angles, transformed
from jaxnmr.errors import ParameterError

SILICA = {("Si", "O"): (1.60, 0.01), ("O", "O"): (2.61, 0.02), ("Si", "Si"): (3.10, 0.05)}


def chi_squared(crystal, make) -> float:
    restraint = make(crystal)
    value = (distances if restraint.kind == "bond" else angles)(crystal, restraint.atoms)
    return float(np.sum(((value - restraint.target) / restraint.sigma) ** 2))


def test_every_distance_has_the_mean_and_spread_of_its_kind():
    crystal = quartz()
    restraint = jn.Restraint.distances(crystal, SILICA)
    np.testing.assert_array_equal(restraint.target, [1.60] * 2 + [2.61] * 4 + [3.10])
    np.testing.assert_array_equal(restraint.sigma, [0.01] * 2 + [0.02] * 4 + [0.05])
    objective = jn.Objective(restraint, crystal=crystal)
    residuals = objective.residuals(objective.parameters())
    np.testing.assert_allclose(residuals, (distances(crystal, restraint.atoms) - restraint.target) / restraint.sigma)


def test_every_angle_has_the_mean_and_spread_of_its_kind():
    crystal, expected = quartz(), {("Si", "O", "Si"): (144.0, 3.0), ("O", "Si", "O"): (109.47, 1.5)}
    restraint = jn.Restraint.angles(crystal, expected)
    np.testing.assert_array_equal(restraint.target, [144.0] + [109.47] * 4)
    objective = jn.Objective(restraint, crystal=crystal)
    residuals = objective.residuals(objective.parameters())
    np.testing.assert_allclose(residuals[0], (select_value(crystal) - 144.0) / 3.0)
    assert len(residuals) == 5


def select_value(crystal):
    return angles(crystal, select_angles(crystal, [("Si", "O", "Si")])[0][0])[0]


def test_measured_spreads_are_expectations():
    known = [quartz(), quartz().replace(cell=quartz().cell * np.array([1.01, 1.01, 1.01, 1, 1, 1]))]
    measured = measure_distances(known, SILICA)
    restraint = jn.Restraint.distances(quartz(), measured)
    np.testing.assert_allclose(restraint.target[-1], measured["Si", "Si"].mean)
    np.testing.assert_allclose(restraint.sigma[0], measured["Si", "O"].sigma)


MAKERS = {
    "distances": lambda count: lambda c: jn.Restraint.distances(c, SILICA, count=count),
    "angles": lambda count: (
        lambda c: jn.Restraint.angles(c, {("O", "Si", "O"): (108, 2), ("Si", "O", "Si"): (140, 5)}, count=count)
    ),
    "bonds": lambda count: lambda c: jn.Restraint.bonds(c, target={("Si", "O"): 1.6}, sigma=0.01, count=count),
}


TWOFOLD_AXIS = ((1, 2, 0), (-1, 0, 0), (0, 0, 1)), "C 1 2 1", (0, 0, 2 / 3)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_counted_by_cell_chi_squared_is_the_same_in_the_space_group_a_subgroup_and_p1(make):
    expected = chi_squared(quartz(), make("cell"))
    assert expected > 1.0
    for matrix, group, origin in ((np.eye(3), "P 32", (0, 0, 0)), (np.eye(3), "P 1", (0, 0, 0)), TWOFOLD_AXIS):
        other = transformed(quartz(), matrix, spacegroup=group, origin=origin)
        cells = other.volume() / quartz().volume()
        assert chi_squared(other, make("cell")) == pytest.approx(cells * expected, rel=1e-9)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_a_distance_counts_once_or_as_often_as_it_occurs(make):
    once, often = make("distinct")(quartz()), make("cell")(quartz())
    np.testing.assert_array_equal(once.atoms, often.atoms)
    everything = make("distinct")(transformed(quartz(), np.eye(3), spacegroup="P 1"))
    assert np.sum((once.sigma / often.sigma) ** 2) == pytest.approx(len(everything.target))


def test_in_general_positions_p1_has_as_many_more_observations_as_parameters():
    crystal = monoclinic()
    make = lambda c: jn.Restraint.bonds(c, target={("S", "O"): 1.5}, sigma=0.1, cutoffs={("S", "O"): 2.9})
    free = transformed(crystal, np.eye(3), spacegroup="P 1")
    assert len(make(free).target) == 4 * len(make(crystal).target) and free.n_sites == 4 * crystal.n_sites
    assert chi_squared(free, make) == pytest.approx(4 * chi_squared(crystal, make))


def test_bonds_and_kinds_agree():
    crystal = rutile()
    one = jn.Restraint.bonds(crystal, target={("Ti", "O"): 1.95}, sigma=0.02)
    two = jn.Restraint.distances(crystal, {("O", "Ti"): (1.95, 0.02)})
    np.testing.assert_array_equal(one.atoms, two.atoms)
    assert chi_squared(crystal, lambda c: one) == chi_squared(crystal, lambda c: two)


def test_what_does_not_occur_is_refused():
    with pytest.raises(ParameterError, match="trigonal has no distances of the kind Si-O; there are"):
        jn.Restraint.distances(trigonal(), {("Si", "O"): (1.6, 0.01)})
    with pytest.raises(ParameterError, match="no angles of the kind O-Si-O"):
        jn.Restraint.angles(trigonal(), {("O", "Si", "O"): (109.5, 1.0)})
    with pytest.raises(ParameterError, match="expects nothing"):
        jn.Restraint.distances(quartz(), {})
    with pytest.raises(ParameterError, match="expected a positive number"):
        jn.Restraint.distances(quartz(), {("Si", "O"): (1.6, 0.0)})
    with pytest.raises(ParameterError, match=r"expected\[\('Si', 'O'\)\] is 1\.6; expected a list of number"):
        jn.Restraint.distances(quartz(), {("Si", "O"): 1.6})
    with pytest.raises(ParameterError, match="expected 'distinct' or 'cell'"):
        jn.Restraint.distances(quartz(), SILICA, count="all")
