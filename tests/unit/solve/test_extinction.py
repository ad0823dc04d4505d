"""Extinction symbols: their table for each lattice, and which one a pattern shows."""

import numpy as np
import pytest
from scipy.integrate import quad

from jaxnmr.crystal import SpaceGroup
from jaxnmr.crystal.cell import reciprocal_metric
from jaxnmr.diffraction import Instrument
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.errors import SymmetryError
from jaxnmr.solve import Extraction, extinctions
from jaxnmr.solve.extraction.columns import profile_columns
from jaxnmr.solve.extraction.evidence import log_evidence
from jaxnmr.solve.extraction.pawley import fitted_areas
from jaxnmr.solve.extraction.symbols import classes_of, forbidden

ORTHORHOMBIC, MONOCLINIC = np.array([8.0, 5.4, 6.9, 90, 90, 90]), np.array([8.0, 5.4, 7.6, 90, 102, 90])
TETRAGONAL, HEXAGONAL, CUBIC = (
    np.array([5.0, 5.0, 9.0, 90, 90, 90]),
    np.array([9.4, 9.4, 6.9, 90, 90, 120]),
    np.array([7.0, 7.0, 7.0, 90, 90, 90]),
)


# numbers of extinction symbols by Bravais lattice: International Tables A (2016), table 1.6.4.2 and following
@pytest.mark.parametrize(
    ("lattice", "cell", "count"),
    [
        ("P -1", np.array([5.0, 6, 7, 80, 85, 97]), 1),
        ("P 1 2/m 1", MONOCLINIC, 8),
        ("C 1 2/m 1", MONOCLINIC, 2),
        ("P m m m", ORTHORHOMBIC, 71),
        ("C m m m", ORTHORHOMBIC, 9),
        ("I m m m", ORTHORHOMBIC, 8),
        ("F m m m", ORTHORHOMBIC, 5),
        ("P 4/m m m", TETRAGONAL, 23),
        ("I 4/m m m", TETRAGONAL, 8),
        ("P 6/m m m", HEXAGONAL, 7),
        ("R -3 m:H", HEXAGONAL, 2),
        ("P m -3 m", CUBIC, 7),
        ("I m -3 m", CUBIC, 5),
        ("F m -3 m", CUBIC, 5),
    ],
)
def test_every_lattice_has_the_extinction_symbols_of_the_international_tables(lattice, cell, count):
    found = classes_of(SpaceGroup.from_name(lattice), cell)
    assert len(found) == count == len({c.symbol for c in found})
    # without absences is the first one, and it has the lattice's own group
    assert set("".join(found[0].symbol.split()[1:])) <= {"-", "1"} and found[0].groups[0].name == lattice


def test_symbols_and_their_groups_are_those_of_the_international_tables():
    def of(lattice, cell, symbol):
        (found,) = [c for c in classes_of(SpaceGroup.from_name(lattice), cell) if c.symbol == symbol]
        return {g.number for g in found.groups}

    assert of("P m m m", ORTHORHOMBIC, "P n - a") == {62, 33}
    assert of("P m m m", ORTHORHOMBIC, "P 21 21 21") == {19}
    assert of("P m m m", ORTHORHOMBIC, "P b c a") == {61} == of("P m m m", ORTHORHOMBIC, "P c a b")
    assert of("P 1 2/m 1", MONOCLINIC, "P 1 21/c 1") == {14} == of("P 1 2/m 1", MONOCLINIC, "P 1 21/n 1")
    assert of("P 6/m m m", HEXAGONAL, "P 63 - -") == {173, 176, 182}
    assert of("P 6/m m m", HEXAGONAL, "P 62 - -") == {171, 172, 180, 181, 144, 145, 151, 152, 153, 154}
    assert of("P 4/m m m", TETRAGONAL, "P 42/n - -") == {86} and of("P 4/m m m", TETRAGONAL, "P n - c") == {137}
    assert of("I m -3 m", CUBIC, "I - - -") == {197, 199, 204, 211, 217, 229}
    assert of("P m -3 m", CUBIC, "P a - -") == {205}


