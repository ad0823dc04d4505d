"""Run-file section for NMR spectra with sites from a calculation or a list of peaks (host)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConventionError, JaxnmrError, ParseError
from ..io import read_magres, read_spectrum, read_topspin_acquisition
from ..io.spectra.topspin import is_topspin
from ..nmr import isotope, reference_hz
from ..runfile.keys import read
from ..runfile.spectrum import SpectrumSpec, measured
from ..runfile.table import Table
from .text import beside, comment, table

# number of windows whose scatter tells noise from signal, and the ratio of signal to noise that counts
_WINDOWS, _SIGNAL = 48, 6.0
# fraction of the signal width that is fitted on either side, and the fewest points of a region of noise
_BESIDE, _FEWEST = 0.4, 24


@dataclass(frozen=True)
class Peak:
    """Line of a list: label, shift in ppm, relative area."""

    label: str
    shift: float
    area: float


@dataclass(frozen=True)
class Nmr:
    """A spectrum and the origin of its sites.

    Attributes:
        name: name of the spectrum in the run file.
        file: data file.
        entries: keys of its table.
        notes: comments on keys.
        peaks: sites from a list; empty if a calculation provides them.
        fwhm: width of its strongest line, ppm.
        sidebands: whether the signal is wide enough to show spinning sidebands, or the sample is static.
        said: findings, as sentences.
    """

    name: str
    file: Path
    entries: dict[str, Any]
    notes: dict[str, str]
    peaks: tuple[Peak, ...]
    fwhm: float
    sidebands: bool
    said: tuple[str, ...]


def read_peak_list(file: Path) -> tuple[Peak, ...]:
    """Read lines of a text: an optional label, a shift in ppm, an optional relative area; a header is skipped.

    Raises:
        ParseError: no line has a shift.
    """
    found: list[Peak] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        words = [word for word in re.split(r"[\s,;]+", line.split("#")[0].strip()) if word]
        numbers = [float(word) for word in words if _is_number(word)]
        label = next((word for word in words if not _is_number(word)), "")
        if numbers and len(words) - len(numbers) <= 1:
            found.append(Peak(label, numbers[0], numbers[1] if len(numbers) > 1 else 1.0))
    if not found:
        raise ParseError(
            file, None, "no peak in it; expected lines such as 'Si1 -107.4 1.0': label, shift in ppm, relative area"
        )
    return tuple(found)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def describe(
    name: str,
    file: Path,
    run: Path,
    *,
    magres: Path | None = None,
    peaks: tuple[Peak, ...] = (),
    dmfit: Path | None = None,
    nucleus: str | None = None,
    b0: float | None = None,
    mas: float | None = None,
    reference: float | None = None,
) -> Nmr:
    """Survey a spectrum and describe it for a run file.

    Args:
        name, file: name and data file of the spectrum.
        run: path of the run file.
        magres, peaks, dmfit: source of the sites, one of them.
        nucleus, b0, mas: isotope, tesla and Hz, if the data do not provide them.
        reference: shift of zero shielding in ppm, for a calculation; estimated by default.

    Raises:
        JaxnmrError: required information is neither in the data nor given.
    """
    entries: dict[str, Any] = {"name": name, "file": beside(file, run)}
    notes: dict[str, str] = {"name": f'its parameters are called "{name}/..."'}
    said: list[str] = []
    acquired = read_topspin_acquisition(file) if is_topspin(file) else None
    if acquired is not None and file.is_dir() and (file / "fid").exists():
        entries["processing"] = {"topspin": 1} if (file / "pdata" / "1" / "procs").exists() else {"auto": True}
        notes["processing"] = (
            "of the decay, as TopSpin did it" if "topspin" in entries["processing"] else "of the decay"
        )
    nucleus = nucleus or (acquired.isotope if acquired else "")
    if not nucleus:
        larmor = None if b0 is None else 1e6  # any value: only the isotope is needed here
        nucleus = read_spectrum(file, larmor_hz=larmor).isotope if not acquired else ""
    if not nucleus:
        raise JaxnmrError(f"{file} does not say which nucleus it shows: give --isotope 29Si")
    nucleus = isotope(nucleus).symbol
    entries["isotope"] = nucleus
    if b0 is not None:
        entries["b0_tesla"] = b0
    try:
        data = measured(_spec(file, entries))
    except ConventionError as err:
        if b0 is None:
            raise JaxnmrError(f"{err} Give the field, --b0 9.4 (tesla)") from err
        raise
    ppm, values = np.asarray(data.ppm), np.real(np.asarray(data.values))
    region, noise, fwhm = _regions(ppm, values)
    quadrupolar = isotope(nucleus).spin >= 1
    if mas is None and acquired is not None and acquired.mas_hz > 0:
        mas = acquired.mas_hz
        said.append(f"{mas:g} Hz is the spinning speed in the file; it may be left from another experiment")
    calculated = magres is not None or dmfit is not None
    if mas is None and calculated:
        raise JaxnmrError(
            f"{file} does not say how fast the sample was spun: give --mas 12500 (Hz; inf without sidebands, 0 for a static one)"
        )
    entries["mas_hz"] = mas if calculated and mas is not None else math.inf
    notes["mas_hz"] = "spinning speed; inf: no sidebands; 0: static"
    if quadrupolar:
        entries["transitions"] = "central"
        notes["transitions"] = '"all" where satellites overlap the centre'
    entries["region_ppm"] = [round(region[1], 2), round(region[0], 2)]
    notes["region_ppm"] = "what is fitted"
    entries["noise_region_ppm"] = [round(noise[1], 2), round(noise[0], 2)]
    notes["noise_region_ppm"] = "without signal"
    entries["baseline"] = 2
    if magres is not None:
        entries["magres"] = beside(magres, run)
        if reference is None:
            reference = _reference(magres, nucleus, ppm, values, region)
            said.append(
                f"No --reference: {reference:.1f} ppm is taken for no shielding, so that the calculated shifts have the mean of the spectrum"
            )
        entries["reference"] = {"reference_ppm": round(reference, 2), "slope": -1.0}
        notes["reference"] = "calculated shieldings become shifts: reference_ppm + slope * shielding"
    if dmfit is not None:
        entries["dmfit"] = beside(dmfit, run)
    if magres is not None:
        entries |= _widths(fwhm)
    field = f"{reference_field(nucleus, data.larmor_hz):.2f} T"
    said.insert(0, (
        f"{file.name}: {nucleus} at {field}, {len(ppm)} points, signal between {region[1]:.1f} and {region[0]:.1f} ppm, "
        f"strongest line {fwhm:.2g} ppm wide"
    ))  # fmt: skip
    if quadrupolar and peaks:
        said.append(
            f"{nucleus} has a quadrupole moment: lines of a list have none of its shape. Add cq_mhz and eta_q to a site to have it, "
            "or give a magres file"
        )
    spun = mas or 0.0
    sidebands = 1e-6 * data.larmor_hz * (region[1] - region[0]) > 2.0 * spun
    if magres is not None and not sidebands:
        said.append("No spinning sidebands stand out: anisotropies of the shift stay as calculated")
    element = isotope(nucleus).element
    named = tuple(replace(p, label=p.label or f"{element}{k}") for k, p in enumerate(peaks, 1))
    return Nmr(name, file, entries, notes, named, fwhm, sidebands, tuple(said))


def reference_field(nucleus: str, larmor_hz: float) -> float:
    """Return the field in tesla from a reference frequency."""
    return larmor_hz / reference_hz(nucleus, 1.0)


def _spec(file: Path, entries: dict[str, Any]) -> SpectrumSpec:
    """Make a table for reading the data only: one line replaces all sites."""
    content = entries | {"file": str(file.absolute()), "peaks_ppm": [0.0]}
    return read(Table(file, "[[spectrum]]", content), SpectrumSpec)


def _widths(fwhm: float) -> dict[str, float]:
    return {"gaussian_ppm": round(0.7 * fwhm, 4), "lorentzian_ppm": round(0.4 * fwhm, 4)}


def _regions(ppm: np.ndarray, values: np.ndarray) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return the signal region and a noise region in ppm, and the width of the highest line."""
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import peak_widths

    windows = [part for part in np.array_split(np.arange(len(ppm)), _WINDOWS) if len(part) >= 6]
    scatter = np.array([np.std(np.diff(values[part])) / np.sqrt(2.0) for part in windows])
    # zero-filled ends are not noise
    usual = float(np.quantile(scatter[scatter > 0], 0.25))
    level = float(
        np.median(np.concatenate([values[part] for part, s in zip(windows, scatter, strict=True) if s < 2.0 * usual]))
    )
    smooth = uniform_filter1d(values - level, 5)
    top = int(np.argmax(smooth))
    signal = np.flatnonzero(smooth > max(_SIGNAL * usual, 0.01 * smooth[top]))
    # an isolated point is a spike
    signal = signal[np.isin(signal + 1, signal) | np.isin(signal - 1, signal)]
    first, last = (int(signal[0]), int(signal[-1])) if len(signal) else (0, len(ppm) - 1)
    points = float(peak_widths(smooth, [top], rel_height=0.5)[0][0])
    step = abs(float(ppm[1] - ppm[0]))
    room = int(max(_BESIDE * (last - first), 6.0 * points))
    low, high = max(first - room, 0), min(last + room, len(ppm) - 1)
    quiet = [
        part
        for part in (np.arange(0, first - room // 4), np.arange(last + room // 4, len(ppm)))
        if len(part) >= _FEWEST
    ]
    if quiet:
        longest = max(quiet, key=len)
        # avoid the ends of the axis, where filters attenuate
        middle = longest[len(longest) // 8 : len(longest) - len(longest) // 8]
    else:
        middle = np.arange(max(len(ppm) // 20, 8))
    ends = lambda a, b: (float(min(ppm[a], ppm[b])), float(max(ppm[a], ppm[b])))
    return ends(low, high), ends(int(middle[0]), int(middle[-1])), max(points, 2.0) * step


def _reference(magres: Path, nucleus: str, ppm: np.ndarray, values: np.ndarray, region: tuple[float, float]) -> float:
    """Return the shift of zero shielding for which calculated and observed mean shifts agree."""
    part = read_magres(magres).select(isotope(nucleus).element)
    if part.shielding_ppm is None or not np.isfinite(part.shielding_ppm).all():
        raise JaxnmrError(
            f"{magres} has no shieldings of {isotope(nucleus).element}: give --reference, the shift of its sites in ppm"
        )
    inside = (ppm >= region[0]) & (ppm <= region[1])
    weight = np.maximum(values[inside], 0.0)
    centre = float(np.sum(weight * ppm[inside]) / np.sum(weight))
    return centre + float(np.mean(np.trace(part.shielding_ppm, axis1=1, axis2=2)) / 3.0)


def spectrum_lines(found: Nmr) -> list[str]:
    """Write the table of a spectrum, and those of its sites."""
    said = [s[0].upper() + s[1:] + ("" if s.endswith(".") else ".") for s in found.said[1:]]
    lines = ["", *comment(*said), *table("[[spectrum]]", found.entries, found.notes)]
    for peak in found.peaks:
        site: dict[str, Any] = {"label": peak.label, "shift_ppm": peak.shift, "amplitude": peak.area}
        lines += ["", *table("[[spectrum.site]]", site | _widths(found.fwhm))]
    return lines
