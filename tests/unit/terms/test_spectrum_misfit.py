"""What is said of a spectrum whose model is wrong: a missing site, sidebands that are not calculated, a baseline; nothing of a right one."""

import re

import numpy as np
import pytest

from jaxnmr.objective.evidence import Axis
from jaxnmr.terms.spectrum_evidence import SpectrumEvidence

PPM = np.linspace(-150.0, 150.0, 2001)
LARMOR, MAS = 1e8, 4000.0  # 40 ppm between sidebands


def line(shift, height, width=2.0):
    return height / (1.0 + (2.0 * (PPM - shift) / width) ** 2)


def said(observed, calculated, baseline=0.0, mas_hz=MAS, seed=0, central=False):
    noise = np.random.default_rng(seed).normal(0.0, 1.0, PPM.size)
    evidence = SpectrumEvidence(
        name="al", what="27Al spectrum", axis=Axis(PPM, "δ", "ppm", to_the_left=True), observed=observed + noise,
        sigma=np.ones(PPM.size), calculated=calculated + baseline, baseline=baseline + 0 * PPM, parts={"Al1": calculated},
        regions=((-150.0, 150.0),), frequency_hz=PPM * LARMOR / 1e6, isotope="27Al", larmor_hz=LARMOR, mas_hz=mas_hz, central=central,
    )  # fmt: skip
    residual = evidence.calculated - evidence.observed
    return evidence.doubts(evidence.statistics(residual, 3.0))


MODEL = line(10.0, 400.0)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_said_of_a_right_model(seed):
    assert said(MODEL, MODEL, seed=seed) == ()


def test_lines_of_a_missing_site_are_listed():
    sentences = said(MODEL + line(62.0, 80.0) + line(-37.0, 40.0, 5.0), MODEL)
    (sentence,) = [s for s in sentences if "nothing calculated explains" in s]
    assert re.search(r"-3[67]\.\d+ ppm \((9|1[01])\S* %\), 6[12]\.\d+ ppm \((19|20|21)", sentence), sentence
    assert "A site or a phase that is missing" in sentence


def test_lines_whole_spinning_speeds_away_are_called_what_they_are():
    sidebands = sum(line(10.0 + 40.0 * k, 40.0 / abs(k)) for k in (-3, -2, -1, 1, 2, 3))
    text = "\n".join(said(MODEL + sidebands, MODEL))
    assert "6 of these are whole spinning speeds away" in text and "satellite transitions" in text
    for other in (0.0, np.inf, 3100.0):
        assert "whole spinning speeds" not in "\n".join(said(MODEL + line(50.0, 60.0), MODEL, mas_hz=other))


def test_a_rolling_baseline_asks_for_a_baseline_that_is_refined():
    roll = 15.0 * np.cos(PPM / 150.0 * 1.5 * np.pi)
    sentences = said(MODEL + roll, MODEL)
    (sentence,) = [s for s in sentences if "baseline" in s]
    assert "refine al/baseline" in sentence and not any("nothing calculated explains" in s for s in sentences)


def test_a_fit_far_from_its_noise_is_called_one():
    sentences = said(line(10.0, 4000.0, 3.0), line(10.0, 4000.0, 2.0))
    assert "'al' is not described to within its noise" in sentences[0] and "satellites" not in sentences[0]
    sentences = said(line(10.0, 4000.0, 3.0), line(10.0, 4000.0, 2.0), central=True)
    assert (
        "Only the central transition is calculated" in sentences[0]
        and 'transitions "all" calculates them' in sentences[0]
    )
