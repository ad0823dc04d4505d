"""Structures written as CIF, and exchanged with ASE."""

import ase
import ase.build
import ase.io
import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, plan_angles, plan_bonds
from jaxnmr.errors import ConventionError, ParseError, ShapeError, SymmetryError
from jaxnmr.io import from_ase, read_crystal, read_crystals, to_ase, write_crystal

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
