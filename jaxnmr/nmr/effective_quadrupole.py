"""`EffectiveQuadrupole`: the quadrupole moment that reproduces measured couplings from computed field gradients."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..errors import ConventionError, DataError, ShapeError
from ..typing import Numbers
from ..units import format_esd
from .isotopes import Isotope, isotope
from .quadrupolar import CQ_HZ_PER_AU_BARN


@dataclass(frozen=True)
class EffectiveQuadrupole:
    """A quadrupole moment fitted to measured couplings; its ``q_barn`` can be passed to any function with that argument.

    Computed field gradients are wrong by a few per cent, by similar factors at all sites of an element. It is therefore
    usual to replace the nuclear moment by the slope of measured couplings against computed gradients. This moment is
    specific to the functional, pseudopotentials and treatment of the structure for which it was fitted, and includes
    thermal motion: for alpha quartz PBE calculations give 5.1 to 5.5 MHz for 17O. None is therefore built in.

    Attributes:
        isotope: the nucleus.
        q_barn: effective moment, with the sign of the nuclear one.
        sigma_barn: its standard uncertainty from the scatter of the sites; NaN for a single site.
        rms_hz: root-mean-square residual of the couplings.
        sites: number of sites used.

    Source: calibration by the slope and the name Q_eff: W. C. Bailey, Chem. Phys. Lett. 292, 71 (1998), who found
    -24.70(5) mb for B1LYP and 17O, and R. Ludwig, F. Weinhold & T. C. Farrar, J. Chem. Phys. 105, 8223 (1996).
    """

    isotope: str
    q_barn: float
    sigma_barn: float
    rms_hz: float
    sites: int

    @classmethod
    def fit(cls, nucleus: str | Isotope, vzz_au: Numbers, cq_hz: Numbers) -> Self:
        """Fit measured ``|C_Q|`` against computed ``|Vzz|`` by least squares through zero (host).

        Args:
            nucleus: isotope, ``"17O"``.
            vzz_au: ``(sites,)`` largest principal values of computed field gradients in atomic units; signs are
                ignored.
            cq_hz: ``(sites,)`` measured couplings in Hz; signs, which spectra rarely determine, are ignored.

        Raises:
            ShapeError: lists of different lengths.
            DataError: no site, values that are not finite, or gradients that are all zero.
            ConventionError: a nucleus of spin 1/2 or of unknown moment.

        Example:
            >>> print(EffectiveQuadrupole.fit("17O", [0.905, 0.90], [5.19e6, 5.21e6]))
            17O: Q = -24.52(12) mb, 0.958(4) of the nuclear moment, from 2 sites, rms 0.024 MHz
        """
        nucleus = isotope(nucleus)
        if not nucleus.is_quadrupolar or not math.isfinite(nucleus.quadrupole_barn):
            raise ConventionError(f"{nucleus.symbol} has no quadrupole moment that is known")
        vzz, cq = (np.abs(np.asarray(values, dtype=float)) for values in (vzz_au, cq_hz))
        if vzz.ndim != 1 or vzz.shape != cq.shape:
            raise ShapeError(f"{vzz.shape} gradients and {cq.shape} couplings; expected two lists of the same length")
        if not (np.isfinite(vzz).all() and np.isfinite(cq).all()):
            raise DataError("gradients and couplings must be finite numbers")
        if not vzz.any():
            raise DataError(f"{len(vzz)} sites with a field gradient of zero cannot give a slope")
        slope = (vzz @ cq) / (vzz @ vzz)
        rest = cq - slope * vzz
        scatter = math.sqrt(rest @ rest / (len(vzz) - 1)) if len(vzz) > 1 else math.nan
        return cls(
            isotope=nucleus.symbol,
            q_barn=math.copysign(slope / CQ_HZ_PER_AU_BARN, nucleus.quadrupole_barn),
            sigma_barn=scatter / math.sqrt(vzz @ vzz) / CQ_HZ_PER_AU_BARN,
            rms_hz=math.sqrt(rest @ rest / len(vzz)),
            sites=len(vzz),
        )

    @property
    def scale(self) -> float:
        """Ratio of the effective to the nuclear moment, by which computed couplings are multiplied."""
        return self.q_barn / isotope(self.isotope).quadrupole_barn

    def __str__(self) -> str:
        nuclear = abs(isotope(self.isotope).quadrupole_barn)
        return (
            f"{self.isotope}: Q = {format_esd(1e3 * self.q_barn, 1e3 * self.sigma_barn)} mb, "
            f"{format_esd(self.scale, self.sigma_barn / nuclear)} of the nuclear moment, from {self.sites} "
            f"site{'s' if self.sites != 1 else ''}, rms {1e-6 * self.rms_hz:.3f} MHz"
        )
