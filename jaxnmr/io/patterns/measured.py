"""From the columns of a file to a checked `Pattern`: shared by all pattern readers."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...diffraction.records import Instrument, Pattern
from ...errors import JaxnmrError, ParseError

if TYPE_CHECKING:
    from .axis import Axis


@dataclass(frozen=True)
class Measured:
    """What a reader found, before any check.

    Attributes:
        x: ``(points,)`` 2theta in degrees, or what ``axis`` says.
        y: ``(points,)`` intensities.
        sigma: ``(points,)`` uncertainties given by the file, or ``None``: counting statistics.
        lines: ``(points,)`` 1-based line number of each point, or ``None`` when the file has no lines.
        unmeasured: ``(points,)`` mask of points the file gives no weight (weight 0, padding); they are
            excluded from fits, not dropped.
        excluded: ``((low, high), ...)`` regions in degrees that the file itself excludes.
        instrument: what the file says about the diffractometer.
        axis: what ``x`` is, ``None`` for 2theta in degrees.
        counted: whether ``sigma`` follows from counts, which cannot be negative; net intensities have their own.
    """

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None = None
    lines: np.ndarray | None = None
    unmeasured: np.ndarray | None = None
    excluded: tuple[tuple[float, float], ...] = ()
    instrument: Instrument | None = None
    axis: "Axis | None" = None
    counted: bool = False

    def turned(self) -> "Measured":
        """The same points in the opposite order."""
        names = ("x", "y", "sigma", "lines", "unmeasured")
        return replace(self, **{name: of[::-1] for name in names if (of := getattr(self, name)) is not None})


def counting_sigma(y: np.ndarray) -> np.ndarray:
    """``sqrt(y)``, and 1 where nothing was counted; ``(points,)``."""
    return np.sqrt(np.maximum(y, 1.0))


def to_pattern(path: str | Path, found: Measured) -> Pattern:
    """Check what a reader found and build the `Pattern`.

    Zero counts without a given uncertainty get sigma = 1. Points without weight become excluded regions. A scan from
    high to low angles is turned, with a warning. Negative intensities are those of data that have an uncertainty of
    their own.

    Raises:
        ParseError: any value that cannot be used, with file and line.
    """
    path = Path(path)
    if len(found.x) > 2 and np.all(np.diff(found.x) < 0):
        warnings.warn(f"{path}: scanned from {found.x[0]:g} down to {found.x[-1]:g} degrees; sorted", stacklevel=3)
        found = found.turned()
    x, y = np.asarray(found.x, dtype=float), np.asarray(found.y, dtype=float)
    if len(x) < 3:
        raise ParseError(path, None, f"only {len(x)} points found; expected at least 3 (a truncated file?)")
    unmeasured = np.zeros(x.shape, dtype=bool) if found.unmeasured is None else found.unmeasured
    sigma = counting_sigma(np.nan_to_num(y)) if found.sigma is None else np.asarray(found.sigma, dtype=float)
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
        (y < 0) & (found.sigma is None or found.counted),
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
        return Pattern.create(x, y, sigma, excluded=excluded, name=path.name, instrument=found.instrument)
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error


def _regions(x: np.ndarray, mask: np.ndarray) -> tuple[tuple[float, float], ...]:
    """``((low, high), ...)`` in degrees around each run of masked points, a quarter step wide on each side."""
    if not mask.any():
        return ()
    pad = 0.25 * float(np.diff(x).min())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return tuple((float(x[a] - pad), float(x[b - 1] + pad)) for a, b in edges.reshape(-1, 2))
