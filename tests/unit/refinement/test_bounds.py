"""Numbers that end beside a bound, where what is calculated has lost its slope by them."""

import numpy as np
import pytest

from jaxnmr.refinement.bounds import settled_at_bounds
from jaxnmr.refinement.linearised import Linearised

LOWER, UPPER = np.array([-np.inf, 0.0]), np.array([np.inf, 10.0])  # of C and of eta over a tenth
NOISE = 0.05 * np.random.default_rng(1).normal(size=40)
WAVE = np.sin(np.arange(40.0))


def calculated(theta):
    """Known of C and eta are C + eta/4 and, weakly, the square of the distance of eta from 1, as of a quadrupolar coupling."""
    c, eta = theta[0], 0.1 * theta[1]
    return np.full(40, c + eta / 4) + 0.3 * WAVE * (1.0 - eta) ** 2


def linearise(theta):
    eta = 0.1 * theta[1]
    jacobian = np.column_stack([np.ones(40), np.full(40, 0.025) - 0.06 * WAVE * (1.0 - eta)])
    return calculated(theta) - 2.0 - NOISE, jacobian


ACTIVE = np.ones(2, dtype=bool)


def test_an_asymmetry_that_crept_up_to_one_is_held_there_and_the_coupling_keeps_its_uncertainty():
    theta = np.array([1.75, 9.9999])
    there, (r, jacobian) = settled_at_bounds(linearise, theta, LOWER, UPPER, ACTIVE, linearise(theta))
    assert there[1] == 10.0
    # what is left is the mean of the data
    assert there[0] + 0.25 == pytest.approx(2.0 + NOISE.mean(), abs=1e-9)
    np.testing.assert_allclose(r, calculated(there) - 2.0 - NOISE)
    variance = Linearised.create(r, jacobian).subset(there < UPPER).covariance()
    np.testing.assert_allclose(variance, 1.0 / 40.0)


def test_a_number_in_the_middle_or_one_that_is_known_beside_its_bound_is_left_alone():
    for theta, function in (
        (np.array([1.75, 6.0]), linearise),
        (np.array([1.75, 9.99]), lambda t: (calculated(t) - 2.0 - NOISE, np.column_stack([np.ones(40), WAVE]))),
    ):
        there, found = settled_at_bounds(function, theta, LOWER, UPPER, ACTIVE, before := function(theta))
        assert there is theta and found is before


def test_a_number_is_not_held_where_the_bound_fits_worse():
    def steep(theta):
        # the linear model at the start knows nothing of the second number
        return 1.0 + theta[0] + 100.0 * (theta[1] > 9.99) + NOISE, np.column_stack([np.ones(40), 1e-9 * WAVE])

    theta = np.array([0.0, 9.9])
    there, _ = settled_at_bounds(steep, theta, LOWER, UPPER, ACTIVE, steep(theta))
    assert there is theta
