"""Errors of means of correlated series, on processes whose memory is known."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.signal import lfilter

from jaxnmr.dynamics.statistics import mean_error, settling
from jaxnmr.errors import DataError, ParameterError

REPLICAS = 1000


def remembering(frames: int, decay: float, columns: int = REPLICAS, seed: int = 0) -> np.ndarray:
    """An autoregressive process: mean 0, variance 1, correlation exp(-t/decay)."""
    rng, phi = np.random.default_rng(seed), np.exp(-1.0 / decay)
    noise = rng.normal(size=(frames, columns)) * np.sqrt(1.0 - phi**2)
    noise[0] /= np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


def tau_of(decay: float) -> float:
    phi = np.exp(-1.0 / decay)
    return 0.5 * (1.0 + phi) / (1.0 - phi)


@pytest.mark.parametrize(("decay", "frames"), [(0.3, 10), (0.3, 100), (5.0, 50), (5.0, 100), (5.0, 1000), (20.0, 400)])
def test_intervals_contain_the_mean_as_often_as_they_say(decay, frames):
    found = mean_error(remembering(frames, decay))
    for probability in (0.6827, 0.9545):
        inside = np.mean(np.abs(found.mean) < found.width(probability))
        assert abs(inside - probability) < 0.05, (probability, inside)


def swinging(frames: int, spacing: float, omega: float, decay: float, seed: int = 0) -> np.ndarray:
    """Squares of damped oscillators with the mean 1, twelve to a column; exact steps of their Langevin equation."""
    rng, turn = np.random.default_rng(seed), np.array([[0.0, 1.0], [-(omega**2), -1.0 / decay]])
    step, spread = expm(turn * spacing), np.diag([1.0, omega**2])
    push = np.linalg.cholesky(spread - step @ spread @ step.T)
    now = np.sqrt(spread) @ rng.normal(size=(2, REPLICAS * 12))
    out = np.empty((frames, REPLICAS))
    for k in range(frames):
        out[k] = (now[0] ** 2).reshape(REPLICAS, 12).mean(axis=1)
        now = step @ now + push @ rng.normal(size=now.shape)
    return out


@pytest.mark.parametrize(("spacing", "frames"), [(10.0, 250), (32.0, 60), (32.0, 250)])
def test_intervals_are_honest_where_atoms_swing(spacing, frames):
    """Frames of 32 fs and a period of 64 fs: the next frame says nothing, the one after it everything."""
    found = mean_error(swinging(frames, spacing, 0.049, 60.0))
    for probability in (0.6827, 0.9545):
        inside = np.mean(np.abs(found.mean - 1.0) < found.width(probability))
        assert abs(inside - probability) < 0.05, (probability, inside)


def test_student_is_needed_where_little_is_known():
    """With five independent frames intervals of the normal distribution are far too narrow."""
    found = mean_error(remembering(50, 5.0))
    normal = np.mean(np.abs(found.mean) < 1.9600 * found.error)
    assert normal < 0.87
    assert found.short.mean() > 0.9


def test_the_autocorrelation_time_of_a_long_series_is_that_of_its_process():
    for decay in (0.5, 3.0, 12.0):
        found = mean_error(remembering(20_000, decay, columns=20))
        assert np.mean(found.tau) == pytest.approx(tau_of(decay), rel=0.04)
        assert np.mean(found.effective) == pytest.approx(20_000 / (2 * tau_of(decay)), rel=0.04)
        assert not found.short.any()


def test_blocks_and_autocorrelation_agree_with_the_scatter_of_means():
    found = mean_error(remembering(2000, 4.0))
    scatter = found.mean.std()
    assert np.sqrt(np.mean(found.error**2)) == pytest.approx(scatter, rel=0.07)
    assert np.sqrt(np.mean(found.blocked**2)) == pytest.approx(scatter, rel=0.07)


def test_arrays_of_any_shape_are_their_columns_one_by_one():
    series = remembering(200, 3.0, columns=1200).reshape(200, 20, 20, 3)
    found = mean_error(series)
    one = mean_error(series[:, 7, 11, 2])
    for name in ("mean", "error", "blocked", "tau", "effective", "freedom"):
        assert getattr(found, name).shape == (20, 20, 3)
        assert getattr(found, name)[7, 11, 2] == pytest.approx(float(getattr(one, name)), rel=1e-10)


def test_what_does_not_move_has_no_error():
    found = mean_error(np.full((50, 2), [3.7, 0.0]))
    assert found.error == pytest.approx([0.0, 0.0], abs=1e-14)
    assert found.tau.tolist() == [0.5, 0.5]


def test_frames_that_alternate_are_not_better_than_independent_ones():
    series = np.random.default_rng(1).normal(size=400)
    alternating = series - 0.9 * np.roll(series, 1)
    assert float(mean_error(alternating).tau) == 0.5


def test_a_start_far_from_equilibrium_is_dropped_and_none_of_a_stationary_series():
    series = remembering(1000, 5.0, columns=200, seed=3)
    assert np.mean([settling(column) > 0 for column in series.T]) < 0.15
    started = series + 4.0 * np.exp(-np.arange(1000) / 100.0)[:, None]
    dropped = [settling(column) for column in started.T]
    assert np.median(dropped) in range(200, 501)
    found = [mean_error(column, discard=None) for column in started.T]
    assert [f.discarded for f in found] == dropped
    inside = np.mean([abs(f.mean) < f.width(0.9545) for f in found])
    assert inside > 0.88
    # kept, it is taken for a long memory, and said so
    kept = mean_error(started)
    assert kept.short.mean() > 0.8
    assert np.mean(kept.mean**2) > 10.0 * np.mean([f.mean**2 for f in found])


def test_of_many_columns_one_beginning_is_dropped():
    series = remembering(600, 3.0, columns=6, seed=4)
    series[:, :3] += 5.0 * np.exp(-np.arange(600) / 40.0)[:, None]
    found = mean_error(series, discard=None)
    assert found.discarded == settling(series) > 60
    assert found.frames == 600 - found.discarded
    assert found.mean == pytest.approx(series[found.discarded :].mean(axis=0))


def test_series_that_say_nothing_are_refused():
    with pytest.raises(DataError, match="3 frames"):
        mean_error(np.zeros((3, 2)))
    broken = np.zeros((10, 2))
    broken[6, 1] = np.nan
    with pytest.raises(DataError, match="frame 6"):
        settling(broken)
    with pytest.raises(ParameterError, match="discard is 8"):
        mean_error(np.arange(10.0), discard=8)
    with pytest.raises(ParameterError, match="probability is 95"):
        mean_error(np.arange(10.0)).width(95)


def test_an_empty_frame_is_no_trouble():
    found = mean_error(np.zeros((10, 0, 3)), discard=None)
    assert found.error.shape == (0, 3)


@pytest.mark.parametrize("series", [["a"] * 6, [[1.0], [1.0, 2.0], [3.0], [4.0]], np.full(6, 1j)])
def test_what_is_no_series_of_numbers_is_told(series):
    with pytest.raises(DataError, match="one row of real numbers per frame"):
        mean_error(series)
