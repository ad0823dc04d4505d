"""Rigaku ras, rasx and asc: headers, several scans, attenuation, counts per second."""

import io
import zipfile

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern

HEADER = {
    "FILE_SAMPLE": "ZIF",
    "HW_XG_WAVE_LENGTH_ALPHA1": "1.540593",
    "HW_XG_WAVE_LENGTH_ALPHA2": "1.544414",
    "HW_XG_WAVE_LENGTH_BETA": "1.392246",
    "HW_GONIOMETER_RADIUS-3": "300.0",
    "MEAS_COND_XG_WAVE_TYPE": "Ka",
    "MEAS_SCAN_AXIS_X": "2-Theta/Theta",
    "MEAS_SCAN_AXIS_X_INTERNAL": "TwoThetaTheta",
    "MEAS_SCAN_UNIT_X": "deg",
    "MEAS_SCAN_UNIT_Y": "counts",
    "MEAS_SCAN_STEP": "0.0500",
    "MEAS_SCAN_SPEED": "1.5",
    "MEAS_SCAN_SPEED_UNIT": "deg/min",
    "MEAS_DATA_COUNT": "4.0000000000",
}
ROWS = "20.0000 100.0000 1.0000\n20.0500 400.0000 1.0000\n20.1000 9.0000 1.0000\n20.1500 0.0000 1.0000\n"


def scan(rows=ROWS, **changes):
    keys = "".join(f'*{key} "{value}"\n' for key, value in (HEADER | changes).items())
    return f"*RAS_HEADER_START\n{keys}*RAS_HEADER_END\n*RAS_INT_START\n{rows}*RAS_INT_END\n"


def ras(*scans):
    return (
        ("*RAS_DATA_START\n" + "".join(scans or (scan(),)) + "*RAS_DATA_END\n").replace("\n", "\r\n").encode("latin-1")
    )


def rasx(rows=ROWS, elements="", pairs=HEADER, profiles=1):
    pair = "".join(f"<Pair><string>*{k}</string><string>{v}</string></Pair>" for k, v in pairs.items())
    xml = f'<?xml version="1.0"?><MeasurementConditions>{elements}<RASHeader>{pair}</RASHeader></MeasurementConditions>'
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("root.xml", "<Root/>")
        for k in range(profiles):
            archive.writestr(f"Data{k}/Profile{k}.txt", ("\ufeff" + rows.replace(" ", "\t")).encode())
            archive.writestr(f"Data{k}/MesurementConditions{k}.xml", ("\ufeff" + xml).encode())
    return kept.getvalue()


def read(tmp_path, data, name="p.ras", **kwargs):
    path = tmp_path / name
    path.write_bytes(data)
    return read_pattern(path, **kwargs)


@pytest.mark.parametrize(("data", "name"), [(ras(), "p.ras"), (ras(), "p.txt"), (rasx(), "p.rasx"), (rasx(), "p.zip")])
def test_both_formats_give_counts_and_the_lines_of_the_tube(tmp_path, data, name):
    pattern = read(tmp_path, data, name)
    np.testing.assert_allclose(pattern.x, [20.0, 20.05, 20.1, 20.15])
    np.testing.assert_array_equal(pattern.y, [100, 400, 9, 0])
    np.testing.assert_array_equal(pattern.sigma, [10, 20, 3, 1])
    assert pattern.notes == ()
    instrument = pattern.instrument
    assert instrument.wavelengths == (1.540593, 1.544414) and instrument.ratio == 0.5
    assert instrument.radius_mm == 300.0 and instrument.geometry == "bragg-brentano"


def test_the_factor_of_the_attenuator_multiplies_intensity_and_uncertainty(tmp_path):
    rows = ROWS.replace("20.0500 400.0000 1.0000", "20.0500 400.0000 7.5000")
    for data, name in ((ras(scan(rows)), "p.ras"), (rasx(rows), "p.rasx")):
        pattern = read(tmp_path, data, name)
        np.testing.assert_array_equal(pattern.y, [100, 3000, 9, 0])
        np.testing.assert_array_equal(pattern.sigma, [10, 150, 3, 1])
        assert "attenuator, 1 to 7.5" in pattern.notes[0]


def test_counts_per_second_are_counts_over_the_time_of_a_step(tmp_path):
    """0.05° at 1.5°/min take two seconds: 100 counts per second are 200 counts, known to sqrt(200)/2."""
    for unit, speed in (("deg/min", "1.5"), ("deg/sec", "0.025"), ("sec", "2.0")):
        data = ras(scan(MEAS_SCAN_UNIT_Y="cps", MEAS_SCAN_SPEED=speed, MEAS_SCAN_SPEED_UNIT=unit))
        np.testing.assert_allclose(read(tmp_path, data).sigma[:3], np.sqrt(np.array([200, 800, 18])) / 2)


@pytest.mark.parametrize(
    ("changes", "wavelengths"),
    [
        ({"MEAS_COND_XG_WAVE_TYPE": "Ka1"}, (1.540593,)),
        ({"MEAS_COND_XG_WAVE_TYPE": "Kb"}, (1.392246,)),
        ({"HW_XG_WAVE_LENGTH_ALPHA2": ""}, (1.540593,)),
    ],
)
def test_the_line_that_is_used_is_stated(tmp_path, changes, wavelengths):
    assert read(tmp_path, ras(scan(**changes))).instrument.wavelengths == wavelengths


