"""Patterns and instruments: what is accepted, what is refused, and why."""

import jax
import numpy as np
import pytest

from jaxnmr.diffraction import Instrument, Pattern
from jaxnmr.errors import ConventionError, DataError, ShapeError

X = np.linspace(10.0, 20.0, 11)
Y = np.linspace(100.0, 400.0, 11)


def test_counting_statistics_give_the_uncertainty_of_counts():
    y = np.array([0.0, 0.5, 4.0, 100.0])
    np.testing.assert_allclose(Pattern.create(X[:4], y).sigma, [1.0, 1.0, 2.0, 10.0])


def test_excluded_regions_are_closed_intervals():
    pattern = Pattern.create(X, Y, excluded=[(12.0, 14.0), (18.5, 30.0)])
    np.testing.assert_array_equal(X[pattern.included()], [10, 11, 15, 16, 17, 18])
    again = pattern.excluding((10.0, 10.0 + 1e-9))
    assert not again.included()[0] and again.included().sum() == 5


def test_a_limited_pattern_keeps_what_belongs_to_the_data():
    instrument = Instrument(wavelengths=(1.54,))
    pattern = Pattern.create(X, Y, 2 * np.sqrt(Y), excluded=[(12, 13)], name="scan", instrument=instrument)
    part = pattern.limited(11.0, 15.0)
    np.testing.assert_array_equal(part.x, X[1:6])
    np.testing.assert_array_equal(part.sigma, 2 * np.sqrt(Y[1:6]))
    assert (part.name, part.instrument, part.excluded) == ("scan", instrument, ((12.0, 13.0),))


def test_patterns_are_pytrees_whose_arrays_are_leaves():
    pattern = Pattern.create(X, Y)
    doubled = jax.tree.map(lambda a: 2 * a, pattern)
    np.testing.assert_allclose(doubled.y, 2 * Y)
    assert len(jax.tree.leaves(pattern)) == 3


@pytest.mark.parametrize(
    ("x", "y", "sigma", "error", "message"),
    [
        (X, Y[:-1], None, ShapeError, "equally long"),
        (X[:2], Y[:2], None, ShapeError, "2 points cannot be refined"),
        (X, Y, Y[:3], ShapeError, r"uncertainties of the shape \(3,\) for 11 points"),
        (X[::-1], Y, None, DataError, "not sorted at points 1 and 2"),
        (np.where(X == 12, 11, X), Y, None, DataError, r"repeated at points 2 and 3 \(11, 11\)"),
        (X, np.where(X == 12, np.nan, Y), None, DataError, "intensity is nan at point 3"),
        (X, np.where(X == 12, -1.0, Y), None, DataError, "negative intensity -1 at 2theta 12"),
        (X, Y, np.where(X == 12, 0.0, Y), DataError, "uncertainty 0 .* at 2theta 12"),
        (X + 170.0, Y, None, DataError, "expected degrees between -180 and 180"),
    ],
)
def test_data_that_cannot_be_right_are_refused_with_the_place(x, y, sigma, error, message):
    with pytest.raises(error, match=message):
        Pattern.create(x, y, sigma, name="scan")


def test_empty_selections_are_refused():
    with pytest.raises(DataError, match="is empty"):
        Pattern.create(X, Y, excluded=[(14.0, 12.0)])
    with pytest.raises(DataError, match="0 points lie between 50 and 60"):
        Pattern.create(X, Y).limited(50.0, 60.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radiation": "electron"}, "expected 'xray' or 'neutron'"),
        ({"geometry": "laue"}, "expected 'bragg-brentano' or 'debye-scherrer'"),
        ({"wavelengths": (1.0, 1.1, 1.2)}, "3 wavelengths"),
        ({"wavelengths": (0.154e-9,)}, "between 0.05 and 20 Å"),
        ({"radius_mm": 0.0}, "positive length"),
        ({"radius_mm": 0.2}, "Is it in m. Then give radius_mm = 200"),
        ({"radius_mm": 21.75}, "Is it in cm. Then give radius_mm = 217.5"),
        ({"radius_mm": 2.4e5}, "Is it in µm. Then give radius_mm = 240"),
        ({"polarization": 1.3}, "between 0 and 1"),
        ({"shl": -0.01}, "neither can be negative"),
        ({"axial_ratio": 0.0}, "expected a positive number"),
    ],
)
def test_impossible_instruments_are_refused(values, message):
    with pytest.raises(ConventionError, match=message):
        Instrument(**values)


