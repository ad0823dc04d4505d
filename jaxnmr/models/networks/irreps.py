"""Irreps, rotations and Cartesian tensors, in the order and signs of e3nn (axes x, y, z)."""

from functools import cache

import e3nn_jax as e3nn
import jax.numpy as jnp
import numpy as np

from ...errors import ShapeError
from ...typing import Array


@cache
def tensor_basis() -> np.ndarray:
    """Orthonormal basis ``(9, 3, 3)`` of Cartesian tensors: 0e, which is trace/sqrt3, then 1e, antisymmetric, then 2e."""
    # weights of networks belong to these, in the order and signs of e3nn, whose polar axis is y: not `TRACELESS_DYADS`
    basis = np.zeros((9, 3, 3))
    basis[0] = np.eye(3) / np.sqrt(3.0)
    for k, (i, j) in enumerate([(1, 2), (2, 0), (0, 1)], start=1):
        basis[k, i, j], basis[k, j, i] = np.sqrt(0.5), -np.sqrt(0.5)
    for k, (i, j) in ((4, (0, 2)), (5, (0, 1)), (7, (1, 2))):
        basis[k, i, j] = basis[k, j, i] = np.sqrt(0.5)
    basis[6] = np.diag([-1.0, 2.0, -1.0]) / np.sqrt(6.0)
    basis[8] = np.diag([-1.0, 0.0, 1.0]) / np.sqrt(2.0)
    return basis


def parts(irreps: str) -> np.ndarray:
    """Indices of the components, of nine, that a head of these irreps has: 0e is the first, 1e the next three, 2e the last five."""
    at = {0: range(0, 1), 1: range(1, 4), 2: range(4, 9)}
    return np.concatenate([np.array(at[ir.l]) for _, ir in e3nn.Irreps(irreps)])


def cartesian(components, irreps: str) -> Array:
    """Cartesian tensors ``(..., 3, 3)`` of components ``(..., dim)``; parts that the irreps lack are zero.

    Raises:
        ShapeError: another number of components.
    """
    components = jnp.asarray(components)
    basis = tensor_basis()[parts(irreps)]
    if components.shape[-1:] != (len(basis),):
        raise ShapeError(f"components have the shape {components.shape}; {irreps} needs (..., {len(basis)})")
    return jnp.einsum("...k,kij->...ij", components, jnp.asarray(basis, dtype=components.dtype))


def components(tensors, irreps: str) -> np.ndarray:
    """The components ``(..., dim)`` of Cartesian tensors ``(..., 3, 3)`` that a head of these irreps predicts (host)."""
    tensors = np.asarray(tensors, dtype=float)
    if tensors.shape[-2:] != (3, 3):
        raise ShapeError(f"tensors have the shape {tensors.shape}; expected (..., 3, 3)")
    return np.einsum("...ij,kij->...k", tensors, tensor_basis()[parts(irreps)])
