"""`find_peaks`: reflections of a powder pattern, with uncertainties of their positions (host)."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np

from ..._arguments import checked
from ..._files import write_atomically
from ...diffraction import Instrument, Pattern
from ...errors import ConventionError, DataError
from ..records import Peaks
from .listing import genuine, rows
from .search import Search

FEWEST = 8
_COLUMNS = ("number", "two_theta_deg", "sigma_deg", "d_A", "area", "sigma_area", "fwhm_deg", "area_over_sigma")


@checked
def find_peaks(
    pattern: Pattern,
    instrument: Instrument | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    most: int = 60,
    significance: float = 5.0,
) -> Peaks:
    """Find the reflections of a pattern.

    Args:
        pattern: measured pattern; excluded regions are left out.
        instrument: by default that of the pattern. Its wavelengths and their ratio are used (Kα2 is part of each peak),
            and its axial divergence as an initial guess.
        low, high: range to search, degrees.
        most: largest number of peaks, counted from the lowest angle.
        significance: smallest ratio of area to uncertainty.

    Raises:
        ConventionError: there is no wavelength, or ``most`` or ``significance`` is not positive.
        DataError: there are too few points.
    """
    instrument = instrument or pattern.instrument
    if instrument is None:
        raise ConventionError(
            f"{pattern.name} does not say which wavelength it was measured with: "
            "find_peaks(pattern, Instrument(wavelengths=(1.5406,))) says it, or read_pattern(..., wavelength=1.5406)"
        )
    instrument.require_wavelength()
    if most < 1:
        raise ConventionError(f"most is {most}, how many peaks are listed; expected 1 or more")
    if significance <= 0.0:
        raise ConventionError(
            f"significance is {significance:g}, the least area over its uncertainty; expected more than 0, as 5.0"
        )
    if low is not None or high is not None:
        pattern = pattern.limited(low, high)
    if pattern.included().sum() < 50:
        raise DataError(
            f"{pattern.name}: {int(pattern.included().sum())} points are no pattern to look for peaks in; expected 50 or more"
        )
    search = Search(pattern, instrument, most=most, significance=significance)
    search.run()
    table, humps = rows(search.groups, search.shape)
    table = table[search.kept(table[:, 0])]
    table, left_out = genuine(table, instrument, significance)
    notes = [*pattern.notes, *search.notes]
    if left_out:
        notes.append(
            f"weak lines at {', '.join(left_out)} degrees are left out: other radiation of the tube makes them of strong peaks"
        )
    if len(table) > most:
        notes.append(f"the first {most} of more peaks are listed; most=... takes more")
        table = table[:most]
    if len(table) < FEWEST:
        notes.append(f"{len(table)} peaks were found; an indexing in every lattice needs {FEWEST} or more")
    # the groups, and the background below their peaks, end where the list does
    humps = sorted(h for h in (*humps, *search.rises()) if not len(table) or h[0] < table[-1, 0])
    two_theta, sigma, area, sigma_area, fwhm = table.T
    return Peaks(
        two_theta, sigma, area, sigma_area, fwhm, np.array(humps).reshape(-1, 2), instrument, pattern.name, tuple(notes)
    )


def peak_table(peaks: Peaks) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of a table of peaks: position, d in Å, area, uncertainties, width, significance."""
    columns = (
        peaks.two_theta,
        peaks.sigma,
        peaks.d,
        peaks.area,
        peaks.sigma_area,
        peaks.fwhm,
        peaks.area / peaks.sigma_area,
    )
    forms = (".5f", ".5f", ".6g", ".6g", ".4g", ".4f", ".1f")
    cells = [[f"{value:{form}}" for value in column] for column, form in zip(columns, forms, strict=True)]
    return _COLUMNS, [(str(k + 1), *row) for k, row in enumerate(zip(*cells, strict=True))]


def write_peaks(peaks: Peaks, path: str | Path) -> Path:
    """Write a table of peaks as comma-separated columns."""
    header, body = peak_table(peaks)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(body)
    return write_atomically(path, text.getvalue())
