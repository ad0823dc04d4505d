"""Spherical components against Cartesian tensors."""

import numpy as np
import pytest

from jaxnmr.nmr import rotation as cartesian_rotation
from jaxnmr.nmr.powder.spherical import from_cartesian, product, rotation, wigner_d


def components(tensor):
    return np.einsum("kij,ij->k", from_cartesian(), tensor)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(5)
    pair = rng.normal(size=(2, 3, 3))
    return pair + pair.swapaxes(1, 2)


def test_trace_and_antisymmetric_part_drop_out(tensors):
    other = tensors[0] + 3.0 * np.eye(3) + np.array([[0, 1, 2], [-1, 0, 3], [-2, -3, 0.0]])
    np.testing.assert_allclose(components(other), components(tensors[0]), atol=1e-14)


def test_principal_components_are_those_of_the_textbook():
    zeta, eta = 40.0, 0.3
    principal = np.diag([-zeta * (1 + eta) / 2, -zeta * (1 - eta) / 2, zeta])
    np.testing.assert_allclose(components(principal), [np.sqrt(1.5) * zeta, 0, 0, -eta * zeta / 2, 0], atol=1e-13)


def test_turning_components_is_turning_the_tensor(tensors):
    alpha, beta = 0.7, 1.9
    turn = np.asarray(cartesian_rotation(0.0, np.degrees(beta), np.degrees(alpha)))
    seen = components(turn.T @ tensors[0] @ turn)
    ours = rotation(2, np.array([alpha]), np.array([beta]))[0] @ components(tensors[0])
    np.testing.assert_allclose(ours, seen, atol=1e-13)


@pytest.mark.parametrize("rank", [0, 2, 4])
def test_products_turn_like_tensors_of_their_rank(tensors, rank):
    a, b = map(components, tensors)
    turn2, turn = (rotation(r, np.array([0.7]), np.array([1.9]))[0] for r in (2, rank))
    coupled = lambda a, b: np.einsum("kab,a,b->k", product(rank), a, b)
    np.testing.assert_allclose(coupled(turn2 @ a, turn2 @ b), turn @ coupled(a, b), atol=1e-12)


def test_the_scalar_product_is_the_trace(tensors):
    a, b = tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    value = np.einsum("kab,a,b->k", product(0), components(a), components(b))[0]
    assert value == pytest.approx(np.trace(a @ b) / np.sqrt(5), abs=1e-12)


@pytest.mark.parametrize("rank", [2, 4])
def test_reduced_rotation_matrices_are_orthogonal_and_compose(rank):
    one, two, both = (wigner_d(rank, b) for b in (0.4, 1.1, 1.5))
    np.testing.assert_allclose(one @ one.T, np.eye(2 * rank + 1), atol=1e-13)
    np.testing.assert_allclose(one @ two, both, atol=1e-13)
    assert wigner_d(2, 0.9)[2, 2] == pytest.approx((3 * np.cos(0.9) ** 2 - 1) / 2)
