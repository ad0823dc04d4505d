"""Residuals of tensors: invariant, whitened as stated, finite where principal values coincide. States are made by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tensor_models import quartz

import jaxnmr as jn
from jaxnmr import testing
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError
from jaxnmr.models import Prediction
from jaxnmr.nmr import quadrupolar_from_efg, quadrupolar_parameters
from jaxnmr.objective import HostState, PhaseSource, Provision, TensorRead

REFERENCE = jn.ShiftReference(300.0, -0.95)


PROVISIONS = (Provision("quartz", "shielding", (True, True)), Provision("quartz", "efg", (False, True)))


def general(seed: int, count: int = 2, size: float = 20.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=(count, 3, 3))


def turned(tensors: np.ndarray, seed: int = 3) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return np.einsum("ij,njk,lk->nil", q, tensors, q)


def symmetric(tensors: np.ndarray) -> np.ndarray:
    return 0.5 * (tensors + tensors.swapaxes(-1, -2))


def traceless(tensors: np.ndarray) -> np.ndarray:
    s = symmetric(tensors)
    return s - np.trace(s, axis1=-2, axis2=-1)[:, None, None] / 3 * np.eye(3)


def state_of(term, *, shielding=None, efg=None, **values) -> jn.State:
    """Quartz with these tensors of Si1 and O1, and a term's parameters at their start but for some."""
    tensors = {
        "shielding": general(0) if shielding is None else shielding,
        "efg": traceless(general(1, size=0.3)) if efg is None else efg,
    }
    crystals = {"quartz": quartz()}
    start = {name: jnp.asarray(q.value) for name, q in term.quantities(crystals).items()} | values
    return jn.State(
        crystals=crystals,
        values={f"{term.name}/{name}": value for name, value in start.items()},
        provided={"quartz": {k: jnp.asarray(v) for k, v in tensors.items()}},
        provisions=PROVISIONS,
    )


class Known(PhaseSource):
    """A source of one prediction, whatever the structure is."""

    found: Any
    name, phase, provisions = "known", "quartz", PROVISIONS

    def prediction(self, crystal):
        return self.found


def host(term, found=None) -> HostState:
    """The state for planning, with what a model says of its uncertainty."""
    return HostState(state_of(term), () if found is None else (Known(found=found),))


def bound(term, found=None):
    """A term at known sites; what is free does not matter to tensors."""
    return term.bind(host(term, found), None)


def unbound(observed, **arguments) -> jn.TensorTerm:
    return jn.TensorTerm("17O", observed, **({"sigma": 1.0, "reference": REFERENCE} | arguments))


def oxygen(observed, **arguments):
    return bound(unbound(observed, **arguments))


def chi2(term, state) -> float:
    return float(jnp.sum(term.residuals(state) ** 2))


def test_chi_squared_of_a_tensor_is_its_squared_norm_over_the_variance_in_any_frame():
    observed, shielding = general(5, 1), general(0)
    difference = symmetric(np.asarray(REFERENCE.shift_tensor(shielding[1:])) - observed)
    expected = np.sum(difference**2) / 2.5**2
    term = oxygen(observed, sigma=2.5)
    assert term.residuals(state_of(term)).shape == (6,)
    assert chi2(term, state_of(term, shielding=shielding)) == pytest.approx(expected)
    other = oxygen(turned(observed), sigma=[2.5])
    assert chi2(other, state_of(other, shielding=turned(shielding))) == pytest.approx(expected)


