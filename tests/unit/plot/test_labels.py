"""Numbers on axes, labels of sites and legends stand where they can be read and hide nothing."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxnmr.objective.evidence import Axis
from jaxnmr.plot import spectrum
from jaxnmr.plot.screening import ranking
from jaxnmr.terms.spectrum_evidence import SpectrumEvidence


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("largest", "shown"),
    [(3.0, {"0", "2", "4"}), (60.0, {"0", "20", "40", "60"}), (3e4, {"0", "100", "1000", "10000"})],
)
def test_a_ranking_has_plain_numbers_and_more_than_two_of_them(largest, shown):
    rows = [SimpleNamespace(name=n, status="converged", rwp=r) for n, r in (("a", 3.0), ("b", 5.0), ("c", 9.0))]
    figure = ranking(SimpleNamespace(rows=rows, rank="bic", figures=[0.0, 0.5 * largest, largest]))
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    ticks = [t for t in figure.axes[0].xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    said = {tick.label1.get_text() for tick in ticks}
    assert shown <= said and not any("10^" in text for text in said)


def fitted(centre):
    """A fit of one line on top of another, taller one that the site does not make."""
    ppm = np.linspace(-50.0, 50.0, 401)
    part = np.exp(-(((ppm - centre) / 3.0) ** 2))
    data = SpectrumEvidence(
        name="al", what="27Al spectrum", axis=Axis(ppm, "δ", "ppm", to_the_left=True), observed=2.0 * part, sigma=np.ones(401),
        calculated=1.9 * part, baseline=0 * ppm, parts={"Al1": part}, regions=((-50.0, 50.0),), frequency_hz=ppm,
        isotope="27Al", larmor_hz=1e8,
    )  # fmt: skip
    return SimpleNamespace(spectra={"al": data}, statistics={})


def test_the_label_of_a_site_stands_above_the_curves():
    axis = spectrum(fitted(5.0)).axes[0]
    (label,) = [text for text in axis.texts if text.get_text() == "Al1"]
    assert label.xy[0] == pytest.approx(5.0, abs=0.2) and label.xy[1] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(("centre", "right"), [(40.0, True), (-40.0, False)])
def test_the_legend_is_on_the_side_without_the_line(centre, right):
    figure = spectrum(fitted(centre))
    figure.canvas.draw()
    axis = figure.axes[0]
    box = axis.get_legend().get_window_extent().transformed(axis.transAxes.inverted())
    assert (box.x0 > 0.5) == right, "shifts increase to the left"
