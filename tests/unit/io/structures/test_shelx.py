"""SHELX files: symmetry, occupation factors, free variables, displacements."""

import numpy as np
import pytest

from jaxnmr.crystal import SpaceGroup, plan_bonds
from jaxnmr.errors import JaxnmrError, ParseError
from jaxnmr.io import read_crystal, read_crystals

QUARTZ = """\
TITL quartz in P3221
CELL 0.71073 4.9137 4.9137 5.4047 90 90 120
ZERR 3 0.0001 0.0001 0.0001 0 0 0
LATT -1
SYMM -Y, X-Y, Z+2/3
SYMM -X+Y, -X, Z+1/3
SYMM Y, X, -Z
SYMM X-Y, -Y, 0.33333-Z
SYMM -X, -X+Y, -Z+2/3
SFAC Si O
UNIT 3 6
FVAR 0.5 0.75
"""
ATOMS = """\
SI1 1 0.4697 10.0 10.666667 10.5 0.01
O1 2 0.4135 0.2669 0.7858 11.0 0.02
HKLF 4
END
"""
HEAD = "TITL x\nCELL 0.71073 {cell}\nZERR 1 0 0 0 0 0 0\nLATT {latt}\n{symm}SFAC Ca C O H\nFVAR 0.3 0.25 0.6\n"
P1_BAR = HEAD.format(cell="6 7 8 90 90 90", latt=1, symm="")


def write(folder, text: str, name: str = "sample.res"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def contents(crystal) -> dict[str, float]:
    shares = crystal.occupancy * np.array([site.multiplicity for site in crystal.sites()])
    return {
        e: round(sum(shares[k] for k, f in enumerate(crystal.elements) if f == e), 6) for e in set(crystal.elements)
    }


@pytest.mark.parametrize("labels", [("SI1", "O1"), ("Si", "O"), ("T", "OW")])
def test_quartz_has_three_silicon_and_six_oxygen_atoms_whatever_their_labels(tmp_path, labels):
    text = QUARTZ + ATOMS.replace("SI1", labels[0]).replace("O1", labels[1])
    crystal = read_crystal(write(tmp_path, text))
    assert crystal.group.name == "P 32 2 1" and crystal.labels == labels
    assert contents(crystal) == {"Si": 3, "O": 6}
    np.testing.assert_allclose(crystal.u_iso, [0.01, 0.02])
    bonds = [b for b in plan_bonds(crystal).table(crystal) if b.labels[0] == labels[0]]
    assert [b.multiplicity for b in bonds] == [2, 2]
    assert all(1.6 < b.distance < 1.62 for b in bonds)
    assert list(read_crystals(tmp_path / "sample.res")) == ["sample"]


@pytest.mark.parametrize(
    ("latt", "name"),
    [(1, "P -1"), (2, "I -1"), (4, "F -1"), (5, "A -1"), (6, "B -1"), (7, "C -1"), (-2, "I 1"), (-7, "C 1")],
)
def test_lattice_types_centre_the_cell_and_add_the_inversion(tmp_path, latt, name):
    head = HEAD.format(cell="6 7 8 90 90 90", latt=latt, symm="")
    crystal = read_crystal(write(tmp_path, head + "O1 3 0.1 0.2 0.3 11.0 0.02\n"))
    assert crystal.group == SpaceGroup.from_name(name)


def test_an_obverse_rhombohedral_lattice_is_that_of_the_tables(tmp_path):
    symm = "SYMM -Y, X-Y, Z\nSYMM Y-X, -X, Z\nSYMM Y, X, -Z\nSYMM X-Y, -Y, -Z\nSYMM -X, Y-X, -Z\n"
    head = HEAD.format(cell="5 5 12 90 90 120", latt=3, symm=symm)
    crystal = read_crystal(write(tmp_path, head + "Ca1 1 0 0 0 10.08333 0.02\n"))
    assert crystal.group == SpaceGroup.from_name("R -3 m:H")
    assert crystal.occupancy[0] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("atom", "occupancy"),
    [("0 0 0 10.5", 1.0), ("0 0 0 10.25", 0.5), ("0 0 0 11.0", 1.0), ("0.1 0.2 0.3 10.5", 0.5), ("0.1 0.2 0.3 21.0", 0.25),
     ("0.1 0.2 0.3 -21.0", 0.75), ("0.1 0.2 0.3 30.5", 0.3), ("0 0 0 20.5", 0.25), ("0.1 0.2 0.3 0.9", 0.9)],
)  # fmt: skip
def test_occupation_factors_count_multiplicities_and_follow_free_variables(tmp_path, atom, occupancy):
    crystal = read_crystal(write(tmp_path, P1_BAR + f"O1 3 {atom} 0.02\n"))
    assert crystal.occupancy[0] == pytest.approx(occupancy)


