"""Symmetrised harmonics: counts by group theory, invariance, fibre geometry, and the March function as one of their sums."""

import jax
import numpy as np
import pytest
from numpy.polynomial import legendre

from jaxnmr.crystal import SpaceGroup, lattice, reciprocal_metric
from jaxnmr.diffraction.corrections import march_dollase
from jaxnmr.diffraction.harmonics import (
    harmonic_texture,
    least_density,
    order_of,
    real_harmonics,
    texture_basis,
    texture_index,
    texture_terms,
)
from jaxnmr.diffraction.reflections import laue_rotations, plan_reflections

# of orders 2, 4, 6 and 8: Bunge (1982), table of the numbers of linearly independent harmonics
CLASSES = {
    "P -1": ((3.0, 4.0, 5.0, 80.0, 100.0, 95.0), (5, 9, 13, 17)),
    "P 1 2/m 1": ((3.0, 4.0, 5.0, 90.0, 100.0, 90.0), (3, 5, 7, 9)),
    "P 1 1 2/m": ((3.0, 4.0, 5.0, 90.0, 90.0, 100.0), (3, 5, 7, 9)),
    "P n m a": ((3.0, 4.0, 5.0, 90.0, 90.0, 90.0), (2, 3, 4, 5)),
    "P 4/m": ((3.0, 3.0, 5.0, 90.0, 90.0, 90.0), (1, 3, 3, 5)),
    "P 42/m n m": ((3.0, 3.0, 5.0, 90.0, 90.0, 90.0), (1, 2, 2, 3)),
    "P -3": ((3.0, 3.0, 5.0, 90.0, 90.0, 120.0), (1, 3, 5, 5)),
    "P -3 1 m": ((3.0, 3.0, 5.0, 90.0, 90.0, 120.0), (1, 2, 3, 3)),
    "P 31 2 1": ((3.0, 3.0, 5.0, 90.0, 90.0, 120.0), (1, 2, 3, 3)),
    "R -3 c:R": ((4.0, 4.0, 4.0, 55.0, 55.0, 55.0), (1, 2, 3, 3)),
    "P 63/m": ((3.0, 3.0, 5.0, 90.0, 90.0, 120.0), (1, 1, 3, 3)),
    "P 63/m m c": ((3.0, 3.0, 5.0, 90.0, 90.0, 120.0), (1, 1, 2, 2)),
    "P a -3": ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), (0, 1, 2, 1)),
    "F m -3 m": ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), (0, 1, 1, 1)),
}
MARCH = 0.7


def march_in_legendre(order: int) -> np.ndarray:
    """Coefficients of even Legendre polynomials of the March function."""
    z, w = legendre.leggauss(200)
    density = (MARCH**2 * z * z + (1.0 - z * z) / MARCH) ** -1.5
    return np.array(
        [
            0.5 * (2 * l + 1) * np.sum(w * density * legendre.legval(z, np.eye(order + 1)[l]))
            for l in range(0, order + 1, 2)
        ]
    )


@pytest.mark.parametrize("symbol", CLASSES)
def test_as_many_harmonics_are_left_as_the_characters_of_the_rotations_say(symbol):
    cell, expected = CLASSES[symbol]
    group = SpaceGroup.from_name(symbol)
    basis, names = texture_basis(group, np.array(cell), 8)
    assert tuple(sum(order_of(name) == l for name in names) for l in (2, 4, 6, 8)) == expected
    np.testing.assert_allclose(basis.T @ basis, np.eye(len(names)), atol=1e-13)
    # mean of sin((l + 1/2) w)/sin(w/2) over the proper rotations
    proper = [r for r in laue_rotations(group) if round(np.linalg.det(r)) == 1]
    angles = np.arccos(np.clip([0.5 * (np.trace(r) - 1.0) for r in proper], -1.0, 1.0))
    for l, number in zip((2, 4, 6, 8), expected, strict=True):
        w = np.maximum(angles, 1e-7)
        assert np.mean(np.sin((l + 0.5) * w) / np.sin(0.5 * w)) == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize("symbol", CLASSES)
