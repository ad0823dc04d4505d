"""CIFs that say one thing and mean another: species in letters, contents, displacements, units of the cell."""

import numpy as np
import pytest

from jaxnmr.crystal import Crystal
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError
from jaxnmr.io import read_crystal, to_ase

CUBIC = "".join(f"_cell_length_{a} 5.64\n" for a in "abc")
GROUP = "_space_group_name_H-M_alt 'F m -3 m'\n"


def cif(folder, *parts: str):
    path = folder / "sample.cif"
    path.write_text("data_sample\n" + "".join(parts), encoding="utf-8")
    return path


def atoms(*rows: str, tags: str = "label type_symbol fract_x fract_y fract_z U_iso_or_equiv") -> str:
    return "loop_\n" + "".join(f"_atom_site_{t}\n" for t in tags.split()) + "\n".join(rows) + "\n"


def site(label: str, symbol: str, xyz: str = "0 0 0") -> str:
    return f"{label} {symbol} {xyz} 0.01"


class TestSpecies:
    @pytest.mark.parametrize(
        ("label", "symbol", "reason"),
        [
            ("V1", "Vac", "vacancy"), ("M1", "Va", "vacancy"), ("X1", "Du", "dummy"), ("Dum1", "?", "dummy"), ("A1", "Void", "vacancy"),
            ("A1", "La/Nd", "several elements"), ("'La,Nd'", "?", "several elements"), ("A1", "'0.8Nb + 0.2Zr'", "several elements"),
            ("A1", "Fe+Mg", "several elements"), ("A1", "LaNd", "several elements"), ("A1", "Nb|Ta", "several elements"), ("H2O1", "?", "H2O is a group"), ("N1", "NO3", "NO3 is a group"),
            ("NH4", "?", "NH4 is a group"), ("SO4a", ".", "SO4 is a group"), ("M1", "?", "begin with none"), ("T2", "T", "begin with none"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("formula", ["", "_chemical_formula_sum 'Cl Na'\n"])
    def test_what_is_no_element_is_refused_by_its_label(self, tmp_path, label, symbol, reason, formula):
        path = cif(tmp_path, CUBIC, GROUP, formula, atoms(site(label, symbol), site("Cl1", "Cl", "0.5 0.5 0.5")))
        with pytest.raises(ParseError, match=f"site {label.strip(chr(39))!r} .*{reason}"):
            read_crystal(path)

    @pytest.mark.parametrize(
        ("label", "formula"), [("Ow1", "Cl Na"), ("Vi1", "Cl Na"), ("CA1", "Cl Na"), ("Dx", "Cl Na")]
    )
    def test_letters_that_the_formula_does_not_have_are_refused(self, tmp_path, label, formula):
        path = cif(tmp_path, CUBIC, GROUP, f"_chemical_formula_sum '{formula}'\n", atoms(site(label, "?")))
        with pytest.raises(ParseError, match=f"site '{label}'.*formula .* does not have"):
            read_crystal(path)

    def test_labels_that_look_like_a_vacancy_or_a_group_are_read_where_the_formula_knows_the_element(self, tmp_path):
        formula = "_chemical_formula_sum 'D O'\n"
        rows = (site("DU1", "?"), site("O1", "O", "0.25 0.25 0.25"), site("D2O1", "D", "0.5 0.5 0.5"))
        crystal = read_crystal(cif(tmp_path, CUBIC, GROUP, formula, atoms(*rows)))
        assert crystal.species == ("D", "O", "D")
        crystal = read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(site("H2O1", "?"), site("O1", "O", "0.5 0.5 0.5"))))
        assert crystal.species == ("H", "O")

    @pytest.mark.parametrize(
        ("label", "formula", "species"),
        [("NO", "'N O'", "N"), ("NO", "", "N"), ("CO", "'C O'", "C"), ("CO", "'Co O'", "CO")],
    )
    def test_labels_of_two_capitals_are_the_element_that_the_formula_has(self, tmp_path, label, formula, species):
        said = f"_chemical_formula_sum {formula}\n" if formula else ""
        rows = atoms(site(label, "?"), site("O1", "O", "0.5 0.5 0.5"))
        assert read_crystal(cif(tmp_path, CUBIC, GROUP, said, rows)).species[0] in (species, species.capitalize())

    BOX = "".join(f"_cell_length_{a} 9\n" for a in "abc") + "_space_group_name_H-M_alt 'P 1'\n"

    def of_labels(self, folder, text: str, formula: str = ""):
        """Sites at distances in Å along a: ``O1 0, HO1 0.97``; without type symbols."""
        rows = [f"{label} {float(at) / 9.0} 0 0 0.01" for label, at in (one.split() for one in text.split(","))]
        said = f"_chemical_formula_sum {formula}\n" if formula else ""
        return cif(folder, self.BOX, said, atoms(*rows, tags="label fract_x fract_y fract_z U_iso_or_equiv"))

    @pytest.mark.parametrize(
        ("sites", "species"),
        [
            ("O1 0, HO1 2.25", "O Ho"), ("CA1 0, O1 2.40, C1 -2.9", "Ca O C"), ("CU1 0, O1 1.95, C1 3.1, N1 -1.98", "Cu O C N"),
            ("CD1 0, O1 2.3, C1 3.5", "Cd O C"), ("FEA 0, OAB 2.0", "Fe O"), ("NA1 0, CL1 2.82", "Na Cl"), ("CAA 0, OAB 1.4", "C O"),
            ("CG1 0, OG1 1.43", "C O"), ("OW1 0, HW1 0.97", "O H"),
        ],
    )  # fmt: skip
    def test_labels_of_capitals_are_the_element_that_fits_its_neighbours(self, tmp_path, sites, species):
        assert read_crystal(self.of_labels(tmp_path, sites)).species == tuple(species.split())

    @pytest.mark.parametrize(
        ("sites", "species", "doubt"),
        [
            ("O1 0, HO1 0.97", "O H", "HO1 as H .*0.97 Å, too near for Ho"),
            ("CG 0, ND1 1.38, CE1 2.70, NE2 4.02", "C N C N", "ND1 as N .*CE1 as C .*NE2 as N, not Ne"),
            ("CB 0, CD2 1.52, HG -0.96", "C C H", "CD2 as C .*HG as H"),
            ("CL1 0, O1 1.44, C1 5", "Cl O C", "CL1 as Cl, which can be C"),
            ("NB1 0, O1 1.70, N1 5", "Nb O N", "NB1 as Nb, which can be N"),
            ("SIA 0, OA 1.61", "S O", "SIA as S, which can be Si"),
        ],
    )
    def test_a_label_read_against_its_letters_or_in_doubt_is_said(self, tmp_path, sites, species, doubt):
        with pytest.warns(UserWarning, match=f"elements were read from labels: .*{doubt}.*_atom_site_type_symbol"):
            assert read_crystal(self.of_labels(tmp_path, sites)).species == tuple(species.split())

    def test_the_formula_goes_before_distances(self, tmp_path):
        read = lambda sites, formula: read_crystal(self.of_labels(tmp_path, sites, formula)).species
        assert read("O1 0, HO1 2.25", "'H O'") == ("O", "H")
        assert read("CLA 0, NAA 5", "'Cl N'") == ("Cl", "N")
        with pytest.warns(UserWarning, match="CA1 as C"):  # both are in the formula
            assert read("CA1 0, O1 1.4, Ca2 5", "'C Ca O'") == ("C", "O", "Ca")

    @pytest.mark.parametrize(
        ("symbol", "species"),
        [
            ("Fe+++", "Fe3+"), ("O--", "O2-"), ("'O2−'", "O2-"), ("'Fe³⁺'", "Fe3+"), ("Fe(III)", "Fe3+"), ("FeII", "Fe2+"), ("Nb(5+)", "Nb5+"),
            ("Fe3+M1", "Fe3+"), ("57Fe3+", "57Fe3+"), ("Li-7", "7Li"), ("B-11", "11B"), ("Ni-62", "62Ni"), ("natNi", "Ni"), ("nat-B", "B"),
            ("O-2", "O2-"), ("F-1", "F1-"), ("C4-", "C4-"), ("Fe0+", "Fe"), ("2H", "D"), ("CL1-", "Cl1-"), ("Ow", "O"),
        ],
    )  # fmt: skip
    def test_ions_and_isotopes_are_read_in_every_spelling(self, tmp_path, symbol, species):
        assert read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(site("M1", symbol)))).species == (species,)

    def test_a_number_behind_a_hyphen_in_a_label_is_no_charge(self, tmp_path):
        rows = (site("O-1", "?"), site("C-13", "?", "0.5 0.5 0.5"))
        assert read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows))).species == ("O", "C")

    @pytest.mark.parametrize("symbol", ["Nb5+/Zr4+", "natural"])
    def test_symbols_of_no_single_species_are_refused(self, tmp_path, symbol):
        with pytest.raises(JaxnmrError, match="M1"):
            read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(site("M1", symbol))))

    def test_hydroxide_read_as_oxygen_is_said(self, tmp_path):
        with pytest.warns(UserWarning, match="hydroxide M1 is read as its oxygen atom"):
            assert read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(site("M1", "OH-")))).species == ("O",)

    def test_a_mixed_site_is_refused_with_what_to_write(self, tmp_path):
        for symbol in ("'0.8Nb + 0.2Zr'", "Nb0.8/Zr0.2"):
            with pytest.raises(ParseError, match=r"listed once for each.*here Nb with 0.8 and Zr with 0.2"):
                read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(site("A1", symbol))))

    def test_isotopes_are_read_and_counted_as_their_element(self, tmp_path):
        formula = "_chemical_formula_sum 'F Li'\n_cell_formula_units_Z 4\n"
        rows = (site("Li1", "7Li1+"), site("F1", "F", "0.5 0.5 0.5"))
        crystal = read_crystal(cif(tmp_path, CUBIC, GROUP, formula, atoms(*rows)))
        assert crystal.species == ("7Li1+", "F") and crystal.elements == ("Li", "F")
        assert crystal.cell_mass() == pytest.approx(4 * (7 + 18.998), rel=1e-4)


