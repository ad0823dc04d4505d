"""Jacobians with learned tensors equal plain forward mode of the residuals, whichever way the network is differentiated."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from small_tensor_models import CUTOFF, SPECIES, quartz

import jaxnmr as jn
from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel
from jaxnmr.models.tensors.derivatives import Backward, Everywhere, Forward
from jaxnmr.objective.objective import residuals_and_jacobian

REFERENCE = jn.ShiftReference(330.0)


@jn.term("again", sigma=0.1)
def again(state):
    """The shift that the list of peaks reads, without saying so."""
    return state.shift("17O", REFERENCE)


@lru_cache
def model() -> TensorModel:
    """One round of messages: how a network is differentiated does not depend on their number."""
    heads = (HeadConfig(name="shielding", irreps="0e+2e", elements=SPECIES), HeadConfig(name="efg", elements=("O",)))
    small = NetworkConfig(
        species=SPECIES, heads=heads, hidden="3x0e+2x1o+2x2e", layers=1, cutoff=CUTOFF, radial=4, radial_hidden=(4,)
    )
    rng = np.random.default_rng(5)
    scale = {head.name: rng.uniform(0.5, 2.0, (2, len(head.ranks))) for head in heads}
    return TensorModel.create(small, key=jax.random.key(3), scale=scale, dtype=np.float64)


@lru_cache
def problem(custom: bool = False):
    """Quartz with tensors, peaks, a restraint and a prior; everything but occupancies free."""
    crystal = quartz()
    observed = np.random.default_rng(0).normal(size=(1, 3, 3)) + 100.0 * np.eye(3)
    terms = (
        jn.TensorTerm("29Si", observed, sigma=0.3, reference=REFERENCE, name="si")
        + jn.TensorTerm("17O", [[4e5, 0.3]], sigma=(1e4, 0.1), quantity="efg", kind="cq_eta", name="o")
        + 2.0 * jn.PeakListTerm("17O", [180.0], sigma=0.2, reference=REFERENCE)
        + jn.Restraint.bonds(crystal, sigma=0.02)
        + jn.Prior("u_iso", 0.01, 0.002)
    )
    objective = jn.Objective(terms + again if custom else terms, crystal=crystal, models=model())
    params = objective.parameters().free("cell", "xyz", "u_iso", "si/*", "o/slope", "peaks/reference")
    params = params.at(params.theta + 0.1 * np.random.default_rng(1).normal(size=params.n_free))
    return objective.bind(params), params


@lru_cache
def plain() -> np.ndarray:
    """Forward mode of the residuals along every refined number, a network evaluated for each."""
    objective, params = problem()
    along = lambda theta: objective.residuals(params.replace(flat=params.offset() + params.spec.transform @ theta))
    return np.asarray(jax.jit(jax.jacfwd(along))(jnp.asarray(params.theta)))


def structured(objective, params) -> np.ndarray:
    spec = params.spec
    return np.asarray(residuals_and_jacobian(spec.layout, objective, params.offset(), spec.transform, params.theta)[1])


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()


def changed(objective, **what):
    return objective.replace(sources=tuple(p.replace(**what) for p in objective.sources))


def test_forward_mode_along_what_moves_atoms_is_plain_forward_mode():
    objective, params = problem()
    (predicted,) = objective.sources
    moved = [params.free_names[k] for k in predicted.way.columns]
    assert moved == ["cell[a]", "cell[c]", "xyz[Si1.x]", "xyz[O1.x]", "xyz[O1.y]", "xyz[O1.z]"]
    assert predicted.way == Forward(predicted.way.columns, 12)
    assert close(structured(objective, params), plain())
    assert close(np.asarray(objective.jacobian(params)) * params.spec.scale[params.spec.free_pivots], plain())


def test_the_gradient_of_an_objective_is_the_jacobian_times_the_residuals():
    objective, params = problem()
    gradient = jax.jit(jax.grad(objective))(params).flat @ params.spec.transform
    residuals = np.asarray(jax.jit(objective.residuals)(params))
    np.testing.assert_allclose(gradient, plain().T @ residuals, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())


def test_reverse_mode_from_what_terms_read_is_plain_forward_mode():
    objective, params = problem()
    (predicted,) = objective.sources
    way = Backward(predicted.way.columns, predicted._rows(objective._reads()), 12)
    backward = changed(objective, way=way, memory_bytes=5 * predicted.tangent_bytes)
    assert "reverse mode from 12 components" in backward.plan_notes()[0] and "; 4 at a time" in backward.plan_notes()[0]
    assert close(structured(backward, params), plain())


def test_terms_that_do_not_say_what_they_read_have_everything_differentiated():
    objective, params = problem(custom=True)
    (predicted,) = objective.sources
    assert predicted.way == Forward(predicted.way.columns, None)
    jacobian, peaks = structured(objective, params), objective.row_slices(params)["peaks"]
    assert close(jacobian[:-1], plain())
    # the same shift with another uncertainty and weight; the reference of the list is not that of the state
    reference = params.free_names.index("peaks/reference")
    expected = np.delete(jacobian[peaks], reference, axis=1) * (0.2 / 0.1 / np.sqrt(2.0))
    assert close(np.delete(jacobian[-1:], reference, axis=1), expected)
    assert jacobian[-1, reference] == 0.0


@lru_cache
def directions() -> jn.Crystal:
    """Tangents of the cell and of the coordinates, some of them of nothing."""
    rng = np.random.default_rng(2)
    moving = np.array([1, 1, 0, 1, 1, 1, 0, 1, 1])
    cell, xyz = moving[:, None] * rng.normal(size=(9, 6)), moving[:, None, None] * rng.normal(size=(9, 2, 3))
    still = jax.tree.map(lambda leaf: np.zeros((9, *np.shape(leaf))), quartz())
    return still.replace(cell=cell, xyz=xyz)


linearised = jax.jit(lambda predicted, crystal, tangents: predicted.linearised(crystal, tangents)[1])


@lru_cache
def pushed() -> dict[str, np.ndarray]:
    """Derivatives along all of them at once."""
    return linearised(changed(problem()[0], way=Everywhere()).sources[0], quartz(), directions())


def test_a_small_memory_takes_batches_and_changes_nothing():
    predicted = changed(problem()[0], way=Forward((0, 1, 3, 4, 5, 7, 8), 12)).sources[0]
    small = predicted.replace(memory_bytes=4 * predicted.tangent_bytes)
    assert "; 4 at a time." in small.note()
    for head, found in linearised(small, quartz(), directions()).items():
        assert found.shape == (9, 2, 3, 3)
        np.testing.assert_allclose(found, pushed()[head], rtol=1e-9, atol=1e-10)
        assert (found[2] == 0).all() and (found[6] == 0).all()


def test_a_column_that_was_not_announced_is_not_a_number_rather_than_wrong():
    short = changed(problem()[0], way=Forward((1, 3, 4, 5, 7), 12)).sources[0]
    found = np.asarray(linearised(short, quartz(), directions())["shielding"])
    assert np.isnan(found[[0, 8]]).all() and np.isfinite(found[1:8]).all()


def test_an_ensemble_is_differentiated_as_its_mean():
    first, predicted = model(), changed(problem()[0], way=Everywhere()).sources[0]
    second = first.replace(scale=jax.tree.map(lambda a: 1.3 * a, first.scale))
    both = predicted.replace(model=TensorModel.ensemble([first, second]))
    assert both.tangent_bytes == 2 * predicted.tangent_bytes
    found = linearised(both, quartz(), directions())
    # outputs are linear in the scales
    for head, one in pushed().items():
        np.testing.assert_allclose(found[head], 1.15 * one, rtol=1e-9, atol=1e-10)
