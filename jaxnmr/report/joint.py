"""What joint refinements add to a report: models, what was compared with their predictions, and every single difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..objective.state import EFG, State
from ..terms import PeakListTerm, TensorTerm
from ..terms.tensors import TRACELESS
from ..units import format_esd

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult

_ELEMENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
# metric of a model card, what people call it, its unit
_SCORES = (("iso_mae", "isotropic", " ppm"), ("span_mae", "span", " ppm"), ("cq_size_mae_mhz", "C_Q", " MHz"))
Row = dict[str, Any]


# -- numbers ---------------------------------------------------------------------------------------------------------
def model_records(fit: RefinementResult) -> list[dict[str, Any]]:
    """Models that the refinement used, one for every phase they predicted tensors of."""
    return [source.record() for source in getattr(fit.objective, "sources", ())]


def term_records(fit: RefinementResult) -> dict[str, dict[str, Any]]:
    """By name, agreement of all terms but patterns and spectra; of measured shifts and tensors also what they are."""
    records = {name: dict(vars(statistics)) for name, statistics in fit.terms.items()}
    terms = [t for t in getattr(fit.objective, "terms", ()) if isinstance(t, PeakListTerm | TensorTerm)]
    if not terms:
        return records
    state = fit.objective.host_state(fit.parameters)
    weights = {t.name: w for t, w in zip(fit.objective.terms, np.asarray(fit.objective.weights), strict=True)}
    for term in terms:
        local = {name: float(value) for name, value in state.local(term.name).items()}
        phase, sites = term.where(state.crystals)
        labels = [state.crystals[phase].labels[k] for k in sites]
        found = {
            "nucleus": term.nucleus,
            "phase": phase,
            "weight": float(weights[term.name]),
            **local,
            "sigma_model": term.sigma_model,
        }
        if isinstance(term, PeakListTerm):
            if not term.wants_predictions:
                found["sigma_model"] = np.asarray(term.model_sigma)
            found |= {
                "compared": "isotropic shifts",
                "shifts_ppm": np.asarray(term.shifts),
                "sigma": np.asarray(term.sigma),
                "assignment": "given" if term.fixed else "found",
                "rows": list(_peak_rows(term, state, labels)),
            }
        else:
            found |= {"compared": _compared(term), "rows": list(_tensor_rows(term, state, labels))}
        records[term.name] |= found
    return records


def _compared(term: TensorTerm) -> str:
    of = {"cq_eta": "C_Q and η", "principal": "principal values of shift tensors"}
    return of.get(term.kind) or ("quadrupolar tensors" if term.quantity == EFG else "shift tensors")


def _peak_rows(term: PeakListTerm, state: State, labels: Sequence[str]) -> Iterator[Row]:
    peak, calculated = np.asarray(term.peak), np.asarray(term.calculated(state))
    measured = np.asarray(term.sigma)[peak]
    sigma = np.hypot(measured, np.asarray(term.model_sigma))
    for k, label in enumerate(labels):
        yield _row(label, "δ", "ppm", np.asarray(term.shifts)[peak[k]], calculated[k], sigma[k], measured[k])


def _tensor_rows(term: TensorTerm, state: State, labels: Sequence[str]) -> Iterator[Row]:
    observed, calculated = np.asarray(term.observed), np.asarray(term.calculated(state))
    measured, factors = np.asarray(term.covariance), np.asarray(term.whitening)
    total = np.linalg.inv(np.swapaxes(factors, 1, 2) @ factors)
    unit, scale = ("MHz", 1e-6) if term.quantity == EFG else ("ppm", 1.0)
    if term.kind == "cq_eta":
        names, units, scales = ("C_Q", "η"), (unit, ""), np.array([scale, 1.0])
    elif term.kind == "principal":
        names, units, scales = ("δ11", "δ22", "δ33"), (unit,) * 3, np.full(3, scale)
    else:
        if term.quantity == EFG:
            # five components without trace, back to elements
            observed, calculated = observed @ TRACELESS, calculated @ TRACELESS
            measured, total = (TRACELESS.T @ c @ TRACELESS for c in (measured, total))
        names, units = tuple(("V" if term.quantity == EFG else "δ") + ij for ij in _ELEMENTS), (unit,) * 6
        scales = np.where(np.arange(6) < 3, 1.0, np.sqrt(0.5)) * scale
    for s, label in enumerate(labels):
        spreads = (scales * np.sqrt(np.diagonal(c[s])) for c in (total, measured))
        columns = (names, units, scales * observed[s], scales * calculated[s], *spreads)
        for name, of, *numbers in zip(*columns, strict=True):
            yield _row(label, name, of, *numbers)


def _row(site, quantity, unit, observed, calculated, sigma, sigma_observed) -> Row:
    return {
        "site": site,
        "quantity": quantity,
        "unit": unit,
        "observed": float(observed),
        "calculated": float(calculated),
        "difference": float(observed - calculated),
        "sigma": float(sigma),
        "sigma_observed": float(sigma_observed),
    }


# -- words -----------------------------------------------------------------------------------------------------------
def agreement_rows(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Name, kind, number, chi² and chi² per number of every term but patterns and spectra."""
    rows = []
    for name, of in record["terms"].items():
        count, chi2 = of["n_observations"], of["chi2"]
        kind = "restraints" if of["restraint"] else of.get("compared", "other data")
        rows.append((name, kind, count, f"{chi2:.4g}", f"{chi2 / count:.3g}" if count else "–"))
    return rows


