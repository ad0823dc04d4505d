import dataclasses

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up_fit import MadeUpParameters, Row, fitted_pattern, made_up_fit

from jaxnmr import plot
from jaxnmr.errors import ConventionError, ParameterError


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def line(axis, label):
    return next(item for item in axis.get_lines() if item.get_label() == label)


def test_the_curves_of_a_pattern_are_the_numbers_of_the_fit():
    fit = made_up_fit()
    data = fit.patterns["xrd"]
    axis = plot.pattern(fit, "xrd", zoom=None).axes[0]
    np.testing.assert_allclose(line(axis, "observed").get_ydata(), data.observed)
    calculated = line(axis, "calculated").get_ydata()
    np.testing.assert_allclose(calculated[np.isfinite(calculated)], data.calculated)


def test_the_difference_curve_lies_below_the_ticks_around_its_own_zero_line():
    fit = made_up_fit()
    data = fit.patterns["xrd"]
    axis = plot.pattern(fit, zoom=None).axes[0]
    curve = line(axis, "difference").get_ydata()
    curve = curve[np.isfinite(curve)]
    zero = curve - (data.observed - data.calculated)
    np.testing.assert_allclose(zero, zero[0], atol=1e-9)
    lowest_tick = min(np.min(path.vertices[:, 1]) for ticks in axis.collections for path in ticks.get_paths())
    assert curve.max() < lowest_tick
    assert axis.get_ylim()[0] < curve.min()


def test_every_phase_has_its_row_of_ticks_at_its_reflections():
    fit = made_up_fit(("rutile", "anatase"))
    axis = plot.pattern(fit, zoom=None).axes[0]
    rows = [ticks for ticks in axis.collections if len(ticks.get_paths()) > 3]
    assert len(rows) == 2
    for ticks, reflections in zip(rows, fit.patterns["xrd"].reflections.values(), strict=True):
        np.testing.assert_allclose([path.vertices[0, 0] for path in ticks.get_paths()], reflections.two_theta)
    assert {"rutile", "anatase"} <= {text.get_text() for text in axis.get_legend().get_texts()}


def test_no_line_crosses_an_excluded_region():
    fit = made_up_fit()
    axis = plot.pattern(fit, zoom=None).axes[0]
    x, y = line(axis, "calculated").get_data()
    assert np.isnan(y[np.searchsorted(x, 63.0) - 1 : np.searchsorted(x, 63.0) + 1]).any()
    assert "excluded" in {text.get_text() for text in axis.get_legend().get_texts()}


def test_square_root_intensities_are_plotted_on_request():
    fit = made_up_fit()
    axis = plot.pattern(fit, zoom=None, scale="sqrt").axes[0]
    np.testing.assert_allclose(line(axis, "observed").get_ydata() ** 2, fit.patterns["xrd"].observed)
    assert "√" in axis.get_ylabel()


def test_agreement_factors_stand_above_the_picture():
    axis = plot.pattern(made_up_fit(), zoom=None).axes[0]
    assert axis.get_title("right") == "Rwp = 8.41 %    GoF = 1.03"


def test_an_automatic_zoom_shows_a_twelfth_of_the_pattern_with_peaks_in_it():
    fit = made_up_fit()
    full, detail = plot.pattern(fit).axes
    low, high = detail.get_xlim()
    assert (high - low) < 0.1 * (full.get_xlim()[1] - full.get_xlim()[0])
    position = fit.patterns["xrd"].reflections["rutile"].two_theta
    assert ((position > low) & (position < high)).any()


def test_a_zoom_shows_the_range_asked_for():
    detail = plot.pattern(made_up_fit(), zoom=(35.0, 43.0)).axes[1]
    low, high = detail.get_xlim()
    assert 34.8 < low <= 35.0
    assert 43.0 <= high < 43.2


