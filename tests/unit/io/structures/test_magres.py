"""Magres files: values, round trips, frames, and what is refused and where."""

import ase
import ase.io
import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, ParseError, ShapeError
from jaxnmr.io.structures.magres import (
    Couplings,
    Magres,
    magres_from_ase,
    magres_to_ase,
    read_magres,
    read_tensor_frames,
    write_magres,
)
from jaxnmr.nmr.tensors import antisymmetric_part, iupac_from_shielding

TEXT = """#$magres-abinitio-v1.0
# a comment
[calculation]
calc_code CASTEP
calc_code_version 6.1
calc_comment
units calc_cutoffenergy Hartree
[/calculation]
[atoms]
units lattice Angstrom
lattice 0 5 0 -4 0 0 0 0 6
units atom Angstrom
symmetry P1
atom Si Si 1 0.0 1.0 2.0
atom Si Si 2 1.0 1.5 2.0
atom O  O  1 -1.0 1.0 0.5  # bridging
[/atoms]
[magres_old]
anything [atoms] goes here
[/magres_old]
[magres]
units ms ppm
ms Si 1 1 2 3 4 5 6 7 8 9
ms Si 2 10 0 0 0 20 0 0 0 30
units efg au
efg Si 1 -0.5 0 0 0 -0.5 0 0 0 1
efg Si 2 -0.5 0.1 0 0.1 -0.5 0 0 0 1
efg O 1 1 0 0 0 1 0 0 0 -2
efg_local O 1 1 0 0 0 1 0 0 0 -2
units isc 10^19.T^2.J^-1
isc Si 1 O 1 1 2 3 4 5 6 7 8 9
isc O 1 Si 1 1 4 7 2 5 8 3 6 9
units sus 10^-6.cm^3.mol^-1
sus -1 0 0 0 -2 0 0 0 -3
[/magres]
"""


def read(tmp_path, text=TEXT, **options) -> Magres:
    path = tmp_path / "made.magres"
    path.write_text(text, encoding="utf-8")
    return read_magres(path, **options)


def test_every_number_of_a_file_arrives(tmp_path):
    found = read(tmp_path)
    assert found.elements == ("Si", "Si", "O") and found.labels == ("Si_1", "Si_2", "O_1")
    assert len(found) == 3 and found.name == "made"
    np.testing.assert_array_equal(found.lattice, [[0, 5, 0], [-4, 0, 0], [0, 0, 6]])
    np.testing.assert_array_equal(found.positions[2], [-1.0, 1.0, 0.5])
    np.testing.assert_array_equal(found.shielding_ppm[0], np.arange(1, 10).reshape(3, 3), err_msg="row by row")
    assert np.abs(antisymmetric_part(found.shielding_ppm[0])).max() == 2.0
    assert np.isnan(found.shielding_ppm[2]).all(), "the file has no shielding of O"
    np.testing.assert_array_equal(found.efg_au[1], [[-0.5, 0.1, 0], [0.1, -0.5, 0], [0, 0, 1]])
    np.testing.assert_array_equal(found.tensors["efg_local"][2], found.efg_au[2])
    np.testing.assert_array_equal(found.couplings["isc"].pairs, [[0, 2], [2, 0]])
    both = found.couplings["isc"].k_1e19
    np.testing.assert_array_equal(both[0], both[1].T, err_msg="each direction has its own tensor")
    np.testing.assert_array_equal(found.susceptibility, np.diag([-1.0, -2.0, -3.0]))
    assert found.calculation["calc_code"] == ("CASTEP",)


def test_a_tensor_of_nans_is_the_absence_of_one(tmp_path):
    found = read(tmp_path, TEXT.replace("ms Si 2 10 0 0 0 20 0 0 0 30", "ms Si 2" + " nan" * 9))
    assert np.isnan(found.shielding_ppm[1]).all()
    np.testing.assert_array_equal(found.shielding_ppm[0], read(tmp_path).shielding_ppm[0])


def test_old_brackets_and_joined_labels_are_read(tmp_path):
    # CASTEP before version 23 joins a label and an index of three digits
    text = (
        TEXT.replace("Si 1 ", "Si 101 ").replace("ms Si 101 ", "ms Si101 ").replace("isc O 1 Si 101", "isc O 1 Si101")
    )
    found = read(tmp_path, text.replace("[", "<").replace("]", ">"))
    assert found.labels[0] == "Si_101"
    np.testing.assert_array_equal(found.shielding_ppm, read(tmp_path).shielding_ppm)
    np.testing.assert_array_equal(found.couplings["isc"].pairs, [[0, 2], [2, 0]])


