"""Structure files: CIF, GSAS EXP, ASE formats; what is read, written, and refused."""

import ase
import ase.build
import ase.io
import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, SpaceGroup, plan_angles, plan_bonds
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError, ShapeError, SymmetryError
from jaxnmr.io import from_ase, read_crystal, read_crystals, to_ase, write_crystal

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
        water = read_crystal(cif(tmp_path, CELL, GROUP, "_chemical_formula_sum 'H2 O'\n", loop))
        oxide = read_crystal(cif(tmp_path, CELL, GROUP, "_chemical_formula_sum 'Ho2 O3'\n", loop))
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

    def test_the_loop_of_operations_comes_before_the_symbol(self, tmp_path):
        operations = "".join(f"'{t}'\n" for t in SpaceGroup.from_name("P 63").triplets)
        assert self.group(tmp_path, "_symmetry_space_group_name_H-M 'P -3'\n", self.LOOP, operations).name == "P 63"

    def test_a_loop_and_a_symbol_of_different_size_are_refused(self, tmp_path):
        operations = "".join(f"'{t}'\n" for t in SpaceGroup.from_name("P 63").triplets)
        with pytest.raises(SymmetryError, match=r"has 6, but 'P 63/m' has 12.*spacegroup="):
            self.group(tmp_path, GROUP, self.LOOP, operations)

    def test_operations_may_be_given_twice_or_outside_the_cell(self, tmp_path):
        operations = "x,y,z\n-x,-y,-z\n'1-x, -y, -z'\n"
        assert self.group(tmp_path, self.LOOP, operations, cell=CELL.replace("120", "90")).name == "P -1"

    def test_a_hall_symbol_comes_before_a_hermann_mauguin_symbol(self, tmp_path):
        symmetry = "_symmetry_space_group_name_Hall 'P 31 2\"'\n_symmetry_space_group_name_H-M 'P 31'\n"
        assert self.group(tmp_path, symmetry).name == "P 31 2 1"

    def test_an_unreadable_hall_symbol_falls_back_on_the_other_names(self, tmp_path):
        assert self.group(tmp_path, "_symmetry_space_group_name_Hall 'nonsense x'\n", GROUP).number == 176

    def test_an_unknown_symbol_falls_back_on_the_number(self, tmp_path):
        symmetry = "_symmetry_space_group_name_H-M 'P nonsense'\n_symmetry_Int_Tables_number 176\n"
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
        with pytest.raises(ParseError, match=r"leaves the origin open.*spacegroup='F d -3 m:1' or 'F d -3 m:2'"):
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
        for symbol in ("F d -3 m:2", "F d -3 m Z"):
            text = f"_space_group_name_H-M_alt '{symbol}'\n"
            assert self.group(tmp_path, text, cell=cell).name == "F d -3 m:2"

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


FAP = Crystal.create(
    cell=[9.371724, 9.371724, 6.885867, 90, 90, 120],
    spacegroup="P 63/m",
    species=["Ca2+", "P", "F1-", "O"],
    labels=["Ca1", "P1", "F1", "O1"],
    xyz=[[1 / 3, 2 / 3, 0.001913], [0.397416, 0.367704, 0.25], [0, 0, 0.25], [0.33951, 0.258126, 0.070641]],
    u_iso=[0.0061, 0.004, 0.0138, 0.0067],
    u_aniso=[[np.nan] * 6, [0.012, 0.021, 0.031, 0.004, 0, 0], [np.nan] * 6, [np.nan] * 6],
    occupancy=[1, 1, 0.9, 1],
    name="FAP",
)


def assert_equal(a: Crystal, b: Crystal):
    assert (a.group, a.labels, a.species, a.anisotropic) == (b.group, b.labels, b.species, b.anisotropic)
    for name in ("cell", "xyz", "u_iso", "u_aniso", "occupancy"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=2e-8, err_msg=name)


