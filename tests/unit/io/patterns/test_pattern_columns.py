"""Columns of text: separators, headers, uncertainties, FullProf's start-step-end, writing."""

import numpy as np
import pytest

from jaxnmr.diffraction.records import Pattern
from jaxnmr.errors import ConventionError, DataError, ParameterError, ParseError
from jaxnmr.io import read_pattern, write_pattern


def write(tmp_path, text, name="p.xye"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "10.00 100\n10.02 121\n10.04 0\n",
        "  10.00\t100\r\n  10.02\t121\r\n  10.04\t0\r\n",
        "10.00,100\n10.02,121\n10.04,0\n",
        "10.00, 100,\n10.02, 121,\n10.04, 0,\n",
        "10.00;100\n10.02;121\n10.04;0\n",
        "10,00;100\n10,02;121\n10,04;0,0\n",
        "10,00\t100,0\n10,02\t121,0\n10,04\t0\n",
        "1.000D+01 1.00e2\n1.002D+01 1.21e2\n1.004D+01 0\n",
        "2theta,intensity\n10.00,100\n10.02,121\n10.04,0\n",
        '"2theta","intensity"\n"10.00","100"\n"10.02","121"\n"10.04","0"\n',
        "! from some program\n# and more\n; and more\n\nSample 3 of 7\n10.00 100\n10.02 121 # shutter\n\n10.04 0\n",
        "\ufeff10.00 100\n10.02 121\n10.04 0\n",
        "intensity,2theta\n100,10.00\n121,10.02\n0,10.04\n",
        "10.00 100\n10.02 121\n10.04 0\n\x1a",
    ],
)
def test_two_columns_mean_angle_and_counts_whatever_separates_them(tmp_path, text):
    pattern = read_pattern(write(tmp_path, text))
    np.testing.assert_array_equal(pattern.x, [10.00, 10.02, 10.04])
    np.testing.assert_array_equal(pattern.y, [100, 121, 0])
    np.testing.assert_array_equal(pattern.sigma, [10, 11, 1])
    assert pattern.name == "p.xye" and pattern.instrument is None


def test_utf16_text_of_a_windows_export_is_read(tmp_path):
    pattern = read_pattern(write(tmp_path, "10 1\n11 2\n12 3\n".encode("utf-16")))
    np.testing.assert_array_equal(pattern.y, [1, 2, 3])


@pytest.mark.parametrize("header", ["", "2Theta\tIobs\tesd\n", "# x y e\n", "a b c\n"])
def test_a_third_column_is_the_uncertainty(tmp_path, header):
    pattern = read_pattern(write(tmp_path, header + "10\t100\t3\n11\t121\t4\n12\t0\t0.5\n"))
    np.testing.assert_array_equal(pattern.sigma, [3, 4, 0.5])


@pytest.mark.parametrize("third", ["Icalc", "background", "difference"])
def test_a_third_column_named_otherwise_is_not_an_uncertainty(tmp_path, third):
    pattern = read_pattern(write(tmp_path, f"2theta,Iobs,{third}\n10,100,90\n11,121,90\n12,144,90\n", "p.csv"))
    np.testing.assert_array_equal(pattern.sigma, [10, 11, 12])


def test_net_intensities_may_be_negative_where_their_uncertainty_is_given(tmp_path):
    text = "10 100 10\n11 -5 3\n12 0 2\n"
    for header in ("", "2theta,Iobs,esd\n"):
        pattern = read_pattern(write(tmp_path, header + (text.replace(" ", ",") if header else text)))
        np.testing.assert_array_equal(pattern.y, [100, -5, 0])
        np.testing.assert_array_equal(pattern.sigma, [10, 3, 2])
    again = read_pattern(write_pattern(pattern, tmp_path / "again.xye"))
    np.testing.assert_array_equal(again.y, pattern.y)


