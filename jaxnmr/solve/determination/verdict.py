"""Verdict on a determination, in words (host)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ...refinement import RefinementResult
from ..direct.equivalence import atoms_of
from ..direct.solutions import IMPRECISE, areas_needed
from ..extraction.records import Extraction
from ..handover import profile_factor
from .outcome import Attempt, fits

# ratio of Rwp of a refined structure to that of the Le Bail fit, up to which the structure is credible
_LARGEST_RATIO = 2.0
# largest fraction of the pattern above the background that the right cell may leave unexplained: impurities, a poor
# profile
_MOST_UNEXPLAINED = 0.5


class Refined(NamedTuple):
    """A refinement, with the search for atoms and the Le Bail fit it started from."""

    fit: RefinementResult
    attempt: Attempt
    extraction: Extraction


Status = Literal["solved", "not solved", "interrupted"]


def verdict(
    attempts: Sequence[Attempt], refined: Refined | None, notes: Sequence[str], doubts: Sequence[str], interrupted: bool
) -> tuple[Status, str]:  # fmt: skip
    """Return the status of a determination, and the reason.

    Args:
        attempts: searches for atoms, the best first.
        refined: best refinement.
        notes: remarks of the search; the last one explains why there are no attempts.
        doubts: doubts about the composition raised by the refined structure.
        interrupted: whether the user stopped it.
    """
    best = attempts[0] if attempts else None
    if refined and best:
        status, reason = _of_refinement(best, refined, interrupted)
        if status == "solved" and doubts:
            return "not solved", f"a structure fits, but the composition may be wrong: {doubts[0]}. {reason}"
        return status, reason
    if interrupted:
        found_one = best is not None and fits(best)
        return (
            "interrupted",
            "a structure was found, but not refined" if found_one else "no structure was found that fits",
        )
    if best:
        return "not solved", best.solutions.reason
    return "not solved", "no atoms could be searched for" + (f": {notes[-1]}" if notes else "")


def _of_refinement(best: Attempt, refined: Refined, interrupted: bool) -> tuple[Status, str]:
    found, extraction = refined.fit, refined.extraction
    rwp, reachable, missed = profile_factor(found), extraction.rwp, unexplained(extraction)
    words = f"{found.crystal.group.name}: Rwp {rwp:.2f} %, that of the Le Bail fit {reachable:.2f} %"
    if interrupted and not found.converged:
        return "interrupted", f"a structure was found, but not refined to the end. {words}"
    if missed > _MOST_UNEXPLAINED:
        return (
            "not solved",
            f"the cell does not explain the pattern: its reflections leave {missed:.0%} of what rises above the background. {words}",
        )
    if not found.converged:
        return "not solved", f"the refinement of the structure did not converge. {words}"
    if not rwp <= _LARGEST_RATIO * reachable:
        return "not solved", f"the refined structure does not fit. {words}"
    if best.solutions.solved:
        return "solved", words
    if refined.attempt.solutions.doubt in ("undetermined", "few areas"):
        # the whole pattern, and a higher symmetry, may determine coordinates that the areas leave open
        precision = position_esd(found)
        areas, dof = len(refined.attempt.intensities), sum(s.xyz_basis().shape[1] for s in found.crystal.sites())
        spacing = atoms_of(found.crystal).spacing
        if precision <= IMPRECISE * spacing and areas >= areas_needed(dof):
            return "solved", f"{words}; positions are determined to {precision:.3f} Å"
    return "not solved", f"a structure fits, but {best.solutions.reason}. {words}"


def position_esd(fit: RefinementResult) -> float:
    """Return the root mean square standard uncertainty in Å of all atomic positions of a refined structure."""
    crystal = fit.crystal
    errors = np.asarray(fit.esds["xyz"], dtype=float) if "xyz" in fit.esds else np.zeros(np.shape(crystal.xyz))
    # uncertainties of coordinates are taken as uncorrelated along different axes
    squared = (errors**2) @ np.asarray(crystal.cell, dtype=float)[:3] ** 2
    weight = np.array([site.multiplicity for site in crystal.sites()], dtype=float)
    return float(np.sqrt(squared @ weight / weight.sum()))


def unexplained(fit: Extraction) -> float:
    """Return the fraction of squared deviations from the median that a fit leaves, corrected for noise.

    The background of the fit is not used: with reflections at wrong positions it is arbitrary.
    """
    left = float(np.sum(((fit.observed - fit.calculated) / fit.sigma) ** 2)) - len(fit.observed)
    whole = float(np.sum(((fit.observed - np.median(fit.observed)) / fit.sigma) ** 2)) - len(fit.observed)
    return min(max(left, 0.0) / whole, 1.0) if whole > 0.0 else 1.0
