"""PANalytical xrdml: schema versions, attenuation, counting times, wavelengths."""

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern

TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
 <comment><entry>made up</entry></comment>
 <xrdMeasurement measurementType="Scan" sampleMode="{mode}">
  <usedWavelength intended="{intended}"><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
   <kAlpha2 unit="Angstrom">1.5444260</kAlpha2><ratioKAlpha2KAlpha1>0.4900</ratioKAlpha2KAlpha1></usedWavelength>
  <incidentBeamPath><radius unit="mm">240.00</radius>{optics}</incidentBeamPath>
  {scans}
 </xrdMeasurement>
</xrdMeasurements>"""
SCAN = """<scan scanAxis="Gonio"><dataPoints>
   <positions axis="2Theta" unit="deg">{positions}</positions>
   <positions axis="Omega" unit="deg"><startPosition>5</startPosition><endPosition>6</endPosition></positions>
   {extra}</dataPoints></scan>"""
MOVING = "<startPosition>10.0</startPosition><endPosition>12.0</endPosition>"
PLAIN = (
    '<commonCountingTime unit="seconds">3.0</commonCountingTime><intensities unit="counts">100 400 0 9 25</intensities>'
)


def read(tmp_path, extra=PLAIN, positions=MOVING, scans=None, optics="", version="1.7", mode="Reflection",
         intended="K-Alpha 1", **kwargs):  # fmt: skip
    scans = SCAN.format(positions=positions, extra=extra) if scans is None else scans
    path = tmp_path / "p.xrdml"
    path.write_text(TEMPLATE.format(version=version, mode=mode, intended=intended, optics=optics, scans=scans))
    return read_pattern(path, **kwargs)


@pytest.mark.parametrize("version", ["1.0", "1.5", "2.1"])
def test_the_schema_version_does_not_matter(tmp_path, version):
    pattern = read(tmp_path, version=version)
    np.testing.assert_allclose(pattern.x, [10, 10.5, 11, 11.5, 12])
    np.testing.assert_array_equal(pattern.y, [100, 400, 0, 9, 25])
    np.testing.assert_array_equal(pattern.sigma, [10, 20, 1, 3, 5])


def test_a_beta_filter_passes_both_alpha_lines_whatever_the_intended_wavelength(tmp_path):
    instrument = read(tmp_path).instrument
    assert instrument.wavelengths == (1.540598, 1.544426) and instrument.ratio == 0.49
    assert instrument.radius_mm == 240.0 and instrument.geometry == "bragg-brentano"


def test_an_incident_monochromator_leaves_alpha_one(tmp_path):
    assert read(tmp_path, optics="<monochromator/>").instrument.wavelengths == (1.540598,)
    assert len(read(tmp_path, optics="<monochromator/>", intended="K-Alpha").instrument.wavelengths) == 2


def test_a_transmission_sample_is_debye_scherrer(tmp_path):
    assert read(tmp_path, mode="Transmission").instrument.geometry == "debye-scherrer"


def test_a_scan_from_high_to_low_angles_is_sorted_and_noted(tmp_path):
    pattern = read(tmp_path, positions=MOVING.replace("12.0", "8.0"))
    np.testing.assert_allclose(pattern.x, [8, 8.5, 9, 9.5, 10])
    np.testing.assert_array_equal(pattern.y, [25, 9, 0, 400, 100])
    np.testing.assert_array_equal(pattern.sigma, [5, 3, 1, 20, 10])
    assert pattern.notes == ("The scan runs from 10 down to 8 degrees; it was sorted.",)


def test_attenuation_is_already_in_intensities_and_not_yet_in_counts(tmp_path):
    factors = "<beamAttenuationFactors>1 100 1 1 4</beamAttenuationFactors>"
    old = read(tmp_path, factors + '<intensities unit="counts">16 90000 0 9 400</intensities>')
    new = read(tmp_path, factors + '<counts unit="counts">16 900 0 9 100</counts>', version="2.1")
    for pattern in (old, new):
        np.testing.assert_allclose(pattern.y, [16, 90000, 0, 9, 400])
        np.testing.assert_allclose(pattern.sigma, [4, 3000, 1, 3, 40])


def test_counting_times_that_vary_are_scaled_to_one_time(tmp_path):
    times = '<countingTimes unit="seconds">1 1 2 2 4</countingTimes>'
    pattern = read(tmp_path, times + '<intensities unit="counts">100 100 200 200 400</intensities>')
    np.testing.assert_allclose(pattern.y, 200.0)
    np.testing.assert_allclose(pattern.sigma / pattern.y, 1 / np.sqrt([100, 100, 200, 200, 400]))


def test_counts_per_second_keep_their_counting_statistics(tmp_path):
    extra = '<commonCountingTime>4</commonCountingTime><intensities unit="cps">25 100 0 9 25</intensities>'
    pattern = read(tmp_path, extra)
    np.testing.assert_allclose(pattern.y, [25, 100, 0, 9, 25])
    np.testing.assert_allclose(pattern.sigma, np.sqrt([100, 400, 1, 36, 100]) / 4)


def test_listed_positions_are_used_as_they_are(tmp_path):
    pattern = read(tmp_path, positions="<listPositions>10 10.1 10.3 10.6 11</listPositions>")
    np.testing.assert_array_equal(pattern.x, [10, 10.1, 10.3, 10.6, 11])


def test_one_of_several_scans_is_chosen_by_its_number(tmp_path):
    scans = SCAN.format(positions=MOVING, extra=PLAIN) + SCAN.format(
        positions=MOVING, extra=PLAIN.replace("100", "144")
    )
    assert read(tmp_path, scans=scans, bank=2).y[0] == 144
    with pytest.raises(ParseError, match="2 scans"):
        read(tmp_path, scans=scans)
    with pytest.raises(ParseError, match="no scan 3"):
        read(tmp_path, scans=scans, bank=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scans": ""}, "no <scan>"),
        ({"scans": "<scan/>"}, "no <dataPoints>"),
        ({"extra": ""}, "neither <intensities> nor <counts>"),
        ({"extra": "<intensities>1 2 x 4</intensities>"}, "'x'"),
        ({"extra": "<intensities>1 2 nan 4</intensities>"}, "intensity is nan"),
        ({"extra": "<intensities>1 2 -3 4</intensities>"}, "negative intensity"),
        ({"extra": "<intensities></intensities>"}, "at least two points"),
        ({"extra": '<intensities unit="furlong">1 2 3</intensities>'}, "'furlong'"),
        ({"extra": '<intensities unit="cps">1 2 3</intensities>'}, "without a counting time"),
        (
            {"extra": "<beamAttenuationFactors>1 2</beamAttenuationFactors><counts>1 2 3</counts>"},
            "2 values for 3 points",
        ),
        ({"extra": "<countingTimes>1 0 1</countingTimes><counts>1 2 3</counts>"}, "expected positive numbers"),
        (
            {"extra": "<divergenceCorrections>1 1 1</divergenceCorrections><counts>1 2 3</counts>"},
            "divergenceCorrections",
        ),
        ({"positions": "<commonPosition>30</commonPosition>"}, "2Theta does not move"),
        ({"positions": "<listPositions>1 2</listPositions>"}, "2 angles for 5 intensities"),
        ({"positions": MOVING.replace("12.0", "inf")}, "finite"),
    ],
)
def test_a_scan_that_is_no_powder_pattern_says_why(tmp_path, change, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, **change)
    assert words in str(caught.value) and "p.xrdml" in str(caught.value)


def test_truncated_xml_names_the_line_where_it_ends(tmp_path):
    read(tmp_path)
    text = (tmp_path / "p.xrdml").read_text()
    (tmp_path / "cut.xrdml").write_text(text[: len(text) // 2])
    with pytest.raises(ParseError, match="broken XML") as caught:
        read_pattern(tmp_path / "cut.xrdml")
    assert caught.value.line > 1
