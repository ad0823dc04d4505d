"""Charges, dipoles and gradients of densities: against what must hold, and against differences."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.electronic import Orbitals, electronic_structure, overlap
from jaxnmr.errors import ConventionError, ShapeError

REFERENCE = json.loads(
    (Path(__file__).resolve().parents[2] / "reference" / "water_fock.json").read_text(encoding="utf-8")
)
WATER = Orbitals.of(("O", "H", "H"))
XYZ = np.array([[0.0, 0.0, 0.1173], [0.0, 0.7572, -0.4692], [0.0, -0.7572, -0.4692]])
RNG = np.random.default_rng(2)
CORE = np.where(np.arange(WATER.size) == 0, -18.0, 0.0) + np.where(WATER.atoms == 0, -1.0, -0.4)


def huckel(xyz):
    """A matrix that depends on positions through the overlap: Wolfsberg and Helmholz's."""
    s = overlap(WATER, xyz)
    return 0.9 * s * (CORE[:, None] + CORE[None, :]) + jnp.diag(0.1 * jnp.arange(WATER.size))


@pytest.fixture(scope="module")
def structure():
    return jax.jit(lambda xyz: electronic_structure(WATER, huckel(xyz), xyz))


def test_what_follows_from_a_fock_matrix_is_what_pyscf_derives_from_it():
    rows = REFERENCE["fock"]
    fock = np.zeros((len(rows), len(rows)))
    for k, row in enumerate(rows):
        fock[k, : k + 1] = fock[: k + 1, k] = row
    found = electronic_structure(Orbitals.of(REFERENCE["atoms"]), fock, np.array(REFERENCE["xyz"]))
    for name in ("energies", "dipole", "mulliken", "lowdin", "band_energy"):
        np.testing.assert_allclose(getattr(found, name), REFERENCE[name], rtol=0, atol=1e-9, err_msg=name)


def test_charges_add_up_and_those_of_equal_atoms_are_equal(structure):
    found = structure(XYZ)
    for charges in (found.mulliken, found.lowdin):
        np.testing.assert_allclose(np.sum(charges), 0.0, atol=1e-11)
    assert not np.allclose(found.mulliken, found.lowdin, atol=1e-3)
    np.testing.assert_allclose(found.band_energy, 2 * np.sum(found.energies[:5]), rtol=1e-12)
    np.testing.assert_allclose(found.gap, found.energies[5] - found.energies[4], rtol=1e-12)
    s = np.asarray(overlap(WATER, XYZ))
    np.testing.assert_allclose(np.sum(found.density * s), 10.0, atol=1e-11)


def test_a_neutral_molecule_has_a_dipole_that_no_origin_changes(structure):
    moved = electronic_structure(WATER, huckel(XYZ), XYZ, origin=(1.0, -2.0, 0.5))
    np.testing.assert_allclose(moved.dipole, structure(XYZ).dipole, atol=1e-11)
    shifted = structure(XYZ + np.array([0.3, 0.4, -1.0]))
    np.testing.assert_allclose(shifted.dipole, structure(XYZ).dipole, atol=1e-11)


def test_lowdin_charges_of_separate_atoms_are_those_of_mulliken():
    xyz = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 30.0], [0.0, 30.0, 0.0]])
    found = electronic_structure(WATER, huckel(xyz), xyz)
    np.testing.assert_allclose(found.lowdin, found.mulliken, atol=1e-12)


def test_gradients_of_energies_charges_dipoles_and_densities_are_those_of_differences(structure):
    weights = [RNG.normal(size=np.shape(leaf)) for leaf in structure(XYZ)]
    # the highest levels are far above all that matters
    weights[0] = np.where(np.arange(WATER.size) < 8, weights[0], 0.0)

    @jax.jit
    @jax.value_and_grad
    def value(xyz):
        return sum(jnp.sum(w * leaf) for w, leaf in zip(weights, structure(xyz), strict=True))

    xyz = XYZ + 0.02 * RNG.normal(size=XYZ.shape)
    way = RNG.normal(size=XYZ.shape)
    reverse = np.sum(value(xyz)[1] * way)
    h = 1e-4
    wide, narrow = ((value(xyz + k * h * way)[0] - value(xyz - k * h * way)[0]) / (2 * k * h) for k in (2, 1))
    np.testing.assert_allclose(reverse, (4 * narrow - wide) / 3, rtol=1e-7)


def test_what_cannot_be_filled_in_pairs_or_does_not_fit_is_refused():
    with pytest.raises(ConventionError, match="odd number"):
        electronic_structure(WATER, huckel(XYZ), XYZ, charge=1)
    with pytest.raises(ShapeError, match="24 functions"):
        electronic_structure(WATER, np.eye(3), XYZ)
