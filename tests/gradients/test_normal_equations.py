"""Normal equations are the products of the Jacobian of the residuals: central differences, losses, weights, several lanes."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from small_problems import DOUBLET, NEUTRON, SYNCHROTRON, anatase, at_truth, histogram, monoclinic, rutile

import jaxnmr as jn
from jaxnmr.objective.normal import normal_equations
from jaxnmr.objective.objective import residuals, residuals_and_jacobian


@jn.term("volume", sigma=2.0)
def volume_near_a_guess(state):
    return state.crystal.volume() - 180.0


@lru_cache
def problem(kind: str):
    """An objective and parameters off its minimum, everything free."""
    if kind == "laboratory doublet, two phases, robust":
        crystal = {"rutile": rutile(), "anatase": anatase()}
        values = {"displacement": 40.0, "size": [0.05, 0.03], "size_mix": 0.7, "scale": [1.0, 0.4]}
        term, true = histogram(crystal, DOUBLET, np.arange(22, 72, 0.08), values=values, seed=4)
        terms, histograms = term.robust("cauchy"), {"xrd": true}
    else:
        crystal = monoclinic()
        xrd, x_true = histogram(crystal, SYNCHROTRON, np.arange(4, 18, 0.02), values={"size": 0.2}, name="xrd", seed=5)
        neutron, n_true = histogram(crystal, NEUTRON, np.arange(20, 70, 0.3), values={"zero": 0.05}, name="neutron")
        terms = 0.5 * xrd.robust("soft_l1") + neutron + 3.0 * volume_near_a_guess.robust("huber")
        histograms = {"xrd": x_true, "neutron": n_true}
    objective = jn.Objective(terms, crystal=crystal)
    params = at_truth(objective, **histograms).free("*")
    lower, upper = params.theta_bounds()
    shift = 0.2 * np.random.default_rng(2).normal(size=params.n_free)
    params = params.at(np.clip(params.theta + shift, lower, upper))
    return objective.bind(params), params


KINDS = ("laboratory doublet, two phases, robust", "x-rays, neutrons and a volume")


def arguments(kind: str):
    objective, params = problem(kind)
    return params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)


def difference(products: np.ndarray, jacobian: np.ndarray) -> float:
    """Of products of columns, relative to the lengths of both columns."""
    lengths = np.linalg.norm(jacobian, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return float(np.abs((products - jacobian.T @ jacobian) / np.outer(lengths, lengths)).max())


def test_normal_equations_are_products_of_the_jacobian_which_is_that_of_central_differences():
    *constant, theta = arguments(KINDS[1])
    r, products, gradient = map(np.asarray, normal_equations(*constant, theta))
    r_of_jacobian, jacobian = map(np.asarray, residuals_and_jacobian(*constant, theta))
    plain = np.asarray(residuals(*constant, theta))
    np.testing.assert_allclose(r, plain, rtol=1e-11, atol=1e-11 * np.abs(plain).max())
    np.testing.assert_allclose(r_of_jacobian, plain, rtol=1e-11, atol=1e-11 * np.abs(plain).max())
    assert (products == products.T).all()
    assert difference(products, jacobian) < 1e-12
    lengths = np.linalg.norm(jacobian, axis=0)
    assert np.abs(gradient - jacobian.T @ r).max() < 1e-12 * lengths.max() * np.linalg.norm(r)

    h, columns = 1e-3, []
    for k in range(theta.size):
        at = lambda m, k=k: np.asarray(residuals(*constant, theta.at[k].add(m * h)))
        columns.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h))
    seen = lengths > 1e-7 * lengths.max()
    assert difference(products[np.ix_(seen, seen)], np.stack(columns, axis=1)[:, seen]) < 1e-6


def test_lanes_inside_a_loop_have_the_normal_equations_of_each_alone():
    objective, params = problem(KINDS[0])
    # fewer parameters than positions and widths depend on
    params = params.fix("*").free("*/cell", "xrd/scale", "xrd/background", "xrd/shl", "xrd/ratio", "xrd/displacement")
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
