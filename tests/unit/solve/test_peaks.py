"""Peaks found in simulated patterns: where they are, how well that is known, and what is none."""

from functools import lru_cache

import numpy as np
import pytest
from small_problems import DOUBLET, monoclinic

import jaxnmr as jn
from jaxnmr.crystal.cell import d_spacing
from jaxnmr.diffraction import Instrument, Pattern
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.errors import ConventionError, DataError
from jaxnmr.solve import Peaks, find_peaks
from jaxnmr.solve.peaks.find import peak_table, write_peaks

X = 10.0 + 0.02 * np.arange(2001)
# without axial divergence
PLAIN = DOUBLET.replace(shl=0.0)
FIRST, SECOND = DOUBLET.wavelengths


def counted(y: np.ndarray, seed: int, **changes) -> Pattern:
    noisy = np.random.default_rng(seed).poisson(y).astype(float)
    return Pattern.create(X, noisy, **{"instrument": PLAIN, **changes})


@lru_cache
def calculated() -> np.ndarray:
    """The pattern of a monoclinic crystal without background, its highest point 1."""
    y = jn.PowderDiffraction(instrument=DOUBLET).simulate(monoclinic(), X, values={"scale": 1.0}).y
    return np.asarray(y) / np.max(np.asarray(y))


@lru_cache
def angles() -> np.ndarray:
    """Of all its reflections, from Bragg's law."""
    hkl, _ = plan_reflections(monoclinic().group, monoclinic().cell, FIRST / 2.0 / np.sin(np.radians(25.5)))
    return np.degrees(2.0 * np.arcsin(FIRST / 2.0 / np.asarray(d_spacing(np.asarray(monoclinic().cell), hkl))))


def doublets(lines: list[tuple[float, float]], fwhm: float = 0.08) -> np.ndarray:
    """Gaussian lines of these angles and areas, each with its Kα2 half as strong."""
    y = np.zeros_like(X)
    for at, area in lines:
        second = np.degrees(2.0 * np.arcsin(np.sin(np.radians(at / 2.0)) * SECOND / FIRST))
        for centre, share in ((at, 1.0), (second, 0.5)):
            y += share * area * np.sqrt(4.0 * np.log(2.0) / np.pi) / fwhm * 2.0 ** (-4.0 * ((X - centre) / fwhm) ** 2)
    return y


def away(peaks: Peaks, lines: np.ndarray) -> np.ndarray:
    """How far each peak is from the nearest of the lines, degrees."""
    apart = peaks.two_theta[:, None] - lines
    return apart[np.arange(len(peaks)), np.abs(apart).argmin(axis=1)]


def test_positions_are_as_uncertain_as_they_are_said_to_be():
    """Of reflections without neighbours, in patterns whose noise differs; every peak is a reflection."""
    deviations = []
    for seed in range(2):
        peaks = find_peaks(counted(2000.0 * calculated() + 100.0, seed, instrument=DOUBLET), most=20)
        apart = away(peaks, angles())
        assert np.all(np.abs(apart) < np.maximum(4.0 * peaks.sigma, 0.4 * peaks.fwhm))
        alone = np.sum(np.abs(peaks.two_theta[:, None] - angles()) < 0.3, axis=1) == 1
        deviations.append((apart / peaks.sigma)[alone])
    deviation = np.concatenate(deviations)
    assert len(deviation) > 18
    assert 0.4 < np.mean(deviation**2) < 1.4
    assert np.abs(deviation).max() < 4.0


def test_every_strong_reflection_is_found_on_a_background_that_bends():
    background = 50.0 + 3000.0 * np.exp(-X / 8.0) + 400.0 * np.exp(-(((X - 30.0) / 8.0) ** 2))
    peaks = find_peaks(counted(2000.0 * calculated() + background, 0, instrument=DOUBLET), most=20)
    strong = angles()[(np.interp(angles(), X, calculated()) > 0.1) & (angles() < peaks.two_theta[-1])]
    assert len(strong) > 5
    assert np.abs(peaks.two_theta[:, None] - strong).min(axis=0).max() < 0.1
    assert np.all(np.abs(away(peaks, angles())) < np.maximum(4.0 * peaks.sigma, 0.4 * peaks.fwhm))


LINES = [
    (18.0, 60.0),
    (22.6, 150.0),
    (27.0, 80.0),
    (31.0, 200.0),
    (36.0, 90.0),
    (40.0, 40.0),
    (43.5, 120.0),
    (48.0, 70.0),
]


@lru_cache
def plain() -> tuple[Pattern, Peaks]:
    pattern = counted(doublets(LINES) + 50.0, 1)
    return pattern, find_peaks(pattern)


def test_the_second_wavelength_makes_no_peaks():
    """Above 42 degrees the doublets are resolved; without the second wavelength each is two peaks."""
    pattern, peaks = plain()
    np.testing.assert_allclose(peaks.two_theta, [at for at, _ in LINES], rtol=0, atol=5e-3)
    np.testing.assert_allclose(peaks.area, [area for _, area in LINES], rtol=0.08)
    without = find_peaks(pattern, PLAIN.replace(wavelengths=(FIRST,)), low=42.0)
    np.testing.assert_allclose(without.two_theta, [43.5, 43.615, 48.0, 48.128], rtol=0, atol=0.01)