def test_elements_with_uncertainties_of_their_own_count_once_each():
    observed, sigma = general(5, 1), np.array([[[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]])
    term = oxygen(observed, sigma=sigma)
    difference = symmetric(np.asarray(REFERENCE.shift_tensor(general(0)[1:])) - observed)
    upper = np.triu_indices(3)
    expected = np.sum((difference[0][upper] / sigma[0][upper]) ** 2)
    assert chi2(term, state_of(term)) == pytest.approx(expected)


def test_reference_and_slope_are_parameters():
    term = oxygen(general(5, 1))
    state = state_of(term, reference=jnp.array(10.0), slope=jnp.array(-1.0))
    plain = oxygen(general(5, 1), reference=jn.ShiftReference(10.0))
    np.testing.assert_allclose(term.residuals(state), plain.residuals(state_of(plain)))
    objective = jn.Objective(term, crystal=quartz())
    assert {"tensors/reference", "tensors/slope"} <= set(objective.parameters().labels)
    assert objective.parameters()["tensors/slope"] == -0.95 and objective.parameters().n_free == 0


def test_principal_values_are_compared_in_descending_order():
    observed, shielding = np.array([[10.0, -40.0, 25.0]]), general(0)
    term = oxygen(observed, sigma=np.array([[1.0, 2.0, 4.0]]), kind="principal")
    values = np.sort(np.linalg.eigvalsh(symmetric(np.asarray(REFERENCE.shift_tensor(shielding))[1])))[::-1]
    state = state_of(term, shielding=shielding)
    np.testing.assert_allclose(term.residuals(state), (values - [25.0, 10.0, -40.0]) / [4.0, 1.0, 2.0])
    np.testing.assert_allclose(term.residuals(state), term.residuals(state_of(term, shielding=turned(shielding))))


def test_coupling_and_asymmetry_are_those_of_the_quadrupolar_tensor_whatever_its_sign():
    efg = traceless(general(1, size=0.3))
    for sign in (1.0, -1.0):
        expected = quadrupolar_parameters(quadrupolar_from_efg(sign * efg[1:], "17O"))
        term = bound(jn.TensorTerm("17O", [[1e6, 0.2]], sigma=(1e4, 0.1), quantity="efg", kind="cq_eta"))
        found = term.calculated(state_of(term, efg=sign * efg))
        np.testing.assert_allclose(found[0], [abs(expected.cq_hz[0]), expected.eta[0]], rtol=1e-10)
        np.testing.assert_allclose(
            term.residuals(state_of(term, efg=sign * efg)), (found[0] - np.array([1e6, 0.2])) / np.array([1e4, 0.1])
        )


def test_a_field_gradient_has_five_residuals_and_the_norm_of_the_tensor():
    efg, observed = traceless(general(1, size=0.3)), 1e6 * traceless(general(7, 1))
    term = bound(jn.TensorTerm("17O", observed, sigma=3e4, quantity="efg", slope=0.9, name="q"))
    state = state_of(term, efg=efg)
    difference = 0.9 * np.asarray(quadrupolar_from_efg(efg[1:], "17O")) - observed
    assert term.residuals(state).shape == (5,)
    assert chi2(term, state) == pytest.approx(np.sum(difference**2) / 3e4**2)
    elementwise = jn.TensorTerm(
        "17O",
        observed,
        sigma=np.full((1, 3, 3), 3e4 / np.sqrt(2)) * (1 + (np.sqrt(2) - 1) * np.eye(3)),
        quantity="efg",
        slope=0.9,
    )
    assert chi2(bound(elementwise), state_of(elementwise, efg=efg)) == pytest.approx(chi2(term, state))


SPECIAL = {
    "axial": np.diag([5.0, 5.0, 50.0]),
    "axial, negative": np.diag([50.0, 50.0, -5.0]),
    "isotropic": 20.0 * np.eye(3),
    "zero": np.zeros((3, 3)),
}


@pytest.mark.parametrize("tensor", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("kind", ["tensor", "principal", "cq_eta"])
def test_derivatives_are_finite_and_true_where_principal_values_coincide(tensor, kind):
    # in axes that no algorithm prefers; along a change that keeps the symmetry they are those of central differences
    both = turned(np.stack([tensor, tensor]))
    if kind == "cq_eta":
        both = traceless(both)
        term = bound(jn.TensorTerm("17O", [[1e6, 0.2]], sigma=(1e6, 0.1), quantity="efg", kind=kind))
        at = lambda t: state_of(term, efg=t)
    else:
        term = oxygen(general(5, 1) if kind == "tensor" else general(5, 1)[:, 0], kind=kind)
        at = lambda t: state_of(term, shielding=t)
    residuals = lambda t: term.residuals(at(t))
    jacobian = np.asarray(jax.jacfwd(residuals)(jnp.asarray(both)))
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(jacobian, jax.jacrev(residuals)(jnp.asarray(both)), rtol=1e-9, atol=1e-12)
    along = both if np.abs(both).max() > 0 else np.zeros_like(both)
    h = 1e-6
    slope = (np.asarray(residuals(both + h * along)) - np.asarray(residuals(both - h * along))) / (2 * h)
    np.testing.assert_allclose(np.einsum("rsij,sij->r", jacobian, along), slope, rtol=1e-6, atol=1e-7)


def test_derivatives_agree_with_central_differences_in_general_positions():
    for term in (
        oxygen(general(5, 1), sigma=2.0),
        oxygen(general(5, 1)[:, 0], kind="principal"),
        bound(jn.TensorTerm("17O", [[1e6, 0.2]], sigma=(1e5, 0.1), quantity="efg", kind="cq_eta")),
    ):
        testing.assert_gradients(term, state_of(term))


def prediction(**changes) -> Prediction:
    """Uncertainties: 2 ppm and 3 ppm of components of l = 0 and 2, 0.01 atomic units of a field gradient."""
    sites = {
        "tensors": {"shielding": general(0), "efg": traceless(general(1, size=0.3))},
        "sigmas": {"shielding": np.array([[1.0, 9.0, 1.0], [2.0, 9.0, 3.0]]), "efg": np.array([[np.nan], [0.01]])},
        "factors": {"efg/vzz": np.full((2, 5), 1.0), "efg/eta_q": np.full((2, 5), 2.0)},
    }
    return Prediction(
        **(sites | changes), lattice=np.asarray(quartz().lattice()), positions=np.zeros((9, 3)), site=np.zeros(9, int),
        turn=np.zeros((9, 3, 3)), multiplicity=np.array([3, 6]), labels=("Si1", "O1"), elements=("Si", "O"), references=(),
    )  # fmt: skip


def test_the_uncertainty_of_the_model_adds_to_the_variance_of_isotropic_and_anisotropic_parts():
    observed = np.asarray(REFERENCE.shift_tensor(general(0)[1:]))
    of_model = {"sigma": 4.0, "sigma_model": "model"}
    for kind, off in (("tensor", np.eye(3)), ("principal", np.ones(3))):
        data = observed if kind == "tensor" else np.linalg.eigvalsh(symmetric(observed))
        term = bound(unbound(data + 5.0 * off, kind=kind, **of_model), prediction())
        # 5 ppm in all directions: sqrt3 times 5 along the isotropic component
        assert chi2(term, state_of(term)) == pytest.approx(3 * 5.0**2 / (4.0**2 + (0.95 * 2.0) ** 2))
    stretch = np.diag([-3.0, -3.0, 6.0])
    term = bound(unbound(observed + stretch, **of_model), prediction())
    assert chi2(term, state_of(term)) == pytest.approx(np.sum(stretch**2) / (4.0**2 + (0.95 * 3.0) ** 2))


def test_the_uncertainty_of_couplings_is_that_of_the_prediction():
    term = jn.TensorTerm("17O", [[1e6, 0.2]], sigma=(1e5, 0.1), quantity="efg", kind="cq_eta", sigma_model="model")
    found = prediction()
    term = bound(term, found)
    calculated = np.asarray(term.calculated(state_of(term)))[0]
    sigma = np.array([found.sigma("cq", "17O")[0], found.sigma("eta_q", "17O")[0]])
    expected = np.sum((calculated - [1e6, 0.2]) ** 2 / (np.array([1e5, 0.1]) ** 2 + sigma**2))
    assert chi2(term, state_of(term)) == pytest.approx(expected)
    given = jn.TensorTerm(
        "17O", [[1e6, 0.2]], sigma=(1e5, 0.1), quantity="efg", kind="cq_eta", sigma_model=tuple(sigma)
    )
    assert chi2(bound(given), state_of(given)) == pytest.approx(expected)


def test_the_uncertainty_of_the_model_is_renewed_when_it_has_changed_enough_to_matter():
    term = unbound(general(5, 1), sigma_model="model")
    with pytest.raises(ParameterError, match=r"the uncertainty of 'shielding' is known where a term is bound"):
        term.bind(host(term), None)
    first = bound(term, prediction())
    slightly = prediction(sigmas={"shielding": np.array([[1.0, 9.0, 1.0], [2.0, 9.0, 3.05]])})
    assert first.replan(host(term, slightly)) == (first, "")
    assert chi2(bound(first, slightly), state_of(term)) < chi2(first, state_of(term))
    much = prediction(sigmas={"shielding": np.array([[1.0, 9.0, 1.0], [2.0, 9.0, 6.0]])})
    assert first.replan(host(term, much))[1] == "uncertainty of the model has changed"
    unknown = prediction(sigmas={"shielding": np.array([[1.0, 1.0, 1.0], [np.nan] * 3])})
    with pytest.raises(ParameterError, match="uncertainty of 17O is not calibrated"):
        bound(term, unknown)


def test_a_number_as_the_uncertainty_of_the_model_adds_to_the_variance():
    term, wide = oxygen(general(5, 1), sigma=3.0, sigma_model=4.0), oxygen(general(5, 1), sigma=5.0)
    np.testing.assert_allclose(term.residuals(state_of(term)), wide.residuals(state_of(wide)))


def test_what_is_read_is_declared():
    assert oxygen(general(5, 1)).reads == (TensorRead("quartz", "shielding", (1,), "symmetric"),)


WRONG = {
    "tensor for two": (lambda: jn.Objective(unbound(general(5)), crystal=quartz()), ShapeError, "2 tensors for 1 17O sites of quartz"),
    "label": (lambda: jn.Objective(unbound(general(5, 1), sites=["O7"]), crystal=quartz()), ParameterError, "O7 is not a 17O site of quartz; these are O1"),
    "another element": (lambda: jn.Objective(unbound(general(5, 1), sites=["Si1"]), crystal=quartz()), ParameterError, "Si1 is not a 17O site"),
    "phase": (lambda: jn.Objective(unbound(general(5, 1), phase="x"), crystal=quartz()), ParameterError, "there is no phase 'x'"),
    "shape": (lambda: unbound(np.zeros((3, 3))), ShapeError, r"shape \(3, 3\); expected \(sites, 3, 3\)"),
    "labels": (lambda: unbound(general(5), sites=["O1"]), ShapeError, "2 tensors for the sites O1"),
    "reference": (lambda: unbound(general(5, 1), reference=None), ConventionError, "shifts need a reference"),
    "kind": (lambda: unbound(general(5, 1), kind="cq_eta"), ConventionError, "kind 'cq_eta' of quantity 'shielding'; there are"),
    "moment": (lambda: jn.TensorTerm("29Si", general(5, 1), sigma=1.0, quantity="efg"), ConventionError, "no known quadrupole moment"),
    "nan": (lambda: unbound(np.full((1, 3, 3), np.nan)), DataError, "tensor 1 is not finite"),
    "sigma": (lambda: unbound(general(5, 1), sigma=0.0), DataError, "must be positive"),
    "sigmas": (lambda: unbound(general(5, 1), sigma=[1.0, 2.0]), ShapeError, r"sigma of 'tensors' has the shape \(2,\)"),
    "eta": (lambda: jn.TensorTerm("17O", [[1e6, 1.2]], sigma=(1.0, 1.0), quantity="efg", kind="cq_eta"), DataError, "eta between 0 and 1"),
    "C_Q in MHz": (lambda: jn.TensorTerm("17O", [[5.19, 0.2]], sigma=(1e4, 0.1), quantity="efg", kind="cq_eta"), DataError, "C_Q of 5.19 Hz; expected 0, or 100 Hz to"),
    "C_Q too large": (lambda: jn.TensorTerm("17O", [[5.19e12, 0.2]], sigma=(1e4, 0.1), quantity="efg", kind="cq_eta"), DataError, "is it in another unit"),
    "model": (lambda: unbound(general(5, 1), sigma_model="good"), ConventionError, "expected numbers or 'model'"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", WRONG.values(), ids=WRONG)
def test_what_cannot_be_compared_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
