"""Position and intensity corrections of a constant-wavelength powder diffractometer.

Angles are 2theta in degrees, arrays have one entry per reflection. Nothing here depends on phases.
"""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..typing import Array, Scalar, Values

_DEG = np.pi / 180.0


def _cylinder_nodes(
    radial: int = 16, angular: tuple[int, ...] = (7, 14, 7)
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Return ``rho = sqrt(1 - r²)`` and weights of ``r dr`` as columns; for each arc, fractions and weights as rows."""
    x, w = np.polynomial.legendre.leggauss(radial)
    psi = 0.25 * np.pi * (x + 1.0)[:, None]
    arcs = [(0.5 * (t + 1.0)[None], 0.5 * u[None]) for t, u in map(np.polynomial.legendre.leggauss, angular)]
    return np.sin(psi), 0.125 * np.pi * w[:, None] * np.sin(2.0 * psi), arcs


_CYLINDER_NODES = _cylinder_nodes()


def bragg_two_theta(d_star: Values, wavelength: Scalar) -> Float[Array, "*n"]:
    """Return 2theta in degrees from ``d* = 1/d`` (1/Å); finite (just below 180) beyond the limiting sphere."""
    return 2.0 / _DEG * jnp.arcsin(jnp.minimum(0.5 * wavelength * d_star, 1.0 - 1e-9))


def bragg_brentano_shift(
    two_theta: Values, displacement: Scalar, transparency: Scalar, radius_mm: float
) -> Float[Array, "*n"]:
    """Return the 2theta shift (degrees, to be added) of a flat specimen in parafocusing geometry.

    Args:
        two_theta: Bragg angle.
        displacement: specimen height error in µm, positive away from the focusing circle's centre.
        transparency: ``1/mu_eff`` of a thick specimen in units of 0.1 mm. The values equal those of GSAS-II, which
            labels them cm although its formula holds for a unit a hundred times smaller.
        radius_mm: goniometer radius.

    Source: Klug & Alexander, X-ray Diffraction Procedures (1974), section 5-2: ``-2 s cos(theta)/R`` and
    ``-sin(2 theta)/(2 mu R)`` radian.
    """
    return (
        -0.09
        / (np.pi * radius_mm)
        * (4.0 * displacement * jnp.cos(0.5 * _DEG * two_theta) + 100.0 * transparency * jnp.sin(_DEG * two_theta))
    )


def debye_scherrer_shift(
    two_theta: Values, displace_x: Scalar, displace_y: Scalar, radius_mm: float
) -> Float[Array, "*n"]:
    """Return the 2theta shift (degrees) of a capillary off the goniometer axis; offsets in µm.

    ``x`` is across the beam, away from the detector's side; ``y`` along the beam, downstream. Both shift to lower
    angles (``x`` below 90 degrees): ``-(x cos(2 theta) + y sin(2 theta))/R`` radian.
    """
    angle = _DEG * two_theta
    return -0.18 / (np.pi * radius_mm) * (displace_x * jnp.cos(angle) + displace_y * jnp.sin(angle))


def lorentz_factor(two_theta: Values) -> Float[Array, "*n"]:
    """Return the powder Lorentz factor ``1 / (2 sin²(theta) cos(theta))``."""
    theta = 0.5 * _DEG * two_theta
    return 0.5 / (jnp.sin(theta) ** 2 * jnp.cos(theta))


def polarization_factor(two_theta: Values, polarization: Scalar) -> Float[Array, "*n"]:
    """Return ``(1 - p) cos²(2 theta) + p``, where ``p`` is the fraction polarised out of the diffraction plane."""
    return (1.0 - polarization) * jnp.cos(_DEG * two_theta) ** 2 + polarization


def monochromator_polarization(two_theta: Values, monochromator_deg: Scalar) -> Float[Array, "*n"]:
    """Polarisation factor with a crystal monochromator at 2theta_m: ``(1 + c_m² cos²(2 theta)) / (1 + c_m²)``."""
    c = jnp.cos(_DEG * monochromator_deg) ** 2
    return (1.0 + c * jnp.cos(_DEG * two_theta) ** 2) / (1.0 + c)


@jax.custom_jvp
def cylinder_absorption(two_theta: Float[Array, " n"], mu_r: Scalar) -> Float[Array, " n"]:
    """Return the transmission of a cylinder of radius R bathed in the beam, ``A = <exp(-mu (l_in + l_out))>``.

    The average over the cross section is a Gauss-Legendre sum without fitted polynomials. Its relative error is
    below 1e-6 up to ``mu_r = 1``, 5e-5 up to 5 and 5e-4 up to 10.

    Args:
        two_theta: degrees.
        mu_r: linear absorption coefficient times radius; 0 for no absorption.

    Returns:
        In (0, 1].

    Source: definition, International Tables C (2006), eq. 6.3.3.1.
    """
    return _cylinder_average(two_theta, mu_r)


def _cylinder_average(two_theta: Float[Array, "*n"], mu_r: Scalar) -> Float[Array, "*n"]:
    angle = _DEG * jnp.asarray(two_theta)[..., None, None]
    rho, weight_rho, arcs = jax.tree.map(lambda node: node.astype(angle.dtype), _CYLINDER_NODES)
    r = np.sqrt(1.0 - rho * rho)
    # On the rim the path has kinks where the beam or the diffracted ray is tangential: at azimuths ±90 degrees and
    # 2theta ± 90 degrees. The sum runs over the arcs between them, on one side of the scattering vector.
    ends: list[Any] = [0.5 * np.pi + 0.5 * angle, 0.5 * np.pi + angle, 1.5 * np.pi, 1.5 * np.pi + 0.5 * angle]
    total: Array | float = 0.0
    for (low, high), (phi, weight_phi) in zip(pairwise(ends), arcs, strict=True):
        azimuth = low + (high - low) * phi
        # the incoming beam travels along azimuth 0, the outgoing one along 2theta
        forward, onward = r * jnp.cos(azimuth), r * jnp.cos(azimuth - angle)
        path = forward + jnp.sqrt(rho * rho + forward**2) - onward + jnp.sqrt(rho * rho + onward**2)
        total = (
            total + jnp.sum(weight_rho * weight_phi * jnp.exp(-mu_r * path), axis=(-2, -1)) * (high - low)[..., 0, 0]
        )
    return jnp.asarray(2.0 / np.pi * total)


@cylinder_absorption.defjvp
def _cylinder_absorption_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    # the sum over the cross section is differentiated once, not once per parameter of a Jacobian
    two_theta, mu_r = (jnp.asarray(p) for p in primals)
    value, by_angle = jax.jvp(lambda t: _cylinder_average(t, mu_r), (two_theta,), (jnp.ones_like(two_theta),))
    by_mu_r = jax.jvp(lambda m: _cylinder_average(two_theta, m), (mu_r,), (jnp.ones_like(mu_r),))[1]
    return value, by_angle * tangents[0] + by_mu_r * tangents[1]


def automatic_slit(two_theta: Values) -> Float[Array, "*n"]:
    """Transmission of a slit that irradiates a constant specimen length, relative to a fixed one: ``sin(theta)``.

    A beam of divergence ``a`` irradiates the length ``a R/sin(theta)`` of a flat specimen, so that a constant length
    requires ``a`` proportional to ``sin(theta)``; higher orders are below (length/2R)², a thousandth. The factor
    multiplies the calculated points, not the data, whose noise is that of the observed counts.
    """
    return jnp.abs(jnp.sin(0.5 * _DEG * two_theta))


def surface_roughness(two_theta: Values, a: Scalar, b: Scalar) -> Float[Array, "*n"]:
    """Surface-roughness correction of Suortti, 1 for ``b = 0``: ``(a + (1-a) exp(-b/sin theta)) / (a + (1-a) exp(-b))``.

    Source: Suortti, J. Appl. Cryst. 5, 325 (1972).
    """
    s = jnp.sin(0.5 * _DEG * two_theta)
    return (a + (1.0 - a) * jnp.exp(-b / s)) / (a + (1.0 - a) * jnp.exp(-b))


def march_dollase(
    equivalents: Float[Array, "n k 3"], axis: Float[Array, "3"], g_star: Float[Array, "3 3"], ratio: Scalar
) -> Float[Array, " n"]:
    """March-Dollase preferred-orientation factor, averaged over symmetry equivalents.

    Args:
        equivalents: Laue-equivalent hkl of each reflection.
        axis: hkl of the texture axis.
        g_star: reciprocal metric.
        ratio: March coefficient, 1 for no texture, below 1 for plates.

    Source: Dollase, J. Appl. Cryst. 19, 267 (1986).
    """
    cos2 = squared_cosines(equivalents, axis, g_star)
    return jnp.mean((ratio**2 * cos2 + (1.0 - cos2) / ratio) ** -1.5, axis=1)


def squared_cosines(
    equivalents: Float[Array, "n k 3"], axis: Float[Array, "3"], g_star: Float[Array, "3 3"]
) -> Float[Array, "n k"]:
    """Return ``cos²`` of the angles between reciprocal-lattice vectors and an axis, all given as hkl."""
    h2 = jnp.einsum("nki,ij,nkj->nk", equivalents, g_star, equivalents)
    a2 = axis @ g_star @ axis
    return jnp.einsum("nki,ij,j->nk", equivalents, g_star, axis) ** 2 / (h2 * a2)
