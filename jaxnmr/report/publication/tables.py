"""Tables for a paper: crystal data, refinement, atoms, displacements, distances and angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...units import format_esd
from ..contents import Contents, number
from ..geometry import Geometry, Measured, phase_covariance, phase_esds, volume_esd
from ..record import parameter_rows
from .patterns import radiation_of, wavelengths_of
from .refinement import goodness

if TYPE_CHECKING:
    from ...objective import Profile, ProfileStatistics
    from ...refinement.result import RefinementResult

_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_CELL = ("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °")


class Symmetry(str):
    """A space-group symbol, which is typeset specially."""


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        key: part of file names and labels.
        caption: one sentence.
        header: column headings.
        rows: rows of cells, as text.
    """

    key: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def paper_tables(fit: RefinementResult, title: str) -> list[PaperTable]:
    """Make all tables of a refinement that have rows."""
    found = {name: Geometry.of(crystal, phase_covariance(fit, name)) for name, crystal in fit.crystals.items()}
    tables = [
        _crystal_data(fit, title),
        _refinement(fit, title),
        _atoms(fit, title),
        _displacements(fit, title),
        _measured(
            fit, "distances", f"Distances of {title}.", "d / Å", {name: of.bonds() for name, of in found.items()}
        ),
        _measured(fit, "angles", f"Angles of {title}.", "angle / °", {name: of.angles() for name, of in found.items()}),
    ]
    return [table for table in tables if table.rows]


def formula_text(contents: Contents) -> str:
    """Format the formula with subscripts."""
    return "".join(element + number(n).translate(_LOWERED) for element, n in contents.unit.items())


def _crystal_data(fit: RefinementResult, title: str) -> PaperTable:
    columns: list[list[str]] = []
    for name, crystal in fit.crystals.items():
        contents, esds = Contents.of(crystal), phase_esds(fit, name)["cell"]
        cell = [format_esd(v, e, digits=5) for v, e in zip(np.asarray(crystal.cell), esds, strict=True)]
        volume = format_esd(float(crystal.volume()), volume_esd(crystal, phase_covariance(fit, name)), digits=3)
        columns.append([
            formula_text(contents), f"{contents.mass / contents.z:.2f}", Symmetry(crystal.group.name),
            *cell, volume, str(contents.z), f"{contents.density:.3f}",
        ])  # fmt: skip
    names = ("formula", "M / g mol⁻¹", "space group", *_CELL, "V / Å³", "Z", "ρ / g cm⁻³")
    rows = zip(names, *columns, strict=True) if columns else ()
    return PaperTable("crystal", f"Crystal data of {title}.", ("", *fit.crystals), tuple(rows))


def _refinement(fit: RefinementResult, title: str) -> PaperTable:
    """Make a table with one column per curve; common values are in the first."""
    values = {row["name"]: row for row in parameter_rows(fit)}
    curves = {
        name: cast("Profile", of) for name, of in fit.evidence.items() if of.kind in ("histogram", "spectrum", "curve")
    }
    rows: dict[str, dict[str, str]] = {}

    def add(what: str, name: str, text: str) -> None:
        rows.setdefault(what, {})[name] = text

    for name, of in curves.items():
        s = cast("ProfileStatistics", fit.statistics[name])
        if (pattern := fit.patterns.get(name)) is not None:
            i = pattern.experiment.instrument
            kind = radiation_of(i) or "X-rays"
            add("radiation", name, "neutrons" if kind == "neutron" else kind.replace("K\\a", "Kα"))
            add("λ / Å", name, ", ".join(wavelengths_of(i, values, name)))
        if (spectrum := fit.spectra.get(name)) is not None:
            add("nucleus", name, spectrum.isotope)
            add("ν₀ / MHz", name, f"{spectrum.larmor_hz / 1e6:.3f}")
        add(
            f"{of.axis.label} / {of.axis.unit}".removesuffix(" / "),
            name,
            f"{of.axis.values[0]:.5g} to {of.axis.values[-1]:.5g}",
        )
        add("points", name, str(s.n_observations))
        if pattern is not None:
            add("reflections", name, ", ".join(str(len(r.d)) for r in pattern.reflections.values()))
        add(f"{s.factor} / %", name, f"{s.r_weighted:.2f}")
        if pattern is not None:
            add("Rp / %", name, f"{s.rp:.2f}")
            add("Rexp / %", name, f"{s.rexp:.2f}")
            add("R_Bragg / %", name, ", ".join(f"{r:.2f}" for r in pattern.r_bragg.values()))
        add("goodness of fit", name, f"{s.gof:.2f}")
    lines = [(what, *(of.get(name, "–") for name in curves)) for what, of in rows.items()]
    empty = ("",) * max(len(curves) - 1, 0)
    whole = [("parameters", str(fit.parameters.n_free)), ("restraints", str(fit.n_restraints))]
    whole += [("goodness of fit of all", f"{goodness(fit):.2f}")] if len(fit.evidence) > 1 else []
    lines += [(what, text, *empty) for what, text in whole]
    return PaperTable("refinement", f"Refinement of {title}.", ("", *(curves or ("value",))), tuple(lines))


