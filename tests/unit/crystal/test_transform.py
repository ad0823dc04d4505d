"""Crystals in other cells and subgroups: the structure stays what it was."""

from functools import lru_cache

import gemmi
import numpy as np
import pytest
from small_problems import anatase, monoclinic, rutile, trigonal

from jaxnmr.crystal import Crystal, SpaceGroup, distances, plan_bonds, primitive, primitive_basis, transformed
from jaxnmr.crystal.cell import metric, reciprocal_metric
from jaxnmr.crystal.symmetry import unvoigt
from jaxnmr.errors import SymmetryError


def shared() -> Crystal:
    """Si and Al on one position, an anisotropic O: A-centred, so that nothing is in its usual place."""
    return Crystal.create(
        cell=(5.3, 6.1, 7.4, 90, 97, 90), spacegroup="A 1 2/n 1", species=["Si", "Al", "O"], name="shared",
        xyz=[[0.11, 0.23, 0.34], [0.11, 0.23, 0.34], [0.42, 0.05, 0.21]], occupancy=[0.7, 0.3, 0.9], u_iso=[0.01, 0.02, 0],
        u_aniso=[[np.nan] * 6, [np.nan] * 6, [0.02, 0.01, 0.015, 0.003, -0.002, 0.004]],
    )  # fmt: skip


@lru_cache
def calcite() -> Crystal:
    return Crystal.create(
        cell=[4.99, 4.99, 17.06, 90, 90, 120], spacegroup="R -3 c:H", species=["Ca", "C", "O"], name="calcite",
        xyz=[[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]], u_aniso=[[0.01, 0.01, 0.02, 0.005, 0, 0]] * 2 + [[np.nan] * 6],
    )  # fmt: skip


