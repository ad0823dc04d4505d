"""SIMPSON files and columns of text: round trips, conventions, what is missing or broken; recognition of formats."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, ParameterError, ParseError
from jaxnmr.io import read_fid, read_spectrum, write_spectrum
from jaxnmr.nmr.records import Fid, Spectrum

LARMOR = 79.45e6


def numbers(count):
    rng = np.random.default_rng(3)
    return rng.normal(size=count) + 1j * rng.normal(size=count)


def spectrum(**kwargs):
    return Spectrum.create(-1234.5 + 40.0 * np.arange(50), numbers(50), larmor_hz=LARMOR, isotope="29Si", **kwargs)


def write(tmp_path, text, name):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


SPE = "SIMP\nNP=4\nSW=1000\nREF=200\nTYPE=SPE\nDATA\n1 0\n2 0.5\n3 0\n4 -1\nEND\n"


def test_a_simpson_spectrum_survives_its_file(tmp_path):
    before = spectrum()
    after = read_spectrum(write_spectrum(before, tmp_path / "s.spe"), larmor_hz=LARMOR, isotope="29Si")
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_allclose(after.frequency_hz, before.frequency_hz, rtol=1e-12, atol=1e-9)


def test_a_simpson_decay_survives_its_file(tmp_path):
    before = Fid.create(numbers(33), dwell_s=2.5e-5, larmor_hz=LARMOR, carrier_hz=-700.0)
    after = read_fid(write_spectrum(before, tmp_path / "s.fid"), larmor_hz=LARMOR)
    np.testing.assert_array_equal(after.values, before.values)
    assert after.dwell_s == pytest.approx(2.5e-5, rel=1e-14) and after.carrier_hz == -700.0
    assert read_spectrum(tmp_path / "s.fid", larmor_hz=LARMOR).frequency_hz[16] == pytest.approx(-700.0)


@pytest.mark.parametrize("suffix", [".spe", ".fid"])
def test_nmrglue_reads_the_simpson_files_we_write(tmp_path, suffix):
    from nmrglue.fileio import simpson

    record = spectrum() if suffix == ".spe" else Fid.create(numbers(50), dwell_s=5e-4, larmor_hz=LARMOR)
    header, values = simpson.read(str(write_spectrum(record, tmp_path / f"s{suffix}")))
    assert header["NP"] == 50 and header["SW"] == pytest.approx(2000.0) and header["TYPE"] == suffix[1:].upper()
    np.testing.assert_allclose(values[0], record.values, rtol=1e-6)  # nmrglue keeps single precision


def test_simpson_spectra_rise_from_half_a_width_below_the_centre(tmp_path):
    read = read_spectrum(write(tmp_path, SPE, "s.spe"), larmor_hz=LARMOR)
    np.testing.assert_array_equal(read.frequency_hz, [-300.0, -50.0, 200.0, 450.0])
    np.testing.assert_array_equal(read.values, [1, 2 + 0.5j, 3, 4 - 1j])


def test_a_decay_and_its_transform_have_the_same_axis(tmp_path):
    f0, n, width = 125.0, 64, 2000.0
    decay = Fid.create(np.exp(2j * np.pi * f0 * np.arange(n) / width), dwell_s=1 / width, larmor_hz=LARMOR)
    transformed = read_spectrum(write_spectrum(decay, tmp_path / "d.fid"), larmor_hz=LARMOR)
    again = read_spectrum(write_spectrum(transformed, tmp_path / "d.spe"), larmor_hz=LARMOR)
    assert again.frequency_hz[np.abs(again.values).argmax()] == pytest.approx(f0)


def test_the_simpson_layout_of_dmfit_falls_from_its_first_point_and_knows_the_frequency(tmp_path):
    text = "SIMP\nComment= Saved\nNP=4\nX0=500\nSW=1000\nSf=79.45\nTYPE=SPE\nDATA\n1 0 2 0\n3 0 4 0\nEND"
    read = read_spectrum(write(tmp_path, text, "s.spe"))
    np.testing.assert_array_equal(read.frequency_hz, [-250.0, 0.0, 250.0, 500.0])
    np.testing.assert_array_equal(read.values.real, [4, 3, 2, 1])
    assert read.larmor_hz == LARMOR


@pytest.mark.parametrize(
    "old, new, line, text",
    [
        ("NP=4", "NP=5", 11, "8 numbers; NP 5 complex points need 10"),
        ("NP=4", "NP=3", 11, "8 numbers"),
        ("NP=4", "NP=4.5", 2, "NP 4.5"),
        ("NP=4\n", "", None, "NP is missing"),
        ("SW=1000", "SW=wide", 3, "SW is wide"),
        ("SW=1000", "SW=-1", 2, "SW -1"),
        ("TYPE=SPE", "TYPE=XY", 5, "TYPE is XY"),
        ("TYPE=SPE\n", "", None, "TYPE is missing"),
        ("DATA\n", "", 6, "in the header"),
        ("END\n", "", 11, "ends without END"),
        ("2 0.5", "2 half", 8, "found '2 half' among the data"),
        ("3 0", "3 nan", None, "intensity is"),
        ("TYPE=SPE", "FORMAT=BINARY\nTYPE=SPE", 5, "binary layout"),
        ("NP=4", "NP=4\nNI=2", None, "several spectra"),
        ("REF=200", "REF=200\nhello", 5, "found 'hello' in the header"),
    ],
)
def test_broken_simpson_files_are_refused_with_the_line(tmp_path, old, new, line, text):
    assert old in SPE
    with pytest.raises(ParseError, match=text) as caught:
        read_spectrum(write(tmp_path, SPE.replace(old, new), "s.spe"), larmor_hz=LARMOR)
    assert caught.value.line == line


def test_a_simpson_file_cut_anywhere_is_refused(tmp_path):
    for keep in range(5, len(SPE) - 4):
        with pytest.raises(ParseError):
            read_spectrum(write(tmp_path, SPE[:keep], "s.spe"), larmor_hz=LARMOR)


def test_simpson_files_need_a_larmor_frequency_in_hertz(tmp_path):
    path = write(tmp_path, SPE, "s.spe")
    with pytest.raises(ConventionError, match="give larmor_hz"):
        read_spectrum(path)
    with pytest.raises(ConventionError, match="not MHz"):
        read_spectrum(path, larmor_hz=79.45)


def test_what_simpson_cannot_hold_is_not_written(tmp_path):
    decay = Fid.create(numbers(50), dwell_s=1e-5, larmor_hz=LARMOR, group_delay=3.0)
    with pytest.raises(ConventionError, match="no group delay"):
        write_spectrum(decay, tmp_path / "d.fid")
    with pytest.raises(ConventionError, match=r"written as \.fid"):
        write_spectrum(decay, tmp_path / "d.spe")
    with pytest.raises(ParseError, match="holds a spectrum"):
        read_fid(write(tmp_path, SPE, "s.spe"), larmor_hz=LARMOR)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".dat"])
@pytest.mark.parametrize("sigma", [None, 0.25])
@pytest.mark.parametrize("real", [False, True])
def test_columns_return_every_number(tmp_path, suffix, sigma, real):
    before = spectrum(sigma=sigma)
    before = before.replace(values=before.values.real) if real else before
    after = read_spectrum(write_spectrum(before, tmp_path / f"c{suffix}"))
    np.testing.assert_array_equal(after.frequency_hz, before.frequency_hz)
    np.testing.assert_array_equal(after.values, before.values)
    assert after.values.dtype == before.values.dtype
    assert (after.larmor_hz, after.isotope) == (LARMOR, "29Si")
    assert after.sigma is None if sigma is None else np.all(after.sigma == sigma)


@pytest.mark.parametrize(
    "header, axis, expected",
    [
        ("ppm,real,imag\n", None, 79.45),
        ("# shift (ppm), intensity, imaginary\n", None, 79.45),
        ("delta/ppm;re;im\n", None, 79.45),
        ("Hz real imag\n", None, 1.0),
        ("frequency_hz real imag\n", None, 1.0),
        ("kHz real imag\n", None, 1e3),
        ("", "ppm", 79.45),
        ("", "Hz", 1.0),
        ("some title\n", "khz", 1e3),
        ("ppm,real,imag\n", "hz", 1.0),
    ],
)
def test_the_unit_of_the_axis_is_in_the_header_or_given(tmp_path, header, axis, expected):
    rows = "4, 1, 5\n3, 2, 6\n2, 3, 7\n1, 4, 8\n"
    read = read_spectrum(write(tmp_path, header + rows, "a.txt"), axis=axis, larmor_hz=LARMOR)
    np.testing.assert_allclose(read.frequency_hz, expected * np.arange(1.0, 5.0), rtol=1e-14)
    np.testing.assert_array_equal(read.values, [4 + 8j, 3 + 7j, 2 + 6j, 1 + 5j])


def test_the_text_files_of_dmfit_are_in_hertz_and_say_the_frequency(tmp_path):
    read = read_spectrum(write(tmp_path, "ti: a title\n##freq 79.45\n10 1\n20 2\n30 3\n40 4\n", "d.txt"))
    np.testing.assert_array_equal(read.frequency_hz, [10, 20, 30, 40])
    assert read.larmor_hz == pytest.approx(LARMOR) and read.values.dtype == np.float64


def test_a_named_column_is_an_uncertainty_and_others_are_not_used(tmp_path):
    rows = "".join(f"{k},{k + 1},9,0.5\n" for k in range(5))
    read = read_spectrum(write(tmp_path, "ppm,real,fit,sigma\n" + rows, "a.csv"), larmor_hz=LARMOR)
    np.testing.assert_array_equal(read.values, np.arange(1.0, 6.0))
    np.testing.assert_array_equal(read.sigma, 0.5)


@pytest.mark.parametrize(
    "text, error, message, line",
    [
        ("1 2\n2 3\n3 4\n4 5\n", ConventionError, "ppm or Hz", None),
        ("ppm real\n1 2\n2 3\n3 4\n4\n", ParseError, "1 numbers here and 2", 5),
        ("ppm real\n1 2\n2 3\noops 4\n4 5\n", ParseError, "found 'oops 4'", 4),
        ("ppm real\n1 2\n2 3\n3 inf\n4 5\n", ParseError, "intensity is inf", None),
        ("ppm real\n1 2\n2 3\n4 4\n5 5\n", ParseError, "not evenly spaced", None),
        ("ppm a b c\n1 2 3 4\n2 2 3 4\n3 2 3 4\n4 2 3 4\n", ParseError, "4 columns", 2),
        ("ppm real\n1 2\n2 3\n", ParseError, "at least 4 points, got 2", None),
        ("ppm real\n", ParseError, "no line of numbers", None),
        (b"\x00\x01\x02\x03 binary", ParseError, "binary data", None),
        (b"PK\x03\x04zip", ParseError, "a zip archive", None),
        ("", ParseError, "is empty", None),
    ],
)
def test_columns_that_make_no_spectrum_are_refused(tmp_path, text, error, message, line):
    with pytest.raises(error, match=message) as caught:
        read_spectrum(write(tmp_path, text, "a.txt"), larmor_hz=LARMOR)
    assert line is None or caught.value.line == line


def test_columns_need_a_larmor_frequency(tmp_path):
    rows = "1 2\n2 3\n3 4\n4 5\n"
    with pytest.raises(ConventionError, match="give larmor_hz"):
        read_spectrum(write(tmp_path, "ppm real\n" + rows, "a.txt"))
    with pytest.raises(ParseError, match="'fast' is no frequency"):
        read_spectrum(write(tmp_path, "##freq fast\n" + rows, "a.txt"))


def test_the_content_decides_whatever_the_name(tmp_path):
    for name in ("s.csdf", "s.spe", "s.csv"):
        path = write_spectrum(spectrum(), tmp_path / name)
        odd = path.rename(tmp_path / f"{name}.dat")
        np.testing.assert_array_equal(read_spectrum(odd, larmor_hz=LARMOR).values, spectrum().values)


def test_names_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(ConventionError, match=r"cannot write \.xyz"):
        write_spectrum(spectrum(), tmp_path / "a.xyz")
    with pytest.raises(ConventionError, match="cannot write format 'pdf'"):
        write_spectrum(spectrum(), tmp_path / "a.csv", format="pdf")
    with pytest.raises(ConventionError, match="format is 'pdf'"):
        read_spectrum(tmp_path / "a.csv", format="pdf")
    with pytest.raises(ConventionError, match="axis is 'tesla'"):
        read_spectrum(write(tmp_path, "1 2\n", "a.csv"), axis="tesla")
    with pytest.raises(ParseError, match="no such file"):
        read_spectrum(tmp_path / "absent.csv")
    decay = Fid.create(numbers(50), dwell_s=1e-5, larmor_hz=LARMOR)
    with pytest.raises(ConventionError, match="not written as columns"):
        write_spectrum(decay, tmp_path / "a.csv")
    for name in ("a.csv", "a.spe", "a.csdf"):
        with pytest.raises(DataError, match="cannot be written"):
            write_spectrum(spectrum(), tmp_path / "absent" / name)


COMMAS = {
    "semicolon": ("Hz;intensity\n", ["1200;3", "1300;370,88", "1400;-2,5E+01", "1500;4"]),
    "tab": ("Hz\tintensity\n", ["1200\t3,0", "1300\t370,88", "1400\t-25", "1500\t4,0"]),
    "blank": ("Hz intensity\n", ["1200,0 3", "1300,0 370,88", "1400,0 -25,00", "1500 4"]),
    "title with a comma": ("Hz, from the left; intensity\n", ["1200;3", "1300;370,88", "1400;-25", "1500;4"]),
}


@pytest.mark.parametrize("title, rows", COMMAS.values(), ids=COMMAS)
def test_decimal_commas_are_points_where_something_else_separates_the_columns(tmp_path, title, rows):
    found = read_spectrum(write(tmp_path, title + "\n".join(rows) + "\n", "s.csv"), larmor_hz=LARMOR, axis="hz")
    assert not np.iscomplexobj(found.values)
    np.testing.assert_array_equal(found.frequency_hz, [1200.0, 1300.0, 1400.0, 1500.0])
    np.testing.assert_array_equal(found.values, [3.0, 370.88, -25.0, 4.0])


NO_DECIMAL_COMMAS = {
    "commas": ("hz,real,imag\n", ["1,2,3", "2,5,6", "3,7,8", "4,0,1"]),
    "commas and blanks": ("hz, real, imag\n", ["1, 2, 3", "2, 5, 6", "3, 7, 8", "4, 0, 1"]),
    "commas and points": ("", ["1.0,2,3", "2.0,5,6", "3.0,7,8", "4.0,0,1"]),
    "points elsewhere": ("", ["1 2,3", "2 5,6", "3 7.0,8", "4 0,1"]),
    "names as many as commas make": ("hz real,imag\n", ["1 2,3", "2 5,6", "3 7,8", "4 0,1"]),
}


@pytest.mark.parametrize("title, rows", NO_DECIMAL_COMMAS.values(), ids=NO_DECIMAL_COMMAS)
def test_commas_that_separate_columns_stay_separators(tmp_path, title, rows):
    found = read_spectrum(write(tmp_path, title + "\n".join(rows) + "\n", "s.csv"), larmor_hz=LARMOR, axis="hz")
    np.testing.assert_array_equal(found.frequency_hz, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(found.values, [2 + 3j, 5 + 6j, 7 + 8j, 1j])


def test_decimal_commas_between_commas_are_no_imaginary_part(tmp_path):
    rows = "".join(f"{100 * k},{3 * k},{k % 7}0\n" for k in range(12))
    with pytest.raises(ParseError, match="3 numbers below the 2 names 'Hz,intensity': decimal commas between commas"):
        read_spectrum(write(tmp_path, "Hz,intensity\n" + rows, "a.csv"), larmor_hz=1e8)
    named = read_spectrum(write(tmp_path, "Hz,real,imag\n" + rows, "b.csv"), larmor_hz=1e8)
    assert named.values[1] == 3 + 10j


def test_a_larmor_frequency_that_is_a_text_is_named(tmp_path):
    path = write(tmp_path, "Hz,I\n" + "".join(f"{k},{k}\n" for k in range(12)), "a.csv")
    with pytest.raises(ParameterError, match="larmor_hz is the text '100e6'; expected a number"):
        read_spectrum(path, larmor_hz="100e6")
