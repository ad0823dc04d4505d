"""Uncertainties of intensities that are counts, counts times a factor, or neither."""

import re

import numpy as np
import pytest

from jaxnmr.errors import DataError, ParseError
from jaxnmr.io import read_pattern
from jaxnmr.io.patterns.third_column import doubtful_sigma, third_column
from jaxnmr.io.patterns.uncertainty import estimate_sigma, is_rate, scatter_of_counts, stated_seconds

X = np.round(20.0 + 0.02 * np.arange(3000), 2)


def curve(level: float = 60.0) -> np.ndarray:
    """A background and sharp, wide and overlapping peaks."""
    peaks = [(27.3, 800.0, 0.04), (31.7, 9000.0, 0.05), (45.4, 5000.0, 0.05), (45.6, 2500.0, 0.05), (66.0, 900.0, 0.2)]
    return level + sum(level / 60.0 * height * np.exp(-0.5 * ((X - at) / width) ** 2) for at, height, width in peaks)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return np.random.default_rng(3).poisson(curve()).astype(float)


def test_scatter_shows_what_one_count_is(counts):
    assert scatter_of_counts(counts) == pytest.approx(1.0, abs=0.08)
    for factor in (1e-3, 0.37, 12.0, 1e3):
        assert scatter_of_counts(factor * counts) == pytest.approx(factor, rel=0.08)
    few = np.random.default_rng(4).poisson(curve(2.0)).astype(float)
    assert scatter_of_counts(few) == pytest.approx(1.0, abs=0.1)


def test_a_curve_without_noise_shows_none():
    assert scatter_of_counts(curve()) is None
    assert scatter_of_counts(np.full(500, 100.0)) is None
    assert scatter_of_counts(np.ones(20)) is None


@pytest.mark.parametrize("level", [2.0, 60.0, 4e4])
def test_whole_counts_have_their_square_roots_whatever_they_are(level):
    counts = np.random.default_rng(5).poisson(curve(level)).astype(float)
    found = estimate_sigma(counts)
    np.testing.assert_array_equal(found.sigma, np.sqrt(np.maximum(counts, 1.0)))
    assert found.notes == ()


def test_counts_of_means_over_a_few_channels_stay_counts(counts):
    measured = 1.2 * counts + 0.123456789 * np.sin(X)  # no multiples of anything, and near enough to counts
    found = estimate_sigma(measured)
    np.testing.assert_array_equal(found.sigma, np.sqrt(np.maximum(measured, 1.0)))
    assert found.notes == ()


@pytest.mark.parametrize("factor", [1e-3, 1e3, 2.0, 0.5, 1 / 57.6, "max 100", "max 1"])
@pytest.mark.parametrize("decimals", [None, 5])
def test_scaled_counts_get_scaled_uncertainties_and_say_so(counts, factor, decimals):
    if isinstance(factor, str):
        factor = float(factor[4:]) / counts.max()
    measured = factor * counts if decimals is None else np.round(factor * counts, decimals)
    found = estimate_sigma(measured)
    expected = factor * np.sqrt(np.maximum(counts, 1.0))
    np.testing.assert_allclose(found.sigma, expected, rtol=0.12)
    assert "no counts" in found.notes[0] and f"{factor:.1g}"[:1] in found.notes[0]


def test_rounding_that_hides_the_multiples_leaves_the_scatter(counts):
    factor = 100.0 / counts.max()
    found = estimate_sigma(np.round(factor * counts, 2))
    assert "scatter" in found.notes[0]
    np.testing.assert_allclose(found.sigma, factor * np.sqrt(counts), rtol=0.15)


def test_numbers_that_show_neither_counts_nor_noise_say_that_their_uncertainties_are_arbitrary(counts):
    (note,) = estimate_sigma(curve() / 9000.0).notes
    assert "arbitrary" in note and "third column" in note
    # rounded until nothing but the rounding is left
    assert "arbitrary" in estimate_sigma(np.round(counts / counts.max(), 1)).notes[0]
    # a simulated curve of the size of counts is taken as it always was
    smooth = estimate_sigma(curve())
    np.testing.assert_array_equal(smooth.sigma, np.sqrt(curve()))
    assert smooth.notes == ()


def test_whole_numbers_that_scatter_far_less_than_counts_are_kept_with_a_word(counts):
    found = estimate_sigma(np.round(600.0 * counts / counts.max()))
    assert "scatter by 0.2" in found.notes[0]


