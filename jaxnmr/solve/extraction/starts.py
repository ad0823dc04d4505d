"""Starting values of a Le Bail fit: group of a lattice, width of peaks (host)."""

import numpy as np
import scipy.signal
from jaxtyping import Float

from ...crystal import SpaceGroup
from ...crystal.cell import metric
from ...diffraction import Instrument, widths
from ...errors import ConventionError, DataError, SymmetryError
from ...typing import Numbers
from ...units import FWHM_PER_SIGMA
from ..records import Peaks

# largest relative deviation of a metric from that required by a group
METRIC_TOLERANCE = 2e-3
# angles below this cannot be in degrees; upper limit of cell volumes in Å³
_RADIANS, _LARGEST_VOLUME = 3.2, 2e6
# highest symmetry first; of monoclinic cells the unique axis b, a, c
_LATTICE_GROUPS = ("P m -3 m", "P 6/m m m", "P 4/m m m", "P m m m", "P 1 2/m 1", "P 2/m 1 1", "P 1 1 2/m", "P -1")
# number and prominence of peaks that the width is taken from
_MOST, _PROMINENT = 24, 0.03
# factor up to which widths of an instrument agree with those of the pattern and are kept
_AGREE = 1.6


def require_cell(cell: Numbers) -> Float[np.ndarray, "6"]:
    """Return a valid cell as numbers.

    Raises:
        ConventionError: the cell is invalid: wrong number of values, impossible angles, or lengths in units other than
            Å.
    """
    numbers = np.asarray(cell, dtype=float)
    if numbers.shape != (6,) or not np.all(np.isfinite(numbers)) or not np.all(numbers > 0):
        raise ConventionError(
            f"the cell is {np.round(numbers, 4).tolist()}; expected six positive numbers, a b c in Å and alpha beta gamma in degrees"
        )
    wrong = f"the cell {np.round(numbers, 4).tolist()}"
    if np.all(numbers[3:] < _RADIANS):
        raise ConventionError(f"{wrong} has very small angles; expected degrees, not radians")
    size = float(np.linalg.det(metric(numbers)))
    if np.any(numbers[3:] >= 180.0) or not size > 1e-6 * float(np.prod(numbers[:3])) ** 2:
        raise ConventionError(f"{wrong} has no volume: these three angles cannot meet in a corner")
    if size > _LARGEST_VOLUME**2:
        raise ConventionError(f"{wrong} has a volume of {size**0.5:.3g} Å³; expected lengths in Å, not pm")
    return numbers


def fits_metric(group: SpaceGroup, cell: Float[np.ndarray, "6"], tolerance: float = METRIC_TOLERANCE) -> bool:
    """Return whether the operations of a group preserve a cell."""
    g = metric(np.asarray(cell, dtype=float))
    scale = np.sqrt(np.outer(np.diag(g), np.diag(g)))
    return bool(np.abs((group.metric_projector(g) - g) / scale).max() < tolerance)


def group_of_lattice(cell: Float[np.ndarray, "6"]) -> SpaceGroup:
    """Return the primitive group of highest symmetry, without extinctions, that a cell allows.

    Raises:
        SymmetryError: there is none, which is impossible for valid cells.
    """
    for name in _LATTICE_GROUPS:
        group = SpaceGroup.from_name(name)
        if fits_metric(group, cell):
            return group
    a, b, c, alpha, _, gamma = np.asarray(cell, dtype=float)
    if np.ptp([a, b, c]) < METRIC_TOLERANCE * a and abs(alpha - gamma) < 0.1:
        return SpaceGroup.from_name("R -3 m:R")
    raise SymmetryError(f"no lattice has the cell {np.round(cell, 4).tolist()}; expected six numbers, Å and degrees")


def require_metric(group: SpaceGroup, cell: Float[np.ndarray, "6"]) -> None:
    """Refuse a group that requires another metric.

    Raises:
        SymmetryError: the metric differs; the message states the required one.
    """
    if not fits_metric(group, cell):
        raise SymmetryError(
            f"{group.name} does not allow the cell {np.round(np.asarray(cell, dtype=float), 4).tolist()}: its operations change a distance by "
            f"more than {100 * METRIC_TOLERANCE:.1g} %. Give the group in the setting of this cell, or the cell in that of the group"
        )


def typical_fwhm(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], sigma: Float[np.ndarray, " points"]
) -> float:
    """Return the width in degrees of the sharper ones of the strong peaks, at half of their prominence.

    Raises:
        DataError: there is no signal above the noise.
    """
    prominence = max(_PROMINENT * float(np.ptp(y)), 8.0 * float(np.median(sigma)))
    found, shown = scipy.signal.find_peaks(y, prominence=prominence)
    if len(found) == 0:
        raise DataError(
            f"no point between {x[0]:g} and {x[-1]:g} degrees stands out of the noise: there are no reflections to fit"
        )
    strongest = found[np.argsort(-shown["prominences"])[:_MOST]]
    # half of the prominence measured to where the peak ends, not to where a stronger one begins
    window = min(len(x), max(9, round(4.0 / float(np.median(np.diff(x))))))
    points = scipy.signal.peak_widths(y, strongest, rel_height=0.5, wlen=window)[0]
    return float(np.quantile(points * np.median(np.diff(x)), 0.35))


def starting_widths(instrument: Instrument, fwhm: float, two_theta: float) -> dict[str, float]:
    """Return starting values of the profile: those of the instrument if they match the peaks, else from the peak width.

    Args:
        instrument: instrument with its widths.
        fwhm: degrees.
        two_theta: angles at which peaks have this width.
    """
    angle = np.array([two_theta])
    wavelength = instrument.wavelengths[0]
    lorentz = widths.lorentzian_width(angle, instrument.X, instrument.Y, instrument.Z)
    lorentz = lorentz + widths.size_width(angle, 1.0, wavelength) + widths.strain_width(angle, 1000.0)
    variance = widths.caglioti_variance(angle, instrument.U, instrument.V, instrument.W)
    own = float(np.asarray(widths.thompson_cox_hastings(variance, lorentz)[0])[0])
    if 1.0 / _AGREE < own / fwhm < _AGREE:
        return {}
    theta, centidegrees = np.radians(two_theta / 2.0), 100.0 * fwhm
    return {
        "U": 0.0,
        "V": 0.0,
        "W": (0.65 * centidegrees / FWHM_PER_SIGMA) ** 2,
        "X": 0.0,
        "Y": 0.0,
        "Z": 0.0,
        "size": float(np.clip(1.8 * wavelength / (np.pi * 0.25 * centidegrees * np.cos(theta)), 2e-3, 50.0)),
        "strain": float(0.2 * centidegrees * np.pi / (0.018 * np.tan(theta))),
    }


def width_of(
    peaks: Peaks | None,
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
) -> float:
    """Return the peak width in degrees, from known peaks or else from the pattern."""
    if peaks is not None and len(peaks):
        return float(np.quantile(peaks.fwhm, 0.35))
    return typical_fwhm(x, y, sigma)