class TestWriting:
    def test_a_written_crystal_is_read_back(self, tmp_path):
        path = tmp_path / "fap.cif"
        write_crystal(FAP, path)
        assert_equal(read_crystal(path), FAP)
        assert read_crystal(path).name == "FAP"

    def test_uncertainties_follow_the_rule_of_nineteen(self, tmp_path):
        path = tmp_path / "fap.cif"
        xyz = np.array([[0, 0, 0.00014], [0.0002, 0.00015, 0], [0, 0, 0], [0.00031, 0.0019, 0.0021]])
        u_aniso = np.zeros((4, 6))
        u_aniso[1] = [0.0004, 0.0012, 0.0003, 0.0002, 0, 0]
        esds = {
            "cell": [0.00013, 0.00013, 0.00004, 0, 0, 0],
            "xyz": xyz,
            "u_iso": [0.0003, 0.0002, 0.0013, 0.0007],
            "u_aniso": u_aniso,
            "occupancy": [0, 0, 0.012, 0],
        }
        write_crystal(FAP, path, esds=esds)
        block = gemmi.cif.read(str(path)).sole_block()
        assert block.find_value("_cell_length_a") == "9.37172(13)"
        assert block.find_value("_cell_length_c") == "6.88587(4)"
        assert block.find_value("_cell_angle_gamma") == "120"
        rows = [
            list(row)
            for row in block.find("_atom_site_", ["fract_x", "fract_y", "fract_z", "occupancy", "U_iso_or_equiv"])
        ]
        assert rows[0] == ["0.33333333", "0.66666667", "0.00191(14)", "1", "0.0061(3)"]
        assert rows[1][:3] == ["0.3974(2)", "0.36770(15)", "0.25"]
        assert rows[2] == ["0", "0", "0.25", "0.900(12)", "0.0138(13)"]
        assert rows[3][:3] == ["0.3395(3)", "0.2581(19)", "0.071(2)"]
        assert list(block.find_values("_atom_site_aniso_U_22")) == ["0.0210(12)"]
        assert_equal_to = read_crystal(path)
        np.testing.assert_allclose(assert_equal_to.xyz[3], [0.3395, 0.2581, 0.071])

    def test_gemmi_and_ase_read_the_same_cell(self, tmp_path):
        path = tmp_path / "fap.cif"
        write_crystal(FAP, path, bonds=True, angles=True)
        small = gemmi.make_small_structure_from_block(gemmi.cif.read(str(path)).sole_block())
        assert small.cell.volume == pytest.approx(float(FAP.volume()), rel=1e-8)
        assert small.spacegroup.hm == "P 63/m"
        atoms = ase.io.read(path)
        assert len(small.get_all_unit_cell_sites()) == len(atoms) == sum(s.multiplicity for s in FAP.sites())
        assert atoms.get_volume() == pytest.approx(float(FAP.volume()), rel=1e-8)
        for site, u in zip(small.sites, FAP.u_equivalent(), strict=True):
            assert site.u_iso == pytest.approx(u, abs=1e-7)

    @pytest.mark.parametrize(
        "name", ["F d -3 m:1", "F d -3 m:2", "R -3 c:R", "R -3 c:H", "P 1 1 21/b", "C -1", "A b m 2", "P 21 21 2 (a)"]
    )
    def test_unusual_settings_survive_writing(self, tmp_path, name):
        cell = {"R": [16, 16, 16, 70, 70, 70], "H": [16, 16, 25, 90, 90, 120]}.get(name[-1], [19, 19, 19, 90, 90, 90])
        crystal = Crystal.create(cell=cell, spacegroup=name, species=["Si"], xyz=[[0.11, 0.23, 0.37]])
        write_crystal(crystal, tmp_path / "x.cif")
        assert_equal(read_crystal(tmp_path / "x.cif"), crystal)
        assert len(ase.io.read(tmp_path / "x.cif")) == crystal.group.order

    def test_bonds_and_angles_are_listed_with_their_codes_and_uncertainties(self, tmp_path):
        path = tmp_path / "fap.cif"
        bonds, angles = plan_bonds(FAP, {("P", "O"): 1.8}), plan_angles(FAP, {("P", "O"): 1.8})
        write_crystal(FAP, path, bonds=bonds, angles=angles, esds={"bonds": np.full(len(bonds), 0.002)})
        block = gemmi.cif.read(str(path)).sole_block()
        rows = [
            list(r)
            for r in block.find(
                "_geom_bond_", ["atom_site_label_1", "atom_site_label_2", "distance", "site_symmetry_2"]
            )
        ]
        assert rows[0] == ["P1", "O1", "1.522(2)", "."]
        triple = ["atom_site_label_1", "atom_site_label_2", "atom_site_label_3"]
        assert list(block.find("_geom_angle_", triple)[0]) == ["O1", "P1", "O1"]
        assert block.find_values("_geom_angle")[0] == "108.46"

    def test_several_phases_are_written_as_blocks_with_their_own_uncertainties(self, tmp_path):
        path = tmp_path / "two.cif"
        salt = Crystal.create(cell=[5.64] * 3 + [90] * 3, spacegroup=225, species=["Na"], xyz=[[0, 0, 0]], name="salt")
        esds = {"FAP/cell": [0.0002, 0.0002, 0.0003, 0, 0, 0], "salt/cell": [0.001] * 3 + [0] * 3}
        write_crystal({"FAP": FAP, "salt": salt}, path, esds=esds)
        document = gemmi.cif.read(str(path))
        assert [block.name for block in document] == ["FAP", "salt"]
        assert [block.find_value("_cell_length_a") for block in document] == ["9.3717(2)", "5.6400(10)"]
        assert list(read_crystals(path)) == ["FAP", "salt"]

    def test_extra_items_and_loops_are_written_and_quoted(self, tmp_path):
        path = tmp_path / "fap.cif"
        extra = {
            "_pd_proc_ls_prof_wR_factor": 0.094149,
            "_publ_section_title": "two words",
            "_refine_special_details": "several\nlines",
            "_refine_ls_number_parameters": 34,
            "_refine_ls_goodness_of_fit_all": float("nan"),
            ("_pd_calc_point_id", "_pd_calc_intensity_total"): [(1, 2.5), (2, 3.5)],
        }
        write_crystal(FAP, path, extra=extra)
        block = gemmi.cif.read(str(path)).sole_block()
        assert gemmi.cif.as_string(block.find_value("_publ_section_title")) == "two words"
        assert gemmi.cif.as_string(block.find_value("_refine_special_details")) == "several\nlines"
        assert block.find_value("_pd_proc_ls_prof_wR_factor") == "0.094149"
        assert block.find_value("_refine_ls_goodness_of_fit_all") == "?"
        assert list(block.find_values("_pd_calc_intensity_total")) == ["2.5", "3.5"]
        assert_equal(read_crystal(path), FAP)

    def test_negative_displacements_of_real_refinements_are_kept(self, tmp_path):
        crystal = FAP.replace(u_iso=np.array([-0.0135, 0, 0.01, 0.02]))
        write_crystal(crystal, tmp_path / "x.cif", esds={"u_iso": [0.0012, 0, 0, 0]})
        assert read_crystal(tmp_path / "x.cif").u_iso[0] == pytest.approx(-0.0135)

    def test_uncertainties_of_the_wrong_length_are_refused(self, tmp_path):
        with pytest.raises(ShapeError, match=r"esds\['xyz'\]"):
            write_crystal(FAP, tmp_path / "x.cif", esds={"xyz": np.zeros(5)})

    def test_an_unwritable_place_is_refused(self, tmp_path):
        with pytest.raises(ParseError, match="cannot write"):
            write_crystal(FAP, tmp_path / "no" / "folder" / "x.cif")

    def test_a_suffix_nobody_knows_is_refused(self, tmp_path):
        with pytest.raises(ParseError, match="ASE cannot write"):
            write_crystal(FAP, tmp_path / "x.nothing")