def spinel(origin: int) -> Crystal:
    shift = 0.0 if origin == 2 else -1 / 8
    return Crystal.create(
        cell=[8.083] * 3 + [90] * 3, spacegroup=f"F d -3 m:{origin}", species=["Mg", "Al", "O"], name="spinel",
        xyz=np.array([[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3]) - shift,
    )  # fmt: skip


def intensities(crystal: Crystal, hkl: np.ndarray) -> np.ndarray:
    """Squared structure factors with atomic numbers for scattering factors, from every operation of the group."""
    length = np.sqrt(np.diag(reciprocal_metric(crystal.cell)))
    total = 0.0
    for k, site in enumerate(crystal.sites()):
        u = unvoigt(crystal.u_tensors()[k]) * length[:, None] * length
        turned = np.einsum("hi,nij->nhj", hkl, crystal.group.rotations)
        damping = np.exp(-2 * np.pi**2 * np.einsum("nhi,ij,nhj->nh", turned, u, turned))
        phase = 2j * np.pi * (turned @ crystal.xyz[k] + (hkl @ crystal.group.translations.T).T)
        weight = gemmi.Element(crystal.elements[k]).atomic_number * crystal.occupancy[k]
        total = total + weight * site.multiplicity * (damping * np.exp(phase)).mean(axis=0)
    return np.abs(total) ** 2


def assert_same_structure(new: Crystal, old: Crystal, matrix) -> None:
    """The structure factors are those of the old structure, at the same places of reciprocal space."""
    matrix = np.asarray(matrix, dtype=float)
    hkl = np.random.default_rng(3).integers(-4, 5, (60, 3))
    here = hkl @ matrix.T
    whole = np.abs(here - np.round(here)).max(axis=1) < 1e-9  # others are extinct by centring
    scale = np.linalg.det(matrix) ** 2
    expected = intensities(old, hkl)
    assert (expected > 1.0).sum() >= 5
    np.testing.assert_allclose(intensities(new, here[whole]), scale * expected[whole], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(expected[~whole], 0.0, atol=1e-6)
    assert new.volume() == pytest.approx(np.linalg.det(matrix) * old.volume())
    assert new.cell_mass() == pytest.approx(np.linalg.det(matrix) * old.cell_mass())


CHANGES = {
    "a lower symmetry": (rutile(), np.eye(3), "P n n m", (0, 0, 0), 2),
    "no symmetry at all": (trigonal(), np.eye(3), "P 1", (0, 0, 0), 23),
    "a larger cell": (monoclinic(), ((1, 0, 0), (0, 1, 0), (0, 0, 2)), None, (0, 0, 0), 3),
    "a larger cell of lower symmetry": (monoclinic(), ((1, 0, 0), (0, 2, 0), (0, 0, 1)), "P 1 c 1", (0, 0.25, 0), 12),
    "five cells": (monoclinic(), np.diag([1, 1, 5]), "P -1", (0, 0, 0), 30),
    "another choice of axes": (monoclinic(), ((0, 0, 1), (0, -1, 0), (1, 0, 0)), None, (0, 0, 0), 3),
    "rectangular axes of a hexagonal cell": (trigonal(), ((1, 0, 0), (1, 2, 0), (0, 0, 1)), None, (0, 0, 0), 8),
    "an origin on the inversion centre": (spinel(1), np.eye(3), "F d -3 m:2", (1 / 8, 1 / 8, 1 / 8), 3),
    "rhombohedral axes": (calcite(), np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3, "R -3 c:R", (0, 0, 0), 3),
    "mixed sites": (shared(), ((1, 0, 0), (0, 1, 0), (1, 0, 2)), "P 1 c 1", (0, 0.25, 0.25), None),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES.keys())
def test_the_structure_is_the_same_in(case):
    crystal, matrix, group, origin, sites = case
    new = transformed(crystal, matrix, spacegroup=group, origin=origin)
    assert_same_structure(new, crystal, matrix)
    if group is not None:
        assert new.group == SpaceGroup.from_name(group)
    if sites is not None:
        assert new.n_sites == sites


@pytest.mark.parametrize("crystal", [anatase(), calcite(), spinel(2), shared()], ids=lambda c: c.name)
def test_a_primitive_cell_has_the_same_sites_and_one_lattice_point(crystal):
    new = primitive(crystal)
    matrix = primitive_basis(crystal.group, metric(crystal.cell))
    assert_same_structure(new, crystal, matrix)
    assert new.labels == crystal.labels and len(new.group.centring) == 1
    points = len(crystal.group.centring)
    assert [points * s.multiplicity for s in new.sites()] == [s.multiplicity for s in crystal.sites()]
    # the smallest of all translations are its edges
    shortest = min(np.sqrt(t @ metric(crystal.cell) @ t) for t in crystal.group.centring[1:])
    assert np.min(new.cell[:3]) == pytest.approx(min(shortest, np.min(crystal.cell[:3])), rel=0.5)
    assert np.min(new.cell[:3]) <= shortest + 1e-9


def test_what_was_a_translation_becomes_a_centring():
    large = transformed(trigonal(), np.diag([2, 3, 1]))
    # rotations about c mix a and b: they are no symmetry of a lattice of 2a and 3b
    assert len(large.group.centring) == 6 and large.group.order < 6 * trigonal().group.order
    assert primitive(large).volume() == pytest.approx(trigonal().volume())
    assert primitive(rutile()) is rutile()


def test_a_site_that_falls_apart_keeps_its_label_occupancy_and_displacement():
    crystal = monoclinic().replace(labels=("S1", "S1a", "O1"), occupancy=np.array([1.0, 0.8, 0.7]))
    new = transformed(crystal, np.diag([2, 1, 1]), spacegroup="P -1")
    assert new.labels[:4] == ("S1", "S1b", "S1c", "S1d") and len(set(new.labels)) == 12
    np.testing.assert_allclose(new.xyz[0], crystal.xyz[0] / [2, 1, 1])
    assert new.anisotropic == (True,) * 4 + (False,) * 8
    np.testing.assert_array_equal(new.occupancy, np.repeat([1.0, 0.8, 0.7], 4))
    np.testing.assert_allclose(new.u_equivalent(), np.repeat(crystal.u_equivalent(), 4))


def test_bonds_are_as_long_and_as_many_as_before():
    crystal, matrix = rutile(), ((1, 1, 0), (-1, 1, 0), (0, 0, 2))
    new = transformed(crystal, matrix, spacegroup="P 1")
    spectrum = lambda c: np.sort(np.repeat(distances(c, plan_bonds(c).pairs), plan_bonds(c).multiplicity))
    coordination = [3.0, 6.0]  # O and Ti
    counts = np.bincount(plan_bonds(new).pairs[:, 0, 0], plan_bonds(new).multiplicity)
    assert sorted(set(counts)) == coordination
    np.testing.assert_allclose(np.unique(np.round(spectrum(new), 6)), np.unique(np.round(spectrum(crystal), 6)))


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (np.diag([1, 1, -1]), {}, "right-handed"),
        (((1, 0, 0), (0, 1, 0), (1, 1, 0)), {}, "coplanar"),
        (np.diag([1, 1, 0.5]), {}, "not all translations"),
        (np.diag([1, 1, 1.234]), {}, "not all translations"),
        (np.eye(2), {}, "three rows"),
        (np.eye(3), {"spacegroup": "P 1 21/n 1"}, r"no subgroup of P 1 21/c 1 .* is no symmetry of mono"),
        (np.eye(3), {"spacegroup": "P 1 21/c 1", "origin": (0, 0.1, 0)}, "no subgroup"),
        (np.diag([1, 1, 2]), {"spacegroup": "P m m m"}, "no subgroup"),
        (np.diag([1, 1, 5]), {}, "no multiples of 1/24.*name a subgroup"),
        (np.eye(3), {"spacegroup": "P nonsense"}, "unknown space group"),
    ],
)
def test_a_cell_or_group_that_does_not_fit_is_refused(matrix, options, message):
    with pytest.raises(SymmetryError, match=message):
        transformed(monoclinic(), matrix, **options)
