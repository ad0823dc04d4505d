"""Results of a fit of the intensities of a cell without a structure (host)."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from ...crystal import SpaceGroup
from ...diffraction import Instrument
from ...units import format_esd
from ..records import Intensities


@dataclass(frozen=True)
class Extraction:
    """A whole pattern fitted by the reflections of a cell, each with its own area.

    Attributes:
        cell: ``(6,)`` refined cell, Å and degrees, with its standard uncertainties ``cell_esd``.
        group: space group of the reflections.
        zero: offset of all angles in degrees, from calculated to observed.
        displacement: coefficient in degrees of the shift by cos(theta) of a flat specimen.
        values: refined and fixed values of the histogram by local name (``"U"``, ``"size"``, ``"displacement"`` in µm
            ...), as refinements take them.
        instrument: the diffractometer with the refined widths, zero and axial divergence.
        rwp: Rwp of the areas fitted to the whole pattern, per cent; ``gof`` the goodness of fit.
        x, observed, sigma, calculated, background: ``(points,)`` fitted pattern, and the fit.
        hkl, two_theta, fwhm, eta, weight: ``(n,)`` every fitted reflection: indices ``(n, 3)``, position, width,
            Lorentzian fraction, and multiplicity times angular factors.
        area, covariance: ``(n,)``, ``(n, n)`` least-squares areas, possibly negative, for testing absences.
        intensities: non-negative areas of groups, from which a structure solution starts.
        notes: remarks that a reader of the result must know.
    """

    cell: Float[np.ndarray, "6"]
    cell_esd: Float[np.ndarray, "6"]
    group: SpaceGroup
    zero: float
    displacement: float
    values: dict[str, Float[np.ndarray, "..."]]
    instrument: Instrument
    rwp: float
    gof: float
    x: Float[np.ndarray, " points"]
    observed: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    calculated: Float[np.ndarray, " points"]
    background: Float[np.ndarray, " points"]
    hkl: Int[np.ndarray, "n 3"]
    two_theta: Float[np.ndarray, " n"]
    fwhm: Float[np.ndarray, " n"]
    eta: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]
    intensities: Intensities
    name: str = "pattern"
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        numbers = " ".join(format_esd(v, e, digits=5) for v, e in zip(self.cell, self.cell_esd, strict=True))
        return (
            f"{self.name}: {self.group.name}, cell {numbers}, {len(self.hkl)} reflections in {len(self.intensities)} groups, "
            f"Rwp {self.rwp:.2f} %, GoF {self.gof:.2f}"
        )
