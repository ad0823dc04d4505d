"""Lines of a measured powder as input of a prior: areas on its reflections, independent of the wavelength (host)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from ...diffraction.corrections import lorentz_factor, polarization_factor
from ...errors import ConventionError, DataError, ParameterError, ShapeError
from ...typing import Numbers
from .data import LineNoise, LineSet

# largest relative deviation of the 1/d of a line from that of its reflections
_SAME_LINE = 2e-3


@dataclass(frozen=True)
class LinePattern:
    """Corrected line areas of a cubic cell: proportional to the sum of ``|F|²`` over all reflections of a line.

    Attributes:
        edge: edge of the cell, Å.
        d_star: ``1/d`` of the lines, 1/Å.
        areas: areas on any scale, none negative.
        sigma: their standard deviations.
    """

    edge: float
    d_star: Float[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    sigma: Float[np.ndarray, " n"]

    @classmethod
    def create(cls, edge: float, d_star: Numbers, areas: Numbers, sigma: Numbers | None = None) -> Self:
        """Check and store lines.

        Args:
            edge: edge of the cubic cell, Å.
            d_star, areas, sigma: as of the class; by default ``sigma`` is that of `LineNoise`.

        Raises:
            ShapeError: there is not one area and deviation per line.
            ParameterError: the edge is not positive.
            DataError: areas are negative, not finite or all zero, or deviations are not positive.
        """
        q, values = np.asarray(d_star, dtype=float), np.asarray(areas, dtype=float)
        if q.ndim != 1 or values.shape != q.shape:
            raise ShapeError(f"lines at {q.shape} and areas of {values.shape}; expected one area for each line")
        if not (np.isfinite(edge) and edge > 0.0):
            raise ParameterError(f"the edge of the cell is {edge} Å; expected a positive number")
        if not np.isfinite(values).all() or (values < 0.0).any():
            bad = int(np.flatnonzero(~np.isfinite(values) | (values < 0.0))[0])
            raise DataError(
                f"the area of line {bad} (1/d = {q[bad]:.4f} 1/Å) is {values[bad]:g}; areas are not negative: set those that noise "
                "has made so to zero, with their deviation"
            )
        if not values.size or values.max() <= 0.0:
            raise DataError("no line has an area: there is no pattern")
        deviations = LineNoise().sigma(values) if sigma is None else np.asarray(sigma, dtype=float)
        if deviations.shape != values.shape:
            raise ShapeError(f"deviations of {deviations.shape} for areas of {values.shape}")
        if not (np.isfinite(deviations).all() and (deviations > 0.0).all()):
            raise DataError("standard deviations must be finite and positive")
        return cls(float(edge), q, values, deviations)

    @classmethod
    def from_angles(
        cls, edge: float, two_theta: Numbers, areas: Numbers, wavelength: float, *, sigma: Numbers | None = None,
        polarization: float = 0.5,
    ) -> Self:  # fmt: skip
        """Make lines from diffractometer data by dividing out Lorentz and polarisation factors.

        Args:
            edge: edge of the cell, Å.
            two_theta: degrees.
            areas, sigma: integrated intensities as measured, and their deviations.
            wavelength: Å.
            polarization: fraction of the beam polarised perpendicular to the plane of diffraction.

        Raises:
            ParameterError: an angle is outside 0 to 180 degrees, or the wavelength is not positive; further as
                :meth:`create`.
        """
        angles = np.asarray(two_theta, dtype=float)
        if not wavelength > 0.0 or not ((angles > 0.0) & (angles < 180.0)).all():
            raise ParameterError(
                f"wavelength {wavelength} Å and angles up to {angles.max(initial=0.0)}; expected above 0, and 0 to 180"
            )
        factor = np.asarray(lorentz_factor(angles) * polarization_factor(angles, polarization), dtype=float)
        deviations = None if sigma is None else np.asarray(sigma, dtype=float) / factor
        d_star = 2.0 * np.sin(np.radians(angles / 2.0)) / wavelength
        return cls.create(edge, d_star, np.asarray(areas, dtype=float) / factor, deviations)

    def on(self, lines: LineSet) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]]:
        """Return areas and deviations of the lines of a prior; other lines are left out.

        Raises:
            ConventionError: the pattern lacks some of them.
        """
        wanted = np.sqrt(lines.squares) / self.edge
        apart = np.abs(self.d_star[None] - wanted[:, None])
        nearest = apart.argmin(axis=1)
        missing = apart[np.arange(len(wanted)), nearest] > _SAME_LINE * wanted
        if missing.any():
            first = int(lines.squares[missing][0])
            raise ConventionError(
                f"{int(missing.sum())} of {len(wanted)} lines of the prior are not in the pattern, that of h²+k²+l² = {first} at d = "
                f"{self.edge / np.sqrt(first):.4f} Å among them: the prior takes all lines down to d = "
                f"{self.edge / np.sqrt(lines.largest):.3f} Å; measure with a shorter wavelength or to higher angles, give absent lines "
                "with an area of 0, or check the cell"
            )
        return self.areas[nearest], self.sigma[nearest]
