"""Published structures: every file read or refused for a reason, constraints as refined by GSAS-II."""

import json
import os
import re
import warnings
from pathlib import Path

import ase.io
import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import plan_angles, plan_bonds, shared_sites
from jaxnmr.errors import JaxnmrError, ParseError, SymmetryError
from jaxnmr.io import from_ase, read_crystal, read_crystals, to_ase, write_crystal

if not os.environ.get("JAXNMR_DATA"):
    pytest.skip("set JAXNMR_DATA to the folder of measured data", allow_module_level=True)
# what these files leave in doubt is counted below
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
DATA = Path(os.environ["JAXNMR_DATA"])
REFERENCE = DATA.parent / "reference" / "gsas" / "parameters.json"

# Files whose content contradicts itself, with the reason.
CONTRADICTORY = {
    "arsenides/Co.87Fe.11Ni.13As3-Skutterudite.cif": r"1\.110 > 1",  # occupancies of one site
    "carbides/W2C.cif": "contradicts P -3",  # gamma is missing
    "elements/In-Indium.cif": "In3 and In4",  # atoms that symmetry already makes
    "hydroxides/Mg(OH)2-Brucite.cif": "from its own image",  # split hydrogen without its occupancy of 1/3
    "ice/H2O-Ice-VI.cif": "Wat2 and Wat3",
    "nitrides/BN.cif": "N1 and N2",
    "oxides/CoFe2O4.cif": "from its own image",  # oxygen for the other origin
    "oxides/NiFe2O4.cif": "from its own image",
    "sulfates/CoSO4.cif": "Co1 and Co2",
    "sulfates/CuSO4.cif": "Cu1 and Cu2",
}


def needed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not part of this data folder")
    return path


@pytest.fixture(scope="module")
def minerals() -> dict:
    """Every structure of the mineral collection that reads, by its path."""
    root = needed(DATA / "openchemistry_crystals")
    crystals, refused, doubts = {}, {}, {}
    for path in sorted(root.rglob("*.cif")):
        name = str(path.relative_to(root))
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                crystals[name] = read_crystal(path)
            doubts[name] = [str(doubt.message) for doubt in said]
        except JaxnmrError as err:
            refused[name] = err
    return {"root": root, "crystals": crystals, "refused": refused, "doubts": doubts}


def test_of_524_published_structures_only_the_contradictory_ones_are_refused(minerals):
    assert len(minerals["crystals"]) + len(minerals["refused"]) == 524
    assert set(minerals["refused"]) == set(CONTRADICTORY)
    for name, error in minerals["refused"].items():
        assert isinstance(error, SymmetryError)
        assert re.search(CONTRADICTORY[name], str(error)) and name in str(error)


def test_doubts_are_few_and_true(minerals):
    """Of each kind, how many files: looked at one by one, there is something to it in all of them."""
    expected = {
        "do not add up": 16, "atoms are counted": 6, "water molecules": 3, "U > 0.2": 1, "two settings": 0, "no sites": 0,
        "is unknown": 0,
    }  # fmt: skip
    said = minerals["doubts"]
    assert {kind: sum(any(kind in text for text in said[name]) for name in said) for kind in expected} == expected
    # titanium and zirconium are exchanged, and B stands where U should
    assert any(
        "Ti 3.9 instead of 2.1, Zr 2.1 instead of 3.9" in text for text in said["other/Pb1Ti0.35Zr0.65O3-PZT-rhomb.cif"]
    )
    assert [name for name in said if any("B = 8π²U" in text for text in said[name])] == ["titanates/PbZr0.1Ti0.9O3.cif"]


def test_published_multiplicities_are_found(minerals):
    compared = 0
    for name, crystal in minerals["crystals"].items():
        blocks = gemmi.cif.read_string((minerals["root"] / name).read_bytes().decode("utf-8", "replace"))
        table = [
            list(block.find_values("_atom_site_symmetry_multiplicity"))
            for block in blocks
            if block.find_values("_atom_site_fract_x")
        ]
        stated = next((t for t in table if len(t) == crystal.n_sites), [])
        for value, site in zip(stated, crystal.sites(), strict=False):
            if value.isdigit():
                assert int(value) == site.multiplicity, name
                compared += 1
    assert compared > 100


def test_cell_contents_agree_with_gemmi_where_nothing_is_split(minerals):
    compared = 0
    for name, crystal in minerals["crystals"].items():
        if (np.asarray(crystal.occupancy) < 1).any():
            continue  # gemmi merges split positions nearer than 0.4 Å
        blocks = gemmi.cif.read_string((minerals["root"] / name).read_bytes().decode("utf-8", "replace"))
        block = next(b for b in blocks if b.find_values("_atom_site_fract_x"))
        small = gemmi.make_small_structure_from_block(block)
        assert small.cell.volume == pytest.approx(float(crystal.volume()), rel=2e-5), name
        assert len(small.get_all_unit_cell_sites()) == sum(s.multiplicity for s in crystal.sites()), name
        compared += 1
    assert compared > 400


