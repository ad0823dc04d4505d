"""Formulas, and how many formula units a cell holds."""

import pytest

from jaxnmr.crystal import SpaceGroup
from jaxnmr.errors import ConventionError, SymmetryError
from jaxnmr.solve.direct.contents import expected_volume, indistinguishable, possible_contents
from jaxnmr.solve.direct.formula import parse_composition


@pytest.mark.parametrize(
    "text, atoms",
    [
        ("PbSO4", {"Pb": 1, "S": 1, "O": 4}),
        ("Ca5(PO4)3F", {"Ca": 5, "P": 3, "O": 12, "F": 1}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("Si2 O4", {"Si": 1, "O": 2}),
        ("PbSO₄", {"Pb": 1, "S": 1, "O": 4}),
        ("Ca0.5Ti0.5O1.5", {"Ca": 1, "Ti": 1, "O": 3}),
        ({"Zn": 4, "Si": 2, "O": 10, "D": 4}, {"Zn": 2, "Si": 1, "O": 5, "H": 2}),
    ],
)
def test_a_formula_is_read_as_whole_atoms(text, atoms):
    assert parse_composition(text) == atoms


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "empty"), ("Xx2O3", "no element"), ("pbso4", "cannot read"), ("Ca(PO4", "not closed"), ("CaPO4)2", "not opened"),
        ("Na1.37O", "partly occupied"), ({"Na": -1}, "positive number"), ("H2", "hydrogen only"), ({"Pb4": 1}, "no element"), ({"pb": 1}, "no element"), ({82: 1}, "no element"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused_with_the_reason(text, said):
    with pytest.raises(ConventionError, match=said):
        parse_composition(text)


@pytest.mark.parametrize(
    "formula, cell, group, units, density",
    [
        # density from X-rays of anglesite, alpha quartz, fluorapatite, gypsum, halite
        ("PbSO4", [8.478, 5.397, 6.958, 90, 90, 90], "P n m a", 4, 6.33),
        ("SiO2", [4.9134, 4.9134, 5.4052, 90, 90, 120], "P 32 2 1", 3, 2.65),
        ("Ca5(PO4)3F", [9.3719, 9.3719, 6.8859, 90, 90, 120], "P 63/m", 2, 3.20),
        ("CaSO4·2H2O", [5.679, 15.202, 6.522, 90, 118.43, 90], "I 1 2/a 1", 4, 2.31),
        ("NaCl", [5.640, 5.640, 5.640, 90, 90, 90], "F m -3 m", 4, 2.16),
    ],
)
def test_the_number_of_formula_units_of_minerals_follows_from_their_cells(formula, cell, group, units, density):
    likely = possible_contents(formula, cell, SpaceGroup.from_name(group))
    assert likely[0].units == units and likely[0].density == pytest.approx(density, abs=0.02)
    assert sum(one.probability for one in likely) == pytest.approx(1.0) and likely[0].probability > 0.5
    given = possible_contents(formula, cell, SpaceGroup.from_name(group), density=density)
    assert given[0].units == units and given[0].probability > 0.9


def test_hydrogen_takes_room_but_is_left_out():
    gypsum = possible_contents("CaSO4·2H2O", [5.679, 15.202, 6.522, 90, 118.43, 90], SpaceGroup.from_name("I 1 2/a 1"))[
        0
    ]
    assert gypsum.hydrogen == 16 and "H" not in gypsum.atoms and gypsum.atoms["O"] == 24
    assert gypsum.volume_per_atom == pytest.approx(495.1 / 32, rel=0.01)
    assert expected_volume({"O": 1, "H": 2})[0] > expected_volume({"O": 1})[0]


def test_contents_that_multiplicities_do_not_allow_are_refused():
    # a quarter of the cell of halite has room for one unit; the positions of Fd-3m take eight atoms at least
    with pytest.raises(SymmetryError, match=r"volumes of known crystals ask for 0\.98"):
        possible_contents("NaCl", [5.64 / 4 ** (1 / 3)] * 3 + [90.0] * 3, SpaceGroup.from_name("F d -3 m:2"))
    with pytest.raises(SymmetryError, match=r"density asks for 1\.48"):
        possible_contents("NaCl", [5.64] * 3 + [90.0] * 3, SpaceGroup.from_name("F m -3 m"), density=0.8)


def test_neighbours_in_the_periodic_table_are_named():
    assert indistinguishable(("O", "F", "Na", "Nb")) == (("O", "F"),)
    assert indistinguishable(("Al", "Si", "O")) == (("Al", "Si"),)
    assert indistinguishable(("Pb", "S", "O")) == ()


def test_elements_of_unknown_ratio_are_given_every_ratio_that_fills_the_cell():
    cell, group = [5.44, 7.64, 5.38, 90, 90, 90], SpaceGroup.from_name("P n m a")
    found = possible_contents({"Ca": None, "Ti": None, "O": None}, cell, group)
    atoms = [one.atoms for one in found]
    assert {"Ca": 4, "Ti": 4, "O": 12} in atoms and {"Ca": 4, "Ti": 8, "O": 8} in atoms
    assert all(n % 4 == 0 for one in atoms for n in one.values())
    assert sum(one.probability for one in found) == pytest.approx(1.0)
    # the density of perovskite leaves few
    heavy = possible_contents({"Ca": None, "Ti": None, "O": None}, cell, group, density=4.04)
    assert len(heavy) < len(found) and {"Ca": 4, "Ti": 4, "O": 12} in [one.atoms for one in heavy]
    assert all(one.density == pytest.approx(4.04, rel=0.35) for one in heavy)
