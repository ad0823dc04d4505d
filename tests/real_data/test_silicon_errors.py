"""Errors of the silicon model on crystals it has not seen, within structures and between them, against what it states."""

import numpy as np
import pytest

from jaxnmr.models import TensorModel
from jaxnmr.models.data.training_data import DataSource
from jaxnmr.models.tensors.calibration import coverage
from jaxnmr.models.tensors.ensemble import judge
from jaxnmr.models.tensors.experiment import structure_mark

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def unseen(data):
    """Pure SiO2 of the test part; tensors of three entries are in another frame than their atoms."""
    found = DataSource(
        format="si_nmr",
        path=data / "si_nmr",
        quantity="shielding",
        composition=("O", "Si"),
        exclude=("90", "289", "373"),
    ).read()
    model = TensorModel.load("silica-29si")
    seen = {mark for marks in model.card.training["structures"].values() for mark in marks}
    return model, found.take(k for k, s in enumerate(found.structures) if structure_mark(s) not in seen)


def test_stated_uncertainties_hold_within_structures_and_between_them(unseen):
    model, data = unseen
    judged = judge(model, data)["Si"]
    assert len(data) == 23 and len(judged.predicted) == 125
    error = (judged.predicted - judged.target)[:, 0] / np.sqrt(3.0)
    mean = np.array([error[judged.structure == k].mean() for k in range(len(data))])
    apart = np.abs(error - mean[judged.structure])[np.bincount(judged.structure)[judged.structure] > 1]
    # what was measured before there were two parts: an offset of 1.8 ppm, and 0.17 and 0.50 ppm within
    assert np.sqrt(np.mean(mean**2)) == pytest.approx(1.84, abs=0.02)
    np.testing.assert_allclose(np.quantile(apart, [0.68, 0.95]), [0.17, 0.50], atol=0.02)
    found = coverage(model, data)
    own, common, both = (found["Si", name] for name in ("iso/own", "l0/common", "iso"))
    # 23 structures: one standard deviation of a share of 68 % is 10 %
    assert 0.6 < own.within_68 < 0.9 and own.within_95 > 0.9
    assert common.atoms == 23 and 0.48 < common.within_68 < 0.95 and common.within_95 > 0.85
    # not far more than was needed
    assert own.half_width_68 < 2.0 * np.quantile(apart, 0.68) and own.half_width_95 < 2.0 * np.quantile(apart, 0.95)
    assert 0.7 * np.sqrt(np.mean(mean**2)) < common.half_width_68 < 1.5 * np.sqrt(np.mean(mean**2))
    assert both.half_width_68 > 4 * own.half_width_68


def test_the_card_says_what_was_calibrated_and_how_it_held(unseen):
    how = unseen[0].card.training["calibration"]
    assert (how["part"], how["structures"], how["test_structures"], how["seed"]) == ("valid", 41, 45, 0)
    atoms, within_68, within_95 = how["test"]["Si iso/own"]
    assert atoms == 155 and 0.6 < within_68 < 0.9 and within_95 > 0.9
