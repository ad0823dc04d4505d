"""Files of thermal averages: numbers with errors, tensors, the mean structure, spectra, pictures, and pages to read."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from .._words import counted
from ..dynamics.series import Stop, ThermalSeries
from ..dynamics.spectra import AveragedSpectra
from ..io import write_crystal, write_magres, write_spectrum
from ..plot import dynamics as pictures
from ..units import format_esd
from .page.cells import page_cell
from .page.write import html, page_possible
from .publication.tables import PaperTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..dynamics.average import ThermalAverage
    from ..dynamics.schedule import Schedule

_DPI = 110
_AXES = ("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °")
_READINGS = ("site", "quantity", "unit", "without motion", "averaged", "±", "mean over snapshots")
_ERRORS = (
    "± is the standard error of the mean over the trajectory; errors of the tensor models and of the energy are not in it. Tensors are "
    "averaged before anything is read off them, as fast motion does; means over snapshots are for comparison, no spectrum shows them."
)


@dataclass(frozen=True)
class AverageFindings:
    """What is written of averages.

    Attributes:
        title: for people.
        series: what was found.
        stops: the temperatures that it is of.
        schedule: how long it was simulated.
        energy, models: what was simulated with and what predicted tensors, by name.
        spectra: with and without motion.
        finished: whether all temperatures are there.
        cards: what is known of energy and models, for the record.
    """

    title: str
    series: ThermalSeries
    stops: tuple[Stop, ...]
    schedule: Schedule
    energy: str
    models: tuple[str, ...]
    spectra: tuple[AveragedSpectra, ...] = ()
    finished: bool = True
    cards: Mapping[str, Any] | None = None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """At the end of names of files, of every average: none where there is one."""
        return ("",) if len(self.stops) == 1 and self.finished else tuple(f"-{stop.name}" for stop in self.stops)


def write_average(found: AverageFindings, directory: str | Path, *, inputs: Sequence[Path] = ()) -> dict[str, Path]:
    """Write tables, tensors, mean structures, spectra, pictures, ``report.md``, ``report.html`` and ``result.json``.

    Args:
        found: what.
        directory: where to; made when missing.
        inputs: files it was made from.

    Returns:
        The files written, by what they are; no page without plotly.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for average, suffix in zip(found.series.averages, found.suffixes, strict=True):
        name = f"averaged{suffix}"
        written[name] = folder / f"{name}.magres"
        write_magres(average.prediction.to_magres(average.crystal.name), written[name])
        written[f"mean{suffix}"] = folder / f"mean{suffix}.cif"
        origin = (
            f"Calculated: mean over {len(average.frames['time_fs'])} frames of molecular dynamics of {average.supercell.crystal.n_sites} "
            f"atoms at {average.temperature_k:g} K with the energy {found.energy}. Uncertainties are those of the mean."
        )
        write_crystal(
            average.crystal, written[f"mean{suffix}"], esds=dict(average.esds), extra={"_refine_special_details": origin}
        )  # fmt: skip
    written["readings"] = write_atomically(folder / "readings.csv", _csv(found))
    for family in found.spectra:
        every = [("static", family.static), *zip(found.suffixes, family.averaged, strict=True)]
        for ending, spectrum in every:
            name = f"{family.name}_{ending}" if ending == "static" else f"{family.name}_averaged{ending}"
            written[name] = folder / f"{name}.csdf"
            write_spectrum(spectrum, written[name])
            write_spectrum(spectrum, folder / f"{name}.csv")
    captions = _draw(found, folder, written)
    written["report"] = write_atomically(folder / "report.md", _text(found, captions))
    record = envelope("average", found.title, average_record(found), inputs=inputs, packages=("ase",))
    written["result"] = write_record(folder / "result.json", record)
    if page_possible():
        written["page"] = write_atomically(folder / "report.html", _page(found, captions, folder))
    return written


def average_record(found: AverageFindings) -> dict[str, Any]:
    """The outcome as plain values."""
    first = found.series.averages[0]
    return {
        "status": "finished" if found.finished else "interrupted",
        "energy": found.energy,
        "models": found.models,
        "atoms": first.supercell.crystal.n_sites,
        "repeats": first.supercell.repeats,
        "schedule": vars(found.schedule),
        "averages": [_of_one(average, stop) for average, stop in zip(found.series.averages, found.stops, strict=True)],
        "cards": dict(found.cards or {}),
    }


