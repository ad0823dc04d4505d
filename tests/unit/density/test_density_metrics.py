"""SSIM and PSNR against numbers of scikit-image, and what turning and shifting a density does to them."""

import numpy as np
import pytest
from density_crystals import perovskite

from jaxnmr.density import Pose, compare, poses_of, psnr, ssim, superposed
from jaxnmr.errors import ParameterError, ShapeError

# scikit-image 0.26.0, tools/ssim_reference.py: shape, seed, noise, SSIM, PSNR
REFERENCE = [
    ((16, 16, 16), 1, 0.02, 0.950136854511, 39.019340447586),
    ((20, 24, 18), 2, 0.2, 0.233171745833, 23.286343278843),
    ((9, 8, 7), 3, 0.5, 0.165953360759, 14.887910962482),
    ((50, 50, 50), 4, 0.05, 0.646198230255, 37.687858421939),
]


def pair(shape, seed, noise):
    """As in tools/ssim_reference.py."""
    rng = np.random.default_rng(seed)
    x = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1)
    truth = sum(
        rng.uniform(0.5, 3.0)
        * np.exp(np.sum(np.cos(2 * np.pi * (x - rng.uniform(size=3))) - 1.0, axis=-1) * rng.uniform(3, 12))
        for _ in range(5)
    )
    return truth, np.maximum(truth * rng.uniform(0.8, 1.2) + noise * rng.normal(size=shape), 0.0)


@pytest.mark.parametrize(("shape", "seed", "noise", "structural", "loudness"), REFERENCE)
def test_both_measures_are_those_of_scikit_image(shape, seed, noise, structural, loudness):
    truth, other = pair(shape, seed, noise)
    assert ssim(truth, other) == pytest.approx(structural, abs=1e-10)
    assert psnr(truth, other) == pytest.approx(loudness, abs=1e-9)


def test_there_are_48_poses_24_of_them_rotations():
    assert len(set(poses_of("all"))) == 48 and len(set(poses_of("rotations"))) == 24
    assert all(pose.determinant == 1 for pose in poses_of("rotations"))


def test_a_pose_takes_a_point_where_its_matrix_says():
    values = np.arange(8**3, dtype=float).reshape(8, 8, 8)
    pose = Pose(axes=(2, 0, 1), signs=(1, -1, -1), shift=(1, 0, 3))
    old = np.array([2, 3, 5])
    new = (np.array(pose.signs) * old[list(pose.axes)] + pose.shift) % 8
    assert pose.apply(values)[tuple(new)] == values[tuple(old)]


@pytest.mark.parametrize("pose", [Pose((1, 2, 0), (1, -1, -1), (0, 0, 0)), Pose((0, 2, 1), (-1, 1, -1), (3, 0, 5))])
def test_a_turned_and_shifted_density_is_recognised(pose):
    truth, other = pair((12, 12, 12), 5, 0.02)
    turned = pose.apply(other)
    straight = compare(truth, other, poses="one")
    found = compare(truth, turned, shifts=any(pose.shift))
    assert found.ssim == pytest.approx(straight.ssim, abs=1e-10)
    assert found.psnr == pytest.approx(straight.psnr, abs=1e-9)
    np.testing.assert_array_equal(found.psnr_pose.apply(turned), other)
    assert compare(truth, turned, poses="one").psnr < straight.psnr - 3.0


def test_a_mirror_image_is_none_of_the_rotations():
    truth = pair((12, 12, 12), 6, 0.0)[0]
    mirrored = Pose(signs=(-1, 1, 1)).apply(truth)
    assert compare(truth, mirrored).ssim == pytest.approx(1.0, abs=1e-12)
    assert compare(truth, mirrored, poses="rotations").ssim < 0.9


def test_scores_of_poses_are_those_of_the_posed_densities():
    """The shortcuts, means that turn with the values, against each pose by itself."""
    truth, other = pair((9, 9, 9), 7, 0.3)
    one_by_one = [compare(truth, pose.apply(other), poses="one") for pose in poses_of("all")]
    best = compare(truth, other)
    assert best.ssim == pytest.approx(max(x.ssim for x in one_by_one), abs=1e-12)
    assert best.psnr == pytest.approx(max(x.psnr for x in one_by_one), abs=1e-9)


def test_the_best_shift_is_the_best_of_all_for_psnr():
    truth, other = pair((8, 8, 8), 8, 0.3)
    shifted = [psnr(truth, np.roll(other, (i, j, k), (0, 1, 2))) for i in range(8) for j in range(8) for k in range(8)]
    assert compare(truth, other, poses="one", shifts=True).psnr == pytest.approx(max(shifted), abs=1e-9)
    assert compare(truth, other, shifts=True, most=1).psnr == pytest.approx(
        compare(truth, other, shifts=True).psnr, abs=1e-9
    )


def test_equal_densities_are_equal():
    values = np.asarray(superposed(perovskite(), (10, 10, 10)).values)
    likeness = compare(values, values)
    assert likeness.ssim == pytest.approx(1.0, abs=1e-12) and likeness.psnr == np.inf


def test_grids_that_cannot_be_compared_are_said():
    with pytest.raises(ShapeError, match="7 or more each"):
        ssim(np.ones((6, 7, 7)), np.ones((6, 7, 7)))
    with pytest.raises(ShapeError, match="expected the same three numbers"):
        ssim(np.ones((8, 8, 8)), np.ones((8, 8, 9)))
    with pytest.raises(ShapeError, match="resample both to a cube"):
        compare(np.random.default_rng(0).normal(size=(8, 8, 9)), np.ones((8, 8, 9)))
    with pytest.raises(ParameterError, match="the same everywhere"):
        ssim(np.ones((8, 8, 8)), np.ones((8, 8, 8)))
    with pytest.raises(ParameterError, match="expected 'all', 'rotations' or 'one'"):
        compare(np.ones((8, 8, 8)), np.ones((8, 8, 8)), poses="some")
