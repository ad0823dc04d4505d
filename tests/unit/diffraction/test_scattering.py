"""Scattering factors: electrons counted, tables of other hands, ions, isotopes, errors that help."""

import re

import gemmi
import numpy as np
import pytest

from jaxnmr.diffraction.scattering import scattering_factors
from jaxnmr.errors import ConventionError

CU_KA1 = 1.540593


def form_factor(symbol: str, s: float) -> float:
    f = scattering_factors((symbol,), "xray", CU_KA1)
    return float(np.sum(f.a * np.exp(-f.b * s * s)) + f.c[0])


@pytest.mark.parametrize("wavelength", [0.4139, CU_KA1, 2.2897])
def test_forward_scattering_counts_the_electrons_of_every_element(wavelength):
    for number in range(1, 99):
        f = scattering_factors((gemmi.Element(number).name,), "xray", wavelength)
        assert f.a.sum() + f.c[0] == pytest.approx(number, abs=0.08)
        assert abs(f.f1[0]) < number
        assert 0.0 <= f.f2[0] < number


@pytest.mark.parametrize(
    ("symbol", "electrons"),
    [("O2-", 10), ("O1-", 9), ("F1-", 10), ("Ca2+", 18), ("Al3+", 10), ("Na1+", 10), ("Fe3+", 23)],
)
def test_forward_scattering_of_an_ion_counts_its_electrons(symbol, electrons):
    assert form_factor(symbol, 0.0) == pytest.approx(electrons, abs=0.03)


def test_ions_differ_from_atoms_at_small_angles_only():
    for ion, atom in (("Ca2+", "Ca"), ("F1-", "F")):
        assert abs(form_factor(ion, 0.02) - form_factor(atom, 0.02)) > 0.8
        assert abs(form_factor(ion, 1.0) - form_factor(atom, 1.0)) < 0.02


# International Tables C (1992), table 6.1.1.1
@pytest.mark.parametrize(("symbol", "s", "f"), [("C", 0.5, 1.685), ("O", 0.5, 2.338), ("Si", 0.5, 6.24)])
def test_form_factors_are_those_of_the_international_tables(symbol, s, f):
    assert form_factor(symbol, s) == pytest.approx(f, abs=0.012)


@pytest.mark.parametrize("s", [0.05, 0.1, 0.2, 0.3])
def test_hydrogen_is_contracted_as_in_a_bond(s):
    # the table holds the bonded atom of Stewart, Davidson & Simpson (1965): about a 1s orbital with exponent 1.16
    orbital = lambda exponent: (1.0 + (2.0 * np.pi * 0.529177 / exponent * s) ** 2) ** -2
    assert form_factor("H", s) == pytest.approx(orbital(1.16), abs=0.015)
    assert form_factor("H", s) > orbital(1.0) + 0.01


# Cromer & Liberman, J. Chem. Phys. 53, 1891 (1970), for Cu K alpha 1. The relativistic correction is the later one of
# Kissel & Pratt, Acta Cryst. A46, 170 (1990), which matters for heavy atoms: 0.127 electrons for lead.
@pytest.mark.parametrize(
    ("symbol", "f1", "f2"),
    [
        ("Si", 0.254, 0.330),
        ("S", 0.333, 0.557),
        ("Ca", 0.364, 1.286),
        ("Fe", -1.134, 3.197),
        ("Pb", -4.075 + 0.127, 8.506),
    ],
)
def test_anomalous_dispersion_is_that_of_cromer_and_liberman(symbol, f1, f2):
    f = scattering_factors((symbol,), "xray", CU_KA1)
    assert f.f1[0] == pytest.approx(f1, abs=0.005)
    assert f.f2[0] == pytest.approx(f2, abs=0.01)


def test_dispersion_grows_at_the_absorption_edge():
    f1 = [scattering_factors(("Fe",), "xray", w).f1[0] for w in (1.70, 1.745, 1.80)]  # K edge of iron: 1.7433 Å
    f2 = [scattering_factors(("Fe",), "xray", w).f2[0] for w in (1.70, 1.80)]
    assert f1[1] < min(f1[0], f1[2]) < 0.0
    assert f2[0] > 3.0 > 1.0 > f2[1]