EXP = """\
     VERSION    6
CRS1    PNAM  fluor apatite
CRS1   NATOM    2
CRS1  ABC     9.371724  9.371724  6.885867    Y    0
CRS1  ANGLES   90.0000   90.0000  120.0000
CRS1  AT  1A  CA+2      0.333333  0.666667  0.001913  1.000000CA1        4 000
CRS1  AT  1B  0.006079                                                    I XU
CRS1  AT  2A  O-2       0.339510  0.258126  0.070641  0.900000O7        12 000
CRS1  AT  2B  0.010198  0.010967  0.012833  0.000619 -0.001766  0.002031  A XU
CRS1  SG SYM  P 63/m
CRS2    PNAM  spinel
CRS2  ABC     8.083000  8.083000  8.083000    Y    0
CRS2  ANGLES   90.0000   90.0000   90.0000
CRS2  AT  1A  MG        0.125000  0.125000  0.125000  1.000000MG1        8 000
CRS2  AT  1B  0.006079                                                    I XU
CRS2  SG SYM  F d -3 m
"""


class TestGsasExperimentFiles:
    def test_phases_are_read_by_number_or_name(self, tmp_path):
        path = write(tmp_path, EXP, "two.EXP")
        with pytest.raises(ParseError, match=r"2 phases: 1 'fluor_apatite', 2 'spinel'.*phase="):
            read_crystal(path)
        assert read_crystal(path, phase=1).name == read_crystal(path, phase="Fluor_Apatite").name == "fluor_apatite"
        assert list(read_crystals(path)) == ["fluor_apatite", "spinel"]
        assert read_crystal(path, phase=2, name="MgAl").name == "MgAl"

    def test_columns_hold_type_position_occupancy_label_and_displacement(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP, "two.exp"), phase=1)
        assert crystal.species == ("Ca2+", "O2-") and crystal.labels == ("CA1", "O7")
        np.testing.assert_allclose(crystal.cell, [9.371724, 9.371724, 6.885867, 90, 90, 120])
        np.testing.assert_allclose(crystal.xyz, [[1 / 3, 2 / 3, 0.001913], [0.33951, 0.258126, 0.070641]], atol=1e-9)
        np.testing.assert_allclose(crystal.occupancy, [1, 0.9])
        np.testing.assert_allclose(crystal.u_iso, [0.006079, 0])
        np.testing.assert_allclose(crystal.u_aniso[1], [0.010198, 0.010967, 0.012833, 0.000619, -0.001766, 0.002031])

    def test_gsas_puts_the_origin_on_the_centre_of_symmetry(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP, "two.EXP"), phase="spinel")
        assert crystal.group.name == "F d -3 m:2"
        assert crystal.sites()[0].multiplicity == 8

    @pytest.mark.parametrize(
        ("symbol", "angles", "name"),
        [
            ("R -3", "90.0000   90.0000  120.0000", "R -3:H"),
            ("R -3 R", "70.0000   70.0000   70.0000", "R -3:R"),
            ("r -3", "70.0000   70.0000   70.0000", "R -3:R"),
            ("p 63/M", "90.0000   90.0000  120.0000", "P 63/m"),
        ],
    )
    def test_symbols_are_read_as_gsas_writes_them(self, tmp_path, symbol, angles, name):
        third = angles.split()[2] == "120.0000"
        text = EXP.split("CRS2")[0].replace("P 63/m", symbol).replace("90.0000   90.0000  120.0000", angles)
        text = text.replace("     4 000", "     0 000").replace("    12 000", "     0 000")
        text = text if third else text.replace("9.371724  9.371724  6.885867", "9.371724  9.371724  9.371724")
        assert read_crystal(write(tmp_path, text, "x.EXP")).group.name == name

    @pytest.mark.parametrize(
        ("old", "new", "error", "reason"),
        [
            ("  0.333333", "  0.33x333", ParseError, r"line 6: coordinate in columns 23-32 is '  0\.33x333'"),
            ("  9.371724  9.371724", "  9.371724          ", ParseError, "line 4: ABC in columns 23-32"),
            ("CRS1  SG SYM  P 63/m\n", "", ParseError, "record 'CRS1  SG SYM' is missing"),
            ("CRS1  AT  1B", "CRS1  AT  9B", ParseError, "record 'CRS1  AT  1B' is missing"),
            ("P 63/m", "P 99/q", ParseError, "line 10: space group 'P 99/q'"),
            ("CRS1  AT", "CRS1  XX", ParseError, "no atoms"),
            ("CA+2", "QQ+2", ConventionError, "'QQ\\+2' at site CA1 is no element"),
            ("CA1        4", "CA1       12", SymmetryError, "CA1 has multiplicity 12 in the file and 4 in P 63/m"),
            ("F d -3 m", "P 63/m", SymmetryError, r"phase 2 \(spinel\).*contradicts"),
        ],
    )
    def test_broken_records_are_refused_with_their_place(self, tmp_path, old, new, error, reason):
        assert old in EXP
        with pytest.raises(error, match=reason):
            read_crystals(write(tmp_path, EXP.replace(old, new), "x.EXP"))

    def test_a_file_without_phases_is_refused(self, tmp_path):
        with pytest.raises(ParseError, match="no phases"):
            read_crystal(write(tmp_path, "HST  1 BANK     1\n", "x.EXP"))

    def test_repeated_labels_are_told_apart(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP.replace("O7 ", "CA1"), "x.EXP"), phase=1)
        assert crystal.labels == ("CA1", "CA1_2")


