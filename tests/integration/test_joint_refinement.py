"""Refinement of a structure against tensors that a network predicts: a hidden structure is found again."""

from functools import lru_cache

import numpy as np
import pytest
from small_tensor_models import model

import jaxnmr as jn

# tensors of the untrained network change by about 1 ppm, or 1 MHz, when an atom moves by 1 Å
SIGMA_PPM, SIGMA_HZ = 1e-3, 1e3
REFERENCE = jn.ShiftReference(337.3)
# displacements of the two oxygen atoms, fractions of the cell: 0.1 and 0.15 Å
MOVED = np.array([[0.0, 0.0, 0.0], [0.018, -0.012, 0.01], [-0.02, 0.02, 0.015]])


@lru_cache
def triclinic(moved: float) -> jn.Crystal:
    xyz = np.array([[0.03, 0.11, 0.07], [0.46, 0.08, 0.21], [0.31, 0.55, 0.62]])
    return jn.Crystal.create(
        cell=[3.9, 4.2, 4.8, 79, 98, 74], spacegroup="P 1", species=["Si", "O", "O"], xyz=xyz + moved * MOVED, name="hidden"
    )  # fmt: skip


@lru_cache
def problem():
    """Tensors of the hidden structure without noise, and an objective that starts elsewhere."""
    found = model().predict(triclinic(0.0))
    shift = np.asarray(REFERENCE.shift_tensor(found.shielding_ppm))
    terms = (
        jn.TensorTerm("29Si", shift[:1], sigma=SIGMA_PPM, reference=REFERENCE, name="silicon")
        + jn.TensorTerm(
            "17O", np.linalg.eigvalsh((shift + shift.swapaxes(1, 2))[1:] / 2), sigma=SIGMA_PPM, reference=REFERENCE,
            kind="principal", name="oxygen",
        )
        + jn.TensorTerm("17O", np.asarray(found.quadrupolar_hz("17O")), sigma=SIGMA_HZ, quantity="efg", name="couplings")
        + jn.PeakListTerm("17O", np.trace(shift[1:], axis1=1, axis2=2) / 3, sigma=SIGMA_PPM, reference=REFERENCE)
    )  # fmt: skip
    start = triclinic(1.0)
    objective = jn.Objective(terms, crystal=start, models=model())
    thin = [p.replace(plan=p.model.plan(start, skin=0.06)) for p in objective.sources]
    return objective.replace(sources=tuple(thin)), objective.parameters().free("xyz[O*]")


def furthest(fit) -> float:
    """Distance of the atom that is farthest from its hidden place, Å."""
    (crystal,) = fit.crystals.values()
    apart = (np.asarray(crystal.xyz) - triclinic(0.0).xyz) @ np.asarray(crystal.lattice())
    return float(np.linalg.norm(apart, axis=1).max())


@pytest.mark.parametrize("solver", [jn.GaussNewton(), jn.LevenbergMarquardt()], ids=lambda s: s.name)
def test_both_solvers_find_a_hidden_structure_though_steps_leave_the_listed_neighbours(solver):
    # atoms are 0.14 Å away and neighbours good for 0.03 Å: the first steps are refused, and neighbours listed again on the way
    objective, params = problem()
    assert furthest(objective) > 0.1
    fit = jn.refine(objective, params, solver=solver, suggest=False)
    assert fit.converged
    assert fit.steps[-1].chi2 < 1e-3
    assert furthest(fit) < 1e-5
    assert (fit.esds["xyz"][1:] > 0).all() and (fit.esds["xyz"][0] == 0).all()
    renewed = [step for step in fit.steps if "neighbours of hidden listed again" in step.note]
    assert len(renewed) >= 2
    assert fit.steps[0].damping > solver.initial_damping
