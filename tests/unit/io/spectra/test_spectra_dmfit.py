"""DMFit fits: units, conventions, the ampersands DMFit does not escape, broken files."""

import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_dmfit

# the layout of a file saved by DMFit 20230120, with two models
FIT = """<?xml version="1.0" encoding="utf-8" ?>
<NMRFit>
<FitParameters>
	<Dimension>F2
		<nucleus>23Na</nucleus>
		<frequency>200.0</frequency>
		<spinrate>29993.2341</spinrate>
		<line>
			<ModelName>int2QUAD</ModelName>
			<amp>19732000</amp>
			<pos  Unit="ppm" Error="0.00617">-9.83</pos>
			<gl Fit="*">0.46</gl>
			<tr>3</tr>
			<em_au Fit="*" >192</em_au>
			<lb  Unit="ppm">0.96</lb>
			<dCS Fit="*"  Unit="ppm" Error="5.96">8.87</dCS>
			<etaCS>0.3</etaCS>
			<Phi>-43.5</Phi>
			<Chi>35.5</Chi>
			<Psi>67.25</Psi>
			<CQ  Error="1.75">1602.5</CQ>
			<etaQ  Error="0.009">0.707</etaQ>
		</line>
		<line>
			<ModelName>Gaus/Lor</ModelName>
			<pos  Unit="Hz">400</pos>
			<wid  Unit="kHz">0.1</wid>
		</line>
	</Dimension>
</FitParameters>
<DataFile><FileName>bl.1r</FileName><FileTitle>papers_&_comments &amp; fits</FileTitle></DataFile>
</NMRFit>
"""


def write(tmp_path, text):
    path = tmp_path / "1R.fxml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_fit_comes_in_explicit_units(tmp_path):
    fit = read_dmfit(write(tmp_path, FIT))
    assert (fit.isotope, fit.larmor_hz, fit.mas_hz, fit.data_file) == ("23Na", 200e6, 29993.2341, "bl.1r")
    quadrupolar, plain = fit.lines
    assert quadrupolar.model == "int2QUAD" and quadrupolar.transitions == 3
    assert quadrupolar.values == pytest.approx(
        {
            "amplitude": 19732000.0,
            "position_ppm": -9.83,
            "gauss_fraction": 0.46,
            "width_hz": 192.0,
            "width_ppm": 0.96,
            "zeta_ppm": 8.87,
            "eta": 0.3,
            "phi_deg": -43.5,
            "chi_deg": 35.5,
            "psi_deg": 67.25,
            "cq_hz": 1602.5e3,
            "eta_q": 0.707,
        }
    )
    expected = {"position_ppm": 0.00617, "zeta_ppm": 5.96, "cq_hz": 1750.0, "eta_q": 0.009}
    assert quadrupolar.errors == pytest.approx(expected)
    assert quadrupolar.fitted == {"gauss_fraction", "width_hz", "zeta_ppm"}
    # Hz and kHz of a 200 MHz spectrum
    assert plain.values == pytest.approx({"position_ppm": 2.0, "width_ppm": 0.5}) and plain.errors == {}


@pytest.mark.parametrize(
    "old, new, line, text",
    [
        ("</NMRFit>", "", 33, "no valid XML"),
        ("<tr>3</tr>", "<tr>3</dr>", 13, "no valid XML"),
        ('encoding="utf-8"', 'encoding="utf-9"', 1, "unknown encoding"),
        ("<frequency>200.0</frequency>", "", None, "frequency is None"),
        ("200.0", "0", None, "frequency is 0 Hz"),
        ("<amp>19732000", "<amp>high", None, "amp is 'high'"),
        ('Unit="kHz"', 'Unit="points"', None, "wid is in 'points'"),
        ("NMRFit", "Other", None, "expected a DMFit fit"),
        ("FitParameters", "Else", None, "expected a DMFit fit"),
        ("</Dimension>", "</Dimension><Dimension>F1</Dimension>", None, "2 dimensions"),
        ('Error="1.75"', 'Error="?"', None, "Error of CQ"),
    ],
)
def test_what_is_no_fit_is_refused(tmp_path, old, new, line, text):
    with pytest.raises(ParseError, match=text) as caught:
        read_dmfit(write(tmp_path, FIT.replace(old, new)))
    assert caught.value.line == line
