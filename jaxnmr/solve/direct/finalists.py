"""The best structures of a search, minimised to the end, equivalent ones left out (host)."""

import numpy as np

from ...crystal import Crystal
from ...errors import DataError, JaxnmrError
from ...units import b_to_u
from .assignments import Assignments
from .candidates import Chain, minimised
from .directions import determined
from .equivalence import Atoms, atoms_of, same_structure, worst_overlap
from .problem import EXPECTED_B, shortest_distances
from .search import Search
from .solutions import MOST_OVERLAP, Solution

# structures that are minimised to the end and handed back
_FINALISTS = 12
_FINAL_STEPS = 40
# a gentle repulsion at the end keeps what areas do not determine in place
_FINAL_BUMP = 0.05


def finalists(search: Search, assignments: Assignments) -> list[Solution]:
    """The best structures of different assignments, minimised to the end, equivalent ones left out."""
    problem, chains = search.problem, search.ranked()[:_FINALISTS]
    # other structures of the same assignment, too
    chains += [chain for chain in search.chains[:_FINALISTS] if chain is not search.best[chain.candidate]]
    candidates = [search.pool[chain.candidate] for chain in chains]
    made = minimised(problem, problem.measured, candidates, [c.u for c in chains], _FINAL_BUMP, _FINAL_STEPS)
    final = [Chain(chain.candidate, *one) for chain, one in zip(chains, made, strict=True)]
    found: list[Solution] = []
    known: list[Atoms] = []
    least = shortest_distances(problem.elements)
    for chain in sorted(final, key=search.badness):
        crystal = _crystal(search, chain)
        if crystal is None:
            continue
        atoms = atoms_of(crystal, order=problem.elements)
        if any(same_structure(atoms, other) for other in known):
            continue
        known.append(atoms)
        candidate = search.pool[chain.candidate]
        overlap = worst_overlap(atoms, least)
        verdict = "the best" if not found else _compared(chain.r, found[0].r_factor)
        if overlap > MOST_OVERLAP:
            verdict += f", atoms {overlap:.1f} Å too close"
        precision, undetermined = (float("nan"), ()) if found else determined(problem, candidate, chain.u)
        found.append(
            Solution(
                crystal=crystal,
                r_factor=chain.r,
                dof=candidate.dof,
                contents=assignments.contents(candidate.assignment),
                assignment=assignments.words(candidate.assignment),
                overlap=overlap,
                precision=precision,
                undetermined=undetermined,
                verdict=verdict,
            )
        )
    if not found:
        raise DataError("no structure was found in which atoms keep apart: check cell, space group and contents")
    return found


def _compared(r: float, best: float) -> str:
    # a single area is met exactly
    return f"R is {r / best:.2f} times that of the best" if best > 1e-6 else f"R is {r:.3f}, that of the best 0"


def _crystal(search: Search, chain: Chain) -> Crystal | None:
    candidate, problem = search.pool[chain.candidate], search.problem
    model, _, _ = problem.model(candidate.assignment)
    x = np.asarray(model.matrix) @ chain.u + model.offset
    b = max(EXPECTED_B + chain.u[-1], 0.05)
    try:
        return Crystal.create(
            cell=problem.intensities.cell, spacegroup=problem.intensities.group, xyz=x[model.first] % 1.0, u_iso=b_to_u(b),
            species=[problem.elements[e] for e, _ in candidate.where], name=problem.intensities.name, snap_distance=1e-3,
        )  # fmt: skip
    except JaxnmrError:
        # atoms on top of each other
        return None
