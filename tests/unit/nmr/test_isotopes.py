"""The isotope table against an independent one and against numbers of the IUPAC."""

import json
import math
from importlib import util
from pathlib import Path

import pytest

from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.nmr.isotopes import Isotope, all_isotopes, isotope, isotopes_of, larmor_hz, reference_hz, sites_of

# R. K. Harris et al., Pure Appl. Chem. 73, 1795 (2001), tables 1 and 3: spin, gamma in 1e7 rad/s/T
HARRIS = {
    "1H": (0.5, 26.7522128),
    "2H": (1.0, 4.10662791),
    "11B": (1.5, 8.5847044),
    "13C": (0.5, 6.728284),
    "14N": (1.0, 1.9337792),
    "15N": (0.5, -2.71261804),
    "17O": (2.5, -3.62808),
    "19F": (0.5, 25.18148),
    "23Na": (1.5, 7.0808493),
    "27Al": (2.5, 6.9762715),
    "29Si": (0.5, -5.3190),
    "31P": (0.5, 10.8394),
    "43Ca": (3.5, -1.803069),
    "93Nb": (4.5, 6.5674),
    "119Sn": (0.5, -10.0317),
    "195Pt": (0.5, 5.8385),
}
# P. Pyykkö, Mol. Phys. 116, 1328 (2018), in mb
PYYKKO = {
    "2H": 2.86,
    "11B": 40.59,
    "14N": 20.44,
    "17O": -25.6,
    "23Na": 104.0,
    "27Al": 146.6,
    "33S": -69.4,
    "35Cl": -81.7,
}


@pytest.mark.parametrize("symbol", HARRIS)
def test_spin_and_gyromagnetic_ratio_are_those_of_the_iupac(symbol):
    spin, gamma = HARRIS[symbol]
    nucleus = isotope(symbol)
    assert nucleus.spin == spin
    # the moments were revised since, for the diamagnetic correction
    assert 2 * math.pi * nucleus.gamma_hz_per_tesla == pytest.approx(gamma * 1e7, rel=2e-3)


@pytest.mark.parametrize("symbol", PYYKKO)
def test_quadrupole_moments_are_the_standard_values(symbol):
    assert 1e3 * isotope(symbol).quadrupole_barn == pytest.approx(PYYKKO[symbol], rel=2e-3)


def test_a_400_MHz_magnet_has_9_4_tesla():
    assert larmor_hz("1H", 9.3947) == pytest.approx(400.0e6, rel=1e-4)
    assert larmor_hz("29Si", 9.3947) == pytest.approx(79.5e6, rel=1e-3), "positive for a negative gyromagnetic ratio"


@pytest.mark.parametrize("field", [500.0, 0.0, -9.4, math.inf, math.nan])
def test_a_field_in_another_unit_than_tesla_is_refused(field):
    for frequency in (larmor_hz, reference_hz):
        with pytest.raises(ConventionError, match=f"b0_tesla is {field}; expected the magnetic field in tesla"):
            frequency("27Al", field)


def test_frequency_ratios_follow_the_gyromagnetic_ratios():
    # the reference compound is shielded, by up to two per cent for the heaviest nuclei
    proton = isotope("1H").gamma_hz_per_tesla
    known = [n for n in all_isotopes() if not math.isnan(n.frequency_ratio)]
    assert len(known) > 80
    for nucleus in known:
        assert abs(nucleus.gamma_hz_per_tesla) / proton * 100 == pytest.approx(nucleus.frequency_ratio, rel=0.02), (
            nucleus
        )


def test_every_element_with_a_stable_odd_nucleus_is_there():
    elements = {nucleus.element for nucleus in all_isotopes()}
    assert len(elements) >= 80
    assert {"H", "Li", "O", "Si", "Rh", "Sn", "La", "Lu", "Pt", "Bi", "U"} <= elements
    assert not {"Ce"} & elements, "cerium has no stable nucleus with spin"


