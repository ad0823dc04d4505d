"""Structures from CIF: what is read, how symmetry is found, what is refused."""

import ase.io
import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import SpaceGroup
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError, SymmetryError
from jaxnmr.io import read_crystal, read_crystals, to_ase, write_crystal

# most of these atoms have no displacement, which is said
pytestmark = pytest.mark.filterwarnings("ignore:.*no displacement of")

CELL = """\
_cell_length_a 9.3717(2)
_cell_length_b 9.3717(2)
_cell_length_c 6.8859(2)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
"""
GROUP = "_symmetry_space_group_name_H-M 'P 63/m'\n"
ATOMS = """\
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Ca1 Ca2+ 0.3333 0.6667 0.0019(1) 1 0.0061(3)
P1 P 0.3974(2) 0.3677(2) 0.25 1 0.0040
F1 F1- 0 0 0.25 0.95 0.0138
O1 O2- 0.3395 0.2581 0.0706 . ?
"""
START = "data_x\n" + CELL + GROUP
ANISO = """\
loop_
_atom_site_aniso_label
_atom_site_aniso_{0}_11
_atom_site_aniso_{0}_22
_atom_site_aniso_{0}_33
_atom_site_aniso_{0}_12
_atom_site_aniso_{0}_13
_atom_site_aniso_{0}_23
"""


