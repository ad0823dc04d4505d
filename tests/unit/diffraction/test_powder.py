"""The powder pattern of a histogram: planning, layout, doublets, several phases, Le Bail intensities."""

import jax
import numpy as np
import pytest

from jaxnmr import Objective, PatternTerm
from jaxnmr.crystal import Crystal, volume
from jaxnmr.diffraction import Background, Instrument, Pattern, PatternPlan, PowderDiffraction
from jaxnmr.diffraction.pattern_plan import compiled_phase_tables
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError

DOUBLET = (1.540593, 1.544427)
QUARTZ = Crystal.create(
    cell=[4.916, 4.916, 5.4054, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.1191 + 2 / 3]], name="quartz",
)  # fmt: skip
CORUNDUM = Crystal.create(
    cell=[4.7589, 4.7589, 12.9919, 90, 90, 120], spacegroup="R -3 c:H", species=["Al", "O"],
    xyz=[[0, 0, 0.3522], [0.3063, 0, 0.25]], name="corundum",
)  # fmt: skip
TUBE = Instrument(wavelengths=DOUBLET, shl=0.02)
SYNCHROTRON = Instrument(wavelengths=(0.8,), geometry="debye-scherrer", polarization=0.95, shl=0.001)
X = np.linspace(18.0, 80.0, 2001)


def empty(x=X, instrument=TUBE, **kwargs) -> Pattern:
    return Pattern.create(x, np.full(len(x), 100.0), instrument=instrument, **kwargs)


def start(plan: PatternPlan, **changes) -> dict:
    values = {name: np.array(q.value) for name, q in plan.quantities().items()}
    values["background"] = np.zeros_like(values["background"])
    for name, value in changes.items():
        values[name] = np.broadcast_to(np.asarray(value, dtype=float), values[name].shape).copy()
    return values


@pytest.fixture(scope="module")
def plan() -> PatternPlan:
    return PowderDiffraction().plan(QUARTZ, like=empty())


CRYSTALS = {"quartz": QUARTZ}


def curve(plan, values, crystals=CRYSTALS) -> np.ndarray:
    return plan.curve(crystals, values)


def test_a_pattern_without_wavelength_cannot_be_planned():
    with pytest.raises(ConventionError, match="does not say which wavelength"):
        PowderDiffraction().plan(QUARTZ, like=empty(instrument=None))
    with pytest.raises(ConventionError, match="has no wavelength"):
        PowderDiffraction().plan(QUARTZ, like=empty(instrument=Instrument()))


def test_a_wavelength_in_nanometres_is_refused():
    with pytest.raises(ConventionError, match=r"would end at d = 0.12 Å.*give wavelengths in Å"):
        instrument = Instrument(wavelengths=(0.15406,), geometry="debye-scherrer")
        PowderDiffraction().plan(QUARTZ, like=empty(instrument=instrument))


@pytest.mark.parametrize(
    "option", [{"march_axis": {"quarz": (0, 0, 1)}}, {"stephens": ["quarz"]}, {"lebail": ["quarz"]}]
)
def test_a_phase_that_is_not_there_is_named_with_those_that_are(option):
    with pytest.raises(ConventionError, match=r"names \['quarz'\], but the phases are \['quartz'\]"):
        PowderDiffraction(**option).plan(QUARTZ, like=empty())


def test_a_pattern_that_is_excluded_altogether_is_refused():
    with pytest.raises(DataError, match="0 points are left"):
        PowderDiffraction().plan(QUARTZ, like=empty(excluded=[(0.0, 100.0)]))


def test_refinable_quantities_follow_from_radiation_geometry_and_options():
    def names(instrument, **options):
        return set(PowderDiffraction(**options).plan(QUARTZ, like=empty(instrument=instrument)).quantities())

    flat, capillary = (
        {"displacement", "transparency", "roughness_a", "roughness_b"},
        {"displace_x", "displace_y", "absorption"},
    )
    tube, synchrotron = names(TUBE), names(SYNCHROTRON, march_axis={"quartz": (0, 0, 1)}, stephens=["quartz"])
    assert flat <= tube and not capillary & tube and {"ratio", "polarization"} <= tube
    assert capillary <= synchrotron and not flat & synchrotron and "ratio" not in synchrotron
    assert {"march", "stephens_quartz"} <= synchrotron and not {"march", "stephens_quartz"} & tube
    assert "polarization" not in names(Instrument(radiation="neutron", wavelengths=(1.5,)))
    mirror = names(TUBE.replace(monochromator_deg=26.6))
    assert "monochromator" in mirror and "polarization" not in mirror


