"""Cell and metric against textbook formulas and gemmi."""

import gemmi
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.crystal import cell_from_metric, d_spacing, lattice, metric, reciprocal_metric, volume
from jaxnmr.crystal.cell import metric_derivative

CELLS = [
    (5.64, 5.64, 5.64, 90, 90, 90),
    (9.371, 9.371, 6.886, 90, 90, 120),
    (8.0026, 5.40718, 7.62429, 90, 101.916, 90),
    (7.1, 8.3, 9.7, 83, 97, 104),
    (4.0, 4.0, 4.0, 60, 60, 60),
    (3.0, 20.0, 5.0, 35, 40, 50),
]


@pytest.mark.parametrize("cell", CELLS)
def test_volume_and_vectors_are_those_of_gemmi(cell):
    reference = gemmi.UnitCell(*cell)
    cell = np.array(cell, dtype=float)
    assert volume(cell) == pytest.approx(reference.volume, rel=1e-12)
    # gemmi keeps a along x as well; its orthogonalisation matrix has the vectors as columns
    np.testing.assert_allclose(lattice(cell), np.array(reference.orth.mat.tolist()).T, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_the_metric_holds_the_scalar_products_of_the_vectors(cell):
    cell = np.array(cell, dtype=float)
    vectors = lattice(cell)
    np.testing.assert_allclose(metric(cell), vectors @ vectors.T, atol=1e-10)
    assert np.linalg.det(metric(cell)) == pytest.approx(volume(cell) ** 2, rel=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_survives_the_way_to_its_metric_and_back(cell):
    np.testing.assert_allclose(cell_from_metric(metric(np.array(cell, dtype=float))), cell, rtol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_d_spacings_are_those_of_gemmi(cell):
    hkl = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -2, 3], [4, 4, 0], [-1, -1, 5]]
    reference = [gemmi.UnitCell(*cell).calculate_d(h) for h in hkl]
    np.testing.assert_allclose(d_spacing(np.array(cell, dtype=float), hkl), reference, rtol=1e-10)


def test_hexagonal_d_spacing_follows_the_textbook():
    a, c = 9.37, 6.88
    h, k, l = 2, 1, 3
    expected = (4 / 3 * (h * h + h * k + k * k) / a**2 + l * l / c**2) ** -0.5
    assert d_spacing(np.array([a, a, c, 90, 90, 120.0]), [[h, k, l]])[0] == pytest.approx(expected, rel=1e-12)


def test_a_cell_of_integers_gives_the_same_as_one_of_floats():
    np.testing.assert_allclose(d_spacing(np.array([5, 6, 7, 90, 90, 90]), [[1, 1, 0]]), (1 / 25 + 1 / 36) ** -0.5)


def test_the_reciprocal_metric_is_the_inverse():
    cell = np.array(CELLS[3], dtype=float)
    np.testing.assert_allclose(reciprocal_metric(cell) @ metric(cell), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_metric_derivatives_equal_differences(cell):
    cell = np.array(cell, dtype=float)
    columns = []
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-5
        difference = (metric(cell + step) - metric(cell - step)) / 2e-5
        columns.append([difference[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))])
    np.testing.assert_allclose(metric_derivative(cell), np.array(columns).T, atol=1e-7)


def test_numpy_cells_stay_numpy_in_double_precision_and_jax_cells_stay_jax():
    cell = np.array(CELLS[3], dtype=float)
    for function in (metric, lattice, reciprocal_metric):
        assert isinstance(function(cell), np.ndarray)
        assert function(cell).dtype == np.float64
        traced = function(jnp.asarray(cell))
        assert not isinstance(traced, np.ndarray)
        np.testing.assert_allclose(traced, function(cell), rtol=1e-5, atol=1e-5)
