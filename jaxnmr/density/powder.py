"""Powder pattern of a density: lines with Lorentz and polarisation factors, and a profile."""

from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._arrays import namespace
from .._struct import Struct, static
from ..crystal import SpaceGroup, reciprocal_metric, volume
from ..diffraction.corrections import bragg_two_theta, lorentz_factor, polarization_factor
from ..diffraction.profiles import pseudo_voigt
from ..diffraction.reflections import plan_reflections
from ..errors import ParameterError
from ..typing import Array, Numbers
from .grid import Density

# relative difference of 1/d below which reflections are one line
_ONE_LINE = 1e-6


class PowderLines(Struct):
    """Powder lines of a cell, for densities that change while the cell is constant; see :meth:`plan`.

    Attributes:
        hkl: reflections, one of every Laue-equivalent set of the space group.
        multiplicity: multiplicity with Friedel mates.
        line: index of the line of each reflection: reflections at the same d form one line.
        two_theta: angles of the lines, degrees, increasing.
        factor: multiplicity, Lorentz and polarisation factor over the volume, for every reflection.
        n_lines: number of lines.
    """

    hkl: Int[np.ndarray, "m 3"]
    multiplicity: Int[np.ndarray, " m"]
    line: Int[np.ndarray, " m"]
    two_theta: Float[np.ndarray, " lines"]
    factor: Float[np.ndarray, " m"]
    n_lines: int = static()

    @classmethod
    def plan(
        cls,
        cell: Numbers,
        wavelength: float,
        two_theta_max: float,
        *,
        group: SpaceGroup | None = None,
        polarization: float = 0.5,
    ) -> Self:
        """List the lines (host).

        Args:
            cell: six numbers, Å and degrees.
            wavelength: Å.
            two_theta_max: degrees, below 180.
            group: space group whose equivalents and absences are counted once; by default P1, which is right for any
                density.
            polarization: fraction of the beam polarised perpendicular to the plane of diffraction.

        Raises:
            ParameterError: an angle is outside 0 to 180 degrees, or the wavelength is not positive.
            DataError: there is no reflection up to that angle.
        """
        if not 0.0 < two_theta_max < 180.0 or not wavelength > 0.0:
            raise ParameterError(
                f"two_theta_max is {two_theta_max} degrees and the wavelength {wavelength} Å; expected between 0 and 180, and above 0"
            )
        six = np.asarray(cell, dtype=float)
        d_min = wavelength / (2.0 * np.sin(np.radians(two_theta_max / 2.0)))
        hkl, multiplicity = plan_reflections(SpaceGroup.from_name(1) if group is None else group, six, d_min)
        d_star = np.sqrt(np.einsum("mi,ij,mj->m", hkl, reciprocal_metric(six), hkl))
        order = np.argsort(d_star, kind="stable")
        hkl, multiplicity, d_star = hkl[order], multiplicity[order], d_star[order]
        line = np.concatenate([[0], np.cumsum(np.diff(d_star) > _ONE_LINE * d_star[1:])])
        angles = np.asarray(bragg_two_theta(d_star, wavelength), dtype=float)
        corrections = np.asarray(lorentz_factor(angles) * polarization_factor(angles, polarization), dtype=float)
        return cls(
            hkl=hkl, multiplicity=multiplicity, line=line, two_theta=angles[np.unique(line, return_index=True)[1]],
            factor=multiplicity * corrections / float(volume(six)), n_lines=int(line[-1]) + 1,
        )  # fmt: skip

    def areas(self, density: Density) -> Float[Array, " lines"]:
        """Return ``sum of m |F|²/V · L · P`` of the lines, electrons² per Å³ (traceable in the values).

        Raises:
            ParameterError: the grid is too coarse for the reflections up to the largest angle.
        """
        weighted, line = self.factor * density.intensities(self.hkl), np.asarray(self.line)
        if namespace(density.values) is np:
            return np.bincount(line, weights=weighted, minlength=self.n_lines)
        return jnp.zeros(self.n_lines, dtype=weighted.dtype).at[line].add(weighted)

    def pattern(
        self, density: Density, two_theta: Float[np.ndarray, " points"], fwhm: float, eta: float = 0.5
    ) -> Float[Array, " points"]:
        """Return the lines with a pseudo-Voigt profile of one width.

        Args:
            density: density on a sufficiently fine grid.
            two_theta: angles of the pattern, degrees.
            fwhm: full width at half maximum, degrees.
            eta: Lorentzian fraction, 0 to 1.
        """
        profile = pseudo_voigt(np.asarray(two_theta)[:, None] - self.two_theta, fwhm, eta)
        return profile @ self.areas(density)
