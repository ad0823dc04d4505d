"""From fitted groups to a list of peaks: selection, and uncertainties of positions (host)."""

import numpy as np
from jaxtyping import Float

from ...diffraction import Instrument
from ...units import FWHM_PER_SIGMA
from .groups import Group, uncertainties
from .growth import HUMP
from .profile import Shape

# relative width of a spike of a single point
_SPIKE = 0.4
# relative widths below this are no evidence of unresolved lines
_WIDER = 1.05
# smallest uncertainty of a position, relative to the width
_LEAST = 0.01
# relative uncertainty of the shift by axial divergence
_AXIAL = 0.05
# range of the foot of a peak in widths, and its largest relative area
_FOOT, _WEAK = 6.0, 0.01
# Kα1 and Kβ1 in Å (International Tables C, 4.2.2)
_TUBES = (
    (1.540593, 1.392235), (0.709317, 0.632303), (1.788996, 1.620826), (1.936041, 1.756604), (2.289746, 2.084881), (0.559422, 0.497082),
)  # fmt: skip
_TUNGSTEN = 1.476399


def rows(groups: list[Group], shape: Shape) -> tuple[Float[np.ndarray, "peaks 5"], list[tuple[float, float]]]:
    """Return position, uncertainty, area, its uncertainty and width of each peak; positions and widths of humps."""
    found, humps = [], []
    for group in groups:
        sigma, sigma_area = uncertainties(group)
        fwhm, usual = group.fwhm(shape), shape.fwhm(group.position)
        # profile errors and unresolved lines may shift a peak to either side
        profile = np.hypot(0.8 * shape.misfit, _LEAST) * fwhm
        axial = max(shape.misfit, _AXIAL) * shape.extent(group.position) / 3.0
        hidden = 0.5 * np.sqrt(np.maximum(fwhm**2 - (_WIDER * usual) ** 2, 0.0)) / FWHM_PER_SIGMA
        error = np.sqrt(sigma**2 + profile**2 + axial**2 + hidden**2)
        for j in range(len(group.position)):
            if fwhm[j] > HUMP * usual[j]:
                humps.append((float(group.position[j]), float(fwhm[j]), float(group.area[j])))
            elif fwhm[j] > _SPIKE * usual[j]:
                found.append((group.position[j], error[j], group.area[j], sigma_area[j], fwhm[j]))
    table = np.array(sorted(found)).reshape(-1, 5)
    # two groups may have grown the same peak
    twice = np.zeros(len(table), bool)
    for j in range(1, len(table)):
        if table[j, 0] - table[j - 1, 0] < 0.3 * table[j, 4]:
            twice[j if table[j, 2] < table[j - 1, 2] else j - 1] = True
    table = table[~twice]
    # the foot of a strong peak is not part of its profile: filter edges, detector
    foot = (np.abs(table[:, None, 0] - table[:, 0]) < _FOOT * table[:, 4]) & (table[:, None, 2] < _WEAK * table[:, 2])
    table = table[~foot.any(axis=1)]
    # a broad foot below a stronger peak is not a hump either
    below = lambda at, width, size: (np.abs(table[:, 0] - at) < 0.5 * width) & (table[:, 2] > size)
    return table, [(at, width) for at, width, size in humps if not below(at, width, size).any()]


def companions(wavelength: float) -> list[tuple[str, float, float, float]]:
    """List other radiation of a tube: name, range of wavelengths relative to the first one, largest relative intensity.

    The satellites of Kα (Kα3, Kα4) have about a hundredth of its intensity at 0.994 to 0.996 of its wavelength (Cheary
    & Coelho, J. Appl. Cryst. 25, 109 (1992)); the bremsstrahlung transmitted by a filter appears there, too.
    """
    first, beta = min(_TUBES, key=lambda tube: abs(tube[0] / wavelength - 1.0))
    if abs(first / wavelength - 1.0) > 1.5e-3:
        return []
    found = [("Kβ", beta / wavelength, beta / wavelength, 0.02), ("Kα satellite", 0.9905, 0.9980, 0.02)]
    if first == _TUBES[0][0]:
        found.append(("W Lα", _TUNGSTEN / wavelength, _TUNGSTEN / wavelength, 0.02))
    return found


def genuine(
    table: Float[np.ndarray, "peaks 5"], instrument: Instrument, significance: float
) -> tuple[Float[np.ndarray, "left 5"], list[str]]:
    """Remove weak companions of strong peaks from other radiation of the tube; return other peaks and remarks."""
    if instrument.radiation != "xray" or instrument.geometry != "bragg-brentano" or not len(table):
        return table, []
    own = np.ones(len(table), bool)
    sine, area = np.sin(np.radians(table[:, 0] / 2.0)), table[:, 2]
    slack = 0.5 * np.cos(np.radians(table[:, 0] / 2.0)) * np.radians(3.0 * table[:, 1] + 0.01)
    seen = significance * float(np.quantile(table[:, 3], 0.1))
    said = []
    for name, shortest, longest, share in companions(instrument.wavelengths[0]):
        # rows are companions, columns the peaks they may belong to
        pair = (sine * shortest < (sine + slack)[:, None]) & (sine * longest > (sine - slack)[:, None])
        weak = pair & (area[:, None] < share * area)
        strong = np.argsort(-area)[:6]
        strong = strong[(sine * shortest)[strong] > sine[0] - slack[0]]
        # no more of it than the strongest peaks show; satellites are hidden beside these
        most = share
        if longest == shortest and len(strong):
            found = np.where(weak, area[:, None], 0.0).max(axis=0)
            most = 3.0 * float(np.median(np.maximum(found, seen)[strong] / area[strong]))
        made = (weak & (area[:, None] < most * area)).any(axis=1) & own
        own &= ~made
        said += [f"{at:.2f} ({name})" for at in table[made, 0]]
    return table[own], said
