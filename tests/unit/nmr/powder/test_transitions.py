"""Which transitions a spin has, how they are weighed, and what is refused."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.nmr.powder.transitions import check_spin, coefficients, strength, transitions


def test_a_spin_has_two_i_single_quantum_transitions():
    for spin in (0.5, 1.0, 1.5, 2.5, 3.0, 3.5, 4.5):
        every = transitions(spin, "all")
        assert len(every) == 2 * spin and all(f - i == 1 for f, i in every)
    assert transitions(2.5, "central") == ((0.5, -0.5),)
    assert set(transitions(2.5, "satellites")) | {(0.5, -0.5)} == set(transitions(2.5, "all"))
    assert transitions(1.5, [(1.5, -1.5)]) == ((1.5, -1.5),)


@pytest.mark.parametrize(
    ("spin", "which", "words"),
    [
        (1.0, "central", "no central transition"),
        (0.5, "satellites", "no satellites"),
        (1.5, "centre", "expected 'central'"),
        (1.5, [(2.5, 1.5)], "its levels are"),
        (1.5, [(0.5, 0.5)], "no transition"),
        (1.5, [], "no transition was asked for"),
        (0.75, "all", "multiple of 1/2"),
        (-0.5, "all", "multiple of 1/2"),
    ],
)
def test_transitions_that_do_not_exist_are_refused(spin, which, words):
    with pytest.raises(ConventionError, match=words):
        transitions(spin, which)


def test_zero_is_no_spin():
    with pytest.raises(ConventionError):
        check_spin(0.0)


@pytest.mark.parametrize("spin", [0.5, 1.0, 1.5, 2.5, 3.5, 4.5])
def test_short_pulse_intensities_are_squares_of_the_raising_operator(spin):
    m = np.arange(spin, -spin - 0.5, -1.0)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    expected = np.diagonal(up, 1) ** 2
    ours = [strength(spin, f, f - 1) for f in m[:-1]]
    np.testing.assert_allclose(ours, expected, rtol=1e-14)


def test_spin_three_halves_has_intensities_three_four_three():
    ratio = [strength(1.5, *t) for t in transitions(1.5, "all")]
    np.testing.assert_allclose(np.array(ratio) / ratio[0] * 3, [3, 4, 3])


def test_symmetric_transitions_have_no_first_order_coupling_and_a_reversed_one_is_its_negative():
    assert coefficients(2.5, 0.5, -0.5)[1] == coefficients(2.5, 1.5, -1.5)[1] == 0.0
    for pair in ((0.5, -0.5), (1.5, 0.5), (2.5, -0.5)):
        np.testing.assert_allclose(coefficients(2.5, *pair), -coefficients(2.5, *pair[::-1]))