def test_both_lines_of_a_doublet_obey_braggs_law_exactly(plan):
    values = start(plan)
    (table,) = compiled_phase_tables(plan, CRYSTALS, values)
    d = np.asarray(table.d_spacing)
    for line, wavelength in enumerate(DOUBLET):
        reachable = wavelength / (2 * d) < 0.999
        expected = 2 * np.rad2deg(np.arcsin(wavelength / (2 * d[reachable])))
        np.testing.assert_allclose(np.asarray(table.position)[line][reachable], expected, atol=1e-10)


def test_the_second_line_of_gsas_ii_is_a_first_order_shift():
    given = {"quartz": (np.array([[1, 0, 0], [3, 1, 4]]), np.array([6, 12]), np.array([100.0, 100.0]))}
    plan = PowderDiffraction(axial_mode="gsas").plan(QUARTZ, like=empty(np.linspace(18, 140, 500)), reflections=given)
    (table,) = compiled_phase_tables(plan, CRYSTALS, start(plan))
    first, second = np.asarray(table.position)
    exact = 2 * np.rad2deg(np.arcsin(DOUBLET[1] / (2 * np.asarray(table.d_spacing))))
    np.testing.assert_allclose(
        second - first, 360 / np.pi * (DOUBLET[1] / DOUBLET[0] - 1) * np.tan(np.deg2rad(first / 2))
    )
    assert 1e-5 < exact[1] - second[1] < 0.05


def test_area_of_a_line_is_multiplicity_structure_factor_and_lorentz_polarization_per_volume(plan):
    values = start(plan, scale=3.0)
    (table,) = compiled_phase_tables(plan, CRYSTALS, values)
    phase = plan.phases[0]
    n = phase.n_reflections
    theta = np.arcsin(DOUBLET[0] / (2 * np.asarray(table.d_spacing)[:n]))
    lp = (1 + np.cos(2 * theta) ** 2) / 2 / (2 * np.sin(theta) ** 2 * np.cos(theta))
    expected = (
        0.01 * 3.0 * phase.multiplicity[:n] * np.asarray(table.f_squared)[:n] * lp / volume(np.asarray(QUARTZ.cell))
    )
    np.testing.assert_allclose(np.asarray(table.area)[:n], expected, rtol=1e-10)
    assert (np.asarray(table.area)[n:] == 0).all()


def test_intensity_corrections_belong_to_the_bragg_angle_not_to_where_the_peak_appears(plan):
    (here,) = compiled_phase_tables(plan, CRYSTALS, start(plan))
    (there,) = compiled_phase_tables(plan, CRYSTALS, start(plan, zero=0.5, displacement=200.0))
    assert np.abs(np.asarray(there.position) - np.asarray(here.position)).min() > 0.3
    for name in ("area", "fwhm", "eta"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))


def test_excluded_points_are_left_out_and_the_others_unchanged(plan):
    cut = PowderDiffraction().plan(QUARTZ, like=empty(excluded=[(26.0, 27.5), (60.0, 61.0)]))
    keep = ((X < 26.0) | (X > 27.5)) & ((X < 60.0) | (X > 61.0))
    values = start(plan, scale=50.0)
    whole, part = curve(plan, values), curve(cut, values)
    np.testing.assert_array_equal(cut.x, X[keep])
    np.testing.assert_allclose(part, whole[keep], atol=1e-4 * whole.max())  # tails end with a block of points


def test_phases_add_up():
    both = {"quartz": QUARTZ, "corundum": CORUNDUM}
    mixed = PowderDiffraction().plan(both, like=empty())
    assert mixed.phase_names == ("quartz", "corundum")
    values = start(mixed, scale=[2.0, 5.0], background=[100.0, 5, 0, 0, 0, 0])
    total = curve(mixed, values, both)
    parts = []
    for k, (name, crystal) in enumerate(both.items()):
        single = PowderDiffraction().plan(crystal, like=empty())
        parts.append(curve(single, start(single, scale=values["scale"][k]), {name: crystal}))
    background = mixed.background @ values["background"]
    np.testing.assert_allclose(total, sum(parts) + background, atol=1e-6 * total.max())


def test_peaks_of_a_wide_range_come_from_beyond_its_end():
    # the last line lies just outside the data, its flank inside
    d = 0.5 * DOUBLET[0] / np.sin(np.deg2rad(0.5 * 80.2))
    cubic = Crystal.create(cell=[d * np.sqrt(3)] * 3 + [90] * 3, spacegroup="P m -3 m", species=["Po"], xyz=[[0, 0, 0]])
    plan = PowderDiffraction().plan(cubic, like=empty())
    y = curve(plan, start(plan, size=0.02), {cubic.name: cubic})
    assert y[-1] > 5 * y[-200]