def test_structures_survive_writing_and_ase_reads_them(minerals, tmp_path):
    path = tmp_path / "x.cif"
    for name, crystal in list(minerals["crystals"].items())[::8]:
        write_crystal(crystal, path, bonds=crystal.n_sites < 20)
        back = read_crystal(path)
        assert (back.group, back.labels, back.species) == (crystal.group, crystal.labels, crystal.species), name
        for key in ("cell", "xyz", "u_iso", "u_aniso", "occupancy"):
            np.testing.assert_allclose(getattr(back, key), getattr(crystal, key), atol=2e-8, err_msg=f"{name} {key}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE comments on settings and occupancies
            atoms = ase.io.read(path)
        assert len(atoms) == len(to_ase(crystal)), name


def test_silicon_of_zeolites_has_four_oxygen_neighbours_at_tetrahedral_angles(minerals):
    checked = 0
    for name, crystal in minerals["crystals"].items():
        if not name.startswith("zeolites/") or set(crystal.elements) != {"Si", "O"} or min(crystal.occupancy) < 1:
            continue
        bonds = plan_bonds(crystal, {("Si", "O"): 2.0})
        angles = [
            r for r in plan_angles(crystal, {("Si", "O"): 2.0}).table(crystal) if r.labels[1].startswith(("T", "Si"))
        ]
        number = np.zeros(crystal.n_sites)
        np.add.at(number, bonds.pairs[:, 0, 0], bonds.multiplicity)
        silicon = np.array(crystal.elements) == "Si"
        if not (number[silicon] == 4).all():
            continue  # interrupted frameworks
        checked += 1
        if angles:
            mean = np.average([r.angle for r in angles], weights=[r.multiplicity for r in angles])
            assert mean == pytest.approx(109.5, abs=1.0), name
    assert checked > 100


@pytest.mark.parametrize(
    ("file", "phase", "reference", "xyz", "cell"),
    [
        ("FAP/FAP.EXP", None, "fap", 12, 2),
        ("PbSO4/PbSO4-Wyckoff.cif", None, "pbso4x", 11, 3),
        ("NAC_11BM/NAC.cif", None, "nac", 10, 1),
        ("NAC_11BM/NAC-2015A.EXP", "NAC", "nac", 10, 1),
        ("NaMO2F2/NaNbO2F2_start.cif", None, "nanb", 18, 4),
    ],
)
def test_free_parameters_are_those_gsas_ii_refines(file, phase, reference, xyz, cell):
    crystal = read_crystal(needed(DATA / file), phase=phase)
    quantities = crystal.quantities()
    assert (quantities["xyz"].basis.shape[1], quantities["cell"].basis.shape[1]) == (xyz, cell)
    refined = json.loads(needed(REFERENCE).read_text())[reference]
    variables = [name for name in refined["variables"] if name.startswith("0::")]
    assert sum(name.startswith("0::dA") for name in variables) == xyz
    assert sum(re.fullmatch(r"0::A\d", name) is not None for name in variables) == cell
    uij = sum(re.match(r"0::AU\d\d:", name) is not None for name in variables)
    assert quantities["u_aniso"].basis.shape[1] == uij
    atoms = next(iter(refined["phases"].values()))["atoms"]
    assert [a["mult"] for a in atoms] == [s.multiplicity for s in crystal.sites()]
    assert [a["label"] for a in atoms] == list(crystal.labels)


def test_the_independent_displacements_of_nac_have_the_names_of_gsas_ii():
    crystal = read_crystal(needed(DATA / "NAC_11BM/NAC.cif"))
    quantity = crystal.quantities()["u_aniso"]
    ours = {quantity.labels[np.flatnonzero(column)[0]] for column in quantity.basis.T}
    variables = json.loads(needed(REFERENCE).read_text())["nac"]["variables"]
    theirs = {f"{crystal.labels[int(m[2])]}.U{m[1]}" for v in variables if (m := re.fullmatch(r"0::AU(\d\d):(\d)", v))}
    assert ours == theirs


def test_the_starting_model_of_fluorapatite_is_that_of_its_experiment_file():
    crystal = read_crystal(needed(DATA / "FAP/FAP.EXP"))
    assert (crystal.name, crystal.group.name, crystal.n_sites) == ("fap", "P 63/m", 7)
    np.testing.assert_allclose(crystal.cell, [9.371724, 9.371724, 6.885867, 90, 90, 120])
    assert [s.multiplicity for s in crystal.sites()] == [4, 6, 6, 2, 6, 6, 12]
    np.testing.assert_allclose(crystal.u_iso, [0.006079, 0.004561, 0.003978, 0.01385, 0.004916, 0.006609, 0.006713])
    assert crystal.quantities()["u_iso"].basis.shape == (7, 7)


def test_both_phases_of_the_nac_experiment_agree_with_their_cifs():
    phases = read_crystals(needed(DATA / "NAC_11BM/NAC-2015A.EXP"))
    assert list(phases) == ["NAC", "CaF2"]
    for name, crystal in phases.items():
        other = read_crystal(needed(DATA / f"NAC_11BM/{name}.cif"))
        assert other.group == crystal.group
        np.testing.assert_allclose(other.cell, crystal.cell, atol=1e-6)
        np.testing.assert_allclose(other.xyz, crystal.xyz, atol=6e-6)
        np.testing.assert_allclose(other.u_aniso, crystal.u_aniso, atol=6e-5)
        assert [e.lower() for e in other.elements] == [e.lower() for e in crystal.elements]
    assert phases["NAC"].species == ("Ca2+", "Al3+", "Na1+", "F1-", "F1-", "F1-")


def test_the_block_with_atoms_is_chosen_in_a_fullprof_cif():
    crystal = read_crystal(needed(DATA / "NaMO2F2/NaNbO2F2/NaNbO2F2.cif"))
    assert crystal.name == "NaNbO2F2" and crystal.group.name == "P 1 21/c 1"
    np.testing.assert_allclose(crystal.cell, [8.0026, 5.40718, 7.62429, 90, 101.9158, 90])
    np.testing.assert_allclose(crystal.xyz[0], [0.3666, 0.78, 0.1156])
    assert crystal.labels == ("Na1", "Nb1", "O1", "O2", "F1", "F2")
    assert crystal.elements == ("Na", "Nb", "O", "O", "F", "F")


def test_niobium_is_surrounded_by_two_oxygen_and_four_more_anions():
    crystal = read_crystal(needed(DATA / "NaMO2F2/NaNbO2F2/NaNbO2F2.cif"))
    around = [r for r in plan_bonds(crystal).table(crystal) if r.labels[0] == "Nb1" and r.labels[1][0] in "OF"]
    assert sum(r.multiplicity for r in around) == 6
    assert 1.6 < min(r.distance for r in around) < 1.9 and max(r.distance for r in around) < 2.3


def test_symmetry_of_a_calculated_cell_without_symmetry_is_found_again():
    plain = read_crystal(needed(DATA / "NaMO2F2/DFT/NaNbO2F2_ES_NMR.cif"))
    assert plain.group.name == "P 1" and plain.n_sites == 24
    crystal = from_ase(to_ase(plain), symprec=1e-3)
    assert crystal.group.number == 14 and crystal.n_sites == 6
    assert [s.multiplicity for s in crystal.sites()] == [4] * 6
    assert float(crystal.volume()) == pytest.approx(float(plain.volume()), rel=1e-6)


def test_two_settings_of_anglesite_have_the_same_bonds():
    lengths = []
    for file in ("PbSO4-Wyckoff.cif", "PbSO4-COD-1528837.cif"):
        crystal = read_crystal(needed(DATA / "PbSO4" / file))
        assert crystal.group.name == "P n m a"
        table = [r for r in plan_bonds(crystal, {("S", "O"): 1.8}).table(crystal) if r.labels[0].startswith("S")]
        lengths.append(sorted(r.distance for r in table for _ in range(r.multiplicity)))
    assert [len(found) for found in lengths] == [4, 4]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=0.08)


