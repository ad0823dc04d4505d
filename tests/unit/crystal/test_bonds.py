"""Bonds and angles: which there are, how many, and what they are called."""

import ase
import gemmi
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from jaxnmr.crystal import Crystal, plan_angles, plan_bonds, plan_expansion, plan_pairs, plan_triplets, symmetry_code
from jaxnmr.crystal.bonds import parse_atom
from jaxnmr.crystal.geometry import angles, distances
from jaxnmr.errors import ConventionError, ShapeError

FLUORAPATITE = Crystal.create(
    cell=[9.371724, 9.371724, 6.885867, 90, 90, 120],
    spacegroup="P 63/m",
    species=["Ca", "Ca", "P", "F", "O", "O", "O"],
    xyz=[
        [1 / 3, 2 / 3, 0.001913], [0.241976, 0.992603, 0.25], [0.397416, 0.367704, 0.25], [0, 0, 0.25],
        [0.325053, 0.484763, 0.25], [0.591494, 0.469954, 0.25], [0.33951, 0.258126, 0.070641],
    ],
)  # fmt: skip
ROCK_SALT = Crystal.create(
    cell=[5.64] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Na", "Cl"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]]
)
QUARTZ = Crystal.create(
    cell=[4.913, 4.913, 5.405, 90, 90, 120],
    spacegroup="P 32 2 1",
    species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
)
SKEWED = Crystal.create(
    cell=[3.1, 9.7, 4.3, 38, 52, 61], spacegroup="P -1", species=["C", "N"], xyz=[[0.1, 0.2, 0.3], [0.62, 0.71, 0.43]]
)
COPPER = Crystal.create(cell=[3.615] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Cu"], xyz=[[0, 0, 0]])


def full_cell(crystal) -> ase.Atoms:
    cell = crystal.expand()
    return ase.Atoms(
        [gemmi.Element(s).name for s in cell.species], scaled_positions=cell.fractional, cell=cell.lattice, pbc=True
    )


@pytest.mark.parametrize("crystal", [FLUORAPATITE, ROCK_SALT, QUARTZ, SKEWED, COPPER], ids=lambda c: c.group.name)
@pytest.mark.parametrize("cutoff", [2.9, 6.0])
def test_neighbours_within_a_radius_are_those_ase_finds(crystal, cutoff):
    plan = plan_bonds(crystal, cutoff)
    atoms = full_cell(crystal)
    first, second, length = neighbor_list("ijd", atoms, cutoff)
    site = np.asarray(crystal.expand().site)
    for k, start in enumerate(plan_expansion(crystal).asymmetric):
        chosen = plan.pairs[:, 0, 0] == k
        ours = np.repeat(distances(crystal, plan.pairs)[chosen], plan.multiplicity[chosen])
        species = np.repeat(plan.pairs[chosen, 1, 0], plan.multiplicity[chosen])
        theirs, kinds = length[first == start], site[second[first == start]]
        for j in range(crystal.n_sites):
            np.testing.assert_allclose(np.sort(ours[species == j]), np.sort(theirs[kinds == j]), atol=1e-8)


def test_rock_salt_has_six_equivalent_bonds():
    table = plan_bonds(ROCK_SALT).table(ROCK_SALT)
    assert [(r.labels, r.multiplicity) for r in table] == [(("Na1", "Cl1"), 6), (("Cl1", "Na1"), 6)]
    assert table[0].distance == pytest.approx(2.82)


def test_copper_has_twelve_neighbours_although_metals_bond_to_no_metal_in_salts():
    assert [r.multiplicity for r in plan_bonds(COPPER).table(COPPER)] == [12]
    assert all("Cl" in r.labels[0] + r.labels[1] for r in plan_bonds(ROCK_SALT, None).table(ROCK_SALT))


def test_fluorapatite_has_the_known_coordination():
    table = plan_bonds(FLUORAPATITE).table(FLUORAPATITE)
    number = {label: sum(r.multiplicity for r in table if r.labels[0] == label) for label in FLUORAPATITE.labels}
    assert number == {"Ca1": 9, "Ca2": 7, "P1": 4, "F1": 3, "O1": 4, "O2": 4, "O3": 4}
    phosphate = sorted(r.distance for r in table if r.labels[0] == "P1" for _ in range(r.multiplicity))
    assert np.mean(phosphate) == pytest.approx(1.54, abs=0.01)


def test_bonds_are_ordered_by_site_and_length():
    table = plan_bonds(FLUORAPATITE).table(FLUORAPATITE)
    order = [(FLUORAPATITE.labels.index(r.labels[0]), round(r.distance, 4)) for r in table]
    assert order == sorted(order)


def test_a_bond_seen_from_both_ends_is_one_orbit():
    plan = plan_bonds(FLUORAPATITE)
    length = distances(FLUORAPATITE, plan.pairs)
    for k, number in enumerate(plan.orbit):
        assert length[k] == pytest.approx(length[number], abs=1e-9)
        assert set(plan.pairs[k, :, 0]) == set(plan.pairs[number, :, 0])
    assert len(plan.distinct()) == len(set(plan.orbit)) == 11
    multiplicities = np.array([s.multiplicity for s in FLUORAPATITE.sites()])
    # as many bonds leave one end as arrive at the other
    per_cell = plan.multiplicity * multiplicities[plan.pairs[:, 0, 0]]
    for number in set(plan.orbit):
        members = per_cell[plan.orbit == number]
        assert len(members) == 2 and members[0] == members[1]


def test_bonds_between_atoms_of_one_site_are_one_orbit_with_themselves():
    crystal = Crystal.create(cell=[3.567] * 3 + [90] * 3, spacegroup="F d -3 m:1", species=["C"], xyz=[[0, 0, 0]])
    plan = plan_bonds(crystal)
    assert plan.multiplicity.tolist() == [4] and plan.orbit.tolist() == [0]
    assert distances(crystal, plan.pairs)[0] == pytest.approx(3.567 * 3**0.5 / 4)


def test_tetrahedral_angles_of_diamond():
    crystal = Crystal.create(cell=[3.567] * 3 + [90] * 3, spacegroup="F d -3 m:1", species=["C"], xyz=[[0, 0, 0]])
    (record,) = plan_angles(crystal).table(crystal)
    assert record.angle == pytest.approx(np.degrees(np.arccos(-1 / 3)))
    assert record.multiplicity == 6


def test_octahedral_angles_of_rock_salt_are_twelve_right_and_three_straight():
    table = [r for r in plan_angles(ROCK_SALT).table(ROCK_SALT) if r.labels[1] == "Na1"]
    assert [(round(r.angle, 6), r.multiplicity) for r in table] == [(90.0, 12), (180.0, 3)]


@pytest.mark.parametrize("crystal", [FLUORAPATITE, QUARTZ, ROCK_SALT], ids=lambda c: c.group.name)
def test_angles_are_those_ase_measures(crystal):
    bonds, plan = plan_bonds(crystal), plan_angles(crystal)
    atoms = full_cell(crystal)
    cutoffs = {}
    for r in bonds.table(crystal):
        key = tuple(
            atoms.symbols[plan_expansion(crystal).asymmetric[crystal.labels.index(label)]] for label in r.labels
        )
        cutoffs[key] = max(cutoffs.get(key, 0.0), r.distance + 1e-4)
    first, _, vector = neighbor_list("ijD", atoms, cutoffs)
    for k, start in enumerate(plan_expansion(crystal).asymmetric):
        v = vector[first == start]
        unit = v / np.linalg.norm(v, axis=1, keepdims=True)
        a, b = np.triu_indices(len(v), k=1)
        theirs = np.degrees(np.arccos(np.clip((unit[a] * unit[b]).sum(axis=1), -1, 1)))
        chosen = plan.triplets[:, 1, 0] == k
        ours = np.repeat(angles(crystal, plan.triplets)[chosen], plan.multiplicity[chosen])
        np.testing.assert_allclose(np.sort(ours), np.sort(theirs), atol=2e-5)


def test_tetrahedra_of_quartz_have_six_angles_that_average_to_the_tetrahedral_one():
    table = [r for r in plan_angles(QUARTZ).table(QUARTZ) if r.labels[1] == "Si1"]
    assert sum(r.multiplicity for r in table) == 6
    assert np.average([r.angle for r in table], weights=[r.multiplicity for r in table]) == pytest.approx(
        109.47, abs=0.1
    )
    (bridge,) = [r for r in plan_angles(QUARTZ).table(QUARTZ) if r.labels[1] == "O1"]
    assert bridge.angle == pytest.approx(143.7, abs=0.3)


def test_cutoffs_per_element_pair_take_only_those_pairs():
    table = plan_bonds(FLUORAPATITE, {("O", "P"): 1.8}).table(FLUORAPATITE)
    assert {frozenset(label[0] for label in r.labels) for r in table} == {frozenset("PO")}
    assert sum(r.multiplicity for r in table if r.labels[0] == "P1") == 4


@pytest.mark.parametrize(
    ("cutoffs", "error"),
    [(0.0, ShapeError), (-1.0, ShapeError), (np.nan, ConventionError), ({("P", "N"): 2.0}, ConventionError)],
)
def test_cutoffs_that_make_no_sense_are_refused(cutoffs, error):
    with pytest.raises(error):
        plan_bonds(FLUORAPATITE, cutoffs)


def test_atoms_sharing_a_site_are_not_bonded_to_each_other():
    crystal = Crystal.create(
        cell=[4.2] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Mg", "Fe", "O"],
        xyz=[[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]], occupancy=[0.5, 0.5, 1],
    )  # fmt: skip
    assert all(r.distance > 2.0 for r in plan_bonds(crystal).table(crystal))


def test_an_isolated_atom_has_neither_bonds_nor_angles():
    crystal = Crystal.create(cell=[20] * 3 + [90] * 3, spacegroup="P 1", species=["Ar"], xyz=[[0, 0, 0]])
    assert len(plan_bonds(crystal)) == len(plan_angles(crystal)) == 0
    assert plan_bonds(crystal).table(crystal) == () and plan_angles(crystal).table(crystal) == ()
    assert plan_bonds(crystal).distinct().shape == (0, 2, 5)


def test_symmetry_codes_are_those_of_a_cif():
    assert symmetry_code([3, 0, 0, 0, 0]) == "."
    assert symmetry_code([3, 0, 1, 0, 0]) == "1_655"
    assert symmetry_code([3, 2, 1, 1, 0]) == "3_665"
    assert symmetry_code([3, 11, -1, 0, -4]) == "12_451"
    assert symmetry_code([3, 2, 5, 0, 0]) == "?"


def test_the_atom_a_symmetry_code_names_lies_at_the_bond_length():
    vectors = FLUORAPATITE.lattice()
    for r in plan_bonds(FLUORAPATITE).table(FLUORAPATITE):
        start = FLUORAPATITE.xyz[FLUORAPATITE.labels.index(r.labels[0])]
        operation, shift = (1, "555") if r.symmetry == "." else (int(r.symmetry[:-4]), r.symmetry[-3:])
        op = gemmi.Op(FLUORAPATITE.group.triplets[operation - 1])
        end = np.array(op.apply_to_xyz(FLUORAPATITE.xyz[FLUORAPATITE.labels.index(r.labels[1])].tolist()))
        end += [int(digit) - 5 for digit in shift]
        assert np.linalg.norm((end - start) @ vectors) == pytest.approx(r.distance, abs=1e-9)


def test_a_named_pair_is_the_shortest_distance_between_the_sites():
    pairs = plan_pairs(FLUORAPATITE, [("P1", "O1"), ("P1", "O3"), ("O1", "P1"), ("Ca2", "F1"), ("F1", "F1")])
    np.testing.assert_allclose(distances(FLUORAPATITE, pairs), [1.55158, 1.52221, 1.55158, 2.30318, 3.44293], atol=2e-5)


def test_a_symmetry_code_picks_the_image_of_a_pair():
    pairs = plan_pairs(FLUORAPATITE, [("Ca1", "O2 2_554"), ("Ca1", "O1 1_555"), ("Ca1", "O1 1_556")])
    assert distances(FLUORAPATITE, pairs)[0] == pytest.approx(2.45900, abs=1e-5)
    assert distances(FLUORAPATITE, pairs)[1] == pytest.approx(2.38709, abs=1e-5)
    assert distances(FLUORAPATITE, pairs)[2] > 7


def test_named_angles_take_the_nearest_atoms_and_two_different_ones_of_one_site():
    triplets = plan_triplets(FLUORAPATITE, [("O1", "P1", "O2"), ("O3", "P1", "O3"), ("O3", "P1", "O3 10_555")])
    np.testing.assert_allclose(angles(FLUORAPATITE, triplets), [110.46645, 108.45552, 108.45552], atol=1e-4)


@pytest.mark.parametrize("text", ["Q1", "O1 99_555", "O1 0_555", "O1 abc", "O1 1_55"])
def test_atoms_that_do_not_exist_are_refused(text):
    with pytest.raises(ConventionError, match=r"no site|symmetry code"):
        parse_atom(FLUORAPATITE, text)


def test_codes_on_the_middle_atom_alone_are_refused():
    with pytest.raises(ConventionError, match="all three"):
        plan_triplets(FLUORAPATITE, [("O1", "P1 2_555", "O2")])
