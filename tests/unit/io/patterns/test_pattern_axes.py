"""Axes other than 2theta in degrees: recognised by their titles, converted, or refused by name."""

import numpy as np
import pytest

from jaxnmr.diffraction.records import Instrument
from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern
from jaxnmr.runfile import build, load_run

WAVELENGTH = 1.54056
TWO_THETA = np.linspace(20.0, 30.0, 21)
D = WAVELENGTH / (2.0 * np.sin(np.radians(TWO_THETA / 2.0)))
AXES = {
    "2theta": TWO_THETA,
    "2theta_rad": np.radians(TWO_THETA),
    "2theta_cdeg": 100.0 * TWO_THETA,
    "theta": TWO_THETA / 2.0,
    "theta_mrad": 1000.0 * np.radians(TWO_THETA / 2.0),
    "q": 2.0 * np.pi / D,
    "q_nm": 20.0 * np.pi / D,
    "d": D,
    "d_nm": D / 10.0,
    "1/d": 1.0 / D,
    "1/d2": D**-2.0,
    "s": 1.0 / (2.0 * D),
    "s_nm": 5.0 / D,
    "s2": 1.0 / (4.0 * D**2),
    "1/d_nm": 10.0 / D,
    "d2": D**2,
}


def write(tmp_path, header, x, name="p.xy"):
    path = tmp_path / name
    lines = [f"{a!r} {100 + k}" for k, a in enumerate(np.asarray(x).tolist())]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("axis", "header"),
    [
        ("2theta", "2theta,Intensity"),
        ("2theta", "2Theta (deg)  Intensity (counts)"),
        ("2theta", "2 theta intensity"),
        ("2theta", "2θ (°),I (a.u.)"),
        ("2theta", "Pos. [°2Th.],Iobs [cts]"),
        ("2theta", "$2\\theta$ ($^\\circ$);counts"),
        ("2theta", "# 2th_deg   I"),
        ("2theta", "tth,I"),
        ("2theta", "Two-Theta I"),
        ("2theta", "Theta-2Theta,counts"),
        ("2theta", "Scattering angle,Intensity"),
        ("2theta", "x,y"),
        ("2theta", "Winkel;Impulse"),
        ("2theta", "2theta_CuKa Iobs"),
        ("2theta", "a.tif\n2-Theta Angle (Degrees)\nIntensity\n 21"),
        ("2theta", "th2th;counts"),
        ("2theta", "2teta,I"),
        ("2theta", "Quartz sample 3"),
        ("2theta", "Test of theta sample\nIntensity"),
        ("2theta", "d5 run"),
        ("2theta", "t1 sample"),
        ("2theta", "# unit: seconds"),
        ("2theta_rad", "2theta (rad) I"),
        ("2theta_rad", "# 2th_rad      I"),
        ("2theta_rad", "TwoTheta[rad];Counts"),
        ("2theta_cdeg", "2theta (centidegrees);counts"),
        ("theta", "theta Intensity"),
        ("theta", "θ (deg), I"),
        ("theta", "th,I"),
        ("theta", "theta,I\ndeg,counts"),
        ("theta_mrad", "Theta (mrad), counts"),
        ("q", "Q(A-1) I(Q)"),
        ("q", "Q [Å⁻¹]\tIntensity [a.u.]"),
        ("q", "Q (inverse Angstrom)  I"),
        ("q", "Q / Å-1, Intensity"),
        ("q", "Q (\\AA$^{-1}$),I"),
        ("q", "Q_invA,I"),
        ("q", "Q(1/Ang.), I"),
        ("q", "Q (A**-1);I"),
        ("q", "Momentum transfer [1/Å], Intensity"),
        ("q", "Q,I\n1/A,a.u."),
        ("q", "x-axis: Q (1/A)"),
        ("q", "Q (1/A)\nIntensity"),
        ("q", "sample.tif\nQ Space (Angstroms^-1)\nIntensity\n   21"),
        ("q", "sample.tif\nQ Space (Angstroms^-1)\nIntensity\n   1000,"),
        ("q_nm", "# q_nm^-1      I"),
        ("q_nm", "q(nm^-1)   I(q)"),
        ("q_nm", "scattering vector (1/nm), intensity"),
        ("q_nm", "# unit: q_nm^-1"),
        ("d", "d (A),Intensity"),
        ("d", "d-spacing Intensity"),
        ("d", "d I"),
        ("d", "! d(A)   Yobs"),
        ("d_nm", "d-Wert (nm);Intensität"),
        ("d_nm", "dspacing_nm,I"),
        ("1/d", "1/d (1/A), Int"),
        ("1/d2", "d*2_A^-2 I"),
        ("s", "sin(theta)/lambda I"),
        ("s", "sinθ/λ (1/Å);I"),
        ("q", "$4\\pi\\sin\\theta/\\lambda$ I"),
        ("q", "4 pi sin(theta)/lambda I"),
        ("q", "4*pi*sin(theta)/lambda"),
        ("q", "4πsinθ/λ (Å⁻¹), I"),
        ("q", "(4 pi/lambda) sin(theta) I"),
        ("q_nm", "4π sin(θ)/λ [nm^-1]\tI"),
        ("1/d", '"s = 1/d (1/A)" I'),
        ("1/d", "s=1/d I"),
        ("1/d", "2 sin(theta)/lambda I"),
        ("1/d", "s = 2 sin(theta)/lambda = 1/d (1/A), I"),
        ("1/d", "2sinθ/λ I"),
        ("1/d", "s (2sinθ/λ) I"),
        ("s", "sin(theta)/lambda"),
        ("s", "sin(θ)/λ\tIntensität"),
        ("s_nm", "sin(θ)/λ (nm^-1)\tI"),
        ("1/d2", "1/d^2"),
        ("1/d2", "1/d² (Å⁻²)\tI"),
        ("1/d2", "1/d**2,I"),
        ("1/d2", "d^-2 I"),
        ("1/d2", "(1/d)^2 I"),
        ("1/d2", "inverse d squared I"),
        ("d2", "d^2 I"),
        ("q", "Q=2pi/d I"),
        ("q", "2 pi / d I"),
        ("q", "q = 4pi sin(theta)/lambda (1/A), I"),
        ("q", "s = 4 pi sin(theta)/lambda, I"),
        ("q", "4 pi/lambda sin(2theta/2) I"),
        ("q", "4pi sin(tth/2)/lambda I"),
        ("q", "4*np.pi*np.sin(theta)/lambda, I"),
        ("q", "12.566 sin(theta)/lambda I"),
        ("1/d2", "4 sin^2(theta)/lambda^2 I"),
        ("s2", "(sin(theta)/lambda)^2 I"),
        ("s2", "sin²(θ)/λ² (Å⁻²), I"),
        ("d", "λ/(2 sin θ) (Å),I"),
        ("d", "lambda/2sin(theta),I"),
        ("1/d", "H = 1/d, I"),
        ("1/d_nm", "1/d [1/nm] I"),
        ("q", '"Q, 1/A","I, a.u."'),
        ("q", "Q A^-1 I"),
        ("q", "Q(Å⁻¹) I(Q) sigma"),
        ("q_nm", "Streuvektor q / nm^-1;Intensität"),
        ("q", "Vecteur de diffusion (Å⁻¹);Intensité"),
        ("q", "Impulsübertrag (1/Å);I"),
        ("d", "Netzebenenabstand (Å);Intensität"),
        ("d", "distance interréticulaire (Å);Intensité"),
        ("d", "spacing d, Å; I"),
        ("theta", "Winkel theta (Grad);Impulse"),
        ("theta", "angle θ (deg) I"),
        ("2theta", "2·θ (°), I"),
        ("2theta", "zwei Theta;I"),
        ("2theta", "2θ角度,强度"),
        ("2theta", "Sample d-2 run 3"),
        ("2theta", "lambda = 1.54056 A"),
        ("2theta", "NaCl, 1/d"),
    ],
)
def test_an_axis_of_another_kind_becomes_2theta(tmp_path, axis, header):
    pattern = read_pattern(write(tmp_path, header, AXES[axis]), wavelength=WAVELENGTH)
    np.testing.assert_allclose(pattern.x, TWO_THETA, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(pattern.y, 100.0 + np.arange(21))
    assert ["made 2theta in degrees" in note for note in pattern.notes] == ([] if axis == "2theta" else [True])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("TOF Intensity", "'TOF', time"),
        ("time of flight (us), counts", "time"),
        ("t [μs],counts", "time"),
        ("Zeit;Impulse", "time"),
        ("Energy keV, counts", "energy"),
        ("E (keV)  Counts", "energy"),
        ("wavelength (A), I", "wavelength"),
        ("# r_mm I", "distance on the detector"),
        ("a.tif\nRadial Distance (mm)\nIntensity\n 21", "distance on the detector"),
        ("X (mm), counts", "distance on the detector"),
        ("2theta (pixels), counts", "distance on the detector"),
        ("Channel Counts", "a channel or point"),
        ("Point,Intensity", "a channel or point"),
        ("chi_deg I", "another angle"),
        ("Omega,Intensity", "another angle"),
        ("Bragg angle,I", "either theta or 2theta"),
        ("T (K),I", "no angle"),
        ("s (1/nm), I", "either 2 sin"),
        ("qx (1/A), I", "a component"),
        ("k (1/A), I", "a length or its reciprocal"),
        ("sin²θ,I", "a function of theta"),
        ("Raman shift (cm-1),Intensity", "wavenumber"),
        ("T/K;counts", "no angle"),
        ("log10(q.m)_None I", "a function"),
        ("Q,I", "Q without a unit; write Q (1/A) or Q (1/nm)"),
        ("Q (a.u.),I", "without a unit"),
        ("4 pi sin(theta)/1.54 I", "a formula that is not understood"),
        ("1/d^3,I", "another power"),
        ("2theta log(I)", "the intensity column is 'log(I)', a function of the intensity"),
        ("2theta,sqrt(counts)", "a function of the intensity"),
        ("2theta;I*q^2", "a function of the intensity"),
        ("2theta,ln I", "a function of the intensity"),
        ("1/Q,I", "a reciprocal of the scattering vector"),
        ("100*2theta,I", "the angle in a formula"),
        ("sin(2theta)/lambda,I", "a formula that is not understood"),
    ],
)
def test_an_axis_that_does_not_become_2theta_is_refused_by_name(tmp_path, header, words):
    with pytest.raises(ParseError) as caught:
        read_pattern(write(tmp_path, header, AXES["2theta"]), wavelength=WAVELENGTH)
    assert words in str(caught.value)