def test_a_part_gives_its_atoms_the_occupancy(tmp_path):
    text = "PART 1 21\nO1 3 0.1 0.2 0.3 11.0 0.02\nPART 2 -21\nO2 3 0.15 0.25 0.3 11.0 0.02\nPART 0\nC1 2 0.6 0.5 0.5 11.0 0.02\n"
    assert read_crystal(write(tmp_path, P1_BAR + text)).occupancy.tolist() == [0.25, 0.75, 1.0]


def test_displacements_have_the_order_of_the_format_and_ride(tmp_path):
    atoms = """\
C1 2 0.1 0.2 0.3 11.0 0.011 0.022 =
   0.033 0.004 0.005 0.006
AFIX 43
H1 4 0.2 0.2 0.3 11.0 -1.2
H2 4 0.15 0.3 0.3 11.0 -1.5
AFIX 0
O1 3 0.6 0.5 0.5 11.0 10.04
Q1 1 0.9 0.9 0.9 11.0 0.05 1.2
"""
    crystal = read_crystal(write(tmp_path, P1_BAR + atoms))
    assert crystal.labels == ("C1", "H1", "H2", "O1")
    np.testing.assert_allclose(crystal.u_aniso[0], [0.011, 0.022, 0.033, 0.006, 0.005, 0.004])
    np.testing.assert_allclose(crystal.u_iso[1:], [1.2 * 0.022, 1.5 * 0.022, 0.04])


def test_a_list_of_all_atoms_has_its_symmetry_found(tmp_path):
    sites = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    atoms = "".join(f"Ca 1 {x} {y} {z} 1.0\n" for x, y, z in sites)
    path = write(tmp_path, HEAD.format(cell="5.58 5.58 5.58 90 90 90", latt=-1, symm="") + atoms + "END\n")
    assert read_crystal(path).group.name == "F m -3 m"
    assert read_crystal(path, symprec=None).n_sites == 4


def test_atoms_that_do_not_add_up_to_the_cell_contents_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="do not add up to UNIT: O 3 instead of 6"):
        read_crystal(write(tmp_path, QUARTZ + ATOMS.replace("11.0", "10.5")))


def test_a_given_space_group_takes_the_place_of_the_symmetry(tmp_path):
    assert (
        read_crystal(write(tmp_path, P1_BAR + "O1 3 0.1 0.2 0.3 11.0 0.02\n"), spacegroup="P m m m").group.number == 47
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("SI1 1", "SI1 4", "line 13: atom SI1 is of element 4, but SFAC lists 2"),
        ("10.5 0.01", "51.0 0.01", "line 13: 51 refers to free variable 5, but FVAR lists 2"),
        ("0.4697", "abc", "line 13: 'SI1 1 abc"),
        ("LATT -1", "LATT 9", "line 4: LATT 9: expected 1 to 7"),
        ("SFAC Si O", "SFAC Xx O", "SFAC lists Xx"),
        ("SYMM Y, X, -Z\n", "", "do not form a group"),
        ("0.01\n", "-1.2\n", "line 13: U of SI1 is -1.2 times"),
        (ATOMS, "", "no atoms"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path, old, new, reason):
    with pytest.raises(JaxnmrError, match=reason):
        read_crystal(write(tmp_path, (QUARTZ + ATOMS).replace(old, new)))


@pytest.mark.filterwarnings("ignore:.*do not add up to UNIT")
def test_every_truncation_is_read_or_refused_in_our_words(tmp_path):
    text, outcomes = QUARTZ + ATOMS, set()
    for end in range(0, len(text), 23):
        try:
            read_crystal(write(tmp_path, text[:end]))
            outcomes.add("read")
        except JaxnmrError as err:
            outcomes.add(type(err))
    assert ParseError in outcomes
