"""Numbers of spectroscopy of averaged tensors, and how well they are known."""

import numpy as np
import pytest

from jaxnmr.dynamics.readings import jackknife, readings_of, running
from jaxnmr.models.tensors.prediction import Prediction
from jaxnmr.nmr.quadrupolar import cq_hz_per_au

REPLICATES = 1000
V = 1.3


def prediction(tensors, references=()) -> Prediction:
    """Tensors of a silicon and an oxygen site in a box."""
    return Prediction(
        tensors=tensors, lattice=5.0 * np.eye(3), positions=np.array([[0.0, 0, 0], [1.6, 0, 0]]), site=np.arange(2),
        turn=np.stack([np.eye(3)] * 2), multiplicity=np.ones(2), labels=("Si1", "O1"), elements=("Si", "O"), references=references,
    )  # fmt: skip


def noisy(mean, frames=128, sigma=0.3, seed=0) -> np.ndarray:
    """White noise on symmetric tensors, every column a replicate."""
    noise = sigma * np.random.default_rng(seed).normal(size=(frames, REPLICATES, 3, 3))
    return np.asarray(mean) + 0.5 * (noise + noise.transpose(0, 1, 3, 2))


def test_errors_of_isotropic_values_cover_what_they_promise():
    values, errors = jackknife("shielding", noisy(np.diag([50.0, 60.0, 70.0])))
    off = np.abs(values[:, 0] - 60.0) / errors[:, 0]
    assert 100.0 * np.mean(off < 1.0) == pytest.approx(68.3, abs=5.0)
    assert 100.0 * np.mean(off < 1.96) == pytest.approx(95.0, abs=5.0)
    # the mean of three diagonal components
    assert np.median(errors[:, 0]) == pytest.approx(0.3 / np.sqrt(3 * 128), rel=0.05)


def test_errors_of_correlated_frames_are_those_of_their_number_of_independent_ones():
    """A first-order process of 10 frames, in blocks of 128."""
    rng, decay = np.random.default_rng(3), np.exp(-1.0 / 10.0)
    steps = np.sqrt(1 - decay**2) * rng.normal(size=(2048, 300))
    x = np.empty_like(steps)
    x[0] = rng.normal(size=300)
    for k in range(1, len(x)):
        x[k] = decay * x[k - 1] + steps[k]
    series = 60.0 * np.eye(3) + x[:, :, None, None] * np.eye(3)
    values, errors = jackknife("shielding", series)
    off = np.abs(values[:, 0] - 60.0) / errors[:, 0]
    assert 100.0 * np.mean(off < 1.0) == pytest.approx(68.3, abs=7.0)
    exact = np.sqrt((1 + decay) / (1 - decay) / 2048)
    assert np.median(errors[:, 0]) == pytest.approx(exact, rel=0.12)


def test_an_asymmetry_of_nearly_nothing_has_an_error_of_its_scatter():
    values, errors = jackknife("efg", noisy(V * np.diag([-0.5, -0.5, 1.0]), sigma=0.2))
    eta, sigma = values[:, 1], errors[:, 1]
    assert np.isfinite(sigma).all() and (sigma > 0).all() and (eta >= 0).all()
    assert np.median(sigma) == pytest.approx(eta.std(), rel=0.45)
    assert np.abs(values[:, 0] - V).max() < 0.15


def test_a_tensor_that_hops_has_the_coupling_of_the_mean_not_the_mean_of_couplings():
    """Between z and x: (-1/2, -1/2, 1) and (1, -1/2, -1/2) are (1/4, -1/2, 1/4) on average: half, of the other sign, eta 0."""
    along = V * np.diag([-0.5, -0.5, 1.0]), V * np.diag([1.0, -0.5, -0.5])
    series = np.full((64, 2, 3, 3), np.nan)
    series[:, 1] = [along[k % 2] for k in range(64)]
    snapshots = np.full((64, 2, 2), np.nan)
    snapshots[:, 1] = [V, 0.0]
    static = prediction({"efg": series[0]})
    found = {r.quantity: r for r in readings_of(static, {"efg": series, "efg/snapshots": snapshots})}
    mhz = float(cq_hz_per_au("17O", None)) * 1e-6
    assert set(found) == {"17O CQ", "17O eta"} and found["17O CQ"].unit == "MHz"
    cq, eta = found["17O CQ"], found["17O eta"]
    assert cq.static == pytest.approx(V * mhz) and cq.snapshots == pytest.approx(V * mhz)
    assert cq.mean == pytest.approx(-0.5 * V * mhz) and eta.mean == pytest.approx(0.0, abs=1e-12)
    # a hop of 120 degrees about (111) to all three axes leaves nothing
    third = np.array([along[0], along[1], V * np.diag([-0.5, 1.0, -0.5])])
    series[:63, 1] = np.tile(third, (21, 1, 1))
    none = readings_of(static, {"efg": series[:63], "efg/snapshots": snapshots[:63]})
    assert none[0].mean == pytest.approx(0.0, abs=1e-12)


def test_shifts_follow_the_reference_and_shieldings_stand_where_there_is_none():
    series = np.broadcast_to(np.diag([430.0, 440.0, 460.0]), (40, 2, 3, 3)) + np.zeros((40, 2, 1, 1))
    snapshots = np.broadcast_to([443.3333333333, 30.0, 0.3], (40, 2, 3))
    static = prediction({"shielding": series[0]}, references=(("Si", 337.0, -0.9),))
    found = readings_of(static, {"shielding": series, "shielding/snapshots": snapshots})
    by = {(r.site, r.quantity): r for r in found}
    assert by["Si1", "29Si shift"].mean == pytest.approx(337.0 - 0.9 * (430 + 440 + 460) / 3)
    assert by["Si1", "29Si shift"].snapshots == pytest.approx(by["Si1", "29Si shift"].mean)
    assert by["Si1", "29Si span"].mean == pytest.approx(30.0) and by["Si1", "29Si span"].error == pytest.approx(
        0.0, abs=1e-10
    )
    assert by["O1", "17O shielding"].mean == pytest.approx((430 + 440 + 460) / 3)
    assert [r.site for r in found] == ["Si1"] * 3 + ["O1"] * 3


def test_running_means_end_where_the_readings_are():
    series = noisy(V * np.diag([-0.5, -0.4, 0.9]))[:, :2]
    series[:, 0] = np.nan
    snapshots = np.zeros((128, 2, 2))
    frames = {"efg": series, "efg/snapshots": snapshots}
    static = prediction({"efg": series[0]})
    found = readings_of(static, frames)
    course = running(found, static, frames)
    assert course.shape == (128, 2)
    assert np.allclose(course[-1], [r.mean for r in found]) and np.allclose(course[0], [r.static for r in found])
