"""Normal equations of several lanes in one program; those of one are in test_objective_derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
from small_problems import DOUBLET, anatase, at_truth, histogram, rutile

import jaxnmr as jn
from jaxnmr.objective.normal import normal_equations


def problem():
    """An objective and parameters off its minimum, everything free."""
    crystal = {"rutile": rutile(), "anatase": anatase()}
    values = {"displacement": 40.0, "size": [0.05, 0.03], "size_mix": 0.7, "scale": [1.0, 0.4]}
    at = np.arange(20.0, 75.0, 0.3)
    empty = jn.Pattern.create(at, 60.0 + 0.5 * at, np.full(at.shape, 7.0))
    # all that a background can have; the scale of the measured one is in the uncertainties, too
    background = (
        jn.Background.chebyshev(3).with_peak(33.0, 6.0, 60.0, 0.3).with_hump(2.2, 0.1, 50.0).with_measured(empty)
    )
    term, true = histogram(crystal, DOUBLET, np.arange(22, 72, 0.08), values=values, seed=4, background=background)
    objective = jn.Objective(term.robust("cauchy"), crystal=crystal)
    params = at_truth(objective, xrd=true).free("*")
    lower, upper = params.theta_bounds()
    shift = 0.2 * np.random.default_rng(2).normal(size=params.n_free)
    params = params.at(np.clip(params.theta + shift, lower, upper))
    return objective.bind(params), params


def test_lanes_inside_a_loop_have_the_normal_equations_of_each_alone():
    objective, params = problem()
    # fewer parameters than positions and widths depend on
    params = params.fix("*").free("*/cell", "xrd/scale", "xrd/background*", "xrd/shl", "xrd/ratio", "xrd/displacement")
    spec, theta = params.spec, jnp.asarray(params.theta)
    other = params.set("xrd/zero", 1.5)
    wider = objective.replan(other).objective  # the same room with other tiles in it
    first, second = (of.terms[0].model for of in (objective, wider))
    assert first.core.peaks.shape == second.core.peaks.shape and (first.core.peaks != second.core.peaks).any()
    lanes = [(objective, params.offset(), theta), (wider, other.offset(), theta + 0.05)]

    def twice(objective, offset, theta):
        found = lambda: normal_equations(spec.layout, objective, offset, spec.transform, theta)
        add = lambda carry: (carry[0] + 1, jax.tree.map(jnp.add, carry[1], found()))
        start = (0, jax.tree.map(jnp.zeros_like, jax.eval_shape(found)))
        return jax.lax.while_loop(lambda carry: carry[0] < 2, add, start)[1]

    together = jax.jit(jax.vmap(twice))(*jax.tree.map(lambda *of: jnp.stack(of), *lanes))

    @jax.jit
    def alone(objective, offset, theta):
        rows = lambda t: objective.residuals_at(objective.state(spec.layout.unflatten(offset + spec.transform @ t)))
        return rows(theta), jax.jacfwd(rows)(theta)

    for k, lane in enumerate(lanes):
        r, jacobian = map(np.asarray, alone(*lane))
        for found, wanted in zip(together, (r, jacobian.T @ jacobian, jacobian.T @ r), strict=True):
            np.testing.assert_allclose(found[k], 2.0 * wanted, rtol=1e-8, atol=1e-10 * np.abs(wanted).max())