def test_table_has_physical_values():
    for nucleus in all_isotopes():
        assert float(2 * nucleus.spin).is_integer() and nucleus.spin > 0
        assert nucleus.gamma_hz_per_tesla != 0 and math.isfinite(nucleus.gamma_hz_per_tesla)
        assert 0 <= nucleus.abundance <= 1
        assert (nucleus.quadrupole_barn == 0) == (not nucleus.is_quadrupolar), nucleus
    for element in {nucleus.element for nucleus in all_isotopes()}:
        assert sum(nucleus.abundance for nucleus in isotopes_of(element)) <= 1 + 1e-9


# radioactive nuclei whose moments INDC(NDS)-0794 (2019) revised by more than 0.8 %, 85Kr in its sign
GAMMA_REVISED = ("39Ar", "85Kr", "155Eu", "157Tb", "160Tb", "173Lu", "174Lu", "209Po")


def test_table_agrees_with_mrsimulator():
    spec = util.find_spec("mrsimulator")
    if spec is None:
        pytest.skip("mrsimulator is not installed")
    table = Path(spec.origin).parent / "spin_system" / "isotope_data.json"
    theirs = json.loads(table.read_text(encoding="utf-8"))
    compared = 0
    for nucleus in all_isotopes():
        if nucleus.symbol not in theirs:
            continue
        other = theirs[nucleus.symbol]
        assert other["spin_multiplicity"] == 2 * nucleus.spin + 1, nucleus.symbol
        assert other["atomic_number"] == nucleus.protons
        if nucleus.symbol not in GAMMA_REVISED:
            assert nucleus.gamma_hz_per_tesla == pytest.approx(1e6 * other["gyromagnetic_ratio"], rel=8e-3), (
                nucleus.symbol
            )
        theirs_q = other["quadrupole_moment"]
        if theirs_q:
            # theirs are older: the sign and the size agree, those of Sb, Bi, K and Th were revised by up to 45 %
            assert nucleus.quadrupole_barn == pytest.approx(theirs_q, rel=0.55), nucleus.symbol
        if nucleus.symbol != "187Os":  # 1.96 % (Rosman & Taylor 1998); theirs is 1.6
            assert 100 * nucleus.abundance == pytest.approx(other["natural_abundance"], abs=0.3), nucleus.symbol
        compared += 1
    assert compared == 152, "all but 103Rh and 180Ta"


def test_a_nucleus_has_many_spellings():
    assert isotope("27Al") is isotope("al-27") is isotope("Al27") is isotope(" 27AL ")
    assert isotope("D") is isotope("2H")
    nucleus = isotope("29Si")
    assert isotope(nucleus) is nucleus and isinstance(nucleus, Isotope)


@pytest.mark.parametrize(
    ("symbol", "hint"), [("28Si", "29Si"), ("27Ak", "27Al"), ("Xx", "mass number"), ("", "mass number")]
)
def test_unknown_nucleus_is_refused_with_the_nearest(symbol, hint):
    with pytest.raises(ConventionError, match=hint):
        isotope(symbol)


@pytest.mark.parametrize("field", [0.0, -9.4, math.nan, math.inf])
def test_a_field_that_is_not_positive_is_refused(field):
    with pytest.raises(ConventionError, match="b0_tesla"):
        larmor_hz("1H", field)


def test_an_element_without_spin_is_refused():
    assert [n.symbol for n in isotopes_of("Cl")][:2] == ["35Cl", "37Cl"]
    with pytest.raises(ConventionError, match="'Ce'"):
        isotopes_of("Ce")


def test_deuterons_stand_on_sites_of_hydrogen_too_but_protons_not_on_those_of_deuterium():
    elements = ("H", "O", "D", "H")
    assert sites_of(elements, "2H").tolist() == [0, 2, 3]
    assert sites_of(elements, "1H").tolist() == [0, 3]
    assert sites_of(elements, "17O").tolist() == [1]
    with pytest.raises(ParameterError, match="ice has no 29Si site; it has D, H, O"):
        sites_of(elements, "29Si", "ice")
