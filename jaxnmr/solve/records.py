"""Records exchanged between the steps of a structure solution: peaks, cells and integrated intensities (host)."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from ..crystal import SpaceGroup
from ..diffraction import Instrument
from ..errors import DataError


@dataclass(frozen=True)
class Peaks:
    """Reflections found in a pattern, ordered by angle.

    Attributes:
        two_theta, sigma: ``(peaks,)`` positions in degrees, of the first wavelength, and their standard uncertainties.
        area, sigma_area: ``(peaks,)`` integrated intensities above the background, in units of the pattern times
            degrees.
        fwhm: ``(peaks,)`` widths in degrees.
        humps: ``(humps, 2)`` position and width in degrees of maxima too broad for reflections; not used in indexing.
        instrument: the diffractometer; the first wavelength is that of ``two_theta``.
        name: name of the pattern.
        notes: remarks that a reader of the result must know.
    """

    two_theta: Float[np.ndarray, " peaks"]
    sigma: Float[np.ndarray, " peaks"]
    area: Float[np.ndarray, " peaks"]
    sigma_area: Float[np.ndarray, " peaks"]
    fwhm: Float[np.ndarray, " peaks"]
    humps: Float[np.ndarray, "humps 2"]
    instrument: Instrument
    name: str = "pattern"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.two_theta)

    @property
    def wavelength(self) -> float:
        """Wavelength of the first line, Å."""
        return self.instrument.wavelengths[0]

    @property
    def d(self) -> Float[np.ndarray, " peaks"]:
        """Interplanar distances in Å, without correction of a zero shift."""
        return self.wavelength / (2.0 * np.sin(np.radians(self.two_theta) / 2.0))


@dataclass(frozen=True)
class CellCandidate:
    """A candidate unit cell for a list of peaks.

    Attributes:
        cell: ``(6,)`` conventional cell, Å and degrees; ``niggli`` the reduced primitive one.
        lattice: Pearson's letters of the Bravais lattice, such as ``"mP"``.
        group: space group of highest symmetry without further extinctions that this lattice allows.
        zero: shift of all angles in degrees, from calculated to observed.
        displacement: coefficient in degrees of the shift by cos(theta), for a specimen displaced from the focusing
            circle.
        indexed, unindexed: numbers of peaks that it explains and does not explain.
        possible: number of lines that it allows up to the last peak.
        m20: de Wolff's figure of merit (J. Appl. Cryst. 1, 108 (1968)) of these lines.
        log_evidence: log evidence, up to a constant of the peak list.
        probability: probability among the candidates of the search; the remainder to one is that of none being right.
        rwp: Rwp of a Le Bail fit of the whole pattern, if one was made.
    """

    cell: Float[np.ndarray, "6"]
    niggli: Float[np.ndarray, "6"]
    lattice: str
    group: SpaceGroup
    zero: float
    displacement: float
    indexed: int
    unindexed: int
    possible: int
    m20: float
    log_evidence: float
    probability: float
    rwp: float | None = None


@dataclass(frozen=True)
class Intensities:
    """Integrated intensities of a powder: areas of groups of overlapping reflections, with their covariance.

    ``area[g] = scale * sum of weight[k] |F(k)|² over the reflections k of group g``.

    Attributes:
        cell: ``(6,)`` Å and degrees.
        group: space group, or the one without extinctions if it is not known yet.
        hkl: ``(n, 3)`` one reflection per Laue class, without those below the first measured angle.
        multiplicity: ``(n,)``.
        two_theta: ``(n,)`` degrees, from the fit.
        weight: ``(n,)`` multiplicity times all angular factors (Lorentz, polarisation, slits).
        members: ``(n,)`` index of the group of each reflection, 0 to ``groups - 1``.
        area: ``(groups,)``; ``covariance`` ``(groups, groups)`` of the areas.
        instrument: radiation and wavelengths.
        name: name of the pattern; ``notes`` remarks that a reader of the result must know.
    """

    cell: Float[np.ndarray, "6"]
    group: SpaceGroup
    hkl: Int[np.ndarray, "n 3"]
    multiplicity: Int[np.ndarray, " n"]
    two_theta: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    members: Int[np.ndarray, " n"]
    area: Float[np.ndarray, " groups"]
    covariance: Float[np.ndarray, "groups groups"]
    instrument: Instrument
    name: str = "pattern"
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.area)

    @property
    def sigma(self) -> Float[np.ndarray, " groups"]:
        """Standard uncertainties of the areas."""
        return np.sqrt(np.diag(self.covariance))


def require_areas(intensities: Intensities) -> None:
    """Refuse areas that cannot be compared with anything.

    Raises:
        DataError: shapes do not match, numbers are not finite, or no area is positive.
    """
    area, covariance = np.asarray(intensities.area), np.asarray(intensities.covariance)
    if area.ndim != 1 or covariance.shape != 2 * area.shape or len(area) != np.max(intensities.members, initial=-1) + 1:
        raise DataError(
            f"{intensities.name} has areas of shape {area.shape} with a covariance of shape {covariance.shape} for "
            f"{np.max(intensities.members, initial=-1) + 1} groups of reflections: expected one area for each"
        )
    if not np.isfinite(covariance).all():
        raise DataError(f"the covariance of the areas of {intensities.name} is not finite")
    if len(area) == 0 or not np.isfinite(area).all() or not area.max() > 0:
        raise DataError(
            f"{len(area)} areas of {intensities.name} with a maximum of {area.max() if len(area) else 0}: expected finite areas, some "
            "above zero"
        )
