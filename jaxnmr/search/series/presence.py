"""Presence of phases and sites: without a significant amount nothing else of them can be refined (host)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ...objective import Objective, Parameters
from ...refinement.descent import Descent
from ...refinement.linearised import Linearised

# a held part returns only if its amount exceeds the limit of presence by this factor: noise alone cannot do that
RETURNS = 1.5


class Part(NamedTuple):
    """A phase, or a site of a spectrum, among ``n`` refined parameters.

    Attributes:
        name: name of the phase, or ``"nmr: Na1"``.
        amounts: ``(n,)`` which parameters are its amounts: its scales or its amplitude.
        others: ``(n,)`` which parameters describe it otherwise.
    """

    name: str
    amounts: np.ndarray
    others: np.ndarray


def parts(objective: Objective, params: Parameters) -> tuple[Part, ...]:
    """List phases and sites with refined amounts and other refined parameters."""
    spec, names = params.spec, params.free_names
    of_amounts = np.array([bool(spec.intensity[k] and spec.lower[k] == 0.0) for k in spec.free_pivots], dtype=bool)
    found = []
    for phase in objective.crystals:
        prefix = objective.phase_prefix(phase)
        scales = [name.endswith(f"/scale[{phase}]") for name in names]
        own = [_of_structure(name, prefix) or _of_element(name, phase) for name in names]
        found.append((phase, scales, own))
    for name in names:
        term, _, site = name.removesuffix("]").partition("/amplitude[")
        if site:
            inside = [other.startswith(f"{term}/") and _of_element(other, site) for other in names]
            found.append((f"{term}: {site}", [other == name for other in names], inside))
    made = (Part(name, of_amounts & amounts, ~of_amounts & own) for name, amounts, own in found)
    return tuple(part for part in made if part.amounts.any() and part.others.any())


def _of_structure(name: str, prefix: str) -> bool:
    # parameters of a single phase have no prefix, those of terms have one
    return name.startswith(prefix) if prefix else "/" not in name


def _of_element(name: str, of: str) -> bool:
    quantity, _, element = name.removesuffix("]").partition("[")
    return "/" in name and (element == of or element.startswith(f"{of}.") or quantity.endswith(f"/stephens_{of}"))


def amounts(descent: Descent, *, scattered: bool = True) -> np.ndarray:
    """Return refined parameters over their standard uncertainties, ``(n,)``; infinite if they did not move.

    Args:
        descent: a refinement that has run.
        scattered: scale uncertainties by the goodness of fit instead of taking them as stated.
    """
    point, active = descent.point, descent.active
    theta, lower, upper = (np.asarray(of) for of in (point.theta, descent.course.lower, descent.course.upper))
    inside = active & (theta > lower) & (theta < upper)
    problem = Linearised(*(np.asarray(of) for of in point.problem)).subset(inside)
    gof = goodness(descent) if scattered else 1.0
    esd = np.sqrt(np.maximum(np.diag(problem.covariance()), 0.0)) * gof
    out = np.where(active, 0.0, np.inf)
    out[inside] = theta[inside] / np.where(esd > 0, esd, np.inf)
    return out


def goodness(descent: Descent) -> float:
    """Return the goodness of fit at the current point of a refinement."""
    rows = max(of.stop for of in descent.slices.values())
    return float(np.sqrt(float(descent.point.chi2) / max(rows - int(descent.active.sum()), 1)))


def seen(of: Iterable[Part], ratios: np.ndarray) -> dict[str, float]:
    """Return, for each part, the largest of its amounts over their standard uncertainties."""
    return {part.name: float(ratios[part.amounts].max()) for part in of}
