"""Scores of densities of any lattice: best over poses that differ, and over shifts by fractions of a point."""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from jaxnmr.crystal import Crystal
from jaxnmr.density import Pose, compare, poses_of, superposed

POINTS = 50
Score = tuple[float, float]


def density(crystal: Crystal, points: int = POINTS) -> np.ndarray:
    """Superposed valence atoms at rest."""
    return np.asarray(superposed(crystal, (points,) * 3, at_rest=True).values)


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


def unshifted_scores(truth: np.ndarray, found: np.ndarray, most: int = 6) -> tuple[Score, Score]:
    """As they lie: best over all 48 signed permutations, and over the 24 rotations, SSIM and PSNR each.

    SSIM is taken of so many poses of each kind, those of the smallest difference.
    """
    every = poses_of("all")
    difference = {pose: float(np.square(pose.apply(found) - truth).mean()) for pose in every}
    scores: dict[Pose, Score] = {}

    def best(of: Sequence[Pose]) -> Score:
        first = sorted(of, key=difference.__getitem__)[:most]
        for pose in first:
            if pose not in scores:
                likeness = compare(truth, found, poses=(pose,))
                scores[pose] = (likeness.ssim, min(likeness.psnr, 100.0))
        return max(scores[p][0] for p in first), max(scores[p][1] for p in first)

    return best(every), best([pose for pose in every if pose.determinant == 1])


def interval(values: Sequence[float], samples: int = 2000) -> tuple[float, float, float]:
    """Mean with the 95 % interval of bootstrap samples."""
    of = np.asarray(values, dtype=float)
    drawn = of[np.random.default_rng(0).integers(0, len(of), size=(samples, len(of)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(of.mean()), float(low), float(high)
