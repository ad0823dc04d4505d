"""Labels of a structure that are all off by one constant: what training and scores make of it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from jaxnmr.models.tensors.metrics import Comparison
from jaxnmr.models.tensors.step import common_offset

OWNER = np.array([0, 0, 0, 1, 1, 2, 2, 2])
WEIGHT = np.array([2.0, 1.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0])
ERROR = np.array([1.0, 2.0, 4.0, -2.0, 9.0, 7.0, 7.0, 7.0], dtype=np.float32)


def test_the_constant_is_the_best_linear_prediction_of_a_random_effect():
    found = common_offset(jnp.asarray(ERROR), jnp.asarray(WEIGHT), jnp.asarray(OWNER), 3, 2.0)
    # minimum over b of sum w (e - b)^2 + (sum w / n) b^2 / ratio^2, and nothing where nothing is labelled
    for structure, sites in ((0, [0, 1, 2]), (1, [3])):
        w, e = WEIGHT[sites], ERROR[sites]
        expected = (w @ e) / (w.sum() + w.sum() / len(sites) / 2.0**2)
        assert_allclose(np.asarray(found)[structure == OWNER], expected, rtol=1e-6)
    assert_allclose(np.asarray(found)[OWNER == 2], 0.0)


def test_a_large_ratio_takes_the_whole_mean_and_a_small_one_nothing():
    at = lambda ratio: np.asarray(common_offset(jnp.asarray(ERROR), jnp.asarray(WEIGHT), jnp.asarray(OWNER), 3, ratio))
    assert_allclose(at(1e3)[:3], 2.0, rtol=1e-5)
    assert_allclose(at(1e-4), 0.0, atol=1e-6)


def test_scores_tell_offsets_of_structures_from_errors_within_them():
    true = np.broadcast_to(np.diag([430.0, 440.0, 450.0]), (5, 3, 3))
    structure = np.array([0, 0, 1, 1, 2])
    errors = np.array([3.0, 3.4, -4.0, -4.6, 10.0])  # the last has no other site to be compared with
    pair = Comparison("Si", "shielding", true + errors[:, None, None] * np.eye(3), true, np.ones(5), structure)
    scores = pair.metrics()
    assert_allclose(scores["iso_within_mae"], (0.2 + 0.3) / 2, rtol=1e-3)
    assert_allclose(scores["iso_offset_rms"], np.sqrt((3.2**2 + 4.3**2 + 10.0**2) / 3), rtol=1e-6)
    alone = dataclasses.replace(pair, structure=np.arange(5))
    assert "iso_within_mae" not in alone.metrics()
