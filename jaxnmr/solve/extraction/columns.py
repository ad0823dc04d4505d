"""The pattern as a matrix: one column per reflection, of unit area, which multiplies the areas (host)."""

import numpy as np
from jaxtyping import Float

from ...diffraction import axial, corrections
from ...diffraction.profiles import pseudo_voigt
from ...diffraction.records import Fixed

# as in the calculated patterns of refinements
CUTOFF = 5e-5
# a Gaussian is negligible beyond this many widths
_GAUSS = 3.5


def profile_columns(
    x: Float[np.ndarray, " points"],
    position: Float[np.ndarray, "lines n"],
    ratio: Float[np.ndarray, " lines"],
    fwhm: Float[np.ndarray, " n"],
    eta: Float[np.ndarray, " n"],
    shl: float,
    fixed: Fixed,
) -> Float[np.ndarray, "points n"]:
    """Calculate profiles of reflections at the points of a pattern, with Kα2, axial divergence and the slit.

    Args:
        x: 2theta in degrees, increasing.
        position: positions of all lines of every reflection.
        ratio: intensity of each line relative to the first.
        fwhm, eta: width in degrees and Lorentzian fraction.
        shl: axial divergence.
        fixed: geometry of the instrument.

    Returns:
        Intensity per unit area of the first line.
    """
    out = np.zeros((len(x), position.shape[1]), order="F")
    lorentz = eta * 2.0 / (np.pi * fwhm)
    height = lorentz + (1.0 - eta) * 2.0 * np.sqrt(np.log(2.0) / np.pi) / fwhm
    reach = 0.5 * fwhm * np.sqrt(np.maximum(lorentz / (CUTOFF * height) - 1.0, 0.0))
    reach = np.maximum(reach, 0.5 * fwhm * np.sqrt(np.log(1.0 / CUTOFF) / np.log(2.0)))
    for angles, share in zip(position, ratio, strict=True):
        spread = np.abs(axial.axial_spread(angles, shl))
        nodes = axial.nodes_needed(float(np.max(spread / fwhm, initial=0.0)))
        at, part = axial.axial_nodes(
            angles, shl, *axial.quadrature(nodes, fixed.axial_imbalance), gsas=False, imbalance=fixed.axial_imbalance
        )
        centre = np.sum(at * part, axis=1)
        # beyond this distance one Lorentzian at the centre replaces all nodes, see `plan_tiles`
        core = np.maximum(_GAUSS * fwhm + spread, (0.75e5 * fwhm**2 * (0.3 * spread) ** 2) ** 0.25)
        far = np.maximum(reach, core)
        first, stop = np.searchsorted(x, centre - far), np.searchsorted(x, centre + far)
        inner, outer = np.searchsorted(x, centre - core), np.searchsorted(x, centre + core)
        for k in range(len(angles)):
            for low, high in ((first[k], inner[k]), (outer[k], stop[k])):
                u2 = (x[low:high] - centre[k]) ** 2
                out[low:high, k] += share * lorentz[k] / (1.0 + 4.0 * u2 / fwhm[k] ** 2)
            near = x[inner[k] : outer[k], None] - at[k]
            out[inner[k] : outer[k], k] += share * (pseudo_voigt(near, fwhm[k], eta[k]) @ part[k])
    if fixed.divergence_slit == "automatic":
        out *= np.asarray(corrections.automatic_slit(x))[:, None]
    return out
