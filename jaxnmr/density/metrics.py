"""Similarity of two densities: SSIM and PSNR, maximised over axes, signs and shifts (host).

SSIM is that of Z. Wang, A. C. Bovik, H. R. Sheikh & E. P. Simoncelli, IEEE Trans. Image Process. 13, 600 (2004), with
the defaults of scikit-image: means over cubes of 7 × 7 × 7 points, sample covariances (343/342), K1 = 0.01, K2 = 0.03,
the mean over all cubes inside the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal

import numpy as np
import scipy.fft
from jaxtyping import Float
from scipy.ndimage import uniform_filter

from ..errors import ParameterError, ShapeError

WINDOW = 7
_K1, _K2 = 0.01, 0.03
_MARGIN, _SAMPLE = WINDOW // 2, WINDOW**3 / (WINDOW**3 - 1.0)
_INSIDE = (slice(_MARGIN, -_MARGIN),) * 3
Poses = Literal["all", "rotations", "one"]
Grid = Float[np.ndarray, "a b c"]


@dataclass(frozen=True)
class Pose:
    """Transformation of a density onto another: ``new(x) = old`` with axes permuted, some reversed, then shifted.

    Attributes:
        axes: axes of the density that become the first, second and third.
        signs: -1 for an axis reversed about the origin.
        shift: shift in points, along the new axes.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    signs: tuple[int, int, int] = (1, 1, 1)
    shift: tuple[int, int, int] = (0, 0, 0)

    @property
    def determinant(self) -> int:
        """Determinant: 1 for a rotation, -1 with a reflection."""
        return round(np.linalg.det(np.eye(3)[list(self.axes)])) * int(np.prod(self.signs))

    def apply(self, values: Grid) -> Grid:
        """Return the density in this pose; point 0 of a reversed axis stays fixed, as in an inversion of a crystal."""
        return self.within(values, 0)

    def within(self, values: Grid, margin: int) -> Grid:
        """Do the same as :meth:`apply`, with a margin of points removed at every face."""
        turned = values.transpose(self.axes)
        places = [
            sign * (np.arange(margin, n - margin) - shift) % n
            for n, sign, shift in zip(turned.shape, self.signs, self.shift, strict=True)
        ]
        return turned[np.ix_(*places)]


IDENTITY = Pose()


def poses_of(which: Poses = "all") -> tuple[Pose, ...]:
    """List the 48 signed axis permutations (``"all"``), the 24 ``"rotations"``, or the identity (``"one"``)."""
    if which not in ("all", "rotations", "one"):
        raise ParameterError(f"poses is {which!r}; expected 'all', 'rotations' or 'one'")
    if which == "one":
        return (IDENTITY,)
    every = (Pose(a, s) for a in permutations(range(3)) for s in product((1, -1), repeat=3))  # type: ignore[arg-type]
    return tuple(pose for pose in every if which == "all" or pose.determinant == 1)


@dataclass(frozen=True)
class Likeness:
    """Similarity of two densities.

    Attributes:
        ssim: structural similarity, 1 for equal densities; ``ssim_pose`` the pose that maximises it.
        psnr: peak signal-to-noise ratio in dB, ``20 log10(range/rms)``; ``psnr_pose`` the pose that maximises it.
    """

    ssim: float
    psnr: float
    ssim_pose: Pose
    psnr_pose: Pose


def ssim(truth: Grid, found: Grid) -> float:
    """Return the structural similarity of two grids without transformation; see the module.

    Args:
        truth: reference grid; its range, maximum minus minimum, is the scale.
        found: grid of the same shape.

    Raises:
        ShapeError: the shapes differ, or an axis has fewer than 7 points.
        ParameterError: the reference is constant.
    """
    return compare(truth, found, poses="one").ssim


def psnr(truth: Grid, found: Grid) -> float:
    """Return the peak signal-to-noise ratio of two grids in dB, with the range of the truth as peak; see :func:`ssim`."""
    return compare(truth, found, poses="one").psnr


