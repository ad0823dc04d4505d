"""GSAS and GSAS-II instrument parameter files."""

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_instrument

TUBE = """            123456789012345678901234567890123456789012345678901234567890
INS   BANK      1
INS   HTYPE   PXCR
INS  1 IRAD     3
INS  1 ICONS  1.540500  1.544300      -4.0         0       0.7    0       0.5
INS  1PRCF1     3    8      0.01
INS  1PRCF11   2.000000E+00  -2.000000E+00   5.000000E+00   0.100000E+00
INS  1PRCF12   0.300000E+00   0.700000E+00   0.150000E-01   0.100000E-01
"""
BLANK = """INS   BANK      1
INS   HTYPE   PXCR
INS  1 ICONS 0.4139090    0.0000    0.0000               0.990    0     0.500
INS  1PRCF1     2    8   0.00100
INS  1PRCF11       1.163000      -0.126000       0.063000       0.170000
INS  1PRCF12       0.290000       0.000000       0.001100       0.001100
"""
NEUTRON = """INS   HTYPE   PNCR
INS  1 ICONS  1.909000  0.000000      -0.1         0       0.0    0       0.0
INS  1PRCF      1    6      0.01
INS  1PRCF 1   0.354031E+03  -0.760404E+03   0.651592E+03   0.000000E+00
"""
SECOND = """Type:PXC
Bank:1
Lam1:1.54056
Lam2:1.54439
Zero:0.02
Polariz.:0.45
Source:CuKa
U:2.5
V:-2.25
W:5.0
X:0.1;Y:0.2;Z:0.3
SH/L:0.03
I(L2)/I(L1):0.48
"""


def read(tmp_path, text, **kwargs):
    path = tmp_path / "i.prm"
    path.write_bytes(text.encode("latin-1"))
    return read_instrument(path, **kwargs)


def width(instrument, theta):
    t = np.tan(np.radians(theta))
    return instrument.U * t**2 + instrument.V * t + instrument.W


def test_a_laboratory_tube_of_gsas(tmp_path):
    instrument = read(tmp_path, TUBE.replace("\n", "\r\n"))
    assert instrument.radiation == "xray" and instrument.geometry == "bragg-brentano"
    assert instrument.wavelengths == (1.5405, 1.5443) and instrument.ratio == 0.5
    assert instrument.zero == -0.04
    assert (instrument.X, instrument.Y, instrument.shl) == (0.3, 0.7, 0.025)
    assert instrument.name == "i.prm"


def test_the_gaussian_term_over_cos_squared_is_part_of_u_and_w(tmp_path):
    instrument, theta = read(tmp_path, TUBE), 31.0
    t, c = np.tan(np.radians(theta)), np.cos(np.radians(theta))
    np.testing.assert_allclose(width(instrument, theta), 2 * t**2 - 2 * t + 5 + 0.1 / c**2, rtol=1e-13)


@pytest.mark.parametrize("cos_squared", [0.8, 1.0, 0.5])
def test_both_gsas_polarisation_numbers_give_the_same_angle_dependence(tmp_path, cos_squared):
    text = TUBE.replace("0.7    0       0.5", f"{cos_squared:3.1f}    1       0.5")
    p = read(tmp_path, text).polarization
    two_theta = np.radians([5.0, 60.0, 110.0])
    ours = (1 - p) * np.cos(two_theta) ** 2 + p
    theirs = 1 + cos_squared * np.cos(two_theta) ** 2
    np.testing.assert_allclose(ours / ours[0], theirs / theirs[0], rtol=1e-13)


def test_the_polarised_fraction_is_taken_as_it_is(tmp_path):
    assert read(tmp_path, TUBE).polarization == 0.7


def test_a_blank_field_does_not_shift_the_others(tmp_path):
    instrument = read(tmp_path, BLANK)
    assert instrument.wavelengths == (0.413909,) and instrument.geometry == "debye-scherrer"
    assert instrument.polarization == 0.99 and instrument.zero == 0.0
    assert (instrument.U, instrument.V, instrument.W) == (1.163, -0.126, 0.063)
    assert (instrument.X, instrument.Y, instrument.shl) == (0.17, 0.29, 0.002)


def test_a_neutron_diffractometer_has_one_wavelength_and_no_tube(tmp_path):
    instrument = read(tmp_path, NEUTRON)
    assert instrument.radiation == "neutron" and instrument.geometry == "debye-scherrer"
    assert instrument.wavelengths == (1.909,) and instrument.zero == pytest.approx(-0.001)
    assert (instrument.U, instrument.V, instrument.W) == (354.031, -760.404, 651.592)


def test_profile_function_three_is_preferred(tmp_path):
    text = TUBE.replace("PRCF1", "PRCF2") + BLANK[BLANK.index("INS  1PRCF1") :]
    assert read(tmp_path, text).shl == 0.025


