"""Projectors, energies and roots: values, and derivatives where eigenvalues coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.electronic import (
    Orthogonal,
    eigenvalues,
    electron_pairs,
    fermi_projector,
    inverse_root,
    projector,
    require_gap,
)
from jaxnmr.errors import ConventionError

RNG = np.random.default_rng(1)


def symmetric(*shape):
    a = RNG.normal(size=shape)
    return a + np.swapaxes(a, -1, -2)


def ring(n=6):
    """Hückel's ring: all levels but the lowest and the highest are pairs."""
    return -(np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0))


def with_levels(levels):
    """A matrix with these eigenvalues."""
    q = np.linalg.qr(RNG.normal(size=(len(levels),) * 2))[0]
    return (q * np.asarray(levels)) @ q.T


def slope(function, at, way):
    """Along a way, by forward and reverse differentiation and by differences of the fourth order."""
    function = jax.jit(function)
    forward = jax.jvp(function, (jnp.asarray(at),), (jnp.asarray(way),))[1]
    reverse = jnp.sum(jax.grad(function)(jnp.asarray(at)) * way)
    h = 1e-3
    wide, narrow = ((function(at + k * h * way) - function(at - k * h * way)) / (2 * k * h) for k in (2, 1))
    return float(forward), float(reverse), float((4 * narrow - wide) / 3)


# eigenvalues, and how many are occupied: all different, pairs in both spaces, all the same within both
CASES = {
    "different": (with_levels([-3.0, -2.0, -1.1, 0.4, 1.0, 2.5]), 3),
    "benzene": (ring(), 3),
    "two levels": (with_levels([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]), 3),
    "diagonal": (np.diag([-2.0, -2.0, 1.0, 1.0, 1.0, 5.0]), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_the_projector_has_exact_derivatives_whatever_coincides(case):
    matrix, occupied = CASES[case]
    weight, way = symmetric(6, 6), symmetric(6, 6)
    found = slope(lambda a: jnp.sum(weight * projector(a, occupied)), matrix, way)
    np.testing.assert_allclose(found[:2], found[2], rtol=2e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_fractional_occupations_have_exact_derivatives_whatever_coincides(case):
    matrix, occupied = CASES[case]
    weight, way = symmetric(6, 6), symmetric(6, 6)
    found = slope(lambda a: jnp.sum(weight * fermi_projector(a, occupied, 0.4)), matrix, way)
    np.testing.assert_allclose(found[:2], found[2], rtol=2e-8, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_sums_of_energies_within_a_level_have_exact_derivatives(case):
    matrix, occupied = CASES[case]
    found = slope(lambda a: jnp.sum(eigenvalues(a)[:occupied]), matrix, symmetric(6, 6))
    np.testing.assert_allclose(found[:2], found[2], rtol=2e-9, atol=1e-9)


def test_every_energy_has_its_derivative_where_all_differ():
    matrix, way = CASES["different"][0], symmetric(6, 6)
    for k in range(6):
        found = slope(lambda a, k=k: eigenvalues(a)[k], matrix, way)
        np.testing.assert_allclose(found[:2], found[2], rtol=2e-8, atol=1e-9)


def test_the_projector_of_a_ring_is_that_of_its_plane_waves():
    n = np.arange(6)
    waves = sum(np.cos(2 * np.pi * k * (n[:, None] - n)) / 6 for k in (0, 1 / 6, -1 / 6))
    np.testing.assert_allclose(projector(ring(), 3), waves, atol=1e-14)
    np.testing.assert_allclose(eigenvalues(ring()), [-2, -1, -1, 1, 1, 2], atol=1e-14)


def test_the_inverse_root_and_its_derivative_are_exact_also_for_the_unit_matrix():
    overlap = np.eye(5) + 0.1 * symmetric(5, 5)
    root = np.asarray(inverse_root(overlap))
    np.testing.assert_allclose(root @ overlap @ root, np.eye(5), atol=1e-13)
    weight, way = symmetric(5, 5), symmetric(5, 5)
    for at in (overlap, np.eye(5)):
        found = slope(lambda s: jnp.sum(weight * inverse_root(s)), at, 0.1 * way)
        np.testing.assert_allclose(found[:2], found[2], rtol=2e-9)


def test_many_matrices_at_once_give_what_each_gives():
    many, overlaps = symmetric(3, 6, 6), np.eye(6) + 0.05 * symmetric(3, 6, 6)
    together = Orthogonal.of(many, overlaps)
    weight = symmetric(6, 6)
    value = lambda h, s: (
        jnp.sum(weight * Orthogonal.of(h, s).density(2)) + jnp.sum(Orthogonal.of(h, s).energies()[..., :2])
    )
    gradient = jax.jit(jax.grad(value, argnums=(0, 1)))
    slopes = gradient(many, overlaps)
    for k in range(3):
        alone = Orthogonal.of(many[k], overlaps[k])
        np.testing.assert_allclose(together.density(2)[k], alone.density(2), atol=1e-12)
        np.testing.assert_allclose(together.energies()[k], alone.energies(), atol=1e-12)
        for a, b in zip(slopes, gradient(many[k], overlaps[k]), strict=True):
            np.testing.assert_allclose(a[k], b, atol=1e-10)


def test_the_density_holds_the_electrons_and_solves_the_generalised_problem():
    h, s = symmetric(8, 8), np.eye(8) + 0.05 * symmetric(8, 8)
    problem = Orthogonal.of(h, s)
    d = np.asarray(problem.density(3))
    np.testing.assert_allclose(np.trace(d @ s), 6.0, atol=1e-12)
    np.testing.assert_allclose(d @ s @ d, 2 * d, atol=1e-12)
    np.testing.assert_allclose(h @ d @ s, s @ d @ h, atol=1e-11)
    np.testing.assert_allclose(np.trace(d @ h), 2 * np.sum(problem.energies()[:3]), rtol=1e-12)
    # energies are those of S^-1 H, calculated without any root
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(np.linalg.solve(s, h)).real), problem.energies(), atol=1e-11)


def test_occupations_become_whole_as_the_temperature_goes_to_zero():
    matrix, _ = CASES["different"]
    np.testing.assert_allclose(fermi_projector(matrix, 3, 0.01), projector(matrix, 3), atol=1e-12)
    warm = np.asarray(fermi_projector(matrix, 2.5, 1.0))
    np.testing.assert_allclose(np.trace(warm), 2.5, atol=1e-12)
    levels = np.linalg.eigvalsh(matrix)
    filled = np.sort(np.linalg.eigvalsh(warm))[::-1]
    # logit of an occupation is (mu - e)/kT
    np.testing.assert_allclose(np.diff(np.log(filled / (1 - filled))), -np.diff(levels), atol=1e-9)


def test_electrons_are_counted_and_filled_in_pairs():
    assert electron_pairs("CCOHHHHHH") == 13
    assert electron_pairs([7, 1, 1, 1, 1], charge=1) == 5
    with pytest.raises(ConventionError, match=r"9 electrons, an odd number.*radicals"):
        electron_pairs("OH")
    with pytest.raises(ConventionError, match="has 0 electrons"):
        electron_pairs("H", charge=1)


def test_a_molecule_without_a_gap_is_refused_with_the_way_out():
    require_gap(np.linalg.eigvalsh(ring()), 3)
    with pytest.raises(ConventionError, match=r"gap.*temperature=300"):
        require_gap(np.linalg.eigvalsh(ring()), 2)
    with pytest.raises(ConventionError, match="do not leave an empty orbital"):
        require_gap(np.linalg.eigvalsh(ring()), 6)
