"""The order of space groups, intensities in a group of the lattice, and symmetry that was missed."""

from types import SimpleNamespace

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.solve.checks.higher_symmetry import in_higher_symmetry, in_standard_setting
from jaxnmr.solve.determination.ladder import group_counts, groups_to_try
from jaxnmr.solve.extraction.symmetry import intensities_in

APATITE = {
    "cell": (9.37, 9.37, 6.886, 90, 90, 120), "species": ("Ca", "Ca", "P", "O", "O", "O", "F"),
    "xyz": ((1 / 3, 2 / 3, 0.001), (0.2416, 0.0071, 0.25), (0.3981, 0.3688, 0.25), (0.3262, 0.4843, 0.25), (0.588, 0.4668, 0.25),
            (0.3415, 0.2569, 0.0705), (0, 0, 0.25)),
}  # fmt: skip


def row(symbol, probability, *names):
    return SimpleNamespace(symbol=symbol, probability=probability, groups=tuple(SpaceGroup.from_name(n) for n in names))


def test_groups_are_tried_by_their_absences_first_and_then_by_how_often_they_occur():
    table = SimpleNamespace(rows=(row("P n - a", 0.9, "P n m a", "P n 21 a"), row("P n - -", 0.1, "P n m m:2")))
    rungs = groups_to_try(table)
    assert rungs[0].group.number == 62
    assert sum(rung.probability for rung in groups_to_try(table, least=0.0)) == pytest.approx(1.0)
    # of groups that share their absences, as many times more probable as they are more frequent
    counts = group_counts()
    by_number = {rung.group.number: rung.probability for rung in groups_to_try(table, least=0.0)}
    assert by_number[62] / by_number[33] == pytest.approx((counts[61] + 0.3) / (counts[32] + 0.3))
    assert len(counts) == 230 and counts[224] > counts[0]


def extraction(lattice, cell, area):
    """Areas of all reflections of a lattice; neighbours 2k and 2k + 1 overlap so that only their sums are known."""
    hkl, multiplicity = plan_reflections(lattice, cell, 1.6)
    n = len(hkl)
    variance = np.eye(n)
    for k in range(0, n - 1, 2):
        variance[k, k + 1] = variance[k + 1, k] = -0.999
    position = 20.0 + np.arange(n) // 2 + 0.01 * (np.arange(n) % 2)
    device = jn.Instrument(wavelengths=(1.54,))
    numbers, none = np.array(cell, dtype=float), np.zeros(0)
    intensities = jn.solve.Intensities(
        cell=numbers, group=lattice, hkl=hkl, multiplicity=multiplicity, two_theta=position, weight=2.0 * multiplicity, members=np.arange(n),
        area=area(n), covariance=variance, instrument=device,
    )  # fmt: skip
    return jn.solve.Extraction(
        cell=numbers, cell_esd=np.zeros(6), group=lattice, zero=0.0, displacement=0.0, values={}, instrument=device, rwp=5.0, gof=1.0,
        x=none, observed=none, sigma=none, calculated=none, background=none, hkl=hkl, two_theta=position, fwhm=np.full(n, 0.1),
        eta=np.full(n, 0.5), weight=2.0 * multiplicity, area=area(n), covariance=variance, intensities=intensities,
    )  # fmt: skip


def test_what_a_forbidden_reflection_was_given_goes_to_the_one_it_overlaps():
    cell = (8.48, 5.40, 6.96, 90, 90, 90)
    fit = extraction(SpaceGroup.from_name("P m m m"), cell, lambda n: np.full(n, 5.0))
    group = SpaceGroup.from_name("P n m a")
    found = intensities_in(fit, group)
    allowed, _ = plan_reflections(group, cell, 1.6)
    assert {tuple(h) for h in np.abs(found.hkl)} == {tuple(h) for h in np.abs(allowed)}
    assert found.weight == pytest.approx(2.0 * found.multiplicity)
    kept = {tuple(h) for h in np.abs(allowed).tolist()}
    for g in range(0, len(fit.hkl) - 1, 2):
        pair = [tuple(h) in kept for h in np.abs(fit.hkl[g : g + 2]).tolist()]
        if any(pair):
            own = [k for k, h in enumerate(np.abs(found.hkl).tolist()) if h in np.abs(fit.hkl[g : g + 2]).tolist()]
            assert found.area[found.members[own[0]]] == pytest.approx(10.0, rel=2e-3), pair


def test_reflections_that_a_lower_laue_class_tells_apart_share_an_area():
    cell = (6.0, 6.0, 9.0, 90, 90, 90)
    fit = extraction(SpaceGroup.from_name("P 4/m m m"), cell, lambda n: np.full(n, 5.0))
    found = intensities_in(fit, SpaceGroup.from_name("P 4/m"))
    rows = {tuple(h): k for k, h in enumerate(found.hkl.tolist())}
    one, other = (
        (rows[h] for h in ((2, 1, 0), (1, 2, 0)) if h in rows)
        if {(2, 1, 0), (1, 2, 0)} <= rows.keys()
        else (None, None)
    )
    pairs = [k for k in range(len(found.hkl)) if sorted(np.abs(found.hkl[k][:2])) == [1, 2] and found.hkl[k][2] == 0]
    assert len(pairs) == 2 and found.members[pairs[0]] == found.members[pairs[1]]
    assert found.multiplicity[pairs].sum() == 8 and found.weight[pairs] == pytest.approx(
        2.0 * found.multiplicity[pairs]
    )
    assert (one is None) == (other is None)


def test_a_mirror_that_a_search_missed_by_a_quarter_of_an_angstrom_is_found():
    true = jn.Crystal.create(**APATITE, spacegroup="P 63/m")
    lowered = jn.crystal.transformed(true, np.eye(3), spacegroup="P 63")
    moved = np.random.default_rng(1).normal(0.0, 0.02, np.shape(lowered.xyz)) * [[0.3, 0.3, 1.0]]
    free = np.array([[basis.any(axis=1)[k] for k in range(3)] for basis in (s.xyz_basis() for s in lowered.sites())])
    rough = lowered.replace(xyz=np.asarray(lowered.xyz) + moved * free)
    assert rough.group.number == 173
    raised = in_higher_symmetry(rough)
    assert raised[0].group.number == 176
    assert len(raised[0].species) == len(true.species)
    assert in_higher_symmetry(true, tolerances=(0.05,)) == ()


def test_a_structure_is_put_into_the_standard_setting_of_its_group():
    crystal = jn.Crystal.create(
        cell=(5.4, 6.96, 8.48, 90, 90, 90),
        spacegroup="P m c n",
        species=("Pb", "S"),
        xyz=((0.25, 0.417, 0.188), (0.75, 0.19, 0.06)),
    )
    assert in_standard_setting(crystal).group.name == "P n m a"
    assert sorted(np.asarray(in_standard_setting(crystal).cell)[:3]) == pytest.approx([5.4, 6.96, 8.48])
