"""What residuals look like: each defect of a simulated curve is named, and nothing else is."""

import numpy as np
import pytest

from jaxnmr.objective.evidence import Axis, Profile
from jaxnmr.objective.misfit import misfit
from jaxnmr.objective.statistics import peak_match

X = np.arange(10.0, 90.0, 0.02)
PEAKS = ((21.3, 900.0), (28.1, 4000.0), (33.7, 300.0), (41.0, 1800.0), (52.4, 900.0), (63.9, 1500.0), (77.2, 500.0))
FWHM = 0.12


def lines(peaks, *, fwhm=FWHM, lorentzian=False):
    """Curves of peaks ``(position, height)`` over ``X``."""
    place = (X[:, None] - np.array([p for p, _ in peaks])) / fwhm
    shape = 1.0 / (1.0 + 4.0 * place**2) if lorentzian else np.exp(-4.0 * np.log(2.0) * place**2)
    return shape @ np.array([h for _, h in peaks])


def background(bend=0.0):
    return 120.0 + bend * np.cos((X - 10.0) / 80.0 * 3.0 * np.pi)


def measured(curve, seed=0):
    y = np.random.default_rng(seed).poisson(curve).astype(float)
    return y, np.sqrt(np.maximum(y, 1.0))


def seen(observed, calculated, baseline, sigma=None):
    y, own = measured(observed)
    step = FWHM / 0.02
    return misfit(X, y, own if sigma is None else sigma, calculated, baseline, widths=(0.7 * step, 1.5 * step))


def test_a_fit_to_noise_has_nothing_to_say_whatever_its_seed():
    model = background() + lines(PEAKS)
    for seed in range(20):
        y, sigma = measured(model, seed)
        found = misfit(X, y, sigma, model, background(), widths=(4.0, 9.0))
        assert found == ((), (), 0.0)


def test_peaks_of_an_impurity_are_listed_with_their_positions_and_heights():
    impurity = ((25.0, 200.0), (47.5, 120.0))
    model = background() + lines(PEAKS)
    found = seen(model + lines(impurity), model, background())
    assert [line.position for line in found.unexplained] == pytest.approx([25.0, 47.5], abs=0.03)
    assert [line.height for line in found.unexplained] == pytest.approx([0.05, 0.03], abs=0.01)
    assert found.absent == () and found.stiff == 0.0


def test_a_shifted_peak_is_missing_in_one_place_and_too_much_in_another():
    wrong = tuple((p + (0.5 if p > 60 else 0.0), h) for p, h in PEAKS)
    found = seen(background() + lines(PEAKS), background() + lines(wrong), background())
    assert [line.position for line in found.unexplained] == pytest.approx([63.9, 77.2], abs=0.03)
    assert [line.position for line in found.absent] == pytest.approx([64.4, 77.7], abs=0.03)


@pytest.mark.parametrize("change", [dict(fwhm=1.4 * FWHM), dict(fwhm=0.7 * FWHM), dict(lorentzian=True)])
def test_wrong_shapes_and_intensities_of_peaks_are_no_missing_peaks(change):
    observed = background() + lines(tuple((p, 1.4 * h) for p, h in PEAKS), **change)
    found = seen(observed, background() + lines(PEAKS), background())
    assert found.unexplained == () and found.absent == () and found.stiff == 0.0


def test_noise_that_is_larger_than_stated_is_no_line():
    model = background() + lines(PEAKS)
    found = seen(model, model, background(), sigma=np.full(X.size, 0.3))
    assert found == ((), (), 0.0)


def test_a_background_that_cannot_bend_is_called_stiff_and_its_part_of_chi_squared_is_what_bending_gains():
    observed, flat = background(bend=40.0) + lines(PEAKS), np.full(X.size, 120.0)
    y, sigma = measured(observed)
    found = seen(observed, flat + lines(PEAKS), flat)
    chi2 = lambda model: np.sum(((y - model) / sigma) ** 2)
    gain = 1.0 - chi2(observed) / chi2(flat + lines(PEAKS))
    assert found.stiff == pytest.approx(gain, rel=0.05) and gain > 0.5
    assert found.unexplained == () and found.absent == ()


def test_a_curve_says_what_is_wrong_with_it_in_sentences():
    y, sigma = measured(background(bend=90.0) + lines(PEAKS) + lines([(36.0, 700.0)]))
    flat = np.full(X.size, 120.0)
    curve = Profile(
        name="scan", what="curve", axis=Axis(X, "2θ", "°"), observed=y, sigma=sigma, calculated=flat + lines(PEAKS),
        baseline=flat, width=FWHM,
    )  # fmt: skip
    said = curve.doubts(curve.statistics((y - curve.calculated) / sigma, 3.0))
    assert "not described to within its noise" in said[0] and "Durbin-Watson 0." in said[0]
    assert "does not follow the data between the lines" in said[1]
    assert "nothing calculated explains" in said[2] and "36° (1" in said[2]
    assert curve.first() == "more terms of scan/baseline"
    noise = np.random.default_rng(1).normal(size=X.size)
    good = Profile(
        name="scan", what="curve", axis=Axis(X, "2θ", "°"), observed=flat + noise, sigma=np.ones(X.size), calculated=flat,
        baseline=flat,
    )  # fmt: skip
    assert good.doubts(good.statistics(noise, 3.0)) == () and good.first() == ""


def test_uncertainties_that_are_far_too_large_do_not_move_lines_from_their_places():
    model = background() + lines(PEAKS)
    y, sigma = measured(model)
    right = peak_match(y, model, background(), sigma)
    assert right > 0.99
    assert peak_match(y, model, background(), 1000.0 * sigma) == pytest.approx(right, abs=0.02)
    elsewhere = background() + lines([(p + 1.0, h) for p, h in PEAKS])
    assert peak_match(y, elsewhere, background(), 1000.0 * sigma) < 0.5
