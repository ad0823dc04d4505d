"""Most probable density given line areas: Gauss-Newton on square roots with a normal prior (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...errors import ConventionError
from ..agreement import SCALE_SPREAD, best_scale, r_factor, root_mean_square
from ..descent import most_probable
from ..grid import Density, Shape
from .lines import LineAreas
from .model import LinearDensity

_WORDS = {"valence": "valence electrons", "all-electron": "all electrons"}


class RefinedDensity(NamedTuple):
    """Result of a density refinement.

    Attributes:
        known: prior distribution; ``after`` the posterior.
        c: ``(K,)`` coefficients of ``known``, in its standard deviations; ``covariance`` ``(K, K)`` theirs.
        scale: measured areas over calculated ones.
        misfit_before, misfit: root mean square of whitened residuals.
        r_before, r: ``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``.
        steps: number of steps taken.
        log_evidence: log evidence of the lines with the prior, up to a constant of the lines.
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
        """Posterior distribution given the lines."""
        return self.known.given(self.c, self.covariance)

    def density(self, shape: Shape | None = None) -> Density:
        """Return the most probable density, on any grid."""
        return self.known.density(self.c, shape)


def refine_density(known: LinearDensity, lines: LineAreas, *, steps: int = 40) -> RefinedDensity:
    """Refine a density against line areas of an unknown scale.

    Args:
        known: prior distribution, for the electrons that scatter.
        lines: measured areas.
        steps: largest number of steps.

    Raises:
        ConventionError: lines have another cell or other electrons, or extend beyond the waves of the density.
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

    found = most_probable(at, size + 1, steps)
    c, scale = found.z[:size], begin * float(np.exp(found.z[size] * SCALE_SPREAD))
    before, after = (summing @ np.abs(f) ** 2 for f in (mean, known.structure_factors(c)))
    return RefinedDensity(
        known, c, found.covariance[:size, :size], scale, root_mean_square(found.first), root_mean_square(found.residual), r_factor(lines.area, begin * before),
        r_factor(lines.area, scale * after), found.steps, found.log_evidence,
    )  # fmt: skip


def require_same_electrons(known: LinearDensity, lines: LineAreas) -> None:
    """Refuse areas scattered by other electrons.

    Raises:
        ConventionError: the electrons differ; the message says what to do.
    """
    if known.atoms != lines.atoms:
        raise ConventionError(
            f"{lines.name} is of {_WORDS[lines.atoms]}, the density of {_WORDS[known.atoms]}: X-rays are scattered by all electrons. Convert "
            "the areas by the form factors of a model (jaxnmr.solve.density.converted), or give a density of the same electrons"
        )
