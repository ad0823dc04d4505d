"""Wyckoff positions derived from operations: counts of International Tables, orbits of spglib, equivalence by the normaliser."""

import numpy as np
import pytest
import spglib

from jaxnmr.crystal import SpaceGroup
from jaxnmr.errors import SymmetryError
from jaxnmr.solve.direct.normaliser import exchanges, lattice_isometries, normaliser
from jaxnmr.solve.direct.wyckoff import wyckoff_positions

HEXAGONAL, CUBIC, ORTHORHOMBIC = [9.37, 9.37, 6.88, 90, 90, 120], [8.0] * 3 + [90.0] * 3, [8.5, 5.4, 7.0, 90, 90, 90]


def halls():
    """The first setting of each of the 230 types in spglib."""
    first = {}
    for hall in range(1, 531):
        first.setdefault(spglib.get_spacegroup_type(hall).number, hall)
    return first


def test_positions_of_all_groups_are_as_many_as_tabulated_and_their_atoms_are_the_orbits_of_spglib():
    rng = np.random.default_rng(0)
    count = {}
    for number, hall in halls().items():
        operations = spglib.get_symmetry_from_database(hall)
        rotations, translations = operations["rotations"], operations["translations"]
        group = SpaceGroup.from_hall(spglib.get_spacegroup_type(hall).hall_symbol)
        positions = wyckoff_positions(group)
        count[number] = len(positions)
        for position in positions.every:
            u = rng.uniform(0.05, 0.95, position.dof)
            atoms = position.matrices @ u + position.shifts
            orbit = rotations @ atoms[0] + translations
            apart = orbit[:, None] - atoms[None]
            apart = np.abs(apart - np.round(apart)).max(axis=-1)
            # every image is one of the atoms, every atom an image, and no two atoms coincide
            assert (apart.min(axis=1) < 1e-6).all() and (apart.min(axis=0) < 1e-6).all()
            assert len(set(apart.argmin(axis=1).tolist())) == position.multiplicity == len(rotations) // position.order
    # International Tables A: 1731 positions in all
    assert sum(count.values()) == 1731
    tabulated = {
        1: 1,
        2: 9,
        10: 15,
        14: 5,
        15: 6,
        47: 27,
        62: 4,
        123: 21,
        152: 3,
        166: 9,
        176: 9,
        191: 18,
        194: 12,
        221: 14,
        225: 12,
        227: 9,
    }
    assert {number: count[number] for number in tabulated} == tabulated


def test_positions_of_fluorapatite_are_those_of_the_tables():
    positions = wyckoff_positions(SpaceGroup.from_name("P 63/m"))
    found = sorted((p.multiplicity, p.dof, p.order) for p in positions.every)
    # 2a -6.. (0, 0, 1/4), 2b -3.., 2c and 2d -6.., 4e and 4f 3.., 6g -1, 6h m.., 12i
    assert found == [(2, 0, 6)] * 4 + [(4, 1, 3)] * 2 + [(6, 0, 2), (6, 2, 2), (12, 3, 1)]
    assert "6(x, y, 1/4)" in {p.words for p in positions.every}


def test_atoms_that_stand_for_their_copies_make_up_the_primitive_cell():
    for name in ("P n m a", "F d -3 m:2", "I a -3 d", "P 32 2 1", "C 1 2/m 1", "R -3 c:H"):
        group = SpaceGroup.from_name(name)
        for position in wyckoff_positions(group).every:
            assert position.weight.sum() * len(group.centring) == position.multiplicity


def test_spglib_tells_positions_apart_where_we_do():
    rng = np.random.default_rng(1)
    for name, cell in (("P 63/m", HEXAGONAL), ("P n m a", ORTHORHOMBIC), ("P m -3 m", CUBIC)):
        group = SpaceGroup.from_name(name)
        positions = wyckoff_positions(group)
        lattice = (
            np.diag(cell[:3])
            if cell[5] == 90
            else np.array([[cell[0], 0, 0], [-cell[0] / 2, cell[0] * 0.75**0.5, 0], [0, 0, cell[2]]])
        )
        general = positions[len(positions) - 1]
        fixing = general.matrices @ rng.uniform(0.1, 0.4, 3) + general.shifts
        letters = set()
        for position in positions.every:
            atoms = position.matrices @ rng.uniform(0.1, 0.4, position.dof) + position.shifts
            numbers = [1] * len(fixing) + [2] * len(atoms)
            dataset = spglib.get_symmetry_dataset((lattice, np.vstack([fixing, atoms]), numbers))
            assert dataset.number == group.number
            letters.add(dataset.wyckoffs[-1])
            assert set(dataset.wyckoffs[len(fixing) :]) == {dataset.wyckoffs[-1]}
        assert len(letters) == len(positions)


def test_shifts_of_the_origin_exchange_positions():
    # by (0, 0, 1/2) in Pnma 4a and 4b; (x, 1/4, z) and the general position stay
    assert exchanges(SpaceGroup.from_name("P n m a"), ORTHORHOMBIC).tolist() in ([[0, 1, 2, 3], [1, 0, 2, 3]],)
    # in P-1 all eight centres can be the origin
    assert len(exchanges(SpaceGroup.from_name("P -1"), [5, 6, 7, 80, 85, 95])) == 8
    # nothing exchanges the tetrahedra and octahedra of a spinel, but 8a and 8b
    assert len(exchanges(SpaceGroup.from_name("F d -3 m:2"), CUBIC)) == 2


def test_a_normaliser_takes_the_group_to_itself_and_a_cell_has_the_isometries_of_its_holohedry():
    assert [len(lattice_isometries(cell)) for cell in (CUBIC, HEXAGONAL, ORTHORHOMBIC)] == [48, 24, 8]
    assert len(lattice_isometries([5, 6, 7, 80, 85, 95])) == 2
    group = SpaceGroup.from_name("P 32 2 1")
    # a twofold rotation about c is no operation of the group; an inversion would make P 31 2 1 of it
    assert all(np.linalg.det(matrix) > 0 for matrix, _ in normaliser(group, HEXAGONAL))


def test_an_origin_off_the_grid_is_refused():
    group = SpaceGroup.from_operations(["x,y,z", "-x+1/24,-y,-z"])
    with pytest.raises(SymmetryError, match="multiples of 1/24"):
        wyckoff_positions(group)