def _of_one(average: ThermalAverage, stop: Stop) -> dict[str, Any]:
    crystal = average.crystal
    return {
        "temperature_k": average.temperature_k,
        "direction": stop.direction,
        "measured_k": average.measured_k,
        "pressure_gpa": average.pressure_gpa,
        "measured_gpa": average.measured_gpa,
        "frames": len(average.frames["time_fs"]),
        "cell": average.cell,
        "cell_error": average.cell_error,
        "structure": {
            "space_group": crystal.group.name, "cell": np.asarray(crystal.cell), "labels": crystal.labels,
            "xyz": np.asarray(crystal.xyz), "u_iso": np.asarray(crystal.u_iso), "errors": dict(average.esds),
        },
        "readings": [vars(reading) for reading in average.readings],
        "observed": [vars(observed) for observed in average.observed],
        "tau_ps": average.tau_ps,
        "novel_share": average.novel_share,
        "notes": average.notes,
        "seconds": average.seconds,
    }  # fmt: skip


def _csv(found: AverageFindings) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("temperature_k", "direction", "site", "quantity", "unit", "static", "averaged", "error", "snapshots")
    )
    for average, stop in zip(found.series.averages, found.stops, strict=True):
        start = (f"{stop.temperature:g}", stop.direction)
        for r in average.readings:
            numbers = (f"{x:.6g}" for x in (r.static, r.mean, r.error, r.snapshots))
            writer.writerow((*start, r.site, r.quantity, r.unit, *numbers))
        for o in average.observed:
            writer.writerow((*start, "", o.name, o.unit, "", f"{o.mean:.6g}", f"{o.error:.6g}", ""))
    return text.getvalue()


def _draw(found: AverageFindings, folder: Path, written: dict[str, Path]) -> dict[str, str]:
    """Captions by file name, in the order of the report."""
    captions: dict[str, str] = {}

    def save(figure: Figure, stem: str, caption: str) -> None:
        import matplotlib.pyplot as plt

        written[stem] = folder / f"{stem}.png"
        figure.savefig(written[stem], dpi=_DPI)
        plt.close(figure)
        captions[written[stem].name] = caption

    if len(found.series) > 1:
        save(
            pictures.against_temperature(found.series),
            "temperature",
            "Cell, what was observed and readings against temperature, with standard errors.",
        )
    for family in found.spectra:
        save(
            pictures.spectra(family), f"spectra_{family.name}", f"{family.name}: averaged tensors, and without motion."
        )
    for average, stop, suffix in zip(found.series.averages, found.stops, found.suffixes, strict=True):
        save(pictures.course(average), f"course{suffix}", f"Course at {stop.temperature:g} K.")
    return captions


def _rows(average: ThermalAverage) -> list[tuple[str, ...]]:
    return [
        (r.site, r.quantity, r.unit, *(f"{x:.3f}" for x in (r.static, r.mean, r.error, r.snapshots)))
        for r in average.readings
    ]


def _cells(average: ThermalAverage) -> list[tuple[str, ...]]:
    start = np.asarray(average.supercell.parent.cell, dtype=float)
    told = lambda k: format_esd(float(average.cell[k]), float(average.cell_error[k]), digits=4)
    symmetric = lambda k: format_esd(
        float(np.asarray(average.crystal.cell)[k]), float(average.esds["cell"][k]), digits=4
    )
    return [(name, f"{start[k]:.4f}", told(k), symmetric(k)) for k, name in enumerate(_AXES)]


_CELL_HEADER = ("", "start", "mean", "mean, with symmetry")
_SITE_HEADER = ("site", "x", "y", "z", "U / Å²")


def _sites(average: ThermalAverage) -> list[tuple[str, ...]]:
    crystal, esds = average.crystal, average.esds
    return [
        (
            label,
            *(format_esd(float(x), float(s), digits=5) for x, s in zip(xyz, sx, strict=True)),
            format_esd(float(u), float(su), digits=5),
        )
        for label, xyz, sx, u, su in zip(
            crystal.labels, np.asarray(crystal.xyz), esds["xyz"], np.asarray(crystal.u_iso), esds["u_iso"], strict=True
        )
    ]


def _summary(found: AverageFindings) -> str:
    first, schedule = found.series.averages[0], found.schedule
    times = "x".join(map(str, first.supercell.repeats))
    cell = {"fixed": "a fixed cell", "isotropic": "a volume that fluctuates", "full": "a cell that fluctuates"}
    under = "" if first.pressure_gpa is None else f" at {1e4 * first.pressure_gpa:.4g} bar"
    return (
        f"{counted(first.supercell.crystal.n_sites, 'atom')} ({times} cells of {first.supercell.parent.name}) moved under the energy "
        f"{found.energy} with {cell[schedule.cell]}{under}: {schedule.run_ps:g} ps after {schedule.settle_ps:g} ps to settle, in steps of "
        f"{schedule.timestep_fs:g} fs. Tensors by {', '.join(found.models)}, of a frame every {schedule.every_fs:g} fs."
    )


