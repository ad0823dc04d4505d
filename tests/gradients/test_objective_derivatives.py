"""The structured Jacobian of an objective equals plain forward mode, reverse mode and central differences; with losses, too."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, NEUTRON, SYNCHROTRON, anatase, at_truth, histogram, monoclinic, rutile

import jaxnmr as jn
from jaxnmr.objective.normal import normal_equations
from jaxnmr.objective.objective import residuals, residuals_and_jacobian

# away from the ends of ranges and from points where a derivative vanishes
_LABORATORY = {
    "displacement": 40.0,
    "transparency": 0.02,
    "roughness_a": 0.9,
    "roughness_b": 0.1,
    "size": 0.08,
    "size_mix": 0.7,
}
_CAPILLARY = {"displace_x": 30.0, "displace_y": -20.0, "zero": 0.01, "size": 0.2, "strain": 1500.0, "strain_mix": 0.6}


@lru_cache
def problem(kind: str):
    """One objective per kind, moved off its minimum, with everything free."""
    if kind == "two phases, laboratory doublet":
        crystal = {"rutile": rutile(), "anatase": anatase()}
        mixed = _LABORATORY | {"size": [0.05, 0.03], "scale": [1.0, 0.4]}
        term, true = histogram(crystal, DOUBLET, np.arange(22, 72, 0.1), values=mixed)
        terms, histograms = term, {"xrd": true}
    elif kind == "synchrotron capillary":
        crystal = monoclinic()
        term, true = histogram(crystal, SYNCHROTRON, np.arange(4, 18, 0.03), values=_CAPILLARY)
        terms, histograms = term, {"xrd": true}
    else:
        crystal = monoclinic()
        xrd, x_true = histogram(crystal, DOUBLET, np.arange(14, 50, 0.12), values=_LABORATORY, name="xrd")
        capillary = {"zero": 0.05, "absorption": 0.3}
        neutron, n_true = histogram(crystal, NEUTRON, np.arange(20, 70, 0.2), values=capillary, name="neutron")
        soft = jn.Restraint.bonds(crystal, sigma=0.02, cutoffs={("S", "O"): 2.6, ("S", "N"): 4.5, ("O", "N"): 3.0})
        angle = jn.Restraint.angle(crystal, ("S1", "O1", "N1"), 100.0, 2.0)
        volume = 3.0 * volume_near_a_guess.robust("huber")
        terms = 0.5 * xrd.robust("soft_l1") + neutron + 3.0 * soft + angle + jn.Prior("u_iso", 0.01, 0.003) + volume
        histograms = {"xrd": x_true, "neutron": n_true}
    objective = jn.Objective(terms, crystal=crystal)
    params = at_truth(objective, **histograms).free("*")
    lower, upper = params.theta_bounds()
    shift = 0.3 * np.random.default_rng(1).normal(size=params.n_free)
    params = params.at(np.clip(params.theta + shift, lower, upper))
    # as a refinement does, in one of them
    return objective.bind(params) if kind == KINDS[2] else objective, params


@jn.term("volume", sigma=2.0)
def volume_near_a_guess(state):
    return state.crystal.volume() - 180.0


KINDS = ("two phases, laboratory doublet", "synchrotron capillary", "x-rays, neutrons and restraints")


def at_theta(objective, params):
    """Residuals as a plain function of the refined numbers."""
    layout, offset, transform = params.spec.layout, params.offset(), params.spec.transform
    return lambda theta: objective.residuals_at(objective.state(layout.unflatten(offset + transform @ theta)))


def structured(objective, params):
    return residuals_and_jacobian(
        params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)
    )


@jax.jit
def value_and_gradient(objective, params):
    return jax.value_and_grad(objective.__call__)(params)


def worst(difference, reference):
    """Largest difference per column, relative to that column (or the smallest meaningful one)."""
    size = np.linalg.norm(reference, axis=0)
    return (np.linalg.norm(difference, axis=0) / np.maximum(size, 1e-7 * size.max())).max()


@pytest.mark.parametrize("kind", KINDS)
def test_the_structured_jacobian_is_the_derivative_of_the_residuals(kind):
    objective, params = problem(kind)
    theta = jnp.asarray(params.theta)
    constant = params.spec.layout, objective, params.offset(), params.spec.transform
    r, jacobian = map(np.asarray, structured(objective, params))
    plain = np.asarray(jax.jit(jax.jacfwd(at_theta(objective, params)))(theta))
    assert worst(jacobian - plain, plain) < 1e-9

    np.testing.assert_allclose(r, residuals(*constant, theta), rtol=1e-9, atol=1e-9)
    # fourth-order central differences; the step is a thousandth of a typical change
    h = 1e-3
    columns = []
    for k in range(theta.size):
        at = lambda m, k=k: np.asarray(residuals(*constant, theta.at[k].add(m * h)))
        columns.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h))
    assert worst(jacobian - np.stack(columns, axis=1), plain) < 1e-6


def test_normal_equations_are_products_of_the_jacobian():
    objective, params = problem(KINDS[2])
    arguments = params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)
    r, products, gradient = map(np.asarray, normal_equations(*arguments))
    r_of_jacobian, jacobian = map(np.asarray, structured(objective, params))
    plain = np.asarray(residuals(*arguments))
    for found in (r, r_of_jacobian):
        np.testing.assert_allclose(found, plain, rtol=1e-11, atol=1e-11 * np.abs(plain).max())
    assert (products == products.T).all()
    lengths = np.linalg.norm(jacobian, axis=0)
    scale = np.where(lengths > 0, lengths, 1.0)
    assert np.abs((products - jacobian.T @ jacobian) / np.outer(scale, scale)).max() < 1e-12
    assert np.abs(gradient - jacobian.T @ r).max() < 1e-12 * lengths.max() * np.linalg.norm(r)


def test_the_gradient_of_the_objective_is_the_residuals_times_the_jacobian():
    objective, params = problem(KINDS[0])
    value, gradient = value_and_gradient(objective, params)
    r, jacobian = map(np.asarray, structured(objective, params))
    assert value == pytest.approx(0.5 * r @ r, rel=1e-9)
    by_theta = np.asarray(gradient.flat) @ params.spec.transform
    np.testing.assert_allclose(by_theta, jacobian.T @ r, rtol=1e-7, atol=1e-9 * np.abs(jacobian.T @ r).max())


def test_the_public_jacobian_is_per_physical_unit():
    objective, params = problem(KINDS[0])
    scale = params.spec.scale[params.spec.free_pivots]
    np.testing.assert_allclose(objective.jacobian(params) * scale, structured(objective, params)[1], rtol=1e-9)


def test_derivatives_are_finite_where_widths_and_shifts_vanish():
    objective, params = problem(KINDS[0])
    for name in ("displacement", "roughness_b", "shl", "strain", "U", "V", "W"):
        params = params.set(f"xrd/{name}", 0.0)
    r, jacobian = structured(objective, params)
    assert np.isfinite(r).all() and np.isfinite(jacobian).all()
    assert np.isfinite(value_and_gradient(objective, params)[1].flat).all()