class TestContents:
    def brucite(self, folder, *rows: str, formula: str = "'H2 Mg O2'", z: str = "1", tags: str = "", **more):
        cell = "_cell_length_a 3.15\n_cell_length_b 3.15\n_cell_length_c 4.77\n_cell_angle_gamma 120\n"
        said = f"_space_group_name_H-M_alt 'P -3 m 1'\n_chemical_formula_sum {formula}\n_cell_formula_units_Z {z}\n"
        names = "label type_symbol fract_x fract_y fract_z U_iso_or_equiv " + tags
        return cif(folder, cell, said, atoms(*rows, tags=names))

    MG, O, H = "Mg1 Mg 0 0 0 0.01", "O1 O 1/3 2/3 0.22 0.01", "H1 H 1/3 2/3 0.43 0.01"

    def test_complete_contents_say_nothing(self, tmp_path):
        # the last is what programs write that give the contents of the cell as the formula
        for z, formula in (
            ("1", "'H2 Mg O2'"),
            ("?", "'H1 Mg0.5 O1'"),
            ("7", "'H2 Mg O2'"),
            ("1", "'D2 Mg O2'"),
            ("2", "'H2 Mg O2'"),
        ):
            assert read_crystal(self.brucite(tmp_path, self.MG, self.O, self.H, z=z, formula=formula)).n_sites == 3

    @pytest.mark.parametrize("z", ["1", "?"])
    def test_missing_atoms_are_counted_in_a_warning(self, tmp_path, z):
        with pytest.warns(UserWarning, match="do not add up to .*: H 0 instead of 2 in the cell"):
            read_crystal(self.brucite(tmp_path, self.MG, self.O, z=z))

    def test_a_wrong_number_of_formula_units_is_warned_of(self, tmp_path):
        with pytest.warns(UserWarning, match=r"1 × H4 Mg2 O4: H 2 instead of 4, Mg 1 instead of 2, O 2 instead of 4"):
            read_crystal(self.brucite(tmp_path, self.MG, self.O, self.H, formula="'H4 Mg2 O4'"))

    def test_attached_hydrogen_atoms_without_positions_are_warned_of(self, tmp_path):
        path = self.brucite(tmp_path, self.MG + " 0", self.O + " 1", tags="attached_hydrogens")
        with pytest.warns(UserWarning) as said:
            read_crystal(path)
        texts = " ".join(str(doubt.message) for doubt in said)
        assert "attached_hydrogens: 1 at O1) but have no positions" in texts and "H 0 instead of 2 in the cell" in texts


