"""Areas of reflections from a whole pattern: profiles as a matrix, the linear fit, its covariance, and the fit of a cell."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.diffraction.pattern_plan import compiled_phase_tables
from jaxnmr.diffraction.phases import PhasePlan
from jaxnmr.diffraction.profiles import profile_pull
from jaxnmr.errors import ConventionError, DataError, SymmetryError
from jaxnmr.solve import lebail, rank_by_lebail, scatter_sigma
from jaxnmr.solve.extraction.columns import profile_columns
from jaxnmr.solve.extraction.pawley import fitted_areas, groups_of
from jaxnmr.solve.extraction.starts import group_of_lattice
from jaxnmr.solve.records import CellCandidate

# anglesite, whose cell makes many reflections overlap above 50 degrees
ANGLESITE = jn.Crystal.create(
    cell=(8.482, 5.398, 6.959, 90, 90, 90),
    spacegroup="P n m a",
    species=("Pb", "S", "O", "O", "O"),
    xyz=(
        (0.188, 0.25, 0.167),
        (0.064, 0.25, 0.684),
        (-0.092, 0.25, 0.592),
        (0.194, 0.25, 0.544),
        (0.081, 0.026, 0.809),
    ),
    name="anglesite",
)
TUBE = jn.Instrument(wavelengths=(1.5406, 1.5444), radius_mm=200.0, U=4.0, V=-3.0, W=8.0, shl=0.01)


def measured(crystal=ANGLESITE, instrument=TUBE, *, seed=3, last=60.0):
    """Counts of a pattern of the structure, and of its reflections the areas."""
    experiment = jn.PowderDiffraction(instrument=instrument, background=jn.Background.chebyshev(3))
    x = (15.0, last, 0.04)
    values = {"scale": 20.0, "background": [120.0, -30.0, 10.0], "displacement": 40.0, "size": 0.3}
    pattern = experiment.simulate(crystal, x, values=values)
    counts = np.random.default_rng(seed).poisson(np.asarray(pattern.y)).astype(float)
    return jn.Pattern.create(pattern.x, counts, name="anglesite", instrument=instrument)


@pytest.fixture(scope="module")
def pattern():
    return measured()


@pytest.fixture(scope="module")
def fit(pattern):
    return lebail(pattern, (8.49, 5.395, 6.962, 90, 90, 90))


def test_columns_times_areas_are_the_calculated_pattern():
    instrument = TUBE.replace(shl=0.02, divergence_slit="automatic")
    plan = jn.PowderDiffraction(instrument=instrument).plan(ANGLESITE, (15.0, 60.0, 0.05))
    values = {name: np.asarray(q.value) for name, q in plan.quantities().items()}
    values["background"] = np.zeros(len(values["background"]))
    (table,) = compiled_phase_tables(plan, {"anglesite": ANGLESITE}, values)
    n = plan.phases[0].n_reflections
    columns = profile_columns(
        np.asarray(plan.x),
        np.asarray(table.position)[:, :n],
        np.array([1.0, 0.5]),
        np.asarray(table.fwhm)[:n],
        np.asarray(table.eta)[:n],
        0.02,
        plan.fixed,
    )
    whole = plan.curve({"anglesite": ANGLESITE}, values)
    np.testing.assert_allclose(columns @ np.asarray(table.area)[:n], whole, atol=2e-4 * whole.max())
    # and the transpose of the sum of peaks is the transpose of the matrix; the slit multiplies points
    along = np.random.default_rng(0).uniform(size=len(whole))
    blocks = np.pad(along * np.sin(np.radians(np.asarray(plan.x) / 2.0)), (0, plan.x_blocks.size - len(along)))
    peaks = plan.peak_table({"anglesite": ANGLESITE}, values).peaks
    pulled = profile_pull(
        plan.x_blocks, blocks.reshape(1, -1, 32), peaks, plan._nodes(peaks), plan.core, plan.tail, plan.tiles_at_once
    )
    expected = along @ columns
    np.testing.assert_allclose(np.asarray(pulled)[0, :n], expected, atol=1e-3 * expected.max())


def gaussians(x, places, fwhm):
    return np.exp(-4.0 * np.log(2.0) * ((x[:, None] - places) / fwhm) ** 2) * 2.0 * np.sqrt(np.log(2.0) / np.pi) / fwhm


def test_of_an_overlapping_pair_the_sum_is_known_and_the_parts_are_not():
    x, fwhm, true = np.arange(20.0, 24.0, 0.02), 0.1, np.array([40.0, 90.0, 60.0])
    places = np.array([21.0, 22.5, 22.51])  # a tenth of a width apart
    columns, basis = gaussians(x, places, fwhm), np.ones((len(x), 1))
    expected = columns @ true + 50.0
    near = np.abs(places[:, None] - places) < fwhm
    rng, inside, pulls = np.random.default_rng(1), [], []
    for _ in range(200):
        y = rng.poisson(expected).astype(float)
        found = fitted_areas(columns, basis, y, np.sqrt(np.maximum(y, 1.0)), np.array([40.0, 75.0, 75.0]), near)
        c, total = found.covariance, np.array([0.0, 1.0, 1.0])
        pulls.append((total @ found.area - 150.0) / np.sqrt(total @ c @ total))
        inside.append((found.area[0] - 40.0) / np.sqrt(c[0, 0]))
    assert np.sqrt(total @ c @ total) < 0.25 * np.sqrt(c[1, 1])
    assert c[1, 2] < -0.9 * np.sqrt(c[1, 1] * c[2, 2])
    # 200 pulls: their scatter is known within 5 %, their mean within 0.07; counts below their mean weigh a little more
    for pull in (pulls, inside):
        assert np.std(pull) == pytest.approx(1.0, abs=0.2) and abs(np.mean(pull)) < 0.4


def test_what_overlaps_completely_is_shared_as_expected_and_does_not_ring():
    x, true = np.arange(20.0, 24.0, 0.02), np.array([100.0, 100.0])
    columns = gaussians(x, np.array([22.0, 22.0]), 0.1)
    y = columns @ true + 10.0
    found = fitted_areas(columns, np.ones((len(x), 1)), y, np.sqrt(y), np.array([150.0, 50.0]), np.ones((2, 2), bool))
    np.testing.assert_allclose(found.area, [150.0, 50.0], rtol=0.02)
    assert found.area.sum() == pytest.approx(200.0, rel=1e-3)


def test_areas_are_not_below_zero_where_noise_would_have_them_so():
    x = np.arange(20.0, 24.0, 0.02)
    columns = gaussians(x, np.array([21.0, 22.0, 22.06]), 0.1)
    y = columns @ np.array([50.0, 80.0, -4.0]) + 20.0
    near = np.abs(np.subtract.outer([21.0, 22.0, 22.06], [21.0, 22.0, 22.06])) < 0.1
    found = fitted_areas(columns, np.ones((len(x), 1)), y, np.sqrt(20.0 + 0 * y), np.array([50.0, 76.0, 1.0]), near)
    assert found.area[2] < -2.0 and found.positive[2] == 0.0
    # what is lost below zero is taken from the neighbour
    assert found.positive[0] == pytest.approx(50.0, abs=0.5) and 74.0 < found.positive[1] < 80.0


def test_neighbours_closer_than_half_a_width_are_one_group():
    position, fwhm = np.array([20.0, 20.04, 20.3, 20.36, 20.42, 20.48, 21.0]), np.full(7, 0.13)
    np.testing.assert_array_equal(groups_of(position, fwhm), [0, 0, 1, 1, 1, 1, 2])
    # and a chain of them ends somewhere
    assert groups_of(np.linspace(20.0, 21.0, 50), np.full(50, 0.13)).max() >= 4


def test_the_cell_and_the_noise_come_out_as_they_went_in(fit):
    np.testing.assert_allclose(fit.cell[:3], ANGLESITE.cell[:3], atol=1.5e-3)
    assert 0.85 < fit.gof < 1.15 and fit.rwp < 10.0
    assert np.all(fit.cell_esd[:3] > 0.0) and np.all(fit.cell_esd[3:] == 0.0)
    # -0.36/(pi R) of 40 µm in degrees
    assert fit.displacement == pytest.approx(-0.0229, abs=0.01)


def test_areas_are_those_of_the_structure_within_their_uncertainties(fit):
    """``area = scale * sum of weight |F|²``: one scale for all groups, and zero where the space group forbids a reflection."""
    found = fit.intensities
    phase = PhasePlan.plan(ANGLESITE, found.instrument, 1.0, name="a", reflections=(found.hkl, found.multiplicity))
    squares = np.asarray(phase.f_squared(ANGLESITE))[: len(found.hkl)]
    true = np.bincount(found.members, found.weight * squares)
    scale = (true * found.area / found.sigma**2).sum() / (true**2 / found.sigma**2).sum()
    pull = (found.area - scale * true) / found.sigma
    # areas are cut at zero, which makes pulls of absent reflections smaller
    assert np.sqrt(np.mean(pull**2)) < 1.3 and np.mean(np.abs(pull) < 3.0) > 0.97
    root = np.sqrt(scale * true) - np.sqrt(found.area)
    assert np.sqrt((root**2).sum() / found.area.sum()) < 0.06


def test_reflections_below_the_first_measured_angle_are_left_out(fit):
    # 100 and 001 of this cell are at 10.4 and 12.7 degrees
    assert fit.intensities.two_theta.min() > 15.0 and fit.two_theta.min() > 15.0
    assert any("left out" in note and "1 0 0" in note for note in fit.notes)


def test_without_a_group_all_reflections_of_the_lattice_are_fitted(fit):
    assert fit.group.name == "P m m m"
    assert group_of_lattice(np.array([9.4, 9.4, 6.9, 90, 90, 120.0])).name == "P 6/m m m"
    assert group_of_lattice(np.array([5.0, 6.0, 7.0, 90, 100, 90.0])).name == "P 1 2/m 1"


def test_bad_input_is_named(pattern):
    cell = (8.482, 5.398, 6.959, 90, 90, 90)
    with pytest.raises(SymmetryError, match="does not allow the cell"):
        lebail(pattern, cell, "P 4/m m m")
    for wrong, said in (
        ((0, 5, 7, 90, 90, 90), "six positive"), ((8.5, 5.4, 7.0), "six positive"), ((8.5, 5.4, 7, 1.57, 1.57, 1.57), "not radians"),
        ((8.5, 5.4, 7, 30, 30, 150), "no volume"), ((848.2, 539.8, 695.9, 90, 90, 90), "not pm"),
    ):  # fmt: skip
        with pytest.raises(ConventionError, match=said):
            lebail(pattern, wrong)
    with pytest.raises(ConventionError, match="no cell"):
        lebail(pattern)
    with pytest.raises(DataError, match="0 points are left"):
        lebail(pattern.excluding((0.0, 180.0)), cell)
    with pytest.raises(DataError, match="no reflection"):
        lebail(pattern, (1.2, 1.2, 1.2, 90, 90, 90))
    with pytest.raises(ConventionError, match="wavelength"):
        lebail(jn.Pattern.create(pattern.x, pattern.y), cell)


def candidate(cell, **changes):
    cell = np.array(cell, dtype=float)
    of = {
        "zero": 0.0,
        "displacement": -0.02,
        "indexed": 20,
        "unindexed": 0,
        "possible": 30,
        "m20": 20.0,
        "log_evidence": 0.0,
    }
    return CellCandidate(
        cell=cell, niggli=cell, lattice="oP", group=group_of_lattice(cell), probability=0.2, **(of | changes)
    )


def test_the_whole_pattern_tells_the_cell_from_larger_and_smaller_ones(pattern):
    cells = [
        (8.48, 10.8, 6.96, 90, 90, 90),
        (8.48, 5.4, 3.48, 90, 90, 90),
        (8.484, 5.4, 6.958, 90, 90, 90),
        (8.2, 5.6, 7.1, 90, 90, 90),
    ]
    ranked = rank_by_lebail(pattern, [candidate(cell) for cell in cells])
    np.testing.assert_allclose(ranked[0].cell[:3], ANGLESITE.cell[:3], rtol=1e-3)
    assert ranked[0].probability > 0.99 and sum(c.probability for c in ranked) == pytest.approx(1.0)
    fits = {tuple(np.round(c.cell[:3]).astype(int)): c.rwp for c in ranked}
    # twice the cell fits as well or better, half of it does not
    assert fits[8, 11, 7] < 1.05 * fits[8, 5, 7] and fits[8, 5, 3] > 2.0 * fits[8, 5, 7]


def test_the_scatter_of_points_is_their_uncertainty():
    x, rng = np.arange(10.0, 80.0, 0.02), np.random.default_rng(4)
    peaks = gaussians(x, np.array([15.0, 22.0, 22.3, 31.0, 40.0, 55.0]), 0.12) @ np.array(
        [900, 50, 2000, 300, 5000, 80.0]
    )
    counts = rng.poisson(peaks + 60.0)
    true = np.sqrt(peaks + 60.0)
    # scaled to 100, with a background taken off
    factor = 100.0 / counts.max()
    found = scatter_sigma(x, factor * (counts - 60.0)) / (factor * true)
    assert np.median(found) == pytest.approx(1.0, abs=0.1)
    assert np.median(found[peaks > 300.0]) == pytest.approx(1.0, abs=0.25)
    with pytest.raises(DataError, match="do not scatter"):
        scatter_sigma(x, np.ones(len(x)))
