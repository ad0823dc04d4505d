"""Solid-state NMR: tensors and conventions, sites, static and MAS spectra; spin echoes in ``echo``."""

from . import echo
from .dipolar import dipolar_constant_hz, dipolar_tensor_hz, j_hz_from_reduced, reduced_from_j_hz
from .effective_quadrupole import EffectiveQuadrupole
from .euler import Euler, axes_from_euler, convert_euler, equivalent_euler, euler_from_axes, relative_euler, rotation
from .excitation import GaussianBandwidth, Pulse
from .isotopes import Isotope, all_isotopes, isotope, isotopes_of, larmor_hz, reference_hz
from .powder.layout import SpectrumWarning
from .powder.simulation import MAGIC_ANGLE_DEG, SpectrumMAS, SpectrumPlan, SpectrumStatic
from .quadrupolar import (
    cq_from_quadrupolar_frequency,
    efg_from_quadrupolar,
    quadrupolar_frequency,
    quadrupolar_from_efg,
    quadrupolar_product,
    quadrupolar_shift_ppm,
)
from .records import Fid, Spectrum
from .shift_reference import CouplingCalibration, ShiftReference
from .sites import Coupling, Site, Sites
from .tensors import (
    haeberlen_from_shielding,
    iupac_from_shielding,
    iupac_from_shift,
    maryland_from_shielding,
    maryland_from_shift,
    principal_frame,
    quadrupolar_from,
    quadrupolar_parameters,
    shielding_from_haeberlen,
    shielding_from_iupac,
    shielding_from_maryland,
    shift_from_iupac,
    shift_from_maryland,
)

__all__ = [
    "Coupling",
    "CouplingCalibration",
    "EffectiveQuadrupole",
    "Euler",
    "Fid",
    "GaussianBandwidth",
    "Isotope",
    "MAGIC_ANGLE_DEG",
    "Pulse",
    "ShiftReference",
    "Site",
    "Sites",
    "Spectrum",
    "SpectrumMAS",
    "SpectrumPlan",
    "SpectrumStatic",
    "SpectrumWarning",
    "all_isotopes",
    "axes_from_euler",
    "convert_euler",
    "cq_from_quadrupolar_frequency",
    "dipolar_constant_hz",
    "dipolar_tensor_hz",
    "echo",
    "efg_from_quadrupolar",
    "equivalent_euler",
    "euler_from_axes",
    "haeberlen_from_shielding",
    "isotope",
    "isotopes_of",
    "iupac_from_shielding",
    "iupac_from_shift",
    "j_hz_from_reduced",
    "larmor_hz",
    "maryland_from_shielding",
    "maryland_from_shift",
    "principal_frame",
    "quadrupolar_frequency",
    "quadrupolar_from",
    "quadrupolar_from_efg",
    "quadrupolar_parameters",
    "quadrupolar_product",
    "quadrupolar_shift_ppm",
    "reduced_from_j_hz",
    "reference_hz",
    "relative_euler",
    "rotation",
    "shielding_from_haeberlen",
    "shielding_from_iupac",
    "shielding_from_maryland",
    "shift_from_iupac",
    "shift_from_maryland",
]