def test_files_without_units_are_read_when_asked(tmp_path):
    text = "\n".join(line for line in TEXT.splitlines() if not line.startswith(("#", "units")))
    with pytest.raises(ParseError, match=r"line 1: .*assume_units=True"):
        read(tmp_path, text)
    np.testing.assert_array_equal(read(tmp_path, text, assume_units=True).efg_au, read(tmp_path).efg_au)


def test_a_molecule_needs_no_cell(tmp_path):
    found = read(tmp_path, TEXT.replace("lattice 0 5 0 -4 0 0 0 0 6\n", ""))
    assert found.lattice is None
    with pytest.raises(ConventionError, match="no three-dimensional cell"):
        found.crystal()


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("#$magres-abinitio-v1.0", "data_quartz", 1, "no .magres file"),
        ("#$magres-abinitio-v1.0", "#$magres-abinitio-v2.0", 1, "not '#\\$magres"),
        ("[/magres]\n", "", 34, "truncated"),
        ("sus -1 0 0 0 -2 0 0 0 -3\n[/magres]\n", "sus -1 0 0", 34, "sus has 3 numbers"),
        ("units ms ppm\n", "", 22, "ms before its unit"),
        ("units atom Angstrom\n", "", 13, "atom before its unit"),
        ("units ms ppm", "units ms Hz", 22, "'Hz'"),
        ("units lattice Angstrom", "units lattice Bohr", 10, "'Bohr'"),
        ("units ms ppm", "units mass ppm", 22, "units mass"),
        ("ms Si 2 10 0 0", "ms Si 2 10 0 zero", 24, "'zero'"),
        ("ms Si 2 10 0 0", "ms Si 2 10 0 inf", 24, "not finite"),
        ("ms Si 2 10 0 0", "ms Si 2 10 0", 24, "8 numbers; expected 9"),
        ("ms Si 2 10", "ms Si 3 10", 24, "no atom of the file"),
        ("ms Si 2 10", "ms Si 1 10", 24, "a second ms tensor of Si 1"),
        ("ms Si 2 10", "mss Si 2 10", 24, "unknown record 'mss'"),
        ("isc Si 1 O 1", "isc Si 1 O 7", 31, "'O 7'"),
        ("atom Si Si 2 1.0", "atom Si Si 1 1.0", 15, "a second atom"),
        ("atom Si Si 2 1.0 1.5 2.0", "atom Si Si 2 1.0 1.5", 15, "expected species"),
        ("atom Si Si 2 1.0 1.5 2.0", "atom Si Si 2 1.0 1,5 2.0", 15, "'1,5'"),
        ("atom Si Si 2", "atom Qq Si 2", None, "ASE cannot read it"),
        ("lattice 0 5 0 -4 0 0 0 0 6", "lattice 1 0 0 1 0 0 0 0 6", 11, "no volume"),
        ("symmetry P1", "lattice 0 5 0 -4 0 0 0 0 6", 13, "a second lattice"),
        ("[magres]\n", "[atoms]\n", 21, "a second \\[atoms\\]"),
        ("[/magres_old]\n", "[/magres_old]\nefg\n", 21, "outside any block"),
        ("[/atoms]", "[/magres]", 17, "not open"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path, old, new, line, message):
    assert old in TEXT
    with pytest.raises(ParseError, match=message) as caught:
        read(tmp_path, TEXT.replace(old, new, 1) if old != "[/magres]\n" else TEXT.removesuffix(old))
    assert caught.value.line == line


def test_files_without_content_are_refused(tmp_path):
    for content in ("", "#$magres-abinitio-v1.0\n"):
        with pytest.raises(ParseError, match=r"empty|no atoms"):
            read(tmp_path, content)
    with pytest.raises(ParseError, match="no such file"):
        read_magres(tmp_path / "missing.magres")
    with pytest.raises(ParseError, match="directory"):
        read_magres(tmp_path)


def test_writing_and_reading_loses_nothing(tmp_path):
    first = read(tmp_path)
    second = read_magres(write_magres(first, tmp_path / "again.magres"))
    assert (second.elements, second.labels, second.species) == (first.elements, first.labels, first.species)
    assert second.calculation == first.calculation
    np.testing.assert_array_equal(second.positions, first.positions)
    np.testing.assert_array_equal(second.lattice, first.lattice)
    np.testing.assert_array_equal(second.susceptibility, first.susceptibility)
    assert second.tensors.keys() == first.tensors.keys()
    for kind, tensors in first.tensors.items():
        np.testing.assert_array_equal(second.tensors[kind], tensors)
    np.testing.assert_array_equal(second.couplings["isc"].pairs, first.couplings["isc"].pairs)
    np.testing.assert_array_equal(second.couplings["isc"].k_1e19, first.couplings["isc"].k_1e19)
    with pytest.raises(DataError, match="cannot be written"):
        write_magres(first, tmp_path / "missing" / "again.magres")


