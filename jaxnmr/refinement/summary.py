"""From the last point of a refinement to everything a report needs (host)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled
from ..diffraction.powder import compiled_pattern, compiled_phase_tables, observed_over_calculated
from ..objective import Objective, Parameters
from ..objective.objective import residuals_and_jacobian
from ..terms import MeasuredSpectrum, PatternTerm, Prior, Restraint
from .information import InformationParts, information, position_slopes
from .linearised import Linearised
from .result import (
    FittedPattern,
    FittedSpectrum,
    HistogramStatistics,
    RefinementResult,
    Reflections,
    SpectrumStatistics,
    TermStatistics,
)
from .robust import effective_rows
from .statistics import durbin_watson, peak_match, profile_factors, scor, spectrum_factors

# below this correlation of observed and calculated peaks, a minimum is not a solution
_MATCHED = 0.8


def summarise(
    *,
    objective: Objective,
    params: Parameters,
    active: np.ndarray,
    status: str,
    message: str,
    steps,
    began: float,
    compile_seconds: float,
    correlation_threshold: float,
    suggest: bool,
    visited: tuple[str, ...] = (),
) -> RefinementResult:
    """Build the result; ``active`` marks the refined numbers of the last stage, ``visited`` says what was seen on the way."""
    spec = params.spec
    offset, theta = params.offset(), params.theta
    r, jacobian = map(
        np.asarray, residuals_and_jacobian(spec.layout, objective, offset, spec.transform, jnp.asarray(theta))
    )
    # a derivative that is not finite says nothing: its parameter counts as undetermined
    jacobian = np.where(np.isfinite(jacobian).all(axis=0), jacobian, 0.0)
    lower, upper = params.theta_bounds()
    inside = active & (theta > lower) & (theta < upper)
    slices = objective.row_slices(params)
    fitted_rows, (jacobian, robust) = jacobian, effective_rows(objective, r, jacobian, slices)
    problem = Linearised.create(r, jacobian).subset(inside)
    names = [name for name, kept in zip(params.free_names, inside, strict=True) if kept]
    transform = spec.transform[:, inside]
    state = objective.host_state(params).plain()
    parts = InformationParts(problem, jacobian[:, inside], slices)
    patterns = {t.name: _fitted_pattern(t, state) for t in objective.terms if isinstance(t, PatternTerm)}
    spectra = {t.name: _fitted_spectrum(t, state) for t in objective.terms if isinstance(t, MeasuredSpectrum)}
    statistics, misfit, serial = {}, {}, {}
    weights = dict(zip((t.name for t in objective.terms), np.sqrt(np.asarray(objective.weights)), strict=True))
    for name in (*patterns, *spectra):
        part = r[slices[name]]
        misfit[name] = float(np.sqrt(part @ part / max(part.size - parts.determined_by(name), 1.0)))
    for name, rows in robust.items():
        measured = name in misfit
        scatter = rows.scatter(parts.determined_by(name), at_least_claimed=not measured)
        misfit[name] = weights[name] * scatter if measured else scatter
    covariance = transform @ parts.covariance(misfit) @ transform.T
    for term in objective.terms:
        fitted = patterns.get(term.name) or spectra.get(term.name)
        if fitted is None:
            continue
        weighted = (fitted.calculated - fitted.observed) / fitted.sigma
        serial[term.name] = scor(weighted)
        common = dict(
            n_observations=fitted.observed.size, durbin_watson=durbin_watson(weighted), scor=serial[term.name]
        )
        numbers = (fitted.observed, fitted.calculated, fitted.sigma, parts.determined_by(term.name))
        if isinstance(fitted, FittedPattern):
            statistics[term.name] = HistogramStatistics(
                **common,
                **profile_factors(*numbers),
                r_bragg={p: _r_bragg(refl) for p, refl in fitted.reflections.items()},
                weight_fraction=_weight_fractions(term, state, params, covariance),
            )
            match = peak_match(fitted.observed, fitted.calculated, fitted.background)
            what, check = "peaks", "cell, space group, wavelength and zero"
        else:
            statistics[term.name] = SpectrumStatistics(**common, **spectrum_factors(*numbers))
            match = peak_match(fitted.observed, fitted.calculated, fitted.baseline, fitted.sigma)
            what, check = "lines", "shifts, couplings, phase and spinning speed"
        if status in ("converged", "stalled", "max_steps") and match < _MATCHED:
            status = "misfit"
            message = (
                f"The refinement ended in a minimum where the calculated {what} of '{term.name}' do not lie on the "
                f"observed ones (correlation {match:.2f}): the start was too far away. Check {check}."
            )
    inflation = {name: misfit[name] * serial.get(name, 1.0) for name in misfit}
    inflated = transform @ parts.covariance(inflation) @ transform.T
    esds = lambda of: spec.layout.unflatten(np.sqrt(np.maximum(np.diag(of), 0.0)))
    pivots = spec.free_pivots[inside]
    crystals = {name: _on_host(c) for name, c in state.crystals.items()}
    return RefinementResult(
        status=status,
        message=message,
        objective=objective,
        parameters=params.replace(spec=spec.changed(free=_flags(spec, active))),
        crystals=crystals,
        esds={k: np.asarray(v) for k, v in esds(covariance).items()},
        esds_scor={k: np.asarray(v) for k, v in esds(inflated).items()},
        covariance=covariance,
        information=information(
            parts,
            tuple(names),
            np.asarray(spec.scale)[pivots],
            position_slopes(crystals, spec, transform, objective.phase_prefix),
        ),
        statistics=statistics,
        patterns=patterns,
        spectra=spectra,
        terms=_other_terms(objective, r, slices, statistics, robust),
        correlations=_correlations(problem, names, correlation_threshold),
        null_directions=_null_directions(problem, names),
        suggestions=_suggestions(objective, params, inside, fitted_rows, r) if suggest else (),
        steps=steps,
        seconds=time.perf_counter() - began,
        compile_seconds=compile_seconds,
        weighted=bool(np.any(np.asarray(objective.weights) != 1.0)),
        warnings=(
            *_warnings(crystals, params, active, lower, upper),
            *objective.warnings(params),
            *visited,
        ),
    )


def _flags(spec, active):
    free = spec.free.copy()
    free[np.flatnonzero(spec.free)[~active]] = False
    return free


def _on_host(crystal):
    return jax.tree.map(np.asarray, crystal)


def _fitted_pattern(term: PatternTerm, state) -> FittedPattern:
    model, values = term.model, state.local(term.name)
    observed = np.asarray(term.observed)
    background = np.asarray(model.background @ np.asarray(values["background"]))
    calculated = np.asarray(compiled_pattern(model, state.crystals, values))
    ratios = np.asarray(observed_over_calculated(model, state.crystals, values, observed))
    reflections, start = {}, 0
    for plan, table in zip(model.phases, compiled_phase_tables(model, state.crystals, values), strict=True):
        n = table.area.shape[0]
        position = np.asarray(table.position[0])
        keep = (np.asarray(plan.present) > 0) & (position >= model.x[0]) & (position <= model.x[-1])
        order = np.flatnonzero(keep)[np.argsort(position[keep])]
        f2 = np.asarray(table.f_squared)
        reflections[plan.name] = Reflections(
            hkl=np.asarray(plan.hkl)[order].astype(int),
            multiplicity=np.asarray(plan.multiplicity)[order].astype(int),
            d=np.asarray(table.d_spacing)[order],
            two_theta=position[order],
            f2_calc=f2[order],
            f2_obs=(f2 * ratios[start : start + n])[order],
            area=np.asarray(table.area)[order],
            fwhm=np.asarray(table.fwhm)[order],
        )
        start += n
    return FittedPattern(
        name=term.name, x=np.asarray(model.x), observed=observed, sigma=np.asarray(term.sigma),
        calculated=calculated, background=background, excluded=term.excluded, reflections=reflections,
    )  # fmt: skip


def _fitted_spectrum(term: MeasuredSpectrum, state) -> FittedSpectrum:
    calculated, baseline, components = map(np.asarray, _parts(term, state))
    return FittedSpectrum(
        name=term.name, frequency_hz=np.asarray(term.frequency_hz), ppm=np.asarray(term.ppm),
        observed=np.asarray(term.observed), sigma=np.asarray(term.sigma), calculated=calculated, baseline=baseline,
        components=components.T, labels=term.site_labels(state.crystals), region_ppm=term.region_ppm, isotope=term.simulation.isotope,
        larmor_hz=term.simulation.larmor_hz,
    )  # fmt: skip


@compiled
def _parts(term: MeasuredSpectrum, state):
    components, baseline = term.components(state), term.baseline(state)
    return components.sum(axis=1) + baseline, baseline, components


def _other_terms(objective: Objective, r, slices, known, robust) -> dict[str, TermStatistics]:
    out = {}
    for term, weight in zip(objective.terms, np.asarray(objective.weights, dtype=float), strict=True):
        if term.name not in known:
            rows = robust.get(term.name)
            part = r[slices[term.name]] / max(np.sqrt(weight), 1e-150) if rows is None else rows.plain
            discounted = None if rows is None else rows.discounted()
            out[term.name] = TermStatistics(
                part.size, float(part @ part), isinstance(term, Restraint | Prior), discounted
            )
    return out


def _r_bragg(reflections: Reflections) -> float:
    """``sum m |F²_obs - F²_calc| / sum m F²_obs`` in per cent, F²_obs shared out among overlapping peaks as calculated.

    Source: Young, The Rietveld Method (1993), table 1.3, with I_K the multiplicity times the squared structure factor.
    """
    total = np.sum(reflections.multiplicity * np.abs(reflections.f2_obs))
    off = np.sum(reflections.multiplicity * np.abs(reflections.f2_obs - reflections.f2_calc))
    return float(100.0 * off / total) if total > 0 else float("nan")


def _weight_fractions(term: PatternTerm, state, params: Parameters, covariance) -> dict[str, tuple[float, float]]:
    """Mass fractions ``S M_cell / sum`` with uncertainties propagated from the scales (host)."""
    phases = term.model.phase_names
    masses = np.array([state.crystals[p].cell_mass() for p in phases])
    index = params.spec.match(f"{term.name}/scale")
    scales = np.asarray(params.flat)[index]
    total = float(np.sum(scales * masses))
    if total <= 0:
        return {p: (float("nan"), float("nan")) for p in phases}
    fraction = scales * masses / total
    jacobian = (np.diag(masses) - np.outer(fraction, masses)) / total
    spread = jacobian @ covariance[np.ix_(index, index)] @ jacobian.T
    return {
        p: (float(f), float(np.sqrt(max(v, 0.0)))) for p, f, v in zip(phases, fraction, np.diag(spread), strict=True)
    }


def _correlations(problem: Linearised, names, threshold: float) -> tuple[tuple[str, str, float], ...]:
    covariance = problem.covariance()
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    matrix = covariance / np.outer(spread, spread)
    pairs = [
        (names[i], names[j], float(matrix[i, j]))
        for i in range(len(names))
        for j in range(i)
        if abs(matrix[i, j]) >= threshold
    ]
    return tuple(sorted(pairs, key=lambda p: -abs(p[2])))


def _null_directions(problem: Linearised, names) -> tuple[str, ...]:
    sentences = []
    for vector in problem.null_vectors():
        order = [k for k in np.argsort(-np.abs(vector)) if abs(vector[k]) > 0.1 * np.abs(vector).max()]
        combination = ", ".join(names[k] for k in order[:6])
        if len(order) == 1:
            sentences.append(f"The data do not determine {combination}.")
        else:
            sentences.append(f"The data do not determine a common change of {combination}.")
    return tuple(sentences)


def _suggestions(objective, params: Parameters, inside, jacobian, r, most: int = 8) -> tuple[tuple[str, float], ...]:
    """Expected decrease of chi² on freeing each fixed direction along with those refined now.

    The columns of fixed parameters come from the compiled Jacobian, as many at a time as it was compiled for.
    """
    spec = params.spec
    # spectra are differentiated by what they were told to be refined in
    objective = objective.replace(terms=tuple(t.differentiable(params.labels) for t in objective.terms))
    tied = {t.target for t in spec.ties}
    refined = set(np.flatnonzero(spec.free)[inside].tolist())
    fixed = [k for k, pivot in enumerate(spec.pivots) if k not in refined and pivot not in tied]
    width = spec.transform.shape[1]
    basis = np.linalg.qr(jacobian[:, inside])[0] if inside.any() else np.zeros((r.size, 0))
    remaining = r - basis @ (basis.T @ r)
    found = []
    flat = np.asarray(params.flat, dtype=float)
    for placed in _packed(objective, spec, fixed):
        transform = np.zeros((len(flat), width))
        transform[:, list(placed)] = spec.along(list(placed.values()))
        columns = np.asarray(residuals_and_jacobian(spec.layout, objective, flat, transform, jnp.zeros(width))[1])
        for place, k in placed.items():
            column = columns[:, place]
            length = np.linalg.norm(column)
            if not np.isfinite(length) or length == 0:
                continue
            new = column - basis @ (basis.T @ column)
            # a column the free ones already span tells nothing
            if np.linalg.norm(new) < 1e-3 * length:
                continue
            slope = float(new @ remaining)
            shift = -slope / float(new @ new)
            pivot = spec.pivots[k]
            value = flat[pivot] / spec.scale[pivot] + shift
            if value < spec.lower[pivot] / spec.scale[pivot] or value > spec.upper[pivot] / spec.scale[pivot]:
                continue
            found.append((params.labels[pivot], slope**2 / float(new @ new)))
    found.sort(key=lambda item: -item[1])
    return tuple((name, float(gain)) for name, gain in found[:most])


def _packed(objective: Objective, spec, fixed) -> Iterator[dict[int, int]]:
    """Fixed directions by the column of the Jacobian that each may stand in, as many at a time as there are columns."""
    width = spec.transform.shape[1]
    waiting = [(k, objective.columns_for(spec, spec.along([k])[:, 0])) for k in fixed]
    waiting = sorted((pair for pair in waiting if len(pair[1])), key=lambda pair: len(pair[1]))
    while waiting:
        free, placed = np.ones(width, dtype=bool), {}
        for k, columns in waiting:
            if free[columns].any():
                column = int(columns[np.argmax(free[columns])])
                free[column], placed[column] = False, k
        yield placed
        waiting = [pair for pair in waiting if pair[0] not in placed.values()]


def _warnings(crystals, params: Parameters, active, lower, upper) -> tuple[str, ...]:
    sentences = []
    for name, crystal in crystals.items():
        bad = crystal.nonpositive_displacements()
        if bad:
            where = f" of {name}" if len(crystals) > 1 else ""
            sentences.append(
                f"Displacement of {', '.join(bad)}{where} is not positive: physically impossible, often a sign of absorption or a wrong model."
            )
    theta, names = params.theta, params.free_names
    for k in np.flatnonzero(active & ((theta <= lower) | (theta >= upper))):
        sentences.append(f"{names[k]} ended at its bound {params[names[k]]:g}; it has no standard uncertainty.")
    return tuple(sentences)
