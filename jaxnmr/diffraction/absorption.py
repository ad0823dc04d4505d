"""Absorption of X-rays in crystals, and microabsorption within the grains of a mixture (host)."""

from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Float, Inexact

from ..crystal import element_of
from ..units import photon_energy_ev

# CODATA 2018: classical electron radius in cm
_ELECTRON_RADIUS_CM = 2.8179403262e-13
# radii and angles of the quadrature over a quarter of a sphere
_RADII, _POLAR, _AZIMUTHS = 16, 20, 8


def cross_sections(species: tuple[str, ...], wavelength: float) -> Float[np.ndarray, " sites"]:
    """Return the photoelectric absorption cross section of each atom, ``2 r_e lambda f''``, in cm².

    Scattering out of the beam is not included, although it matters for light elements and short wavelengths. Hydrogen
    and helium count as transparent.

    Args:
        species: type symbols.
        wavelength: Å.

    Source: the optical theorem, with f'' of Cromer & Liberman (1970, 1981).
    """
    energy = photon_energy_ev(wavelength)
    numbers = [gemmi.Element(element_of(s)[0]).atomic_number for s in species]
    f2 = [gemmi.cromer_liberman(z=z, energy=energy)[1] if z > 2 else 0.0 for z in numbers]
    return 2.0 * _ELECTRON_RADIUS_CM * 1e-8 * wavelength * np.array(f2)


def brindley(
    x: Inexact[np.ndarray, "*n"] | complex | float, two_theta: float = 90.0
) -> Inexact[np.ndarray, "*n"] | np.inexact:
    """Return Brindley's ``tau``, the intensity of a spherical grain relative to one that absorbs like the mixture.

    It is the mean of ``exp(-(mu - mean mu) path)`` over the grain, where the path leads into the grain to a point and
    out again. To first order it is ``1 - 0.75 x`` at every angle; the angle contributes 1 % for ``|x| = 0.4``.

    Args:
        x: ``(mu - mean mu) D``, difference of linear absorption coefficients times diameter; may be complex.
        two_theta: angle between the incident and the diffracted beam, degrees.

    Source: Brindley, Phil. Mag. 36, 347 (1945).
    """
    path, weight = _paths(float(two_theta))
    return np.exp(-np.asarray(x)[..., None] * path) @ weight


@lru_cache(maxsize=8)
def _paths(two_theta: float) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Return paths to points of a sphere of diameter 1 and out again, with the volume fractions they represent."""
    r, of_r = np.polynomial.legendre.leggauss(_RADII)
    # square-root behaviour at the surface becomes smooth in the square root of the remaining radius
    left, of_left = 0.5 * (r + 1.0), 0.5 * of_r
    r, of_r = 1.0 - left**2, of_left * 2.0 * left
    cosine, of_cosine = np.polynomial.legendre.leggauss(_POLAR)
    # off the plane of the two beams all quarters are equivalent
    azimuth = 0.5 * np.pi * (np.arange(_AZIMUTHS) + 0.5) / _AZIMUTHS
    r, cosine, azimuth = (a.ravel() for a in np.meshgrid(r, cosine, azimuth, indexing="ij"))
    weight = np.einsum("i,j,k->ijk", of_r * (1.0 - left**2) ** 2, of_cosine, np.ones(_AZIMUTHS)).ravel()
    sine = np.sqrt(1.0 - cosine**2)
    points = r[:, None] * np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
    half = np.radians(0.5 * two_theta)
    # towards the source and towards the detector; z bisects them, rotated by 90 degrees minus theta
    ways = np.array([[-np.cos(half), 0.0, np.sin(half)], [np.cos(half), 0.0, np.sin(half)]])
    along = points @ ways.T
    path = (-along + np.sqrt(along**2 + 1.0 - (r**2)[:, None])).sum(axis=1)
    return 0.5 * path, weight / weight.sum()