def _overview(found: AverageFindings) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = [o.name for o in found.series.averages[0].observed]
    shown = pictures.interesting(found.series.averages[0].readings)
    header = ("T / K", "", "a / Å", "b / Å", "c / Å", *names)
    header += tuple(f"{r.site} {r.quantity}{f' / {r.unit}' if r.unit else ''}" for r in shown)
    rows = []
    for average, stop in zip(found.series.averages, found.stops, strict=True):
        of = {(r.site, r.quantity): r for r in average.readings}
        cells = [
            format_esd(float(x), float(s), digits=3) for x, s in zip(average.cell[:3], average.cell_error, strict=False)
        ]
        seen = [format_esd(o.mean, o.error, digits=3) for o in average.observed]
        read = [format_esd(of[r.site, r.quantity].mean, of[r.site, r.quantity].error, digits=3) for r in shown]
        rows.append((f"{stop.temperature:g}", stop.direction, *cells, *seen, *read))
    return header, rows


def _notes(found: AverageFindings) -> list[str]:
    """Of all temperatures, each once, with the temperature where there are several."""
    several = len(found.series) > 1
    notes = [
        f"{stop.temperature:g} K, {stop.direction}: {note}" if several else note
        for average, stop in zip(found.series.averages, found.stops, strict=True)
        for note in average.notes
    ]
    if not found.finished:
        notes.insert(0, "Interrupted: temperatures that are not here were not finished.")
    return notes


def _text(found: AverageFindings, captions: Mapping[str, str]) -> str:
    lines = [f"# {found.title}", "", _summary(found), ""]
    lines += [f"- {note}" for note in _notes(found)] + [""] * bool(_notes(found))
    if len(found.series) > 1:
        header, rows = _overview(found)
        lines += ["## Temperatures", "", markdown(header, rows), ""]
        lines += ["![against temperature](temperature.png)", ""]
    for family in found.spectra:
        name = f"spectra_{family.name}.png"
        lines += [f"## Spectrum {family.name}", "", f"![{captions[name]}]({name})", ""]
    for average, stop, suffix in zip(found.series.averages, found.stops, found.suffixes, strict=True):
        way = f" ({stop.direction})" if len(found.series) > 1 else ""
        lines += [f"## {stop.temperature:g} K{way}", "", markdown(_READINGS, _rows(average)), "", _ERRORS, ""]
        lines += [
            f"{counted(len(average.frames['time_fs']), 'frame')}, {average.measured_k:.0f} K, {1e4 * average.measured_gpa:.0f} bar; the "
            f"longest autocorrelation time of a tensor is {average.tau_ps:.2g} ps."
            + (
                ""
                if np.isnan(average.novel_share)
                else f" {average.novel_share:.1%} of atoms are unlike those of the training."
            ),
            "",
        ]
        if average.observed:
            rows = [(o.name, o.unit, f"{o.mean:.4g}", f"{o.error:.2g}") for o in average.observed]
            lines += [markdown(("observed", "unit", "mean", "±"), rows), ""]
        lines += [markdown(_CELL_HEADER, _cells(average)), "", markdown(_SITE_HEADER, _sites(average)), ""]
        lines += [f"![{captions[f'course{suffix}.png']}](course{suffix}.png)", ""]
    return "\n".join(lines)


def _page(found: AverageFindings, captions: Mapping[str, str], folder: Path) -> str:
    tables = []
    if len(found.series) > 1:
        header, rows = _overview(found)
        tables.append(PaperTable("temperatures", "Temperatures", header, tuple(rows)))
    cells = []
    for average, stop, suffix in zip(found.series.averages, found.stops, found.suffixes, strict=True):
        at = f"{stop.temperature:g} K" + (f", {stop.direction}" if suffix else "")
        tables += [
            PaperTable(f"readings{suffix}", f"NMR at {at}", _READINGS, tuple(_rows(average))),
            PaperTable(f"cell{suffix}", f"Cell at {at}", _CELL_HEADER, tuple(_cells(average))),
            PaperTable(f"sites{suffix}", f"Mean structure at {at}", _SITE_HEADER, tuple(_sites(average))),
        ]
        cells.append(page_cell(f"mean structure at {at}", average.crystal))
    content = {
        "status": "", "summary": f"{_summary(found)} {_ERRORS}", "warnings": _notes(found), "curves": [], "cells": cells, "course": [],
    }  # fmt: skip
    shown = [(caption, (folder / name).read_bytes()) for name, caption in captions.items()]
    return html(found.title, content, tables, pictures=shown)