def test_ase_reads_what_we_write(tmp_path):
    found = read(tmp_path).select("Si")
    atoms = ase.io.read(write_magres(found, tmp_path / "si.magres"))
    np.testing.assert_array_equal(atoms.arrays["ms"], found.shielding_ppm)
    np.testing.assert_array_equal(atoms.cell, found.lattice)


def test_atoms_are_selected_by_element_and_label_with_their_couplings(tmp_path):
    found = read(tmp_path)
    silicon = found.select("Si")
    assert silicon.labels == ("Si_1", "Si_2") and silicon.shielding_ppm.shape == (2, 3, 3)
    assert len(silicon.couplings["isc"].pairs) == 0, "the couplings are to oxygen"
    assert found.select("Si_2").labels == ("Si_2",)
    with pytest.raises(ConventionError, match="no 'Al'; it has O, Si"):
        found.select("Al")


def test_couplings_follow_their_atoms():
    pairs, k = np.array([[0, 2], [2, 0], [1, 2]]), np.arange(27.0).reshape(3, 3, 3)
    found = Magres(
        elements=("O", "C", "O"),
        positions=np.zeros((3, 3)),
        lattice=None,
        labels=("O_1", "C_1", "O_2"),
        species=("O", "C", "O"),
        tensors={},
        couplings={"isc": Couplings(pairs, k)},
    ).select("O")
    np.testing.assert_array_equal(found.couplings["isc"].pairs, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(found.couplings["isc"].k_1e19, k[:2])


def test_a_crystal_has_the_atoms_of_the_file_in_its_order(tmp_path):
    found = read(tmp_path)
    crystal = found.crystal()
    assert crystal.elements == found.elements
    np.testing.assert_allclose(np.asarray(crystal.cell), [5, 4, 6, 90, 90, 90], atol=1e-9)
    fractions = found.positions @ np.linalg.inv(found.lattice)
    away = np.asarray(crystal.xyz) - fractions
    np.testing.assert_allclose(away - np.round(away), 0.0, atol=1e-9)


def test_tensors_turn_with_the_cell_into_the_frame_of_the_crystal(tmp_path):
    found = read(tmp_path)
    turned = found.in_crystal_frame()
    np.testing.assert_allclose(turned.lattice, np.asarray(found.crystal().lattice()), atol=1e-12)
    # a was along y and is along x: a quarter turn about z, which exchanges xx and yy
    np.testing.assert_allclose(np.diag(turned.shielding_ppm[1]), [20, 10, 30], atol=1e-12)
    np.testing.assert_allclose(
        turned.positions @ np.linalg.inv(turned.lattice), found.positions @ np.linalg.inv(found.lattice)
    )
    # an invariant of tensor and geometry: the shielding along the vector to a neighbour
    for one in (found, turned):
        vector = one.positions[1] - one.positions[0]
        along = vector @ one.shielding_ppm[0] @ vector / (vector @ vector)
        assert along == pytest.approx(4.2), "1*1 + (2 + 4)*0.5 + 5*0.25 over 1.25"
    np.testing.assert_allclose(
        iupac_from_shielding(turned.shielding_ppm[:2]), iupac_from_shielding(found.shielding_ppm[:2]), atol=1e-12
    )


def test_ase_atoms_and_extxyz_carry_the_tensors(tmp_path):
    found = read(tmp_path).select("Si")
    back = magres_from_ase(magres_to_ase(found))
    assert (back.labels, back.species) == (found.labels, found.species)
    np.testing.assert_array_equal(back.shielding_ppm, found.shielding_ppm)
    path = tmp_path / "frames.extxyz"
    ase.io.write(path, [magres_to_ase(found, flat=True)] * 2)
    frames = read_tensor_frames(path)
    assert [frame.name for frame in frames] == ["frames-1", "frames-2"]
    np.testing.assert_allclose(frames[1].efg_au, found.efg_au, atol=1e-8)
    np.testing.assert_allclose(frames[1].lattice, found.lattice)


def test_atoms_without_labels_are_numbered_by_element():
    atoms = ase.Atoms("SiO2", positions=np.eye(3))
    atoms.new_array("efg", np.zeros((3, 9)))
    assert magres_from_ase(atoms).labels == ("Si_1", "O_1", "O_2")
    assert magres_from_ase(atoms).shielding_ppm is None
    atoms.arrays["efg"] = np.zeros((3, 6))
    with pytest.raises(ShapeError, match=r"\(3, 6\)"):
        magres_from_ase(atoms)
