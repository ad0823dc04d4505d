"""Alpha quartz by the shipped models against GIPAW calculations of others, and against what is measured.

The magres files are of the measured geometry, by Quantum ESPRESSO with two kinds of pseudopotentials (PBE). For 29Si this is
independent of the training: other program, pseudopotentials and geometry (the training has quartz relaxed with VASP, whose
bonds are 1 % too long). For 17O it is less so: the training has this crystal, calculated with the same program.
"""

import ase.io
import numpy as np
import pytest

from jaxnmr.io import magres_from_ase, read_magres
from jaxnmr.models import TensorModel
from jaxnmr.models.tensors.calibration import LEVELS
from jaxnmr.models.tensors.metrics import orientation_error_deg
from jaxnmr.nmr import (
    EffectiveQuadrupole,
    ShiftReference,
    maryland_from_shielding,
    principal_frame,
    quadrupolar_from_efg,
    quadrupolar_parameters,
)

pytestmark = pytest.mark.real_data
FILES = ("quartz_quartz", "quartz-ncpp_quartz")
MEASURED_SHIFT, MEASURED_CQ, MEASURED_ETA = -107.4, 5.19e6, 0.19


@pytest.fixture(scope="module", params=FILES)
def gipaw(request, data):
    """Shieldings and field gradients of the nine atoms in the frame of the predictions."""
    nmr, efg = (
        read_magres(data / "magres" / f"{request.param}.{what}.magres").in_crystal_frame() for what in ("nmr", "efg")
    )
    np.testing.assert_array_equal(nmr.positions, efg.positions)
    return nmr, efg


@pytest.fixture(scope="module")
def silicon(data):
    return TensorModel.load("silica-29si").predict(quartz(data).crystal())


@pytest.fixture(scope="module")
def gradient(data):
    return TensorModel.load("silica-efg").predict(quartz(data).crystal())


def quartz(data):
    return read_magres(data / "magres" / f"{FILES[0]}.nmr.magres")


def traceless(tensors):
    symmetric = (tensors + np.swapaxes(tensors, 1, 2)) / 2
    return symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)


def agreement(prediction, head, nucleus, theirs):
    """Root mean square of the five components of the difference over their 95 % half-width, correlation, turn of the axes."""
    element = nucleus.lstrip("0123456789")
    chosen = [k for k, e in enumerate(prediction.elements) if e == element]
    mine = traceless(np.asarray(prediction.of_atoms(head)))[chosen]
    theirs = traceless(theirs)
    half = prediction.factors[f"{head}/l2"][chosen, LEVELS.index(0.95)] * prediction.component_sigma(head)[chosen, -1]
    rms = np.sqrt(np.mean(np.sum((mine - theirs) ** 2, axis=(1, 2)) / 5 / np.asarray(half) ** 2))
    correlation = np.corrcoef(mine.ravel(), theirs.ravel())[0, 1]
    turned = orientation_error_deg(*(np.asarray(principal_frame(t, "ascending").axes) for t in (mine, theirs)))
    return rms, correlation, turned.max()


def within(interval, values):
    low, high = interval
    return ((np.asarray(low) <= values) & (values <= np.asarray(high))).all()


def test_the_29si_tensor_is_that_of_gipaw_within_the_stated_uncertainty(silicon, gipaw):
    nmr, _ = gipaw
    tensors = nmr.select("Si").shielding_ppm
    theirs = maryland_from_shielding(tensors)
    # three calculations (CASTEP's tutorial the third) have spans of 6.8 to 7.0 ppm: that is what programs agree to
    np.testing.assert_allclose(theirs.span, 6.9, atol=0.2)
    assert not np.asarray(silicon.novel).any()
    assert within(silicon.interval("span", "29Si", 0.95), theirs.span)
    assert within(silicon.interval("skew", "29Si", 0.95), theirs.skew)
    rms, correlation, turned = agreement(silicon, "shielding", "29Si", tensors)
    assert rms < 1.0
    # in another frame, or with the other sign, this would be far from 1
    assert correlation > 0.9 and turned < 15.0


def test_the_29si_shift_is_the_measured_one_without_a_reference_of_its_own(silicon):
    # one offset per program makes any single shift right; this regression was made with many sites of silica
    reference = ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)
    assert within(silicon.interval("shift", "29Si", 0.95, reference=reference), MEASURED_SHIFT)
    np.testing.assert_allclose(silicon.shift("29Si", reference), silicon.shift("29Si", reference)[0], atol=0.02)


def test_the_17o_field_gradient_is_that_of_gipaw_within_the_stated_uncertainty(gradient, gipaw):
    _, efg = gipaw
    tensors = efg.select("O").efg_au
    theirs = quadrupolar_parameters(quadrupolar_from_efg(tensors, "17O"))
    assert not np.asarray(gradient.novel).any()
    assert within(gradient.interval("cq", "17O", 0.95), theirs.cq_hz)
    assert within(gradient.interval("eta_q", "17O", 0.95), theirs.eta)
    assert within(gradient.interval("eta_q", "17O", 0.95), MEASURED_ETA)
    rms, correlation, turned = agreement(gradient, "efg", "17O", tensors)
    assert rms < 1.0 and correlation > 0.98 and turned < 10.0


def test_measured_couplings_of_quartz_and_cristobalite_ask_for_a_smaller_moment(data, gradient):
    # 17O of cristobalite: 5.21 MHz; both are quoted in CASTEP's tutorial
    frames = {atoms.info["tag"]: atoms for atoms in ase.io.read(data / "silica_efg" / "silica_efg.extxyz", ":")}
    chosen = [magres_from_ase(frames[tag]).select("O").efg_au[0] for tag in ("quartz_0", "cristobalite_0")]
    vzz = [float(principal_frame(t, "efg").values[2]) for t in chosen]
    found = EffectiveQuadrupole.fit("17O", vzz, [MEASURED_CQ, 5.21e6])
    # computed 5.47 and 5.46 MHz: 5 % too much, and the same moment serves both
    assert found.scale == pytest.approx(0.952, abs=0.003)
    assert found.rms_hz < 0.03e6 and 0 < found.sigma_barn < 2e-4
    corrected = gradient.quadrupolar("17O", q_barn=found.q_barn).cq_hz
    half = np.ptp(np.array(gradient.interval("cq", "17O", 0.95, q_barn=found.q_barn)), axis=0) / 2
    assert (np.abs(np.abs(corrected) - MEASURED_CQ) < half).all()