class TestDisplacements:
    ANISO = "loop_\n_atom_site_aniso_label\n" + "".join(
        f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23")
    )

    def test_labels_are_matched_whatever_their_case(self, tmp_path):
        path = cif(tmp_path, CUBIC, GROUP, atoms("Zn1 Zn 0 0 0 ."), self.ANISO, "ZN1 0.02 0.02 0.02 0 0 0\n")
        crystal = read_crystal(path)
        assert crystal.anisotropic == (True,)
        np.testing.assert_allclose(crystal.u_aniso[0], [0.02, 0.02, 0.02, 0, 0, 0])

    def test_labels_that_differ_in_case_only_keep_their_own(self, tmp_path):
        rows = ("Ca1 Ca 0 0 0 .", "CA1 C 0.5 0.5 0.5 .")
        table = "CA1 0.01 0.01 0.01 0 0 0\nCa1 0.02 0.02 0.02 0 0 0\n"
        crystal = read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows), self.ANISO, table))
        np.testing.assert_allclose(crystal.u_aniso[:, 0], [0.02, 0.01])

    def test_rows_of_no_site_are_named(self, tmp_path):
        path = cif(tmp_path, CUBIC, GROUP, atoms("Zn1 Zn 0 0 0 0.01"), self.ANISO, "Zn2 0.02 0.02 0.02 0 0 0\n")
        with pytest.warns(UserWarning, match="anisotropic displacements has Zn2, which are no sites"):
            read_crystal(path)

    def test_a_default_is_said(self, tmp_path):
        path = cif(tmp_path, CUBIC, GROUP, atoms("Na1 Na 0 0 0 ?", "Cl1 Cl 0.5 0.5 0.5 0.02"))
        with pytest.warns(UserWarning, match=r"no displacement of Na1; U_iso = 0\.01"):
            assert read_crystal(path).u_iso.tolist() == [0.01, 0.02]

    def test_u_as_large_as_b_is_questioned(self, tmp_path):
        path = cif(tmp_path, CUBIC, GROUP, atoms("Na1 Na 0 0 0 1.6", "Cl1 Cl 0.5 0.5 0.5 1.3"))
        with pytest.warns(UserWarning, match=r"2 of 2 sites have U > 0\.2 Å².*Are these B = 8π²U\?"):
            read_crystal(path)
        # one soft site in a structure is no mistake
        read_crystal(cif(tmp_path, CUBIC, GROUP, atoms("Na1 Na 0 0 0 0.01", "Cl1 Cl 0.5 0.5 0.5 0.3")))

    @pytest.mark.parametrize(
        ("tag", "values", "words"),
        [
            ("B_iso_or_equiv", (0.011, 0.014), "Na1 0.00014, Cl1 0.00018.*U that were given as B"),
            ("B_iso_or_equiv", (0.9, 0.014), "U of Cl1 0.00018 .*U that were given as B"),
            ("U_iso_or_equiv", (0.01, 1.1), "U of Cl1 1.1 .*some of the displacements B"),
        ],
    )
    def test_u_in_a_column_of_b_and_the_reverse_are_questioned(self, tmp_path, tag, values, words):
        rows = (f"Na1 Na 0 0 0 {values[0]}", f"Cl1 Cl 0.5 0.5 0.5 {values[1]}", f"Na2 Na 0.25 0.25 0.25 {values[0]}")
        with pytest.warns(UserWarning, match=words):
            read_crystal(
                cif(tmp_path, CUBIC, GROUP, atoms(*rows, tags=f"label type_symbol fract_x fract_y fract_z {tag}"))
            )

    def test_usual_and_missing_displacements_say_nothing(self, tmp_path):
        tags = "label type_symbol fract_x fract_y fract_z B_iso_or_equiv"
        for values in ((0.3, 2.5), (0.12, 0.15), (0.0, 0.0)):
            rows = (f"Na1 Na 0 0 0 {values[0]}", f"Cl1 Cl 0.5 0.5 0.5 {values[1]}")
            read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows, tags=tags)))


