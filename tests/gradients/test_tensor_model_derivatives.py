"""Derivatives of predicted tensors by coordinates and cell."""

import jax
import jax.numpy as jnp
import numpy as np
from small_tensor_models import model, quartz, tensors

from jaxnmr import Crystal
from jaxnmr.graph import batch_graphs

# steps of a central difference; the best of them is compared
STEPS = (1e-3, 3e-4, 1e-4)


def of_sites(crystal, plan):
    out = model().tensors(crystal, plan)
    return jnp.concatenate([out["shielding"].ravel(), out["efg"][jnp.array(plan_oxygen(crystal))].ravel()])


def plan_oxygen(crystal):
    return [k for k, element in enumerate(crystal.elements) if element == "O"]


@jax.jit
def along(crystal, plan, cell, xyz):
    """Values, and their derivative when cell and coordinates move in a direction."""
    moved = lambda t: of_sites(crystal.replace(cell=crystal.cell + t * cell, xyz=crystal.xyz + t * xyz), plan)
    return jax.jvp(moved, (jnp.zeros(()),), (jnp.ones(()),))


def central(function, h):
    """Central difference of fourth order."""
    return (8 * (function(h) - function(-h)) - function(2 * h) + function(-2 * h)) / (12 * h)


def triclinic() -> Crystal:
    return Crystal.create(
        cell=[3.9, 4.2, 4.8, 79, 98, 74],
        spacegroup="P 1",
        species=["Si", "O", "O"],
        xyz=[[0.03, 0.11, 0.07], [0.46, 0.08, 0.21], [0.31, 0.55, 0.62]],
    )


def test_forward_and_reverse_mode_and_central_differences_agree_for_every_coordinate_and_cell_parameter():
    crystal = triclinic()
    plan = model().plan(crystal)
    x0 = np.concatenate([crystal.cell, crystal.xyz.ravel()])
    directions = [(x[:6], x[6:].reshape(-1, 3)) for x in np.eye(len(x0))]
    forward = np.stack([np.asarray(along(crystal, plan, *d)[1]) for d in directions], axis=1)
    assert np.isfinite(forward).all() and (np.abs(forward).max(axis=0) > 1e-3).all()

    function = lambda x: of_sites(crystal.replace(cell=x[:6], xyz=x[6:].reshape(-1, 3)), plan)
    weights = np.random.default_rng(0).normal(size=(3, len(forward)))
    pull = jax.jit(lambda w: jax.vjp(function, x0)[1](w)[0])
    reverse = np.stack([np.asarray(pull(w)) for w in weights])
    np.testing.assert_allclose(reverse, weights @ forward, rtol=0, atol=1e-10 * np.abs(reverse).max())

    for k, (cell, xyz) in enumerate(directions):
        value = lambda t, c=cell, x=xyz: np.asarray(
            along(crystal.replace(cell=crystal.cell + t * c, xyz=crystal.xyz + t * x), plan, c, x)[0]
        )
        error = min(np.abs(central(value, h) - forward[:, k]).max() for h in STEPS)
        assert error < 1e-6 * np.abs(forward[:, k]).max(), f"parameter {k}"


def test_by_the_free_parameters_of_a_crystal_derivatives_are_those_of_all_atoms_moved_together():
    # the axes of a rhombohedral cell turn when its angle changes, and with them all its operations
    crystal = Crystal.create(
        cell=[4.2, 4.2, 4.2, 75, 75, 75],
        spacegroup="R 3 c:R",
        species=["Si", "O"],
        xyz=[[0.0, 0.0, 0.0], [0.21, 0.48, 0.77]],
    )
    plan = model().plan(crystal)
    directions = [
        (np.array([1.0, 1, 1, 0, 0, 0]), np.zeros((2, 3))),
        (np.array([0.0, 0, 0, 1, 1, 1]), np.zeros((2, 3))),
        (np.zeros(6), np.array([[0, 0, 0], [0.2, -0.7, 0.4]])),
    ]

    def without_symmetry(t, cell, xyz):
        graph = plan.graph(crystal.replace(cell=crystal.cell + t * cell, xyz=crystal.xyz + t * xyz))
        lattice, positions = np.asarray(graph.globals["lattice"][0]), np.asarray(graph.nodes["positions"])
        shielding, efg = tensors(lattice, positions, ["Si"] * 2 + ["O"] * 6)
        first = np.asarray(plan.sites)
        return np.concatenate([shielding[first].ravel(), efg[first[1]].ravel()])

    for direction in directions:
        forward = np.asarray(along(crystal, plan, *direction)[1])
        quotient = central(lambda t, d=direction: without_symmetry(t, *d), 3e-4)
        np.testing.assert_allclose(forward, quotient, rtol=0, atol=1e-6 * np.abs(forward).max())


def test_derivatives_are_finite_and_zero_at_padding():
    crystal = quartz()
    reference = model().plan(crystal).reference
    graph = batch_graphs([reference], n_node=32, n_edge=512)
    assert (np.asarray(graph.nodes["positions"])[9:] == 0).all()

    def loss(positions, weights):
        out = model().replace(weights=weights).components(graph._replace(nodes=graph.nodes | {"positions": positions}))
        return sum(jnp.sum(v[:9] ** 2) for v in out.values())

    by_position, by_weight = jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(graph.nodes["positions"]), model().weights)
    assert np.isfinite(by_position).all() and np.asarray(by_position)[:9].any()
    np.testing.assert_array_equal(by_position[9:], 0.0)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(by_weight))
    assert all(np.asarray(g).any() for g in jax.tree.leaves(by_weight))


def test_a_solver_that_moves_atoms_beyond_the_skin_gets_no_number():
    crystal, still = triclinic(), (np.zeros(6), np.zeros((3, 3)))
    plan = model().plan(crystal)
    assert np.isfinite(np.asarray(along(crystal, plan, *still)[0])).all()
    far = crystal.replace(xyz=crystal.xyz + np.array([[0.1, 0, 0], [0, 0, 0], [0, 0, 0]]))
    assert float(plan.margin(far)) < 0 < float(plan.renewed(far).margin(far))
    assert np.isnan(np.asarray(along(far, plan, *still)[0])).all()
