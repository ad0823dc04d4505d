"""Magres files of CASTEP and Quantum ESPRESSO: all are read, with the right units and signs."""

import ase.io
import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io.structures.magres import read_magres, read_tensor_frames, write_magres
from jaxnmr.nmr.isotopes import isotope
from jaxnmr.nmr.quadrupolar import quadrupolar_from_efg
from jaxnmr.nmr.tensors import antisymmetric_part, isotropic, maryland_from_shielding, quadrupolar_parameters

pytestmark = pytest.mark.real_data
WITHOUT_UNITS = "WPb2ZnF6"


@pytest.fixture(scope="module")
def folder(data):
    return data / "magres"


def test_every_file_is_read_and_written_without_loss(folder, tmp_path):
    files = sorted(folder.glob("*.magres"))
    assert len(files) >= 23
    for path in files:
        found = read_magres(path, assume_units=path.stem == WITHOUT_UNITS)
        again = read_magres(write_magres(found, tmp_path / "again.magres"))
        assert found.crystal().elements == found.elements
        for kind, tensors in found.tensors.items():
            assert np.isfinite(tensors).all(), (path.name, kind)
            np.testing.assert_array_equal(again.tensors[kind], tensors)
        for kind, (pairs, k) in found.couplings.items():
            np.testing.assert_array_equal(again.couplings[kind].pairs, pairs)
            np.testing.assert_array_equal(again.couplings[kind].k_1e19, k)


def test_tensors_are_those_ase_reads(folder):
    for path in sorted(folder.glob("*.magres")):
        if path.stem == WITHOUT_UNITS:
            continue
        atoms, found = ase.io.read(path), read_magres(path)
        np.testing.assert_array_equal(found.positions, atoms.positions)
        for kind, tensors in found.tensors.items():
            # CASTEP 6 and 7 state no unit of the parts of the field gradient; ASE leaves those out
            if kind in atoms.arrays:
                np.testing.assert_array_equal(tensors, atoms.arrays[kind])


def test_a_file_without_header_and_units_is_refused_until_told(folder):
    with pytest.raises(ParseError, match=r"line 1.*assume_units"):
        read_magres(folder / f"{WITHOUT_UNITS}.magres")
    found = read_magres(folder / f"{WITHOUT_UNITS}.magres", assume_units=True)
    assert len(found) == 144 and len(found.couplings["isc"].pairs) == 144


def test_oxygen_of_quartz_has_the_quadrupolar_coupling_of_experiment(folder):
    # the file: efg O 4; its eigenvalues by numpy, times 234.9647 MHz/au and Q(17O) = -0.02558 b (Pyykkö 2008)
    file = np.array([[-0.1940, 0.3862, -0.4406], [0.3862, 0.1819, -0.4882], [-0.4406, -0.4882, 0.0120]])
    values = sorted(np.linalg.eigvalsh(file), key=abs)
    by_hand = 234.9647e6 * -0.02558 * values[2], (values[0] - values[1]) / values[2]
    oxygen = read_magres(folder / "quartz_quartz.efg.magres").select("O")
    np.testing.assert_array_equal(oxygen.efg_au[0], file)
    found = quadrupolar_parameters(quadrupolar_from_efg(oxygen.efg_au, q_barn=-0.02558))
    np.testing.assert_allclose((found.cq_hz[0], found.eta[0]), by_hand, rtol=1e-3)
    # all six are equivalent; measured 5.19 MHz and 0.19, calculated 4 % more
    np.testing.assert_allclose(found.cq_hz, -5.41e6, rtol=2e-3)
    np.testing.assert_allclose(found.eta, 0.207, atol=2e-3)
    assert isotope("17O").quadrupole_barn == pytest.approx(-0.02558, rel=1e-3)


def test_silicon_of_quartz_has_the_shielding_of_quartz(folder):
    silicon = read_magres(folder / "quartz-ncpp_quartz.nmr.magres").select("Si")
    iso = np.asarray(isotropic(silicon.shielding_ppm))
    np.testing.assert_allclose(iso, (441.1520 + 440.2020 + 438.0793) / 3, atol=5e-3)
    # a shielding, not a shift: TMS is near 340 ppm, quartz 107 ppm above it
    assert (iso > 400).all()
    assert np.abs(antisymmetric_part(silicon.shielding_ppm)).max() > 1.0, "the antisymmetric part is kept"
    assert (np.asarray(maryland_from_shielding(silicon.shielding_ppm).span) < 15).all()


def test_protons_of_ethanol_are_shielded_by_thirty_ppm_and_carbon_couples_to_its_own(folder):
    ethanol = read_magres(folder / "ethanol-all.magres")
    protons = np.asarray(isotropic(ethanol.select("H").shielding_ppm))
    assert (protons > 26).all() and (protons < 33).all()
    pairs, _ = ethanol.couplings["isc"]
    j = np.trace(ethanol.couplings["isc"].j_hz("13C", "1H"), axis1=1, axis2=2) / 3
    distances = np.linalg.norm(ethanol.positions[pairs[:, 0]] - ethanol.positions[pairs[:, 1]], axis=1)
    carbon_to_proton = np.array([ethanol.elements[a] == "C" and ethanol.elements[b] == "H" for a, b in pairs])
    bonded = carbon_to_proton & (distances < 1.2)
    assert bonded.sum() == 5
    # measured 125 and 140 Hz
    assert (j[bonded] > 95).all() and (j[bonded] < 145).all()
    assert (np.abs(j[carbon_to_proton & ~bonded]) < 15).all()


def test_the_total_coupling_is_the_sum_of_its_parts(folder):
    couplings = read_magres(folder / "ethanol-all.magres").couplings
    parts = sum(couplings[kind].k_1e19 for kind in ("isc_fc", "isc_spin", "isc_orbital_p", "isc_orbital_d"))
    np.testing.assert_allclose(couplings["isc"].k_1e19, parts, atol=1e-6)


def test_silica_frames_carry_field_gradients(data):
    path = data / "silica_efg" / "silica_efg.extxyz"
    frames, infos = read_tensor_frames(path), [atoms.info for atoms in ase.io.read(path, ":")]
    assert len(frames) == len(infos) > 50
    quartz = [f for f, info in zip(frames, infos, strict=True) if "quartz" in info["prototype"] and info["rattle"] == 0]
    assert quartz
    for frame in frames:
        # refused unless symmetric and traceless
        quadrupolar_from_efg(frame.select("O").efg_au, "17O")
    found = [quadrupolar_parameters(quadrupolar_from_efg(frame.select("O").efg_au, "17O")) for frame in quartz]
    assert any(np.allclose(f.cq_hz, -5.45e6, rtol=0.01) and np.allclose(f.eta, 0.2, atol=0.02) for f in found)
