"""Simulated integrated intensities of a crystal, as from its powder (host)."""

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal
from ...crystal.cell import reciprocal_metric
from ...diffraction import Instrument
from ...diffraction.corrections import bragg_two_theta, lorentz_factor, monochromator_polarization, polarization_factor
from ...diffraction.reflections import plan_reflections
from ...diffraction.structure_factors import StructureFactors
from ...errors import ConventionError, ParameterError
from ..records import Intensities

_CU_KA1 = 1.540593
# noise of every area, as a fraction of the largest
_COMMON_NOISE = 0.002


@checked
def simulated_intensities(
    crystal: Crystal,
    instrument: Instrument | None = None,
    *,
    d_min: float = 1.1,
    noise: float = 0.03,
    overlap: float = 0.06,
    seed: int = 0,
) -> Intensities:
    """Simulate areas of the reflections of a crystal with noise; overlapping ones are summed.

    Args:
        crystal: the structure; only its own reflections are included, as if its space group were known.
        instrument: radiation and polarisation; by default Cu Kα1 of a tube.
        d_min: resolution limit in Å.
        noise: relative standard deviation of every area; 1/15 of it times the largest area is added to all.
        overlap: reflections closer than this to the one before, in degrees of 2θ, form one area.
        seed: random seed of the noise.

    Raises:
        ConventionError: this wavelength does not reach ``d_min``.
    """
    instrument = instrument or Instrument(radiation="xray", wavelengths=(_CU_KA1,))
    instrument.require_wavelength()
    if noise < 0 or overlap < 0:
        raise ParameterError(f"noise is {noise:g} and overlap {overlap:g} degrees; expected numbers from 0 on")
    wavelength = instrument.wavelengths[0]
    if not wavelength / 2.0 < d_min:
        raise ConventionError(f"d_min is {d_min} Å; reflections of {wavelength} Å end at {wavelength / 2.0:.4f} Å")
    cell = np.asarray(crystal.cell, dtype=float)
    hkl, multiplicity = plan_reflections(crystal.group, cell, d_min)
    d_star_sq = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl)
    two_theta = np.asarray(bragg_two_theta(np.sqrt(d_star_sq), wavelength), dtype=float)
    weight = multiplicity * np.asarray(lorentz_factor(two_theta), dtype=float)
    if instrument.radiation == "xray":
        angle = instrument.monochromator_deg
        polarised = (
            polarization_factor(two_theta, instrument.polarization)
            if angle is None
            else monochromator_polarization(two_theta, angle)
        )
        weight = weight * np.asarray(polarised, dtype=float)
    plan = StructureFactors.plan(crystal, hkl, instrument.radiation, wavelength)
    members = np.concatenate([[0], np.cumsum(np.diff(two_theta) > overlap)])
    exact = np.bincount(members, weight * np.asarray(plan.squared(crystal, d_star_sq), dtype=float))
    sigma = noise * np.hypot(exact, _COMMON_NOISE / 0.03 * exact.max())
    area = exact + sigma * np.random.default_rng(seed).normal(size=len(exact))
    return Intensities(
        cell=cell, group=crystal.group, hkl=hkl, multiplicity=multiplicity, two_theta=two_theta, weight=weight, members=members,
        area=area, covariance=np.diag(np.maximum(sigma, 1e-9 * exact.max()) ** 2), instrument=instrument, name=crystal.name,
        notes=(f"simulated to d = {d_min} Å with a noise of {noise:.1%}",),
    )  # fmt: skip
