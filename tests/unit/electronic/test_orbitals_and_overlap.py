"""Functions, their overlaps and dipoles against numbers of pyscf, and their derivatives against differences."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.electronic import BasisSet, Orbitals, dipole_integrals, overlap, require_independent
from jaxnmr.electronic.basis import atomic_numbers, shipped_basis_sets
from jaxnmr.errors import ConventionError, ParameterError, ShapeError

REFERENCE = json.loads(
    (Path(__file__).resolve().parents[2] / "reference" / "overlap_numbers.json").read_text(encoding="utf-8")
)
WATER = ("O", "H", "H")
XYZ = np.array([[0.0, 0.0, 0.11], [0.0, 0.77, -0.46], [0.03, -0.74, -0.5]])


@pytest.fixture(scope="module")
def cluster():
    orbitals = Orbitals.of(REFERENCE["atoms"])
    xyz = np.array(REFERENCE["xyz"])
    return orbitals, np.asarray(overlap(orbitals, xyz)), np.asarray(dipole_integrals(orbitals, xyz))


def test_functions_are_those_of_pyscf_in_its_order(cluster):
    orbitals, _, _ = cluster
    theirs = [label.split() for label in REFERENCE["labels"]]
    assert [label.split()[1:] for label in orbitals.labels] == [label[1:] for label in theirs]
    assert [int(label.split()[0]) - 1 for label in orbitals.labels] == [int(label[0]) for label in theirs]


def test_overlaps_and_dipoles_are_those_of_pyscf(cluster):
    _, s, r = cluster
    i, j = np.transpose(REFERENCE["picked"])
    np.testing.assert_allclose(s[i, j], REFERENCE["overlap"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(r[:, i, j].T, REFERENCE["dipole"], rtol=0, atol=1e-12)


def test_every_element_of_the_matrices_is_that_of_pyscf(cluster):
    _, s, r = cluster
    n = np.arange(len(s))
    waves = np.array([np.cos(k * n + 0.3 * k * k) for k in range(1, 9)])
    np.testing.assert_allclose(waves @ s @ waves.T, REFERENCE["overlap_products"], rtol=0, atol=3e-11)
    np.testing.assert_allclose(waves @ r @ waves.T, REFERENCE["dipole_products"], rtol=0, atol=3e-10)


def test_functions_are_normalised_and_overlaps_symmetric(cluster):
    _, s, _ = cluster
    np.testing.assert_allclose(np.diagonal(s), 1.0, rtol=0, atol=1e-13)
    np.testing.assert_allclose(s, s.T, rtol=0, atol=1e-15)
    require_independent(s)


def test_derivatives_by_positions_are_those_of_differences():
    orbitals = Orbitals.of(WATER)
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(4, orbitals.size, orbitals.size)))
    way = rng.normal(size=XYZ.shape)

    @jax.jit
    @jax.value_and_grad
    def value(xyz):
        return jnp.sum(weights[0] * overlap(orbitals, xyz)) + jnp.sum(weights[1:] * dipole_integrals(orbitals, xyz))

    h = 1e-4
    wide, narrow = ((value(XYZ + k * h * way)[0] - value(XYZ - k * h * way)[0]) / (2 * k * h) for k in (2, 1))
    np.testing.assert_allclose(np.sum(value(XYZ)[1] * way), (4 * narrow - wide) / 3, rtol=1e-9)


def test_moving_all_atoms_leaves_overlaps_and_shifts_dipoles():
    orbitals = Orbitals.of(WATER)
    there = np.array([0.7, -1.1, 2.3])
    s = overlap(orbitals, XYZ)
    np.testing.assert_allclose(overlap(orbitals, XYZ + there), s, atol=1e-13)
    moved = dipole_integrals(orbitals, XYZ + there, origin=there)
    np.testing.assert_allclose(moved, dipole_integrals(orbitals, XYZ), atol=1e-12)


def test_atoms_that_coincide_are_linearly_dependent():
    orbitals = Orbitals.of(WATER)
    xyz = XYZ.copy()
    xyz[2] = xyz[1] + 1e-5
    with pytest.raises(ConventionError, match=r"linearly dependent.*atoms that nearly coincide"):
        require_independent(overlap(orbitals, xyz))


def test_atoms_may_be_numbers_or_symbols():
    assert Orbitals.of([8, 1, 1]) == Orbitals.of(WATER)
    assert atomic_numbers(["Si", "S", "D"]).tolist() == [14, 16, 1]


def test_what_is_not_tabulated_is_refused():
    assert shipped_basis_sets() == ("def2-svp",)
    with pytest.raises(ParameterError, match="no basis set '6-31G'"):
        BasisSet.load("6-31G")
    with pytest.raises(ConventionError, match="'Cl' is not among them"):
        Orbitals.of(["Cl"])
    with pytest.raises(ConventionError, match="atomic number 0"):
        Orbitals.of([0])
    with pytest.raises(ConventionError, match="at least one atom"):
        Orbitals.of([])
    with pytest.raises(ShapeError, match=r"expected \(3, 3\)"):
        overlap(Orbitals.of(WATER), XYZ[:2])
