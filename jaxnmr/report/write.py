"""Files of a finished refinement: structure, patterns, reflections, spectra, numbers, text and pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io import write_crystal
from ..plot import convergence, correlations, information, pattern, spectrum
from ..units import format_esd
from .geometry import Geometry, phase_covariance, phase_esds, volume_esd
from .record import result_record
from .spectra import write_csdm_files
from .text import report_text

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult


def write_report(fit: RefinementResult, directory: str | Path, run: Any = None) -> dict[str, Path]:
    """Write everything about a refinement into a folder, which is made when missing.

    ``refined.cif`` (one data block per phase), ``pattern.csv`` (``pattern_<name>.csv`` when there are several
    histograms), ``reflections_<histogram>_<phase>.csv``, ``spectrum_<name>.csv`` and ``spectrum_<name>.csdf``,
    ``result.json``, ``report.md`` and pictures. Files of an earlier refinement with the same names are replaced.

    Args:
        fit: the result.
        directory: where to.
        run: the :class:`~jaxnmr.runfile.Run` it came from, for the title, the input files and choices of pictures.

    Returns:
        The files written, by what they are (``"structure"``, ``"report"``, ``"result"``, ``"pattern xrd"`` ...).
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    if fit.crystals:
        written["structure"] = write_structures(fit, folder)
    for name in fit.patterns:
        written[f"pattern {name}"] = write_pattern(fit, name, folder)
        for phase in fit.patterns[name].reflections:
            written[f"reflections {name} {phase}"] = write_reflections(fit, name, phase, folder)
    for name, data in fit.spectra.items():
        written[f"spectrum {name}"] = write_spectrum_columns(fit, name, folder)
        for k, path in enumerate(write_csdm_files(data, folder, f"spectrum_{_file_name(name)}")):
            written[f"spectrum {name} (CSDM{f' {k + 1}' if k else ''})"] = path
    record = result_record(fit, run)
    written["result"] = folder / "result.json"
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    written["result"].write_text(text + "\n", encoding="utf-8")
    pictures = write_pictures(fit, folder, run)
    written |= pictures
    written["report"] = folder / "report.md"
    embedded = {what: path.name for what, path in pictures.items() if path.suffix == ".png"}
    written["report"].write_text(report_text(fit, record, run, embedded), encoding="utf-8")
    return written


def write_structures(fit: RefinementResult, folder: Path) -> Path:
    """Write ``refined.cif``: one data block per phase, with uncertainties, bonds, angles and agreement factors."""
    path = folder / "refined.cif"
    extra: dict[str, Any] = {"_refine_ls_number_parameters": fit.parameters.n_free}
    if len(fit.patterns) == 1:
        (name,) = fit.patterns
        s = fit.statistics[name]
        extra |= {
            "_pd_proc_ls_prof_R_factor": f"{0.01 * s.rp:.5f}",
            "_pd_proc_ls_prof_wR_factor": f"{0.01 * s.rwp:.5f}",
            "_pd_proc_ls_prof_wR_expected": f"{0.01 * s.rexp:.5f}",
            "_refine_ls_goodness_of_fit_all": f"{s.gof:.4f}",
        }
    text = []
    for name, crystal in fit.crystals.items():
        covariance = phase_covariance(fit, name)
        found = Geometry.of(crystal, covariance)
        extra["_cell_volume"] = format_esd(float(crystal.volume()), volume_esd(crystal, covariance))
        esds = {**phase_esds(fit, name), "bonds": found.bond_esds, "angles": found.angle_esds}
        write_crystal({name: crystal}, path, esds, extra, bonds=found.bond_plan, angles=found.angle_plan)
        text.append(path.read_text(encoding="utf-8"))
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def write_pattern(fit: RefinementResult, name: str, folder: Path) -> Path:
    """Write the fitted points of one histogram as comma-separated columns."""
    data = fit.patterns[name]
    path = folder / ("pattern.csv" if len(fit.patterns) == 1 else f"pattern_{_file_name(name)}.csv")
    columns = (data.x, data.observed, data.sigma, data.calculated, data.background, data.observed - data.calculated)
    header = ("two_theta_deg", "observed", "sigma", "calculated", "background", "difference")
    _write_csv(path, header, zip(*(_short(c) for c in columns), strict=True))
    return path


