"""Markdown report of a refinement, with the content for a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._tables import markdown as table
from .._words import counted
from ..objective.evidence import Table
from ..refinement.information import times_larger
from ..units import format_esd
from .asked import Asked
from .geometry import Geometry, phase_covariance, phase_esds, volume_esd
from .learned import model_rows
from .pictures import CORRELATIONS, COURSE, DATA, INFORMATION, Picture

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult

_MOST_CORRELATIONS, _MOST_SUGGESTIONS = 20, 6
_PARAMETER = re.compile(r"\{([^{}]+?)(?: × ([^{}]+))?\}")
_SCALED = (
    "Standard uncertainties are scaled by the goodness of fit of each curve; serial correlation of its residuals makes them "
    "too small by about the factor SCOR (Bérar & Lelann, 1991)."
)


def report_text(
    fit: RefinementResult, record: dict[str, Any], asked: Asked | None = None, pictures: Sequence[Picture] = ()
) -> str:
    """Format the report.

    Args:
        fit: result of the refinement.
        record: its :func:`~jaxnmr.report.record.result_record`.
        asked: report settings of the run file.
        pictures: figures written; each is shown in its section.
    """
    show = lambda section: [picture.markdown() for picture in pictures if picture.section == section]
    result = record["result"]
    values = {row["name"]: row for row in result["parameters"]}
    parts = [f"# {record['title']}", _status(fit, result), *show(DATA)]
    parts += ["## Agreement", _agreement(fit), _remarks(fit)]
    parts += ["## Data and model", *_conditions(fit, values, asked or Asked()), *_models(result["models"])]
    for name in fit.crystals:
        parts += _phase(fit, name)
    for name in fit.evidence:
        parts += _section(fit, values, name)
    parts += ["## Other parameters", _parameters(result["parameters"]), _constraints(result["parameters"])]
    if len(fit.information.terms) > 1:
        parts += ["## Which data fix what", _information(fit), *show(INFORMATION)]
    parts += ["## Correlations", _correlations(fit), *show(CORRELATIONS)]
    parts += ["## Course of the refinement", _course(fit), *show(COURSE)]
    parts += ["## How these numbers were made", _provenance(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _status(fit: RefinementResult, result: dict[str, Any]) -> str:
    word = "converged" if fit.converged else f"did **not** converge ({fit.status})"
    count = result["n_restraints"]
    restraints = f" and {counted(count, 'restraint')}" if count else ""
    return (
        f"The refinement {word} after {counted(result['steps'], 'step')}, with "
        f"{counted(result['n_parameters'], 'parameter')} and {counted(result['n_observations'], 'observation')}{restraints}."
        + ("" if fit.converged else f" {fit.message}")
    )


def _agreement(fit: RefinementResult) -> str:
    """Format tables of agreement, one for every kind of row."""
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for name, shown in fit.evidence.items():
        cells = shown.agreement(fit.statistics[name])
        groups.setdefault(tuple(cells), []).append(tuple(cells.values()))
    notes = list(dict.fromkeys(of.agreement_note for of in fit.evidence.values() if of.agreement_note))
    notes += [_SCALED] if any(of.by_scatter for of in fit.evidence.values()) else []
    parts = [*(table(header, rows) for header, rows in groups.items()), " ".join(notes)]
    return "\n\n".join(filter(None, parts))


def _remarks(fit: RefinementResult) -> str:
    lines = [f"- **Warning:** {sentence}" for sentence in fit.warnings]
    lines += [f"- **Not determined by the data:** {sentence}" for sentence in fit.null_directions]
    if fit.components is not None:
        factors = ", ".join(
            f"{of.name} {format_esd(of.factor, of.esd)} (redundancy {of.redundancy:.1f}, SCOR {of.serial:.2f})"
            for of in fit.components.components
            if of.estimated
        )
        lines.append(
            f"- Stated uncertainties were multiplied by what the residuals ask for: {factors or 'none could be'}."
        )
    elif fit.weighted:
        lines.append(
            "- A term has a weight other than 1: standard uncertainties depend on that choice, not on the data alone."
        )
    if fit.suggestions:
        gains = ", ".join(f"`{name}` ({gain:.3g})" for name, gain in fit.suggestions[:_MOST_SUGGESTIONS])
        first = ", ".join(filter(None, (of.first() for of in fit.evidence.values())))
        before = f"First {first}, then: expected" if first else "Expected"
        lines.append(f"- Which parameter next? {before} decrease of χ² (linear estimate): {gains}.")
    return "\n".join(lines)


def _conditions(fit: RefinementResult, values: Mapping[str, dict[str, Any]], asked: Asked) -> list[str]:
    """Describe measurement and calculation: a table for every kind of term, and conventions."""
    files = {curve.name: curve.file for curve in asked.curves}
    groups: dict[str, list[tuple[str, ...]]] = {}
    for name, shown in fit.evidence.items():
        rows = groups.setdefault(shown.kind, [])
        if files.get(name):
            rows.append((name, "file", files[name]))
        rows += [(name, what, filled(value, values, 6) + _fixed(value, values)) for what, value in shown.conditions]
        if fit.statistics[name].weight != 1.0:
            rows.append((name, "weight", f"{fit.statistics[name].weight:g}"))
    tables = [table((kind, "what", "value"), rows) for kind, rows in groups.items() if rows]
    remarks = dict.fromkeys(sentence for of in fit.evidence.values() for sentence in of.remarks)
    return [*tables, *remarks]


def filled(text: Any, values: Mapping[str, dict[str, Any]], digits: int = 5) -> str:
    """Replace parameters named in a text by their refined values."""

    def value(found: re.Match) -> str:
        row, factor = values.get(found[1]), float(found[2] or 1.0)
        return (
            found[0] if row is None else format_esd(factor * row["value"], factor * (row["esd"] or 0.0), digits=digits)
        )

    return _PARAMETER.sub(value, str(text))


def _fixed(text: str, values: Mapping[str, dict[str, Any]]) -> str:
    """Return the remark for a text none of whose parameters was refined."""
    named = [values[found[0]] for found in _PARAMETER.findall(text) if found[0] in values]
    return ", not refined" if named and not any(row["free"] for row in named) else ""


def _models(models: Sequence[dict[str, Any]]) -> list[str]:
    if not models:
        return []
    header = ("model", "phase", "predicts", "level of theory", "networks", "mean absolute errors")
    return [table(header, model_rows(models)), " ".join(of["derivatives"] for of in models)]


def _section(fit: RefinementResult, values: Mapping[str, dict[str, Any]], name: str) -> list[str]:
    """Format the section of a term: its evidence, and quantities derived from its parameters."""
    shown, derived = fit.evidence[name], fit.derived(name)
    tables = [*shown.tables()]
    if derived:
        rows: list[Any] = [(of.part, of.quantity, format_esd(of.value, esd, digits=5), of.unit) for of, esd in derived]
        tables.append(Table("", ("of", "quantity", "value", "unit"), tuple(rows), lead="What follows from them:"))
    parts = []
    for of in tables:
        rows = [[filled(cell, values) for cell in row] for row in of.rows]
        parts += [f"## {name}: {of.title}" if of.title else "", of.lead, table(of.header, rows), of.tail]
    return parts


def _phase(fit: RefinementResult, name: str) -> list[str]:
    crystal = fit.crystals[name]
    esds = phase_esds(fit, name)
    cell = [format_esd(v, e, digits=5) for v, e in zip(np.asarray(crystal.cell), esds["cell"], strict=True)]
    volume = format_esd(float(crystal.volume()), volume_esd(crystal, phase_covariance(fit, name)), digits=3)
    heading = f"## {name}: {crystal.group.name}"
    lines = [table(("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °", "V / Å³"), [[*cell, volume]])]
    rows = []
    equivalent = np.asarray(crystal.u_equivalent())
    for k, label in enumerate(crystal.labels):
        xyz = [format_esd(v, e, digits=5) for v, e in zip(np.asarray(crystal.xyz)[k], esds["xyz"][k], strict=True)]
        u = format_esd(equivalent[k]) if crystal.anisotropic[k] else format_esd(crystal.u_iso[k], esds["u_iso"][k])
        occupancy = format_esd(crystal.occupancy[k], esds["occupancy"][k])
        rows.append((label, crystal.species[k], *xyz, occupancy, u))
    lines.append(table(("site", "type", "x", "y", "z", "occupancy", "U / Å²"), rows))
    if any(crystal.anisotropic):
        rows = [
            (
                label,
                *(format_esd(v, e) for v, e in zip(np.asarray(crystal.u_aniso)[k], esds["u_aniso"][k], strict=True)),
            )
            for k, label in enumerate(crystal.labels)
            if crystal.anisotropic[k]
        ]
        lines.append("Anisotropic displacements in Å² (U above is the equivalent isotropic value):")
        lines.append(table(("site", "U11", "U22", "U33", "U12", "U13", "U23"), rows))
    return [heading, *lines, *_geometry(fit, name)]


def _parameters(values: Sequence[dict[str, Any]]) -> str:
    structural = ("cell", "xyz", "u_iso", "u_aniso", "occupancy")
    rows = [
        (
            f"`{row['name']}`",
            format_esd(row["value"], row["esd"], digits=6),
            row["unit"],
            f"= {row['tied_to']}" if row["tied_to"] else "",
        )
        for row in values
        if row["free"] and row["name"].split("[")[0].rsplit("/", 1)[-1] not in structural
    ]
    if not rows:
        return "No others were refined."
    return table(("parameter", "value", "unit", "tied to"), rows)


def _constraints(values: Sequence[dict[str, Any]]) -> str:
    """List constrained values: sums kept constant, and ties to several parameters."""
    names = {row["name"] for row in values}
    lines = [
        f"- `{row['name']}` = {row['tied_to']}" for row in values if row["tied_to"] and row["tied_to"] not in names
    ]
    return "\n".join(["Kept exactly:\n", *lines]) if lines else ""


def _information(fit: RefinementResult) -> str:
    """Tabulate shares of the terms in the variance of every position, and the growth of the esd without them."""
    info = fit.information
    if info.atoms:
        several = len(fit.crystals) > 1
        what, rows = "site (position / Å)", []
        for atom in info.atoms:
            name = f"{atom.phase}: {atom.label}" if several else atom.label
            rows.append((name, atom.esd, [(atom.shares[t], atom.without[t] / atom.esd) for t in info.terms]))
    else:
        what = "parameter"
        rows = [
            (f"`{name}`", esd, list(zip(shares, growth, strict=True)))
            for name, esd, shares, growth in zip(info.names, info.esd, info.shares, info.growth, strict=True)
        ]
    cells = [
        (name, f"{esd:.2g}", *(f"{100 * share:.0f} % ({times_larger(growth)})" for share, growth in of))
        for name, esd, of in rows
    ]
    return table((what, "esd", *info.terms), cells) + (
        "\n\nThe part of the variance that stems from the uncertainty of each data set, and in parentheses how many times "
        "larger the standard uncertainty would be without it (∞: not determined). For uncertainties as the data state them."
    )


def _correlations(fit: RefinementResult) -> str:
    if not fit.correlations:
        return "No correlation is above the threshold."
    rows = [(f"`{a}`", f"`{b}`", f"{value:+.3f}") for a, b, value in fit.correlations[:_MOST_CORRELATIONS]]
    more = len(fit.correlations) - len(rows)
    return table(("parameter", "parameter", "coefficient"), rows) + (
        f"\n\n{more} more in `result.json`." if more else ""
    )


def _course(fit: RefinementResult) -> str:
    last: dict[int, Any] = {}
    count: dict[int, int] = {}
    for step in fit.steps:
        last[step.stage] = step
        count[step.stage] = count.get(step.stage, 0) + 1
    factors = list(dict.fromkeys((term, factor) for step in fit.steps for term, factor, _ in step.agreement()))
    rows = []
    for stage, s in last.items():
        found = {(term, factor): f"{value:.3f}" for term, factor, value in s.agreement()}
        rows.append((s.stage_name, count[stage], s.n_free, f"{s.chi2:.6g}", *(found.get(of, "–") for of in factors)))
    header = ("stage", "steps", "parameters", "χ² at the end", *(f"{factor} {term} / %" for term, factor in factors))
    return table(header, rows) if rows else "No steps were taken."


def _provenance(record: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"{record['created']}, {record['result']['seconds']:.1f} s of which {record['result']['compile_seconds']:.1f} s compilation, "
        f"on {record['device']}. {packages}."
    ]
    if record["inputs"]:
        rows = [(i["file"], i["bytes"], f"`{i['sha256']}`") for i in record["inputs"]]
        lines.append(table(("input", "bytes", "SHA-256"), rows))
    return "\n\n".join(lines)


def _geometry(fit: RefinementResult, name: str) -> list[str]:
    found = Geometry.of(fit.crystals[name], phase_covariance(fit, name))
    parts = []
    for heading, quantity, measured in (
        ("Bond lengths", "d / Å", found.bonds()),
        ("Bond angles", "angle / °", found.angles()),
    ):
        if measured:
            rows = [
                ("–".join(m.atoms), format_esd(m.value, m.esd, digits=3), m.count, ", ".join(m.symmetry))
                for m in measured
            ]
            parts += [f"### {heading}", table(("atoms", quantity, "number", "symmetry"), rows)]
    return parts
