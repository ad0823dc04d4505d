"""Unit cells from positions of peaks: what is found, how sure it is said to be, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.crystal.cell import cell_from_metric, d_spacing, metric
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.solve.indexing.evidence import assess
from jaxnmr.solve.indexing.index import probabilities
from jaxnmr.solve.indexing.lattices import LATTICES, determinant, form_of, lattice_named, lines_within, metric_of, table
from jaxnmr.solve.indexing.lines import lines_of
from jaxnmr.solve.indexing.reduction import (
    fingerprint,
    generated,
    lattices_of,
    niggli,
    same_lattice,
    smaller_cell,
    usual_axes,
)
from jaxnmr.solve.indexing.search import search
from jaxnmr.solve.indexing.zones import cells_of_zones

WAVELENGTH = 1.540593
CUBIC = (8.237, 8.237, 8.237, 90.0, 90.0, 90.0)
HEXAGONAL = (9.3719, 9.3719, 6.8859, 90.0, 90.0, 120.0)
MONOCLINIC = (8.0026, 5.4072, 7.6243, 90.0, 101.916, 90.0)
TRICLINIC = (6.532, 7.75, 9.128, 80.0, 75.0, 95.0)
BRAVAIS = {
    "cF": CUBIC, "cI": CUBIC, "cP": CUBIC, "hP": HEXAGONAL, "hR": (4.76, 4.76, 12.99, 90.0, 90.0, 120.0),
    "tP": (4.59, 4.59, 2.96, 90.0, 90.0, 90.0), "tI": (5.7, 5.7, 10.42, 90.0, 90.0, 90.0), "oP": (8.482, 5.398, 6.959, 90.0, 90.0, 90.0),
    "oC": (2.9, 11.0, 4.1, 90.0, 90.0, 90.0), "oI": (7.3, 10.2, 8.1, 90.0, 90.0, 90.0), "oF": (5.5, 11.03, 12.5, 90.0, 90.0, 90.0),
    "mP": MONOCLINIC, "mC": (12.946, 13.659, 9.424, 90.0, 108.0, 90.0), "aP": TRICLINIC,
}  # fmt: skip


def peaks(cell, group, n=20, noise=0.0, shift=0.0, extra=(), name="pattern"):
    """The first lines of a cell, those closer than 0.06 degrees one peak."""
    hkl, _ = plan_reflections(SpaceGroup.from_name(group), cell, 0.8)
    angle = np.degrees(2 * np.arcsin(WAVELENGTH / 2 / d_spacing(np.array(cell), hkl)))
    angle = angle[np.append(True, np.diff(angle) > 0.06)][:n]
    angle = np.sort([*(angle + np.random.default_rng(1).normal(0.0, noise, len(angle)) + shift), *extra])
    each = np.ones(len(angle))
    instrument = jn.Instrument(wavelengths=(WAVELENGTH,))
    return jn.solve.Peaks(angle, 0.01 * each, each, 0.1 * each, 0.08 * each, np.zeros((0, 2)), instrument, name)


def first(of, which):
    """Some of the peaks."""
    names = ("two_theta", "sigma", "area", "sigma_area", "fwhm")
    return replace(of, **{name: getattr(of, name)[list(which)] for name in names})


def agrees(candidate, cell, centring="P", tolerance=0.002):
    return same_lattice(fingerprint(niggli(np.array(cell), centring)), fingerprint(candidate.niggli), tolerance)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.name)
def test_lines_of_a_lattice_are_those_of_its_group(lattice):
    cell = np.array(BRAVAIS[lattice.name])
    x = lattice.numbers(cell)
    np.testing.assert_allclose(lattice.cell(x), cell, rtol=1e-9)
    hkl, _ = plan_reflections(lattice.group, cell, 1.5)
    expected = np.unique(np.round(d_spacing(cell, hkl) ** -2, 9))
    found = lattice.columns(lines_within(lattice, x, 1.5**-2, 1000)) @ x
    np.testing.assert_allclose(found, expected, atol=2e-9)
    rows, columns = table(lattice, 512)
    q = np.sort(columns @ x)
    np.testing.assert_allclose(q[: len(expected)][:30], expected[:30], atol=2e-9)
    np.testing.assert_allclose(columns @ x, d_spacing(cell, rows) ** -2, rtol=1e-9)


def test_a_form_and_its_metric_are_the_same_numbers():
    g = np.linalg.inv(metric(np.array(TRICLINIC)))
    np.testing.assert_allclose(metric_of(form_of(g)), g, rtol=1e-14)
    np.testing.assert_allclose(determinant(form_of(g)), np.linalg.det(g), rtol=1e-12)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.name)
def test_the_lattice_of_a_reduced_cell_is_recognised_and_none_more_symmetric(lattice):
    cell = np.array(BRAVAIS[lattice.name])
    found = lattices_of(niggli(cell, lattice.centring), 1e-4)
    order = {"a": 2, "m": 4, "o": 8, "t": 16, "hR": 12, "hP": 24, "c": 48}
    height = lambda one: order.get(one.name, order.get(one.system))
    best, conventional = max(found, key=lambda pair: height(pair[0]))
    assert best == lattice
    if lattice.system not in "ma":
        np.testing.assert_allclose(np.sort(conventional[:3]), np.sort(cell[:3]), rtol=1e-6)
    for one, of in found:
        assert same_lattice(fingerprint(niggli(of, one.centring)), fingerprint(niggli(cell, lattice.centring)), 1e-6)


def test_settings_of_one_lattice_have_one_reduced_cell():
    turned = np.array([[1, 0, 0], [0, -1, 0], [2, 0, -1]])
    other = cell_from_metric(turned @ metric(np.array(MONOCLINIC)) @ turned.T)
    assert not np.allclose(other, MONOCLINIC, rtol=1e-3)
    np.testing.assert_allclose(niggli(other), niggli(np.array(MONOCLINIC)), rtol=1e-6)


@pytest.mark.parametrize(
    ("lattice", "cell", "rows"),
    [
        ("mC", (12.946, 13.659, 9.424, 90.0, 108.0, 90.0), [[1, 0, 2], [0, 1, 0], [0, 0, 1]]),
        ("mP", (7.6243, 5.4072, 8.0026, 90.0, 101.916, 90.0), [[1, 0, 0], [0, -1, 0], [2, 0, -1]]),
        ("oC", (2.9, 11.0, 4.1, 90.0, 90.0, 90.0), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
        ("oP", (4.1, 5.0, 11.0, 90.0, 90.0, 90.0), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        ("aP", tuple(niggli(np.array(TRICLINIC))), [[1, 2, 0], [0, 1, 0], [1, 0, 1]]),
    ],
)
def test_cells_are_given_by_the_usual_axes(lattice, cell, rows):
    """Whatever the axes that a cell was found with."""
    rows = np.array(rows)
    other = cell_from_metric(rows @ metric(np.array(cell)) @ rows.T)
    axes = usual_axes(lattice_named(lattice), other)
    np.testing.assert_allclose(cell_from_metric(axes @ metric(other) @ axes.T), cell, rtol=1e-5)


def test_the_lattice_of_reflections_that_are_all_even_is_a_smaller_cell():
    hkl = np.array([[2, 0, 0], [2, 1, 0], [0, 0, 1], [4, 1, 3]])
    assert abs(round(np.linalg.det(generated(hkl)))) == 2
    assert generated(hkl[:2]) is None
    smaller = smaller_cell(lattice_named("oP"), np.array([10.0, 6.0, 7.0, 90, 90, 90]), hkl)
    np.testing.assert_allclose(np.sort(smaller[:3]), [5.0, 6.0, 7.0])
    assert smaller_cell(lattice_named("oP"), np.array([10.0, 6.0, 7.0, 90, 90, 90]), np.eye(3, dtype=int)) is None


@pytest.mark.parametrize(
    ("cell", "group", "lattice"),
    [
        (CUBIC, "F m -3 m", "cF"),
        (HEXAGONAL, "P 63/m", "hP"),
        (MONOCLINIC, "P 1 21/c 1", "mP"),
        (TRICLINIC, "P -1", "aP"),
    ],
    ids=["cubic", "hexagonal", "monoclinic", "triclinic"],
)
def test_a_cell_is_found_from_its_lines(cell, group, lattice):
    systems = ["c", lattice] if lattice[0] == "c" else [lattice]
    found = jn.solve.index(peaks(cell, group, noise=0.01), lattices=systems, effort=0.05)
    best = found.best
    assert best.lattice == lattice and agrees(best, cell, lattice[1])
    assert best.indexed == 20 and best.unindexed == 0 and best.m20 > 20 and best.probability > 0.9
    assert best.group == lattice_named(lattice).group
    # as far from the truth as it says it may be
    away = np.sort(best.cell[:3]) - np.sort(cell[:3])
    assert np.all(np.abs(away) < 4.0 * found.sigmas[0][np.argsort(best.cell[:3])]) and np.all(
        found.sigmas[0][:3] < 0.01
    )
    # the rest is that it is none of them
    assert 0.95 < sum(c.probability for c in found.candidates) < 1.0


def test_a_cell_with_one_short_axis_is_found_though_its_first_lines_are_of_one_zone():
    cell = (3.9, 11.2, 13.4, 88.0, 95.0, 101.0)
    mine = peaks(cell, "P -1", n=32)
    hkl, _ = plan_reflections(SpaceGroup.from_name("P -1"), np.array(cell), mine.d[8])
    assert not hkl[:, 0].any()
    found = jn.solve.index(mine, lattices="aP", lines=32, effort=0.4)
    assert agrees(found.best, cell) and found.best.indexed == 32 and found.best.probability > 0.9


def test_a_triclinic_cell_is_found_without_a_quarter_of_its_lines_and_without_those_of_its_axes():
    mine = peaks(TRICLINIC, "P -1", n=26, noise=0.005)
    # without (0 1 0), (0 1 -1), (1 0 -1), (1 1 -1), (1 -1 1) and (1 -1 -2) of the reduced cell
    seen = [k for k in range(26) if k not in (1, 2, 4, 6, 11, 17)]
    lines = lines_of(first(mine, seen), 24, 0.004, "zero", 0.04)
    trials = cells_of_zones(lines.q, lines.sigma)
    lattice, goal = lattice_named("aP"), fingerprint(niggli(np.array(TRICLINIC)))
    positive = [x for x in trials[:2000] if determinant(x) > 1e-9 and np.all(np.linalg.eigvalsh(metric_of(x)) > 0)]
    assert any(same_lattice(goal, fingerprint(niggli(lattice.cell(x))), 0.01) for x in positive)
    found = jn.solve.index(first(mine, seen), lattices="aP", effort=0.1)
    assert agrees(found.best, TRICLINIC) and found.best.indexed == 20


GOLD, IRON = (4.0786, 4.0786, 4.0786, 90.0, 90.0, 90.0), (2.8665, 2.8665, 2.8665, 90.0, 90.0, 90.0)


def test_five_lines_are_enough_for_a_cubic_cell_and_what_was_not_tried_is_said():
    found = jn.solve.index(peaks(GOLD, "F m -3 m", n=5, noise=0.005))
    assert found.best.lattice == "cF" and agrees(found.best, GOLD, "F") and found.best.probability > 0.8
    assert found.untried == ("hR", "hP", "tI", "tP", "oF", "oI", "oC", "oP", "mC", "mP", "aP")
    assert "5 lines are too few for the lattices hR hP" in str(found)


def test_body_centred_metals_are_not_taken_for_simple_cubic_ones_that_have_the_same_six_lines():
    found = jn.solve.index(peaks(IRON, "I m -3 m", n=6, noise=0.005), lattices="c")
    assert found.best.lattice == "cI" and agrees(found.best, IRON, "I")


def test_few_lines_that_only_chance_explains_are_refused():
    gold = peaks(GOLD, "F m -3 m", n=5)
    shifted = gold.two_theta + np.array([0.0, 0.0, 0.4, 0.0, -0.3])
    for mine in (replace(gold, two_theta=shifted), first(peaks(MONOCLINIC, "P 1 21/c 1", noise=0.01), range(5))):
        with pytest.raises(jn.errors.DataError, match="better than chance"):
            jn.solve.index(mine)


def test_six_lines_are_enough_for_a_hexagonal_cell():
    cell = (2.7058, 2.7058, 4.2816, 90.0, 90.0, 120.0)
    found = jn.solve.index(peaks(cell, "P 63/m m c", n=6, noise=0.005), lattices=["c", "h", "o"], effort=0.3)
    assert found.best.lattice == "hP" and agrees(found.best, cell)
    assert found.untried == ("oF", "oI", "oC", "oP")


def test_probabilities_follow_the_evidence_and_leave_room_for_none_of_the_cells():
    np.testing.assert_allclose(probabilities(np.array([80.0, 80.0]), -1e4), 0.5)
    # less sure than the evidence, which is of lines that are all of one model
    near = probabilities(np.array([80.0, 76.0, 60.0]), 0.0)
    assert 0.8 < near[0] < 1.0 / (1.0 + np.exp(-4.0)) and np.all(np.diff(near) < 0.0) and near.sum() < 1.0
    # what is no better than lines anywhere is no more probable
    assert probabilities(np.array([10.0]), 10.0)[0] == pytest.approx(0.5)


def test_cells_that_explain_more_than_is_seen_are_less_probable():
    lines = lines_of(peaks(HEXAGONAL, "P 63/m"), 24, 0.004, "zero", 0.04)
    lattice = lattice_named("hP")
    value = lambda a, c: assess(lattice, lattice.numbers(np.array([a, a, c, 90, 90, 120])), 0.0, lines)
    true, doubled, tripled = value(9.3719, 6.8859), value(9.3719, 2 * 6.8859), value(9.3719 * np.sqrt(3), 6.8859)
    assert true.indexed.all() and doubled.indexed.all() and tripled.indexed.all()
    assert true.log_evidence > doubled.log_evidence + 3 and true.log_evidence > tripled.log_evidence + 3
    assert true.possible < doubled.possible < tripled.possible


def test_a_zero_shift_is_found_within_its_uncertainty():
    for shift, kind in ((0.05, "zero"), (-0.05, "displacement")):
        found = jn.solve.index(
            peaks(HEXAGONAL, "P 63/m", noise=0.003, shift=shift), lattices="hP", shift=kind, effort=0.05
        )
        assert agrees(found.best, HEXAGONAL)
        # a displacement goes by the cosine of half the angle, 0.98 here
        assert found.best.zero + found.best.displacement == pytest.approx(shift, abs=0.006)
        assert (found.best.zero == 0.0) == (kind == "displacement")
    without = jn.solve.index(peaks(HEXAGONAL, "P 63/m"), lattices="hP", shift="none", effort=0.05)
    assert without.best.zero == 0.0 and agrees(without.best, HEXAGONAL)


def test_impurity_lines_are_left_and_a_second_phase_is_indexed_from_what_is_left():
    fluorite = (5.463, 5.463, 5.463, 90.0, 90.0, 90.0)
    second = peaks(fluorite, "F m -3 m", n=9).two_theta
    first = peaks(HEXAGONAL, "P 63/m", n=24).two_theta
    second = np.array([x for x in second if np.abs(first - x).min() > 0.1])
    mixed = peaks(HEXAGONAL, "P 63/m", n=24, extra=second)
    found = jn.solve.index(mixed, lattices=["hP", "c"], effort=0.05)
    assert found.best.lattice == "hP" and agrees(found.best, HEXAGONAL)
    inside = second[second <= np.sort(mixed.two_theta)[found.lines - 1]]
    np.testing.assert_allclose(found.unindexed, inside)
    # of those beyond the last peak that was indexed, too
    rest = found.left_over()
    assert set(rest.two_theta) <= set(second) and len(rest) >= 4 and rest.name == "pattern, left over"


def test_an_orthorhombic_cell_that_is_nearly_tetragonal_is_not_made_tetragonal_when_lines_split():
    split, merged = (5.0, 5.06, 7.1, 90.0, 90.0, 90.0), (5.0, 5.0, 7.1, 90.0, 90.0, 90.0)
    found = jn.solve.index(peaks(split, "P m m m", n=24, noise=0.005), lattices=["tP", "oP"], effort=0.05)
    assert found.best.lattice == "oP" and agrees(found.best, split)
    # and where none splits the higher symmetry is the more probable one
    lines = lines_of(peaks(merged, "P m m m", n=20), 24, 0.004, "zero", 0.04)
    values = {}
    for name in ("oP", "tP"):
        lattice = lattice_named(name)
        values[name] = assess(lattice, lattice.numbers(np.array(merged)), 0.0, lines).log_evidence
    assert values["tP"] > values["oP"]


def test_the_same_seed_finds_the_same_cells_in_whatever_order_the_peaks_are():
    mine = peaks(HEXAGONAL, "P 63/m", noise=0.01)
    turned = replace(mine, two_theta=mine.two_theta[::-1].copy())
    one, two = (jn.solve.index(each, lattices="hP", seed=3, effort=0.05) for each in (mine, turned))
    assert [c.log_evidence for c in one.candidates] == [c.log_evidence for c in two.candidates]


@pytest.fixture(scope="module")
def hexagonal():
    return jn.solve.index(peaks(HEXAGONAL, "P 63/m", noise=0.01), lattices="hP", effort=0.05)


def test_the_picture_has_the_lines_of_the_best_cells(hexagonal):
    import matplotlib.pyplot as plt

    x = np.arange(10.0, 60.0, 0.05)
    pattern = jn.Pattern.create(x, np.full(x.shape, 100.0), instrument=hexagonal.peaks.instrument)
    figure = jn.plot.solving.indexed(pattern, hexagonal.peaks, hexagonal.candidates, most=3)
    ticks = [collection.get_segments() for collection in figure.axes[1].collections]
    expected = plan_reflections(lattice_named("hP").group, np.array(HEXAGONAL), 1.8)[0]
    angle = np.unique(np.round(np.degrees(2 * np.arcsin(WAVELENGTH / 2 / d_spacing(np.array(HEXAGONAL), expected))), 6))
    drawn = np.unique(np.round([segment[0, 0] for segment in ticks[0]], 6))
    np.testing.assert_allclose(drawn[:20], angle[:20], atol=0.02)
    assert len(figure.axes[1].get_yticklabels()) == min(3, len(hexagonal))
    plt.close("all")


def test_the_table_says_what_a_reader_needs(hexagonal):
    found = hexagonal
    text = str(found)
    assert "hP" in text and "20/20" in text and "9.37" in text
    row = found.rows()[0]
    assert row["lattice"] == "hP" and row["group"] == "P 6/m m m" and row["possible"] == found.best.possible
    assert 0 < row["a_su"] < 0.01 and row["alpha_su"] == 0.0 and row["volume"] == pytest.approx(523.8, abs=0.5)
    with pytest.raises(jn.errors.DataError, match="none are left"):
        found.left_over()


def test_trials_do_not_exceed_the_largest_volume():
    lines = lines_of(peaks(HEXAGONAL, "P 63/m"), 24, 0.004, "zero", 0.04)
    lattice = lattice_named("hP")
    trials = search(lattice, lines, 300.0, 0.1, np.random.default_rng(0))
    assert len(trials.x) and (determinant(trials.x @ lattice.free) ** -0.5).max() <= 300.0 * 1.05


def test_what_cannot_be_indexed_is_refused():
    good = peaks(HEXAGONAL, "P 63/m", name="my powder")
    with pytest.raises(jn.errors.DataError, match="my powder has 4 peaks; a cubic cell needs at least 5"):
        jn.solve.index(first(good, range(4)))
    with pytest.raises(jn.errors.DataError, match=r"my powder has 7 peaks; .* others 8"):
        jn.solve.index(first(good, range(7)), lattices=["o", "mP"])
    with pytest.raises(jn.errors.DataError, match="no wavelength"):
        jn.solve.index(replace(good, instrument=jn.Instrument()))
    twice = good.two_theta.copy()
    twice[3] = twice[4]
    with pytest.raises(jn.errors.DataError, match="two peaks at"):
        jn.solve.index(replace(good, two_theta=twice))
    with pytest.raises(jn.errors.DataError, match="between 0 and 180"):
        jn.solve.index(replace(good, two_theta=good.two_theta - 30.0))
    with pytest.raises(jn.errors.DataError, match="not all positive"):
        jn.solve.index(replace(good, sigma=0.0 * good.sigma))
    with pytest.raises(jn.errors.DataError, match="no cell up to 60 Å³"):
        jn.solve.index(good, lattices="hP", largest_volume=60.0)
    with pytest.raises(jn.errors.ParameterError, match="expected a Peaks"):
        jn.solve.index(good.two_theta)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lattices": "xP"}, "names 'xP'"), ({"lattices": []}, "is empty"), ({"largest_volume": 5.0}, "expected more than 20"),
        ({"lines": 40}, "expected 5 to 32"), ({"tolerance": -1.0}, "expected degrees"), ({"shift": "both"}, "'displacement'"),
        ({"effort": 0.0}, "positive"), ({"effort": "x"}, "expected a number"), ({"seed": -1}, "from 0 on"), ({"lattices": 3}, "expected"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(jn.errors.ParameterError, match=message):
        jn.solve.index(peaks(HEXAGONAL, "P 63/m"), **setting)