def write_spectrum_columns(fit: RefinementResult, name: str, folder: Path) -> Path:
    """Write the fitted points of one spectrum and what every site contributes as comma-separated columns."""
    data = fit.spectra[name]
    path = folder / f"spectrum_{_file_name(name)}.csv"
    columns = (data.ppm, data.frequency_hz, data.observed, data.sigma, data.calculated, data.baseline)
    columns = (*columns, data.observed - data.calculated, *data.components)
    header = ("ppm", "frequency_hz", "observed", "sigma", "calculated", "baseline", "difference", *data.labels)
    _write_csv(path, header, zip(*(_short(c) for c in columns), strict=True))
    return path


def write_reflections(fit: RefinementResult, name: str, phase: str, folder: Path) -> Path:
    """Write the reflections of one phase in one histogram as comma-separated columns."""
    r = fit.patterns[name].reflections[phase]
    path = folder / f"reflections_{_file_name(name)}_{_file_name(phase)}.csv"
    header = ("h", "k", "l", "multiplicity", "d_A", "two_theta_deg", "f2_calc", "f2_obs", "area", "fwhm_deg")
    numbers = (r.d, r.two_theta, r.f2_calc, r.f2_obs, r.area, r.fwhm)
    integers = (*np.asarray(r.hkl, dtype=int).T, np.asarray(r.multiplicity, dtype=int))
    _write_csv(path, header, zip(*integers, *(_short(c) for c in numbers), strict=True))
    return path


def write_pictures(fit: RefinementResult, folder: Path, run: Any = None) -> dict[str, Path]:
    """Write the pictures in the formats the run asks for (PNG by default)."""
    formats: Sequence[str] = getattr(run, "pictures", ("png",))
    choices = {h.name: h for h in getattr(run, "histograms", ())}
    written = {}
    several = len(fit.patterns) > 1
    for name in fit.patterns:
        choice = choices.get(name)
        zoom, scale = ("auto", "linear") if choice is None else (choice.zoom, choice.scale)
        figure = pattern(fit, name, zoom=zoom, scale=scale)
        stem = f"pattern_{_file_name(name)}" if several else "pattern"
        written |= _save(figure, folder, stem, f"picture of {name}", formats)
    for name in fit.spectra:
        zoom = getattr(next((c for c in getattr(run, "spectra", ()) if c.name == name), None), "zoom", None)
        written |= _save(
            spectrum(fit, name, zoom=zoom), folder, f"spectrum_{_file_name(name)}", f"picture of {name}", formats
        )
    if len(fit.information.terms) > 1 and fit.information.names:
        written |= _save(information(fit), folder, "information", "picture of what fixes what", formats)
    written |= _save(correlations(fit), folder, "correlations", "picture of correlations", formats)
    written |= _save(convergence(fit), folder, "convergence", "picture of convergence", formats)
    return written


def _save(figure, folder: Path, stem: str, what: str, formats: Sequence[str]) -> dict[str, Path]:
    import matplotlib.pyplot as plt

    out = {}
    for suffix in formats:
        path = folder / f"{stem}.{suffix}"
        figure.savefig(path)
        out[what if suffix == formats[0] else f"{what} ({suffix})"] = path
    plt.close(figure)
    return out


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _short(column) -> list[str]:
    return [f"{value:.8g}" for value in np.asarray(column, dtype=float)]


def _file_name(name: str) -> str:
    return "".join(ch if ch.isalnum() or ch in "-_." else "_" for ch in name)