def test_a_pattern_can_be_drawn_into_given_axes():
    figure, axes = plt.subplots(1, 2)
    returned = plot.pattern(made_up_fit(), axes=axes[1])
    assert returned is figure
    assert not axes[0].lines
    assert line(axes[1], "calculated") is not None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(name="neutron"), ParameterError, "no histogram 'neutron'.*xrd"),
        (dict(scale="log"), ConventionError, "'log'.*'linear' or 'sqrt'"),
        (dict(zoom="best"), ConventionError, "'best'.*'auto' or None"),
        (dict(zoom=(200, 210)), ConventionError, "20 to 99.95"),
    ],
)
def test_impossible_requests_say_what_is_possible(arguments, error, message):
    with pytest.raises(error, match=message):
        plot.pattern(made_up_fit(), **arguments)


def test_the_histogram_must_be_named_when_there_are_two():
    fit = made_up_fit(evidence={"x": fitted_pattern("x"), "n": fitted_pattern("n")})
    with pytest.raises(ParameterError, match=r"2 histograms.*\['n', 'x'\]"):
        plot.pattern(fit)


def test_axes_and_coordinates_bound_by_symmetry_appear_once_in_the_correlations():
    names, matrix = plot.correlation_matrix(made_up_fit())
    assert names == ("cell[a]", "cell[c]", "xyz[O1.x]", "u_iso[O1]", "xrd/scale[rutile]")
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    assert matrix[3, 4] == pytest.approx(0.71)
    assert matrix[0, 1] == pytest.approx(-0.2)


def test_the_correlation_map_names_its_rows_and_columns():
    axis = plot.correlations(made_up_fit()).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == [
        "cell[c]", "xyz[O1.x]", "u_iso[O1]", "xrd/scale[rutile]",
    ]  # fmt: skip
    assert {text.get_text() for text in axis.texts} == {"71", "−20"}


def test_sixty_parameters_stay_readable_in_the_correlation_map():
    rows = tuple(Row(f"xyz[Si{k}.x]", 0.0, "", True) for k in range(60))
    covariance = np.eye(60) + 0.3 * np.eye(60, k=1) + 0.3 * np.eye(60, k=-1)
    figure = plot.correlations(made_up_fit(parameters=MadeUpParameters({}, rows), covariance=covariance))
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == 59
    assert min(label.get_fontsize() for label in labels) >= 6.0
    assert max(figure.get_size_inches()) < 18.0


def test_a_single_parameter_gives_a_sentence_instead_of_a_map():
    fit = made_up_fit(parameters=MadeUpParameters({}, (Row("xrd/scale", 1.0, "", True),)), covariance=np.eye(1))
    assert "fewer than two" in plot.correlations(fit).axes[0].texts[0].get_text()


def test_convergence_shows_kept_and_rejected_steps_and_names_the_stages():
    upper, lower = plot.convergence(made_up_fit()).axes
    np.testing.assert_array_equal(line(upper, "accepted").get_xdata(), [1, 2, 3, 5, 6, 7])
    np.testing.assert_array_equal(line(upper, "rejected").get_xdata(), [4])
    assert [text.get_text() for text in upper.texts] == ["scale", "cell", "atoms"]
    assert lower.get_ylabel() == "Rwp / %"


def test_a_refinement_without_steps_still_has_a_convergence_picture():
    assert "no steps" in plot.convergence(made_up_fit(steps=())).axes[0].texts[0].get_text()


def test_information_shows_shares_that_sum_to_one_and_arrows_for_what_would_be_lost():
    figure = plot.information(made_up_fit(terms=("xrd", "shifts")))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["O1"]
    assert np.isclose(sum(bar.get_width() for bar in left.patches), 1.0)
    assert [line.get_marker() for line in right.lines if len(line.get_xdata())] == [">", "D", "o"]
    # the arrow at the edge does not push the panels together
    figure.canvas.draw()
    assert min(axis.get_position().width for axis in figure.axes) > 0.25
    figure = plot.information(made_up_fit(terms=("xrd", "shifts")), parameters=True)
    assert len(figure.axes[0].get_yticklabels()) == 5


def test_information_of_a_refinement_without_positions_is_that_of_its_parameters():
    fit = made_up_fit()
    fit = dataclasses.replace(fit, information=dataclasses.replace(fit.information, atoms=()))
    assert len(plot.information(fit).axes[0].get_yticklabels()) == 5
    with pytest.raises(ParameterError, match="no position of an atom"):
        plot.information(fit, parameters=False)
