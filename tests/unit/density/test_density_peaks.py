"""Atoms and charges found in densities of known crystals."""

from collections import Counter

import numpy as np
import pytest
from density_crystals import perovskite, quartz, tilted

from jaxnmr.crystal import Crystal
from jaxnmr.density import Density, charge_within, find_atoms, local_maxima, superposed
from jaxnmr.errors import ConventionError, ParameterError


def farthest(crystal: Crystal, found) -> float:
    """Largest distance in Å of a found atom from the nearest one of its element; every true atom is someone's nearest."""
    full, vectors = crystal.expand(), crystal.lattice()
    truth = [crystal.elements[k] for k in full.site]
    delta = found.xyz[:, None] - full.fractional[None]
    distance = np.linalg.norm((delta - np.round(delta)) @ vectors, axis=-1)
    other = np.array([[a != b for b in truth] for a in found.elements])
    distance = np.where(other, np.inf, distance)
    assert len(set(distance.argmin(axis=1))) == len(truth)
    return float(distance.min(axis=1).max())


def alike(crystal: Crystal) -> Crystal:
    """With one isotropic displacement and no vacancies, as the search takes it."""
    return Crystal.create(
        cell=crystal.cell, spacegroup=crystal.group, species=crystal.species, xyz=crystal.xyz, u_iso=0.01
    )


@pytest.mark.parametrize("make", [perovskite, quartz, tilted])
@pytest.mark.parametrize("atoms", ["valence", "all-electron"])
def test_atoms_come_back_from_their_superposition(make, atoms):
    crystal = alike(make())
    density = superposed(crystal, (20, 22, 24), atoms)
    composition = Counter(crystal.elements[k] for k in crystal.expand().site)
    found = find_atoms(density, composition, atoms)
    assert farthest(crystal, found) < 1e-3 and found.r < 1e-3
    assert found.crystal.group.number == crystal.group.number
    assert Counter(found.crystal.elements[k] for k in found.crystal.expand().site) == composition


def test_noise_and_an_unknown_displacement_move_atoms_little():
    crystal = alike(quartz())
    density = superposed(crystal.replace(u_iso=np.array([0.02, 0.025])), (24, 24, 26))
    noise = 0.2 * density.values.std() * np.random.default_rng(0).normal(size=density.shape)
    found = find_atoms(density.replace(values=density.values + noise), {"Si": 3, "O": 6}, symprec=0.1)
    assert farthest(crystal, found) < 0.05 and 0.05 < found.r < 0.3
    # the default of 0.02 Å is less than noise moves atoms by
    assert found.crystal.group.number == 154


def test_maxima_of_all_electrons_are_atoms_between_the_points_of_the_grid():
    crystal = alike(quartz())
    maxima = local_maxima(superposed(crystal, (32, 32, 36), "all-electron"), 9)
    full = crystal.expand()
    delta = maxima.points[:, None] - full.fractional[None]
    distance = np.linalg.norm((delta - np.round(delta)) @ crystal.lattice(), axis=-1)
    assert sorted(distance.argmin(axis=1)) == list(range(9))
    assert set(full.site[distance.argmin(axis=1)[:3]]) == {0}  # the three highest are silicon
    # maxima of oxygen are drawn towards silicon by its tail; a step is 0.15 Å
    assert distance.min(axis=1).max() < 0.03


def test_a_quadratic_function_has_its_maximum_found_exactly():
    """Near the maximum of a sharp Gaussian of three axes the values themselves are known."""
    n, top = 40, np.array([0.3123, 0.7071, 0.5377])
    x = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1) - top
    x -= np.round(x)
    curvature = np.array([[3.0, 0.8, -0.4], [0.8, 2.0, 0.3], [-0.4, 0.3, 4.0]])
    values = 5.0 - np.einsum("...i,ij,...j->...", x, curvature, x)
    maxima = local_maxima(Density.create(values, [10, 10, 10, 90, 90, 90]), 1)
    np.testing.assert_allclose(maxima.points[0], top, atol=1e-9)
    assert maxima.heights[0] == pytest.approx(5.0, abs=1e-9)


def test_spheres_hold_the_charge_of_a_gaussian():
    """``erf(r/√2σ) − √(2/π) r/σ exp(−r²/2σ²)`` of its electrons."""
    from scipy.special import erf

    sigma, n, radius = 0.5, 40, 0.8
    x = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1) - [0.31, 0.62, 0.07]
    x = 8.0 * (x - np.round(x))
    values = 3.0 * np.exp(-0.5 * (x**2).sum(axis=-1) / sigma**2) / (sigma * np.sqrt(2 * np.pi)) ** 3
    density = Density.create(values, [8, 8, 8, 90, 90, 90])
    t = radius / sigma
    expected = 3.0 * (erf(t / np.sqrt(2)) - np.sqrt(2 / np.pi) * t * np.exp(-0.5 * t * t))
    np.testing.assert_allclose(charge_within(density, np.array([[0.31, 0.62, 0.07]]), radius), expected, rtol=1e-6)
    # a sphere of the volume of the cell around an atom far from its edges has it all, nearly
    np.testing.assert_allclose(charge_within(density, np.array([[0.31, 0.62, 0.07]]), 3.9), 3.0, rtol=1e-6)


def test_what_cannot_be_found_is_said():
    density = superposed(perovskite(), (16, 16, 16))
    with pytest.raises(ParameterError, match="expected atoms of each element"):
        find_atoms(density, {"Sr": 0})
    with pytest.raises(ConventionError, match="no room for 400 atoms in a cell of 59.5"):
        find_atoms(density, {"O": 400})
    with pytest.raises(ConventionError, match="no valence atom of La"):
        find_atoms(density, {"La": 1})
    with pytest.raises(ParameterError, match="radius above 0"):
        charge_within(density, np.zeros((1, 3)), 0.0)