# Sears, Neutron News 3, 26 (1992)
@pytest.mark.parametrize(
    ("symbol", "length"), [("H", -3.739), ("D", 6.671), ("O2-", 5.803), ("V", -0.3824), ("Ti", -3.438), ("Pb", 9.405)]
)
def test_neutron_scattering_lengths_are_those_of_sears(symbol, length):
    f = scattering_factors((symbol,), "neutron", 1.9)
    assert f.c[0] == pytest.approx(length, abs=1e-3)
    assert not f.a.any() and not f.f1.any() and not f.f2.any()


def test_deuterium_scatters_x_rays_like_hydrogen():
    assert form_factor("D", 0.3) == form_factor("H", 0.3)


@pytest.mark.parametrize("symbol", ["Pu", "Ac", "Fr"])
def test_an_element_nobody_measured_with_neutrons_is_refused_rather_than_made_invisible(symbol):
    with pytest.raises(ConventionError, match=f"no neutron scattering length of {symbol}"):
        scattering_factors((symbol,), "neutron", 1.5)


# abundances in per cent (K. J. R. Rosman & P. D. P. Taylor, Pure Appl. Chem. 70, 217, 1998)
ABUNDANCES = {
    "Li": {6: 7.59, 7: 92.41},
    "B": {10: 19.9, 11: 80.1},
    "Cl": {35: 75.78, 37: 24.22},
    "Ti": {46: 8.25, 47: 7.44, 48: 73.72, 49: 5.41, 50: 5.18},
    "Cr": {50: 4.345, 52: 83.789, 53: 9.501, 54: 2.365},
    "Ni": {58: 68.077, 60: 26.223, 61: 1.140, 62: 3.634, 64: 0.926},
    "Cu": {63: 69.17, 65: 30.83},
    "Ge": {70: 20.84, 72: 27.54, 73: 7.73, 74: 36.28, 76: 7.61},
    "Mo": {92: 14.84, 94: 9.25, 95: 15.92, 96: 16.68, 97: 9.55, 98: 24.13, 100: 9.63},
    "Pb": {204: 1.4, 206: 24.1, 207: 22.1, 208: 52.4},
}


@pytest.mark.parametrize("element", ABUNDANCES)
def test_isotopes_in_their_natural_shares_scatter_neutrons_as_the_element(element):
    isotopes = tuple(f"{number}{element}" for number in ABUNDANCES[element])
    lengths = scattering_factors((*isotopes, element), "neutron", 1.5).c
    mean = np.average(lengths[:-1], weights=list(ABUNDANCES[element].values()))
    assert mean == pytest.approx(lengths[-1], rel=0.01)


def test_isotopes_differ_for_neutrons_only_and_carry_charges():
    nickel = scattering_factors(("58Ni", "62Ni2+", "2H", "1H", "23Na"), "neutron", 1.5).c
    np.testing.assert_allclose(nickel, [14.4, -8.7, 6.671, -3.739, 3.63], atol=0.002)
    assert form_factor("62Ni2+", 0.1) == form_factor("Ni2+", 0.1)


def test_an_isotope_without_a_length_is_refused_with_those_that_have_one():
    with pytest.raises(ConventionError, match=r"63Ni is tabulated; 58Ni, 60Ni, 61Ni, 62Ni, 64Ni"):
        scattering_factors(("63Ni",), "neutron", 1.5)
    with pytest.raises(ConventionError, match="Ni has no isotope 99"):
        scattering_factors(("99Ni",), "neutron", 1.5)


@pytest.mark.parametrize("ion", ["P5+", "S6+", "S2-", "N3-", "C4+", "C4-", "B3+", "As5+", "Te4+", "H1+", "Ca5+"])
def test_an_ion_without_a_table_scatters_x_rays_as_the_neutral_atom_which_is_said(ion):
    with pytest.warns(UserWarning, match=f"no X-ray form factor of {re.escape(ion)} is tabulated"):
        charged = form_factor(ion, 0.2)
    assert charged == form_factor(re.match("[A-Z][a-z]?", ion)[0], 0.2)


def test_looking_up_ions_leaves_gemmi_as_it_was():
    before = gemmi.IT92_get_ignore_charge()
    for setting in (True, False):
        gemmi.IT92_set_ignore_charge(setting)
        assert form_factor("Ca2+", 0.0) == pytest.approx(18.0, abs=0.02)
        assert gemmi.IT92_get_ignore_charge() is setting
    gemmi.IT92_set_ignore_charge(before)