def test_a_rate_with_its_time_has_the_uncertainty_of_what_was_counted(counts):
    for seconds in (0.5, 4.0, 57.6):
        found = estimate_sigma(counts / seconds, rate=True, seconds=seconds)
        np.testing.assert_allclose(found.sigma, np.sqrt(np.maximum(counts, 1.0)) / seconds)
        assert found.notes == ()
    # what is called a rate and scatters as counts
    found = estimate_sigma(counts, rate=True, seconds=40.0)
    np.testing.assert_array_equal(found.sigma, np.sqrt(np.maximum(counts, 1.0)))
    # without its time: half a second a step, which alone would pass for counts
    found = estimate_sigma(counts / 0.5, rate=True)
    np.testing.assert_allclose(found.sigma, np.sqrt(np.maximum(counts, 1.0)) / 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Time per step: 57.6 s", 57.6), ("step time [s] = 0.5", 0.5), ("counting time 10", 10.0), ("StepTime=1.25", 1.25),
        ("time/step (s): 2", 2.0), ("exposure time 500 ms", 0.5), ("Scan step time [s],4.0000", 4.0), ("2theta step 0.02", None),
        ("measured at some time, 10 steps", None), ("count time 2 min", 120.0),
    ],
)  # fmt: skip
def test_headers_tell_the_time_of_a_step(header, seconds):
    assert stated_seconds(header) == (None if seconds is None else pytest.approx(seconds))


def test_headers_tell_rates_from_counts():
    assert all(map(is_rate, ("2theta(deg) intensity(cps)", "I / counts per second", "Counts/s", "intensity [c/s]")))
    assert not any(map(is_rate, ("2theta intensity", "counts", "2theta(deg),counts", "scan of caps", "sample S-1")))


def written(tmp_path, columns, header="", name="p.xy"):
    path = tmp_path / name
    lines = [
        header,
        *(" ".join(f"{value:g}" if k else f"{value:.2f}" for k, value in enumerate(row)) for row in columns),
    ]
    path.write_text("\n".join(lines) + "\n")
    return read_pattern(path)


def test_a_header_with_rate_and_time_is_used(tmp_path, counts):
    rows = np.column_stack([X, counts / 8.0])
    pattern = written(tmp_path, rows, "# time per step: 8 s\n# 2theta(deg) intensity(cps)")
    np.testing.assert_allclose(pattern.sigma, np.sqrt(np.maximum(counts, 1.0)) / 8.0, rtol=2e-5)
    assert pattern.notes == ()


def test_a_constant_third_column_is_no_uncertainty(tmp_path, counts):
    for value in (1.0, 37.5):
        pattern = written(tmp_path, np.column_stack([X, counts, np.full(len(X), value)]))
        np.testing.assert_array_equal(pattern.sigma, np.sqrt(np.maximum(counts, 1.0)))
        assert f"{value:g} at every point, which is no uncertainty" in pattern.notes[0]


def test_attenuator_factors_multiply_intensity_and_uncertainty(tmp_path, counts):
    factor = np.where(curve() > 4000.0, 10.5, 1.0)
    pattern = written(tmp_path, np.column_stack([X, counts, factor]))
    np.testing.assert_allclose(pattern.y, factor * counts)
    np.testing.assert_allclose(pattern.sigma, factor * np.sqrt(np.maximum(counts, 1.0)))
    assert "attenuator" in pattern.notes[0]


def test_a_column_named_attenuator_multiplies_whatever_its_factors(tmp_path):
    factor = np.where(np.arange(40) % 7 == 0, 56.2, 2.5)
    rows = "".join(f"{20 + 0.05 * k:.2f} {100 + k} {f}\n" for k, f in enumerate(factor))
    path = tmp_path / "named.txt"
    path.write_text("# 2theta counts attenuator\n" + rows)
    pattern = read_pattern(path)
    np.testing.assert_allclose(pattern.y, factor * (100.0 + np.arange(40)))
    np.testing.assert_allclose(pattern.sigma, factor * np.sqrt(100.0 + np.arange(40)))
    assert "factors of the attenuator, up to 56.2" in pattern.notes[0]
    path.write_text("# 2theta counts attenuator\n" + rows.replace(" 2.5\n", " 0\n", 1))
    with pytest.raises(ParseError, match="line 3: the factor of the attenuator is 0; expected a positive number"):
        read_pattern(path)


def test_a_third_column_of_uncertainties_stays_as_it_is(tmp_path, counts):
    sigmas = {
        "counts": np.sqrt(counts),
        "monitor": np.sqrt(counts) * 3e-4,
        "overestimated": 3.0 * np.sqrt(counts + 40.0),
    }
    for name, sigma in sigmas.items():
        scale = 3e-4 if name == "monitor" else 1.0
        path = tmp_path / f"{name}.xye"
        np.savetxt(path, np.column_stack([X, scale * counts, sigma]), fmt="%.10g")
        pattern = read_pattern(path)
        np.testing.assert_allclose(pattern.sigma, sigma, rtol=1e-9)
        assert pattern.notes == ()
    few = np.random.default_rng(6).poisson(3.0, len(X)).astype(float) + 1.0  # uncertainties of few different values
    pattern = written(tmp_path, np.column_stack([X, few, np.sqrt(few)]))
    np.testing.assert_allclose(pattern.sigma, np.sqrt(few), rtol=1e-4)