def model_rows(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Name, phase, heads, level of theory, members and errors of every model."""
    rows = []
    for of in record["models"]:
        heads = "; ".join(f"{head} of {', '.join(elements)}" for head, elements in of["predicts"].items())
        rows.append(
            (of["name"], of["phase"], heads, of["level_of_theory"] or "–", of["members"], _errors(of["scores"]))
        )
    return rows


def _errors(scores: dict[str, float]) -> str:
    found = [
        f"{key.split('/')[0]} {what} {value:.2g}{unit}"
        for metric, what, unit in _SCORES
        for key, value in scores.items()
        if value is not None and key.split("/")[-1] == metric
    ]
    return ", ".join(found) or "not given"


def condition_rows(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was compared, with what uncertainty and reference."""
    parameters = {row["name"]: row for row in record["parameters"]}
    rows = []
    for name, of in record["terms"].items():
        if "compared" not in of:
            continue
        say = lambda what, value, name=name: rows.append((name, what, value))
        sites = len({r["site"] for r in of["rows"]})
        where = f"{of['nucleus']} in {of['phase']}, {sites} site{'' if sites == 1 else 's'}"
        say("compared", f"{of['compared']} of {where}")
        for text, quantities in _uncertainties(of["rows"]).items():
            say(f"σ of {quantities}", text)
        if of["sigma_model"] == "model":
            say("uncertainty of the model", "its own, calibrated, at the refined structure")
        else:
            counts = of["sigma_model"] is not None and np.any(np.asarray(of["sigma_model"], dtype=float) > 0)
            say("uncertainty of the model", "typed in" if counts else "none: predictions count as exact")
        if "reference" in of:
            reference, slope = (parameters[f"{name}/{key}"] for key in ("reference", "slope"))
            fixed = "" if reference["free"] or slope["free"] else ", not refined"
            say("reference", f"δ / ppm = {_value(reference)} + ({_value(slope)}) σ{fixed}")
        elif _value(parameters[f"{name}/slope"]) != "1":
            say("slope", _value(parameters[f"{name}/slope"]))
        if "assignment" in of:
            words = {"given": "given", "found": "found: the one of least χ² in which every peak has a site"}
            say("assignment", words[of["assignment"]])
        if of["weight"] != 1.0:
            say("weight", f"{of['weight']:g}")
    return rows


def _uncertainties(rows: Sequence[Row]) -> dict[str, str]:
    """Quantities by what is to be said of their uncertainty."""
    found: dict[str, dict[str, list[str]]] = {}
    for quantity, unit in {(r["quantity"], r["unit"]): None for r in rows}:
        measured, total = ([r[key] for r in rows if r["quantity"] == quantity] for key in ("sigma_observed", "sigma"))
        text = _span(measured)
        if not np.allclose(measured, total, rtol=1e-6):
            text += f"; {_span(total)} with that of the model"
        found.setdefault(text, {}).setdefault(unit, []).append(quantity)
    name = lambda unit, quantities: ", ".join(quantities) + (f" / {unit}" if unit else "")
    return {text: "; ".join(name(*pair) for pair in of.items()) for text, of in found.items()}


def comparison_rows(of: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Site, quantity, observed, calculated, difference, sigma, and the difference in sigmas."""
    rows = []
    for r in of["rows"]:
        places = int(np.clip(1 - np.floor(np.log10(r["sigma"])), 0, 8)) if r["sigma"] > 0 else 6
        numbers = (f"{r[key]:.{places}f}" for key in ("observed", "calculated", "difference", "sigma"))
        relative = f"{r['difference'] / r['sigma']:.1f}" if r["sigma"] > 0 else "–"
        what = f"{r['quantity']} / {r['unit']}" if r["unit"] else r["quantity"]
        rows.append((r["site"], what, *numbers, relative))
    return rows


def _value(row: dict[str, Any]) -> str:
    return format_esd(row["value"], row["esd"], digits=6)


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"
