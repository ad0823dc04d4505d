"""Conversion of the columns of a file to a checked `Pattern`: shared by all pattern readers."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...diffraction.records import Instrument, Pattern
from ...errors import DataError, JaxnmrError, ParseError
from .axis import ANGLES, Axis
from .third_column import doubtful_sigma, third_column
from .uncertainty import Estimate, counting_sigma, estimate_sigma


@dataclass(frozen=True)
class Measured:
    """Unchecked output of a reader.

    Attributes:
        x: ``(points,)`` 2theta in degrees, or the quantity of ``axis``.
        y: ``(points,)`` intensities.
        sigma: ``(points,)`` uncertainties given in the file, or ``None`` for counting statistics.
        lines: ``(points,)`` 1-based line number of each point, or ``None`` if the file has no lines.
        unmeasured: ``(points,)`` mask of points without weight in the file (weight 0, padding); they are
            excluded from fits, not dropped.
        excluded: ``((low, high), ...)`` regions in degrees excluded by the file itself.
        instrument: information on the diffractometer in the file.
        third: ``(points,)`` a column not named in the file: uncertainties, or something else.
        per_second: whether intensities are counts per second; ``seconds`` the counting time per point, if known,
            a number or ``(points,)``.
        notes: sentences about the data that the reader of a result must know.
        axis: quantity of ``x``, ``None`` for 2theta in degrees.
        factor: ``(points,)`` of a beam attenuator; multiplies the uncorrected intensities and their uncertainties.
        counted: whether ``sigma`` follows from counts, which cannot be negative; net intensities have their own.
    """

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None = None
    lines: np.ndarray | None = None
    unmeasured: np.ndarray | None = None
    excluded: tuple[tuple[float, float], ...] = ()
    instrument: Instrument | None = None
    third: np.ndarray | None = None
    per_second: bool = False
    seconds: float | np.ndarray | None = None
    notes: tuple[str, ...] = ()
    axis: Axis | None = None
    factor: np.ndarray | None = None
    counted: bool = False

    def turned(self) -> "Measured":
        """Return the same points in reverse order."""
        turned: dict[str, Any] = {
            f.name: of[::-1] for f in fields(self) if isinstance(of := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **turned)


def in_degrees(path: str | Path, found: Measured, wavelength: float | None) -> Measured:
    """Convert a pattern to 2theta in degrees, whatever the axis of its file.

    Args:
        path: for error messages.
        found: output of a reader.
        wavelength: in Å, for Q, d and sin(θ)/λ.

    Raises:
        ParseError: a required wavelength is missing, or values do not correspond to any angle.
    """
    axis = found.axis
    if axis is None or axis.plain:
        return found
    with_what = "" if axis.quantity in ANGLES else f" with the wavelength {wavelength} Å"
    said = f"The column {axis.title.strip()!r} was taken for {axis.quantity} and made 2theta in degrees{with_what}."
    found = replace(found, notes=(*found.notes, said))
    if axis.quantity in ANGLES:
        return replace(found, x=axis.factor * (2.0 if axis.quantity == "theta" else 1.0) * found.x, axis=None)
    if wavelength is None:
        raise ParseError(
            path,
            None,
            f"is given over {axis.title.strip()!r}: a wavelength is needed to make it 2theta. Give wavelength = 1.5406 (Å) "
            "in the run file or when reading, or an instrument file",
        )
    sine = wavelength * axis.sine_over_wavelength(found.x)
    wrong = np.flatnonzero(~(np.isfinite(sine) & (sine >= 0.0) & (sine < 1.0)))
    if len(wrong):
        k = int(wrong[0])
        raise ParseError(
            path,
            None if found.lines is None else int(found.lines[k]),
            f"{axis.title.strip()!r} is {found.x[k]:g}, which no angle has at {wavelength:g} Å (sin θ = {sine[k]:.3g}); "
            "check the wavelength and the unit",
        )
    found = replace(found, x=2.0 * np.degrees(np.arcsin(sine)), axis=None)
    return found.turned() if axis.quantity in ("d", "d^2") and np.all(np.diff(found.x) < 0) else found


def _weighed(path: Path, found: Measured, y: np.ndarray) -> tuple[Estimate, bool]:
    """Return intensities, uncertainties and notes on them, and whether the file provides the uncertainties."""
    sigma = found.sigma
    notes: tuple[str, ...] = ()
    factor: np.ndarray | float = 1.0 if found.factor is None else found.factor
    if found.third is not None:
        try:
            third = third_column(np.nan_to_num(y), found.third)
        except DataError as error:
            raise ParseError(path, None, str(error)) from error
        sigma, notes = third.sigma, third.notes
        factor = 1.0 if third.factor is None else third.factor
    if sigma is None:
        estimate = estimate_sigma(y, rate=found.per_second, seconds=found.seconds)
        return Estimate(y * factor, estimate.sigma * factor, (*found.notes, *notes, *estimate.notes)), False
    sigma = np.asarray(sigma, dtype=float) * factor
    doubts = doubtful_sigma(np.nan_to_num(y), sigma)
    return Estimate(y * factor, sigma, (*found.notes, *notes, *doubts)), not found.counted


def to_pattern(path: str | Path, found: Measured) -> Pattern:
    """Check the output of a reader and build the `Pattern`.

    Intensities without uncertainties get those of counts, or those implied by their scatter; see `uncertainty`. Points
    without weight become excluded regions. A scan from high to low angles is reversed, and this is noted. Negative
    intensities are allowed for data with uncertainties of their own.

    Raises:
        ParseError: a value that cannot be used, with file and line.
    """
    path = Path(path)
    if len(found.x) > 2 and np.all(np.diff(found.x) < 0):
        note = f"The scan runs from {found.x[0]:g} down to {found.x[-1]:g} degrees; it was sorted."
        found = replace(found.turned(), notes=(*found.notes, note))
    x, y = np.asarray(found.x, dtype=float), np.asarray(found.y, dtype=float)
    if len(x) < 3:
        raise ParseError(path, None, f"only {len(x)} points found; expected at least 3 (a truncated file?)")
    unmeasured = np.zeros(x.shape, dtype=bool) if found.unmeasured is None else found.unmeasured
    (y, sigma, notes), given = _weighed(path, found, y)
    sigma = np.where(unmeasured, counting_sigma(np.nan_to_num(y)), sigma)

    def refuse(bad: np.ndarray, describe) -> None:
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            line = None if found.lines is None else int(found.lines[k])
            raise ParseError(path, line, describe(k))

    refuse(~np.isfinite(x), lambda k: f"2theta is {x[k]} (point {k + 1}); expected degrees")
    refuse(
        ~np.isfinite(y),
        lambda k: f"intensity is {y[k]} at 2theta {x[k]:g}; expected a number: remove or repair that point",
    )
    refuse(
        (y < 0) & (not given),
        lambda k: (
            f"negative intensity {y[k]:g} at 2theta {x[k]:g}; counts cannot be negative "
            "(give the data without background subtraction: the background is refined; or give net intensities with "
            "their uncertainties)"
        ),
    )
    refuse(
        ~np.isfinite(sigma) | (sigma <= 0),
        lambda k: (
            f"uncertainty {sigma[k]:g} at 2theta {x[k]:g} (intensity {y[k]:g}); expected a positive number: "
            "give 1 for a point without counts, or leave the column out to use counting statistics"
        ),
    )
    refuse(
        np.diff(x, prepend=-np.inf) <= 0,
        lambda k: (
            f"2theta {x[k]:g} follows {x[k - 1]:g}; expected increasing angles: "
            f"{'merge the repeated points' if x[k] == x[k - 1] else 'sort the points'}"
        ),
    )
    if x[0] <= -180 or x[-1] >= 180:
        refuse(
            np.abs(x) >= 180,
            lambda k: (
                f"2theta is {x[k]:g}; expected degrees between -180 and 180 "
                "(not centidegrees, not time of flight, not energy)"
            ),
        )
    try:
        excluded = (*found.excluded, *_regions(x, unmeasured))
        return Pattern.create(x, y, sigma, excluded=excluded, name=path.name, instrument=found.instrument, notes=notes)
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error


def _regions(x: np.ndarray, mask: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return ``((low, high), ...)`` in degrees around each run of masked points, a quarter step wider on each side."""
    if not mask.any():
        return ()
    pad = 0.25 * float(np.diff(x).min())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return tuple((float(x[a] - pad), float(x[b - 1] + pad)) for a, b in edges.reshape(-1, 2))
