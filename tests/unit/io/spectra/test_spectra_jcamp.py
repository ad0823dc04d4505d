"""JCAMP-DX: axes, packed numbers, where 0 ppm is, what is no single spectrum."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ParseError
from jaxnmr.io import read_spectrum

HEAD = """$$ a comment before all
##TITLE= a test $$ with a comment
##JCAMP-DX= 5.00
##DATA TYPE= NMR SPECTRUM
##.OBSERVE FREQUENCY= 100.0
##.OBSERVE NUCLEUS= ^13C
"""
HZ = HEAD + "##XUNITS= HZ\n##YFACTOR= 0.5\n##FIRSTX= 500\n##LASTX= -200\n##NPOINTS= 8\n"
AFFN = "##XYDATA= (X++(Y..Y))\n500 2 4 6\n200 8 10 -12\n-100 14 16\n##END=\n"
VALUES = [1.0, 2.0, 3.0, 4.0, 5.0, -6.0, 7.0, 8.0]


def read(tmp_path, text, **kwargs):
    path = tmp_path / "s.dx"
    path.write_text(text)
    return read_spectrum(path, **kwargs)


@pytest.mark.parametrize(
    "table",
    [
        AFFN,
        "##XYDATA= (X++(Y..Y))\n500+2+4+6\n200+8+10-12\n-100+14+16\n##END=\n",
        # B is 2, and the others are differences: K is +2, k2 is -22, K6 is +26
        "##XYDATA= (X++(Y..Y))\n500BKKKKk2K6K\n##END=\n",
    ],
    ids=["plain", "packed", "differences"],
)
def test_numbers_and_axis_come_out_of_every_form(tmp_path, table):
    found = read(tmp_path, HZ + table)
    assert (found.isotope, found.larmor_hz) == ("13C", 100e6)
    np.testing.assert_allclose(found.frequency_hz, np.linspace(-200, 500, 8), atol=1e-9)
    np.testing.assert_allclose(found.values, VALUES[::-1])


@pytest.mark.parametrize("label", ["XYPOINTS", "XYDATA"])
def test_pairs_are_read_as_pairs(tmp_path, label):
    pairs = "".join(f"{x}, {y} $$ here\n" for x, y in zip([5, 4, 3, 2], [1, 7, -2, 0.5], strict=True))
    head = HEAD + "##XUNITS= PPM\n##NPOINTS= 4\n"
    found = read(tmp_path, head + f"##{label}= (XY..XY)\n{pairs}##END=\n")
    np.testing.assert_allclose(found.ppm, [2, 3, 4, 5])
    np.testing.assert_allclose(found.values, [0.5, -2, 7, 1])
    with pytest.raises(ParseError, match="no pairs"):
        read(tmp_path, head + f"##{label}= (XY..XY)\n{pairs}1\n##END=\n")


def test_an_axis_in_ppm_is_converted(tmp_path):
    found = read(tmp_path, HZ.replace("HZ", "PPM").replace("500", "5").replace("-200", "-2") + AFFN)
    np.testing.assert_allclose(found.ppm, np.linspace(-2, 5, 8), atol=1e-12)


@pytest.mark.parametrize("label", ["##$OFFSET= 25.0", "##.SHIFT REFERENCE= INTERNAL, TMS, 1, 25.0"])
def test_the_reference_puts_an_axis_in_hertz_in_its_place(tmp_path, label):
    found = read(tmp_path, HZ + label + "\n" + AFFN)
    np.testing.assert_allclose(found.ppm, np.linspace(18, 25, 8), atol=1e-12)


def test_pages_of_real_and_imaginary_parts_are_one_complex_spectrum(tmp_path):
    pages = """##DATA CLASS= NTUPLES
##NTUPLES= NMR SPECTRUM
##SYMBOL= X, R, I, N
##VAR_DIM= 4, 4, 4, 2
##UNITS= HZ, ARBITRARY UNITS, ARBITRARY UNITS,
##FACTOR= 1, 2, 3, 1
##FIRST= 30, 1, 1, 1
##LAST= 0, 4, 4, 2
##PAGE= N=1
##DATA TABLE= (X++(R..R)), XYDATA
30 1 2 3 4
##PAGE= N=2
##DATA TABLE= (X++(I..I)), XYDATA
30 5 6 7 8
##END NTUPLES= NMR SPECTRUM
##END=
"""
    found = read(tmp_path, HEAD + pages)
    np.testing.assert_allclose(found.frequency_hz, [0, 10, 20, 30])
    np.testing.assert_allclose(found.values, [8 - 24j, 6 - 21j, 4 - 18j, 2 - 15j])


@pytest.mark.parametrize(
    "old, new, error, text",
    [
        ("NPOINTS= 8", "NPOINTS= 9", ParseError, "8 points, and the file says 9"),
        ("##LASTX= -200\n", "", ParseError, "ends of the axis"),
        ("NMR SPECTRUM", "NMR FID", ParseError, "a decay"),
        ("XUNITS= HZ", "XUNITS= 1/CM", ConventionError, "an axis in 1/CM"),
        ("##.OBSERVE FREQUENCY= 100.0\n", "", ConventionError, "give larmor_hz"),
        ("##XYDATA= (X++(Y..Y))", "##PEAK TABLE= (XY..XY)", ParseError, "export the spectrum as XYDATA"),
        ("FIRSTX= 500", "FIRSTX= left", ParseError, "FIRST is 'left'"),
        (AFFN, AFFN + (HZ + AFFN), ParseError, "several spectra"),
    ],
)
def test_what_is_no_single_spectrum_is_refused(tmp_path, old, new, error, text):
    with pytest.raises(error, match=text):
        read(tmp_path, (HZ + AFFN).replace(old, new, 1))
