"""What predictions of all sites have in common, integrated out. Crystals and states are made by hand."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import jaxnmr as jn
from jaxnmr import testing
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError
from jaxnmr.objective import HostState, PhaseSource, Provision
from jaxnmr.terms.common_error import common_errors, decorrelated

SITES, REFERENCE = 4, jn.ShiftReference(100.0, -0.9)
PROVISIONS = tuple(Provision("row", head, (True,) * SITES) for head in ("shielding", "efg"))


def crystal():
    """Oxygen atoms in a row."""
    return jn.Crystal.create(
        cell=[4.0 * SITES, 5, 6, 90, 90, 90], spacegroup="P 1", species=["O"] * SITES,
        xyz=[[k / SITES, 0.0, 0.0] for k in range(SITES)], name="row",
    )  # fmt: skip


def tensors(seed, size=20.0):
    made = size * np.random.default_rng(seed).normal(size=(SITES, 3, 3))
    return made + made.swapaxes(1, 2)


def traceless(of):
    return of - np.trace(of, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)


PROVIDED = {"shielding": tensors(0) + 100.0 * np.eye(3), "efg": traceless(tensors(1, 0.3))}


def state_of(term, **values):
    start = {name: jnp.asarray(q.value) for name, q in term.quantities({"row": crystal()}).items()} | values
    return jn.State(
        crystals={"row": crystal()}, values={f"{term.name}/{name}": value for name, value in start.items()},
        provided={"row": {name: jnp.asarray(of) for name, of in PROVIDED.items()}}, provisions=PROVISIONS,
    )  # fmt: skip


class Told:
    """Stands for a prediction: what a model says of its uncertainty."""

    def __init__(self, own=(2.0, 3.0), common=(4.0, 0.05)):
        self.own, self.common = (np.broadcast_to(of, (SITES, 2)) for of in (own, common))
        self.tensors = {name: jnp.asarray(of) for name, of in PROVIDED.items()}

    def component_sigma(self, name):
        return self.own if name == "shielding" else self.own[:, 1:]

    def common_sigma(self, name):
        return self.common if name == "shielding" else self.common[:, 1:]

    def sigma(self, quantity, nucleus, *, part, q_barn=None):
        unit = {"iso": 1.0, "cq": 1e5, "eta_q": 0.02}[quantity]
        return unit * (self.own if part == "own" else self.common)[:, 0]


class Source(PhaseSource):
    told: Told
    name, phase, provisions = "told", "row", PROVISIONS

    def prediction(self, crystal):
        return self.told


def bound(term, told=None):
    return term.bind(HostState(state_of(term), () if told is None else (Source(told=told),)), None)


def peaks(shifts, **options):
    return jn.PeakListTerm("17O", shifts, **({"sigma": 0.5, "reference": REFERENCE} | options))


def principal(**options):
    data = np.linalg.eigvalsh(REFERENCE.shift_tensor(PROVIDED["shielding"]) + tensors(4, 2.0))
    return jn.TensorTerm("17O", data, kind="principal", **({"sigma": 0.5, "reference": REFERENCE} | options))


def whole(**options):
    data = np.asarray(REFERENCE.shift_tensor(PROVIDED["shielding"])) + tensors(4, 2.0)
    return jn.TensorTerm("17O", data, **({"sigma": 0.5, "reference": REFERENCE} | options))


def couplings(kind="cq_eta", **options):
    data = [[5e6, 0.3], [4e6, 0.1], [6e6, 0.9], [5.5e6, 0.5]] if kind == "cq_eta" else 1e6 * traceless(tensors(7, 2.0))
    sigma = [1e5, 0.05] if kind == "cq_eta" else 1e5
    return jn.TensorTerm("17O", data, quantity="efg", kind=kind, **({"sigma": sigma} | options))


GIVEN = {
    "peaks": lambda **options: peaks([95.0, 80.0, 60.0, 40.0], assignment=["O1", "O3", "O4", "O2"], **options),
    "principal values": principal, "tensors": whole, "couplings": couplings,
    "gradients": lambda **options: couplings("tensor", **options),
}  # fmt: skip
COMMON = {"peaks": 3.0, "principal values": [3.0, 0.1], "tensors": [3.0, 0.1], "couplings": 0.1, "gradients": 0.1}


def with_shift(name, term, errors):
    """Residuals, whitened for own errors alone, of calculated values changed by common errors.

    The constant moves isotropic shifts, the factor multiplies what is left of tensors.
    """
    plain = GIVEN[name](sigma_common=None)
    constant, factor = (errors[0], 0.0) if name == "peaks" else errors if len(errors) == 2 else (0.0, errors[0])
    calculated = np.asarray(term.calculated(state_of(term)))
    own = bound(plain)
    if name == "peaks":
        return (calculated + constant - np.asarray(own.shifts)[np.asarray(own.peak)]) / 0.5
    changed = calculated.copy()
    if name in ("principal values", "tensors"):
        mean = calculated[:, :3].mean(axis=1, keepdims=True)
        changed += factor * (calculated - np.where(np.arange(calculated.shape[1]) < 3, mean, 0.0))
        changed[:, :3] += constant
    elif name == "couplings":
        changed[:, 0] *= 1.0 + factor
    else:
        changed *= 1.0 + factor
    return np.einsum("skl,sl->sk", np.asarray(own.whitening), changed - np.asarray(own.observed)).ravel()


@pytest.mark.parametrize("name", GIVEN)
def test_chi_squared_is_the_least_over_common_errors_that_pay_for_their_size(name):
    sigmas = np.atleast_1d(COMMON[name])
    term = bound(GIVEN[name](sigma_common=COMMON[name]))
    state = state_of(term)
    found = np.asarray(term.residuals(state))
    total = lambda x: np.sum(with_shift(name, term, x * sigmas) ** 2) + np.sum(x**2)
    best = minimize(total, np.zeros(len(sigmas)), method="BFGS", options={"gtol": 1e-6})
    assert found @ found == pytest.approx(best.fun, rel=1e-6)
    assert found @ found < total(np.zeros(len(sigmas))) - 1.0
    # and the report shows what the common errors were found to be
    facts = term.evidence(state).facts["common_errors"]
    shown = np.array([of["estimate"] for of in facts])
    np.testing.assert_allclose(shown, best.x * sigmas, atol=1e-4 * sigmas.max())
    assert all(0 < of["sigma_of_estimate"] < of["sigma"] for of in facts)
    rows = term.evidence(state).rows
    assert all(
        row.sigma > row.sigma_observed for row in rows if row.quantity not in ("η",) and abs(row.calculated) > 1e-3
    )
    testing.assert_gradients(term, state)


def test_whitening_is_that_of_the_dense_covariance():
    rng = np.random.default_rng(0)
    residuals, common = rng.normal(size=7), rng.normal(size=(2, 7))
    covariance = np.eye(7) + common.T @ common
    found = np.asarray(decorrelated(residuals, common))
    assert found @ found == pytest.approx(residuals @ np.linalg.solve(covariance, residuals))
    matrix = np.stack([decorrelated(row, common) for row in np.eye(7)], axis=1)
    np.testing.assert_allclose(matrix @ covariance @ matrix.T, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(decorrelated(residuals, 0 * common), residuals)
    # posterior of a linear model with unit priors
    of = common_errors(residuals, common)
    np.testing.assert_allclose(of.values, np.linalg.lstsq(
        np.vstack([common.T, np.eye(2)]), -np.append(residuals, [0.0, 0.0]), rcond=None)[0])  # fmt: skip


@pytest.mark.parametrize("name", ["peaks", "principal values"])
def test_where_the_reference_is_free_an_error_of_all_sites_costs_nothing(name):
    def information(common, free):
        """Of the isotropic shieldings of the sites, with the reference free or not."""
        term = bound(GIVEN[name](sigma_common=common))
        shifted = lambda x: term.residuals(state_of(term, reference=REFERENCE.reference_ppm + x))
        base = np.asarray(shifted(0.0))
        reference = (np.asarray(shifted(1e-3)) - base) / 1e-3
        rows = []
        for k in range(SITES):
            moved = {n: jnp.asarray(t) for n, t in PROVIDED.items()}
            moved["shielding"] = moved["shielding"].at[k].add(1e-3 * np.eye(3))
            rows.append((np.asarray(term.residuals(state_of(term).replace(provided={"row": moved}))) - base) / 1e-3)
        jacobian = np.array(rows).T
        if free:
            left = np.eye(len(base)) - np.outer(reference, reference) / (reference @ reference)
            return jacobian.T @ left @ jacobian, base @ left @ base
        return jacobian.T @ jacobian, base @ base

    none, alone = information(0.0, True)
    for common in (1.0, 30.0):
        found, chi2 = information(common, True)
        np.testing.assert_allclose(found, none, atol=1e-6 * none.max())
        assert chi2 == pytest.approx(alone, rel=1e-6)
    # held, it does: what all sites have in common is then known to no better than the model is
    together = np.ones(SITES)
    held, sure = (together @ information(common, False)[0] @ together for common in (30.0, 0.0))
    slope = REFERENCE.slope
    assert held == pytest.approx(slope**2 / (30.0**2 + slope**2 / sure), rel=1e-4)
    assert sure > 1000 * held


def test_peaks_are_assigned_to_what_is_best_together_with_the_common_error():
    rng = np.random.default_rng(2)
    for _ in range(20):
        positions, common = rng.normal(20.0, 4.0, 3), 4.0
        term = bound(peaks(positions, sigma=0.3, sigma_common=common))
        shifts = np.asarray(term.calculated(state_of(term)))
        positions = rng.choice(shifts, 3, replace=False) + rng.normal(3.0, 0.3, 3)
        term = bound(peaks(positions, sigma=0.3, sigma_common=common))
        weight = np.linalg.inv(0.3**2 * np.eye(SITES) + common**2)
        best = min(
            apart @ weight @ apart
            for chosen in product(range(3), repeat=SITES) if len(set(chosen)) == 3
            for apart in [shifts - positions[list(chosen)]]
        )  # fmt: skip
        assert float(jnp.sum(term.residuals(state_of(term)) ** 2)) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("name", ["peaks", "principal values", "tensors", "couplings", "gradients"])
def test_a_model_tells_both_parts_of_its_uncertainty(name):
    told = Told()
    term = bound(GIVEN[name](sigma_model="model"), told)
    state = state_of(term)
    slope = 1.0 if name in ("couplings", "gradients") else 0.9
    if name == "peaks":
        given = {"sigma_model": slope * 2.0, "sigma_common": slope * 4.0}
    elif name == "couplings":
        given = {"sigma_model": [2e5, 0.04], "sigma_common": 0.05}
    elif name == "gradients":
        given = {"sigma_model": abs(term.hz_per_au) * 3.0, "sigma_common": 0.05}
    else:
        # own errors of l = 0 and of l = 2 are of one size here
        told = Told(own=(3.0, 3.0))
        term = bound(GIVEN[name](sigma_model="model"), told)
        given = {"sigma_model": slope * 3.0, "sigma_common": [slope * 4.0 / np.sqrt(3.0), 0.05]}
    np.testing.assert_allclose(term.residuals(state), bound(GIVEN[name](**given)).residuals(state), rtol=1e-9)
    # what is known of the sample may be said instead
    without = bound(GIVEN[name](sigma_model="model", sigma_common=0.0), told)
    sure = bound(GIVEN[name](**given | {"sigma_common": 0.0}))
    np.testing.assert_allclose(without.residuals(state), sure.residuals(state), rtol=1e-9)
    host = lambda of: HostState(state_of(term), (Source(told=of),))
    assert term.replan(host(told)) == (term, "")
    wider = Told(own=told.own, common=2.0 * told.common)
    assert "uncertainty" in term.replan(host(wider))[1]


def covariance(name, term):
    """Of all numbers of a term with ``Told``, in the units of the data."""
    factors = np.eye(SITES)
    if name == "peaks":
        own = (0.5**2 + (0.9 * 2.0) ** 2) * factors
        return own + (0.9 * 4.0) ** 2, np.ones(SITES)
    own = np.linalg.inv(np.asarray(term.whitening).swapaxes(1, 2) @ np.asarray(term.whitening))
    width = own.shape[1]
    dense = np.zeros((SITES * width, SITES * width))
    for k in range(SITES):
        dense[k * width : (k + 1) * width, k * width : (k + 1) * width] = own[k]
    calculated = np.asarray(term.calculated(state_of(term)))
    direction = np.stack([calculated[:, 0], 0 * calculated[:, 1]], axis=1).ravel()
    return dense + 0.05**2 * np.outer(direction, direction), direction


@pytest.mark.parametrize("name, parameter", [("peaks", "reference"), ("couplings", "slope")])
def test_candidates_pay_for_the_uncertainty_that_a_model_has_of_them(name, parameter):
    term = bound(GIVEN[name](sigma_model="model"), Told())
    dense, direction = covariance(name, term)
    assert term.log_variance(frozenset()) == pytest.approx(np.linalg.slogdet(dense)[1])
    # with a free parameter of that direction: the restricted likelihood, of which the common error is no part
    free = frozenset([f"{term.name}/{parameter}"])
    restricted = np.linalg.slogdet(dense)[1] + np.log(direction @ np.linalg.solve(dense, direction))
    assert term.log_variance(free) == pytest.approx(restricted)
    wider = bound(GIVEN[name](sigma_model="model"), Told(common=(400.0, 5.0)))
    assert wider.log_variance(free) == pytest.approx(restricted)
    assert wider.log_variance(frozenset()) > term.log_variance(frozenset()) + 5.0
    # where uncertainties were given they are the same for all candidates
    assert bound(GIVEN[name](sigma_common=0.1)).log_variance(frozenset()) == 0.0


WRONG = {
    "negative": (
        lambda: peaks([1.0], sigma_common=-1.0),
        DataError,
        "'peaks': sigma_common is -1.0; expected 0 or more",
    ),
    "not finite": (
        lambda: whole(sigma_common=np.nan),
        ConventionError,
        "sigma_common is nan; expected a finite number",
    ),
    "pair": (
        lambda: peaks([1.0], sigma_common=[1.0, 2.0]),
        ParameterError,
        "sigma_common is a list; expected a number",
    ),
    "three": (lambda: whole(sigma_common=[1.0, 2.0, 3.0]), ShapeError, "expected a number or 2"),
    "couplings": (lambda: couplings(sigma_common=[1.0, 2.0]), ShapeError, "expected a number$"),
}


@pytest.mark.parametrize("make, error, message", WRONG.values(), ids=WRONG)
def test_common_errors_that_cannot_be_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