def test_profile_function_four_keeps_its_axial_divergence_further_on(tmp_path):
    rows = ["1 2 3 0", "0.5 0 0 0", "0 0.004 0.003 0.75"]
    body = "".join(
        f"INS  1PRCF1{k + 1}" + "".join(f"{float(w):15.6f}" for w in row.split()) + "\n" for k, row in enumerate(rows)
    )
    instrument = read(tmp_path, TUBE[: TUBE.index("INS  1PRCF1")] + "INS  1PRCF1     4   12      0.01\n" + body)
    assert (instrument.X, instrument.Y) == (0.5, 0.0) and instrument.shl == pytest.approx(0.007)


def test_an_instrument_without_profile_has_default_widths(tmp_path):
    assert read(tmp_path, TUBE[: TUBE.index("INS  1PRCF1")]).W == 5.0


def test_a_gsas_ii_file(tmp_path):
    instrument = read(tmp_path, "#GSAS-II instrument parameter file\n" + SECOND)
    assert instrument.wavelengths == (1.54056, 1.54439) and instrument.ratio == 0.48
    assert (instrument.zero, instrument.polarization, instrument.shl) == (0.02, 0.45, 0.03)
    assert [getattr(instrument, n) for n in "UVWXYZ"] == [2.5, -2.25, 5.0, 0.1, 0.2, 0.3]
    assert instrument.geometry == "bragg-brentano"


def test_a_gsas_ii_neutron_or_synchrotron_file_is_debye_scherrer(tmp_path):
    for kind, radiation in (("PNC", "neutron"), ("PXC", "xray")):
        instrument = read(tmp_path, f"Type:{kind}\nLam:1.5\nPolariz.:0.99\n")
        assert (instrument.radiation, instrument.geometry, instrument.wavelengths) == (
            radiation,
            "debye-scherrer",
            (1.5,),
        )


def test_one_of_several_banks_is_chosen_by_its_number(tmp_path):
    prm = TUBE + TUBE[TUBE.index("INS  1 IRAD") :].replace("INS  1", "INS  2").replace("1.540500", "1.790000")
    second = (
        "#Bank 1: made up\n"
        + SECOND
        + "#Bank 2: made up\n"
        + SECOND.replace("Bank:1", "Bank:2").replace("1.54056", "1.79")
    )
    for text in (prm, second):
        assert read(tmp_path, text, bank=2).wavelengths[0] == 1.79
        assert read(tmp_path, text, bank=1).wavelengths[0] == pytest.approx(1.5405, abs=1e-4)
        with pytest.raises(ParseError, match="holds banks 1, 2"):
            read(tmp_path, text)
        with pytest.raises(ParseError, match="no bank 7"):
            read(tmp_path, text, bank=7)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (TUBE.replace("PXCR", "PNTR"), 3, "HTYPE is PNTR"),
        (TUBE.replace("INS   HTYPE   PXCR\n", ""), None, "HTYPE is missing"),
        (TUBE.replace("1 ICONS", "1 ICOMS"), None, "no ICONS record"),
        (TUBE.replace("  1.540500", "          "), 5, "no wavelength"),
        (TUBE.replace("1.540500", "154.0500"), 5, "not nm, not keV"),
        (TUBE.replace("1.540500", "1.54o500"), 5, "expected columns of 10"),
        (TUBE.replace("0.7    0", "1.7    0"), 5, "polarization is 1.7"),
        (TUBE.replace("-2.000000E+00", "-2.0OO000E+00"), 7, "four fields of 15 columns"),
        (TUBE.replace("     3    8", "     7    8"), 6, "no profile function among 1, 2, 3, 4"),
        (TUBE.replace("     3    8", "   abc    8"), 6, "expected function"),
        (TUBE.replace("INS  1PRCF11", "INS  1PRCX11").replace("INS  1PRCF12", "INS  1PRCX12"), 6, "0 coefficients"),
        (TUBE.replace(" 2.000000E+00", "          nan"), 5, "U is nan"),
        (SECOND.replace("PXC", "PNT"), 1, "Type is PNT"),
        (SECOND.replace("Type:PXC\n", ""), None, "Type is missing"),
        (SECOND.replace("Lam1:1.54056\n", ""), 1, "no wavelength"),
        (SECOND.replace("U:2.5", "U:wide"), 8, "'wide'"),
        (SECOND.replace("U:2.5", "U 2.5"), 8, "expected key:value"),
        (SECOND.replace("Bank:1", "Bank:nan"), 2, "expected a positive number"),
        ("10 1\n11 2\n", None, "neither a GSAS file"),
        ("", None, "is empty"),
        ("\0\1\2\3", 1, "binary data"),
    ],
)
def test_a_damaged_instrument_file_names_the_line_and_what_was_expected(tmp_path, text, line, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, text)
    assert caught.value.line == line and words in str(caught.value) and "i.prm" in str(caught.value)