def write(folder, text: str, name: str = "sample.cif"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def cif(folder, *parts: str):
    return write(folder, "data_sample\n" + "".join(parts))


def atoms_loop(*rows: str, tags: str = "label type_symbol fract_x fract_y fract_z") -> str:
    return "loop_\n" + "".join(f"_atom_site_{t}\n" for t in tags.split()) + "\n".join(rows) + "\n"


class TestReadingCif:
    def test_numbers_lose_their_uncertainties_and_gaps_get_defaults(self, tmp_path):
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, ATOMS))
        np.testing.assert_allclose(crystal.cell, [9.3717, 9.3717, 6.8859, 90, 90, 120])
        np.testing.assert_allclose(crystal.u_iso, [0.0061, 0.004, 0.0138, 0.01])
        np.testing.assert_allclose(crystal.occupancy, [1, 1, 0.95, 1])
        assert crystal.labels == ("Ca1", "P1", "F1", "O1")
        assert crystal.species == ("Ca2+", "P", "F1-", "O2-")
        assert crystal.group.number == 176
        assert crystal.name == "sample"

    def test_thirds_are_taken_as_thirds(self, tmp_path):
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, ATOMS))
        np.testing.assert_allclose(crystal.xyz[0], [1 / 3, 2 / 3, 0.0019], atol=1e-12)
        assert [s.multiplicity for s in crystal.sites()] == [4, 6, 2, 12]

    @pytest.mark.parametrize(("x", "y"), [("0.333", "0.667"), ("0.333", "0.666"), ("0.33", "0.67"), ("1/3", "2/3")])
    def test_coarsely_printed_thirds_snap_in_a_large_cell_too(self, tmp_path, x, y):
        cell = CELL.replace("9.3717(2)", "31.0").replace("6.8859(2)", "8.0")
        crystal = read_crystal(cif(tmp_path, cell, GROUP, atoms_loop(f"Si1 Si {x} {y} 0.1")))
        np.testing.assert_allclose(crystal.xyz[0], [1 / 3, 2 / 3, 0.1], atol=1e-12)

    def test_general_coordinates_that_look_like_thirds_are_kept(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 6.0\n" for a in "abc")
        text = cif(tmp_path, cell, "_symmetry_space_group_name_H-M 'P 1'\n", atoms_loop("Si1 Si 0.333 0.166 0.001"))
        np.testing.assert_array_equal(read_crystal(text).xyz[0], [0.333, 0.166, 0.001])

    def test_angles_that_are_not_given_are_right(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 4.2\n" for a in "abc")
        crystal = read_crystal(cif(tmp_path, cell, "_space_group_IT_number 225\n", atoms_loop("Mg Mg 0 0 0")))
        np.testing.assert_array_equal(crystal.cell[3:], 90)

    def test_b_values_become_u(self, tmp_path):
        loop = atoms_loop("Si1 Si 0.1 0.2 0.3 0.7896", tags="label type_symbol fract_x fract_y fract_z B_iso_or_equiv")
        assert read_crystal(cif(tmp_path, CELL, GROUP, loop)).u_iso[0] == pytest.approx(0.01, rel=1e-4)

    @pytest.mark.parametrize("kind", ["U", "B", "beta"])
    def test_anisotropic_displacements_are_matched_by_label_in_any_convention(self, tmp_path, kind):
        u = np.array([0.012, 0.021, 0.031, 0.004, 0.0, 0.0])  # on the mirror
        a_star = np.array([1 / (9.3717 * np.sin(np.pi / 3)), 1 / (9.3717 * np.sin(np.pi / 3)), 1 / 6.8859])
        pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
        factor = {
            "U": 1.0,
            "B": 8 * np.pi**2,
            "beta": 2 * np.pi**2 * np.array([a_star[i] * a_star[j] for i, j in pairs]),
        }
        row = "P1 " + " ".join(f"{v:.9f}" for v in u * factor[kind]) + "\n"
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, ATOMS, ANISO.format(kind), row))
        assert crystal.anisotropic == (False, True, False, False)
        np.testing.assert_allclose(crystal.u_aniso[1], u, atol=1e-7)
        assert crystal.u_iso[1] == 0.0

    def test_repeated_labels_take_their_own_displacements(self, tmp_path):
        loop = atoms_loop("O1 O 0.1 0.2 0.3", "O1 O 0.4 0.15 0.12")
        rows = "O1 0.01 0.01 0.01 0.005 0 0\nO1 0.02 0.02 0.02 0.01 0 0\n"
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, loop, ANISO.format("U"), rows))
        assert crystal.labels == ("O1", "O1_2")
        np.testing.assert_allclose(crystal.u_aniso[:, 0], [0.01, 0.02])

    def test_sites_declared_isotropic_stay_so(self, tmp_path):
        loop = atoms_loop("O1 O 0.1 0.2 0.3 Uiso", tags="label type_symbol fract_x fract_y fract_z adp_type")
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, loop, ANISO.format("U"), "O1 0.01 0.01 0.01 0.005 0 0\n"))
        assert crystal.anisotropic == (False,)

    @pytest.mark.filterwarnings("ignore:.*water molecules Wat3 are read as")
    @pytest.mark.parametrize(
        ("label", "symbol", "species"),
        [
            ("Ca1", "Ca+2", "Ca2+"), ("Ca1", "CA2+", "Ca2+"), ("O1", "O-2", "O2-"), ("O1", "o", "O"), ("D1", "D", "D"),
            ("SiT", "?", "Si"), ("OW1", "?", "O"), ("Ow", ".", "O"), ("Wat3", "?", "O"), ("Hg1", "?", "Hg"),
            ("CA1", "?", "Ca"), ("H1A", "?", "H"), ("Fe", "Fe2.5+", "Fe"), ("O-H", "?", "O"), ("HOA", "?", "H"),
        ],
    )  # fmt: skip
    def test_elements_come_from_the_type_symbol_or_the_label(self, tmp_path, label, symbol, species):
        crystal = read_crystal(cif(tmp_path, CELL, GROUP, atoms_loop(f"{label} {symbol} 0.1 0.2 0.3")))
        assert crystal.species == (species,)

    def test_the_formula_decides_between_holmium_and_the_hydrogen_of_a_hydroxyl(self, tmp_path):
        loop = atoms_loop("HO1 0.1 0.2 0.3", tags="label fract_x fract_y fract_z")
        water = read_crystal(cif(tmp_path, CELL, GROUP, "_chemical_formula_sum 'H2'\n", loop))
        oxide = read_crystal(cif(tmp_path, CELL, GROUP, "_chemical_formula_sum 'Ho2'\n", loop))
        assert (water.species, oxide.species) == (("H",), ("Ho",))

    def test_labels_that_would_confuse_parameter_names_are_changed(self, tmp_path):
        loop = atoms_loop("'O 1' O 0.1 0.2 0.3", "'O[2]' O 0.4 0.15 0.12", "O* O 0.2 0.1 0.6")
        assert read_crystal(cif(tmp_path, CELL, GROUP, loop)).labels == ("O_1", "O_2_", "O_")

    def test_dummy_atoms_are_left_out(self, tmp_path):
        loop = atoms_loop(
            "O1 O 0.1 0.2 0.3 d", "X1 O 0.4 0.15 0.12 dum", tags="label type_symbol fract_x fract_y fract_z calc_flag"
        )
        assert read_crystal(cif(tmp_path, CELL, GROUP, loop)).labels == ("O1",)

    def test_atoms_without_coordinates_are_left_out_with_a_warning(self, tmp_path):
        path = cif(tmp_path, CELL, GROUP, atoms_loop("O1 O 0.1 0.2 0.3", "H1 H ? ? ?"))
        with pytest.warns(UserWarning, match="no coordinates for H1"):
            assert read_crystal(path).labels == ("O1",)

    def test_disordered_alternatives_share_space_when_their_occupancies_allow(self, tmp_path):
        tags = "label type_symbol fract_x fract_y fract_z occupancy disorder_group"
        loop = atoms_loop("O1A O 0.1 0.2 0.3 0.6 1", "O1B O 0.1 0.2 0.33 0.4 2", tags=tags)
        np.testing.assert_allclose(read_crystal(cif(tmp_path, CELL, GROUP, loop)).occupancy, [0.6, 0.4])

    def test_occupancies_refined_a_little_above_one_are_one(self, tmp_path):
        tags = "label type_symbol fract_x fract_y fract_z occupancy"
        path = cif(tmp_path, CELL, GROUP, atoms_loop("O1 O 0.1 0.2 0.3 1.016(8)", tags=tags))
        assert read_crystal(path).occupancy[0] == 1.0
        with pytest.raises(ConventionError, match=r"occupancy of O1 is 1\.3"):
            read_crystal(cif(tmp_path, CELL, GROUP, atoms_loop("O1 O 0.1 0.2 0.3 1.3", tags=tags)))

    def test_accents_in_old_encodings_are_no_obstacle(self, tmp_path):
        path = tmp_path / "latin.cif"
        path.write_bytes(("data_x\n_publ_author_name 'Müller, É.'\n" + CELL + GROUP + ATOMS).encode("latin-1"))
        assert read_crystal(path).n_sites == 4

    def test_the_phase_name_is_taken_from_the_file_or_the_caller(self, tmp_path):
        path = cif(tmp_path, "_pd_phase_name 'Fluor apatite [1]'\n", CELL, GROUP, ATOMS)
        assert read_crystal(path).name == "Fluor_apatite_1"
        assert read_crystal(path, name="FAP").name == "FAP"
        assert read_crystal(write(tmp_path, "data_123\n" + CELL + GROUP + ATOMS, "my.cif")).name == "my"


