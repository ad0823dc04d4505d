"""Pictures against temperature: both directions, each with its own marks, and errors."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from moving_quartz import quartz

from jaxnmr.dynamics.order import Observed
from jaxnmr.dynamics.readings import Reading
from jaxnmr.dynamics.series import ThermalSeries
from jaxnmr.errors import ParameterError
from jaxnmr.plot.dynamics import against_temperature, interesting


def average(temperature, high):
    """As of a crystal that has gone over to its high form, or not yet."""
    return SimpleNamespace(
        temperature_k=temperature, crystal=quartz(), cell=np.array([4.95 + 0.05 * high, 4.95 + 0.05 * high, 5.42, 90, 90, 120.0]),
        cell_error=np.full(6, 0.004), observed=(Observed("order", "", 0.9 - 0.7 * high, 0.03), Observed("Si-O-Si", "°", 145 + 5.0 * high, 0.3)),
        readings=(
            Reading("Si1", "29Si shift", "ppm", -107.0, -108.0 - 3.0 * high, 0.2, -108.0),
            Reading("O1", "17O CQ", "MHz", -5.4, -5.2 - 0.3 * high, 0.03, -5.3),
            Reading("O1", "17O eta", "", 0.18, 0.15 - 0.1 * high, 0.01, 0.2),
        ),
    )  # fmt: skip


def series():
    way = [(300, 0), (500, 0), (700, 0), (900, 1), (700, 1), (500, 1), (300, 0)]
    return ThermalSeries(tuple(average(float(t), high) for t, high in way), ("up",) * 4 + ("down",) * 3)


def test_both_directions_have_marks_of_their_own():
    figure = against_temperature(series())
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[:4] == ["cell lengths / Å", "volume of the cell / Å³", "order parameter", "mean angle Si–O–Si / °"]
    assert titles[4:7] == ["Si1: shift(²⁹Si) / ppm", "O1: $C_Q$(¹⁷O) / MHz", "O1: η(¹⁷O)"]
    marks = {line.get_marker(): line for line in figure.axes[2].lines if line.get_marker() in "^v"}
    assert marks["^"].get_xdata().tolist() == [300, 500, 700, 900] and marks["v"].get_xdata().tolist() == [
        700,
        500,
        300,
    ]
    assert marks["^"].get_fillstyle() == "full" and marks["v"].get_fillstyle() == "none"
    assert marks["v"].get_ydata() == pytest.approx([0.2, 0.2, 0.9])
    assert "heating" in figure.get_suptitle()
    plt.close(figure)


def test_shifts_and_couplings_come_first_where_room_is_scarce():
    readings = series().averages[0].readings
    assert [r.quantity for r in interesting(readings[::-1], 2)] == ["17O CQ", "29Si shift"]
    assert interesting(readings) == readings


def test_one_temperature_is_nothing_to_draw_against():
    with pytest.raises(ParameterError, match="expected two or more"):
        against_temperature(ThermalSeries((average(300.0, 0),), ("up",)))


def test_numbers_of_a_series_are_found_by_name():
    assert series().observed("order")[:, 0] == pytest.approx([0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.9])
    assert series().readings("O1", "17O CQ")[3].tolist() == pytest.approx([-5.5, 0.03])
