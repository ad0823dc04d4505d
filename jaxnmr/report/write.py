"""Files of a finished refinement: structure, patterns, reflections, spectra, numbers, text and figures."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._arguments import checked
from .._files import write_atomically
from .._record import read_record, write_record
from ..errors import ParseError
from ..io import write_crystal
from ..units import format_esd
from .asked import Asked
from .earlier import RESULT, set_aside
from .geometry import Geometry, phase_covariance, phase_esds, volume_esd
from .kept import KEPT, read_kept, write_kept
from .page import page_possible, write_page
from .pictures import file_name, write_pictures
from .publication import paper_tables, write_csv, write_latex, write_publication
from .record import result_record
from .spectra import write_csdm_files
from .text import report_text

if TYPE_CHECKING:
    from ..objective import Profile, ProfileStatistics
    from ..refinement.result import RefinementResult


def write_report(fit: RefinementResult, directory: str | Path, run: Any = None) -> dict[str, Path]:
    """Write all files of a refinement into a folder, which is created if missing.

    ``refined.cif`` (one data block per phase), ``pattern.csv`` (``pattern_<name>.csv`` with several histograms),
    ``reflections_<histogram>_<phase>.csv``, ``spectrum_<name>.csv`` and ``spectrum_<name>.csdf``, ``curve_<name>.csv``,
    ``result.json``, ``report.md`` and figures. Files of an earlier refinement in the folder are moved to its subfolder
    ``previous``.

    Args:
        fit: result of the refinement.
        directory: output folder.
        run: the :class:`~jaxnmr.runfile.Run` it came from, for the title, the input files and figure settings.

    Returns:
        The files written, by description (``"structure"``, ``"report"``, ``"result"``, ``"pattern xrd"`` ...).
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    record, asked = result_record(fit, run), Asked.of(run)
    set_aside(folder, getattr(run, "inputs", ()))
    write_kept(folder / KEPT, fit, asked)
    return _write(fit, folder, record, asked)


@checked
def rewrite_report(directory: str | Path, out: str | Path | None = None) -> dict[str, Path]:
    """Write all files of :func:`write_report` again, from ``result.json`` and ``result.npz`` in the folder.

    Args:
        directory: folder with the results of a refinement.
        out: another output folder, created if missing; by default the same one.

    Returns:
        The files written, by description.

    Raises:
        ParseError: the folder contains no results of a refinement, or damaged ones.
    """
    folder = Path(directory)
    try:
        record = read_record(folder / RESULT, "refinement")
    except FileNotFoundError:
        raise ParseError(
            folder / RESULT, None, "no such file: name a folder into which a refinement wrote its results"
        ) from None
    fit, asked = read_kept(folder / KEPT)
    target = folder if out is None else Path(out)
    if target.resolve() != folder.resolve():
        target.mkdir(parents=True, exist_ok=True)
        set_aside(target)
        shutil.copy2(folder / KEPT, target / KEPT)
    return _write(fit, target, record, asked)


def _write(fit: RefinementResult, folder: Path, record: dict[str, Any], asked: Asked) -> dict[str, Path]:
    """Write the files that follow from a result and its record."""
    written: dict[str, Path] = {"kept": folder / KEPT}
    if fit.crystals:
        written["structure"] = write_structures(fit, folder)
        written["publication"] = write_publication(fit, folder / "publication.cif", record, asked)
    tables = paper_tables(fit, record["title"])
    written["tables"] = write_latex(tables, folder / "tables.tex")
    for table in tables:
        written[f"table of {table.key}"] = write_csv(table, folder / f"table_{table.key}.csv")
    for name, pattern in fit.patterns.items():
        stem = "pattern" if len(fit.patterns) == 1 else f"pattern_{file_name(name)}"
        written[f"pattern {name}"] = write_columns(fit, name, folder, stem)
        for phase in pattern.reflections:
            written[f"reflections {name} {phase}"] = write_reflections(fit, name, phase, folder)
    for name, data in fit.spectra.items():
        stem = f"spectrum_{file_name(name)}"
        written[f"spectrum {name}"] = write_columns(fit, name, folder, stem)
        for k, path in enumerate(write_csdm_files(data, folder, stem)):
            written[f"spectrum {name} (CSDM{f' {k + 1}' if k else ''})"] = path
    for name in fit.of_kind("curve"):
        written[f"curve {name}"] = write_columns(fit, name, folder, f"curve_{file_name(name)}")
    if page_possible():
        written["page"] = write_page(fit, folder / "report.html", record, asked, tables)
    pictures = write_pictures(fit, folder, asked)
    for picture in pictures:
        written |= picture.named()
    written["report"] = write_atomically(folder / "report.md", report_text(fit, record, asked, pictures))
    # last: it lists its files, to distinguish them from those of another refinement
    record["result"]["files"] = [path.name for path in written.values()]
    written["result"] = write_record(folder / RESULT, record)
    return written


def write_structures(fit: RefinementResult, folder: Path) -> Path:
    """Write ``refined.cif``: one data block per phase, with uncertainties, bonds, angles and agreement factors."""
    path = folder / "refined.cif"
    extra: dict[str, Any] = {"_refine_ls_number_parameters": fit.parameters.n_free}
    if len(fit.patterns) == 1:
        (name,) = fit.patterns
        s = cast("ProfileStatistics", fit.statistics[name])
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


def write_columns(fit: RefinementResult, name: str, folder: Path, stem: str) -> Path:
    """Write the fitted points of one curve, and its contributions, as comma-separated columns."""
    path = folder / f"{stem}.csv"
    columns = cast("Profile", fit.evidence[name]).columns()
    _write_csv(path, tuple(columns), zip(*(_short(c) for c in columns.values()), strict=True))
    return path


def write_reflections(fit: RefinementResult, name: str, phase: str, folder: Path) -> Path:
    """Write the reflections of one phase in one histogram as comma-separated columns."""
    r = fit.patterns[name].reflections[phase]
    path = folder / f"reflections_{file_name(name)}_{file_name(phase)}.csv"
    header = ("h", "k", "l", "multiplicity", "d_A", "two_theta_deg", "f2_calc", "f2_obs", "area", "fwhm_deg")
    numbers = (r.d, r.two_theta, r.f2_calc, r.f2_obs, r.area, r.fwhm)
    integers = (*np.asarray(r.hkl, dtype=int).T, np.asarray(r.multiplicity, dtype=int))
    _write_csv(path, header, zip(*integers, *(_short(c) for c in numbers), strict=True))
    return path


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _short(column) -> list[str]:
    return [f"{value:.8g}" for value in np.asarray(column, dtype=float)]