def test_a_plan_stays_while_nothing_moves(plan):
    values = start(plan)
    again, note = plan.refreshed(CRYSTALS, values)
    assert again is plan and note == ""


@pytest.mark.parametrize(
    "changes", [{"size": 0.02}, {"shl": 0.12}, {"zero": 0.4}, {"W": 90.0}], ids=["size", "shl", "zero", "W"]
)
def test_windows_are_renewed_when_peaks_outgrow_them(plan, changes):
    values = start(plan, scale=50.0, **changes)
    renewed, note = plan.refreshed(CRYSTALS, values)
    assert note == "peak windows renewed"
    assert renewed.refreshed(CRYSTALS, values)[0] is renewed
    wide = PowderDiffraction(cutoff=1e-7).plan(QUARTZ, like=empty()).laid_out(CRYSTALS, values).with_nodes(128)
    exact = curve(wide, values)
    assert np.abs(curve(renewed, values) - exact).max() < 2e-4 * exact.max()


def test_the_reflection_list_is_rebuilt_when_the_cell_has_moved(plan):
    longer = QUARTZ.replace(cell=np.array(QUARTZ.cell) * np.array([1.01, 1.01, 1.01, 1, 1, 1]))
    values = start(plan, scale=50.0)
    renewed, note = plan.refreshed({"quartz": longer}, values)
    assert note == "reflection list rebuilt"
    assert renewed.phases[0].n_reflections >= plan.phases[0].n_reflections
    fresh = PowderDiffraction().plan(longer, like=empty())
    expected = curve(fresh, values, {"quartz": longer})
    np.testing.assert_allclose(curve(renewed, values, {"quartz": longer}), expected, atol=1e-5 * expected.max())
    assert renewed.refreshed({"quartz": longer}, values)[1] == ""


def test_a_small_change_of_the_cell_keeps_every_shape(plan):
    shorter = QUARTZ.replace(cell=np.array(QUARTZ.cell) * np.array([0.993, 0.993, 0.993, 1, 1, 1]))
    renewed, _ = plan.refreshed({"quartz": shorter}, start(plan))
    shapes = lambda p: [np.shape(leaf) for leaf in jax.tree.leaves(p)]
    assert shapes(renewed) == shapes(plan)


def test_more_axial_nodes_change_nothing_visible(plan):
    values = start(plan, scale=50.0)
    few, many = curve(plan, values), curve(plan.with_nodes(64), values)
    assert np.abs(few - many).max() < 1e-4 * many.max()
    assert plan.with_nodes(2) is plan


def test_unequal_axial_heights_sharpen_the_asymmetry(plan):
    thin = PowderDiffraction().plan(QUARTZ, like=empty(instrument=TUBE.replace(axial_ratio=0.1)))
    assert np.shape(thin.abscissa)[1] == 2 * np.shape(plan.abscissa)[1]
    values = start(plan, scale=50.0)
    equal, unequal = curve(plan, values), curve(thin, values)
    assert np.trapezoid(unequal, X) == pytest.approx(np.trapezoid(equal, X), rel=1e-3)
    assert 1e-3 < np.abs(unequal - equal).max() / equal.max() < 0.2
    np.testing.assert_allclose(
        curve(PowderDiffraction().plan(QUARTZ, like=empty(instrument=TUBE.replace(axial_ratio=10.0))), values), unequal
    )


def test_texture_and_anisotropic_strain_of_nothing_change_nothing():
    plain = PowderDiffraction().plan(QUARTZ, like=empty())
    special = PowderDiffraction(march_axis={"quartz": (0, 0, 1)}, stephens=["quartz"]).plan(QUARTZ, like=empty())
    values = start(special, scale=50.0, strain=0.0)
    values["stephens_quartz"] *= 0.0
    expected = curve(plain, start(plain, scale=50.0, strain=0.0))
    np.testing.assert_allclose(curve(special, values), expected, atol=1.5e-4 * expected.max())
    assert np.abs(curve(special, values | {"march": np.array([0.7])}) - expected).max() > 0.05 * expected.max()
    strained = values | {"stephens_quartz": np.full(4, 4000.0)}
    assert curve(special, strained).max() < 0.98 * expected.max()


