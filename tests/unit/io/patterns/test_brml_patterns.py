"""Bruker brml: columns by their views, absorber, counting times, optics of the instrument."""

import io
import zipfile

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern

VIEWS = """<DataViews>
 <RawDataView Start="0" Length="1" LogicName="MeasuredTime" Unit="s"/>
 <RawDataView Start="1" Length="1" LogicName="AbsorptionFactor"/>
 <RawDataView Start="2" Length="2"><Varying LogicName="ScanAxes">
  <FieldDefinitions FieldName="{first}" AxisId="{first}"/><FieldDefinitions FieldName="{second}" AxisId="{second}"/>
 </Varying></RawDataView>
 <RawDataView Start="4" Length="1"><Recording LogicName="ScanCounter"/></RawDataView></DataViews>"""
RAW = """<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><DataRoutes>
 <DataRoute RouteFlag="Measured"><ScanInformation VisibleName="Coupled"><MeasurementPoints>{planned}</MeasurementPoints>
 <ScanAxes><ScanAxisInfo AxisId="{first}"/><ScanAxisInfo AxisId="{second}"/></ScanAxes></ScanInformation>
 {points}{views}</DataRoute></DataRoutes>
 <FixedInformation><Instrument>
 <GoniometerCenter><Stage LogicName="{stage}"/></GoniometerCenter>
 <PrimaryTracks><TrackInfoData><Radius Unit="mm" Value="280"/><MountedOptics>
  <InfoData xsi:type="TubeMountInfoData"><Tube><WaveLengthAlpha1 Value="1.5406"/><WaveLengthAlpha2 Value="1.54439"/>
  <WaveLengthRatio Value="0.48"/></Tube></InfoData>{optics}</MountedOptics></TrackInfoData></PrimaryTracks>
 <SecondaryTracks><TrackInfoData><MountedOptics>{behind}</MountedOptics></TrackInfoData></SecondaryTracks>
 </Instrument></FixedInformation></RawData>"""
POINTS = ("10,1,20,10,100", "10,1,20.02,10.01,400", "10,1,20.04,10.02,9", "10,1,20.06,10.03,0")


def brml(
    points=POINTS,
    first="TwoTheta",
    second="Theta",
    views=VIEWS,
    planned=4,
    stage="Rotation",
    optics="",
    behind="",
    ranges=1,
):
    text = RAW.format(
        points="".join(f"<Datum>{p}</Datum>" for p in points), views=views.format(first=first, second=second),
        first=first, second=second, planned=planned, stage=stage, optics=optics, behind=behind,
    )  # fmt: skip
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("experimentCollection.xml", "<a/>")
        for k in range(ranges):
            archive.writestr(f"Experiment0/RawData{k}.xml", text.replace("400", str(400 + k)))
    return kept.getvalue()


def read(tmp_path, data, **kwargs):
    path = tmp_path / "p.brml"
    path.write_bytes(data)
    return read_pattern(path, **kwargs)


@pytest.mark.parametrize("views", [VIEWS, ""])
def test_points_are_read_with_and_without_views_of_their_columns(tmp_path, views):
    pattern = read(tmp_path, brml(views=views))
    np.testing.assert_allclose(pattern.x, [20, 20.02, 20.04, 20.06])
    np.testing.assert_array_equal(pattern.y, [100, 400, 9, 0])
    np.testing.assert_array_equal(pattern.sigma, [10, 20, 3, 1])
    instrument = pattern.instrument
    assert instrument.wavelengths == (1.5406, 1.54439) and instrument.ratio == 0.48 and instrument.radius_mm == 280.0
    assert instrument.geometry == "bragg-brentano" and pattern.notes == ()


def test_views_say_where_2theta_is(tmp_path):
    points = ("10,1,10,20,100", "10,1,10.01,20.02,400", "10,1,10.02,20.04,9")
    data = brml(points, first="Theta", second="TwoTheta", planned=3)
    np.testing.assert_allclose(read(tmp_path, data).x, [20, 20.02, 20.04])


def test_intensities_contain_the_factor_of_the_absorber(tmp_path):
    """25735 counts behind a factor of 8.3 are written as 213600.5."""
    points = ("1,1,20,10,182114", "1,8.3,20.02,10.01,213600.5", "1,1,20.04,10.02,400")
    pattern = read(tmp_path, brml(points, planned=3))
    np.testing.assert_allclose(pattern.y, [182114, 213600.5, 400])
    np.testing.assert_allclose(pattern.sigma, [np.sqrt(182114), 8.3 * np.sqrt(25735), 20])
    assert "absorber, 1 to 8.3" in pattern.notes[0]


