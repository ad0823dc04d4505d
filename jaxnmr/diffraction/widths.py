"""Peak widths: Caglioti, crystallite size and microstrain, and the Thompson-Cox-Hastings pseudo-Voigt.

Gaussian variances are centidegree², Lorentzian FWHM centidegree (GSAS convention), results degrees.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arrays import namespace
from ..typing import Array, Scalar, Values
from ..units import CENTIDEG, FWHM_PER_SIGMA

_DEG = np.pi / 180.0
_TCH = (2.69269, 2.42843, 4.47163, 0.07842)


def smooth_positive(x: Values, width: Values) -> Float[Array, "*n"]:
    """Return a smooth ``max(x, 0)``: ``(x + sqrt(x² + width²))/2``; it differs by ``width²/(4 x)`` where ``x >> width``."""
    return 0.5 * (x + jnp.sqrt(x * x + width * width))


def caglioti_variance(two_theta: Values, u: Scalar, v: Scalar, w: Scalar) -> Float[Array, "*n"]:
    """Instrumental Gaussian variance ``U tan² + V tan + W``. Source: Caglioti et al., Nucl. Instrum. 3, 223 (1958)."""
    xp = namespace(two_theta, u, v, w)
    tan = xp.tan(0.5 * _DEG * xp.asarray(two_theta))
    return xp.asarray(u * tan**2 + v * tan + w)


def lorentzian_width(two_theta: Values, x: Scalar, y: Scalar, z: Scalar) -> Float[Array, "*n"]:
    """Instrumental Lorentzian FWHM ``X/cos + Y tan + Z``."""
    theta = 0.5 * _DEG * two_theta
    return x / jnp.cos(theta) + y * jnp.tan(theta) + z


def size_width(two_theta: Values, size: Values, wavelength: Scalar) -> Float[Array, "*n"]:
    """FWHM due to a crystallite size in µm (Scherrer, K = 1): ``1.8 lambda / (pi size cos(theta))``."""
    return 1.8 * wavelength / (np.pi * size * jnp.cos(0.5 * _DEG * two_theta))


def uniaxial_size(across: Scalar, along: Scalar, cos2: Float[Array, "n k"]) -> Float[Array, " n"]:
    """Return the size along the scattering vector of crystallites with one size along an axis and another across it.

    ``1/D² = cos²(phi)/along² + sin²(phi)/across²``, the diameter of an ellipsoid of revolution; equivalent
    reflections at different angles broaden a line by their mean ``1/D``.

    Args:
        across, along: µm.
        cos2: squared cosines of the angles between scattering vectors and axis, for each of ``k`` equivalents.

    Source: as in GSAS-II, B. H. Toby & R. B. Von Dreele, J. Appl. Cryst. 46, 544 (2013).
    """
    return 1.0 / jnp.mean(jnp.sqrt(cos2 / along**2 + (1.0 - cos2) / across**2), axis=1)


def strain_width(two_theta: Values, microstrain: Values) -> Float[Array, "*n"]:
    """FWHM due to microstrain in GSAS units, ``10⁶`` times the FWHM of ``2 Δd/d``: ``0.018 strain tan(theta) / pi``."""
    return 0.018 / np.pi * microstrain * jnp.tan(0.5 * _DEG * two_theta)


def stephens_microstrain(
    monomials: Float[Array, "n k"], coefficients: Float[Array, " k"], d_spacing: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Return anisotropic microstrain ``d² sqrt(sum S_HKL h^H k^K l^L)`` in 10⁻⁶; 0 (with zero slope) for negative sums.

    Args:
        monomials: Laue-invariant quartic forms of each reflection.
        coefficients: of the forms.
        d_spacing: Å.

    Source: Stephens, J. Appl. Cryst. 32, 281 (1999).
    """
    variance = monomials @ coefficients
    positive = variance > 1e-12
    return d_spacing**2 * jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def split_width(width: Values, mixing: Scalar) -> tuple[Values, Values]:
    """Divide a broadening between the Lorentzian FWHM (``mixing``) and the Gaussian variance (``1 - mixing``).

    Returns:
        ``(lorentzian FWHM, Gaussian variance)``.
    """
    return width * mixing, ((1.0 - mixing) * width / FWHM_PER_SIGMA) ** 2


def thompson_cox_hastings(variance: Values, gamma: Values) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Return total FWHM (degrees) and Lorentzian fraction of the pseudo-Voigt that matches a Voigt.

    Args:
        variance: Gaussian variance, centidegree².
        gamma: Lorentzian FWHM, centidegree. Both are kept positive smoothly, the variance above a thousandth of
            ``gamma²``: a Caglioti polynomial may become negative on the way to the minimum, and the width has an
            infinite slope where the variance vanishes.

    Source: Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eqs. 2 and 3.
    """
    l = smooth_positive(gamma, 1e-4)
    g = FWHM_PER_SIGMA * jnp.sqrt(smooth_positive(variance, 1e-4 + 1e-3 * l * l) + 1e-10)
    c1, c2, c3, c4 = _TCH
    total = (g**5 + c1 * g**4 * l + c2 * g**3 * l**2 + c3 * g**2 * l**3 + c4 * g * l**4 + l**5) ** 0.2
    q = l / total
    return total * CENTIDEG, 1.36603 * q - 0.47719 * q**2 + 0.11116 * q**3