def compare(
    truth: Grid, found: Grid, *, poses: Poses | Sequence[Pose] = "all", shifts: bool = False, most: int | None = None
) -> Likeness:
    """Compare densities by SSIM and PSNR, each maximised over poses of the second.

    Args:
        truth, found: grids of one shape; a cube if poses exchange axes.
        poses: as of :func:`poses_of`, or user-defined; ``"rotations"`` are those of CrystalNet, which takes the best of
            them.
        shifts: shift each pose by whole points to its largest correlation with the truth. The root mean square
            difference is smallest there, so that PSNR is exactly maximal, SSIM nearly.
        most: with shifts, score only this many poses, those of the largest correlation; the best PSNR is among them.

    Raises:
        ShapeError: shapes differ, an axis has fewer than 7 points, or poses exchange axes of different lengths.
        ParameterError: the truth is constant, or the poses are unknown.
    """
    x, y = np.asarray(truth, dtype=float), np.asarray(found, dtype=float)
    if x.shape != y.shape or x.ndim != 3 or min(x.shape) < WINDOW:
        raise ShapeError(
            f"densities of {x.shape} and {y.shape} points; expected the same three numbers, {WINDOW} or more each"
        )
    of = poses_of(poses) if isinstance(poses, str) else tuple(poses)
    if len(set(x.shape)) > 1 and any(pose.axes != IDENTITY.axes for pose in of):
        raise ShapeError(
            f"a grid of {x.shape} points has no exchanged axes: resample both to a cube, or take poses='one'"
        )
    span = float(x.max() - x.min())
    if not span > 0.0:
        raise ParameterError("the true density is the same everywhere: there is no range to measure differences by")
    if shifts:
        of = _aligned(x, y, of)[:most]
    comparison = _Comparison.of(x, y, span)
    scores = np.array([comparison.scores(pose) for pose in of])
    best, quietest = int(scores[:, 0].argmax()), int(scores[:, 1].argmin())
    error = scores[quietest, 1]
    loudness = float(10.0 * np.log10(span**2 / error)) if error > 0.0 else np.inf
    return Likeness(float(scores[best, 0]), loudness, of[best], of[quietest])


def _aligned(x: Grid, y: Grid, of: tuple[Pose, ...]) -> tuple[Pose, ...]:
    """Return every pose with the shift of largest correlation, ordered by decreasing correlation."""
    waves = scipy.fft.rfftn(x)
    full = scipy.fft.fftn(y)
    half = x.shape[2] // 2 + 1
    placed, heights = [], []
    for pose in of:
        # waves transform like the values: reversed about the origin along a reversed axis
        correlation = scipy.fft.irfftn(waves * np.conj(pose.apply(full)[:, :, :half]), s=x.shape)
        shift = np.unravel_index(int(correlation.argmax()), x.shape)
        heights.append(correlation[shift])
        placed.append(Pose(pose.axes, pose.signs, tuple(int(k) for k in shift)))  # type: ignore[arg-type]
    return tuple(placed[k] for k in np.argsort(-np.array(heights), kind="stable"))


@dataclass(frozen=True)
class _Comparison:
    """Pose-independent parts of a comparison; those of ``y`` cover the whole cell, to be transformed with the values.

    Attributes:
        x, y: the densities.
        mean_x: means of the cubes inside; ``squares_x`` their squares plus ``c1``, ``spread_x`` the variances plus
            ``c2``.
        mean_y, squares_y, spread_y: means, their squares and variances of the cubes around every point.
        c1, c2: constants that prevent 0/0 for empty cubes.
    """

    x: Grid
    y: Grid
    mean_x: Grid
    squares_x: Grid
    spread_x: Grid
    mean_y: Grid
    squares_y: Grid
    spread_y: Grid
    c1: float
    c2: float

    @classmethod
    def of(cls, x: Grid, y: Grid, span: float) -> "_Comparison":
        around = np.pad(y, _MARGIN, mode="wrap")
        mean_x, mean_y, c1, c2 = _means(x), _means(around), (_K1 * span) ** 2, (_K2 * span) ** 2
        squares_x, squares_y = mean_x**2, mean_y**2
        spread_x, spread_y = (
            _SAMPLE * (_means(of * of) - squares) for of, squares in ((x, squares_x), (around, squares_y))
        )
        return cls(x, y, mean_x, squares_x + c1, spread_x + c2, mean_y, squares_y, spread_y, c1, c2)

    def scores(self, pose: Pose) -> tuple[float, float]:
        """Return SSIM and the mean square difference."""
        y = pose.apply(self.y)
        both = pose.within(self.mean_y, _MARGIN)
        both *= self.mean_x
        covariance = _means(self.x * y)
        covariance -= both
        covariance *= 2.0 * _SAMPLE
        covariance += self.c2
        both *= 2.0
        both += self.c1
        both *= covariance
        for mine, theirs in ((self.squares_x, self.squares_y), (self.spread_x, self.spread_y)):
            below = pose.within(theirs, _MARGIN)
            below += mine
            both /= below
        y -= self.x
        # not by BLAS, whose threads take longer to start
        return float(both.mean()), float(np.square(y, out=y).mean())


def _means(values: Grid) -> Grid:
    """Return means over all cubes of 7 points inside the grid."""
    return uniform_filter(values, WINDOW)[_INSIDE]
