"""The zeolite study: which couplings count as measured, names of sites in both descriptions, and linear sums."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

# idealised frameworks have no displacements
pytestmark = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore:.*no displacement of:UserWarning")]
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch, data):
    """A realisation with couplings that are exact, and nothing else measured; and the module of the study."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import zeolite
    import zeolite_data
    import zeolite_problem

    import jaxnmr as jn

    framework = zeolite.framework(data)
    hidden = zeolite.distorted(framework, 2, free=("xyz",))
    atoms = zeolite_data.linkages(framework)
    term = jn.CouplingTerm.across(
        hidden, zeolite_data.BRIDGES, np.zeros(len(atoms)), sigma=1.0, law=zeolite_data.LAW,
        calibration=zeolite_data.CALIBRATION, atoms=atoms,
    )  # fmt: skip
    objective = jn.Objective(term, crystal=hidden)
    measured = SimpleNamespace(
        couplings=np.asarray(objective.residuals(objective.parameters())), sigma_couplings=0.5, atoms=atoms, shifts=[]
    )
    return zeolite_problem.Realisation(framework, hidden, measured, (), sigma_model=False), zeolite_problem


def test_couplings_have_the_stated_size_and_slope(study):
    import zeolite_data

    from jaxnmr.crystal import angles, plan_triplets

    of, _ = study
    # 14 linkages, one of which joins two Si that symmetry makes equal
    assert len(of.measured.atoms) == 13 and "O11" not in [ends[1] for ends in of.measured.atoms]
    angle = angles(of.hidden, plan_triplets(of.hidden, of.measured.atoms))
    law, calibration = zeolite_data.LAW, zeolite_data.CALIBRATION
    at = lambda degrees: calibration.coupling(law(SimpleNamespace(cosine=np.cos(np.deg2rad(degrees)))))
    np.testing.assert_allclose(of.measured.couplings, at(angle), atol=1e-10)
    np.testing.assert_allclose(at(np.array([135.0, 180.0])), [6.2, 23.7], atol=0.1)
    slope = (at(145.001) - at(144.999)) / 0.002
    assert slope == pytest.approx(0.60, abs=0.005)


def test_names_of_sites_follow_the_data_in_either_description(study):
    of, problem = study
    here, other = of.truths
    assert problem.zeolite.displacements(other, here).max() > 0.1
    for start in (here, other):
        assert of.assigned(start, ("xrd",)) is start
        np.testing.assert_allclose(of.assigned(start, ("xrd", "couplings")).xyz, here.xyz, atol=1e-12)


def test_information_of_terms_adds_up_to_the_covariance_of_a_refinement(study):
    of, problem = study
    terms = ("couplings", "distances")
    objective, params = of.objective(terms, of.hidden)
    assert params.n_free == 63 and list(objective.row_slices(params)) == list(terms)
    jacobian = np.asarray(objective.jacobian(params))
    # by hand: Å along axes of the lattice
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    lattice = np.asarray(of.hidden.lattice())
    frame = np.kron(np.eye(21), lattice.T)
    square = np.diag(frame @ covariance @ frame.T).reshape(21, 3).sum(axis=1)
    theta = jacobian * params.spec.scale[params.spec.free_pivots]
    transform = params.spec.transform
    found = problem.expected(of.hidden, params, transform @ np.linalg.inv(theta.T @ theta) @ transform.T)
    silicon = np.array(of.hidden.elements) == "Si"
    assert found["Si"] == pytest.approx(np.sqrt(square[silicon].mean()), rel=1e-6)
    assert found["O"] == pytest.approx(np.sqrt(square[~silicon].mean()), rel=1e-6)