def _atoms(fit: RefinementResult, title: str) -> PaperTable:
    rows = []
    for name, crystal in fit.crystals.items():
        esds, equivalent = phase_esds(fit, name), np.asarray(crystal.u_equivalent())
        multiplicity = [site.multiplicity for site in crystal.sites()]
        for k, label in enumerate(crystal.labels):
            xyz = [format_esd(v, e, digits=5) for v, e in zip(np.asarray(crystal.xyz)[k], esds["xyz"][k], strict=True)]
            u_esd = None if crystal.anisotropic[k] else esds["u_iso"][k]
            occupancy = format_esd(np.asarray(crystal.occupancy)[k], esds["occupancy"][k])
            rows.append(
                (
                    *_phase(fit, name),
                    label,
                    crystal.species[k],
                    str(multiplicity[k]),
                    *xyz,
                    format_esd(equivalent[k], u_esd),
                    occupancy,
                )
            )
    header = (*_phase(fit, "phase"), "site", "type", "multiplicity", "x", "y", "z", "U / Å²", "occupancy")
    anisotropic = any(any(crystal.anisotropic) for crystal in fit.crystals.values())
    more = " U of anisotropic sites is the equivalent isotropic one." if anisotropic else ""
    return PaperTable("atoms", f"Atoms of {title}.{more}", header, tuple(rows))


def _displacements(fit: RefinementResult, title: str) -> PaperTable:
    rows = []
    for name, crystal in fit.crystals.items():
        esds = phase_esds(fit, name)["u_aniso"]
        for k, label in enumerate(crystal.labels):
            if crystal.anisotropic[k]:
                u = [format_esd(v, e) for v, e in zip(np.asarray(crystal.u_aniso)[k], esds[k], strict=True)]
                rows.append((*_phase(fit, name), label, *u))
    header = (*_phase(fit, "phase"), "site", "U₁₁ / Å²", "U₂₂ / Å²", "U₃₃ / Å²", "U₁₂ / Å²", "U₁₃ / Å²", "U₂₃ / Å²")
    return PaperTable("displacements", f"Anisotropic displacements of {title}.", header, tuple(rows))


def _measured(
    fit: RefinementResult, key: str, caption: str, quantity: str, found: dict[str, Sequence[Measured]]
) -> PaperTable:
    rows = [
        (*_phase(fit, name), "–".join(m.atoms), ", ".join(m.symmetry) if set(m.symmetry) != {"."} else "–", str(m.count),
         format_esd(m.value, m.esd, digits=3))
        for name, of in found.items()
        for m in of
    ]  # fmt: skip
    return PaperTable(key, caption, (*_phase(fit, "phase"), "atoms", "symmetry", "number", quantity), tuple(rows))


def _phase(fit: RefinementResult, text: Any) -> tuple[str, ...]:
    """Return a first cell with the phase if there are several phases."""
    return (str(text),) if len(fit.crystals) > 1 else ()
