"""Which phases and sites are there: of one whose amount the data do not tell from zero, nothing else can be refined (host)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ...objective import Objective, Parameters
from ...refinement.descent import Descent
from ...refinement.linearised import Linearised

# what was held comes back when its amount is known this much better than what is there needs: noise alone brings nothing back
RETURNS = 1.5


class Part(NamedTuple):
    """A phase, or a site of a spectrum, among ``n`` refined numbers.

    Attributes:
        name: of the phase, or ``"nmr: Na1"``.
        amounts: ``(n,)`` which of the numbers say how much of it there is: its scales, its amplitude.
        others: ``(n,)`` which of them say what it is like.
    """

    name: str
    amounts: np.ndarray
    others: np.ndarray


def parts(objective: Objective, params: Parameters) -> tuple[Part, ...]:
    """Phases and sites whose amount is refined, and something else of them."""
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
    # parameters of the only phase have no prefix, those of terms have one
    return name.startswith(prefix) if prefix else "/" not in name


def _of_element(name: str, of: str) -> bool:
    quantity, _, element = name.removesuffix("]").partition("[")
    return "/" in name and (element == of or element.startswith(f"{of}.") or quantity.endswith(f"/stephens_{of}"))


def amounts(descent: Descent, *, scattered: bool = True) -> np.ndarray:
    """``(n,)`` refined numbers where a refinement stands, over their standard uncertainties; infinite where they did not move.

    Args:
        descent: after it has run.
        scattered: take residuals to be as uncertain as they turned out to be, not as they claim.
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
    """Root of chi² over the degrees of freedom where a refinement stands."""
    rows = max(of.stop for of in descent.slices.values())
    return float(np.sqrt(float(descent.point.chi2) / max(rows - int(descent.active.sum()), 1)))


def seen(of: Iterable[Part], ratios: np.ndarray) -> dict[str, float]:
    """By part, the largest of its amounts over their standard uncertainties."""
    return {part.name: float(ratios[part.amounts].max()) for part in of}