class TestNumbers:
    """Numbers of a CIF that contradict each other."""

    TAGS = "label type_symbol fract_x fract_y fract_z U_iso_or_equiv occupancy"

    def fluorite(self, folder, calcium: float, fluorine: float, *said: str):
        rows = (f"Ca1 Ca 0 0 0 0.01 {calcium}", f"F1 F 0.25 0.25 0.25 0.01 {fluorine}")
        return cif(folder, CUBIC.replace("5.64", "5.46"), GROUP, *said, atoms(*rows, tags=self.TAGS))

    @pytest.mark.parametrize(
        "said", ["", "_chemical_formula_sum 'Ca F2'\n", "_chemical_formula_sum 'Ca F2'\n_cell_formula_units_Z 4\n"]
    )
    def test_occupancies_with_the_multiplicity_in_them_are_named(self, tmp_path, said):
        with pytest.warns(UserWarning, match="multiplicity is taken out of the occupancies.*write 1 for a full site"):
            read_crystal(self.fluorite(tmp_path, 4 / 192, 8 / 192, said))
        read_crystal(self.fluorite(tmp_path, 1.0, 1.0, said))

    def test_equal_shares_of_all_sites_are_named(self, tmp_path):
        rows = ("Na1 Na 0 0 0 0.01 0.02083", "Cl1 Cl 0.5 0.5 0.5 0.01 0.02083")
        with pytest.warns(UserWarning, match="the same share of the general position"):
            read_crystal(cif(tmp_path, CUBIC, GROUP, "_chemical_formula_sum 'Cl Na'\n", atoms(*rows, tags=self.TAGS)))
        # vacancies are no shares
        rows = ("Na1 Na 0 0 0 0.01 0.5", "Cl1 Cl 0.5 0.5 0.5 0.01 0.5")
        read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows, tags=self.TAGS)))

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            (("Na1 Na 0 0 0 0.01", "Cl1 Cl 2.82 2.82 2.82 0.01"), "Cl1 run up to 2.82.*Cartesian, in Å"),
            (("Na1 Na 0 0 0 0.01", "Cl1 Cl 5000 5000 5000 0.01"), "up to 5000.*times 1000 or 10000"),
        ],
    )
    def test_coordinates_that_are_no_fractions_are_refused(self, tmp_path, rows, words):
        with pytest.raises(ParseError, match=words):
            read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows)))

    def test_single_coordinates_far_from_the_cell_are_named(self, tmp_path):
        rows = ("Na1 Na 0 0 0 0.01", "Cl1 Cl 2.5 0.5 0.5 0.01", "Na2 Na 0.25 0.25 0.25 0.01")
        with pytest.warns(UserWarning, match="Cl1 lie more than two cells from the origin"):
            read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows)))
        rows = ("Na1 Na 2 2 2 0.01", "Cl1 Cl 2.5 2.5 1.5 0.01")  # a molecule may lie there
        with pytest.warns(UserWarning, match="more than two cells"):
            assert read_crystal(cif(tmp_path, CUBIC, GROUP, atoms(*rows))).n_sites == 2

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("_exptl_crystal_F_000 112\n", ""), ("_exptl_crystal_F_000 152\n", "112 electrons, and _exptl_crystal_F_000 is 152"),
            ("_exptl_crystal_F_000 53\n_diffrn_radiation_probe neutron\n", ""),
            ("_chemical_formula_weight 58.44\n_cell_formula_units_Z 4\n", ""),
            ("_chemical_formula_weight 58.44\n_cell_formula_units_Z 8\n", "233.8 g/mol, and _chemical_formula_weight times Z is 467.5"),
        ],
    )  # fmt: skip
    def test_electrons_and_weight_are_compared_with_the_atoms(self, tmp_path, said, words):
        path = cif(tmp_path, CUBIC, GROUP, said, atoms(site("Na1", "Na"), site("Cl1", "Cl", "0.5 0.5 0.5")))
        if words:
            with pytest.warns(UserWarning, match=words):
                read_crystal(path)
        else:
            read_crystal(path)

    @pytest.mark.parametrize(
        ("row", "tags", "words"),
        [
            ("Na1 Na 0 0 0 0.1 Biso", "U_iso_or_equiv adp_type", "Na1 is Biso, and the values stand in a column of U"),
            ("Na1 Na 0 0 0 0.01 0.01", "U_iso_or_equiv B_iso_or_equiv", "U and B = 8π²U of Na1 contradict"),
            ("Na1 Na 0 0 0 0.01 0.79", "U_iso_or_equiv B_iso_or_equiv", ""),
            ("Na1 Na 0 0 0 0.79 Biso", "B_iso_or_equiv adp_type", ""),
        ],
    )
    def test_columns_of_u_and_b_that_contradict_their_names_are_said(self, tmp_path, row, tags, words):
        path = cif(tmp_path, CUBIC, GROUP, atoms(row, tags=f"label type_symbol fract_x fract_y fract_z {tags}"))
        if words:
            with pytest.warns(UserWarning, match=words):
                read_crystal(path)
        else:
            assert read_crystal(path).u_iso[0] == pytest.approx(0.01, rel=1e-2)

    @pytest.mark.parametrize(("density", "volume", "words"), [("2.164", "179.4", ""), ("2164", "179.4", ""), ("1.07", "179.4", "have 2.16\\d* g/cm³"), ("2.164", "190", "has a volume of 179.4 .* is 190")])  # fmt: skip
    def test_density_and_volume_are_compared_with_cell_and_atoms(self, tmp_path, density, volume, words):
        said = f"_exptl_crystal_density_diffrn {density}\n_cell_volume {volume}(2)\n"
        path = cif(tmp_path, CUBIC, GROUP, said, atoms(site("Na1", "Na"), site("Cl1", "Cl", "0.5 0.5 0.5")))
        if words:
            with pytest.warns(UserWarning, match=words):
                read_crystal(path)
        else:
            read_crystal(path)


