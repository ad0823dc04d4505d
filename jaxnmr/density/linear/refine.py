"""The most probable density given the areas of lines: Gauss-Newton on square roots, with what is known as the other observations (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...errors import ConventionError
from ..grid import Density, Shape
from .lines import LineAreas
from .model import LinearDensity

# standard deviation of the logarithm of the scale, which nothing is known of
SCALE_SPREAD = 3.0
_LEAST_GAIN = 1e-4
_WORDS = {"valence": "valence electrons", "all-electron": "all electrons"}


class RefinedDensity(NamedTuple):
    """What a refinement found.

    Attributes:
        known: the density before; ``after`` what is known now.
        c: ``(K,)`` coefficients of ``known``, in its standard deviations; ``covariance`` ``(K, K)`` of them.
        scale: of the measured areas over the calculated ones.
        misfit_before, misfit: root mean square of whitened residuals.
        r_before, r: ``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``.
        steps: taken.
        log_evidence: how probable the lines are with what is known, up to a constant of the lines.
    """

    known: LinearDensity
    c: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    scale: float
    misfit_before: float
    misfit: float
    r_before: float
    r: float
    steps: int
    log_evidence: float

    @property
    def after(self) -> LinearDensity:
        """The distribution given the lines."""
        return self.known.given(self.c, self.covariance)

    def density(self, shape: Shape | None = None) -> Density:
        """The most probable density, on any grid."""
        return self.known.density(self.c, shape)


def best_scale(area: Float[np.ndarray, " n"], calculated: Float[np.ndarray, " n"]) -> float:
    """The scale with which square roots of areas agree best."""
    return float((np.sqrt(area * calculated).sum() / calculated.sum()) ** 2)


def r_factor(area: Float[np.ndarray, " n"], calculated: Float[np.ndarray, " n"]) -> float:
    """``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``."""
    return float(np.abs(np.sqrt(area) - np.sqrt(calculated)).sum() / np.sqrt(area).sum())


def refine_density(known: LinearDensity, lines: LineAreas, *, steps: int = 40) -> RefinedDensity:
    """Correct a density by the areas of lines of an unknown scale.

    Args:
        known: what is known of it, of the electrons that scattered.
        lines: the areas.
        steps: at most.

    Raises:
        ConventionError: lines of another cell, of other electrons, or beyond the waves of the density.
    """
    require_same_electrons(known, lines)
    summing = lines.summing(known.waves)
    observed, whitening, lift = lines.roots()
    size = known.size
    mean, functions = known.mean, known.functions
    begin = best_scale(lines.area, summing @ np.abs(mean) ** 2)

    def at(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = mean + functions @ z[:size]
        grown = begin * np.exp(z[size] * SCALE_SPREAD)
        calculated = grown * (summing @ (f.real**2 + f.imag**2))
        root = np.sqrt(calculated + lift)
        jacobian = np.empty((len(lines), size + 1))
        jacobian[:, :size] = 2.0 * grown * (summing @ (f.conj()[:, None] * functions).real)
        jacobian[:, size] = calculated * SCALE_SPREAD
        return whitening @ (root - observed), whitening @ (jacobian / (2.0 * root)[:, None])

    z = np.zeros(size + 1)
    residual, jacobian = at(z)
    first, cost, damping, taken = residual, residual @ residual, 1e-3, 0
    for _ in range(steps):
        # lines are fewer than coefficients: their matrix is the smaller one
        inner = jacobian @ jacobian.T + (1.0 + damping) * np.eye(len(residual))
        target = -jacobian.T @ np.linalg.solve(inner, residual - jacobian @ z)
        trial = z + (target - z) / (1.0 + damping)
        tried, slope = at(trial)
        new = tried @ tried + trial @ trial
        if new < cost:
            gain = cost - new
            z, residual, jacobian, cost = trial, tried, slope, new
            damping, taken = damping * 0.1, taken + 1
            if gain < _LEAST_GAIN * (1.0 + cost):
                break
        else:
            damping = max(damping, 1e-2) * 10.0
            if damping > 1e6:
                break
    inner = np.eye(len(residual)) + jacobian @ jacobian.T
    covariance = (np.eye(size + 1) - jacobian.T @ np.linalg.solve(inner, jacobian))[:size, :size]
    c, scale = z[:size], begin * float(np.exp(z[size] * SCALE_SPREAD))
    before, after = (summing @ np.abs(f) ** 2 for f in (mean, known.structure_factors(c)))
    rms = lambda of: float(np.sqrt(np.mean(of**2)))
    return RefinedDensity(
        known, c, 0.5 * (covariance + covariance.T), scale, rms(first), rms(residual), r_factor(lines.area, begin * before),
        r_factor(lines.area, scale * after), taken, float(-0.5 * (cost + np.linalg.slogdet(inner)[1])),
    )  # fmt: skip


def require_same_electrons(known: LinearDensity, lines: LineAreas) -> None:
    """Refuse areas that other electrons scattered.

    Raises:
        ConventionError: with what to do.
    """
    if known.atoms != lines.atoms:
        raise ConventionError(
            f"{lines.name} is of {_WORDS[lines.atoms]}, the density of {_WORDS[known.atoms]}: X-rays are scattered by all electrons. Convert "
            "the areas by the form factors of a model (jaxnmr.solve.density.converted), or give a density of the same electrons"
        )
