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


AUTOMATIC = (
    '<divergenceSlit xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="automaticDivergenceSlitType">'
    '<irradiatedLength unit="mm">10</irradiatedLength></divergenceSlit>'
)
FIXED = '<divergenceSlit name="Fixed slit 1/2"><angle unit="deg">0.5</angle></divergenceSlit>'


def test_an_automatic_divergence_slit_is_part_of_the_instrument_and_counts_stay_what_they_are(tmp_path):
    for extra in (PLAIN, PLAIN.replace("intensities", "counts")):
        pattern = read(tmp_path, extra, optics=AUTOMATIC)
        assert pattern.instrument.divergence_slit == "automatic"
        np.testing.assert_array_equal(pattern.y, [100, 400, 0, 9, 25])
        np.testing.assert_array_equal(pattern.sigma, [10, 20, 1, 3, 5])
    unnamed = (
        '<divergenceSlit name="Prog. Div. Slit"><irradiatedLength unit="mm">10</irradiatedLength></divergenceSlit>'
    )
    assert read(tmp_path, optics=unnamed).instrument.divergence_slit == "automatic"
    assert read(tmp_path, optics=FIXED).instrument.divergence_slit == "fixed"
    assert read(tmp_path, optics=AUTOMATIC, mode="Transmission").instrument.divergence_slit == "fixed"


def test_intensities_converted_to_a_fixed_slit_keep_the_uncertainties_of_what_was_counted(tmp_path):
    factors = "<divergenceCorrections>4 2 1 1 1</divergenceCorrections>"
    converted = read(tmp_path, factors + '<intensities unit="counts">400 800 0 9 25</intensities>', optics=AUTOMATIC)
    assert converted.instrument.divergence_slit == "fixed"
    np.testing.assert_allclose(converted.sigma, [40, 40, 1, 3, 5])
    raw = read(tmp_path, factors + '<counts unit="counts">100 400 0 9 25</counts>', optics=AUTOMATIC, version="2.1")
    assert raw.instrument.divergence_slit == "automatic"
    np.testing.assert_array_equal(raw.y, [100, 400, 0, 9, 25])
    np.testing.assert_array_equal(raw.sigma, [10, 20, 1, 3, 5])


GRAPHITE = '<monochromator name="Diffracted beam"><crystal type="Graphite"/></monochromator>'
GERMANIUM = '<monochromator name="Inc. Beam 1xGe111 Cu/Co"><crystal type="Germanium"/></monochromator>'


def test_monochromators_in_either_beam_polarise(tmp_path):
    def polarised(incident="", diffracted=""):
        behind = f"</incidentBeamPath><diffractedBeamPath>{diffracted}</diffractedBeamPath><incidentBeamPath>"
        return read(tmp_path, optics=incident + behind, intended="K-Alpha").instrument.monochromator_deg

    # Bragg's law with the distances 3.354 Å of graphite 002 and 5.6579/sqrt(3) Å of germanium 111
    assert polarised(diffracted=GRAPHITE) == pytest.approx(26.6, abs=0.06)
    assert polarised(incident=GERMANIUM) == pytest.approx(27.28, abs=0.01)
    both = np.cos(np.deg2rad(26.555)) * np.cos(np.deg2rad(27.279))
    assert np.cos(np.deg2rad(polarised(GERMANIUM, GRAPHITE))) == pytest.approx(both, abs=1e-4)
    twice = GERMANIUM.replace("1xGe111", "2xGe220")
    assert np.cos(np.deg2rad(polarised(twice))) == pytest.approx(np.cos(np.deg2rad(45.31)) ** 2, abs=1e-3)
    plane = '<monochromator><crystal type="Si"/><hkl><h>2</h><k>2</k><l>0</l></hkl></monochromator>'
    assert polarised(plane) == pytest.approx(47.3, abs=0.05)
    assert polarised() is None


def test_an_unknown_monochromator_is_said_rather_than_forgotten(tmp_path):
    pattern = read(tmp_path, optics='<monochromator name="Mirror 7"/>', intended="K-Alpha")
    assert pattern.instrument.monochromator_deg is None
    assert "'Mirror 7' is not known" in pattern.notes[0] and "monochromator_deg" in pattern.notes[0]


def test_a_beta_filter_is_named(tmp_path):
    nickel = '<filter name="Nickel"><material>Ni</material></filter>'
    assert read(tmp_path, optics=nickel).instrument.optics == ("filter Nickel Ni",)
    assert read(tmp_path).instrument.optics == ()  # a file that does not name the line says nothing of it


def test_the_beta_line_is_used_where_it_was_intended_and_named_where_nothing_stops_it(tmp_path):
    path = tmp_path / "beta.xrdml"
    scan = SCAN.format(positions=MOVING, extra=PLAIN)
    text = TEMPLATE.format(version="1.5", mode="Reflection", intended="K-Beta", optics="", scans=scan)
    path.write_text(text.replace("<ratioK", '<kBeta unit="Angstrom">1.39225</kBeta><ratioK'))
    assert read_pattern(path).instrument.wavelengths == (1.39225,)
    path.write_text(path.read_text().replace("K-Beta", "K-Alpha"))
    assert read_pattern(path).instrument.wavelengths == (1.540598, 1.544426)
    assert "Kβ peaks (1.3922 Å) are not calculated" in read_pattern(path).instrument.optics[0]


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