def test_an_unknown_name_is_read_as_2theta_and_noted(tmp_path):
    pattern = read_pattern(write(tmp_path, "foo,Intensity", TWO_THETA))
    np.testing.assert_array_equal(pattern.x, TWO_THETA)
    assert "'foo'" in pattern.notes[0] and "2theta in degrees" in pattern.notes[0]


def test_2theta_is_taken_when_other_axes_stand_beside_it(tmp_path):
    path = tmp_path / "p.csv"
    rows = [
        f"{k},{q!r},{t!r},{100 + k}"
        for k, (q, t) in enumerate(zip(AXES["q"].tolist(), TWO_THETA.tolist(), strict=True))
    ]
    path.write_text("Point,Q,2theta,Counts\n" + "\n".join(rows))
    np.testing.assert_array_equal(read_pattern(path).x, TWO_THETA)


def test_the_uncertainties_go_with_their_points_when_d_increases(tmp_path):
    path = tmp_path / "p.csv"
    rows = [f"{d!r},{100 + k},{k + 1}" for k, d in enumerate(D.tolist())][::-1]
    path.write_text("d (A),I,sigma\n" + "\n".join(rows))
    pattern = read_pattern(path, wavelength=WAVELENGTH)
    np.testing.assert_allclose(pattern.x, TWO_THETA, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(pattern.sigma, np.arange(1.0, 22.0))


def test_the_wavelength_comes_from_the_argument_the_instrument_or_the_file(tmp_path):
    path = write(tmp_path, "q_A^-1 I", AXES["q"])
    with pytest.raises(ParseError, match=r"'q_A\^-1': a wavelength is needed .* Give wavelength = "):
        read_pattern(path)
    known = Instrument(wavelengths=(WAVELENGTH, 1.5444), U=7.0)
    for pattern in (
        read_pattern(path, wavelength=WAVELENGTH),
        read_pattern(path, instrument=known),
        read_pattern(path, instrument=known.replace(wavelengths=(0.7,)), wavelength=WAVELENGTH),
        read_pattern(write(tmp_path, "# Wavelength: 1.54056e-10 m\n#  q_A^-1  I", AXES["q"])),
        read_pattern(write(tmp_path, "# wavelength = 1.54056 A\n#  q_A^-1  I", AXES["q"])),
        read_pattern(write(tmp_path, "# Wavelength (nm): 0.154056\n#  q_A^-1  I", AXES["q"]), instrument=Instrument()),
    ):
        np.testing.assert_allclose(pattern.x, TWO_THETA, rtol=0, atol=1e-9)
        assert pattern.instrument.wavelengths[0] == pytest.approx(WAVELENGTH)


def test_patterns_integrated_from_images_are_measured_in_transmission(tmp_path):
    header = "# Distance Sample to Detector: 0.1 m\n# Wavelength: 4.13e-11 m\n# --> a.xy\n#   2th_deg   I"
    instrument = read_pattern(write(tmp_path, header, TWO_THETA)).instrument
    assert instrument.wavelengths == (pytest.approx(0.413),) and instrument.geometry == "debye-scherrer"
    assert read_pattern(write(tmp_path, "# Wavelength: 1.5406\n# 2theta I", TWO_THETA)).instrument is None


def test_a_value_that_no_angle_has_names_the_line(tmp_path):
    path = write(tmp_path, "Q (1/A),I", 10.0 * AXES["q"])
    with pytest.raises(
        ParseError, match=r"line 2: 'Q \(1/A\)' is 14\..*no angle has at 1.54056 .*check the wavelength"
    ):
        read_pattern(path, wavelength=WAVELENGTH)
    with pytest.raises(ParseError, match="'d' is 0"):
        read_pattern(write(tmp_path, "d,I", [0.0, 1.0, 2.0]), wavelength=WAVELENGTH)


def test_a_run_file_converts_with_the_wavelength_it_calculates_with(tmp_path):
    x = np.linspace(20.0, 40.0, 201)
    write(tmp_path, "q_A^-1 I", 4.0 * np.pi * np.sin(np.radians(x / 2.0)) / WAVELENGTH)
    run = tmp_path / "run.toml"
    text = """
[[phase]]
name = "halite"
cell = [5.64, 5.64, 5.64, 90, 90, 90]
spacegroup = "F m -3 m"
sites = [{ label = "Na", type = "Na", xyz = [0, 0, 0] }, { label = "Cl", type = "Cl", xyz = [0.5, 0.5, 0.5] }]
[[histogram]]
name = "xrd"
file = "p.xy"
"""
    run.write_text(text + f"wavelength = {WAVELENGTH}\n")
    (term,) = build(load_run(run)).objective.terms
    np.testing.assert_allclose(term.model.x, x, rtol=0, atol=1e-9)
    run.write_text(text)
    with pytest.raises(ParseError, match="a wavelength is needed"):
        build(load_run(run))
