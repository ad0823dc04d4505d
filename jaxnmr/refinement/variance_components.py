"""Variance components: the scale of the uncertainties of every data set, estimated from residuals (host).

Uncertainties of different kinds of data come from different sources; their ratio decides the balance of a joint
refinement. If a data set has redundancy, its own residuals show how large its uncertainties really are:
``s² = chi²/r`` with the redundancy ``r = n - tr(C F)``, the number of residuals less the number of parameters that the set
determines. Uncertainties are multiplied by s, everything is refined again, and so on until nothing changes: for normal
errors these are the estimates of restricted maximum likelihood.

Residuals of patterns and spectra are not independent. Consecutive residuals of equal sign count as one observation
(`statistics.scor`), as they do for standard uncertainties: their factors are ``s SCOR``.

Source: W. Foerstner, Z. Vermessungswesen 104, 149 (1979); D. A. Harville, J. Am. Stat. Assoc. 72, 320 (1977).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from ..objective import Objective, Parameters
from .descent import Callback
from .result import RefinementResult, StepInfo
from .stages import Stage
from .variance_report import VarianceComponent, VarianceComponents

_MOST_ROUNDS = 12
# factors that change by less than this fraction of their own uncertainty have converged
_STEADY = 0.05
# smaller factors indicate data without noise rather than overstated uncertainties
_SMALLEST = 1e-2
_REDUNDANT = 1.0
_NOT_ASKED = "it was not asked for"


@checked
def variance_components(fit: RefinementResult, terms: Sequence[str] | None = None) -> VarianceComponents:
    """Estimate the scale of the uncertainties of every data set from the residuals of a fit; one round of the estimation.

    The fit was made with given weights; `refine` with ``weights="variance-components"`` repeats it with the estimated ones
    until they are consistent.

    Args:
        fit: result of a refinement.
        terms: names of the terms to estimate; by default all data with the weight 1, or with one estimated before.
            Restraints and priors are prior knowledge and not changed, unless they are named.

    Raises:
        ParameterError: a name is not that of a term, or a term has a robust loss.
    """
    before = () if fit.components is None else [of.name for of in fit.components.components if of.estimated]
    return _estimated(fit, _eligible(fit, terms, before))


def refine_with_components(
    refine: Callable[..., RefinementResult],
    objective: Objective,
    params: Parameters,
    stages: Sequence[Stage] | None,
    terms: Sequence[str] | None,
    *,
    callback: Callback | None,
    suggest: bool,
) -> RefinementResult:
    """Refine, estimate the factors, and refine again until they are consistent; see `jaxnmr.refine`.

    Args:
        refine: performs one refinement, with the weights of the objective passed to it.
        objective, params, stages, callback, suggest: as for `jaxnmr.refine`.
        terms: terms to estimate; all data by default.
    """
    steps: list[StepInfo] = []

    def numbered(info):
        info = replace(info, step=len(steps) + 1)
        steps.append(info)
        if callback is not None:
            callback(info)

    fit = refine(objective, params, stages=stages, callback=numbered, suggest=False)
    seconds, compiling, before, rounds = fit.seconds, fit.compile_seconds, None, 0
    eligible = _asked(fit, terms) if terms else _eligible(fit)
    found = _estimated(fit, eligible)
    steady = not any(of.estimated for of in found.components)
    while fit.converged and not steady and rounds < _MOST_ROUNDS:
        rounds, before = rounds + 1, found
        weights = np.asarray(fit.objective.weights, dtype=float).copy()
        for k, of in enumerate(found.components):
            if of.estimated:
                weights[k] = of.factor**-2
        fit = refine(
            fit.objective.replace(weights=weights), fit.parameters, stages=None, callback=numbered, suggest=suggest,
            rescaled=frozenset(of.name for of in found.components if of.estimated),
        )  # fmt: skip
        seconds, compiling = seconds + fit.seconds, compiling + fit.compile_seconds
        found = _estimated(fit, eligible)
        steady = all(
            abs(new.factor - old.factor) <= _STEADY * new.esd
            for new, old in zip(found.components, before.components, strict=True)
        )
    # report the factors used, not those for the next round
    used = found if before is None else before
    used = replace(used, rounds=rounds, converged=steady or not fit.converged)
    return replace(
        fit,
        steps=tuple(steps),
        seconds=seconds,
        compile_seconds=compiling,
        components=used,
        warnings=(*used.sentences(), *fit.warnings),
    )


def _asked(fit: RefinementResult, terms: Sequence[str]) -> dict[str, str]:
    """Do as :func:`_eligible`, for terms to be weighted by their own residuals."""
    why = _eligible(fit, None, terms)
    for name in why:
        if name not in terms:
            why[name] = _NOT_ASKED
        elif not fit.evidence[name].measured:
            why[name] = "it is knowledge, whose residuals are no scatter"
    return why


def _eligible(fit: RefinementResult, terms: Sequence[str] | None = None, before: Sequence[str] = ()) -> dict[str, str]:
    """Return why each term is left unchanged; empty for those to be estimated, including those estimated ``before``."""
    objective = fit.objective
    names = [t.name for t in objective.terms]
    unknown = sorted(set(terms or ()) - set(names))
    if unknown:
        raise ParameterError(f"no term is called {', '.join(unknown)}; the terms are {', '.join(names)}")
    out = {}
    for term, loss, weight in zip(objective.terms, objective.losses, np.asarray(objective.weights), strict=True):
        why = ""
        if loss is not None:
            if terms is not None and term.name in terms:
                raise ParameterError(f"{term.name!r} has a robust loss, which does not say how large uncertainties are")
            why = "it has a robust loss"
        elif terms is not None:
            why = "" if term.name in terms else _NOT_ASKED
        elif not fit.evidence[term.name].measured:
            why = "it is a restraint"
        elif term.extracting:
            why = "its intensities are extracted, not calculated"
        elif weight != 1.0 and term.name not in before:
            why = f"it was given the weight {weight:g}"
        out[term.name] = why
    return out


def _estimated(fit: RefinementResult, eligible: dict[str, str]) -> VarianceComponents:
    determined = dict(zip(fit.information.terms, fit.information.determined, strict=True))
    components = []
    for term, weight in zip(fit.objective.terms, np.asarray(fit.objective.weights, dtype=float), strict=True):
        name, of = term.name, fit.statistics[term.name]
        serial, redundancy = of.scor, of.n_observations - determined[name]
        factor, why = weight**-0.5 if weight > 0 else np.inf, eligible[name]
        if not why and redundancy < _REDUNDANT:
            factor, why = 1.0, f"its redundancy, {redundancy:.2f}, is below {_REDUNDANT:g}"
        elif not why:
            factor = serial * float(np.sqrt(of.chi2 / redundancy))
            if factor < _SMALLEST:
                factor, why = 1.0, "its residuals vanish: they have no noise"
        components.append(
            VarianceComponent(
                name=name,
                n_observations=of.n_observations,
                redundancy=float(redundancy),
                serial=serial,
                factor=float(factor),
                esd=0.0 if why else float(factor * serial / np.sqrt(2.0 * redundancy)),
                why=why,
            )
        )
    return VarianceComponents(tuple(components))
