"""Lines of a powder from a density, against those of the powder simulator for the crystal it is of."""

import jax.numpy as jnp
import numpy as np
import pytest
from density_crystals import perovskite, quartz

from jaxnmr.crystal import d_spacing
from jaxnmr.density import PowderLines, plan_atoms, superposed
from jaxnmr.errors import ParameterError
from jaxnmr.testing import assert_gradients


def test_lines_in_p1_are_those_of_the_space_group():
    """Multiplicities by symmetry, and lines where no symmetry is known."""
    crystal = quartz()
    density = superposed(crystal, (30, 30, 32))
    without, within = (PowderLines.plan(crystal.cell, 1.5406, 100.0, group=group) for group in (None, crystal.group))
    full = np.zeros(without.n_lines)
    # systematically absent lines have no area without symmetry
    full[np.searchsorted(without.two_theta, within.two_theta - 1e-4)] = within.areas(density)
    np.testing.assert_allclose(without.areas(density), full, atol=1e-9 * full.max())


def test_lines_of_a_cubic_crystal_are_those_of_the_textbook():
    """``m |F|² (1 + cos² 2θ)/(sin² θ cos θ)`` of the first lines of SrTiO3, up to the constant 1/(4V)."""
    crystal = perovskite()
    lines = PowderLines.plan(crystal.cell, 0.7107, 40.0)
    hkl, m = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 0, 0], [2, 1, 0]]), np.array([6, 12, 8, 6, 24])
    f = plan_atoms(crystal, "all-electron").structure_factors(crystal, hkl)
    theta = np.arcsin(0.7107 / 2 / d_spacing(crystal.cell, hkl))
    expected = (
        m
        * np.abs(f) ** 2
        * (1 + np.cos(2 * theta) ** 2)
        / (np.sin(theta) ** 2 * np.cos(theta))
        / (4 * crystal.volume())
    )
    np.testing.assert_allclose(lines.two_theta[:5], np.degrees(2 * theta), atol=1e-9)
    np.testing.assert_allclose(lines.areas(superposed(crystal, (16, 16, 16), "all-electron"))[:5], expected, rtol=1e-9)


def test_a_pattern_holds_the_areas_of_its_lines():
    crystal = perovskite()
    density, lines = superposed(crystal, (16, 16, 16)), PowderLines.plan(crystal.cell, 1.5406, 60.0)
    x = np.arange(5.0, 80.0, 0.01)
    pattern = lines.pattern(density, x, 0.1, 0.0)
    assert pattern.sum() * 0.01 == pytest.approx(lines.areas(density).sum(), rel=1e-6)
    near = np.abs(x - lines.two_theta[1]) < 1.0
    assert pattern[near].sum() * 0.01 == pytest.approx(lines.areas(density)[1], rel=1e-6)


def test_areas_have_exact_derivatives_by_the_values():
    crystal = perovskite()
    density, lines = superposed(crystal, (6, 6, 6)), PowderLines.plan(crystal.cell, 1.5406, 55.0)
    assert_gradients(lambda values: lines.areas(density.replace(values=values)), jnp.asarray(density.values))


def test_angles_and_grids_that_do_not_go_together_are_said():
    crystal = perovskite()
    with pytest.raises(ParameterError, match="expected between 0 and 180"):
        PowderLines.plan(crystal.cell, 1.5406, 180.0)
    with pytest.raises(ParameterError, match="beyond what a grid"):
        PowderLines.plan(crystal.cell, 0.7107, 90.0).areas(superposed(crystal, (8, 8, 8)))
