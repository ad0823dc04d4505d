"""Summary of a refinement: the full result from its last point (host)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import jax
import numpy as np

from ..objective import Evidence, Objective, Parameters
from ..objective.objective import residuals_and_jacobian
from ..objective.ties import outside
from ..units import format_esd
from .bounds import settled_at_bounds
from .information import InformationParts, information, position_slopes
from .linearised import Linearised, null_sentences
from .loop import evaluated
from .result import RefinementResult
from .robust import effective_rows
from .solvers import Rule


def summarise(
    *,
    objective: Objective,
    params: Parameters,
    active: np.ndarray,
    rule: Rule,
    status: str,
    message: str,
    steps,
    began: float,
    compile_seconds: float,
    correlation_threshold: float,
    suggest: bool,
    visited: tuple[str, ...] = (),
    rescaled: frozenset[str] = frozenset(),
) -> RefinementResult:
    """Build the result; ``active`` marks the parameters of the last stage, ``visited`` are notes on the course.

    ``rescaled`` are the terms whose weights were estimated from their residuals including serial correlation, which is
    then part of their uncertainties and of all that follows from them.

    Derivatives come from the program of the loop, compiled for the solver's ``rule``.
    """
    params = objective.in_range(params)
    spec, offset = params.spec, params.offset()

    def linearise(theta):
        r, jacobian = evaluated(spec.layout, rule, objective, offset, spec.transform, theta)
        # a parameter with a non-finite derivative counts as undetermined
        return r, np.where(np.isfinite(jacobian).all(axis=0), jacobian, 0.0)

    lower, upper = params.theta_bounds()
    ended = params.theta
    theta, (r, jacobian) = settled_at_bounds(linearise, ended, lower, upper, active, linearise(ended))
    params = params if theta is ended else params.at(theta)
    inside = active & (theta > lower) & (theta < upper)
    slices = objective.row_slices(params)
    fitted_rows, (jacobian, robust) = jacobian, effective_rows(objective, r, jacobian, slices)
    problem = Linearised.create(r, jacobian).subset(inside)
    names = [name for name, kept in zip(params.free_names, inside, strict=True) if kept]
    transform = spec.transform[:, inside]
    state = objective.host_state(params).plain()
    parts = InformationParts(problem, jacobian[:, inside], slices)
    evidence = {t.name: t.evidence(state) for t in objective.terms}
    statistics, misfit = {}, {}
    doubts: list[str] = []
    for (name, shown), weight in zip(evidence.items(), np.asarray(objective.weights, dtype=float), strict=True):
        part, determined, rows = r[slices[name]], parts.determined_by(name), robust.get(name)
        if rows is not None:
            scatter = rows.scatter(determined, at_least_claimed=not shown.by_scatter)
            misfit[name] = float(np.sqrt(weight)) * scatter if shown.by_scatter else scatter
            plain, discounted = rows.plain, rows.discounted()
        else:
            if shown.by_scatter:
                misfit[name] = float(np.sqrt(part @ part / max(part.size - determined, 1.0)))
            plain, discounted = part / max(np.sqrt(weight), 1e-150), None
        statistics[name] = shown.statistics(plain, determined, float(weight), discounted)
        if name in rescaled and name in misfit:
            misfit[name] *= statistics[name].scor
        doubts += shown.doubts(statistics[name]) if status != "interrupted" else ()
        complaint = shown.complaint()
        if complaint and status in ("converged", "stalled", "max_steps"):
            status, message = "misfit", complaint
    covariance = transform @ parts.covariance(misfit) @ transform.T
    inflation = {name: g if name in rescaled else g * statistics[name].scor for name, g in misfit.items()}
    inflated = transform @ parts.covariance(inflation) @ transform.T
    doubts += doubts_of_derived(evidence, spec.labels, covariance)
    esds = lambda of: spec.layout.unflatten(np.sqrt(np.maximum(np.diag(of), 0.0)))
    correlations = _correlations(problem, names, min(correlation_threshold, _ONE))
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
        evidence=evidence,
        correlations=tuple(pair for pair in correlations if abs(pair[2]) >= correlation_threshold),
        null_directions=null_sentences(
            problem, names, {name for name, q in spec.quantities.items() if q.leave is not None}
        ),
        suggestions=_suggestions(objective, params, rule, inside, fitted_rows, r) if suggest else (),
        steps=steps,
        seconds=time.perf_counter() - began,
        compile_seconds=compile_seconds,
        weighted=bool(np.any(np.asarray(objective.weights) != 1.0)),
        warnings=(
            *doubts,
            *_warnings(crystals, params, active, lower, upper),
            *_wavelength_with_cell(correlations),
            *spec.notes.values(),
            *(_as_stated(name) for name in objective.by_residuals if name not in rescaled),
            *objective.warnings(params),
            *visited,
        ),
    )


def doubts_of_derived(evidence: Mapping[str, Evidence], labels: Sequence[str], covariance: np.ndarray) -> list[str]:
    """Report impossible derived quantities, each with its value and standard uncertainty.

    Args:
        evidence: evidence of all terms.
        labels: names of the rows of ``covariance``, ``(values, values)``.
    """
    place = {label: k for k, label in enumerate(labels)}
    doubtful = [of for shown in evidence.values() for of in shown.derived() if of.doubt]
    return [of.doubt.format(format_esd(of.value, of.esd(place, covariance))) for of in doubtful]


def _as_stated(name: str) -> str:
    return (
        f"'{name}' counts as its uncertainties state, not as its residuals say: jaxnmr.refine finds that weight, after a first "
        "refinement that converged."
    )


# from this correlation on, a wavelength and a cell are effectively one parameter
_ONE = 0.99


def _flags(spec, active):
    free = spec.free.copy()
    free[np.flatnonzero(spec.free)[~active]] = False
    return free


def _on_host(crystal):
    return jax.tree.map(np.asarray, crystal)


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


def _wavelength_with_cell(correlations) -> tuple[str, ...]:
    """Warn about a wavelength and a cell refined together without another pattern to separate them."""
    for a, b, r in correlations:
        quantities = {name.partition("[")[0].rpartition("/")[2] for name in (a, b)}
        if quantities == {"wavelength", "cell"} and abs(r) >= _ONE:
            wavelength, cell = sorted((a, b), key=lambda name: "wavelength" not in name)
            return (
                f"{wavelength} and {cell} were refined together (correlation {r:+.4f}): the positions of peaks tell their "
                "ratio only, so that both values mean nothing. Fix one of them.",
            )
    return ()


def _suggestions(
    objective, params: Parameters, rule: Rule, inside, jacobian, r, most: int = 8
) -> tuple[tuple[str, float], ...]:
    """Return the expected decrease of chi² on freeing each fixed direction in addition to those refined now.

    The columns of fixed parameters come from the compiled Jacobian, in batches of the width it was compiled for.
    """
    spec = params.spec
    terms = tuple(t.differentiable(params.labels) for t in objective.terms)
    # the loop is already compiled and can be reused if only other columns are needed
    known = all(new is old for new, old in zip(terms, objective.terms, strict=True))
    linearise = partial(evaluated, spec.layout, rule) if known else partial(residuals_and_jacobian, spec.layout)
    objective = objective.replace(terms=terms)
    tied = {t.target for t in spec.ties} | _not_beside_a_cell(params)
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
        columns = np.asarray(linearise(objective, flat, transform, np.zeros(width))[1])
        for place, k in placed.items():
            column = columns[:, place]
            length = np.linalg.norm(column)
            if not np.isfinite(length) or length == 0:
                continue
            new = column - basis @ (basis.T @ column)
            # a column already spanned by the free ones adds no information
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


def _not_beside_a_cell(params: Parameters) -> set[int]:
    """Return indices of wavelengths if a cell is refined: a pattern determines only their ratio."""
    if not any(name.partition("[")[0].rpartition("/")[2] == "cell" for name in params.moved_names):
        return set()
    return {k for k, label in enumerate(params.labels) if label.partition("[")[0].endswith("/wavelength")}


def _packed(objective: Objective, spec, fixed) -> Iterator[dict[int, int]]:
    """Assign fixed directions to suitable columns of the Jacobian, as many at a time as there are columns."""
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
    spec, flat = params.spec, np.asarray(params.flat)
    for k in np.flatnonzero((spec.transform != 0).sum(axis=1) > 1):
        if outside(flat[k], spec.lower[k], spec.upper[k]):
            sentences.append(
                f"{params.labels[k]} ended at {flat[k]:.4g}, outside its bounds [{spec.lower[k]:g}, {spec.upper[k]:g}]: it follows "
                "several refined numbers, which no bound of one of them can keep. Fix one of those, or refine fewer."
            )
    return tuple(sentences)
