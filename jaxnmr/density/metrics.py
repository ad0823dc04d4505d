"""How alike two densities are: SSIM and PSNR, best over axes, signs and shifts (host).

SSIM is that of Z. Wang, A. C. Bovik, H. R. Sheikh & E. P. Simoncelli, IEEE Trans. Image Process. 13, 600 (2004), as scikit-image
calculates it by default: means over cubes of 7 × 7 × 7 points, sample covariances (343/342), K1 = 0.01, K2 = 0.03, the mean over
all cubes that lie inside of the grid.
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
    """How a density is laid over another: ``new(x) = old`` with axes taken in another order, some of them reversed, then shifted.

    Attributes:
        axes: which axis of the density becomes the first, second and third.
        signs: -1 where it is reversed about the origin.
        shift: in points, along the new axes.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    signs: tuple[int, int, int] = (1, 1, 1)
    shift: tuple[int, int, int] = (0, 0, 0)

    @property
    def determinant(self) -> int:
        """1 for a rotation, -1 with a reflection."""
        return round(np.linalg.det(np.eye(3)[list(self.axes)])) * int(np.prod(self.signs))

    def apply(self, values: Grid) -> Grid:
        """The density in this pose; point 0 of a reversed axis stays where it is, as the inversion of a crystal has it."""
        return self.within(values, 0)

    def within(self, values: Grid, margin: int) -> Grid:
        """As :meth:`apply`, without so many points at every face."""
        turned = values.transpose(self.axes)
        places = [
            sign * (np.arange(margin, n - margin) - shift) % n
            for n, sign, shift in zip(turned.shape, self.signs, self.shift, strict=True)
        ]
        return turned[np.ix_(*places)]


IDENTITY = Pose()


def poses_of(which: Poses = "all") -> tuple[Pose, ...]:
    """The 48 signed permutations of axes (``"all"``), the 24 ``"rotations"`` among them, or none but the identity (``"one"``)."""
    if which not in ("all", "rotations", "one"):
        raise ParameterError(f"poses is {which!r}; expected 'all', 'rotations' or 'one'")
    if which == "one":
        return (IDENTITY,)
    every = (Pose(a, s) for a in permutations(range(3)) for s in product((1, -1), repeat=3))  # type: ignore[arg-type]
    return tuple(pose for pose in every if which == "all" or pose.determinant == 1)


@dataclass(frozen=True)
class Likeness:
    """How alike two densities are.

    Attributes:
        ssim: structural similarity, 1 for equal densities; ``ssim_pose`` where it is largest.
        psnr: peak signal-to-noise ratio in dB, ``20 log10(range/rms)``; ``psnr_pose`` where it is largest.
    """

    ssim: float
    psnr: float
    ssim_pose: Pose
    psnr_pose: Pose


def ssim(truth: Grid, found: Grid) -> float:
    """Structural similarity of two grids as they lie; see the module.

    Args:
        truth: whose range, largest less smallest value, is the scale.
        found: of the same shape.

    Raises:
        ShapeError: two shapes, or fewer than 7 points along an axis.
        ParameterError: a truth that is the same everywhere.
    """
    return compare(truth, found, poses="one").ssim


def psnr(truth: Grid, found: Grid) -> float:
    """Peak signal-to-noise ratio in dB of two grids as they lie, the range of the truth as the peak; raises as :func:`ssim`."""
    return compare(truth, found, poses="one").psnr


def compare(
    truth: Grid, found: Grid, *, poses: Poses | Sequence[Pose] = "all", shifts: bool = False, most: int | None = None
) -> Likeness:
    """SSIM and PSNR, each at its best over poses of what was found.

    Args:
        truth, found: grids of one shape; a cube where poses exchange axes.
        poses: as of :func:`poses_of`, or some of one's own; ``"rotations"`` are those of CrystalNet, which takes the best of them.
        shifts: lay each pose where its correlation with the truth is largest, of all shifts by whole points. The root mean square
            difference is smallest there, so that PSNR is at its best exactly, SSIM nearly.
        most: with shifts, score only so many poses, those of the largest correlation; the best PSNR is among them.

    Raises:
        ShapeError: two shapes, fewer than 7 points along an axis, or axes of different lengths where poses exchange them.
        ParameterError: a truth that is the same everywhere, or other poses.
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
    """Every pose with the shift of the largest correlation, the largest first."""
    waves = scipy.fft.rfftn(x)
    full = scipy.fft.fftn(y)
    half = x.shape[2] // 2 + 1
    placed, heights = [], []
    for pose in of:
        # waves turn as the values do: reversed about the origin where an axis is
        correlation = scipy.fft.irfftn(waves * np.conj(pose.apply(full)[:, :, :half]), s=x.shape)
        shift = np.unravel_index(int(correlation.argmax()), x.shape)
        heights.append(correlation[shift])
        placed.append(Pose(pose.axes, pose.signs, tuple(int(k) for k in shift)))  # type: ignore[arg-type]
    return tuple(placed[k] for k in np.argsort(-np.array(heights), kind="stable"))


@dataclass(frozen=True)
class _Comparison:
    """What of a comparison is the same for all poses; of ``y`` it runs around the cell, so that it turns and shifts with the values.

    Attributes:
        x, y: the densities.
        mean_x: means of the cubes inside; ``squares_x`` their squares plus ``c1``, ``spread_x`` the variances plus ``c2``.
        mean_y, squares_y, spread_y: means, their squares and variances of the cubes around every point.
        c1, c2: what keeps the quotients of empty cubes from being 0/0.
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
        """SSIM and the mean square difference."""
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
    """Means over all cubes of 7 points that lie inside."""
    return uniform_filter(values, WINDOW)[_INSIDE]
