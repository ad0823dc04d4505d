"""Errors of predictions as parameters of a spectrum, and their prior. States are made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ParameterError
from jaxnmr.objective import HostState, Parameters, PhaseSource, Provision
from jaxnmr.objective.parameters import renamed

REFERENCE = jn.ShiftReference(300.0, -0.95)
FAST = jn.SpectrumMAS("17O", b0_tesla=14.1, integration_density=4)
OWN, COMMON, OWN_CQ, RATIO = np.array([2.0, 3.0]), 4.0, np.array([1e5, 2e5]), 0.05
CQ = np.array([-2e6, 3e6])
PROVISIONS = tuple(Provision("box", head, (True, True)) for head in ("shielding", "efg"))
CRYSTAL = jn.Crystal.create(
    cell=[6, 7, 8, 80, 85, 95], spacegroup="P 1", species=["O", "O"], xyz=[[0, 0, 0], [0.2, 0.3, 0.1]], name="box"
)
PROVIDED = {
    "shielding": np.array([250.0, 230.0])[:, None, None] * np.eye(3),
    "efg": np.array([0.1, -0.2])[:, None, None] * np.diag([-0.4, -0.6, 1.0]),
}


class Told:
    """What a model says of its uncertainty."""

    tensors = PROVIDED

    def sigma(self, quantity, nucleus, *, part):
        common = {"iso": np.full(2, COMMON), "cq": RATIO * np.abs(CQ)}
        return {"iso": OWN, "cq": OWN_CQ}[quantity] if part == "own" else common[quantity]

    def quadrupolar(self, nucleus):
        return type("Quadrupolar", (), {"cq_hz": CQ})


class Source(PhaseSource):
    name, phase, provisions = "told", "box", PROVISIONS

    def evaluate(self, crystal):
        return PROVIDED

    def prediction(self, crystal):
        return Told()


def spectrum(**options):
    frequency = (np.arange(64) - 32) * 60e3 / 64
    data = jn.Spectrum.create(
        frequency,
        np.exp(-0.5 * (frequency / 5e3) ** 2),
        larmor_hz=FAST.larmor_hz,
        isotope="17O",
        sigma=0.1,
        name="bump",
    )
    return jn.PredictedSpectrumTerm(FAST, data, **({"reference": REFERENCE, "gaussian_hz": 900.0} | options))


def state_of(term, **values):
    start = {name: jnp.asarray(q.value, float) for name, q in term.quantities({"box": CRYSTAL}).items()}
    start |= {name: jnp.asarray(value, float) for name, value in values.items()}
    return jn.State(
        crystals={"box": CRYSTAL}, values={f"nmr/{name}": value for name, value in start.items()},
        provided={"box": {name: jnp.asarray(of) for name, of in PROVIDED.items()}}, provisions=PROVISIONS,
    )  # fmt: skip


def bound(term, state, *free):
    params = Parameters.create(
        CRYSTAL.quantities() | renamed("nmr", spectrum(errors=True).quantities({"box": CRYSTAL}))
    )
    return term.bind(HostState(state, (Source(),)), params.free(*free) if free else params)


def test_errors_move_lines_and_scale_couplings_of_their_sites_with_exact_derivatives():
    term = spectrum(errors=True)
    away = state_of(term, scale=20.0, shift_error=[1.0, -2.0], coupling_error=[0.1, -0.05])
    planned = bound(term, away, "nmr/shift_error", "nmr/coupling_error")
    exact = bound(spectrum(), state_of(spectrum(), scale=20.0))
    plain, moved = exact.sites_at(state_of(spectrum())), planned.sites_at(away)
    np.testing.assert_allclose(moved.shift_ppm - plain.shift_ppm, [1.0, -2.0])
    ratio = np.asarray(moved.quadrupolar_hz)[:, 2, 2] / np.asarray(plain.quadrupolar_hz)[:, 2, 2]
    np.testing.assert_allclose(ratio, [1.1, 0.95])
    # four columns: of both errors of both sites
    blank = jax.tree.map(lambda leaf: jnp.zeros((4, *jnp.shape(leaf)), jnp.result_type(float)), away)
    columns = {"nmr/shift_error": np.eye(4)[:, :2], "nmr/coupling_error": np.eye(4)[:, 2:]}
    tangents = blank.replace(values=blank.values | {name: jnp.asarray(of) for name, of in columns.items()})
    found = np.asarray(jax.jit(lambda t: planned.jacobian(away, t))(tangents))
    residuals = jax.jit(planned.residuals)
    for k, (name, site, step) in enumerate(
        [(name, site, step) for name, step in (("shift_error", 1e-3), ("coupling_error", 1e-5)) for site in range(2)]
    ):
        at = lambda sign, name=name, site=site, step=step: residuals(
            away.replace(values=away.values | {f"nmr/{name}": away.values[f"nmr/{name}"].at[site].add(sign * step)})
        )
        expected = np.asarray(at(1) - at(-1)) / (2 * step)
        np.testing.assert_allclose(found[:, k], expected, atol=2e-4 * np.abs(expected).max())


def test_the_prior_of_errors_has_what_sites_share_and_what_they_have_of_their_own():
    prior, shifts, ratios = jn.ModelErrors(spectrum(errors=True)), np.array([5.0, 3.0]), np.array([0.1, -0.02])
    state = state_of(spectrum(errors=True), shift_error=shifts, coupling_error=ratios)
    term = bound(prior, state)
    dense = [
        np.diag((0.95 * OWN) ** 2) + (0.95 * COMMON) ** 2,
        np.diag((OWN_CQ / np.abs(CQ)) ** 2) + RATIO**2,
    ]
    expected = sum(x @ np.linalg.solve(c, x) for x, c in zip((shifts, ratios), dense, strict=True))
    assert float(jnp.sum(term.residuals(state) ** 2)) == pytest.approx(expected)
    assert term.log_variance(frozenset()) == pytest.approx(sum(np.linalg.slogdet(c)[1] for c in dense))
    # with a free reference how large the common error may be says nothing
    free = frozenset(["nmr/reference"])
    assert term.replace(
        common=10.0 * term.common * np.array([[1.0], [0.0]]) + term.common * [[0.0], [1.0]]
    ).log_variance(free) == pytest.approx(term.log_variance(free))
    shown = term.evidence(state)
    assert not shown.measured and [row.label for row in shown.rows] == ["O1", "O2"] * 2
    np.testing.assert_allclose([row.calculated for row in shown.rows], [*shifts, *ratios])
    np.testing.assert_allclose(
        [row.sigma for row in shown.rows], np.sqrt([c for of in dense for c in np.diag(of)]), rtol=1e-9
    )
    assert term.replan(HostState(state, (Source(),))) == (term, "")
    wider = term.replace(own=2.0 * term.own)
    assert wider.replan(HostState(state, (Source(),)))[1] == "uncertainty taken from the model"


def test_an_error_of_all_sites_is_worth_what_the_reference_is():
    """Given lines that are read to nothing, the sum of prior and data says of a shift what the model does."""
    term = bound(jn.ModelErrors(spectrum(errors=True)), state_of(spectrum(errors=True)))
    rows = np.array([
        np.asarray(term.residuals(state_of(spectrum(errors=True), shift_error=np.eye(2)[k])))[:2] for k in range(2)
    ]).T  # fmt: skip
    covariance = np.linalg.inv(rows.T @ rows)
    # of a difference of two sites the common part is gone, of their mean it is all there
    difference, mean = np.array([1.0, -1.0]), np.array([0.5, 0.5])
    assert difference @ covariance @ difference == pytest.approx(0.95**2 * np.sum(OWN**2))
    assert mean @ covariance @ mean == pytest.approx(0.95**2 * (np.sum(OWN**2) / 4 + COMMON**2))


def test_a_prior_of_errors_that_are_not_there_is_refused():
    with pytest.raises(ParameterError, match="make it with errors=True"):
        jn.ModelErrors(spectrum())
    other = jn.ModelErrors(spectrum(errors=True, name="other"))
    with pytest.raises(ParameterError, match="the spectrum 'other', which the objective does not have"):
        bound(other, state_of(spectrum(errors=True)))
    # shifts that are parameters have no errors, couplings do
    assert spectrum(errors=True, shielding={"O1": 1.0, "O2": 2.0}).error_names == ("coupling_error",)
    assert spectrum().error_names == ()
