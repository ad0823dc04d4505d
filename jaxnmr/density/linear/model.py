"""`LinearDensity`: normal distribution of densities, ``F = mean + functions @ c`` with standard normal ``c`` (host)."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Complex, Float

from ...crystal import volume
from ...errors import DataError, ShapeError
from ..grid import Density, Shape
from .waves import IndependentWaves

# fraction of the largest variance below which functions are dropped
_LEAST = 1e-6


@dataclass(frozen=True)
class LinearDensity:
    """Densities linear in coefficients, each with expectation 0 and variance 1.

    Attributes:
        waves: waves of the densities.
        mean: ``(n,)`` structure factors of the most probable density, electrons per cell.
        functions: ``(n, K)`` derivatives by the coefficients.
        electrons: F(000), independent of the coefficients.
        atoms: electrons of the densities, ``"valence"`` or ``"all-electron"``.
    """

    waves: IndependentWaves
    mean: Complex[np.ndarray, " n"]
    functions: Complex[np.ndarray, "n k"]
    electrons: float
    atoms: str = "all-electron"

    @classmethod
    def create(
        cls,
        waves: IndependentWaves,
        mean: Complex[np.ndarray, " n"],
        covariance: Float[np.ndarray, "p p"],
        electrons: float,
        atoms: str = "all-electron",
    ) -> Self:
        """Make it from a mean and the covariance of the free numbers of the waves; see `IndependentWaves.numbers`.

        Raises:
            ShapeError: the numbers do not match the waves.
            DataError: the covariance is invalid.
        """
        numbers = len(waves) + int((~waves.centric).sum())
        if np.shape(mean) != (len(waves),) or np.shape(covariance) != (numbers, numbers):
            raise ShapeError(
                f"a mean of {np.shape(mean)} and a covariance of {np.shape(covariance)}; expected ({len(waves)},) and "
                f"({numbers}, {numbers}) for these waves"
            )
        c = np.asarray(covariance, dtype=float)
        if not np.isfinite(c).all() or not np.allclose(c, c.T, atol=1e-8 * np.abs(c).max()):
            raise DataError("the covariance of a density must be finite and symmetric")
        values, vectors = np.linalg.eigh(0.5 * (c + c.T))
        if values.min() < -1e-8 * max(values.max(), 0.0) or values.max() <= 0.0:
            raise DataError(
                f"the covariance of a density has an eigenvalue of {values.min():.3g}, the largest is {values.max():.3g}; expected none below 0"
            )
        kept = values > _LEAST * values.max()
        scaled = (vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1]
        return cls(waves, np.asarray(mean), waves.structure_factors(scaled.T).T, float(electrons), atoms)

    @classmethod
    def of_functions(
        cls,
        waves: IndependentWaves,
        first: Complex[np.ndarray, " n"],
        second: Complex[np.ndarray, "n k"],
        c: Float[np.ndarray, " k"],
        covariance: Float[np.ndarray, "k k"],
        electrons: float,
        atoms: str = "valence",
    ) -> Self:
        """Make it from functions whose coefficients have a mean and a covariance, for example those of a learned prior.

        Args:
            waves: waves whose structure factors are ``first + second @ c``, electrons per cell.
            first, second, c, covariance: the functions, and mean and covariance of their coefficients.
            electrons, atoms: as of the class.
        """
        factor = np.linalg.cholesky(np.asarray(covariance, dtype=float))
        return cls(waves, first + second @ np.asarray(c, dtype=float), second @ factor, float(electrons), atoms)

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.functions.shape[1]

    def structure_factors(self, c: Float[np.ndarray, " k"]) -> Complex[np.ndarray, " n"]:
        """Return the structure factors of the waves, electrons per cell."""
        if np.shape(c) != (self.size,):
            raise ShapeError(f"coefficients of shape {np.shape(c)}; this density has {self.size}")
        return self.mean + self.functions @ np.asarray(c, dtype=float)

    def density(self, c: Float[np.ndarray, " k"] | None = None, shape: Shape | None = None) -> Density:
        """Return the density with these coefficients, by default the mean, on any grid."""
        f = self.mean if c is None else self.structure_factors(c)
        return self.waves.on_grid(f, self.electrons, shape or self.waves.shape(2))

    def at(self, points: Float[np.ndarray, "m 3"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Return mean and standard deviation of the density at fractional coordinates, e/Å³."""
        slopes = self.waves.at(points)
        along = slopes @ self.waves.numbers(self.functions.T).T
        level = self.electrons / float(volume(self.waves.cell))
        return level + slopes @ self.waves.numbers(self.mean), np.sqrt((along**2).sum(axis=1))

    def given(self, c: Float[np.ndarray, " k"], covariance: Float[np.ndarray, "k k"]) -> Self:
        """Return the distribution if the coefficients have this mean and covariance."""
        values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        return replace(self, mean=self.structure_factors(c), functions=self.functions @ factor)
