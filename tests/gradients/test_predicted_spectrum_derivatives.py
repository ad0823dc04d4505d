"""The Jacobian of a spectrum of predicted tensors against automatic differentiation. States are made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.objective import HostState, Parameters, Provision
from jaxnmr.objective.parameters import renamed

CRYSTAL = jn.Crystal.create(
    cell=[5, 6, 7, 90, 90, 90], spacegroup="P 1", species=["O", "O", "Si"], xyz=[[0, 0, 0], [0.5, 0.4, 0.3], [0.2, 0.7, 0.6]],
    name="box",
)  # fmt: skip
SOURCES = tuple(Provision("box", head, (True, True, False)) for head in ("shielding", "efg"))
AXIS = dict(points=160, width_hz=60e3)
WIDTHS = dict(gaussian_hz=2500.0, lorentzian_hz=200.0)
# directions in the space of states: what a structure would move, and every parameter of the term
DIRECTIONS = 3


def state_of(term, crystals=CRYSTAL, **changed) -> jn.State:
    """Shieldings of about 250 ppm and couplings of a few MHz."""
    rng = np.random.default_rng(4)
    shielding = 20.0 * rng.normal(size=(3, 3, 3)) + np.array([250.0, 230.0, np.nan])[:, None, None] * np.eye(3)
    efg = 0.35 * rng.normal(size=(3, 3, 3))
    efg = efg + efg.swapaxes(1, 2)
    efg = efg - np.trace(efg, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    efg[2] = np.nan
    crystals = {"box": crystals}
    values = {f"{term.name}/{name}": jnp.asarray(q.value, float) for name, q in term.quantities(crystals).items()}
    values |= {f"{term.name}/{name}": jnp.asarray(value, float) for name, value in changed.items()}
    tensors = {"box": {"shielding": jnp.asarray(shielding), "efg": jnp.asarray(efg)}}
    return jn.State(crystals=crystals, values=values, provided=tensors, provisions=SOURCES)


def tangents_of(state, term, only=None):
    """Changes of tensors that take every element along, then one of each number among the values."""
    rng = np.random.default_rng(9)
    numbers = [(k, i) for k in state.values if only is None or k in only for i in np.ndindex(np.shape(state.values[k]))]
    count = DIRECTIONS + len(numbers)
    out = jax.tree.map(lambda leaf: jnp.zeros((count, *jnp.shape(leaf))), state)
    values = {k: np.zeros((count, *np.shape(v))) for k, v in state.values.items()}
    for row, (k, place) in enumerate(numbers):
        values[k][(DIRECTIONS + row, *place)] = 1.0
    change = {"shielding": np.zeros((count, 3, 3, 3)), "efg": np.zeros((count, 3, 3, 3))}
    change["shielding"][:DIRECTIONS] = rng.normal(size=(DIRECTIONS, 3, 3, 3))
    change["efg"][:DIRECTIONS] = 1e-2 * rng.normal(size=(DIRECTIONS, 3, 3, 3))
    change = {head: np.where(np.isnan(state.provided["box"][head]), np.nan, of) for head, of in change.items()}
    tensors = {"box": {head: jnp.asarray(of) for head, of in change.items()}}
    return out.replace(values={k: jnp.asarray(v) for k, v in values.items()}, provided=tensors)


def term_of(simulation, **options):
    data = jn.Spectrum.create(
        (np.arange(AXIS["points"]) - AXIS["points"] // 2) * AXIS["width_hz"] / AXIS["points"],
        np.exp(-0.5 * np.linspace(-6.0, 6.0, AXIS["points"]) ** 2), larmor_hz=simulation.larmor_hz, isotope="17O", sigma=0.1,
    )  # fmt: skip
    options = {"reference": jn.ShiftReference(250.0), "baseline": 2, **WIDTHS, **options}
    return jn.PredictedSpectrumTerm(simulation, data, **options)


def bound(term, state, *free):
    """The term at these tensors, for a refinement of these parameters; for one of everything without any."""
    params = Parameters.create(CRYSTAL.quantities() | renamed(term.name, term.quantities({"box": CRYSTAL})))
    return term.bind(HostState(state), params.free(*free) if free else params)


fast = jax.jit(lambda term, state, tangents: term.jacobian(state, tangents))
automatic = jax.jit(lambda term, state, tangents: jn.Term.jacobian(term, state, tangents))


def assert_equal(term, state, tangents):
    found, expected = fast(term, state, tangents), automatic(term, state, tangents)
    size = np.abs(expected).max(axis=0)
    assert found.shape == expected.shape and (size > 0).all(), "every direction has an effect"
    np.testing.assert_allclose(found / size, expected / size, atol=1e-8, rtol=0)


TURNED = dict(phase0=8.0, phase1=20.0)


@pytest.fixture(scope="module")
def spinning():
    """Both tensors at a finite speed, where each element of either shows."""
    term = term_of(jn.SpectrumMAS("17O", b0_tesla=9.4, mas_hz=14e3, integration_density=8))
    state = state_of(term, **TURNED)
    return bound(term, state), state


def test_the_fast_jacobian_is_the_automatic_one_for_every_direction(spinning):
    term, state = spinning
    assert_equal(term, state, tangents_of(state, term))


def test_what_does_not_move_is_not_differentiated_and_strays_are_not_numbers(spinning):
    term, state = spinning
    still = bound(term, state, "nmr/scale", "nmr/reference").replace(plan=term.plan)
    assert still.moving == ("shift_ppm",)
    few = ("nmr/scale", "nmr/reference", "nmr/phase0", "nmr/slope", "nmr/gaussian", "nmr/mas")
    tangents = tangents_of(state, term, only=few)
    found = np.asarray(fast(still, state, tangents))
    order = [k.removeprefix("nmr/") for k in state.values if k in few]
    strays = np.isnan(found).all(axis=0)
    assert (np.isfinite(found).all(axis=0) ^ strays).all() and strays[:DIRECTIONS].all()
    assert {name for name, stray in zip(order, strays[DIRECTIONS:], strict=True) if stray} == {
        "slope",
        "gaussian",
        "mas",
    }
    expected = np.asarray(fast(term, state, tangents))[:, ~strays]
    np.testing.assert_allclose(found[:, ~strays], expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_given_shieldings_and_widths_by_site_have_exact_derivatives():
    """Fast spinning, where field gradients are alone and share their axes with nothing."""
    simulation = jn.SpectrumMAS("17O", b0_tesla=14.1, integration_density=8)
    by_site = dict(gaussian_hz={"O1": 2500.0, "O2": 1800.0}, lorentzian_hz={"O1": 200.0, "O2": 300.0})
    term = term_of(simulation, reference=None, shielding={"O1": 10.0, "O2": -20.0}, **by_site)
    state = state_of(term, **TURNED)
    term = bound(term, state)
    assert_equal(term, state, tangents_of(state, term))
