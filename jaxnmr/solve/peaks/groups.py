"""Groups of overlapping peaks, fitted together; peaks are added as long as that improves the fit (host)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from .profile import Shape, Shares, components, profiles

_STEPS = 25


@dataclass(frozen=True)
class Window:
    """Data points that a group is fitted to.

    Attributes:
        x, y: ``(points,)`` degrees, and intensities after subtraction of the background and all other groups.
        sigma: ``(points,)`` their uncertainties, including the misfit of the profile; ``noise`` without it.
        level: uncertainty of the background.
        width, mixing: standard deviations of the relative width and of the mixing from the curves of the pattern.
    """

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    noise: Float[np.ndarray, " points"]
    level: float
    width: float = 0.20
    mixing: float = 0.15


@dataclass(frozen=True)
class Group:
    """Peaks with a common relative width and a common change of mixing; some may have individual widths.

    Attributes:
        position, area: ``(peaks,)``.
        common, mixing: logarithm of the width relative to the curve of the pattern, and the change of the mixing.
        level: ``(2,)`` residual background, and its slope over half the window.
        own: ``(peaks,)`` whether a peak has an individual width, with the logarithm ``stretch`` ``(peaks,)`` instead of
            ``common``.
        chi2: chi² of the fit, including the deviations of width and mixing.
        covariance: covariance of level, areas, positions, common, mixing and individual stretches, in this order.
        inflation: ``(peaks,)`` mean square of the weighted residuals around each peak, at least 1.
    """

    position: Float[np.ndarray, " peaks"]
    area: Float[np.ndarray, " peaks"]
    stretch: Float[np.ndarray, " peaks"]
    common: float
    mixing: float
    level: Float[np.ndarray, "2"]
    own: Bool[np.ndarray, " peaks"]
    chi2: float = np.inf
    covariance: Float[np.ndarray, "n n"] | None = None
    inflation: Float[np.ndarray, " peaks"] | None = None

    @classmethod
    def start(cls, position: Sequence[float] | np.ndarray, area: Sequence[float] | np.ndarray) -> "Group":
        """Make a group of peaks of the usual shape."""
        n = len(position)
        return cls(
            np.array(position, float), np.array(area, float), np.zeros(n), 0.0, 0.0, np.zeros(2), np.zeros(n, bool)
        )

    def fwhm(self, shape: Shape) -> Float[np.ndarray, " peaks"]:
        """Return the widths, degrees."""
        return shape.fwhm(self.position) * np.exp(np.where(self.own, self.stretch, self.common))

    def eta(self, shape: Shape) -> Float[np.ndarray, " peaks"]:
        """Return the Lorentzian fractions."""
        return np.clip(shape.eta(self.position) + self.mixing, 0.0, 1.0)

    def curve(self, x: Float[np.ndarray, " points"], shape: Shape) -> Float[np.ndarray, " points"]:
        """Calculate the peaks without background."""
        if not len(self.position):
            return np.zeros(len(x))
        shares = Shares.of(shape, float(np.abs(self.position).min()), float(self.fwhm(shape).min()))
        return profiles(x, *components(shape, self.position, shares), self.fwhm(shape), self.eta(shape))[0] @ self.area


def _jacobian(
    group: Group, window: Window, shape: Shape, shares: Shares
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points n"]]:
    """Return the curve, and its derivatives in the order of the covariance."""
    x, n = window.x, len(group.position)
    middle, half = 0.5 * (x[0] + x[-1]), max(0.5 * (x[-1] - x[0]), 1e-9)
    slope = (x - middle) / half
    value, by_position, by_width, by_mixing = profiles(
        x, *components(shape, group.position, shares), group.fwhm(shape), group.eta(shape)
    )
    columns = np.empty((len(x), 4 + 2 * n + int(group.own.sum())))
    columns[:, 0], columns[:, 1] = 1.0, slope
    columns[:, 2 : 2 + n] = value
    columns[:, 2 + n : 2 + 2 * n] = by_position * group.area
    widths = by_width * group.area
    columns[:, 2 + 2 * n] = widths[:, ~group.own].sum(axis=1)
    columns[:, 3 + 2 * n] = by_mixing @ group.area
    columns[:, 4 + 2 * n :] = widths[:, group.own]
    return value @ group.area + group.level[0] + group.level[1] * slope, columns


def _priors(group: Group, window: Window) -> tuple[Float[np.ndarray, "4"], Float[np.ndarray, "4 n"]]:
    """Return weighted deviations of level, slope, common width and mixing, and their derivatives."""
    n = len(group.position)
    size = 4 + 2 * n + int(group.own.sum())
    rows = np.zeros((4, size))
    rows[0, 0] = rows[1, 1] = 1.0 / window.level
    rows[2, 2 + 2 * n], rows[3, 3 + 2 * n] = 1.0 / window.width, 1.0 / window.mixing
    away = np.array([*(group.level / window.level), group.common / window.width, group.mixing / window.mixing])
    return away, rows


def _moved(group: Group, step: Float[np.ndarray, " n"], shape: Shape) -> Group:
    """Return the group after a step of limited size."""
    n = len(group.position)
    reach = 0.3 * group.fwhm(shape)
    stretch = group.stretch.copy()
    stretch[group.own] = np.clip(stretch[group.own] + np.clip(step[4 + 2 * n :], -0.4, 0.4), -3.0, 3.0)
    common = float(np.clip(group.common + np.clip(step[2 + 2 * n], -0.2, 0.2), -0.7, 0.7))
    return replace(
        group,
        level=group.level + step[:2],
        area=np.maximum(group.area + step[2 : 2 + n], 0.0),
        position=group.position + np.clip(step[2 + n : 2 + 2 * n], -reach, reach),
        common=common,
        mixing=float(np.clip(group.mixing + np.clip(step[3 + 2 * n], -0.15, 0.15), -0.5, 0.5)),
        stretch=stretch,
    )


def fitted(group: Group, window: Window, shape: Shape, *, enough: float = 1e-4) -> Group:
    """Fit a group and its covariance (Levenberg-Marquardt) until the relative gain of a step is below ``enough``."""
    weight = 1.0 / window.sigma
    lowest = max(float(np.abs(group.position).min()), 0.3) if len(group.position) else 1.0
    narrowest = float(group.fwhm(shape).min()) if len(group.position) else 1.0
    shares = Shares.of(shape, lowest, 0.7 * narrowest)

    def state(group: Group) -> tuple[float, np.ndarray, np.ndarray]:
        model, columns = _jacobian(group, window, shape, shares)
        away, rows = _priors(group, window)
        residual = np.concatenate([(window.y - model) * weight, -away])
        return float(residual @ residual), residual, np.vstack([columns * weight[:, None], rows])

    chi2, residual, columns = state(group)
    damping = 1e-3
    for _ in range(_STEPS):
        normal, gradient = columns.T @ columns, columns.T @ residual
        diagonal = np.maximum(np.diag(normal), 1e-12 * max(float(np.diag(normal).max()), 1e-30))
        step = np.linalg.solve(normal + np.diag(damping * diagonal + 1e-30), gradient)
        trial = _moved(group, step, shape)
        new, residual_new, columns_new = state(trial)
        if new <= chi2:
            gain = chi2 - new
            group, chi2, residual, columns = trial, new, residual_new, columns_new
            damping = max(0.2 * damping, 1e-9)
            if gain < enough * max(chi2, 1.0) and damping < 1e-2:
                break
        else:
            damping *= 6.0
            if damping > 1e8:
                break
    normal = columns.T @ columns
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    covariance = np.linalg.pinv(normal / np.outer(scale, scale), rcond=1e-12, hermitian=True) / np.outer(scale, scale)
    r2 = residual[: len(window.x)] ** 2
    near = np.abs(window.x[:, None] - group.position) < 1.2 * group.fwhm(shape)
    inflation = np.maximum((r2 @ near) / np.maximum(near.sum(axis=0), 1), 1.0)
    return replace(group, chi2=chi2, covariance=covariance, inflation=inflation)


def uncertainties(group: Group) -> tuple[Float[np.ndarray, " peaks"], Float[np.ndarray, " peaks"]]:
    """Return standard uncertainties of positions and areas, increased where the fit is poor."""
    n = len(group.position)
    if group.covariance is None or group.inflation is None:
        return np.full(n, np.inf), np.full(n, np.inf)
    sigma = np.sqrt(np.maximum(np.diag(group.covariance), 0.0))
    grown = np.sqrt(group.inflation)
    return sigma[2 + n : 2 + 2 * n] * grown, sigma[2 : 2 + n] * grown


def candidates(
    group: Group, window: Window, shape: Shape
) -> tuple[
    Float[np.ndarray, " places"],
    Float[np.ndarray, " places"],
    Float[np.ndarray, " places"],
    Float[np.ndarray, " peaks"],
]:
    """Estimate the gain of a further peak at every quarter of a width, and of an individual width for each peak.

    Returns:
        Positions, chi² gains and areas of further peaks; chi² gains of widths.

    All fitted parameters may relax: their columns are projected out.
    """
    shares = Shares.of(shape, max(float(np.abs(window.x).min()), 0.3), 0.7 * float(shape.fwhm(window.x[:1])[0]))
    weight = 1.0 / window.sigma
    model, columns = _jacobian(group, window, shape, shares)
    away, rows = _priors(group, window)
    columns = np.vstack([columns * weight[:, None], rows])
    residual = np.concatenate([(window.y - model) * weight, -away])
    middle = 0.5 * (window.x[0] + window.x[-1])
    fwhm = float(shape.fwhm(np.array([middle]))[0]) * np.exp(group.common)
    grid = np.arange(window.x[0] + 0.5 * fwhm, window.x[-1] - 0.5 * fwhm, 0.25 * fwhm)
    eta = np.clip(shape.eta(grid) + group.mixing, 0.0, 1.0)
    peaks = profiles(window.x, *components(shape, grid, shares), shape.fwhm(grid) * np.exp(group.common), eta)[0]
    widths = profiles(window.x, *components(shape, group.position, shares), group.fwhm(shape), group.eta(shape))[2]
    new = np.hstack([peaks, widths * group.area]) * weight[:, None]
    new = np.vstack([new, np.zeros((len(rows), new.shape[1]))])
    basis = np.linalg.qr(columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-30))[0]
    before = np.maximum((new * new).sum(axis=0), 1e-30)
    new = new - basis @ (basis.T @ new)
    norm = (new * new).sum(axis=0)
    along = (residual - basis @ (basis.T @ residual)) @ new
    amount = np.where((norm > 1e-3 * before) & (along > 0.0), along / np.maximum(norm, 1e-30), 0.0)
    n = len(grid)
    return grid, (amount * along)[:n], amount[:n], (amount * along)[n:]