def test_a_capillary_is_debye_scherrer_and_a_header_without_lines_says_nothing(tmp_path):
    assert read(tmp_path, ras(scan(HW_ATTACHMENT_NAME="Capillary"))).instrument.geometry == "debye-scherrer"
    assert read(tmp_path, ras(scan(HW_XG_WAVE_LENGTH_ALPHA1=""))).instrument is None


def test_a_constant_irradiated_length_means_an_automatic_slit(tmp_path):
    assert read(tmp_path, ras(scan(MEAS_COND_IRRADIATION_MODE="ON"))).instrument.divergence_slit == "automatic"
    assert read(tmp_path, ras(scan(MEAS_COND_IRRADIATION_MODE="OFF"))).instrument.divergence_slit == "fixed"


def test_the_elements_of_rasx_serve_where_its_header_is_silent(tmp_path):
    elements = """<HWConfigurations><Distances><Distance To="AttachmentStage" From="XrayGenerator" Value="285"/></Distances>
        <XrayGenerator><WaveType>Ka</WaveType><WavelengthKalpha1>0.70932</WavelengthKalpha1>
        <WavelengthKalpha2>0.71361</WavelengthKalpha2></XrayGenerator></HWConfigurations>
        <ScanInformation><AxisName>TwoTheta</AxisName><IntensityUnit>cps</IntensityUnit><Step>0.05</Step>
        <Speed>1.5</Speed><SpeedUnit>deg/min</SpeedUnit></ScanInformation>"""
    pattern = read(tmp_path, rasx(elements=elements, pairs={}), "p.rasx")
    assert pattern.instrument.wavelengths == (0.70932, 0.71361) and pattern.instrument.radius_mm == 285.0
    np.testing.assert_allclose(pattern.sigma[1], np.sqrt(800) / 2)


def test_one_of_several_scans_is_chosen_by_its_number(tmp_path):
    data = ras(scan(), scan(ROWS.replace("400", "900"), HW_XG_WAVE_LENGTH_ALPHA1="1.54"))
    second = read(tmp_path, data, bank=2)
    assert second.y[1] == 900 and second.instrument.wavelengths[0] == 1.54
    with pytest.raises(ParseError, match="2 scans; choose one with bank=1"):
        read(tmp_path, data)
    with pytest.raises(ParseError, match="no scan 3"):
        read(tmp_path, rasx(profiles=2), "p.rasx", bank=3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ras(scan(MEAS_SCAN_AXIS_X_INTERNAL="Omega")), "the scan is over 'Omega'"),
        (ras(scan(MEAS_SCAN_AXIS_X_INTERNAL="OmegaTwoTheta")), "OmegaTwoTheta"),
        (ras(scan(MEAS_SCAN_UNIT_X="mm")), "angles are in 'mm'"),
        (ras(scan(MEAS_DATA_COUNT="7")), "declares 7 points, and 4 follow"),
        (ras()[:-40], "truncated"),
        (ras(scan("20.0 1 1\n20.1 1 0\n20.2 1 1\n", MEAS_DATA_COUNT="")), "attenuator is 0"),
        (ras(scan("20.0 1 1\n20.1 x 1\n20.2 1 1\n")), "20.1 x 1"),
        (b"*RAS_DATA_START\n*RAS_DATA_END\n", "holds no scan"),
        (rasx()[:300], "zip archive that cannot be opened"),
        (rasx(profiles=0), "neither Rigaku .rasx nor Bruker .brml"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, data, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data)
    assert words in str(caught.value)


ASC = """*TYPE = Raw
*SCAN_AXIS = {axis}
*XRAY_CHAR = {line}
*WAVE_LENGTH1 = 1.54059
*WAVE_LENGTH2 = 1.54441
*SPEED_DIM = sec./step
*YUNIT = {unit}
*BEGIN
*START = 20
*STEP = 0.5
*SPEED = 2
*COUNT = {count}
100, 400, 9, 0
25
*END
*EOF
"""


def asc(axis="2theta/theta", line="K-ALPHA", unit="counts", count=5):
    return ASC.format(axis=axis, line=line, unit=unit, count=count).encode()


def test_asc_has_counts_at_equidistant_angles(tmp_path):
    pattern = read(tmp_path, asc(), "p.asc")
    np.testing.assert_allclose(pattern.x, [20, 20.5, 21, 21.5, 22])
    np.testing.assert_array_equal(pattern.y, [100, 400, 9, 0, 25])
    np.testing.assert_array_equal(pattern.sigma, [10, 20, 3, 1, 5])
    assert pattern.instrument.wavelengths == (1.54059, 1.54441)
    assert read(tmp_path, asc(line="K-ALPHA1"), "p.asc").instrument.wavelengths == (1.54059,)
    np.testing.assert_allclose(read(tmp_path, asc(unit="cps"), "p.asc").sigma[0], np.sqrt(200) / 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (asc(axis="Omega"), "the scan is over 'Omega'"),
        (asc(count=6), "declares 6 counts and 5 follow"),
        (asc().replace(b"400", b"x"), "'100, x, 9, 0' among the counts"),
        (asc().replace(b"*STEP", b"*STOP"), "no *START and positive *STEP"),
    ],
)
def test_an_asc_file_that_cannot_be_used_says_why(tmp_path, data, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data, "p.asc")
    assert words in str(caught.value)