def test_short_and_long_wavelengths_and_radii_that_exist_are_accepted():
    for instrument in (
        Instrument(wavelengths=(0.1541,), geometry="debye-scherrer"),
        Instrument(wavelengths=(0.1617,), radius_mm=57.3),
        Instrument(wavelengths=(2.2897, 2.2937), radius_mm=28.65),
        Instrument(wavelengths=(4.5,), radiation="neutron", radius_mm=2000.0),
    ):
        assert instrument.require_wavelength() is instrument


def test_angles_that_can_be_radians_are_questioned():
    x = np.radians(np.linspace(10.0, 120.0, 50))
    with pytest.warns(UserWarning, match=r"runs from 0.17\d+ to 2.09\d+ degrees. Is it in radians"):
        Pattern.create(x, np.ones(50))
    Pattern.create(np.degrees(x), np.ones(50))
    Pattern.create(np.linspace(0.1, 5.0, 50), np.ones(50))


@pytest.mark.parametrize(
    ("wavelengths", "message"),
    [
        ((0.15406,), "is it 1.5406 Å, a line of an X-ray tube, in nm"), ((0.1540593, 0.1544427), "is it 1.54059 Å"),
        ((0.07107,), "is it 0.7107 Å"), ((8.0478,), "an energy in keV. Then give 1.5406 Å"), ((17.4793,), "Then give 0.70932 Å"),
    ],
)  # fmt: skip
def test_wavelengths_in_other_units_are_questioned_where_they_are_used(wavelengths, message):
    with pytest.raises(ConventionError, match=message):
        Instrument(wavelengths=wavelengths).require_wavelength()
    Instrument(wavelengths=wavelengths, radiation="neutron").require_wavelength()


def test_changing_an_instrument_checks_it_again():
    instrument = Instrument(wavelengths=(1.54,))
    assert instrument.replace(zero=0.02).zero == 0.02
    with pytest.raises(ConventionError, match="polarization"):
        instrument.replace(polarization=-1.0)


def test_a_wavelength_is_asked_for_where_it_is_needed():
    with pytest.raises(ConventionError, match="has no wavelength"):
        Instrument(name="lab").require_wavelength()


def test_the_imbalance_of_axial_heights_is_symmetric():
    assert Instrument().axial_imbalance == 0.0
    assert Instrument(axial_ratio=3.0).axial_imbalance == pytest.approx(0.5)
    assert Instrument(axial_ratio=1 / 3).axial_imbalance == pytest.approx(0.5)


def test_the_lines_of_a_doublet_come_in_order():
    with pytest.raises(
        ConventionError, match=r"1.5444 and 1.5406 Å are Kα2 before Kα1.*wavelength = \[1.5406, 1.5444\]"
    ):
        Instrument(wavelengths=(1.5444, 1.5406))
    with pytest.raises(ConventionError, match="Kα2 before Kα1"):
        Instrument(wavelengths=(0.71359, 0.70930))
    with pytest.raises(ConventionError, match="over that of Kα1"):
        Instrument(wavelengths=(1.5406, 1.5444), ratio=2.0)
    # the stronger line first, as the ratio says; Kβ and half a wavelength are no doublets
    assert Instrument(wavelengths=(1.5444, 1.5406), ratio=2.0).ratio == 2.0
    assert Instrument(wavelengths=(1.5406, 1.39222), ratio=0.1).wavelengths[1] == 1.39222
    assert Instrument(radiation="neutron", wavelengths=(1.54, 0.77), ratio=0.01).ratio == 0.01


def test_a_divergence_slit_is_fixed_or_automatic_and_belongs_to_flat_specimens():
    with pytest.raises(ConventionError, match="expected 'fixed' or 'automatic'"):
        Instrument(divergence_slit="variable")
    with pytest.raises(ConventionError, match="flat specimen"):
        Instrument(divergence_slit="automatic", geometry="debye-scherrer")
    with pytest.raises(ConventionError, match="expected 2theta, from 0 to 180"):
        Instrument(monochromator_deg=-26.6)
    with pytest.raises(ConventionError, match=r"is it in radians\? Then it is 26.6"):
        Instrument(monochromator_deg=0.46426)
