"""Sums that are kept exactly and values that follow several others."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.objective import cell_atoms, cell_charge
from jaxnmr.objective.parameters import Parameters
from jaxnmr.typing import Quantity

SITE = {"p[a]": 1.0, "p[b]": 1.0, "p[c]": 1.0}


def plain(values=(0.2, 0.3, 0.5, 0.9), lower=0.0, upper=1.0) -> Parameters:
    values = np.array(values)
    return Parameters.create(
        {"p": Quantity(value=values, labels=tuple("abcdefgh"[: len(values)]), scale=0.1, lower=lower, upper=upper)}
    )


def spinel() -> jn.Crystal:
    """Two species on the tetrahedral site (8a), two on the octahedral one (16d), oxygen on 32e."""
    return jn.Crystal.create(
        cell=(8.4,) * 3 + (90.0,) * 3, spacegroup="F d -3 m:2", species=["Fe2+", "Zn", "Fe3+", "Ti", "O"],
        labels=["FeT", "ZnT", "FeO", "TiO", "O1"], xyz=[[0.125] * 3, [0.125] * 3, [0.5] * 3, [0.5] * 3, [0.255] * 3],
        occupancy=[0.5, 0.5, 0.6, 0.4, 1.0], name="spinel",
    )  # fmt: skip


def test_the_last_value_of_a_sum_follows_the_others_with_their_uncertainties():
    params = plain().constrain_sum(SITE, 1.0).free("p")
    assert params.free_names == ("p[a]", "p[b]", "p[d]")
    moved = params.at(params.theta + np.array([1.0, -0.5, 2.0]))
    assert moved["p[a]"] + moved["p[b]"] + moved["p[c]"] == pytest.approx(1.0, abs=1e-15)
    # of c = 1 - a - b with the covariance of a and b: var c = var a + var b + 2 cov
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 1.0]])
    transform = params.spec.transform / 0.1
    assert (transform @ covariance @ transform.T)[2, 2] == pytest.approx(4.0 + 9.0 + 2.0)
    row = params.rows()[2]
    assert row.free and row.tied_to == "1 - p[a] - p[b]"


def test_several_sums_leave_their_null_space():
    rows = np.array([[1.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0, 0.0], [1.0, 0.0, 3.0, 1.0, -1.0]])
    params = plain((0.2, 0.3, 0.5, 0.9, 0.4), -10.0, 10.0)
    names = params.labels
    for row, equals in zip(rows, (1.0, 2.0, 0.5), strict=True):
        params = params.constrain_sum({n: c for n, c in zip(names, row, strict=True) if c}, equals)
    params = params.free("p")
    assert params.n_free == 2
    # an independent null space, by singular values: the same plane
    null = np.linalg.svd(rows)[2][3:].T
    np.testing.assert_allclose(null @ (null.T @ params.spec.transform), params.spec.transform, atol=1e-13)
    for theta in np.random.default_rng(0).normal(size=(3, 2)):
        np.testing.assert_allclose(rows @ params.at(theta).flat, [1.0, 2.0, 0.5], atol=1e-13)


def test_a_sum_follows_what_is_set_and_says_when_a_start_was_moved():
    params = plain((0.3, 0.3, 0.3)).constrain_sum(SITE, 1.0)
    assert params["p[c]"] == pytest.approx(0.4)
    assert "p[c] started at 0.4 instead of 0.3, so that p[a] + p[b] + p[c] = 1" in params.spec.notes["p[c]"]
    assert params.set("p[a]", 0.5)["p[c]"] == pytest.approx(0.2)
    with pytest.raises(
        ParameterError, match=r"p\[c\] would be -0.2, so that .* outside its bounds \[0, 1\]: set p\[a\]"
    ):
        params.set("p[a]", 0.9)
    with pytest.raises(ParameterError, match=r"'p\[c\]' follows p\[a\], p\[b\], so that .* free or fix those instead"):
        params.free("p[c]")
    with pytest.raises(ParameterError, match="free or fix those instead"):
        params.free("p").fix("p[c]")
    assert params.untie("p[c]").free("p").n_free == 3


def test_a_bound_of_a_follower_holds_for_the_only_number_that_it_follows():
    params = plain((0.4, 0.6, 0.0)).constrain_sum({"p[a]": 2.0, "p[b]": 1.0}, 1.4).free("p[a]")
    lower, upper = params.theta_bounds()
    # b = 1.4 - 2 a between 0 and 1
    np.testing.assert_allclose([lower[0], upper[0]], [2.0, 7.0])


@pytest.mark.parametrize(
    ("second", "equals", "says"),
    [
        (SITE, 1.0, r"says nothing new: p\[a\] \+ p\[b\] \+ p\[c\] = 1 says it already"),
        (SITE, 0.8, r"contradicts p\[a\] \+ p\[b\] \+ p\[c\] = 1, with which the sum is 1"),
        ({"p[a]": 1.0, "p[x]": 1.0}, 1.0, "no parameter is called"),
        ({"p[a]": 0.0}, 1.0, "coefficient of 'p\\[a\\]' is 0"),
        ({}, 1.0, "a sum needs values"),
        ({"p[a]": 1.0, "p[d]": 1.0}, 5.0, r"p\[d\] would be 4.8, .*outside its bounds"),
    ],
)
def test_sums_that_cannot_be_kept_or_say_nothing_are_refused(second, equals, says):
    with pytest.raises(ParameterError, match=says):
        plain().constrain_sum(SITE, 1.0).constrain_sum(second, equals)


def test_sums_over_what_symmetry_fixes_are_refused():
    params = jn.Objective(jn.Prior("cell[a]", 8.4, 0.1), crystal=spinel()).parameters()
    with pytest.raises(ParameterError, match=r"cell\[alpha\] = 91 cannot be met: symmetry leaves .* and the sum is 90"):
        params.constrain_sum({"cell[alpha]": 1.0}, 91.0)
    with pytest.raises(ParameterError, match="is always so: symmetry leaves"):
        params.constrain_sum({"cell[alpha]": 1.0}, 90.0)
    # values that follow by symmetry count with what they follow: x + y + z = 3 x
    assert params.constrain_sum({"xyz[O1]": 1.0}, 0.78)["xyz"][4] == pytest.approx([0.26] * 3)


def test_a_value_may_follow_several_others():
    params = plain((0.2, 0.3, 0.5, 0.9)).tie("p[c]", {"p[a]": 0.5, "p[b]": 2.0}, offset=0.1).free("p")
    moved = params.at(params.theta + np.array([1.0, -1.0, 0.0]))
    assert moved["p[c]"] == pytest.approx(0.5 * 0.3 + 2.0 * 0.2 + 0.1)
    assert params.rows()[2].tied_to == "0.1 + 0.5 p[a] + 2 p[b]"
    with pytest.raises(ParameterError, match=r"p\[c\] is tied itself"):
        params.tie("p[d]", {"p[c]": 1.0, "p[a]": 1.0})
    with pytest.raises(ParameterError, match="have a factor each"):
        params.tie("p[d]", {"p[a]": 1.0}, factor=2.0)
    # a sum over what is tied, afterwards, takes the tie in: a + c = a + a/2 + 2 b + 0.1
    both = params.constrain_sum({"p[c]": 1.0, "p[a]": 1.0}, 1.0)
    assert both["p[a]"] + both["p[c]"] == pytest.approx(1.0)
    assert both["p[c]"] == pytest.approx(0.5 * both["p[a]"] + 2.0 * both["p[b]"] + 0.1)
    with pytest.raises(ParameterError, match="make ties first, sums after them"):
        plain().constrain_sum(SITE, 1.0).tie("p[d]", "p[c]")


def test_charge_and_contents_of_a_cell_are_sums_of_occupancies():
    crystal = spinel()
    states = {"FeT": 2, "Zn": 2, "FeO": 3, "Ti": 4, "O": -2}
    charge = cell_charge(crystal, states)
    # 8 tetrahedral, 16 octahedral and 32 oxygen positions
    assert charge == {
        "occupancy[FeT]": 16.0, "occupancy[ZnT]": 16.0, "occupancy[FeO]": 48.0, "occupancy[TiO]": 64.0, "occupancy[O1]": -64.0,
    }  # fmt: skip
    assert cell_atoms(crystal, "Fe") == {"occupancy[FeT]": 8.0, "occupancy[FeO]": 16.0}
    assert cell_atoms(crystal, "FeO", "a/") == {"a/occupancy[FeO]": 16.0}
    with pytest.raises(ConventionError, match="no oxidation state of TiO, O1"):
        cell_charge(crystal, {"Fe": 2, "Zn": 2})
    with pytest.raises(ConventionError, match="Mg: no such site or element"):
        cell_atoms(crystal, "Mg")
