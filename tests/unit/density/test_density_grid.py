"""Densities on a grid: transforms, shifts, other grids, symmetry and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from density_crystals import perovskite, quartz, tilted

from jaxnmr.crystal import Crystal, SpaceGroup
from jaxnmr.density import Density, fits_grid, fitting_shape, plan_atoms, superposed, symmetrised
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.errors import ConventionError, ParameterError, ShapeError, SymmetryError
from jaxnmr.testing import assert_gradients

CELL = [4.1, 5.2, 6.3, 82.0, 97.0, 105.0]


def rough(shape=(6, 7, 8), seed=0, cell=CELL) -> Density:
    return Density.create(np.random.default_rng(seed).normal(size=shape), cell)


@pytest.mark.parametrize("shape", [(6, 7, 8), (5, 5, 9)])
def test_the_mean_square_is_the_sum_over_waves(shape):
    density = rough(shape)
    waves = np.abs(density.waves()) ** 2
    assert waves.sum() / density.volume() == pytest.approx((density.values**2).mean() * density.volume(), rel=1e-12)


def test_structure_factors_are_the_sum_over_points():
    density = rough()
    hkl = np.array([[0, 0, 0], [1, -2, 3], [-2, 3, 0], [2, 0, -3]])
    x = np.stack(np.meshgrid(*[np.arange(n) / n for n in density.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    expected = (density.values.ravel() * np.exp(2j * np.pi * hkl @ x.T)).mean(axis=1) * density.volume()
    np.testing.assert_allclose(density.structure_factors(hkl), expected, atol=1e-12)
    np.testing.assert_allclose(density.intensities(hkl), np.abs(expected) ** 2, atol=1e-10)


def test_a_shift_turns_the_phases_and_a_whole_step_reorders_values():
    density = rough((7, 7, 9))
    hkl, shift = np.array([[1, -2, 3], [-3, 1, 0], [2, 2, -4]]), np.array([0.137, -0.41, 0.23])
    turned = density.structure_factors(hkl) * np.exp(2j * np.pi * hkl @ shift)
    np.testing.assert_allclose(density.moved(shift).structure_factors(hkl), turned, atol=1e-12)
    even = rough()
    moved = even.moved((2 / 6, -1 / 7, 3 / 8))
    np.testing.assert_allclose(moved.values, np.roll(even.values, (2, -1, 3), (0, 1, 2)), atol=1e-12)


def test_a_moved_crystal_has_the_moved_density():
    crystal, shift = tilted(), np.array([0.1, 0.03, -0.2])
    everywhere = Crystal.create(
        cell=crystal.cell, spacegroup=1, species=crystal.expand().species, xyz=crystal.expand().fractional
    )
    there = superposed(everywhere.replace(xyz=everywhere.xyz + shift), (24, 30, 36))
    np.testing.assert_allclose(superposed(everywhere, (24, 30, 36)).moved(shift).values, there.values, atol=2e-3)


def test_another_grid_holds_the_same_waves():
    crystal = quartz()
    plan = plan_atoms(crystal)
    coarse, fine = (plan.on_grid(crystal, shape) for shape in ((21, 21, 25), (28, 33, 36)))
    hkl = np.random.default_rng(1).integers(-9, 10, size=(80, 3))
    np.testing.assert_allclose(
        coarse.resampled((28, 33, 36)).structure_factors(hkl), coarse.structure_factors(hkl), atol=1e-10
    )
    np.testing.assert_allclose(fine.resampled((21, 21, 25)).values, coarse.values, atol=1e-10)
    assert coarse.resampled((30, 30, 30)).electrons() == pytest.approx(coarse.electrons(), rel=1e-12)


def test_a_finer_grid_runs_through_the_points_of_the_coarser_one():
    density = rough((6, 8, 5))
    fine = density.resampled((12, 24, 10))
    np.testing.assert_allclose(fine.values[::2, ::3, ::2], density.values, atol=1e-12)
    np.testing.assert_allclose(fine.resampled((6, 8, 5)).values, density.values, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "shape", "cell"),
    [
        ("F d -3 m :2", (8, 8, 8), [5, 5, 5, 90, 90, 90]),
        ("P 32 2 1", (9, 9, 12), [5, 5, 6, 90, 90, 120]),
        ("P 21/c", (6, 8, 10), [5, 6, 7, 90, 104, 90]),
    ],
)
def test_a_symmetrised_density_has_the_symmetry_and_its_absences(name, shape, cell):
    group, density = SpaceGroup.from_name(name), rough(shape, cell=cell)
    assert fits_grid(group, shape)
    mean = symmetrised(density, group)
    h = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    # the definition, with structure factors of the values as they were
    expected = np.zeros(len(h), dtype=complex)
    inside = np.array([(2 * np.abs(h @ r) < np.array(shape)).all(axis=1) for r in group.rotations]).all(axis=0)
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        images = np.where(inside[:, None], h @ rotation, 0)
        expected += density.structure_factors(images) * np.exp(2j * np.pi * h @ translation) / group.order
    np.testing.assert_allclose(mean.structure_factors(h[inside]), expected[inside], atol=1e-12)
    np.testing.assert_allclose(symmetrised(mean, group).values, mean.values, atol=1e-12)
    absent = inside & np.array([group.gemmi_ops.is_systematically_absent(list(map(int, r))) for r in h])
    assert absent.sum() > 3 and np.abs(mean.structure_factors(h[absent])).max() < 1e-12
    assert np.abs(density.structure_factors(h[absent])).max() > 0.1


def test_grids_that_do_not_fit_are_symmetrised_through_waves():
    crystal = quartz()
    group = crystal.group
    density = superposed(crystal, (25, 26, 29))
    assert not fits_grid(group, density.shape)
    mean = symmetrised(density, group)
    hkl, _ = plan_reflections(group, crystal.cell, 0.8)
    np.testing.assert_allclose(mean.structure_factors(hkl), density.structure_factors(hkl), atol=1e-10)
    noisy = symmetrised(rough((11, 12, 13), cell=crystal.cell), group)
    np.testing.assert_allclose(symmetrised(noisy, group).values, noisy.values, atol=1e-12)
    assert np.abs(noisy.structure_factors(np.array([[0, 0, 1], [0, 0, 2]]))).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("P 1", (5, 6, 7), (5, 6, 7)),
        ("F d -3 m :2", (9, 9, 9), (12, 12, 12)),
        ("P 61", (10, 12, 13), (12, 12, 18)),
        ("P m m n :2", (5, 6, 7), (6, 6, 7)),
    ],
)
def test_the_smallest_fitting_grid_is_found(name, asked, expected):
    group = SpaceGroup.from_name(name)
    assert fitting_shape(group, asked) == expected and fits_grid(group, expected)


def test_structures_have_the_symmetry_of_their_group():
    for crystal, shape in ((perovskite(), (20, 20, 20)), (quartz(), (54, 54, 60))):
        density = superposed(crystal, shape)
        # waves beyond the edges of a hexagonal grid have equivalents inside
        np.testing.assert_allclose(
            symmetrised(density, crystal.group).values, density.values, atol=1e-4 * density.values.max()
        )


def test_intensities_and_symmetry_have_exact_derivatives_by_the_values():
    group = SpaceGroup.from_name("P 21")
    density = rough((4, 4, 6), cell=[4, 5, 6, 90, 100, 90])
    hkl = np.array([[0, 0, 0], [1, 1, -2], [-1, 0, 2]])

    def made(state):
        values, shift = state
        changed = symmetrised(density.replace(values=values), group).moved(shift).resampled((5, 6, 8))
        f = changed.structure_factors(hkl)
        return jnp.concatenate([f.real, f.imag, changed.intensities(hkl)])

    assert_gradients(made, (jnp.asarray(density.values), jnp.asarray([0.11, 0.2, -0.3])))


def test_compiled_densities_are_those_of_numpy():
    density, group = rough((6, 8, 6), cell=[5, 6, 7, 90, 104, 90]), SpaceGroup.from_name("P 21/c")
    program = jax.jit(lambda values: symmetrised(density.replace(values=values), group).resampled((7, 9, 8)).values)
    np.testing.assert_allclose(
        program(density.values), symmetrised(density, group).resampled((7, 9, 8)).values, atol=1e-12
    )


def test_wrong_grids_and_cells_are_said():
    with pytest.raises(ShapeError, match="three axes of two points"):
        Density.create(np.ones((4, 4)), CELL)
    with pytest.raises(ShapeError, match="six numbers"):
        Density.create(np.ones((4, 4, 4)), [1, 2, 3])
    with pytest.raises(ConventionError, match="1 of 8 values"):
        Density.create(np.array([np.nan, *np.ones(7)]).reshape(2, 2, 2), CELL)
    with pytest.raises(ConventionError, match="no volume"):
        Density.create(np.ones((2, 2, 2)), [4, 4, 4, 60, 60, 170])
    with pytest.raises(ParameterError, match=r"\[3, 0, 0\] among them, are beyond .*take \(7, 1, 1\) points"):
        rough().structure_factors(np.array([[1, 0, 0], [3, 0, 0]]))
    with pytest.raises(ParameterError, match="three numbers of points"):
        rough().resampled((4, 4))
    with pytest.raises(SymmetryError, match="does not have the metric of P 1 21 1"):
        symmetrised(rough(), SpaceGroup.from_name("P 21"))
