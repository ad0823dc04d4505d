"""Scores of densities of any lattice: best over poses that differ, and over shifts by fractions of a point."""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from jaxnmr.crystal import Crystal, SpaceGroup
from jaxnmr.density import Pose, compare, poses_of, superposed

POINTS = 50
Score = tuple[float, float]


def density(crystal: Crystal, points: int = POINTS) -> np.ndarray:
    """Superposed valence atoms at rest."""
    return np.asarray(superposed(crystal, (points,) * 3, at_rest=True).values)


def matrix(pose: Pose) -> np.ndarray:
    found = np.zeros((3, 3), dtype=int)
    found[np.arange(3), list(pose.axes)] = pose.signs
    return found


def different_poses(truth: SpaceGroup, found: SpaceGroup | None) -> tuple[Pose, ...]:
    """Of the 48 signed permutations of axes one of each set that rotations of the two crystals make of one another.

    These differ by a shift only, which is searched for anyway.
    """
    mine = np.unique(truth.rotations, axis=0)
    theirs = np.eye(3, dtype=int)[None] if found is None else np.unique(found.rotations, axis=0)
    seen: set[bytes] = set()
    kept = []
    for pose in poses_of("all"):
        if matrix(pose).tobytes() in seen:
            continue
        kept.append(pose)
        alike = np.einsum("aij,jk,bkl->abil", mine, matrix(pose), theirs).reshape(-1, 3, 3)
        seen |= {one.astype(int).tobytes() for one in alike}
    return tuple(kept)


def shifted_score(truth: np.ndarray, found: np.ndarray, poses: Sequence[Pose], most: int = 2) -> Score:
    """SSIM and PSNR at the best pose and shift.

    The shift is that of the largest correlation, between points by the parabola through it and its neighbours, as origins that differ by
    a quarter or a third of the cell are no whole number of 50ths apart.
    """
    waves, full = scipy.fft.rfftn(truth), scipy.fft.fftn(found)
    half = truth.shape[2] // 2 + 1
    places = []
    for pose in poses:
        mine = pose.apply(full)
        correlation = scipy.fft.irfftn(waves * np.conj(mine[:, :, :half]), s=truth.shape)
        top = np.unravel_index(int(correlation.argmax()), truth.shape)
        places.append((-correlation[top], len(places), mine, _between(correlation, top)))
    scores = []
    for _, _, mine, shift in sorted(places, key=lambda row: row[:2])[:most]:
        axes = [np.fft.fftfreq(n) for n in truth.shape]
        ends = [np.exp(-2j * np.pi * k * s) for k, s in zip(axes, shift, strict=True)]
        # the wave at half the number of points has no sign: it is not there in these densities
        moved = scipy.fft.ifftn(mine * ends[0][:, None, None] * ends[1][:, None] * ends[2]).real
        likeness = compare(truth, moved, poses="one")
        scores.append((likeness.ssim, min(likeness.psnr, 100.0)))
    return max(s for s, _ in scores), max(p for _, p in scores)


def _between(correlation: np.ndarray, top: tuple) -> np.ndarray:
    found = np.array(top, dtype=float)
    for axis in range(3):
        here = list(top)
        values = []
        for step in (-1, 0, 1):
            here[axis] = (top[axis] + step) % correlation.shape[axis]
            values.append(correlation[tuple(here)])
        bend = values[0] - 2.0 * values[1] + values[2]
        if bend < 0.0:
            found[axis] += 0.5 * (values[0] - values[2]) / bend
    return found


def unshifted_scores(truth: np.ndarray, found: np.ndarray) -> tuple[Score, Score]:
    """As they lie: best over all 48 signed permutations, and over the 24 rotations, SSIM and PSNR each."""
    every = poses_of("all")
    scores = {pose: compare(truth, found, poses=(pose,)) for pose in every}
    best = lambda of: (max(scores[p].ssim for p in of), min(max(scores[p].psnr for p in of), 100.0))
    return best(every), best([pose for pose in every if pose.determinant == 1])


def interval(values: Sequence[float], samples: int = 2000) -> tuple[float, float, float]:
    """Mean with the 95 % interval of bootstrap samples."""
    of = np.asarray(values, dtype=float)
    drawn = of[np.random.default_rng(0).integers(0, len(of), size=(samples, len(of)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(of.mean()), float(low), float(high)