def test_a_third_column_that_follows_the_intensity_is_refused(tmp_path, counts):
    with pytest.raises(ParseError, match=r"p\.xy.*follows the intensity.*name the columns"):
        written(tmp_path, np.column_stack([X, counts, curve()]))


def test_one_named_uncertainty_for_peaks_and_background_is_kept_with_a_word(tmp_path, counts):
    pattern = written(tmp_path, np.column_stack([X, counts, np.ones(len(X))]), "# 2theta intensity sigma", "p.xye")
    np.testing.assert_array_equal(pattern.sigma, 1.0)
    assert "uncertainty of every point is 1" in pattern.notes[0]
    assert pattern.limited(25.0, 50.0).excluding((30.0, 31.0)).notes == pattern.notes


@pytest.mark.parametrize(
    ("third", "reason"),
    [
        (lambda n: 1.0 / np.maximum(n, 1.0), "falls where the intensity rises"),
        (lambda n: 1e3 / np.maximum(n, 1.0), "falls where the intensity rises"),
        (lambda n: 100.0 / np.sqrt(np.maximum(n, 1.0)), "falls where the intensity rises"),
        (lambda n: 298.0 + np.random.default_rng(1).normal(size=len(n)).round(1), "does not follow the intensity"),
        (lambda n: 1e5 + np.random.default_rng(1).normal(0, 300, len(n)), "does not follow the intensity"),
        (lambda n: 1.2 * np.arange(len(n)), "rises from point to point"),
        (lambda n: 4.1 / np.sin(np.radians(X / 2)), "falls from point to point"),
        (lambda n: 0.004 * curve(), "grows as the intensity itself"),
        (lambda n: np.abs(n - curve()) + 0.01, "changes by .* from point to point"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_third_column_that_cannot_be_uncertainties_is_refused_with_what_it_looks_like(counts, third, reason, scale):
    with pytest.raises(DataError, match=f"the third column {reason}.*name the columns in a header"):
        third_column(scale * counts, third(counts))


def test_uncertainties_of_net_intensities_are_no_background():
    counts = np.random.default_rng(7).poisson(curve() + 2000.0).astype(float)
    np.testing.assert_array_equal(third_column(counts - 2000.0, np.sqrt(counts)).sigma, np.sqrt(counts))
    assert doubtful_sigma(counts - 2000.0, np.sqrt(counts)) == ()


@pytest.mark.parametrize(
    ("factor", "said"), [(0.1, r"scatter by (9\.|1[01])"), (10.0, r"scatter by 0\.(1|09)"), (1.5, "")]
)
def test_uncertainties_far_from_the_scatter_are_kept_with_a_word(counts, factor, said):
    sigma = factor * np.sqrt(np.maximum(counts, 1.0))
    notes = doubtful_sigma(counts, sigma)
    assert re.search(said, notes[0]) if said else notes == ()


@pytest.mark.parametrize(
    ("header", "values"),
    [("2theta I variance", 4.0), ("2theta I sigma^2", 4.0), ("2theta I σ²", 4.0), ("2theta,I,error (%)", 2.0), ("2theta I esd", 2.0)],
)  # fmt: skip
def test_columns_named_variance_or_percent_become_uncertainties(tmp_path, header, values):
    path = tmp_path / "p.csv"
    comma = "," if "," in header else " "
    path.write_text(header + "\n" + "".join(f"{10 + k}{comma}100{comma}{values}\n" for k in range(5)), encoding="utf-8")
    np.testing.assert_allclose(read_pattern(path).sigma, 2.0)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda n: np.round(n / 8.0), "scatter by 0.3.* if they are rates"),
        (lambda n: np.maximum(n + np.random.default_rng(1).poisson(600.0, len(n)) - 645.0, 0.0), "freed of a background"),
        (lambda n: n + 1000.0, "scatter by 0.2"),
        (lambda n: np.maximum(n + np.random.default_rng(1).poisson(900.0, len(n)) - 945.3, 0.0), "less at peaks than at the background"),
    ],
)  # fmt: skip
def test_intensities_that_are_no_counts_any_more_say_so(counts, made, said):
    assert re.search(said, " ".join(estimate_sigma(made(counts)).notes))
