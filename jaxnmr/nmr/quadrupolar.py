"""Quadrupolar couplings from electric field gradients, and the quantities reported for them.

Constants are those of CODATA 2018 (E. Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021)).
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arrays import is_concrete, namespace
from ..errors import ConventionError
from ..typing import Array, Numbers, Scalar
from .isotopes import Isotope, isotope
from .tensors import check_efg, isotropic, symmetric_part

EFG_AU_V_PER_M2 = 9.7173624292e21  # one atomic unit of electric field gradient, E_h/(e a0^2)
E_OVER_H_HZ_PER_V = 2.417989242084918e14  # e/h, exact
BARN_M2 = 1e-28
# per unit of field gradient, in V/m2
EFG_UNITS = {"au": EFG_AU_V_PER_M2, "V/Å^2": 1e20, "V/m^2": 1.0}
ROUNDING_AU = 3e-4  # of a trace of three numbers with four decimals, as printed by Quantum ESPRESSO
CQ_HZ_PER_AU_BARN = E_OVER_H_HZ_PER_V * EFG_AU_V_PER_M2 * BARN_M2  # 234.9648 MHz


def quadrupolar_from_efg(
    efg: Numbers, nucleus: str | Isotope | None = None, *, unit: str = "au", q_barn: Scalar | None = None
) -> Float[Array, "*n 3 3"]:
    """Return the quadrupolar tensor ``e Q V/h`` in Hz in the frame of the field gradient.

    Its largest principal value is Cq, signed: for a nucleus with negative Q its sign is opposite to that of Vzz. The
    sign of the field gradient is that of ``Vij = d2 V/dxi dxj`` of the potential (CASTEP, Quantum ESPRESSO and magres
    files).

    Args:
        efg: ``(..., 3, 3)``, symmetric and traceless except for rounding (files give as few as four decimals), which is
            removed.
        nucleus: provides the quadrupole moment; required without ``q_barn``.
        unit: ``"au"`` (magres), ``"V/Å^2"`` (VASP) or ``"V/m^2"``.
        q_barn: quadrupole moment in barn; may be traced.

    Raises:
        ConventionError: a tensor that is not a field gradient, an unknown unit, or a nucleus of spin 1/2 or unknown
            moment.
    """
    scale = _unit(unit)
    check_efg(efg, slack=ROUNDING_AU * EFG_AU_V_PER_M2 / scale)
    symmetric = symmetric_part(efg)
    traceless = symmetric - isotropic(symmetric)[..., None, None] * jnp.eye(3, dtype=symmetric.dtype)
    return traceless * (_hz_per_v_m2(nucleus, q_barn) * scale)


def efg_from_quadrupolar(
    quadrupolar_hz: Numbers,
    nucleus: str | Isotope | None = None,
    *,
    unit: str = "au",
    q_barn: Scalar | None = None,
) -> Float[Array, "*n 3 3"]:
    """Return the field gradient of a quadrupolar tensor in Hz; the inverse of `quadrupolar_from_efg`."""
    check_efg(quadrupolar_hz, "quadrupolar tensor")
    return jnp.asarray(quadrupolar_hz) / (_hz_per_v_m2(nucleus, q_barn) * _unit(unit))


def cq_hz_per_au(nucleus: str | Isotope, q_barn: Scalar | None = None, *, prefix: str = "") -> Scalar:
    """Return the signed C_Q in Hz for a field gradient Vzz of one atomic unit.

    Args:
        nucleus: provides the quadrupole moment without ``q_barn``.
        q_barn: quadrupole moment in barn; may be traced.
        prefix: of the message, such as the name of a term.

    Raises:
        ConventionError: a concrete moment that is zero or not finite.
    """
    nucleus = isotope(nucleus)
    moment = nucleus.quadrupole_barn if q_barn is None else q_barn
    if is_concrete(moment) and not (np.isfinite(moment) and moment != 0):
        raise ConventionError(f"{prefix}{nucleus.symbol} has no known quadrupole moment; give q_barn=")
    return CQ_HZ_PER_AU_BARN * moment


def quadrupolar_product(cq_hz: Numbers, eta: Numbers) -> Float[Array, "*n"]:
    """``P_Q = Cq sqrt(1 + eta^2/3)`` in Hz, which determines the quadrupolar shift of a MAS line; it has the sign of Cq."""
    xp = namespace(cq_hz, eta)
    return xp.asarray(xp.asarray(cq_hz) * xp.sqrt(1.0 + xp.asarray(eta) ** 2 / 3.0))


def quadrupolar_frequency(cq_hz: Numbers, spin: float) -> Float[Array, "*n"]:
    """``nu_Q = 3 Cq/(2 I (2I - 1))`` in Hz: the line spacing of a single crystal with the tensor axis along the field.

    With eta = 0 the first-order energy difference of m and m - 1 is ``nu_Q (m - 1/2) (3 cos^2 theta - 1)/2``. Some
    authors call half of this nu_Q; SIMPSON and mrsimulator use Cq.

    Raises:
        ConventionError: the spin is not a multiple of 1/2 above 1/2.
    """
    return 3.0 * jnp.asarray(cq_hz) / _spin_factor(spin)


def cq_from_quadrupolar_frequency(nu_q_hz: Numbers, spin: float) -> Float[Array, "*n"]:
    """``Cq = 2 I (2I - 1) nu_Q/3`` in Hz; the inverse of `quadrupolar_frequency`."""
    return jnp.asarray(nu_q_hz) * _spin_factor(spin) / 3.0


def quadrupolar_shift_ppm(cq_hz: Numbers, eta: Numbers, spin: float, larmor_hz: float) -> Float[Array, "*n"]:
    """Quadrupole-induced shift of the central transition in ppm, second order: centre of gravity minus isotropic shift.

    ``-(3/40) (P_Q/nu_L)^2 (I (I + 1) - 3/4)/(I^2 (2I - 1)^2) 10^6``, negative.

    Source: A. Samoson, Chem. Phys. Lett. 119, 29 (1985).

    Raises:
        ConventionError: the spin is not a half-integer above 1/2, or larmor_hz is not positive.
    """
    factor = _spin_factor(spin) / 2.0
    if float(spin).is_integer():
        raise ConventionError(f"spin {spin:g} has no central transition; expected 1.5, 2.5, 3.5 or 4.5")
    if not (math.isfinite(larmor_hz) and larmor_hz > 0):
        raise ConventionError(f"larmor_hz is {larmor_hz}; expected a positive frequency in Hz")
    ratio = quadrupolar_product(cq_hz, eta) / larmor_hz
    return namespace(cq_hz, eta).asarray(-0.075e6 * ratio**2 * (spin * (spin + 1.0) - 0.75) / factor**2)


def _spin_factor(spin: float) -> float:
    """``2 I (2I - 1)``."""
    if not (float(2 * spin).is_integer() and spin >= 1):
        raise ConventionError(f"spin is {spin}; a quadrupolar nucleus has 1, 1.5, 2 ...")
    return 2.0 * spin * (2.0 * spin - 1.0)


def _unit(unit: str) -> float:
    if unit not in EFG_UNITS:
        raise ConventionError(f"unit is {unit!r}; expected one of {', '.join(EFG_UNITS)}")
    return EFG_UNITS[unit]


def _hz_per_v_m2(nucleus: str | Isotope | None, q_barn: Scalar | None) -> Scalar:
    if q_barn is None:
        if nucleus is None:
            raise ConventionError("a quadrupolar coupling needs a nucleus or its moment q_barn")
        nucleus = isotope(nucleus)
        if not nucleus.is_quadrupolar:
            raise ConventionError(f"{nucleus.symbol} has spin 1/2 and no quadrupolar coupling")
        q_barn = nucleus.quadrupole_barn
        if np.isnan(q_barn):
            raise ConventionError(f"{nucleus.symbol} has no known quadrupole moment; give q_barn=")
    return E_OVER_H_HZ_PER_V * BARN_M2 * q_barn
