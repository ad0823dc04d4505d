"""The Markdown report of a refinement: what one would put into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..refinement.information import times_larger
from ..units import format_esd
from . import joint
from .geometry import Geometry, phase_covariance, phase_esds, volume_esd

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult

_MOST_CORRELATIONS, _MOST_SUGGESTIONS = 20, 6
# pictures that have their place further down
_LATER = ("convergence", "correlations", "what fixes what")


def report_text(
    fit: RefinementResult, record: dict[str, Any], run: Any = None, pictures: dict[str, str] | None = None
) -> str:
    """The report.

    Args:
        fit: the result.
        record: its :func:`~jaxnmr.report.record.result_record`.
        run: the run file it came from, for the conditions of measurement.
        pictures: file names of pictures by what they show.
    """
    pictures = pictures or {}
    parts = [f"# {record['title']}", _status(fit, record)]
    parts += [f"![{what}]({file})" for what, file in pictures.items() if not any(word in what for word in _LATER)]
    parts += ["## Agreement", _agreement(fit, record), _remarks(fit)]
    parts += ["## Data and model", _conditions(fit, run), *_learned(record)]
    for name in fit.crystals:
        parts += _phase(fit, record, name)
    for name in fit.spectra:
        parts += _sites(fit, record, name)
    for name, of in record["terms"].items():
        if "rows" in of:
            header = ("site", "quantity", "observed", "calculated", "difference", "σ", "difference / σ")
            parts += [f"## {name}: {of['nucleus']}, {of['compared']}", table(header, joint.comparison_rows(of))]
    parts += ["## Other parameters", _parameters(fit, record)]
    if len(fit.information.terms) > 1:
        parts += ["## Which data fix what", _information(fit)]
        parts += [f"![{what}]({file})" for what, file in pictures.items() if "what fixes what" in what]
    parts += ["## Correlations", _correlations(fit)]
    parts += [f"![{what}]({file})" for what, file in pictures.items() if "correl" in what]
    parts += ["## Course of the refinement", _course(fit)]
    parts += [f"![{what}]({file})" for what, file in pictures.items() if "convergence" in what]
    parts += ["## How these numbers were made", _provenance(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; columns of numbers are right-aligned, the others left-aligned."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    numeric = [all(row[k][:1] in "+-–0123456789×?" for row in cells) for k in range(len(header))]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("--:" if right else ":--" for right in numeric) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells])


def _status(fit: RefinementResult, record: dict[str, Any]) -> str:
    word = "converged" if fit.converged else f"did **not** converge ({fit.status})"
    count = record["n_restraints"]
    restraints = f" and {count} restraint{'' if count == 1 else 's'}" if count else ""
    return (
        f"The refinement {word} after {record['steps']} steps, with {record['n_parameters']} parameters and "
        f"{record['n_observations']} observations{restraints}." + ("" if fit.converged else f" {fit.message}")
    )


def _agreement(fit: RefinementResult, record: dict[str, Any]) -> str:
    parts = [_pattern_agreement(fit)] if fit.patterns else []
    if fit.spectra:
        header = ("spectrum", "points", "Rw / %", "GoF", "noise", "signal / noise", "Durbin-Watson", "SCOR")
        rows = [
            (
                name, s.n_observations, f"{s.rw:.3f}", f"{s.gof:.3f}", f"{s.noise:.4g}", f"{s.signal_to_noise:.3g}",
                f"{s.durbin_watson:.3f}", f"{s.scor:.2f}",
            )
            for name, s in ((name, fit.statistics[name]) for name in fit.spectra)
        ]  # fmt: skip
        parts.append(table(header, rows))
        if not fit.patterns:
            parts.append(
                "A goodness of fit of 1 leaves nothing but noise. Standard uncertainties are scaled by it; serial "
                "correlation of the residuals makes them too small by about the factor SCOR (Bérar & Lelann, 1991)."
            )
    if rows := joint.agreement_rows(record):
        parts.append(table(("term", "of", "number", "χ²", "χ² / number"), rows))
    return "\n\n".join(parts)


def _pattern_agreement(fit: RefinementResult) -> str:
    rows = [
        (
            name, s.n_observations, f"{s.rwp:.3f}", f"{s.rp:.3f}", f"{s.rexp:.3f}", f"{s.gof:.3f}",
            f"{s.durbin_watson:.3f}", f"{s.scor:.2f}",
            ", ".join(f"{r:.2f}" + (f" ({p})" if len(s.r_bragg) > 1 else "") for p, r in s.r_bragg.items()) or "–",
        )
        for name, s in ((name, fit.statistics[name]) for name in fit.patterns)
    ]  # fmt: skip
    header = ("histogram", "points", "Rwp / %", "Rp / %", "Rexp / %", "GoF", "Durbin-Watson", "SCOR", "R_Bragg / %")
    text = table(header, rows) + (
        "\n\nRwp and Rp include the background. Standard uncertainties are scaled by the goodness of fit; serial "
        "correlation of the residuals makes them too small by about the factor SCOR (Bérar & Lelann, 1991)."
    )
    fractions = [
        (name, phase, format_esd(100 * value, 100 * esd))
        for name, s in ((name, fit.statistics[name]) for name in fit.patterns)
        for phase, (value, esd) in s.weight_fraction.items()
        if len(s.weight_fraction) > 1
    ]
    if fractions:
        text += "\n\n" + table(("histogram", "phase", "weight / %"), fractions)
    return text


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
        lines.append(f"- Which parameter next? Expected decrease of χ² (linear estimate): {gains}.")
    return "\n".join(lines)


def _conditions(fit: RefinementResult, run: Any) -> str:
    specs = {h.name: h for h in getattr(run, "histograms", ())}
    plans = {t.name: t.model for t in getattr(fit.objective, "terms", ()) if hasattr(t, "model")}
    rows: list[tuple[str, ...]] = []
    for name, data in fit.patterns.items():
        spec, plan = specs.get(name), plans.get(name)
        if spec is not None and spec.file is not None:
            rows.append((name, "file", spec.file.name))
        if plan is not None:
            i = plan.instrument
            rows.append((name, "radiation", {"xray": "X-rays", "neutron": "neutrons"}[i.radiation]))
            rows.append((name, "wavelength / Å", ", ".join(f"{w:.6g}" for w in i.wavelengths)))
            rows.append((name, "geometry", f"{i.geometry}, radius {i.radius_mm:g} mm"))
            rows.append((name, "background", _background(plan.background_function)))
        step = float(np.median(np.diff(data.x)))
        rows.append((name, "2θ range / °", f"{data.x[0]:.5g} to {data.x[-1]:.5g}, step {step:.4g}"))
        if data.excluded:
            rows.append((name, "excluded / °", ", ".join(f"{low:g}–{high:g}" for low, high in data.excluded)))
        rows.append((name, "largest count", f"{data.observed.max():.6g}"))
        for phase, r in data.reflections.items():
            d = f", d ≥ {np.min(r.d):.4g} Å" if len(r.d) else ""
            rows.append((name, f"reflections of {phase}", f"{len(r.d)}{d}"))
    parts = []
    if fit.patterns:
        parts += [table(("histogram", "what", "value"), rows), _PEAKS]
    if fit.spectra:
        rows = [row for name in fit.spectra for row in _spectrum_conditions(fit, run, name)]
        parts += [table(("spectrum", "what", "value"), rows), _TENSORS]
    return "\n\n".join(parts)


def _learned(record: dict[str, Any]) -> list[str]:
    """Models and the conditions of what was compared with them."""
    parts = []
    if rows := joint.condition_rows(record):
        parts.append(table(("term", "what", "value"), rows))
    if rows := joint.model_rows(record):
        header = ("model", "phase", "predicts", "level of theory", "networks", "mean absolute errors")
        parts += [table(header, rows), " ".join(of["derivatives"] for of in record["models"])]
    return parts


_PEAKS = (
    "Peaks are pseudo-Voigt functions (Thompson, Cox & Hastings, 1987) with axial divergence after Finger, Cox & Jephcoat "
    "(1994); the quantity minimised is the sum of squared weighted residuals."
)
_TENSORS = (
    "Shifts are in ppm from the reference. ζ and η are those of the SHIELDING (Haeberlen, ζ = σ_zz − σ_iso): a positive ζ "
    "moves the unique edge of a pattern to lower shifts. Euler angles orient the shielding tensor, Rz(γ) Ry(β) Rz(α). "
    "Widths are full widths at half maximum; amplitudes are sums over points."
)


def _spectrum_conditions(fit: RefinementResult, run: Any, name: str) -> list[tuple[str, ...]]:
    data = fit.spectra[name]
    spec = next((s for s in getattr(run, "spectra", ()) if s.name == name), None)
    term = next((t for t in getattr(fit.objective, "terms", ()) if t.name == name), None)
    rows = [] if spec is None else [(name, "file", spec.file.name)]
    rows += [(name, "nucleus", f"{data.isotope} at {data.larmor_hz / 1e6:.6g} MHz")]
    if term is not None:
        simulation = term.simulation
        spinning = (
            "none" if simulation.mas_hz == 0 else f"{simulation.mas_hz:g} Hz at {simulation.rotor_angle_deg:.4f}°"
        )
        rows.append((name, "spinning", spinning.replace("inf Hz", "infinitely fast")))
        rows.append((name, "transitions", ", ".join(f"{f:+g} ↔ {i:+g}" for f, i in simulation.transitions)))
    rows.append((name, "fitted / ppm", ", ".join(f"{low:.5g} to {high:.5g}" for low, high in data.region_ppm)))
    rows.append((name, "points", f"{len(data.ppm)}, {np.median(np.diff(data.frequency_hz)):.4g} Hz apart"))
    return rows


def _background(function: Any) -> str:
    if function.kind == "chebyshev":
        return f"Chebyshev polynomial, {function.terms} terms"
    return f"linear interpolation, {function.terms} knots ({'given' if function.knots else function.spacing})"


def _phase(fit: RefinementResult, record: dict[str, Any], name: str) -> list[str]:
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


_SITE_COLUMNS = (
    ("shift", "δ / ppm", 1.0),
    ("zeta", "ζ / ppm", 1.0),
    ("eta", "η", 1.0),
    ("shielding_spread", "σ(ζ) / ppm", 1.0),
    ("cq", "C_Q / MHz", 1e-6),
    ("eta_q", "η_Q", 1.0),
    ("quadrupolar_spread", "σ(C_Q) / MHz", 1e-6),
    ("gaussian", "Gaussian / Hz", 1.0),
    ("lorentzian", "Lorentzian / Hz", 1.0),
    ("amplitude", "amplitude", 1.0),
)


def _sites(fit: RefinementResult, record: dict[str, Any], name: str) -> list[str]:
    """Table of the sites of a spectrum, and of what follows from them."""
    rows = {row["name"]: row for row in record["parameters"]}
    labels = record["spectra"][name]["sites"]
    header, columns = ["site"], [list(labels)]
    for key, title, factor in _SITE_COLUMNS:
        cells = [rows.get(f"{name}/{key}[{label}]") for label in labels]
        if None not in cells and any(cell["value"] != 0 for cell in cells):
            header.append(title)
            columns.append([format_esd(factor * c["value"], factor * (c["esd"] or 0.0), digits=5) for c in cells])
    if predicted := record["spectra"][name]["predicted"]:
        return [f"## {name}: sites", "As the models predict them for the refined structure:", _predicted(predicted)]
    parts = [f"## {name}: sites", table(header, list(zip(*columns, strict=True)))]
    if derived := record["spectra"][name]["derived"]:
        cells = [(d["site"], d["quantity"], format_esd(d["value"], d["esd"], digits=5), d["unit"]) for d in derived]
        parts += ["Derived from them:", table(("site", "quantity", "value", "unit"), cells)]
    return parts


def _predicted(rows: list[dict[str, Any]]) -> str:
    """Table of sites that follow from the structure."""
    titles = {key: (title, factor) for key, title, factor in _SITE_COLUMNS} | {"share": ("share / %", 1.0)}
    digits = {"shift": 2, "zeta": 2, "cq": 4, "share": 1}
    keys = [key for key in rows[0] if key != "site"]
    cells = [(row["site"], *(f"{titles[k][1] * row[k]:.{digits.get(k, 3)}f}" for k in keys)) for row in rows]
    return table(("site", *(titles[key][0] for key in keys)), cells)


def _parameters(fit: RefinementResult, record: dict[str, Any]) -> str:
    structural = ("cell", "xyz", "u_iso", "u_aniso", "occupancy")
    rows = [
        (
            f"`{row['name']}`",
            format_esd(row["value"], row["esd"], digits=6),
            row["unit"],
            f"= {row['tied_to']}" if row["tied_to"] else "",
        )
        for row in record["parameters"]
        if row["free"] and row["name"].split("[")[0].rsplit("/", 1)[-1] not in structural
    ]
    if not rows:
        return "No others were refined."
    return table(("parameter", "value", "unit", "tied to"), rows)


def _information(fit: RefinementResult) -> str:
    """Shares of the terms in the variance of every position, and how much larger the esd is without them."""
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
    histograms = list(fit.statistics)
    rows = [
        (
            s.stage_name,
            count[stage],
            s.n_free,
            f"{s.chi2:.6g}",
            *(f"{agreement[h]:.3f}" if h in (agreement := s.rwp | s.rw) else "–" for h in histograms),
        )
        for stage, s in last.items()
    ]
    header = (
        "stage",
        "steps",
        "parameters",
        "χ² at the end",
        *(f"{'Rw' if h in fit.spectra else 'Rwp'} {h} / %" for h in histograms),
    )
    return table(header, rows) if rows else "No steps were taken."


def _provenance(record: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"{record['created']}, {record['seconds']:.1f} s of which {record['compile_seconds']:.1f} s compilation, "
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