def test_harmonics_do_not_change_under_the_rotations_of_the_class(symbol):
    cell, _ = CLASSES[symbol]
    group = SpaceGroup.from_name(symbol)
    basis, _ = texture_basis(group, np.array(cell), 8)
    hkl = np.array([[1, 2, 3], [-2, 1, 5], [4, 0, -1]])
    images = np.einsum("ni,kij->knj", hkl, laue_rotations(group)) @ np.linalg.inv(lattice(np.array(cell))).T
    directions = images / np.linalg.norm(images, axis=-1, keepdims=True)
    wave = np.concatenate(real_harmonics(directions, 8), axis=-1) @ basis
    np.testing.assert_allclose(wave, np.broadcast_to(wave[0], wave.shape), atol=1e-12)


def test_plain_harmonics_obey_the_addition_theorem():
    u, v = np.random.default_rng(0).normal(size=(2, 20, 3))
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (u, v))
    for l, at_u, at_v in zip((2, 4, 6, 8), real_harmonics(u, 8), real_harmonics(v, 8), strict=True):
        expected = (2 * l + 1) / (4.0 * np.pi) * legendre.legval((u * v).sum(axis=1), np.eye(9)[l])
        np.testing.assert_allclose((at_u * at_v).sum(axis=1), expected, atol=1e-13)


def test_a_capillary_shows_poles_as_dense_as_its_axis_is_at_right_angles_to_them():
    group, cell = SpaceGroup.from_name("P n m a"), np.array(CLASSES["P n m a"][0])
    basis, names = texture_basis(group, cell, 8)
    c = np.random.default_rng(1).normal(size=len(names))
    flat, capillary = (
        basis_of @ c for basis_of in (texture_terms(basis, names, g) for g in ("bragg-brentano", "debye-scherrer"))
    )
    pole = np.array([0.48, 0.6, 0.64])
    across = np.linalg.svd(pole[None])[2][1:]
    phi = 2.0 * np.pi * np.arange(40) / 40
    circle = np.outer(np.cos(phi), across[0]) + np.outer(np.sin(phi), across[1])
    density = lambda at: np.concatenate(real_harmonics(at, 8), axis=-1)
    assert np.mean(density(circle) @ flat) == pytest.approx(float(density(pole) @ capillary), abs=1e-13)


def test_the_march_function_is_the_sum_of_harmonics_that_its_legendre_expansion_says():
    group, cell = SpaceGroup.from_name("P 42/m n m"), np.array([4.594, 4.594, 2.959, 90, 90, 90])
    hkl, _ = plan_reflections(group, cell, 0.7)
    equivalents = np.einsum("ni,kij->nkj", hkl, laue_rotations(group)).astype(float)
    basis, names = texture_basis(group, cell, 8)
    terms = texture_terms(basis, names, "bragg-brentano")
    march = np.asarray(march_dollase(equivalents, np.array([0.0, 0, 1]), reciprocal_metric(cell), MARCH))
    expansion = march_in_legendre(40)
    expected = np.array([expansion[order_of(n) // 2] if n.endswith(".0") else 0.0 for n in names])
    ours = np.asarray(jax.jit(harmonic_texture)(equivalents, terms, cell, expected))
    # what is left is the rest of the series, at the pole the sum of its coefficients
    rest = expansion[5:].sum()
    assert np.abs(ours - march).max() <= 1.001 * rest
    assert rest == pytest.approx(0.0298, abs=2e-4)
    # J is the mean of the squared density
    z, w = legendre.leggauss(200)
    squared = 0.5 * np.sum(w * (MARCH**2 * z * z + (1.0 - z * z) / MARCH) ** -3.0)
    assert texture_index(names, expected)[0] == pytest.approx(squared, abs=1e-4)


def test_a_negative_density_is_found_where_it_is():
    group, cell = SpaceGroup.from_name("P 63/m m c"), np.array([3.0, 3, 5, 90, 90, 120])
    basis, names = texture_basis(group, cell, 2)
    # 1 + C P2(cos): lowest at the pole for a negative coefficient, at the equator for a positive one
    least, direction = least_density(basis, names, np.array([-1.5]))
    assert least == pytest.approx(-0.5, abs=1e-12) and direction[2] == 1.0
    least, direction = least_density(basis, names, np.array([2.5]))
    assert least == pytest.approx(1.0 - 1.25, abs=1e-12) and direction[2] == 0.0