def test_le_bail_intensities_reproduce_a_pattern_without_knowing_the_structure(plan):
    values = start(plan, scale=50.0, background=[30.0, 0, 0, 0, 0, 0])
    observed = curve(plan, values)
    free = PowderDiffraction(lebail=["quartz"]).plan(QUARTZ, like=empty())
    extracted = free.extracted(CRYSTALS, values, observed, passes=25)
    assert np.abs(curve(extracted, values) - observed).max() < 0.01 * observed.max()
    (truth,), n = compiled_phase_tables(plan, CRYSTALS, values), plan.phases[0].n_reflections
    # reflections that coincide share their intensity in a way that only the structure knows
    d = np.asarray(truth.d_spacing)[:n]
    _, line = np.unique(np.round(d, 6), return_inverse=True)
    sums = [np.bincount(line, f) for f in (extracted.phases[0].given[:n], np.asarray(truth.f_squared)[:n])]
    seen = np.asarray(truth.position)[1][:n] < X[-1] - 1.0
    strong = np.bincount(line, np.asarray(truth.area)[:n] * seen) > 0.05 * np.asarray(truth.area).max()
    assert strong.sum() > 5
    np.testing.assert_allclose(sums[0][strong], sums[1][strong], rtol=0.03)


def test_le_bail_intensities_survive_a_new_reflection_list():
    free = PowderDiffraction(lebail=["quartz"]).plan(QUARTZ, like=empty())
    phase, n = free.phases[0], free.phases[0].n_reflections
    marked = phase.replace(given=np.concatenate([10.0 + np.arange(n), np.full(len(phase.given) - n, -1.0)]))
    free = free.replace(phases=(marked,))
    longer = QUARTZ.replace(cell=np.array(QUARTZ.cell) * np.array([1.006, 1.006, 1.006, 1, 1, 1]))
    renewed, _ = free.refreshed({"quartz": longer}, start(free))
    before = {tuple(h): f for h, f in zip(marked.hkl[:n].tolist(), marked.given[:n].tolist(), strict=True)}
    after = {tuple(h): f for h, f in zip(renewed.phases[0].hkl.tolist(), renewed.phases[0].given.tolist(), strict=True)}
    assert {h: after[h] for h in before} == before


def test_given_structure_factors_are_used_as_they_are():
    hkl, multiplicity, squares = np.array([[1, 0, 0], [1, 0, 1]]), np.array([6, 6]), np.array([200.0, 50.0])
    plan = PowderDiffraction().plan(QUARTZ, like=empty(), reflections={"quartz": (hkl, multiplicity, squares)})
    (table,) = compiled_phase_tables(plan, CRYSTALS, start(plan))
    np.testing.assert_array_equal(table.f_squared, squares)


def test_a_pattern_in_single_precision_is_good_to_a_thousandth(precision):
    instrument = SYNCHROTRON.replace(shl=0.005)
    plan = PowderDiffraction().plan(CORUNDUM, like=empty(np.linspace(10.0, 60.0, 1001), instrument))
    values = start(plan, scale=50.0, absorption=0.5)
    y = plan.curve({"corundum": CORUNDUM}, values)
    assert y.dtype == precision.dtype
    with jax.enable_x64(True):
        exact = curve(plan, values, {"corundum": CORUNDUM})
    assert np.abs(np.asarray(y) - exact).max() < 2e-3 * exact.max()


def test_chebyshev_background_of_six_terms_is_the_default(plan):
    assert plan.background_function == Background.chebyshev(6)
    values = start(plan, scale=0.0, background=[5.0, 1.0, 0, 0, 0, 0])
    np.testing.assert_allclose(curve(plan, values), 5.0 + (2 * (X - X[0]) / (X[-1] - X[0]) - 1), atol=1e-9)


# -- simulations
def test_a_simulated_pattern_is_that_of_its_plan():
    background = Background.chebyshev(2)
    experiment = PowderDiffraction(TUBE, background)
    values = {"size": 0.05, "scale": [20.0], "background": [200.0, -40.0]}
    pattern = experiment.simulate(QUARTZ, (20.0, 40.0, 0.05), values=values)
    x = np.linspace(20.0, 40.0, 401)
    np.testing.assert_allclose(pattern.x, x, rtol=1e-12)
    assert pattern.instrument == TUBE
    plan = experiment.plan(QUARTZ, x)
    full = start(plan) | {"size": np.array([0.05]), "scale": np.array([20.0]), "background": np.array([200.0, -40.0])}
    np.testing.assert_allclose(pattern.y, plan.laid_out(CRYSTALS, full).curve(CRYSTALS, full), rtol=1e-9)
    np.testing.assert_allclose(pattern.sigma, np.sqrt(pattern.y))
    peaks = experiment.simulate(QUARTZ, x, values={"size": 0.05, "scale": 20.0})
    np.testing.assert_allclose(pattern.y - peaks.y, background.basis(x, x[0], x[-1]) @ values["background"], atol=1e-9)