def test_weights_become_uncertainties_and_weight_zero_excludes_the_point(tmp_path):
    rows = "".join(f"{10 + k},100,{w},1,1\n" for k, w in enumerate([0.25, 0, 0, 0.04, 1]))
    pattern = read_pattern(write(tmp_path, "# tth,yobs,weight,ycalc,ybkg\n" + rows, "p.csv"))
    np.testing.assert_array_equal(pattern.included(), [True, False, False, True, True])
    np.testing.assert_array_equal(pattern.sigma, [2, 10, 10, 5, 1])
    assert len(pattern.excluded) == 1


def test_start_step_end_generates_the_angles(tmp_path):
    rows = " 10.0 0.05 10.6 sample 7 of 9\n 100 110 120 130 140\n 100 110 120 130 140\n 1 2 3\n"
    pattern = read_pattern(write(tmp_path, "a title\n" + rows, "p.dat"))
    np.testing.assert_allclose(pattern.x, 10 + 0.05 * np.arange(13), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(pattern.y[-4:], [140, 1, 2, 3])
    with pytest.raises(ParseError, match=r"line 1: .*13 points, and 10 intensities"):
        read_pattern(write(tmp_path, rows.replace(" 1 2 3\n", "")))


def test_one_intensity_per_line_after_start_step_end(tmp_path):
    pattern = read_pattern(write(tmp_path, "20 0.5 22\n1\n2\n3\n4\n5\n"))
    np.testing.assert_array_equal(pattern.x, [20, 20.5, 21, 21.5, 22])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("10 1\n11 2\n12 abc\n13 4\n", 3, "'abc'"),
        ("10 1\n11 2\n12\n13 4\n", 3, "1 numbers here and 2 in line 1"),
        ("10 1 1\n11 2 1\n12 3", 3, "truncated"),
        ("10 1\n11 nan\n12 3\n", 2, "intensity is nan"),
        ("10 1\ninf 1\n12 3\n", 2, "2theta is inf"),
        ("10 1\n11 -5\n12 3\n", 2, "negative intensity -5"),
        ("10 1 1\n11 0 0\n12 3 1\n", 2, "uncertainty 0"),
        ("10 1 1\n11 5 -2\n12 3 1\n", 2, "uncertainty -2"),
        ("10 1 1\n11 5 nan\n12 3 1\n", 2, "uncertainty nan"),
        ("10 1\n11 5\n11 3\n", 3, "merge the repeated points"),
        ("10 1\n12 5\n11 3\n", 3, "sort the points"),
        ("1000 1\n1002 5\n1004 3\n", 1, "not centidegrees"),
        ("10 1\n11 2\n", None, "only 2 points"),
        ("2theta,yobs,weight\n10,1,0\n", None, "only 1 points"),
        ("2theta,yobs,weight\n10,1,1\n11,2,-1\n12,3,1\n", 3, "weight -1"),
        ("10 1 1 1\n11 2 1 1\n12 3 1 1\n", 1, "4 columns without names"),
        ("q,intensity\n1,1\n2,2\n3,3\n", 2, "Q without a unit"),
        ("XYDATA\nINTER 1.0 2.0 2\n10 1\n11 2\n12 3\n", 2, "INTER"),
        ("just words\nand more words\n", None, "no line of two or three numbers"),
        ("1\n2\n3\n", None, "no line of two or three numbers"),
        ("PK\x03\x04rest", None, "zip archive"),
        ("10 1\n11 2\n\x00\x01\x02\n", 3, "binary data"),
        ("<html><body>404</body></html>", 1, "XML or HTML"),
        ("INS   BANK      1\nINS   HTYPE   PXCR\n", None, "read_instrument"),
        ("", None, "is empty"),
        ("\n \n\t\n", None, "is empty"),
    ],
)
def test_a_file_that_cannot_be_a_pattern_names_the_line_and_the_reason(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(ParseError) as caught:
        read_pattern(path)
    assert caught.value.path == path and caught.value.line == line
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(ParseError, match="no such file"):
        read_pattern(tmp_path / "nowhere.xye")
    with pytest.raises(ParseError, match="is a directory"):
        read_pattern(tmp_path)
    with pytest.raises(ParseError, match="cannot be opened"):
        read_pattern("nul\0l.xye")


def test_the_wavelength_given_replaces_that_of_the_instrument(tmp_path):
    path = write(tmp_path, "10 1\n11 2\n12 3\n")
    (tmp_path / "i.instprm").write_text("Type:PNC\nLam:1.909\nU:354\nV:-760\nW:651\n")
    assert read_pattern(path, wavelength=1.54).instrument.wavelengths == (1.54,)
    assert read_pattern(path, wavelength=(1.54, 1.544)).instrument.wavelengths == (1.54, 1.544)
    assert read_pattern(path, wavelength=np.array([1.54, 1.544])).instrument.wavelengths == (1.54, 1.544)
    neutron = read_pattern(path, instrument=tmp_path / "i.instprm", wavelength=1.91).instrument
    assert (neutron.radiation, neutron.wavelengths, neutron.U) == ("neutron", (1.91,), 354.0)
    for wrong in ("Cu", 15.4e3, (1, 2, 3), 0.0, object()):
        with pytest.raises((ConventionError, ParameterError), match="wavelength"):
            read_pattern(path, wavelength=wrong)


def test_an_unknown_format_or_bank_is_refused(tmp_path):
    path = write(tmp_path, "10 1\n11 2\n12 3\n")
    with pytest.raises(ConventionError, match="expected one of xy, xye"):
        read_pattern(path, format="excel")
    with pytest.raises(ParseError, match="single pattern, not bank 2"):
        read_pattern(path, bank=2)
    for format, words in [("gsas", "no BANK"), ("xrdml", "broken XML"), ("pdcif", "CIF"), ("bruker-raw", "RAW")]:
        with pytest.raises(ParseError, match=words):
            read_pattern(path, format=format)


@pytest.mark.parametrize(("name", "words"), [("p.xrdml", "broken XML"), ("p.fxye", "no BANK"), ("p.cif", "broken CIF")])
def test_text_without_a_mark_is_judged_by_its_extension(tmp_path, name, words):
    with pytest.raises(ParseError, match=words):
        read_pattern(write(tmp_path, "nothing of the kind\n", name))


@pytest.mark.parametrize("name", ["a.xye", "a.dat", "a.csv", "a.XYE"])
def test_a_written_pattern_keeps_numbers_and_excluded_regions(tmp_path, name):
    x = np.array([10.0, 10.1, 10.2, 10.300000000000002])
    pattern = Pattern.create(x, x**7, np.sqrt(x) / 3, excluded=[(10.05, 10.15)])
    again = read_pattern(write_pattern(pattern, tmp_path / name))
    for one, two in [(pattern.x, again.x), (pattern.y, again.y), (pattern.sigma, again.sigma)]:
        np.testing.assert_array_equal(one, two)
    assert again.excluded == pattern.excluded


def test_arrays_can_be_written_and_wrong_ones_cannot(tmp_path):
    x, y = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    np.testing.assert_array_equal(read_pattern(write_pattern((x, y), tmp_path / "a.xy")).y, y)
    with pytest.raises(ConventionError, match="cannot write"):
        write_pattern((x, y), tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="4 arrays"):
        write_pattern((x, y, y, y), tmp_path / "a.xye")
    with pytest.raises(DataError, match="negative"):
        write_pattern((x, [-1.0, 2.0, 3.0]), tmp_path / "a.xye")
    with pytest.raises(DataError, match="cannot be written"):
        write_pattern((x, y), tmp_path / "no" / "such" / "a.xye")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("# DivergenceSlit,Automatic, 12", "a slit that opens with the angle"), ("# slits: V20", "a slit that opens"),
        ("# automatic divergence slit", "a slit that opens"), ("# irradiated length 10 mm", "a slit that opens"),
        ("# attenuation factor: 56.2", "an attenuator with the factor 56.2"), ("# divergence slit: 0.5 deg", ""), ("# alloy V20", ""),
        ("# absorber factor 1.0", ""), ("# fixed slits", ""),
    ],
)  # fmt: skip
def test_slits_and_attenuators_that_a_header_speaks_of_are_said(tmp_path, header, words):
    notes = read_pattern(write(tmp_path, header + "\n10 100\n11 121\n12 144\n")).notes
    assert words in notes[0] if words else notes == ()
