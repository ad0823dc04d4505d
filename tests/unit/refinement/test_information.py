"""What every term adds: shares and uncertainties against direct inversion of normal matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxnmr.refinement.information import InformationParts, information
from jaxnmr.refinement.linearised import Linearised

ROWS = {"pattern": slice(0, 12), "shifts": slice(12, 15)}
NAMES = ("x", "y", "z")


@pytest.fixture(scope="module")
def jacobian():
    """Twelve points know x and y; three shifts know y and z."""
    rng = np.random.default_rng(3)
    out = rng.normal(size=(15, 3))
    out[:12, 2] = 0.0
    out[12:, 0] = 0.0
    return out * np.array([1.0, 100.0, 0.01])


def parts_of(jacobian, rows=ROWS):
    return InformationParts(Linearised.create(np.ones(len(jacobian)), jacobian), jacobian, rows)


def test_shares_sum_to_one_and_are_the_parts_of_the_variance(jacobian):
    info = information(parts_of(jacobian), NAMES, np.ones(3), {})
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    assert_allclose(info.shares.sum(axis=1), 1.0, rtol=1e-12)
    assert_allclose(info.esd, np.sqrt(np.diag(covariance)), rtol=1e-12)
    shifts = jacobian[12:].T @ jacobian[12:]
    expected = np.diag(covariance @ shifts @ covariance) / np.diag(covariance)
    assert_allclose(info.shares[:, 1], expected, rtol=1e-9)


def test_esds_without_a_term_are_those_of_the_other_data_alone(jacobian):
    info = information(parts_of(jacobian), NAMES, np.ones(3), {})
    pattern = jacobian[:12, :2]
    assert_allclose(info.without[:2, 1], np.sqrt(np.diag(np.linalg.inv(pattern.T @ pattern))), rtol=1e-9)
    assert np.isinf(info.without[2, 1])  # only the shifts know z
    assert np.isinf(info.without[0, 0]) and np.isfinite(info.without[1:, 0]).all()


def test_numbers_of_parameters_that_terms_determine_sum_to_all(jacobian):
    parts = parts_of(jacobian)
    assert_allclose(parts.determined_by("pattern") + parts.determined_by("shifts"), 3.0, rtol=1e-12)
    assert parts.determined_by("shifts") >= 1.0  # z


def test_a_common_inflation_scales_the_covariance_and_one_of_a_term_its_share(jacobian):
    parts = parts_of(jacobian)
    plain = parts.covariance()
    assert_allclose(plain, np.linalg.inv(jacobian.T @ jacobian), rtol=1e-9)
    assert_allclose(parts.covariance(dict.fromkeys(ROWS, 2.0)), 4.0 * plain, rtol=1e-12)
    share = information(parts, NAMES, np.ones(3), {}).shares[:, 0]
    assert_allclose(np.diag(parts.covariance({"pattern": 3.0})), np.diag(plain) * (1.0 + 8.0 * share), rtol=1e-9)


def test_inflated_covariance_is_the_scatter_of_estimates_from_noise_of_that_size(jacobian):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4000, 15)) * np.where(np.arange(15) < 12, 3.0, 1.0)
    estimates = noise @ np.linalg.pinv(jacobian).T
    expected = np.diag(parts_of(jacobian).covariance({"pattern": 3.0}))
    # the relative standard error of a variance from 4000 draws is sqrt(2/4000), 2.2 per cent
    assert_allclose(estimates.var(axis=0), expected, rtol=0.1)


def test_a_direction_that_no_data_know_is_left_out(jacobian):
    blind = np.column_stack([jacobian, np.zeros(15)])
    info = information(parts_of(blind), (*NAMES, "w"), np.ones(4), {})
    assert_allclose(info.shares[:3].sum(axis=1), 1.0, rtol=1e-12)
    assert info.esd[3] == 0.0 and np.isinf(info.growth[3]).all()
    assert "∞" in str(info)


def test_atoms_add_up_their_coordinates(jacobian):
    slopes = np.eye(3) * np.array([4.0, 5.0, 6.0])[:, None]
    info = information(parts_of(jacobian), NAMES, np.ones(3), {("quartz", "O1"): slopes, ("quartz", "Si1"): 0 * slopes})
    (atom,) = info.atoms
    expected = np.sqrt(np.sum((np.array([4.0, 5.0, 6.0]) * info.esd) ** 2))
    assert (atom.label, atom.phase) == ("O1", "quartz")
    assert_allclose(atom.esd, expected, rtol=1e-12)
    assert_allclose(sum(atom.shares.values()), 1.0, rtol=1e-12)
    assert np.isinf(atom.without["shifts"])


def test_the_table_names_every_parameter_and_marks_what_is_lost(jacobian):
    text = str(information(parts_of(jacobian), NAMES, np.array([1.0, 2.0, 0.5]), {}))
    assert all(name in text for name in (*NAMES, *ROWS)) and "∞" in text
