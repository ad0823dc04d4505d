"""Final minimisation and ranking of the best structures of a search, without equivalent ones (host)."""

import numpy as np

from ..._words import counted
from ...crystal import Crystal, volume
from ...errors import DataError, JaxnmrError
from ...units import b_to_u
from ..records import Intensities
from .assignments import Assignments
from .candidates import Chain, minimised
from .contents import Contents, expected_volume, indistinguishable
from .directions import determined
from .equivalence import Atoms, atoms_of, same_structure, worst_overlap
from .problem import EXPECTED_B, Problem, shortest_distances
from .search import Search
from .solutions import LEAST_PER_NUMBER, MOST_OVERLAP, Solution, Solutions, judged
from .textured import texture_of_finalists

# number of structures that are fully minimised and returned
_FINALISTS = 12
_FINAL_STEPS = 40
# a weak repulsion at the end keeps coordinates that the areas do not determine in place
_FINAL_BUMP = 0.05


# standard deviations by which the volume may differ from that of known crystals without a remark
_UNUSUAL = 2.0


def solutions_of(search: Search, assignments: Assignments, possible: tuple[Contents, ...], seconds: float) -> Solutions:
    """Rank and assess the structures found by a search.

    Args:
        search: finished search; ``assignments`` those it searched.
        possible: alternatives for the contents of the cell.
        seconds: CPU time spent.
    """
    ranking = _finalists(search, assignments)
    if (texture := texture_of_finalists(search, ranking)) is not None:
        ranking = _finalists(search, assignments)
    problem, first = search.problem, ranking[0]
    intensities = problem.intensities
    ranked = [(s.r_factor, s.dof, s.overlap) for s in ranking]
    spacing = atoms_of(first.crystal).spacing
    doubt, reason = judged(
        ranked, problem.count, first.precision / spacing, bool(first.undetermined), search.interrupted
    )
    # neutron scattering lengths do not follow the number of electrons
    alike = indistinguishable(assignments.elements) if intensities.instrument.radiation == "xray" else ()
    return Solutions(
        solutions=tuple(ranking), solved=not doubt, reason=reason, doubt=doubt, possible=possible, indistinguishable=alike,
        tried=len(search.pool), total=len(search.pool) if search.exhausted else None, history=np.array(search.history),
        hops=search.hops, seconds=seconds, interrupted=search.interrupted,
        notes=(*([str(texture)] if texture else []), *_notes(intensities, possible, problem, first, alike)), texture=texture,
    )  # fmt: skip


def _notes(
    intensities: Intensities, possible: tuple[Contents, ...], problem: Problem, first: Solution, alike: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:  # fmt: skip
    notes = []
    inside = next(one for one in possible if one.atoms == first.contents)
    told = "  ".join(f"{n} {element}" for element, n in first.contents.items())
    if np.isfinite(inside.density):
        others = [one for one in possible if one is not inside]
        notes.append(
            f"In the cell: {told}; {inside.density:.2f} g/cm³, {inside.volume_per_atom:.1f} Å³ per atom that is no hydrogen"
            + (f"; {len(others)} other contents were tried, too" if others else "")
        )
    if inside.hydrogen:
        notes.append(f"{counted(inside.hydrogen, 'atom')} of hydrogen in the cell left out")
    notes += [f"X-rays hardly tell {a} from {b}: which is where is not decided" for a, b in alike]
    expected, spread = expected_volume(first.contents | ({"H": inside.hydrogen} if inside.hydrogen else {}))
    space = float(volume(np.asarray(intensities.cell, dtype=float)))
    if abs(np.log(space / expected)) > _UNUSUAL * spread:
        notes.append(
            f"these atoms take up {expected:.0f} Å³ in known crystals, and the cell has {space:.0f}: composition, contents or cell may be wrong"
        )
    if problem.count < len(intensities):
        notes.append(f"the {problem.count} areas at the lowest angles of {len(intensities)} were used")
    if problem.count < LEAST_PER_NUMBER * first.dof:
        notes.append(f"{counted(problem.count, 'area')} for {counted(first.dof, 'coordinate')}: underdetermined")
    notes += [f"not determined: {direction}" for direction in first.undetermined]
    return tuple(notes)


def _finalists(search: Search, assignments: Assignments) -> list[Solution]:
    """Fully minimise the best structures of different assignments, and drop equivalent ones."""
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
        # atoms coincide
        return None
