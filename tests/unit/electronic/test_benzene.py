"""Benzene as pyscf finds it: its degenerate orbitals, and derivatives of what follows from them against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pyscf", reason="the Fock matrix of benzene needs pyscf, which the extra electronic installs")

from jaxnmr.electronic import Orbitals, Orthogonal, overlap
from jaxnmr.electronic.scf.calculation import Settings, molecule
from jaxnmr.electronic.scf.molecules import known
from jaxnmr.electronic.scf.packages import pyscf

PAIRS = 21


@pytest.fixture(scope="module")
def benzene():
    """Positions, converged Fock matrix and orbital energies; Hartree-Fock, since grids would not have the symmetry."""
    numbers, xyz = known("benzene")
    field = pyscf().scf.RHF(molecule(numbers, xyz, Settings()))
    field.verbose, field.conv_tol = 0, 1e-11
    field.kernel()
    assert field.converged
    return Orbitals.of(numbers), xyz, field.get_fock(), field.mo_energy


def energies_and_density(h, s):
    """By numpy, with pairs of electrons in the lowest orbitals."""
    levels, vectors = np.linalg.eigh(s)
    root = (vectors / np.sqrt(levels)) @ vectors.T
    energies, orbitals = np.linalg.eigh(root @ h @ root)
    filled = root @ orbitals[:, :PAIRS]
    return energies, 2.0 * filled @ filled.T


def differences(function, step):
    """The derivative at 0 by central differences, the error of second order removed."""
    once, twice = ((function(k * step) - function(-k * step)) / (2 * k * step) for k in (1, 2))
    return (4 * once - twice) / 3


def test_highest_occupied_orbitals_are_a_pair_and_energies_are_those_of_pyscf(benzene):
    orbitals, xyz, h, expected = benzene
    found = np.asarray(jax.jit(lambda h, x: Orthogonal.of(h, overlap(orbitals, x)).energies())(h, xyz))
    # pyscf diagonalises the matrix before the last
    np.testing.assert_allclose(found, expected, atol=1e-6)
    pairs = np.flatnonzero(np.diff(found[:PAIRS]) < 1e-7)
    assert pairs[-1] == PAIRS - 2 and len(pairs) >= 6
    assert found[PAIRS] - found[PAIRS - 1] > 0.4


def test_derivatives_by_the_matrix_and_by_positions_are_those_of_differences(benzene):
    """Forward and reverse, of the band energy and of a moment of the density, along ways that split the pairs."""
    orbitals, xyz, h, _ = benzene
    rng = np.random.default_rng(0)
    weight, way = (a + a.T for a in rng.normal(size=(2, *h.shape)))
    # as large for functions that nearly depend on each other as for others
    s = np.asarray(overlap(orbitals, xyz))
    weight, way = (s @ a @ s / np.abs(s @ a @ s).max() for a in (weight, way))
    along = rng.normal(size=xyz.shape)

    def both(h, x):
        problem = Orthogonal.of(h, overlap(orbitals, x))
        return jnp.stack([2.0 * jnp.sum(problem.energies()[:PAIRS]), jnp.sum(weight * problem.density(PAIRS))])

    forward = jax.jit(lambda h, x, dh, dx: jax.jvp(both, (h, x), (dh, dx))[1])
    reverse = jax.jit(jax.jacrev(both, argnums=(0, 1)))(h, xyz)
    assert all(np.isfinite(part).all() for part in reverse)
    shared = jax.jit(lambda x: overlap(orbitals, x))

    def plain(h, x):
        energies, density = energies_and_density(h, np.asarray(shared(x)))
        return np.array([2.0 * energies[:PAIRS].sum(), (weight * density).sum()])

    by_matrix = differences(lambda t: plain(h + t * way, xyz), 1e-3)
    by_positions = differences(lambda t: plain(h, xyz + t * along), 1e-4)
    none, still = np.zeros_like(h), np.zeros_like(xyz)
    for tangents, expected in (((way, still), by_matrix), ((none, along), by_positions)):
        np.testing.assert_allclose(forward(h, xyz, *tangents), expected, rtol=1e-6)
        turned = sum(np.sum(np.asarray(part) * of, axis=(1, 2)) for part, of in zip(reverse, tangents, strict=True))
        np.testing.assert_allclose(turned, expected, rtol=1e-6)
