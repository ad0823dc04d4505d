"""A learned Hamiltonian in an objective: what terms read of it, and its derivatives."""

import dataclasses

import numpy as np
import pytest
from test_hamiltonian_model import TINY, labels

import jaxnmr as jn
from jaxnmr.electronic import HamiltonianModel, HamiltonianSource, Orbitals, electronic_structure
from jaxnmr.errors import ConventionError

BOX = 12.0
SQUARE = np.array([[0.3, 0.2, 0.1], [1.3, 0.1, 0.0], [0.2, 1.4, 0.2], [1.5, 1.3, 0.5]])


def molecule(**changes):
    made = {"cell": [BOX] * 3 + [90.0] * 3, "spacegroup": 1, "species": ["H"] * 4, "xyz": SQUARE / BOX, "u_iso": 0.01}
    return jn.Crystal.create(**{**made, **changes})


@pytest.fixture(scope="module")
def model():
    return HamiltonianModel.initial(dataclasses.replace(TINY, start=""), [labels(6, start="")])


def test_terms_read_what_follows_from_the_matrix_with_exact_derivatives(model):
    orbitals = Orbitals.of("HHHH")
    found = electronic_structure(orbitals, model.hamiltonian("HHHH", SQUARE), SQUARE)
    wanted = float(found.gap) + 0.005

    @jn.term("gap", sigma=0.001)
    def gap(state):
        return state.of("gap")[None] - wanted

    @jn.term("charges", sigma=0.01)
    def charges(state):
        return state.of("lowdin_charges") + state.of("mulliken_charges") + state.of("dipole").sum()

    objective = jn.Objective(gap + 1e-4 * charges, crystal=molecule(), models=HamiltonianSource(model))
    parameters = objective.parameters().free("xyz[H1]")
    found = np.asarray(objective.residuals(parameters))
    assert found[0] == pytest.approx(-5.0, abs=1e-6) and found.shape == (5,)
    exact, step = np.asarray(objective.jacobian(parameters)), 1e-6
    # by the scaled numbers that are refined
    exact = exact * parameters.spec.scale[parameters.spec.free_pivots]
    for k, direction in enumerate(np.eye(3)):
        ends = [np.asarray(objective.residuals(parameters.at(parameters.theta + by * direction))) for by in (step, -step)]  # fmt: skip
        np.testing.assert_allclose(exact[:, k], (ends[0] - ends[1]) / (2.0 * step), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_a_source_is_refused(model):
    delta = HamiltonianModel.initial(TINY, [labels(6)])
    with pytest.raises(ConventionError, match="matrix of 'minao'"):
        HamiltonianSource(delta).for_phase("m", molecule())
    with pytest.raises(ConventionError, match="all its atoms in P1"):
        HamiltonianSource(model).for_phase("m", molecule(spacegroup="P -1"))
    with pytest.raises(ConventionError, match="odd number"):
        HamiltonianSource(model, charge=1).for_phase("m", molecule())
    with pytest.raises(ConventionError, match="does not know O"):
        HamiltonianSource(model).for_phase("m", molecule(species=["O", "H", "H", "O"]))
