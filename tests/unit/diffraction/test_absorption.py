"""Absorption of atoms and of grains."""

import numpy as np
import pytest

from jaxnmr.diffraction.absorption import brindley, cross_sections

AVOGADRO = 6.02214076e23


# total mass attenuation of Cu Ka in cm2/g (International Tables C, 4.2.4.3; Hubbell & Seltzer), of which photoelectric absorption is all but
# a part that light elements scatter
@pytest.mark.parametrize(
    ("element", "weight", "known", "scattered"),
    [("Si", 28.0855, (60.6, 63.7), 0.0), ("Fe", 55.845, (302.0, 308.0), 0.01), ("Al", 26.9815, (48.0, 50.0), 0.02),
     ("O", 15.999, (11.5, 11.5), 0.09)],
)  # fmt: skip
def test_atoms_absorb_as_they_are_known_to(element, weight, known, scattered):
    (section,) = cross_sections((element,), 1.5418)
    assert known[0] * (1.0 - scattered) <= section * AVOGADRO / weight <= known[1]


def test_absorption_in_a_sphere_is_the_integral_over_its_chords_straight_on_and_straight_back():
    c, weight = np.polynomial.legendre.leggauss(60)
    c, weight = 0.5 * (c + 1.0), 0.5 * weight
    for x in (-1.0, -0.2, 0.3, 2.0):
        on = 3.0 * (c**2 * np.exp(-x * c)) @ weight
        back = 3.0 * (c * (1.0 - np.exp(-2.0 * x * c)) / (2.0 * x)) @ weight
        np.testing.assert_allclose([brindley(x, 0.0), brindley(x, 180.0)], [on, back], atol=5e-5)
        assert min(on, back) <= brindley(x) <= max(on, back)


def test_weak_absorption_follows_the_mean_path_at_every_angle():
    for angle in (0.0, 40.0, 90.0, 180.0):
        slope = (brindley(1e-4, angle) - brindley(-1e-4, angle)) / 2e-4
        assert slope == pytest.approx(-0.75, abs=1e-4)
