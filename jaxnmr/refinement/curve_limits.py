"""Information on parameters in a curve: Fisher information, bounds, and the best linear estimator (host).

Curves scatter by random draws and by white noise. The distribution of the draws is known only from samples. The bound
uses their covariance as estimated by `DrawCovariance`; the estimator is made from one part of the draws and judged on
another, so that it cannot profit from chance features of a sample. No direction is discarded: those with little scatter
are the most informative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .._tables import plain
from ..errors import DataError, ParameterError
from ..nmr.echo import DrawCovariance
from .linearised import Linearised, null_sentences

_FOLDS = 4
# added to the variance of a sample, in units of the mean square of a curve; the best is taken
_RIDGES = (1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)


@dataclass(frozen=True, eq=False)
class Knowable:
    """Information in one curve at one point, to first order in the parameters.

    Attributes:
        names: names of the parameters; ``values`` their values.
        noise: assumed standard deviation of white noise on every number; ``draws`` number of draws for the covariance.
        information: ``(parameters, parameters)`` Fisher information of the mean.
        bounds: ``(parameters,)`` lower bounds of the standard deviation of any unbiased estimator (H. Cramér; C. R.
            Rao), infinite for undetermined parameters.
        undetermined: sentences that name undetermined parameters.
        estimator: ``(parameters, parameters)`` covariance of the best linear estimator on held-out draws.
        slopes: ``(parameters, points)`` mean derivatives; ``scatter`` ``(points,)`` standard deviation over draws.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    noise: float
    draws: int
    information: np.ndarray
    bounds: np.ndarray
    undetermined: tuple[str, ...]
    estimator: np.ndarray
    slopes: np.ndarray
    scatter: np.ndarray

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviations of the best linear estimator, ``(parameters,)``; infinite for undetermined parameters."""
        return np.sqrt(np.diag(self.estimator))

    def __str__(self) -> str:
        rows = [
            (name, f"{value:.4g}", f"{bound:.3g}", f"{own:.3g}")
            for name, value, bound, own in zip(self.names, self.values, self.bounds, self.deviations, strict=True)
        ]
        table = plain(("parameter", "value", "bound", "best linear"), rows)
        floor = f"assumed noise floor {self.noise:.3g}, covariance of {self.draws} draws"
        return "\n".join([table, floor, *self.undetermined])


def knowable(
    curves: np.ndarray,
    slopes: np.ndarray,
    names: Sequence[str],
    values: Sequence[float],
    *,
    noise: float | Sequence[float],
) -> tuple[Knowable, ...]:
    """Return the information of curves at these parameters, for each of the assumed noise levels.

    Args:
        curves: ``(draws, points)`` complex, drawn independently; at least a thousand for reliable numbers.
        slopes: ``(other draws, parameters, points)`` derivatives, for two or more draws.
        names, values: names and values of the parameters.
        noise: assumed standard deviations of white noise on real and imaginary parts, one or several.

    Raises:
        ParameterError: a noise is not positive, or names do not match.
        DataError: there are too few draws, or numbers that are not finite.
    """
    noises = [float(s) for s in np.atleast_1d(noise)]
    if not all(s > 0 for s in noises):
        raise ParameterError(f"noise is {noise}; expected positive numbers: rounding alone is 1e-8 in single precision")
    x, j = _real(curves), _real(slopes)
    if j.shape[1:] != (len(names), x.shape[1]) or len(values) != len(names):
        raise ParameterError(
            f"slopes have the shape {np.shape(slopes)}; expected (draws, {len(names)}, {x.shape[1] // 2})"
        )
    if len(j) < 2 or not np.isfinite(j).all():
        raise DataError(f"there are {len(j)} draws of slopes; expected two or more, and finite ones")
    covariance = DrawCovariance.of(np.asarray(curves))
    scatter = np.sqrt(np.var(np.real(curves), axis=0) + np.var(np.imag(curves), axis=0))
    places = []
    for sigma in noises:
        whitened = np.asarray(covariance.whitened(j.mean(axis=0), sigma))
        problem = Linearised.create(np.zeros(x.shape[1]), whitened.T)
        nulls = problem.null_vectors()
        lost = (np.abs(nulls) > 1e-3).any(axis=0) if len(nulls) else np.zeros(len(names), bool)
        places.append((whitened @ whitened.T, problem, lost))
    kept = ~np.any([lost for *_, lost in places], axis=0)
    spreads = _estimators(x, j[:, kept], noises) if kept.any() else [np.zeros((0, 0))] * len(noises)
    found = []
    for sigma, (information, problem, lost), spread in zip(noises, places, spreads, strict=True):
        estimator = np.full((len(names), len(names)), np.inf)
        estimator[np.ix_(kept, kept)] = spread
        found.append(
            Knowable(
                names=tuple(names),
                values=tuple(map(float, values)),
                noise=sigma,
                draws=len(x),
                information=information,
                bounds=np.where(lost, np.inf, np.sqrt(np.diag(problem.covariance()))),
                undetermined=null_sentences(problem, list(names)),
                estimator=estimator,
                slopes=np.asarray(slopes).mean(axis=0),
                scatter=scatter,
            )
        )
    return tuple(found)


def _real(curves: np.ndarray) -> np.ndarray:
    return np.concatenate([np.real(curves), np.imag(curves)], axis=-1).astype(float)


def _estimators(x: np.ndarray, j: np.ndarray, noises: Sequence[float]) -> list[np.ndarray]:
    """Return held-out covariances of linear estimators: weights from some draws and slopes, judged by others."""
    size = x.std()
    x, j = x / size, j / size
    # columns of equal length, whatever their units
    lengths = np.linalg.norm(j.mean(axis=0), axis=-1)
    j = j / lengths[:, None]
    halves = j[: len(j) // 2].mean(axis=0), j[len(j) // 2 :].mean(axis=0)
    found: list[list[np.ndarray]] = [[] for _ in noises]
    for fold in range(_FOLDS):
        held = np.arange(len(x)) % _FOLDS == fold
        known = x[~held] - x[~held].mean(axis=0)
        judged = x[held] - x[held].mean(axis=0)
        _, s, vt = np.linalg.svd(known, full_matrices=False)
        variances = s**2 / (len(known) - 1)
        for one, other in (halves, halves[::-1]):
            along = one @ vt.T
            beside = one - along @ vt
            for noise, of_noise in zip(noises, found, strict=True):
                sigma = noise / size
                spreads = []
                for ridge in _RIDGES:
                    total = sigma**2 + ridge
                    weights = ((along / (variances + total)) @ vt + beside / total).T
                    weights = weights @ np.linalg.pinv(other @ weights)
                    scores = judged @ weights
                    spreads.append(scores.T @ scores / (len(judged) - 1) + sigma**2 * weights.T @ weights)
                # least volume of the remaining covariance
                of_noise.append(min(spreads, key=lambda spread: float(np.linalg.slogdet(spread)[1])))
    return [np.mean(of_noise, axis=0) / np.outer(lengths, lengths) for of_noise in found]


def expected_variance(observed: Callable[[np.ndarray], np.ndarray], grid: np.ndarray, sigma: float) -> float:
    """Return the mean posterior variance of a parameter with uniform prior, after a normal observation of a function.

    Args:
        observed: the observed function, ``lambda d: 10.0**-d``.
        grid: ``(n,)`` values of the parameter, increasing.
        sigma: standard deviation of the observation.
    """
    levels = observed(grid)
    z = np.linspace(-4.0, 4.0, 33)
    weights = np.exp(-0.5 * z**2)
    left = np.zeros(len(grid))
    for shift, weight in zip(z, weights / weights.sum(), strict=True):
        distance = 0.5 * ((levels[:, None] + sigma * shift - levels[None]) / sigma) ** 2
        likelihood = np.exp(distance.min(axis=1, keepdims=True) - distance)
        left += weight * (grid - likelihood @ grid / likelihood.sum(axis=1)) ** 2
    # the function is linear between grid points
    own = sigma / np.maximum(np.abs(np.gradient(levels, grid)), 1e-300)
    return float(np.mean(np.where(own < np.gradient(grid), own**2, left)))


def r_squared(
    known: Knowable,
    priors: Mapping[str, tuple[float, float, Callable[[np.ndarray], np.ndarray], str]],
    points: int = 401,
) -> dict[str, float]:
    """Return the fraction of the prior variance removed by one curve, by parameter.

    The other parameters are integrated out with normal priors of the same variance as theirs.

    Args:
        known: information in curves.
        priors: ``(low, high, function, name)`` by parameter: uniform in between; curves determine the function of it,
            which has the name ``name`` in ``known``.
        points: number of grid points.
    """
    kept = [k for k, name in enumerate(known.names) if np.isfinite(known.deviations[k])]
    spread = known.estimator[np.ix_(kept, kept)]
    names = [known.names[k] for k in kept]
    found = {}
    for parameter, (low, high, function, name) in priors.items():
        if name not in names:
            found[parameter] = 0.0
            continue
        information = np.linalg.inv(spread)
        for other, (a, b, of, called) in priors.items():
            if other != parameter and called in names:
                k = names.index(called)
                information[k, k] += 1.0 / np.var(of(np.linspace(a, b, points)))
        sigma = float(np.sqrt(np.linalg.inv(information)[names.index(name), names.index(name)]))
        grid = np.linspace(low, high, points)
        found[parameter] = 1.0 - expected_variance(function, grid, sigma) / float(np.var(grid))
    return found