class TestCells:
    @pytest.mark.parametrize(("edge", "unit"), [("564.02", "pm.*divide the lengths by 100"), ("0.56402", "nm.*by 10")])
    def test_a_cell_in_other_units_is_refused_with_a_question(self, tmp_path, edge, unit):
        rows = atoms(site("Na1", "Na1+"), site("Cl1", "Cl1-", "0.5 0.5 0.5"))
        with pytest.raises(ConventionError, match=f"to each of its 8 atoms.*Are these {unit}"):
            read_crystal(cif(tmp_path, CUBIC.replace("5.64", edge), GROUP, rows))

    def test_dense_and_empty_matter_is_accepted(self):
        create = lambda edge, **more: Crystal.create(cell=[edge] * 3 + [90] * 3, **more)
        # hydrogen under pressure, caesium, a molecule in a box
        create(1.3, spacegroup="P 1", species=["H"], xyz=[[0, 0, 0]])
        create(6.14, spacegroup="I m -3 m", species=["Cs"], xyz=[[0, 0, 0]])
        create(30.0, spacegroup="P 1", species=["O", "H"], xyz=[[0, 0, 0], [0.03, 0, 0]])

    @pytest.mark.parametrize("edge", ["0", "-5.64", "0.0(1)"])
    def test_a_length_that_is_not_positive_is_refused_with_its_line(self, tmp_path, edge):
        with pytest.raises(ParseError, match=r"line 3: _cell_length_b of data_sample is .*expected more than 0"):
            read_crystal(cif(tmp_path, CUBIC.replace("b 5.64", f"b {edge}"), GROUP, atoms(site("Na1", "Na"))))

    @pytest.mark.parametrize(
        ("angles", "reason"),
        [("0 90 90", "alpha .* is 0,"), ("90 90 190", "gamma .* is 190,"), ("30 30 120", "no volume")],
    )
    def test_angles_that_make_no_cell_are_refused(self, tmp_path, angles, reason):
        names = zip(("alpha", "beta", "gamma"), angles.split(), strict=True)
        tags = "".join(f"_cell_angle_{name} {angle}\n" for name, angle in names)
        with pytest.raises(ParseError, match=reason):
            read_crystal(cif(tmp_path, CUBIC, tags, GROUP, atoms(site("Na1", "Na"))))


