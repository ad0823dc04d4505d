"""Sites of a spectrum from predicted tensors: values, parameters, plans, bad input. States are made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError
from jaxnmr.nmr import Sites, quadrupolar_from_efg
from jaxnmr.nmr.tensors import isotropic
from jaxnmr.objective import HostState, Parameters, Provision, TensorRead
from jaxnmr.objective.parameters import renamed

REFERENCE = jn.ShiftReference(300.0, -0.95)
FAST = jn.SpectrumMAS("17O", b0_tesla=14.1, integration_density=8)
SLOW = jn.SpectrumMAS("17O", b0_tesla=9.4, mas_hz=14e3, integration_density=8)
STATIC = jn.SpectrumStatic("29Si", b0_tesla=9.4, integration_density=20)


def crystal() -> jn.Crystal:
    """Oxygen on the origin and in a general position, silicon in another; two of each general one in the cell."""
    xyz = [[0, 0, 0], [0.2, 0.3, 0.1], [0.3, 0.6, 0.4]]
    return jn.Crystal.create(
        cell=[6, 7, 8, 80, 85, 95], spacegroup="P -1", species=["O", "O", "Si"], xyz=xyz, name="box"
    )


CRYSTAL = crystal()


def tensors(size: float = 1.0) -> dict[str, np.ndarray]:
    """Shieldings, not symmetric, and field gradients; those of silicon are not known."""
    rng = np.random.default_rng(4)
    shielding = np.array([250.0, 230.0, 390.0])[:, None, None] * np.eye(3) + 20.0 * rng.normal(size=(3, 3, 3))
    efg = rng.normal(size=(3, 3, 3))
    efg = 0.2 * size * (efg + efg.swapaxes(1, 2))
    efg = efg - np.trace(efg, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    efg[2] = np.nan
    return {"shielding": shielding, "efg": efg}


def state_of(term, given=None, heads=("shielding", "efg"), **values) -> jn.State:
    given = tensors() if given is None else given
    trained = {"shielding": (True, True, True), "efg": (True, True, False)}
    start = {name: jnp.asarray(q.value, float) for name, q in term.quantities({"box": CRYSTAL}).items()}
    start |= {name: jnp.asarray(value, float) for name, value in values.items()}
    return jn.State(
        crystals={"box": CRYSTAL},
        values={f"{term.name}/{name}": value for name, value in start.items()},
        provided={"box": {head: jnp.asarray(given[head]) for head in heads}},
        provisions=tuple(Provision("box", head, trained[head]) for head in heads),
    )


def bump(simulation, points=128, width_hz=60e3) -> jn.Spectrum:
    frequency = (np.arange(points) - points // 2) * width_hz / points
    values = np.exp(-0.5 * (frequency / 5e3) ** 2)
    return jn.Spectrum.create(
        frequency, values, larmor_hz=simulation.larmor_hz, isotope=simulation.isotope, sigma=1.0, name="bump"
    )


def term_of(simulation, **options):
    return jn.PredictedSpectrumTerm(simulation, bump(simulation), **{"reference": REFERENCE, **options})


def bound(term, state=None, *free):
    """A term at tensors that are given, for a refinement of these parameters; for one of everything without any."""
    of = {"box": CRYSTAL}
    params = Parameters.create(CRYSTAL.quantities() | renamed(term.name, term.quantities(of)))
    return term.bind(HostState(state_of(term) if state is None else state), params.free(*free) if free else params)


residuals = jax.jit(lambda term, state: term.residuals(state))


@pytest.mark.parametrize("simulation", [SLOW, STATIC], ids=["17O", "29Si"])
def test_the_spectrum_is_that_of_cartesian_sites_with_the_same_tensors(simulation):
    widths = dict(gaussian_hz=2500.0, lorentzian_hz=300.0)
    term = term_of(simulation, **widths)
    state = state_of(term, scale=7.0)
    term = bound(term, state)
    rows, parts = (2,) if simulation is STATIC else (0, 1), tensors()
    shielding = parts["shielding"][list(rows)]
    quadrupolar = None if simulation is STATIC else quadrupolar_from_efg(parts["efg"][:2], "17O")
    # a coupling that does nothing keeps all tensors in the frame they are given in, and the same orientations with it
    same = Sites.create(
        simulation.isotope, REFERENCE.shift(isotropic(shielding)), shielding_ppm=-REFERENCE.shift_tensor(shielding),
        quadrupolar_hz=quadrupolar, couplings_hz=np.zeros((len(rows), 1, 3, 3)), partners=("1H",),
        amplitude=7.0 * np.array([1.0] if simulation is STATIC else [1 / 3, 2 / 3]), **widths,
    )  # fmt: skip
    other = jn.SpectrumTerm(simulation, bump(simulation), same, amplitudes="keep")
    values = {f"nmr/{name}": jnp.asarray(q.value, float) for name, q in other.quantities({}).items()}
    alone = jn.State(crystals={}, values=values | {"nmr/scale": jnp.array(1.0)})
    expected = np.asarray(residuals(other, alone)) + bump(simulation).values
    found = np.asarray(residuals(term, state)) + bump(simulation).values
    assert expected.max() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-10 * expected.max(), rtol=0)


def test_sites_follow_reference_slope_moment_and_multiplicity():
    term = term_of(SLOW, q_barn=-0.03, gaussian_hz={"O1": 100.0, "O2": 200.0}, lorentzian_hz=7.0)
    state = state_of(term, reference=310.0, slope=-1.1)
    term = bound(term, state)
    sites, parts = term.sites_at(state), tensors()
    assert sites.labels == ("O1", "O2") and sites.isotope == "17O"
    np.testing.assert_allclose(sites.amplitude, [1 / 3, 2 / 3], err_msg="one atom on the inversion centre, two images")
    np.testing.assert_allclose(sites.shift_ppm, 310.0 - 1.1 * np.asarray(isotropic(parts["shielding"][:2])))
    symmetric = 0.5 * (parts["shielding"] + parts["shielding"].swapaxes(1, 2))[:2]
    np.testing.assert_allclose(
        sites.shielding_ppm, 1.1 * (symmetric - np.asarray(isotropic(symmetric))[:, None, None] * np.eye(3)), atol=1e-10
    )
    expected = quadrupolar_from_efg(parts["efg"][:2], "17O", q_barn=-0.03)
    np.testing.assert_allclose(sites.quadrupolar_hz, expected, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(sites.gaussian_hz, [100.0, 200.0])
    np.testing.assert_allclose(sites.lorentzian_hz, [7.0, 7.0])


def test_parameters_are_one_of_each_unless_they_were_given_by_site():
    labels = lambda term: [f"{n}{list(q.labels) or ''}" for n, q in term.quantities({"box": CRYSTAL}).items()]
    assert labels(term_of(SLOW, baseline=1)) == [
        "scale", "reference", "slope", "gaussian", "lorentzian", "baseline['0']", "phase0", "phase1", "mas",
    ]  # fmt: skip
    given = {"O1": 40.0, "O2": 60.0}
    of = term_of(FAST, reference=None, shielding=given, gaussian_hz=dict.fromkeys(given, 300.0))
    assert labels(of) == ["scale", "shift['O1', 'O2']", "gaussian['O1', 'O2']", "lorentzian", "phase0", "phase1"]
    step = bump(SLOW).step_hz
    plain = term_of(FAST).quantities({"box": CRYSTAL})
    assert plain["gaussian"].value == pytest.approx(4 * step) and plain["gaussian"].lower == pytest.approx(step)
    assert plain["scale"].value == pytest.approx(bump(FAST).values.sum())
    raised = bump(FAST).replace(values=bump(FAST).values + 0.3)
    start = jn.PredictedSpectrumTerm(FAST, raised, reference=REFERENCE, baseline=2).quantities({"box": CRYSTAL})
    assert start["scale"].value == pytest.approx(bump(FAST).values.sum(), rel=1e-3)
    np.testing.assert_allclose(start["baseline"].value, [0.3, 0.0], atol=1e-3)


def test_given_shieldings_stand_in_for_predicted_ones():
    parts = tensors()
    given = dict(zip(("O1", "O2"), parts["shielding"], strict=False))
    term = term_of(SLOW, shielding=given)
    state = state_of(term, heads=("efg",))
    term = bound(term, state)
    whole = term_of(SLOW)
    expected = bound(whole).sites_at(state_of(whole))
    for found, of in zip(*map(jax.tree.leaves, (term.sites_at(state), expected)), strict=True):
        np.testing.assert_allclose(found, of, rtol=1e-12, atol=1e-9)
    plain = term_of(SLOW, reference=None, shielding={"O1": 40.0, "O2": 60.0})
    state = state_of(plain, heads=("efg",))
    sites = bound(plain, state).sites_at(state)
    np.testing.assert_allclose(sites.shift_ppm, [40.0, 60.0])
    assert not np.asarray(sites.shielding_ppm).any()


def test_only_what_shows_is_read():
    oxygen, silicon = (0, 1), (2,)
    assert bound(term_of(SLOW)).reads == (
        TensorRead("box", "shielding", oxygen, "symmetric"), TensorRead("box", "efg", oxygen, "symmetric"),
    )  # fmt: skip
    assert bound(term_of(STATIC)).reads == (TensorRead("box", "shielding", silicon, "symmetric"),)
    # fast spinning at the magic angle averages the anisotropy of shieldings
    assert bound(term_of(FAST)).reads[0].part == "isotropic"
    assert bound(term_of(FAST, shielding={"O2": 1.0}, sites=["O2"])).reads == (
        TensorRead("box", "efg", (1,), "symmetric"),
    )
    wobbling = jn.SpectrumMAS("17O", b0_tesla=14.1, rotor_angle_deg=54.0)
    assert bound(term_of(wobbling)).reads[0].part == "symmetric"


def test_plans_have_room_and_are_renewed_when_outgrown():
    term = bound(term_of(FAST), None, "xyz[O2.x]", "nmr/scale")
    assert term.moving == ("shift_ppm", "quadrupolar_hz")
    replan = lambda *of, **values: term.replan(HostState(state_of(term, *of, **values)))
    assert replan(tensors(1.1)) == (term, "")
    grown, note = replan(tensors(1.4))
    assert note.startswith("orientations and sidebands planned: the coupling of O") and "has grown" in note
    assert "a line has moved far" in replan(reference=REFERENCE.reference_ppm + 120.0)[1]
    assert "become narrow" in replan(gaussian=400.0)[1]
    assert np.isfinite(residuals(grown, state_of(term, tensors(1.4)))).all()


@pytest.mark.parametrize("head", ["shielding", "efg"])
def test_tensors_that_are_not_numbers_give_residuals_that_are_none_and_no_error(head):
    term = bound(term_of(FAST))
    lost = tensors()
    lost[head][1] = np.nan
    state = state_of(term, lost)
    assert np.isnan(residuals(term, state)).all()
    assert term.replan(HostState(state)) == (term, "") and bound(term, state, "xyz").plan is term.plan
    with pytest.raises(DataError, match="not finite at the starting structure"):
        bound(term_of(FAST), state)


def test_what_moves_is_known_from_what_is_free():
    moving = lambda term, *free: bound(term, state_of(term), *free).moving
    assert moving(term_of(SLOW), "nmr/scale", "u_iso[O1]", "nmr/mas") == ()
    assert bound(term_of(SLOW), None, "nmr/mas").moving_mas and not bound(term_of(SLOW), None, "nmr/scale").moving_mas
    assert moving(term_of(SLOW), "cell[a]") == ("shift_ppm", "shielding_ppm", "quadrupolar_hz")
    assert moving(term_of(SLOW), "nmr/reference", "nmr/gaussian") == ("shift_ppm", "gaussian_hz")
    assert moving(term_of(SLOW), "nmr/slope") == ("shift_ppm", "shielding_ppm")
    given = term_of(SLOW, shielding={"O1": 1.0, "O2": 2.0})
    assert moving(given, "xyz[O2.x]") == ("quadrupolar_hz",) and moving(given, "nmr/shift[O1]") == ("shift_ppm",)


def test_a_gaussian_that_cannot_leave_zero_is_explained():
    term = term_of(FAST, lorentzian_hz=500.0)
    state = state_of(term)
    assert "nmr/gaussian is 0" in bound(term, state, "nmr/gaussian").warnings(state)[0]
    assert bound(term, state, "nmr/lorentzian").warnings(state) == ()


def laid_out(**options):
    heads = options.pop("heads", ("shielding", "efg"))
    simulation = options.pop("simulation", SLOW)
    term = term_of(simulation, **options)
    return bound(term, state_of(term, heads=heads))


BAD = {
    "reference": (dict(reference=None), ConventionError, "shifts need a reference"),
    "tensor": (dict(reference=None, shielding={"O1": np.eye(3)}), ConventionError, "shifts need a reference"),
    "shielding": (dict(heads=("efg",)), ParameterError, r"'nmr': no model of 'box' predicts 'shielding'; there is efg: .*shielding=\{label: ppm\}"),
    "efg": (dict(heads=("shielding",)), ParameterError, "'nmr': no model of 'box' predicts 'efg'; there is shielding: give the objective"),
    "nothing": (dict(heads=()), ParameterError, "'nmr': nothing predicts the shielding of 'box'.*models=model"),
    "label": (dict(sites=["O1", "O7"]), ParameterError, "O7 is not a 17O site of box; these are O1, O2"),
    "twice": (dict(sites=["O1", "O1"]), ParameterError, "named twice"),
    "nucleus": (dict(simulation=jn.SpectrumMAS("27Al", b0_tesla=9.4)), ParameterError, "box has no 27Al site"),
    "phase": (dict(phase="other"), ParameterError, "there is no phase 'other'"),
    "missing": (dict(shielding={"O1": 40.0}), ParameterError, "shielding names O1, the 17O sites are O1, O2"),
    "width": (dict(gaussian_hz={"O1": 1.0, "Si1": 2.0}), ParameterError, "gaussian_hz names O1, Si1, the 17O sites"),
    "negative": (dict(gaussian_hz=-1.0), ConventionError, "gaussian_hz is -1.0; expected 0 or more"),
    "shape": (dict(shielding={"O1": [1.0, 2.0]}), ShapeError, r"shielding of O1 has the shape \(2,\)"),
    "nan": (dict(shielding={"O1": np.nan}), DataError, "shielding of O1 is not finite"),
    "moment": (dict(q_barn=0.0), ConventionError, "no known quadrupole moment; give q_barn="),
    "region": (dict(region_ppm=(5000.0, 6000.0)), DataError, "fewer than 4 points"),
}  # fmt: skip


@pytest.mark.parametrize("options, error, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_the_way_out(options, error, message):
    with pytest.raises(error, match=message):
        laid_out(**options)


def test_data_upside_down_are_refused():
    upside = bump(FAST).replace(values=-bump(FAST).values)
    with pytest.raises(DataError, match="not positive; the phase of the spectrum may be wrong by 180 degrees"):
        jn.PredictedSpectrumTerm(FAST, upside, reference=REFERENCE)


def test_a_spectrum_that_is_not_bound_has_no_residuals():
    term = term_of(FAST)
    with pytest.raises(
        ParameterError, match=r"PredictedSpectrumTerm does not define residuals\(state\): bind it first"
    ):
        term.residuals(state_of(term))


def test_binding_again_keeps_intensities_and_plans_for_what_is_free():
    everything = bound(term_of(FAST))
    assert everything.moving == ("shift_ppm", "quadrupolar_hz", "gaussian_hz", "lorentzian_hz")
    assert bound(everything).share is not everything.share, "in a new objective the structure may be another one"
    few = bound(everything, None, "nmr/reference")
    assert type(few) is type(everything) and few.moving == ("shift_ppm",) and few.share is everything.share
    whole = few.differentiable(("cell[a]", "nmr/gaussian", "nmr/lorentzian", "nmr/reference"))
    assert whole.moving == everything.moving and whole.plan is few.plan