class TestSymmetryOfCif:
    LOOP = "loop_\n_symmetry_equiv_pos_as_xyz\n"

    def group(self, folder, *symmetry: str, cell: str = CELL) -> SpaceGroup:
        return read_crystal(cif(folder, cell, *symmetry, atoms_loop("O1 O 0.1 0.2 0.3"))).group

    def test_the_loop_of_operations_comes_before_a_symbol_of_another_setting_which_is_said(self, tmp_path):
        operations = "".join(f"'{t}'\n" for t in SpaceGroup.from_name("P 1 21/n 1").triplets)
        symbol = "_symmetry_space_group_name_H-M 'P 21/c'\n"
        with pytest.warns(UserWarning, match=r"P 1 21/n 1 .* 'P 21/c' .* two settings of one space group"):
            group = self.group(tmp_path, symbol, self.LOOP, operations, cell=CELL.replace("120", "90"))
        assert group.name == "P 1 21/n 1"

    @pytest.mark.parametrize(
        ("statements", "named"),
        [
            ("_space_group_name_Hall 'P 4 2 3'\n_space_group_name_H-M_alt 'F m -3 m'\n", ["'P 4 2 3'", "'F m -3 m'", "192"]),
            ("_space_group_name_Hall '-P 2yn'\n_space_group_name_H-M_alt 'P 1 21/c 1'\n", ["'-P 2yn'", "'P 1 21/c 1'"]),
            ("_space_group_name_Hall '-P 2ybc'\n_space_group_name_H-M_alt 'P 1 21/n 1'\n", ["two settings", "'P 1 21/n 1'"]),
            ("_space_group_name_Hall 'P 31 2\"'\n_space_group_name_H-M_alt 'P 31'\n", ["= 'hall: P 31 2\"' or \"P 31\""]),
            ("_space_group_name_H-M_alt 'P 63'\n_space_group_IT_number 176\n", ["'P 63'", "number 176"]),
            ("_space_group_name_H-M_alt 'P -3'\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,-z\n", ["'P -3'", "No. 2, 2"]),
        ],
    )  # fmt: skip
    def test_statements_that_contradict_each_other_are_refused_with_both_named(self, tmp_path, statements, named):
        cell = "".join(f"_cell_length_{a} 6.0\n" for a in "abc")
        with pytest.raises(SymmetryError, match=r"spacegroup = ['\"]") as caught:
            self.group(tmp_path, statements, cell=cell)
        assert all(text in str(caught.value) for text in named)

    def test_a_group_given_beside_the_file_settles_a_contradiction(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 5.64\n" for a in "abc")
        symmetry = "_space_group_name_Hall 'P 4 2 3'\n_space_group_name_H-M_alt 'F m -3 m'\n"
        path = cif(tmp_path, cell, symmetry, atoms_loop("Na Na 0 0 0", "Cl Cl 0.5 0.5 0.5"))
        multiplicities = lambda group: [s.multiplicity for s in read_crystal(path, spacegroup=group).sites()]
        assert (multiplicities("F m -3 m"), multiplicities("hall: P 4 2 3")) == ([4, 4], [1, 1])

    def test_a_loop_and_a_symbol_of_different_size_are_refused(self, tmp_path):
        operations = "".join(f"'{t}'\n" for t in SpaceGroup.from_name("P 63").triplets)
        with pytest.raises(
            SymmetryError, match=r"P 63 .*6 operations.*'P 63/m' .*12 op.*may lack operations.*spacegroup = "
        ):
            self.group(tmp_path, GROUP, self.LOOP, operations)

    def test_operations_may_be_given_twice_or_outside_the_cell(self, tmp_path):
        operations = "x,y,z\n-x,-y,-z\n'1-x, -y, -z'\n"
        assert self.group(tmp_path, self.LOOP, operations, cell=CELL.replace("120", "90")).name == "P -1"

    def test_a_hall_symbol_comes_before_a_hermann_mauguin_symbol(self, tmp_path):
        symmetry = "_symmetry_space_group_name_Hall '-F 4vw 2vw 3'\n_symmetry_space_group_name_H-M 'F d -3 m'\n"
        cell = "".join(f"_cell_length_{a} 8.083\n" for a in "abc")
        assert self.group(tmp_path, symmetry, cell=cell).name == "F d -3 m:2"

    def test_an_unreadable_hall_symbol_falls_back_on_the_other_names(self, tmp_path):
        assert self.group(tmp_path, "_symmetry_space_group_name_Hall 'nonsense x'\n", GROUP).number == 176

    def test_an_unknown_symbol_falls_back_on_the_number(self, tmp_path):
        symmetry = "_symmetry_space_group_name_H-M 'P nonsense'\n_symmetry_Int_Tables_number 176\n"
        with pytest.warns(UserWarning, match="symbol 'P nonsense', which is unknown.*usual setting P 63/m is taken"):
            assert self.group(tmp_path, symmetry).number == 176

    def test_angles_tell_rhombohedral_from_hexagonal_axes(self, tmp_path):
        symbol = "_symmetry_space_group_name_H-M 'R -3'\n"
        assert self.group(tmp_path, symbol).name == "R -3:H"
        cell = "".join(f"_cell_length_{a} 6.0\n" for a in "abc")
        cell += "".join(f"_cell_angle_{a} 70\n" for a in ("alpha", "beta", "gamma"))
        assert self.group(tmp_path, symbol, cell=cell).name == "R -3:R"

    def test_a_symbol_that_leaves_the_origin_open_is_decided_by_the_formula_or_refused(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 8.083\n" for a in "abc")
        symbol = "_symmetry_space_group_name_H-M 'F d -3 m'\n"
        loop = atoms_loop("Mg Mg 0.125 0.125 0.125", "Al Al 0.5 0.5 0.5")
        formula = "_chemical_formula_sum 'Mg Al2'\n_cell_formula_units_Z 8\n"
        assert read_crystal(cif(tmp_path, cell, symbol, formula, loop)).group.name == "F d -3 m:2"
        path = cif(tmp_path, cell, symbol, loop)
        with pytest.raises(
            ParseError, match=r'leaves the origin open.*spacegroup = "F d -3 m:1", or spacegroup = "F d -3 m:2"'
        ):
            read_crystal(path)
        assert read_crystal(path, spacegroup="F d -3 m:2").sites()[0].multiplicity == 8

    def test_of_two_origins_the_one_is_taken_that_keeps_atoms_apart(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 8.083\n" for a in "abc")
        symbol = "_symmetry_space_group_name_H-M 'F d -3 m'\n"
        assert (
            read_crystal(cif(tmp_path, cell, symbol, atoms_loop("O1 O 0.387 0.387 0.387"))).group.name == "F d -3 m:1"
        )

    def test_a_stated_origin_is_taken(self, tmp_path):
        cell = "".join(f"_cell_length_{a} 8.083\n" for a in "abc")
        for symbol in ("F d -3 m:2", "F d -3 m Z", "F d -3 m (origin choice 2)"):
            text = f"_space_group_name_H-M_alt '{symbol}'\n"
            assert self.group(tmp_path, text, cell=cell).name == "F d -3 m:2"

    @pytest.mark.parametrize("code", ["1", "2"])
    def test_a_code_of_the_coordinate_system_states_the_origin(self, tmp_path, code):
        cell = "".join(f"_cell_length_{a} 8.083\n" for a in "abc")
        symbol = f"_space_group_name_H-M_alt 'F d -3 m'\n_space_group_IT_coordinate_system_code {code}\n"
        assert self.group(tmp_path, symbol, cell=cell).name == f"F d -3 m:{code}"

    def test_settings_outside_the_tables_are_kept_and_survive_writing(self, tmp_path):
        cell = CELL.replace("120", "90")
        operations = "x,y,z\n-x,-y,-z+1/4\nx,y,z+1/2\n-x,-y,-z+3/4\n"
        path = cif(tmp_path, cell, self.LOOP, operations, atoms_loop("O1 O 0.1 0.2 0.3"))
        crystal = read_crystal(path)
        assert crystal.group.number is None and crystal.sites()[0].multiplicity == 4
        write_crystal(crystal, tmp_path / "out.cif")
        assert read_crystal(tmp_path / "out.cif").group == crystal.group
        small = gemmi.make_small_structure_from_block(gemmi.cif.read(str(tmp_path / "out.cif")).sole_block())
        assert small.cell.volume == pytest.approx(float(crystal.volume()), rel=1e-6)

    def test_a_shifted_origin_outside_the_tables_is_read_alike_by_ase(self, tmp_path):
        operations = "x,y,z\ny,x,2/3-z\n-y,x-y,2/3+z\n-x,-x+y,1/3-z\n-x+y,-x,1/3+z\nx-y,-y,-z\n"
        path = cif(tmp_path, CELL, self.LOOP, operations, atoms_loop("O1 O 0.1 0.2 0.3"))
        crystal = read_crystal(path)
        assert crystal.group.number is None
        write_crystal(crystal, tmp_path / "out.cif")
        np.testing.assert_allclose(
            sorted(ase.io.read(tmp_path / "out.cif").get_all_distances(mic=True)[0]),
            sorted(to_ase(crystal).get_all_distances(mic=True)[0]), atol=1e-6,
        )  # fmt: skip


class TestChoosingABlock:
    def two(self, folder):
        return write(
            folder, "data_global\n_journal_year ?\ndata_A\n" + CELL + GROUP + ATOMS + "data_B\n" + CELL + GROUP + ATOMS
        )

    def test_blocks_without_atoms_do_not_count(self, tmp_path):
        path = write(tmp_path, "data_global\n_journal_year ?\ndata_A\n" + CELL + GROUP + ATOMS)
        assert read_crystal(path).name == "A"

    def test_one_of_several_must_be_chosen(self, tmp_path):
        path = self.two(tmp_path)
        with pytest.raises(ParseError, match=r"2 data blocks with atoms: 1 'A', 2 'B'.*block="):
            read_crystal(path)
        assert read_crystal(path, block="b").name == read_crystal(path, block=2).name == "B"
        for wrong in ("C", 0, 3):
            with pytest.raises(ParseError, match="no block"):
                read_crystal(path, block=wrong)

    def test_all_can_be_read_at_once(self, tmp_path):
        assert list(read_crystals(self.two(tmp_path))) == ["A", "B"]

    def test_blocks_of_one_phase_name_are_told_apart(self, tmp_path):
        body = "_pd_phase_name quartz\n" + CELL + GROUP + ATOMS
        crystals = read_crystals(write(tmp_path, "data_A\n" + body + "data_B\n" + body))
        assert list(crystals) == [c.name for c in crystals.values()] == ["quartz", "quartz_2"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "no atoms"),
            ("hello world\n", "line 1: not CIF"),
            ("data_x\n_cell_length_a\n", "line 2: not CIF"),
            ("data_x\nloop_\n_a\n_b\n1 2 3\n", "line 2: not CIF: Wrong number of values"),
            ("data_x\n_a 'open\n_b 1\n", "line 2: not CIF: unterminated"),
            ("data_x\n_a 1\n_a 2\n", "duplicate tag"),
            ("data_x\n" + CELL + GROUP, "no atoms.*data_x"),
            ("data_x\n" + GROUP + ATOMS, "_cell_length_a of data_x is missing"),
            ("data_x\n" + CELL.replace("9.3717(2)", "big") + ATOMS, "line 2: _cell_length_a of data_x is 'big'"),
            ("data_x\n" + CELL + ATOMS, "states no symmetry"),
            (START + atoms_loop("O1 O 0.1 0.2 abc"), "coordinate 'abc' of O1"),
            (START + atoms_loop("O1 O 0.1 0.2", tags="label type_symbol fract_x fract_y"), "lacks _atom_site_fract_z"),
            (START + atoms_loop("0.1 0.2 0.3", tags="fract_x fract_y fract_z"), "neither _atom_site_label"),
            (START + atoms_loop("Q1 Q 0.1 0.2 0.3"), "'Q1' with type 'Q' is no element"),
            (START + atoms_loop("O1 O ? ? ?") , "no atom of data_x has coordinates"),
            ("data_x\n" + CELL + "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,q,z\n" + ATOMS, "line 8: .* '-x,q,z'"),
            ("data_x\nloop_\n_atom_site_Cartn_x\n1.0\n", "Cartesian"),
        ],
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore:.*no coordinates")
    def test_broken_cifs_are_refused_with_their_place_and_reason(self, tmp_path, text, reason):
        path = write(tmp_path, text)
        with pytest.raises(ParseError, match=reason) as caught:
            read_crystal(path)
        assert str(path) in str(caught.value)
        assert caught.value.path == path

    @pytest.mark.parametrize(
        ("parts", "error", "reason"),
        [
            ((CELL, "_symmetry_space_group_name_H-M 'P q'\n", ATOMS), SymmetryError, "unknown space group 'P q'"),
            ((CELL, "_symmetry_space_group_name_H-M 'F m -3 m'\n", ATOMS), SymmetryError, "contradicts F m -3 m"),
            ((CELL, "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\ny,z,x\n", ATOMS), SymmetryError, "do not form a group"),
            ((CELL, GROUP, atoms_loop("O1 O 0.1 0.2 0.3", "O2 O 0.1 0.2 0.3")), SymmetryError, "O1 and O2 are 0.000"),
            ((CELL, GROUP, atoms_loop("O1 O 0.1 0.2 0.26")), SymmetryError, "from its own image"),
        ],
    )  # fmt: skip
    def test_contradictory_cifs_are_refused_with_path_and_block(self, tmp_path, parts, error, reason):
        path = cif(tmp_path, *parts)
        with pytest.raises(error, match=reason) as caught:
            read_crystal(path)
        assert str(path) in str(caught.value) and "data_sample" in str(caught.value)

    def test_mixed_sites_that_are_overfull_are_refused(self, tmp_path):
        tags = "label type_symbol fract_x fract_y fract_z occupancy"
        path = cif(tmp_path, CELL, GROUP, atoms_loop("Mg1 Mg 0 0 0.25 0.7", "Fe1 Fe 0 0 0.25 0.5", tags=tags))
        with pytest.raises(SymmetryError, match=r"1\.200 > 1"):
            read_crystal(path)

    @pytest.mark.parametrize("name", ["x.cif", "x.EXP", "x.vasp", "x.xyz", "x.unknown", "x"])
    def test_binary_garbage_is_refused_under_any_name(self, tmp_path, name):
        path = tmp_path / name
        path.write_bytes(np.random.default_rng(0).bytes(500))
        with pytest.raises(ParseError) as caught:
            read_crystals(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("name", ["missing.cif", "missing.EXP", "missing.xyz"])
    def test_missing_files_and_folders_are_refused(self, tmp_path, name):
        with pytest.raises(ParseError, match="no such file"):
            read_crystal(tmp_path / name)
        with pytest.raises(ParseError, match="no such file"):
            read_crystals(tmp_path)

    def test_every_truncation_of_a_cif_is_read_or_refused_in_our_words(self, tmp_path):
        text = "data_sample\n" + CELL + GROUP + ATOMS + ANISO.format("U") + "P1 0.01 0.01 0.01 0.005 0 0\n"
        outcomes = set()
        for end in range(0, len(text), 7):
            try:
                read_crystal(write(tmp_path, text[:end]))
                outcomes.add("read")
            except JaxnmrError as err:
                outcomes.add(type(err).__name__)
        assert {"read", "ParseError"} <= outcomes


def test_another_space_group_than_the_file_states_is_taken_and_said(tmp_path):
    path = tmp_path / "salt.cif"
    path.write_text(
        "data_salt\n_cell_length_a 5.64\n_cell_length_b 5.64\n_cell_length_c 5.64\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\n_space_group_name_H-M_alt 'F m -3 m'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_U_iso_or_equiv\n"
        "Na Na 0 0 0 0.01\nCl Cl 0.5 0.5 0.5 0.01\n"
    )
    with pytest.warns(UserWarning, match=r"is of F m -3 m \(192 operations\) and is read as P m -3 m \(48\)") as caught:
        crystal = read_crystal(path, spacegroup="P m -3 m")
    assert crystal.group.order == 48
    # the line shown is the one above
    assert caught[0].filename == __file__