def test_quantum_chemistry_outputs_are_read_through_ase():
    quartz = read_crystal(needed(DATA / "magres/quartz_quartz.nmr.magres"))
    assert quartz.group.name in ("P 31 2 1", "P 32 2 1") and quartz.n_sites == 2
    salt = read_crystal(needed(DATA / "magres/nacl.magres"))
    assert salt.group.name == "F m -3 m"
    with pytest.raises(ParseError, match="WPb2ZnF6"):
        read_crystal(needed(DATA / "magres/WPb2ZnF6.magres"))


def test_all_frames_of_a_calculated_set_become_crystals():
    crystals = read_crystals(needed(DATA / "silica_efg/silica_efg.extxyz"))
    assert len(crystals) > 100
    assert {e for c in crystals.values() for e in c.elements} == {"Si", "O"}
    assert any(c.group.number in (152, 154) for c in crystals.values())  # quartz as it is


def test_mixed_sites_of_minerals_are_found(minerals):
    with_shared = {name: shared_sites(c) for name, c in minerals["crystals"].items() if shared_sites(c)}
    assert len(with_shared) >= 10
    assert with_shared["intermetallics/(Ni0.5Fe0.5)Pt-Ferronickelplatinum.cif"] == ((0, 1),)
    for name, groups in with_shared.items():
        crystal = minerals["crystals"][name]
        for members in groups:
            assert np.ptp(np.asarray(crystal.xyz)[list(members)] % 1.0 % 1.0, axis=0).max() < 1e-6, name
