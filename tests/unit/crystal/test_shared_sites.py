"""Sites that share a position, and atoms that cannot."""

import numpy as np
import pytest

from jaxnmr.crystal import Crystal, shared_sites
from jaxnmr.crystal.symmetry import unvoigt
from jaxnmr.errors import SymmetryError

ROCK_SALT = {"cell": [4.2] * 3 + [90] * 3, "spacegroup": "F m -3 m"}
TRICLINIC = {"cell": [5, 6, 7, 80, 95, 100], "spacegroup": "P -1"}


def test_mixed_occupation_is_found():
    crystal = Crystal.create(
        **ROCK_SALT,
        species=["Mg", "Fe", "O"],
        xyz=[[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]],
        occupancy=[0.75, 0.25, 1],
    )
    assert shared_sites(crystal) == ((0, 1),)


def test_three_species_on_one_site_are_one_group():
    crystal = Crystal.create(
        **ROCK_SALT,
        species=["Mg", "O", "Fe", "Mn"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0], [1, 1, 0]],
        occupancy=[0.5, 1, 0.3, 0.2],
    )
    assert shared_sites(crystal) == ((0, 2, 3),)


def test_separate_sites_are_not_shared():
    crystal = Crystal.create(**ROCK_SALT, species=["Mg", "O"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]], occupancy=[0.4, 0.4])
    assert shared_sites(crystal) == ()


def test_rounded_occupancies_still_share():
    crystal = Crystal.create(
        **ROCK_SALT, species=["Mg", "Fe", "Mn"], xyz=np.zeros((3, 3)), occupancy=[0.34, 0.33, 0.34]
    )
    assert shared_sites(crystal) == ((0, 1, 2),)


def test_sites_given_at_symmetry_images_are_brought_together():
    u = [0.01, 0.02, 0.03, 0.004, -0.005, 0.002]
    crystal = Crystal.create(
        cell=[8, 5.4, 7.6, 90, 101.9, 90],
        spacegroup="P 21/c",
        species=["O", "F"],
        xyz=[[0.1, 0.2, 0.3], [-0.1, 0.7, 0.2]],  # the second at -x, y+1/2, -z+1/2 of the first
        occupancy=[0.5, 0.5],
        u_aniso=[u, [0.01, 0.02, 0.03, -0.004, -0.005, -0.002]],
    )
    np.testing.assert_allclose(crystal.xyz[1], crystal.xyz[0], atol=1e-12)
    # the twofold axis along b inverts the mixed terms with b
    np.testing.assert_allclose(crystal.u_aniso[1], u, atol=1e-12)
    assert shared_sites(crystal) == ((0, 1),)


def test_displacements_of_united_hexagonal_sites_are_rotated():
    crystal = Crystal.create(
        cell=[9.4, 9.4, 6.9, 90, 90, 120],
        spacegroup="P 3",
        species=["O", "F"],
        xyz=[[0.1, 0.3, 0.2], [-0.3, -0.2, 0.2]],  # -y, x-y, z
        occupancy=[0.5, 0.5],
        u_aniso=[[np.nan] * 6, [0.01, 0.03, 0.02, 0.006, 0.001, 0.002]],
    )
    np.testing.assert_allclose(crystal.xyz[1], crystal.xyz[0], atol=1e-12)
    back = np.array([[-1, 1, 0], [-1, 0, 0], [0, 0, 1]])  # inverse of (-y, x-y, z)
    expected = back @ unvoigt(np.array([0.01, 0.03, 0.02, 0.006, 0.001, 0.002])) @ back.T
    np.testing.assert_allclose(unvoigt(crystal.u_aniso[1]), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("xyz", "occupancy", "names"),
    [
        ([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], [1, 1], "O1 and F1"),
        ([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], [0.6, 0.5], "1.100 > 1"),
        ([[0.1, 0.2, 0.3], [0.1, 0.2, 0.33]], [0.9, 0.5], "0.21"),
        ([[0.1, 0.2, 0.3], [-0.1, -0.2, 0.7]], [1, 1], "0.000 Å"),
        ([[0.1, 0.2, 0.3], [1.1, 0.2, -0.7]], [1, 1], "0.000 Å"),
    ],
)
def test_atoms_on_top_of_each_other_are_refused(xyz, occupancy, names):
    with pytest.raises(SymmetryError, match=names):
        Crystal.create(**TRICLINIC, species=["O", "F"], xyz=xyz, occupancy=occupancy)


def test_three_species_that_pairwise_fit_but_together_exceed_the_site_are_refused():
    with pytest.raises(SymmetryError, match=r"O1 and F1 and N1 .* 1\.200 > 1"):
        Crystal.create(**TRICLINIC, species=["O", "F", "N"], xyz=[[0.1, 0.2, 0.3]] * 3, occupancy=[0.4] * 3)


def test_split_positions_a_little_apart_are_allowed_but_not_shared():
    crystal = Crystal.create(
        **TRICLINIC, species=["O", "O"], xyz=[[0.1, 0.2, 0.3], [0.1, 0.2, 0.33]], occupancy=[0.5, 0.5]
    )
    assert shared_sites(crystal) == ()