class TestAse:
    @pytest.mark.parametrize(
        ("atoms", "name", "multiplicities"),
        [
            (ase.build.bulk("NaCl", "rocksalt", 5.64), "F m -3 m", [4, 4]),
            (ase.build.bulk("Mg"), "P 63/m m c", [2]),
            (ase.build.bulk("Fe", cubic=True), "I m -3 m", [2]),
            (ase.build.bulk("ZnO", "wurtzite", a=3.25, c=5.2), "P 63 m c", [2, 2]),
        ],
        ids=["NaCl", "Mg", "Fe", "ZnO"],
    )
    def test_symmetry_of_a_primitive_cell_is_found(self, atoms, name, multiplicities):
        crystal = from_ase(atoms)
        assert crystal.group.name == name
        assert [s.multiplicity for s in crystal.sites()] == multiplicities
        assert crystal.volume() / sum(multiplicities) == pytest.approx(atoms.get_volume() / len(atoms), rel=1e-9)

    def test_enantiomorphs_with_primes_in_their_hall_symbol_are_told_apart(self, tmp_path):
        quartz = Crystal.create(
            cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 31 2 1", species=["Si", "O"],
            xyz=[[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.2142]],
        )  # fmt: skip
        crystal = from_ase(to_ase(quartz))
        assert crystal.group.number == 152
        np.testing.assert_allclose(
            sorted(r.distance for r in plan_bonds(crystal).table(crystal)),
            sorted(r.distance for r in plan_bonds(quartz).table(quartz)), atol=1e-6,
        )  # fmt: skip

    def test_noise_below_the_tolerance_is_removed_and_above_it_lowers_the_symmetry(self):
        atoms = ase.build.bulk("NaCl", "rocksalt", 5.64, cubic=True)
        atoms.positions += np.random.default_rng(0).normal(scale=1e-4, size=(8, 3))
        assert from_ase(atoms, symprec=1e-2).group.name == "F m -3 m"
        assert from_ase(atoms, symprec=1e-6).group.name == "P 1"

    def test_p1_keeps_cell_and_atoms(self):
        atoms = ase.build.bulk("Si")
        crystal = from_ase(atoms, symprec=None)
        assert crystal.group.name == "P 1" and crystal.n_sites == 2
        np.testing.assert_allclose(crystal.cell, atoms.cell.cellpar())
        np.testing.assert_allclose(crystal.xyz, atoms.get_scaled_positions(wrap=False))

    def test_to_ase_and_back_is_the_same_crystal(self):
        full = FAP.replace(occupancy=np.ones(4))
        atoms = to_ase(full)
        assert len(atoms) == 24 and "occupancy" not in atoms.info
        assert atoms.arrays["site"].tolist() == np.repeat(range(4), [4, 6, 2, 12]).tolist()
        back = from_ase(atoms)
        assert back.group == full.group
        assert sorted(s.multiplicity for s in back.sites()) == [2, 4, 6, 12]
        ours, theirs = (sorted(round(r.distance, 5) for r in plan_bonds(c).table(c)) for c in (full, back))
        assert ours == theirs

    def test_mixed_and_partial_occupation_survive_ase(self):
        crystal = Crystal.create(
            cell=[4.2] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Mg", "Fe", "O"],
            xyz=[[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]], occupancy=[0.75, 0.25, 0.9],
        )  # fmt: skip
        atoms = to_ase(crystal)
        assert atoms.get_chemical_formula() == "Mg4O4"
        assert atoms.info["occupancy"] == {"0": {"Mg": 0.75, "Fe": 0.25}, "2": {"O": 0.9}}
        back = from_ase(atoms)
        assert back.group.name == "F m -3 m"
        assert dict(zip(back.species, back.occupancy, strict=True)) == {"Mg": 0.75, "Fe": 0.25, "O": 0.9}

    def test_ase_reads_of_a_mixed_cif_have_the_same_occupancies(self, tmp_path):
        crystal = Crystal.create(
            cell=[4.2] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Mg", "Fe", "O"],
            xyz=[[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]], occupancy=[0.75, 0.25, 1],
        )  # fmt: skip
        write_crystal(crystal, tmp_path / "x.cif")
        back = from_ase(ase.io.read(tmp_path / "x.cif"))
        assert dict(zip(back.species, back.occupancy, strict=True)) == {"Mg": 0.75, "Fe": 0.25, "O": 1.0}

    def test_deuterium_becomes_heavy_hydrogen(self):
        crystal = Crystal.create(cell=[4] * 3 + [90] * 3, spacegroup="P 1", species=["D"], xyz=[[0, 0, 0]])
        atoms = to_ase(crystal)
        assert atoms.get_chemical_symbols() == ["H"] and atoms.get_masses()[0] == pytest.approx(2.014)

    @pytest.mark.parametrize("suffix", ["extxyz", "vasp", "xsf"])
    def test_other_formats_are_written_and_read(self, tmp_path, suffix):
        path = tmp_path / f"salt.{suffix}"
        salt = Crystal.create(
            cell=[5.64] * 3 + [90] * 3, spacegroup=225, species=["Na", "Cl"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        write_crystal(salt, path)
        crystal = read_crystal(path)
        assert crystal.group.name == "F m -3 m" and crystal.name == "salt"
        assert sorted(crystal.elements) == ["Cl", "Na"]

    def test_frames_of_a_trajectory_are_chosen_by_number(self, tmp_path):
        path = tmp_path / "many.extxyz"
        frames = [ase.build.bulk("Si"), ase.build.bulk("Ge")]
        ase.io.write(path, frames)
        with pytest.raises(ParseError, match="2 frames"):
            read_crystal(path)
        assert read_crystal(path, phase=2).elements == ("Ge",)
        assert [c.elements for c in read_crystals(path).values()] == [("Si",), ("Ge",)]

    @pytest.mark.parametrize(
        "atoms",
        [
            ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]),
            ase.Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]),
            ase.Atoms(cell=[3, 3, 3]),
            ase.Atoms("H", positions=[[np.nan, 0, 0]], cell=[3, 3, 3]),
            ase.Atoms("H", positions=[[0, 0, 0]], cell=[3, 3, np.inf]),
        ],
        ids=["molecule", "flat", "empty", "nan", "inf"],
    )
    def test_what_is_no_crystal_is_refused(self, atoms):
        with pytest.raises(ConventionError):
            from_ase(atoms)

    def test_molecules_in_files_are_refused_with_the_path(self, tmp_path):
        path = tmp_path / "h2.xyz"
        ase.io.write(path, ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]))
        with pytest.raises(ConventionError, match=r"h2\.xyz"):
            read_crystal(path)

    def test_atoms_on_top_of_each_other_are_refused(self):
        with pytest.raises(SymmetryError):
            from_ase(ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]], cell=[3, 3, 3]))
        with pytest.raises(SymmetryError, match=r"0\.000"):
            from_ase(ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]], cell=[3, 3, 3]), symprec=None)
