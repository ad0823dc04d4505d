"""Normal equations are the products of the Jacobian of the residuals: central differences, losses, weights, several lanes."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
        term, true = histogram(crystal, DOUBLET, np.arange(22, 72, 0.1), values=values, seed=4)
        terms, histograms = term.robust("cauchy"), {"xrd": true}
    elif kind == "synchrotron":
        crystal = monoclinic()
        term, true = histogram(crystal, SYNCHROTRON, np.arange(4, 18, 0.03), values={"size": 0.2, "strain": 1500.0})
        terms, histograms = term, {"xrd": true}
    else:
        crystal = monoclinic()
        xrd, x_true = histogram(crystal, DOUBLET, np.arange(14, 50, 0.12), values={"size": 0.08}, name="xrd", seed=5)
        neutron, n_true = histogram(crystal, NEUTRON, np.arange(20, 70, 0.2), values={"zero": 0.05}, name="neutron")
        soft = jn.Restraint.bonds(crystal, sigma=0.02, cutoffs={("S", "O"): 2.6, ("S", "N"): 4.5, ("O", "N"): 3.0})
        terms = 0.5 * xrd.robust("huber") + neutron + 3.0 * soft.robust("soft_l1") + volume_near_a_guess
        histograms = {"xrd": x_true, "neutron": n_true}
    objective = jn.Objective(terms, crystal=crystal)
    params = at_truth(objective, **histograms).free("*")
    lower, upper = params.theta_bounds()
    shift = 0.2 * np.random.default_rng(2).normal(size=params.n_free)
    params = params.at(np.clip(params.theta + shift, lower, upper))
    return objective.bind(params), params


KINDS = ("laboratory doublet, two phases, robust", "synchrotron", "x-rays, neutrons and restraints")


def arguments(kind: str):
    objective, params = problem(kind)
    return params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)


def difference(products: np.ndarray, jacobian: np.ndarray) -> float:
    """Of products of columns, relative to the lengths of both columns."""
    lengths = np.linalg.norm(jacobian, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return float(np.abs((products - jacobian.T @ jacobian) / np.outer(lengths, lengths)).max())


@pytest.mark.parametrize("kind", KINDS)
def test_normal_equations_are_products_of_the_jacobian(kind):
    at = arguments(kind)
    r, products, gradient = map(np.asarray, normal_equations(*at))
    r_of_jacobian, jacobian = map(np.asarray, residuals_and_jacobian(*at))
    np.testing.assert_allclose(r, r_of_jacobian, rtol=1e-11, atol=1e-11 * np.abs(r).max())
    assert (products == products.T).all()
    assert difference(products, jacobian) < 1e-12
    lengths = np.linalg.norm(jacobian, axis=0) * np.linalg.norm(r)
    assert np.abs((gradient - jacobian.T @ r) / np.where(lengths > 0, lengths, 1.0)).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_normal_equations_are_those_of_central_differences(kind):
    *constant, theta = arguments(kind)
    products = np.asarray(normal_equations(*constant, theta)[1])
    h, columns = 1e-3, []
    for k in range(theta.size):
        at = lambda m, k=k: np.asarray(residuals(*constant, theta.at[k].add(m * h)))
        columns.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h))
    jacobian = np.stack(columns, axis=1)
    seen = np.linalg.norm(jacobian, axis=0) > 1e-7 * np.linalg.norm(jacobian, axis=0).max()
    assert difference(products[np.ix_(seen, seen)], jacobian[:, seen]) < 1e-6


def test_lanes_of_normal_equations_are_those_one_by_one():
    *constant, theta = arguments("synchrotron")
    thetas = jnp.stack([theta, theta + 0.05])
    together = jax.jit(jax.vmap(lambda t: normal_equations(*constant, t)))(thetas)
    for lane, one in enumerate(thetas):
        for found, wanted in zip(together, normal_equations(*constant, one), strict=True):
            size = np.abs(wanted).max()
            np.testing.assert_allclose(found[lane], wanted, rtol=1e-9, atol=1e-11 * size)


def test_normal_equations_can_be_taken_inside_a_loop():
    *constant, theta = arguments("synchrotron")
    n = theta.size

    @jax.jit
    def twice(objective):
        layout, _, *rest = constant
        start = (0, jnp.zeros((n, n)))
        step = lambda carry: (carry[0] + 1, carry[1] + normal_equations(layout, objective, *rest, theta)[1])
        return jax.lax.while_loop(lambda carry: carry[0] < 2, step, start)[1]

    wanted = np.asarray(normal_equations(*constant, theta)[1])
    np.testing.assert_allclose(twice(constant[1]), 2.0 * wanted, rtol=1e-12, atol=1e-14 * wanted.max())
