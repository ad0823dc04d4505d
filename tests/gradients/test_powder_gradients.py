"""Derivatives of powder patterns: three ways to the same number, the fast Jacobian, finite where formulas degenerate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr import Objective, PatternTerm
from jaxnmr.crystal import Crystal
from jaxnmr.diffraction import Background, Instrument, Pattern, PatternPlan, PowderDiffraction, corrections
from jaxnmr.diffraction.widths import stephens_microstrain, thompson_cox_hastings
from jaxnmr.objective.objective import residuals
from jaxnmr.testing import assert_gradients

NONE = [np.nan] * 6
QUARTZ = Crystal.create(
    cell=[4.916, 4.916, 5.4054, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"], u_iso=[0.008, 0],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.1191 + 2 / 3]],
    u_aniso=[NONE, [0.016, 0.012, 0.012, 0.009, -0.003, -0.0045]], name="quartz",
)  # fmt: skip
# 110 at exactly 90 degrees, 200 beyond the limiting sphere for the second wavelength only
CUBIC = Crystal.create(
    cell=[1.540593] * 3 + [90] * 3, spacegroup="P m -3 m", species=["Po"], xyz=[[0, 0, 0]], name="cubic"
)
TUBE = Instrument(wavelengths=(1.540593, 1.544427), shl=0.03, X=1.5, Y=2.0, Z=0.2)
CAPILLARY = Instrument(
    wavelengths=(0.9,), geometry="debye-scherrer", shl=0.02, axial_ratio=0.4, mu_r=0.8, polarization=0.9
)


class Scene:
    """A crystal in a histogram, all numbers of which are in one dictionary."""

    def __init__(self, crystal, instrument, x, **options):
        self.crystal = crystal
        self.pattern = Pattern.create(x, np.full(len(x), 400.0), instrument=instrument)
        self.experiment = PowderDiffraction(background=Background.chebyshev(3), **options)
        self.plan = self.experiment.plan(crystal, like=self.pattern)
        values = {name: np.asarray(q.value, dtype=float) for name, q in self.plan.quantities().items()}
        atoms = {name: np.asarray(getattr(crystal, name)) for name in ("cell", "xyz", "u_iso", "u_aniso", "occupancy")}
        self.state = values | {"crystal." + name: value for name, value in atoms.items()}

    def evaluate(self, plan, state):
        atoms = {name.removeprefix("crystal."): v for name, v in state.items() if name.startswith("crystal.")}
        return plan.pattern({self.crystal.name: self.crystal.replace(**atoms)}, state)

    def changed(self, **changes) -> dict:
        out = dict(self.state)
        for name, value in changes.items():
            name = "crystal." + name if "crystal." + name in out else name
            out[name] = np.broadcast_to(np.asarray(value, dtype=float), out[name].shape).copy()
        return out

    def laid_out(self, state) -> PatternPlan:
        return self.plan.laid_out({self.crystal.name: self.crystal}, state)


@pytest.fixture(scope="module")
def tube() -> Scene:
    return Scene(
        QUARTZ, TUBE, np.linspace(24.0, 56.0, 96), march_axis={"quartz": (0, 0, 1)}, stephens=["quartz"],
        size_axis={"quartz": (1, 0, 0)}, dispersion=["Si"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def capillary() -> Scene:
    return Scene(
        QUARTZ, CAPILLARY, np.linspace(12.0, 32.0, 64), harmonics={"quartz": 2}, size_axis={"quartz": (0, 0, 1)}
    )


GENERIC = {
    "tube": {
        "scale": 30.0, "zero": 0.01, "displacement": 40.0, "transparency": 0.3, "roughness_a": 0.6, "roughness_b": 0.2,
        "march": 0.8, "stephens_quartz": 300.0, "strain_mix": 0.6, "size": 0.08, "size_mix": 0.7,
        "size_along": 0.2, "f1": 1.5, "f2": 2.5,
    },
    "capillary": {"scale": 30.0, "displace_x": 50.0, "displace_y": -30.0, "strain": 2000.0, "strain_mix": 0.5, "X": 1.0,
        "texture_quartz": 0.4, "size": 0.1, "size_along": 0.05,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["tube", "capillary"])
def test_derivatives_agree_forward_reverse_and_with_differences(name, request):
    scene = request.getfixturevalue(name)
    state = scene.changed(**GENERIC[name])
    plan = scene.laid_out(state)
    assert_gradients(lambda s: scene.evaluate(plan, s), state, rtol=1e-6, atol=1e-8)


def test_the_fast_jacobian_is_the_plain_one_for_every_parameter(tube):
    term = PatternTerm(tube.experiment, tube.pattern)
    objective = Objective(term, crystal=QUARTZ)
    params = objective.parameters()
    for name, value in GENERIC["tube"].items():
        params = params.set(f"xrd/{name}", value)
    objective = objective.replan(params).objective
    params = params.free("*")
    fast = np.asarray(objective.jacobian(params))
    spec = params.spec
    along = lambda theta: residuals(spec.layout, objective, params.offset(), spec.transform, theta)
    plain = np.asarray(jax.jit(jax.jacfwd(along))(jnp.asarray(params.theta))) / spec.scale[spec.free_pivots]
    assert fast.shape == plain.shape and fast.shape[1] > 40
    largest = np.abs(plain).max(axis=0)
    assert [name for name, value in zip(params.free_names, largest, strict=True) if not value > 0] == []
    assert (np.abs(fast - plain).max(axis=0) <= 1e-9 * largest).all()


EDGES = {
    "no displacement": {"u_iso": 0.0, "u_aniso": 0.0},
    "negative displacement": {"u_iso": -0.02, "u_aniso": -0.01},
    "nothing there": {"occupancy": 0.0},
    "no scale": {"scale": 0.0},
    "no axial divergence": {"shl": 0.0},
    "hardly any axial divergence": {"shl": 1e-6},
    "a width polynomial below zero": {"U": -80.0, "V": 0.0, "W": -20.0, "X": -30.0},
    "no width at all": {"U": 0.0, "V": 0.0, "W": 0.0, "X": 0.0, "Y": 0.0, "Z": 0.0, "strain": 0.0, "size": 100.0},
    "a negative sum of anisotropic strain": {"stephens_quartz": -5.0},
    "no anisotropic strain": {"stephens_quartz": 0.0},
    "pure Gaussian broadening": {"size_mix": 0.0, "strain_mix": 0.0},
    "a mirror-smooth surface": {"roughness_a": 1.0, "roughness_b": 0.0},
    "extreme texture": {"march": 0.05},
}


def everything_moves(state: dict) -> dict:
    """A tangent with every number moving: one derivative that is not finite spoils the sum."""
    return {name: np.ones_like(value) for name, value in state.items()}


@pytest.fixture(scope="module")
def compiled(tube):
    """Pattern, one forward derivative and the reverse gradient, compiled once for all edges."""

    @jax.jit
    def run(plan, state, tangent):
        evaluate = lambda s: tube.evaluate(plan, s)
        y, pull = jax.vjp(evaluate, state)
        return y, jax.jvp(evaluate, (state,), (tangent,))[1], pull(jnp.ones_like(y))[0]

    return run


@pytest.mark.parametrize("edge", EDGES)
def test_pattern_and_derivatives_are_finite_with(edge, tube, compiled):
    state = tube.changed(**EDGES[edge])
    y, forward, reverse = compiled(tube.plan, state, everything_moves(state))
    assert np.isfinite(y).all()
    assert np.isfinite(forward).all()
    assert [name for name, gradient in reverse.items() if not np.isfinite(gradient).all()] == []


def test_peaks_at_90_and_near_180_degrees_have_finite_derivatives():
    # the data end beyond every reachable reflection; those beyond the limiting sphere stand just below 180 degrees
    scene = Scene(CUBIC, TUBE, np.linspace(80.0, 179.5, 300))
    tables = scene.plan.phase_tables({"cubic": CUBIC}, scene.state)
    assert np.abs(np.asarray(tables[0].position)[0] - 90.0).min() < 1e-6
    push = jax.jit(lambda s, t: jax.jvp(lambda q: scene.evaluate(scene.plan, q), (s,), (t,)))
    for shift in (0.0, 1e-7, 1e-3):
        state = scene.changed(cell=np.asarray(CUBIC.cell) * np.array([1 + shift] * 3 + [1.0] * 3))
        y, forward = push(state, everything_moves(state))
        assert np.isfinite(y).all() and y.max() > 0
        assert np.isfinite(forward).all()


def test_padding_reflections_leave_no_trace(tube):
    phase = tube.plan.phases[0]
    assert phase.n_reflections < len(phase.hkl)
    state = tube.changed(**GENERIC["tube"])
    table = jax.jit(lambda s: tube.plan.peak_table({"quartz": QUARTZ}, s).peaks)(state)
    padding = np.concatenate([phase.present == 0, [True]])
    assert (np.asarray(table.area)[padding] == 0).all()
    for leaf in table:
        assert np.isfinite(leaf).all()
    areas = jax.jit(lambda s, t: jax.jvp(lambda q: tube.plan.peak_table({"quartz": QUARTZ}, q).peaks.area, (s,), (t,)))
    assert (np.asarray(areas(state, everything_moves(state))[1])[padding] == 0).all()


@pytest.mark.parametrize("variance", [-5.0, 0.0, 1e-8, 3.0])
@pytest.mark.parametrize("gamma", [-1.0, 0.0, 4.0])
def test_the_width_has_finite_first_and_second_derivatives(variance, gamma):
    for order in (jax.jacfwd, jax.hessian):
        for leaf in jax.tree.leaves(order(thompson_cox_hastings, argnums=(0, 1))(variance, gamma)):
            assert np.isfinite(leaf).all()


def test_the_stephens_sum_has_no_slope_where_it_is_negative():
    slope = jax.jacfwd(lambda s: stephens_microstrain(jnp.array([[1.0], [-1.0]]), s, jnp.ones(2)))(jnp.array([4.0]))
    np.testing.assert_allclose(slope, [[0.25], [0.0]])


def test_absorption_has_the_derivatives_of_its_differences():
    angle = np.array([0.0, 30.0, 90.0, 150.0, 179.0])
    state = {"angle": angle[1:], "mu_r": np.float64(1.2)}
    assert_gradients(lambda s: corrections.cylinder_absorption(s["angle"], s["mu_r"]), state, rtol=1e-6)
    total = jax.jit(lambda m: corrections.cylinder_absorption(angle, m).sum())
    second, step = jax.jit(jax.hessian(total)), 1e-3
    for mu_r in (0.0, 1.0, 8.0):
        by_angle = jax.jacfwd(corrections.cylinder_absorption)(angle, mu_r)
        assert np.isfinite(by_angle).all()
        assert np.abs(by_angle - np.diag(np.diag(by_angle))).max() == 0.0
        curvature = (total(mu_r + step) - 2 * total(mu_r) + total(mu_r - step)) / step**2
        assert float(second(mu_r)) == pytest.approx(float(curvature), rel=1e-3)