def test_a_reflection_is_absent_only_with_all_that_the_lattice_makes_equal():
    """Pa-3 forbids 012 and allows 021, which a cubic lattice puts at the same angle."""
    pa3, lattice = SpaceGroup.from_name("P a -3"), SpaceGroup.from_name("P m -3 m")
    hkl = np.array([[0, 1, 2], [0, 2, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(forbidden(pa3, hkl, lattice), [False, False, True, True, False])


@pytest.mark.parametrize(("area", "sigma", "mean"), [(0.3, 1.0, 4.0), (-1.0, 0.5, 2.0), (6.0, 1.0, 3.0)])
def test_the_evidence_of_one_area_is_the_integral_it_stands_for(area, sigma, mean):
    def normal(a, width=1.0):
        return np.exp(-0.5 * ((a - area) / sigma / width) ** 2) / (np.sqrt(2 * np.pi) * sigma * width)

    def prior(a):
        """Three exponentials of the mean together: most areas are usual, some a tenth and a hundredth of these."""
        means, shares = np.array([1.0, 0.1, 0.01]) * mean / 0.6265, np.array([0.6, 0.25, 0.15])
        return (shares / means * np.exp(-a / means)).sum()

    positive = quad(lambda a: normal(a) * prior(a), 0.0, 60.0, points=[0.01, 0.1, max(area, 1.0)], limit=200)[0]
    # of areas that should be zero 5 % have four times the uncertainty
    zero = 0.95 * normal(0.0) + 0.05 * normal(0.0, 4.0)
    found = log_evidence(np.array([area]), np.array([[sigma**2]]), np.array([mean]), np.array([[True]]))
    assert found[0] == pytest.approx(np.log(zero / positive), abs=1e-3)


def test_overlapping_areas_share_the_evidence():
    """A pair whose sum is known to be large says little about which of them is absent."""
    apart = np.diag([1.0, 1.0])
    together = np.array([[50.0, -49.5], [-49.5, 50.0]])
    first = np.array([[True, False]])
    area, mean = np.array([15.0, 15.0]), np.array([10.0, 10.0])
    assert log_evidence(area, apart, mean, first)[0] < -5.0
    assert abs(log_evidence(area, together, mean, first)[0]) < 3.0


def extraction(group, cell, *, lattice, seed=0):
    """Areas of a pattern of random intensities with the absences of a group, extracted with the lattice alone."""
    rng, instrument = np.random.default_rng(seed), Instrument(wavelengths=(1.5406,))
    hkl, multiplicity = plan_reflections(SpaceGroup.from_name(lattice), cell, 1.3)
    d_star = np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl))
    place = 2.0 * np.degrees(np.arcsin(0.5 * 1.5406 * d_star))
    order = np.argsort(place)
    hkl, place, weight = hkl[order], place[order], multiplicity[order].astype(float)
    x = np.arange(8.0, place.max() + 1.0, 0.03)
    columns = profile_columns(
        x, place[None], np.ones(1), np.full(len(hkl), 0.12), np.full(len(hkl), 0.5), 0.0, instrument.fixed
    )
    gone = forbidden(SpaceGroup.from_name(group), hkl, SpaceGroup.from_name(lattice))
    true = np.where(gone, 0.0, weight * rng.exponential(20.0, len(hkl)))
    y = rng.poisson(columns @ true + 40.0).astype(float)
    near = np.abs(place[:, None] - place) < 0.12
    sigma = np.sqrt(np.maximum(y, 1.0))
    found = fitted_areas(columns, np.ones((len(x), 1)), y, sigma, np.full(len(hkl), true.mean()), near)
    nothing = np.zeros(0)
    return Extraction(
        cell=cell, cell_esd=np.zeros(6), group=SpaceGroup.from_name(lattice), zero=0.0, displacement=0.0, values={},
        instrument=instrument, rwp=1.0, gof=1.0, x=nothing, observed=nothing, sigma=nothing, calculated=nothing, background=nothing,
        hkl=hkl, two_theta=place, fwhm=np.full(len(hkl), 0.12), eta=np.full(len(hkl), 0.5), weight=weight, area=found.area,
        covariance=found.covariance, intensities=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("group", "cell", "lattice", "symbol"),
    [
        ("P n m a", ORTHORHOMBIC, "P m m m", "P n - a"),
        ("P b c a", ORTHORHOMBIC, "P m m m", "P b c a"),
        ("P 1 21/c 1", MONOCLINIC, "P 1 2/m 1", "P 1 21/c 1"),
        ("P 63/m", HEXAGONAL, "P 6/m m m", "P 63 - -"),
        ("I -4 3 d", CUBIC, "I m -3 m", "I - - d"),
        ("P 2 2 2", ORTHORHOMBIC, "P m m m", "P - - -"),
    ],
)
def test_the_true_symbol_is_the_most_probable(group, cell, lattice, symbol):
    fit = extraction(group, cell, lattice=lattice)
    table = extinctions(fit)
    assert table.best.symbol == symbol and table.best.probability > 0.5
    assert table.rank(SpaceGroup.from_name(group)) == 1
    assert sum(row.probability for row in table.rows) == pytest.approx(1.0)
    assert SpaceGroup.from_name(group) in table.best.groups and symbol in str(table)


def test_areas_of_a_group_with_extinctions_cannot_show_them():
    fit = extraction("P n m a", ORTHORHOMBIC, lattice="P m m m")
    with pytest.raises(SymmetryError, match="has left reflections out already"):
        extinctions(Extraction(**{**vars(fit), "group": SpaceGroup.from_name("P n m a")}))
