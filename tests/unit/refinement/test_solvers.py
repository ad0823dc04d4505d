"""The two step rules: jaxopt's Gauss-Newton step equals QR; Levenberg-Marquardt ends where optimistix does."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from small_problems import DOUBLET, Equations, at_truth, histogram, rutile

import jaxnmr as jn
from jaxnmr.errors import ConventionError
from jaxnmr.refinement.solvers import damped_step, jaxopt_step
from jaxnmr.refinement.subproblem import compressed, decomposed


def problem(condition=1.0, rows=80, columns=7, seed=0):
    """Residuals and a Jacobian whose scaled columns have this condition number, with columns of very different size."""
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.normal(size=(rows, columns)))[0]
    v = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    jacobian = (u * np.logspace(0, -np.log10(condition), columns)) @ v
    return rng.normal(size=rows) + 3 * u @ rng.normal(size=columns), jacobian * np.logspace(-5, 5, columns)


def relative(a, b, jacobian):
    """Difference of two steps in what they do to the residuals and in scaled parameters."""
    norms = np.linalg.norm(jacobian, axis=0)
    return max(
        np.linalg.norm(jacobian @ (a - b)) / np.linalg.norm(jacobian @ b),
        np.linalg.norm((a - b) * norms) / np.linalg.norm(b * norms),
    )


@jax.jit
def _both(r, jacobian, damping):
    free = decomposed(compressed(r, jacobian), np.ones(7, dtype=bool))
    return jaxopt_step(free, damping), damped_step(free, damping)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("damping", [0.0, 1e-6, 1e-2, 10.0])
def test_the_gauss_newton_step_of_jaxopt_equals_the_one_by_qr(condition, damping):
    r, jacobian = problem(condition)
    norms = np.linalg.norm(jacobian, axis=0)
    ridge = np.concatenate([jacobian / norms, np.sqrt(damping) * np.eye(7)])
    exact = -np.linalg.lstsq(ridge, np.concatenate([r, np.zeros(7)]), rcond=None)[0] / norms
    for step in _both(r, jacobian, damping):
        assert relative(step, exact, jacobian) < 1e-6


def test_both_rules_ignore_what_the_data_do_not_determine():
    r, jacobian = problem()
    jacobian[:, 3] = 0.5 * jacobian[:, 2]
    jacobian[:, 5] = 0.0
    step, other = _both(r, jacobian, 0.0)
    assert np.isfinite(step).all() and step[5] == other[5] == 0.0
    assert relative(step, other, jacobian) < 1e-6


@pytest.mark.parametrize("solver", [jn.GaussNewton, jn.LevenbergMarquardt])
def test_settings_without_sense_are_refused(solver):
    with pytest.raises(ConventionError, match=r"expected at least 1 and a positive number|expected a finite number"):
        solver(max_steps=0)
    with pytest.raises(ConventionError, match=r"expected at least 1 and a positive number|expected a finite number"):
        solver(tolerance=0.0)
    with pytest.raises(ConventionError, match=r"expected at least 1 and a positive number|expected a finite number"):
        solver(tolerance=float("nan"))


# -- against optimistix ------------------------------------------------------------------------------------------------
def _rosenbrock(x):
    return jnp.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0], 0.3 * (x[0] + x[1]) - 1.1])


def _decays(x):
    t = np.linspace(0, 4, 40)
    target = 2.0 * np.exp(-3.0 * t) + 1.0 * np.exp(-0.5 * t) + 0.01 * np.cos(11 * t)
    return (x[0] * jnp.exp(-x[1] * t) + x[2] * jnp.exp(-x[3] * t) - target) / 0.01


def _peak(x):
    t = np.linspace(-3, 3, 60)
    model = x[0] * jnp.exp(-0.5 * ((t - x[1]) * jnp.exp(-x[2])) ** 2) + x[3] + x[4] * t
    target = 8.0 * np.exp(-0.5 * ((t - 0.4) / 0.7) ** 2) + 1.0 + 0.2 * t
    return (model - target - 0.3 * np.sin(9 * t)) / 0.3


EQUATIONS = {
    "a curved valley": (_rosenbrock, [-1.2, 1.0]),
    "two decays": (_decays, [1.0, 2.0, 1.5, 0.8]),
    "a peak on a slope": (_peak, [4.0, -0.3, 0.2, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize(
    "solver", [jn.LevenbergMarquardt(tolerance=1e-6, max_steps=300), jn.GaussNewton(tolerance=1e-6, max_steps=300)]
)
def test_equations_are_solved_where_optimistix_solves_them(name, solver):
    function, start = EQUATIONS[name]
    objective = jn.Objective(Equations(function, start), crystal=None)
    fit = jn.refine(objective, objective.parameters().free("*"), solver=solver, suggest=False)
    rule = optimistix.LevenbergMarquardt(rtol=1e-9, atol=1e-9)
    other = optimistix.least_squares(lambda x, _: function(x), rule, jnp.asarray(start), max_steps=2000, throw=False)
    best = float(jnp.sum(function(other.value) ** 2))
    ours = float(np.sum(np.asarray(function(jnp.asarray(fit.parameters["problem/x"]))) ** 2))
    assert ours <= best * (1 + 1e-6) + 1e-12
    np.testing.assert_allclose(fit.parameters["problem/x"], other.value, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def powder():
    term, true = histogram(rutile(), DOUBLET, np.arange(24, 60, 0.1), values={"size": 0.08}, seed=4)
    objective = jn.Objective(term, crystal=rutile())
    start = at_truth(objective, xrd=true)
    free = start.free("cell", "xyz", "u_iso", "xrd/scale", "xrd/background", "xrd/size")
    moved = (
        free.set("cell", [4.597, 4.597, 2.957, 90, 90, 90])
        .set("xyz[O1.x]", 0.308)
        .set("xrd/size", 0.06)
        .set("u_iso", 0.01)
    )
    return objective, moved


@pytest.fixture(scope="module")
def fits(powder):
    objective, params = powder
    return [
        jn.refine(objective, params, solver=s, suggest=False)
        for s in (jn.LevenbergMarquardt(), jn.GaussNewton(), jn.LevenbergMarquardt(initial_damping=10.0))
    ]


def test_all_rules_reach_the_same_minimum_of_a_powder_pattern(fits):
    first, *others = fits
    esd = np.concatenate([e.ravel() for e in first.esds.values()])
    moved = esd > 0
    for other in others:
        difference = np.abs(np.asarray(other.parameters.flat) - np.asarray(first.parameters.flat))[moved] / esd[moved]
        assert difference.max() < 0.02


def test_the_minimum_of_a_powder_pattern_is_the_one_of_optimistix(fits):
    fit = fits[0]
    objective, params = fit.objective, fit.parameters
    layout, offset, transform = params.spec.layout, params.offset(), params.spec.transform
    residuals = lambda theta, _: objective.residuals_at(objective.state(layout.unflatten(offset + transform @ theta)))
    started = params.theta + 0.05 * np.random.default_rng(0).normal(size=params.n_free)
    solve = jax.jit(
        lambda y: (
            optimistix.least_squares(
                residuals, optimistix.LevenbergMarquardt(rtol=1e-9, atol=1e-9), y, max_steps=100, throw=False
            ).value
        )
    )
    theirs = np.asarray(solve(jnp.asarray(started)))
    esd = np.concatenate([e.ravel() for e in fit.esds.values()])[params.spec.free_pivots]
    difference = np.abs(theirs - params.theta) * params.spec.scale[params.spec.free_pivots] / esd
    assert difference.max() < 0.02
