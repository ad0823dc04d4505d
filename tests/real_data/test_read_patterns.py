"""Measured patterns: formats of the same measurement agree, and published columns are reproduced."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxnmr.io import read_instrument, read_pattern, write_pattern

if not os.environ.get("JAXNMR_DATA"):
    pytest.skip("set JAXNMR_DATA to the folder of measured data", allow_module_level=True)
DATA = Path(os.environ["JAXNMR_DATA"])
REFERENCE = DATA.parent / "reference" / "gsas"


def needed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not part of this data folder")
    return path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("FAP/FAP.XRA", "fap"),
        ("PbSO4/PBSO4.XRA", "pbso4x"),
        ("NAC_11BM/11BM_NAC.fxye", "nac"),
        ("NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", "nanb"),
    ],
)
def test_angles_counts_and_weights_are_those_of_gsas_ii(file, name):
    pattern = read_pattern(needed(DATA / file))
    x, y, weight = np.loadtxt(needed(REFERENCE / f"{name}_h0_pattern.csv"), delimiter=",", usecols=(0, 1, 2)).T
    n = len(x)
    assert n in (len(pattern.x), len(pattern.x) - 1)
    np.testing.assert_allclose(pattern.x[:n], x, rtol=0, atol=6e-6)
    np.testing.assert_array_equal(pattern.y[:n], y)
    used = pattern.included()[:n]
    np.testing.assert_array_equal(used, weight > 0)
    np.testing.assert_allclose(pattern.sigma[:n][used] ** -2, weight[used], rtol=1e-7)


@pytest.mark.parametrize("name", ["fap", "nac"])
def test_a_table_with_named_columns_gives_the_same_pattern_as_the_instrument_file(name):
    table = read_pattern(needed(REFERENCE / f"{name}_h0_pattern.csv"))
    pattern = read_pattern(needed(DATA / {"fap": "FAP/FAP.XRA", "nac": "NAC_11BM/11BM_NAC.fxye"}[name]))
    n = len(table.x)
    np.testing.assert_allclose(table.sigma, pattern.sigma[:n], rtol=1e-7)
    np.testing.assert_array_equal(table.included(), pattern.included()[:n])


def test_fluorapatite_ends_with_two_points_that_were_never_counted():
    pattern = read_pattern(needed(DATA / "FAP/FAP.XRA"))
    assert len(pattern.x) == 5753 and pattern.x[-1] == pytest.approx(130.04)
    np.testing.assert_array_equal(pattern.x[~pattern.included()], pattern.x[-2:])
    assert pattern.y[pattern.included()].min() > 30


@pytest.mark.parametrize(
    ("gsas", "columns"),
    [("PBSO4.CWN", "easydiffraction_ed-13_D1A.dat"), ("PBSO4.XRA", "easydiffraction_ed-16_xray.dat")],
)
def test_lead_sulphate_in_fixed_columns_equals_the_same_data_in_free_columns(gsas, columns):
    fixed, free = read_pattern(needed(DATA / "PbSO4" / gsas)), read_pattern(needed(DATA / "PbSO4" / columns))
    n = len(free.x)
    np.testing.assert_allclose(fixed.x[:n], free.x, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(fixed.y[:n], free.y)
    np.testing.assert_allclose(fixed.sigma[:n], free.sigma, rtol=0, atol=5.1e-5)


def test_the_neutron_pattern_knows_how_many_detectors_saw_each_angle():
    pattern = read_pattern(needed(DATA / "PbSO4/PBSO4.CWN"))
    assert len(pattern.x) == 2919 and pattern.x[-1] == pytest.approx(155.9)
    detectors = pattern.y / np.asarray(pattern.sigma) ** 2
    np.testing.assert_allclose(detectors, np.rint(detectors), atol=1e-9)
    assert detectors.min() == pytest.approx(1) and detectors.max() == pytest.approx(10)


def test_three_exports_of_one_niobate_scan_agree():
    folder = DATA / "NaMO2F2/NaNbO2F2"
    raw = read_pattern(needed(folder / "NaNbO2F2_rt.xrdml"))
    for other in (read_pattern(folder / "NaNbO2F2_rt.XY"), read_pattern(folder / "NaNbO2F2.dat")):
        np.testing.assert_array_equal(other.y, raw.y[1:])
        np.testing.assert_allclose(other.x, raw.x[1:], rtol=0, atol=6e-5)
        np.testing.assert_array_equal(other.sigma, raw.sigma[1:])
    assert raw.instrument.wavelengths == (1.540598, 1.544426)
    assert (raw.instrument.ratio, raw.instrument.radius_mm) == (0.5, 240.0)
    assert raw.instrument.geometry == "bragg-brentano"


def test_the_lanthanum_hexaboride_scan_peaks_where_its_certified_cell_says():
    pattern = read_pattern(needed(DATA / "LaB6_lab/LaB6_Jan2018.raw"))
    assert len(pattern.x) == 3040 and pattern.x[0] == 10.0 and pattern.x[-1] == pytest.approx(70.0044, abs=1e-4)
    assert pattern.instrument.wavelengths == (1.5406, 1.54439)
    np.testing.assert_array_equal(pattern.y, np.rint(pattern.y))
    for norm in (1, 2, 3, 4, 5, 6):
        expected = 2 * np.degrees(np.arcsin(1.5406 * np.sqrt(norm) / (2 * 4.156826)))
        near = np.abs(pattern.x - expected) < 0.4
        found = pattern.x[near][np.argmax(pattern.y[near])]
        assert found == pytest.approx(expected, abs=0.025)


def test_the_nist_scan_has_the_step_of_its_header():
    pattern = read_pattern(needed(DATA / "LaB6_lab/NIST660CBI.gsas"))
    assert len(pattern.x) == 8378 and pattern.included().all()
    assert pattern.x[0] == pytest.approx(15.0066)
    np.testing.assert_allclose(np.diff(pattern.x), 0.0131303, rtol=1e-9)
    assert (pattern.y[0], pattern.y[-1]) == (2364, 370)


def test_the_diffractometers_of_the_measured_data():
    tube = read_instrument(needed(DATA / "FAP/INST_XRY.PRM"))
    assert (tube.wavelengths, tube.ratio, tube.polarization) == ((1.5405, 1.5443), 0.5, 0.7)
    assert (tube.U - 0.1, tube.V, tube.W - 0.1) == pytest.approx((2.0, -2.0, 5.0))
    assert tube.shl == 0.02 and tube.geometry == "bragg-brentano"
    synchrotron = read_instrument(needed(DATA / "NAC_11BM/11bm_gsas.prm"))
    assert (synchrotron.wavelengths, synchrotron.polarization) == ((0.413909,), 0.99)
    assert (synchrotron.U, synchrotron.V, synchrotron.W, synchrotron.X) == (1.163, -0.126, 0.063, 0.173)
    assert synchrotron.shl == pytest.approx(0.0022) and synchrotron.geometry == "debye-scherrer"
    neutron = read_instrument(needed(DATA / "PbSO4/inst_d1a.prm"))
    assert (neutron.radiation, neutron.wavelengths, neutron.zero) == ("neutron", (1.909,), pytest.approx(-0.001))
    assert (neutron.U, neutron.V, neutron.W) == (354.031, -760.404, 651.592)
    generic = read_instrument(needed(DATA / "NaMO2F2/CuKa_generic.instprm"))
    assert (generic.wavelengths, generic.shl, generic.polarization) == ((1.54056, 1.54439), 0.03, 0.5)


def test_a_measured_pattern_survives_writing(tmp_path):
    pattern = read_pattern(needed(DATA / "FAP/FAP.XRA"))
    again = read_pattern(write_pattern(pattern, tmp_path / "fap.xye"))
    for one, two in [(pattern.x, again.x), (pattern.y, again.y), (pattern.sigma, again.sigma)]:
        np.testing.assert_array_equal(one, two)
    assert again.excluded == pattern.excluded


def test_every_measured_file_cut_in_two_is_either_shorter_or_refused(tmp_path):
    from jaxnmr.errors import ParseError

    for file in ("FAP/FAP.XRA", "PbSO4/PBSO4.CWN", "LaB6_lab/LaB6_Jan2018.raw", "NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml"):
        data = needed(DATA / file).read_bytes()
        (tmp_path / Path(file).name).write_bytes(data[: len(data) // 2])
        with pytest.raises(ParseError, match=r"truncated|broken XML"):
            read_pattern(tmp_path / Path(file).name)
