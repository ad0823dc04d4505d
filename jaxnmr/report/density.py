"""Files of a density: grids for other programs, atoms, figures, two reports, and a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from ..density import write_density
from ..io import write_crystal
from ..plot.density import cloud, lines, section
from .page.cells import page_cell
from .page.curves import rounded
from .page.write import html, page_possible
from .publication.tables import PaperTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..crystal import Crystal
    from ..density import Density

_PLANES = (("a", 0.0), ("c", 0.0), ("c", 0.5))
_DPI = 110


@dataclass(frozen=True)
class DensityFindings:
    """Results on a density for a report.

    Attributes:
        title: title of the report.
        density: most probable density.
        electrons: electrons that the density describes, in words.
        numbers: results for the table and the record: label and number.
        crystal: its atoms; ``None`` without any. ``placed`` the same in the axes of the density, if these differ.
        observed, calculated, sigma, where: areas of lines and their 1/d, if there are any.
        curve: a fitted pattern by name (``x``, ``observed``, ``calculated``, ``sigma``, ``background``).
        notes: remarks that a reader must know.
        details: plain values for the record only.
    """

    title: str
    density: Density
    electrons: str
    numbers: Mapping[str, Any]
    crystal: Crystal | None = None
    placed: Crystal | None = None
    observed: np.ndarray | None = None
    calculated: np.ndarray | None = None
    sigma: np.ndarray | None = None
    where: np.ndarray | None = None
    curve: Mapping[str, np.ndarray] | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def write_density_report(
    found: DensityFindings, directory: str | Path, *, inputs: Sequence[Path] = ()
) -> dict[str, Path]:
    """Write ``density.cube``, ``density.xsf``, ``atoms.cif``, figures, ``report.md``, ``report.html``, ``result.json``.

    Args:
        found: results on the density.
        directory: output folder; created if missing.
        inputs: input files.

    Returns:
        The files written, by description; no page without plotly.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        name: write_density(found.density, folder / f"density.{name}", found.placed or found.crystal)
        for name in ("cube", "xsf")
    }
    if found.crystal is not None:
        written["atoms"] = folder / "atoms.cif"
        origin = f"Atoms of a density of {found.electrons}. " + " ".join(found.notes)
        write_crystal(found.crystal, written["atoms"], extra={"_refine_special_details": origin})
    captions = _pictures(found, folder, written)
    written["report"] = write_atomically(folder / "report.md", _text(found, captions))
    record = envelope("density", found.title, _record(found), inputs=inputs)
    written["result"] = write_record(folder / "result.json", record)
    if page_possible():
        written["page"] = write_atomically(folder / "report.html", _page(found, captions, folder))
    return written


def _pictures(found: DensityFindings, folder: Path, written: dict[str, Path]) -> dict[str, str]:
    """Draw the figures; return captions by file name, in the order of the report."""
    captions: dict[str, str] = {}

    def save(figure: Figure, stem: str, caption: str) -> None:
        import matplotlib.pyplot as plt

        written[stem] = folder / f"{stem}.png"
        figure.savefig(written[stem], dpi=_DPI)
        plt.close(figure)
        captions[written[stem].name] = caption

    if found.observed is not None and found.where is not None:
        assert found.calculated is not None and found.sigma is not None
        save(
            lines(found.where, found.observed, found.calculated, found.sigma),
            "lines",
            "Square roots of areas of lines, observed and calculated.",
        )
    values = np.asarray(found.density.values)
    for axis, at in _PLANES:
        plane = np.take(values, round(at * values.shape["abc".index(axis)]), "abc".index(axis))
        if plane.max() > 0.0:
            figure = section(found.density, axis=axis, at=at, crystal=found.placed or found.crystal)
            save(figure, f"section_{axis}_{round(100 * at):02d}", f"Section at {axis} = {at:g}, contours in e/Å³.")
    save(
        cloud(found.density, crystal=found.placed or found.crystal),
        "surface",
        "The surface that a third of the electrons lie within.",
    )
    return captions


def _rows(found: DensityFindings) -> list[tuple[str, str]]:
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in found.numbers.items()]


def _sites(crystal: Crystal) -> list[tuple[str, ...]]:
    return [
        (label, *(f"{x:.5f}" for x in xyz), f"{u:.4f}")
        for label, xyz, u in zip(
            crystal.labels, np.asarray(crystal.xyz), np.asarray(crystal.u_equivalent()), strict=True
        )
    ]


_SITE_HEADER = ("site", "x", "y", "z", "U / Å²")


def _text(found: DensityFindings, captions: Mapping[str, str]) -> str:
    lines_of = [
        f"# {found.title}",
        "",
        f"A density of {found.electrons}, on {' x '.join(map(str, found.density.shape))} points.",
        "",
    ]
    lines_of += [markdown(("", ""), _rows(found)), ""]
    lines_of += [f"- {note}" for note in found.notes] + [""] * bool(found.notes)
    if found.crystal is not None:
        cell = " ".join(f"{x:.4f}" for x in np.asarray(found.crystal.cell))
        lines_of += [
            "## Atoms",
            "",
            f"{found.crystal.group.name}, cell {cell}",
            "",
            markdown(_SITE_HEADER, _sites(found.crystal)),
            "",
        ]
    lines_of += ["## Pictures", ""]
    for name, caption in captions.items():
        lines_of += [f"![{caption}]({name})", "", caption, ""]
    return "\n".join(lines_of)


def _record(found: DensityFindings) -> dict[str, Any]:
    made: dict[str, Any] = {
        "electrons": found.electrons, "cell": np.asarray(found.density.cell), "shape": found.density.shape,
        "electrons_per_cell": float(found.density.electrons()), "numbers": dict(found.numbers), "notes": found.notes, **found.details,
    }  # fmt: skip
    if found.crystal is not None:
        made["atoms"] = {
            "space_group": found.crystal.group.name, "cell": np.asarray(found.crystal.cell), "labels": found.crystal.labels,
            "species": found.crystal.species, "xyz": np.asarray(found.crystal.xyz), "u_iso": np.asarray(found.crystal.u_iso),
        }  # fmt: skip
    if found.observed is not None:
        made["lines"] = {
            "d_star": found.where, "area": found.observed, "calculated": found.calculated, "sigma": found.sigma
        }  # fmt: skip
    return made


def _page(found: DensityFindings, captions: Mapping[str, str], folder: Path) -> str:
    curves = [] if found.curve is None else [_curve(found.curve)]
    content = {
        "status": "", "summary": f"A density of {found.electrons}.", "warnings": list(found.notes), "curves": curves,
        "cells": [] if found.crystal is None else [page_cell(found.crystal.name, found.crystal)], "course": [],
    }  # fmt: skip
    tables = [PaperTable("numbers", "What was found", ("", ""), tuple(_rows(found)))]
    if found.crystal is not None:
        tables.append(PaperTable("atoms", "Atoms", _SITE_HEADER, tuple(_sites(found.crystal))))
    pictures = [(caption, (folder / name).read_bytes()) for name, caption in captions.items()]
    return html(found.title, content, tables, pictures=pictures)


def _curve(of: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "name": "pattern", "kind": "curve", "axis": "2θ / degrees", "unit": "°", "left": False, "ordinate": "intensity / counts",
        "x": rounded(of["x"], 8), "observed": rounded(of["observed"]), "calculated": rounded(of["calculated"]),
        "sigma": rounded(np.maximum(of["sigma"], 1e-12)), "baseline": rounded(of["background"]), "baseline_name": "background",
        "parts": [], "excluded": [], "breaks": [], "phases": [], "heading": "Le Bail fit", "agreement": "",
    }  # fmt: skip