def test_a_simulation_like_a_pattern_has_its_points_and_instrument():
    pattern = PowderDiffraction().simulate(QUARTZ, like=empty(excluded=[(26.0, 27.5)]))
    assert not ((pattern.x >= 26.0) & (pattern.x <= 27.5)).any()
    assert pattern.instrument == empty().instrument


def test_only_named_phases_are_simulated():
    both = {"quartz": QUARTZ, "corundum": CORUNDUM}
    only, alone = (
        e.simulate(c, (20.0, 40.0, 0.1))
        for e, c in ((PowderDiffraction(TUBE, phases=["quartz"]), both), (PowderDiffraction(TUBE), QUARTZ))
    )
    np.testing.assert_array_equal(only.y, alone.y)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConventionError, "give two_theta="),
        ({"two_theta": (20.0, 40.0, 0.1), "like": empty()}, ConventionError, "and not both"),
        ({"two_theta": (40.0, 20.0, 0.1)}, ConventionError, "expected first < last, step > 0"),
        ({"two_theta": (20.0, 40.0, 0.1), "values": {"sise": 1.0}}, ParameterError, "'sise' is none of the values"),
        (
            {"two_theta": (20.0, 40.0, 0.1), "values": {"size": [1.0, 2.0]}},
            ShapeError,
            r"shape \(2,\); expected \(1,\)",
        ),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        PowderDiffraction(TUBE).simulate(QUARTZ, **arguments)


def test_experiments_are_compared_by_what_they_are():
    first, same = (PowderDiffraction(TUBE, march_axis={"quartz": axis}) for axis in ((0, 0, 1), [0, 0, 1.0]))
    assert first == same and hash(first) == hash(same)
    assert first != PowderDiffraction(TUBE, march_axis={"quartz": (1, 0, 0)})
    with pytest.raises(ConventionError, match="axial_mode is 'GSAS'"):
        PowderDiffraction(axial_mode="GSAS")
    with pytest.raises(ConventionError, match=r"cutoff is 2\.0"):
        PowderDiffraction(cutoff=2.0)


def test_quantities_of_an_experiment_are_those_of_its_plan():
    experiment = PowderDiffraction(march_axis={"quartz": (0, 0, 1)}, stephens=["quartz"])
    planned, before = experiment.plan(QUARTZ, like=empty()).quantities(), experiment.quantities(QUARTZ, empty())
    assert repr(planned) == repr(before)


SLIT = TUBE.replace(divergence_slit="automatic")


def test_an_automatic_slit_multiplies_the_peaks_by_the_sine_at_every_point():
    x = X[::8]
    fixed, automatic = (PowderDiffraction(i).simulate(QUARTZ, x, values={"scale": 30.0}) for i in (TUBE, SLIT))
    np.testing.assert_allclose(automatic.y, fixed.y * np.sin(np.deg2rad(x / 2)), rtol=1e-12)
    # the background is what was measured, and has no slit
    plan = PowderDiffraction(SLIT, Background.chebyshev(2)).plan(QUARTZ, x)
    nothing = start(plan, scale=0.0) | {"background": np.array([7.0, 0.0])}
    np.testing.assert_allclose(curve(plan, nothing), 7.0)


def test_derivatives_behind_an_automatic_slit_are_those_of_the_pattern():
    x = X[700:764]
    pattern = PowderDiffraction(SLIT, Background.chebyshev(1)).simulate(QUARTZ, x, values={"scale": 30.0})
    term = PatternTerm(PowderDiffraction(SLIT, Background.chebyshev(1)), pattern.replace(sigma=np.ones_like(x)))
    objective = Objective(term, crystal=CRYSTALS)
    params = objective.parameters().set("xrd/scale", 30.0).free("xrd/zero")
    plan, values = objective.terms[0].model, start(objective.terms[0].model, scale=30.0)
    moved = lambda by: values | {"zero": values["zero"] + by}
    numeric = (plan.curve(CRYSTALS, moved(1e-5)) - plan.curve(CRYSTALS, moved(-1e-5))) / 2e-5
    ours = objective.jacobian(params)[:, 0]
    np.testing.assert_allclose(ours, numeric, atol=1e-5 * np.abs(numeric).max())