def test_a_hump_is_no_peak():
    hump = 300.0 * 2.0 ** (-4.0 * ((X - 24.8) / 0.9) ** 2)
    peaks = find_peaks(counted(doublets(LINES) + 50.0 + hump, 2))
    np.testing.assert_allclose(peaks.two_theta, [at for at, _ in LINES], rtol=0, atol=5e-3)
    assert len(peaks.humps) == 1
    np.testing.assert_allclose(peaks.humps[0], [24.8, 0.9], rtol=0.4, atol=0.2)


@pytest.mark.parametrize("apart", [0.6, 1.0])
def test_a_shoulder_is_resolved(apart):
    """0.6 widths from a peak twice as strong; both are where they were put."""
    shoulder = 31.0 + apart * 0.08
    peaks = find_peaks(counted(doublets([*LINES, (shoulder, 100.0)]) + 50.0, 3))
    near = np.abs(peaks.two_theta - 31.0) < 0.2
    assert near.sum() == 2 and len(peaks) == len(LINES) + 1
    deviation = (peaks.two_theta[near] - [31.0, shoulder]) / peaks.sigma[near]
    assert np.abs(deviation).max() < 3.5


def test_net_intensities_without_uncertainties_that_mean_anything_are_searched_with_their_scatter():
    y = doublets(LINES) / doublets(LINES).max() * 100.0 + np.random.default_rng(4).normal(0.0, 0.1, len(X))
    assert y.min() < 0.0
    pattern = Pattern.create(X, y, np.full(len(X), 0.02), instrument=PLAIN)
    peaks = find_peaks(pattern)
    np.testing.assert_allclose(peaks.two_theta, [at for at, _ in LINES], rtol=0, atol=5e-3)
    assert any("scatter" in note for note in peaks.notes)


def test_excluded_regions_hold_no_peaks():
    pattern = counted(doublets(LINES) + 50.0, 1, excluded=[(30.0, 32.0)])
    assert [round(t) for t in find_peaks(pattern).two_theta] == [18, 23, 27, 36, 40, 44, 48]


def test_few_peaks_are_said_to_be_few_and_none_to_be_none():
    assert any("3 peaks were found" in note for note in find_peaks(counted(doublets(LINES[:3]) + 50.0, 1)).notes)
    nothing = find_peaks(counted(np.full(len(X), 50.0), 1))
    assert len(nothing) == 0 and any("0 peaks" in note for note in nothing.notes)


def test_other_radiation_of_the_tube_is_left_out_and_said():
    """Lines of a hundredth of each peak, where Kβ puts them."""
    beta = lambda at: np.degrees(2.0 * np.arcsin(np.sin(np.radians(at / 2.0)) * 1.392235 / FIRST))
    made = doublets([(beta(at), area / 100.0) for at, area in LINES])
    peaks = find_peaks(counted(30.0 * (doublets(LINES) + made) + 50.0, 5))
    np.testing.assert_allclose(peaks.two_theta, [at for at, _ in LINES], rtol=0, atol=5e-3)
    assert any("27.9" in note and "Kβ" in note for note in peaks.notes)


def test_the_table_is_the_peaks(tmp_path):
    peaks = find_peaks(plain()[0], most=5)
    assert len(peaks) == 5 and any("first 5" in note for note in peaks.notes)
    header, rows = peak_table(peaks)
    assert header[:4] == ("number", "two_theta_deg", "sigma_deg", "d_A") and [row[0] for row in rows] == list("12345")
    read = np.genfromtxt(write_peaks(peaks, tmp_path / "peaks.csv"), delimiter=",", names=True)
    np.testing.assert_allclose(read["two_theta_deg"], peaks.two_theta, atol=1e-5)
    np.testing.assert_allclose(read["d_A"], FIRST / 2.0 / np.sin(np.radians(peaks.two_theta / 2.0)), rtol=1e-5)
    np.testing.assert_allclose(read["area"], peaks.area, rtol=1e-5)


def test_what_cannot_be_searched_is_refused():
    pattern = counted(doublets(LINES) + 50.0, 1, instrument=None)
    with pytest.raises(ConventionError, match="wavelength"):
        find_peaks(pattern)
    with pytest.raises(ConventionError, match="no wavelength"):
        find_peaks(pattern, Instrument())
    with pytest.raises(DataError, match="50 or more"):
        find_peaks(pattern, DOUBLET, high=10.5)
    with pytest.raises(ConventionError, match="significance"):
        find_peaks(pattern, DOUBLET, significance=0.0)
    with pytest.raises(ConventionError, match="most"):
        find_peaks(pattern, DOUBLET, most=0)


def test_the_picture_marks_every_peak_and_hump():
    import matplotlib.pyplot as plt

    pattern, peaks = plain()
    figure = jn.plot.peaks(pattern, peaks)
    marks = next(line for line in figure.axes[0].get_lines() if line.get_label() == "peak")
    np.testing.assert_allclose(marks.get_xdata(), peaks.two_theta)
    with pytest.raises(ConventionError, match="fewer than 3 points"):
        jn.plot.peaks(pattern, peaks, low=80.0, high=81.0)
    plt.close("all")