def test_a_changing_time_scales_counts_and_uncertainties_to_its_mean(tmp_path):
    points = ("10,1,20,10,100", "20,1,20.02,10.01,400", "10,1,20.04,10.02,9", "20,1,20.06,10.03,16")
    pattern = read(tmp_path, brml(points))
    np.testing.assert_allclose(pattern.y, [150, 300, 13.5, 12])
    np.testing.assert_allclose(pattern.sigma, [15, 15, 4.5, 3])
    assert "10 to 20 s" in pattern.notes[0]


def test_the_optics_decide_on_lines_and_geometry(tmp_path):
    optics = '<InfoData xsi:type="MonochromatorInfoData" VisibleName="Johansson Ge"/>'
    pattern = read(tmp_path, brml(optics=optics))
    assert pattern.instrument.wavelengths == (1.5406,) and "Johansson Ge" in pattern.notes[0]
    pattern = read(tmp_path, brml(behind=optics))
    assert len(pattern.instrument.wavelengths) == 2 and pattern.instrument.monochromator_deg == pytest.approx(
        27.28, abs=0.01
    )
    pattern = read(tmp_path, brml(behind=optics.replace("Johansson Ge", "secondary")))
    assert (
        pattern.instrument.monochromator_deg is None and "(secondary) stands in the diffracted beam" in pattern.notes[0]
    )
    assert read(tmp_path, brml(stage="CapillaryStage")).instrument.geometry == "debye-scherrer"


@pytest.mark.parametrize(
    ("optic", "noted"),
    [
        ('<InfoData xsi:type="MotorizedSlitInfoData" VisibleName="Divergence slit V20"/>', True),
        (
            '<InfoData xsi:type="SlitInfoData" VisibleName="Motorized divergence slit"><Mode>FixedIllumination</Mode></InfoData>',
            True,
        ),
        ('<InfoData xsi:type="SlitInfoData" VisibleName="Divergence slit 0.6 mm"/>', False),
    ],
)
def test_a_slit_that_opens_with_the_angle_is_said(tmp_path, optic, noted):
    notes = read(tmp_path, brml(optics=optic)).notes
    assert any("divergence_slit = 'automatic'" in note for note in notes) == noted


def test_a_slit_whose_opening_grows_as_the_sine_is_automatic(tmp_path):
    rise = [np.sin(np.radians(10.0 + 0.01 * k)) for k in range(4)]
    points = [f"10,1,{20 + 0.02 * k},{3 * of:.9f},{100 + k}" for k, of in enumerate(rise)]
    assert read(tmp_path, brml(points, second="DivergenceSlit")).instrument.divergence_slit == "automatic"
    points = [f"10,1,{20 + 0.02 * k},{1.0 + k},{100 + k}" for k in range(4)]
    pattern = read(tmp_path, brml(points, second="DivergenceSlit"))
    assert pattern.instrument.divergence_slit is None and "changes from 1 to 4" in pattern.notes[0]
    points = [f"10,1,{20 + 0.02 * k},0.5,{100 + k}" for k in range(4)]
    assert read(tmp_path, brml(points, second="DivergenceSlit")).notes == ()


def test_a_scan_that_was_stopped_is_read_and_noted(tmp_path):
    pattern = read(tmp_path, brml(planned=9))
    assert len(pattern.x) == 4 and pattern.notes == ("The scan was stopped after 4 of 9 points.",)


def test_one_of_several_ranges_is_chosen_by_its_number(tmp_path):
    assert read(tmp_path, brml(ranges=3), bank=3).y[1] == 402
    with pytest.raises(ParseError, match="3 ranges"):
        read(tmp_path, brml(ranges=3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (brml(first="Phi", second="Chi"), "over Phi, Chi; expected a powder scan"),
        (brml(points=()), "no <Datum>"),
        (brml(points=("1,2,3", "1,2,3,4")), "different numbers of values"),
        (brml(points=("1,1,x,4,5", "1,1,3,4,5")), "'1,1,x,4,5'"),
        (brml(points=("1,1", "1,1")), "points have 2 values"),
        (brml(points=("1,-1,3,4,5", "1,1,3,4,5"), planned=2), "is -1; expected a positive number"),
        (brml(ranges=0), "holds no range"),
        (brml().replace(b"PK\x05\x06", b"PK\x05\x07"), "zip archive that cannot be opened"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, data, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data)
    assert words in str(caught.value)
