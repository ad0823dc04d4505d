"""Position and intensity corrections of a constant-wavelength powder diffractometer.

Angles are 2theta in degrees, arrays have one entry per reflection. Nothing here knows about phases.
"""

import jax.numpy as jnp
import numpy as np

_DEG = np.pi / 180.0


def bragg_two_theta(d_star, wavelength):
    """2theta in degrees from ``d* = 1/d`` (1/Å); finite (just below 180) beyond the limiting sphere."""
    return 2.0 / _DEG * jnp.arcsin(jnp.minimum(0.5 * wavelength * d_star, 1.0 - 1e-9))


def bragg_brentano_shift(two_theta, displacement, transparency, radius_mm):
    """2theta shift (degrees, to be added) of a flat specimen in parafocusing geometry.

    Args:
        two_theta: Bragg angle.
        displacement: specimen height error in µm, positive away from the focusing circle's centre.
        transparency: ``1/mu_eff`` as GSAS defines it, in cm.
        radius_mm: goniometer radius.

    Source: GSAS-II manual, "Sample parameters": ``-0.09/(pi R) (4 s cos(theta) + 100 T sin(2 theta))``.
    """
    return (
        -0.09
        / (np.pi * radius_mm)
        * (4.0 * displacement * jnp.cos(0.5 * _DEG * two_theta) + 100.0 * transparency * jnp.sin(_DEG * two_theta))
    )


def debye_scherrer_shift(two_theta, displace_x, displace_y, radius_mm):
    """2theta shift (degrees) of a capillary off the axis, ``x`` across and ``y`` along the beam, in µm."""
    angle = _DEG * two_theta
    return -0.18 / (np.pi * radius_mm) * (displace_x * jnp.cos(angle) + displace_y * jnp.sin(angle))


def lorentz_factor(two_theta):
    """Powder Lorentz factor ``1 / (2 sin²(theta) cos(theta))``."""
    theta = 0.5 * _DEG * two_theta
    return 0.5 / (jnp.sin(theta) ** 2 * jnp.cos(theta))


def polarization_factor(two_theta, polarization):
    """``(1 - p) cos²(2 theta) + p`` with ``p`` the fraction polarised out of the diffraction plane."""
    return (1.0 - polarization) * jnp.cos(_DEG * two_theta) ** 2 + polarization


def monochromator_polarization(two_theta, monochromator_deg):
    """Unpolarised beam with a crystal monochromator at 2theta_m: ``(1 + c_m² cos²(2 theta)) / (1 + c_m²)``."""
    c = jnp.cos(_DEG * monochromator_deg) ** 2
    return (1.0 + c * jnp.cos(_DEG * two_theta) ** 2) / (1.0 + c)


def cylinder_absorption(two_theta, mu_r, order: int = 16):
    """Transmission of a cylinder of radius R bathed in the beam, ``A = <exp(-mu (l_in + l_out))>``.

    The average over the cross section is done by Gauss-Legendre quadrature in radius squared and equally
    spaced angles, so it is smooth and has no fitted polynomial in it.

    Args:
        two_theta: degrees, shape ``(n,)``.
        mu_r: linear absorption coefficient times radius, 0 for no absorption.
        order: radial nodes; four times as many angles.

    Returns:
        ``(n,)`` in (0, 1].

    Source: definition, International Tables C (2004), section 6.3.3.
    """
    node, weight = np.polynomial.legendre.leggauss(order)
    r = np.sqrt(0.5 * (node + 1.0))[:, None]
    phi = (np.arange(4 * order) + 0.5) * (2.0 * np.pi / (4 * order))
    x, y = r * np.cos(phi), r * np.sin(phi)
    path_in = x + np.sqrt(1.0 - y * y)  # the beam travels along +x
    angle = _DEG * jnp.asarray(two_theta)[..., None, None]
    along = x * jnp.cos(angle) + y * jnp.sin(angle)
    across = y * jnp.cos(angle) - x * jnp.sin(angle)
    path_out = -along + jnp.sqrt(1.0 - across * across)
    transmitted = jnp.exp(-mu_r * (path_in + path_out))
    return jnp.einsum("...rp,r->...", transmitted, 0.5 * weight / (4 * order))


def surface_roughness(two_theta, a, b):
    """Suortti's surface roughness, 1 for ``b = 0``: ``(a + (1-a) exp(-b/sin theta)) / (a + (1-a) exp(-b))``.

    Source: Suortti, J. Appl. Cryst. 5, 325 (1972).
    """
    s = jnp.sin(0.5 * _DEG * two_theta)
    return (a + (1.0 - a) * jnp.exp(-b / s)) / (a + (1.0 - a) * jnp.exp(-b))


def march_dollase(equivalents, axis, g_star, ratio):
    """March-Dollase preferred orientation, averaged over symmetry equivalents.

    Args:
        equivalents: ``(n, k, 3)`` Laue-equivalent hkl of each reflection.
        axis: ``(3,)`` hkl of the texture axis.
        g_star: ``(3, 3)`` reciprocal metric.
        ratio: March coefficient, 1 for no texture, below 1 for plates.

    Returns:
        ``(n,)`` factor.

    Source: Dollase, J. Appl. Cryst. 19, 267 (1986).
    """
    h2 = jnp.einsum("nki,ij,nkj->nk", equivalents, g_star, equivalents)
    a2 = axis @ g_star @ axis
    cos2 = jnp.einsum("nki,ij,j->nk", equivalents, g_star, axis) ** 2 / (h2 * a2)
    return jnp.mean((ratio**2 * cos2 + (1.0 - cos2) / ratio) ** -1.5, axis=1)