def test_dotted_names_are_read_as_those_with_underscores(tmp_path):
    rows = atoms("La1 La 0 0 0 0.01", "Co1 Co 0.5 0.5 0.5 0.02")
    plain = read_crystal(cif(tmp_path, CUBIC, GROUP, rows))
    dotted = "".join((CUBIC, GROUP, rows)).replace("_cell_", "_cell.").replace("_space_group_", "_space_group.")
    other = read_crystal(cif(tmp_path, dotted.replace("_atom_site_", "_atom_site.")))
    np.testing.assert_array_equal(other.cell, plain.cell)
    np.testing.assert_array_equal(other.u_iso, plain.u_iso)
    assert other.labels == plain.labels and other.group == plain.group


@pytest.mark.parametrize("suffix", ["xyz", "vasp"])
def test_deuterium_in_files_that_ase_reads_is_deuterium(tmp_path, suffix):
    texts = {
        "xyz": '3\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 0 0 0\nD 0.96 0 0\nH -0.24 0.93 0\n',
        "vasp": "O D H\n1.0\n5 0 0\n0 5 0\n0 0 5\nO D H\n1 1 1\nCartesian\n0 0 0\n0.96 0 0\n-0.24 0.93 0\n",
    }
    path = tmp_path / f"water.{suffix}"
    path.write_text(texts[suffix], encoding="utf-8")
    crystal = read_crystal(path, symprec=None)
    assert crystal.species == ("O", "D", "H")
    assert to_ase(crystal).get_masses() == pytest.approx([15.999, 2.014, 1.008])
    from ase.data import atomic_numbers

    assert "D" not in atomic_numbers
