"""The refinement loop: stages, bounds, trials that fail, plans renewed on the way, honest endings."""

import json
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, Equations, at_truth, histogram, rutile

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr.errors import ConvergenceError, DataError, ParameterError, PrecisionError
from jaxnmr.refinement import read_checkpoint
from jaxnmr.refinement.descent import Descent

ALL = ("xrd/scale", "xrd/background", "cell", "xrd/size", "xyz", "u_iso")
STAGES = (
    jn.Stage(("xrd/scale", "xrd/background"), name="scale"),
    jn.Stage("cell", name="cell"),
    jn.Stage("xrd/size", name="size"),
    jn.Stage(("xyz", "u_iso"), name="atoms"),
)


@pytest.fixture(scope="module")
def powder():
    """A pattern with noise, its objective, and the true parameters."""
    term, true = histogram(rutile(), DOUBLET, np.arange(24, 72, 0.1), values={"size": 0.06}, seed=7)
    objective = jn.Objective(term, crystal=rutile())
    return objective, at_truth(objective, xrd=true)


def far_start(pattern_term):
    """The same pattern with a plan made for a cell 0.7 % off and peaks of two thirds of the width."""
    cell = np.array(rutile().cell) * np.array([1.007, 1.007, 0.994, 1, 1, 1])
    crystal = rutile().replace(cell=cell, xyz=np.array([[0, 0, 0], [0.31, 0.31, 0]]))
    x, y = np.asarray(pattern_term.model.x), np.asarray(pattern_term.observed)
    pattern = jn.Pattern.create(x, y, pattern_term.sigma, instrument=DOUBLET, name="xrd")
    experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(3))
    objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=crystal)
    return objective, objective.parameters().set("xrd/size", 0.09)


@pytest.fixture(scope="module")
def far_fit(powder):
    """A staged refinement from far away, with the programs of the loop compiled until the first step and after it."""
    objective, start = far_start(powder[0].terms[0])
    counted = []
    with watch_compilations() as watch:
        note = lambda info: counted.append(watch.programs["descend"])
        fit = jn.refine(objective, start, stages=STAGES, callback=note)
    return fit, counted


# -- the way to the minimum --------------------------------------------------------------------------------------------
def test_a_staged_refinement_finds_the_truth(powder, far_fit):
    fit, _ = far_fit
    truth = powder[1]
    assert fit.converged
    for name in ("cell", "xyz", "u_iso", "xrd/scale", "xrd/size", "xrd/background"):
        esd = np.asarray(fit.esds[name])
        off = np.abs(fit.parameters[name] - truth[name])[esd > 0] / esd[esd > 0]
        assert off.max() < 4.0, name
    assert fit.statistics["xrd"].gof == pytest.approx(1.0, abs=0.1)


def test_a_wrong_scale_is_mended_before_anything_else_moves(powder):
    objective, truth = powder
    start = truth.free(*ALL).set("xrd/scale", 1e-3 * truth["xrd/scale"]).set("xrd/background", 0.0)
    fit = jn.refine(objective, start, suggest=False)
    assert fit.converged and len(fit.steps) < 8
    first, *others = fit.steps
    assert first.note == "scales and backgrounds first" and first.n_free == 10
    # the rest was at the truth: once the intensities are right, only noise is left
    assert first.chi2 < 1.1 * fit.steps[-1].chi2
    assert not any("first" in step.note for step in others)
    assert not any("first" in step.note for step in jn.refine(objective, truth.free(*ALL), suggest=False).steps)


def test_stages_add_up_and_are_reported_in_order(far_fit):
    fit, _ = far_fit
    assert [s.step for s in fit.steps] == list(range(1, len(fit.steps) + 1))
    names = [s.stage_name for s in fit.steps]
    assert sorted(set(names), key=names.index) == ["scale", "cell", "size", "atoms"]
    assert [s.stage for s in fit.steps] == sorted(s.stage for s in fit.steps)
    free = {s.stage_name: s.n_free for s in fit.steps}
    assert free == {"scale": 4, "cell": 6, "size": 7, "atoms": 10}
    assert fit.parameters.n_free == 10


def test_plans_are_renewed_on_the_way_without_compiling_again(far_fit):
    fit, counted = far_fit
    notes = " ".join(s.note for s in fit.steps)
    assert "reflection list rebuilt" in notes and "peak windows renewed" in notes
    start = 0.09
    assert fit.parameters["xrd/size[rutile]"] < 0.7 * start
    assert set(counted) == {1}
    assert [s.compile_seconds > 0 for s in fit.steps] == [True] + [False] * (len(fit.steps) - 1)


def test_nobody_need_watch_for_a_refinement_to_go_the_same_way_in_few_calls(powder, far_fit):
    fit, _ = far_fit
    objective, start = far_start(powder[0].terms[0])
    alone = Descent(objective, start, jn.LevenbergMarquardt(), STAGES)
    alone.begin()
    calls = 0
    while alone.ended is None:
        alone.advance()
        calls += 1
    assert [(s.stage, s.note, s.n_free) for s in alone.steps] == [(s.stage, s.note, s.n_free) for s in fit.steps]
    np.testing.assert_allclose([s.chi2 for s in alone.steps], [s.chi2 for s in fit.steps], rtol=1e-9)
    np.testing.assert_allclose(alone.params.flat, fit.parameters.flat, rtol=1e-9, atol=1e-12)
    # it comes back for what was outgrown, for the plan of its minimum, and at its end
    assert calls == sum("re" in s.note for s in fit.steps) + 2 < len(fit.steps)


@pytest.mark.parametrize(
    ("name", "factor", "renewed"),
    [
        ("size", 1.03, ""),
        ("size", 3.0, "peak windows renewed"),
        ("size", 0.7, "peak windows renewed"),
        ("shl", 4.0, "peak windows renewed"),
    ],
)
def test_the_device_knows_when_peak_windows_are_outgrown(powder, name, factor, renewed):
    objective, truth = powder
    state = objective.host_state(truth)
    term = objective.terms[0].replace(model=objective.terms[0].model.laid_out(state.crystals, state.local("xrd")))
    changed = truth.set(f"xrd/{name}", factor * np.asarray(truth[f"xrd/{name}"]))
    there = objective.host_state(changed)
    assert term.replan(there)[1] == renewed
    assert bool(jax.jit(lambda s: term.outgrown(s))(there.plain())) == bool(renewed)


@pytest.mark.parametrize(("strain", "rebuilt"), [(0.004, False), (0.0052, True), (-0.0052, True)])
def test_the_device_knows_when_a_list_of_reflections_is_outgrown(powder, strain, rebuilt):
    objective, truth = powder
    state = objective.host_state(truth)
    model = objective.terms[0].model.laid_out(state.crystals, state.local("xrd"), reflections=True)
    larger = {"rutile": state.crystal.replace(cell=state.crystal.cell * jnp.array([1, 1, 1 + strain, 1, 1, 1]))}
    cells = [np.asarray(of.cell) for of in (larger["rutile"],)]
    position, fwhm = np.asarray(model.planned_position), np.asarray(model.planned_fwhm)
    assert bool(model._outgrown(position, fwhm, cells, state.local("xrd"))[0]) == rebuilt
    assert ("reflection list" in model.refreshed(larger, state.local("xrd"))[1]) == rebuilt


def test_chi_squared_never_rises_between_accepted_steps(far_fit):
    fit, _ = far_fit
    accepted = [s for s in fit.steps if s.accepted]
    for before, after in pairwise(accepted):
        # a renewed plan includes a little more of the tails
        assert after.chi2 <= before.chi2 * (1 + 1e-3)


def test_where_a_refinement_starts_does_not_show_in_its_end(powder, far_fit):
    near = jn.refine(powder[0], powder[1].free(*ALL))
    fit, _ = far_fit
    esd = np.concatenate([e.ravel() for e in fit.esds.values()])
    off = np.abs(np.asarray(near.parameters.flat) - np.asarray(fit.parameters.flat))[esd > 0] / esd[esd > 0]
    assert off.max() < 0.02


def test_windows_that_still_count_as_good_hardly_differ_from_new_ones(powder):
    objective, truth = powder
    state = objective.host_state(truth)
    narrower = dict(state.local("xrd")) | {"size": state.local("xrd")["size"] * 1.05}
    term = objective.terms[0].replace(model=objective.terms[0].model.laid_out(state.crystals, narrower))
    same, note = term.replan(state)
    assert note == "" and same is term
    assert _chi2(term, state) == pytest.approx(_chi2(term.bind(state, truth.free(*ALL)), state), rel=2e-3)


def test_a_reflection_list_that_still_counts_as_good_is_complete(powder):
    """Planned for a cell 0.45 % smaller, which has fewer reflections in range."""
    objective, truth = powder
    state = objective.host_state(truth)
    smaller = state.crystal.replace(cell=state.crystal.cell * jnp.array([0.9955, 0.9955, 0.9955, 1, 1, 1]))
    model = objective.terms[0].model.laid_out({"rutile": smaller}, state.local("xrd"), reflections=True)
    term = objective.terms[0].replace(model=model.laid_out(state.crystals, state.local("xrd")))
    same, note = term.replan(state)
    assert note == "" and same is term
    assert _chi2(term, state) == pytest.approx(_chi2(term.bind(state, truth.free(*ALL)), state), rel=1e-6)


def _chi2(term, state):
    return float(np.sum(np.asarray(term.residuals(state)) ** 2))


def test_parameters_that_are_free_at_the_start_are_refined_without_stages(powder):
    objective, truth = powder
    start = truth.set("xrd/scale", 0.8 * truth["xrd/scale[rutile]"])
    fit = jn.refine(objective, start.free(*ALL), suggest=False)
    assert fit.converged and fit.parameters.n_free == 10
    assert len(fit.steps) > 0 and all(s.stage_name == "all" for s in fit.steps)


def test_a_stage_can_fix_again(powder):
    objective, truth = powder
    stages = [jn.Stage(("xrd/scale", "xrd/zero", "xyz", "u_iso")), jn.Stage(("cell", "xrd/background"), fix="xrd/zero")]
    fit = jn.refine(objective, truth, stages=stages, suggest=False)
    assert fit.parameters.n_free == 9 and "xrd/zero" not in fit.parameters.free_names
    assert fit.esds["xrd/zero"] == 0.0 and fit.parameters["xrd/zero"] != 0.0


# -- equations: cheap problems with known traps ------------------------------------------------------------------------
def solve(function, start, free="*", change=lambda p: p, **options):
    objective = jn.Objective(Equations(function, start))
    params = change(objective.parameters()).free(free)
    return jn.refine(objective, params, **({"suggest": False} | options))


def test_a_trial_step_into_nan_is_survived():
    """The undamped first step from 8 leads to a negative number, whose logarithm does not exist."""
    function = lambda x: jnp.log(x) - np.array([0.0, 0.1, -0.1])
    for solver in (jn.LevenbergMarquardt(initial_damping=0.0), jn.GaussNewton()):
        fit = solve(function, [8.0], solver=solver)
        assert fit.converged
        assert fit.parameters["problem/x[a]"] == pytest.approx(1.0, abs=1e-3)


def test_a_start_that_is_not_finite_says_where():
    with pytest.raises(
        DataError, match=r"term 'problem' is not finite at the starting values \(2 of 3 residuals, first number 2\)"
    ):
        solve(lambda x: jnp.stack([x[0], jnp.log(-1.0 - x[0]), jnp.nan * x[0]]), [1.0])


def test_a_derivative_that_is_not_finite_names_the_parameter():
    fit = solve(lambda x: jnp.stack([x[0] - 1.0, jnp.sqrt(x[0])]), [0.0], throw=False)
    assert fit.status == "diverged"
    assert "The derivative by problem/x[a] is not finite; check its value and bounds" in fit.message
    assert fit.null_directions == ("The data do not determine problem/x[a].",)


def test_a_bound_stops_a_parameter_and_is_reported():
    fit = solve(
        lambda x: x - np.array([3.0, -2.0, 0.5]) + 0.1 * x[::-1],
        [1.0, 1.0, 1.0],
        change=lambda p: p.bound("problem/x[b]", lower=0.0),
    )
    assert fit.converged
    assert fit.parameters["problem/x[b]"] == 0.0 and fit.esds["problem/x"][1] == 0.0
    # the others reach the minimum that is left
    rest = np.linalg.lstsq(np.array([[1.0, 0.1], [0, 0], [0.1, 1.0]]), [3.0, -2.0, 0.5], rcond=None)[0]
    np.testing.assert_allclose(np.asarray(fit.parameters["problem/x"])[[0, 2]], rest, rtol=1e-3)
    assert any("problem/x[b] ended at its bound 0" in w for w in fit.warnings)
    assert any("at its bound: problem/x[b]" in s.note for s in fit.steps)


def test_a_bound_is_left_again_when_the_minimum_lies_inside():
    """From 2.2 the linear model overshoots the minimum at 1 and the bound at 0.5."""
    fit = solve(
        lambda x: jnp.stack([jnp.arctan(x[0] - 1.0), 0.01 * x[0]]),
        [2.2],
        change=lambda p: p.bound("problem/x", lower=0.5),
    )
    assert fit.steps[0].note == "at its bound: problem/x[a]" and fit.steps[-1].note == ""
    assert fit.parameters["problem/x[a]"] == pytest.approx(1.0, abs=1e-3)
    assert fit.warnings == ()


def test_a_start_at_a_bound_moves_off_it():
    fit = solve(
        lambda x: jnp.stack([x[0] - 2.0, 0.5 * x[0] - 1.2]), [0.0], change=lambda p: p.bound("problem/x", lower=0.0)
    )
    assert fit.parameters["problem/x[a]"] == pytest.approx(2.08, abs=1e-3)


def test_tied_equations_move_together():
    fit = solve(
        lambda x: x - np.array([1.0, 5.0, 0.0]),
        np.zeros(3),
        change=lambda p: p.tie("problem/x[b]", "problem/x[a]", factor=2.0),
    )
    # minimum of (a-1)² + (2a-5)²
    assert fit.parameters["problem/x"] == pytest.approx([2.2, 4.4, 0.0], abs=1e-6)
    assert fit.esds["problem/x"][1] == pytest.approx(2 * fit.esds["problem/x"][0])


def test_too_few_steps_are_said_to_be_too_few():
    fit = solve(
        lambda x: jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1 * x[1]]),
        [-1.2, 1.0],
        solver=jn.LevenbergMarquardt(max_steps=3),
        throw=False,
    )
    assert fit.status == "max_steps" and not fit.converged
    assert "stopped after 3 steps" in fit.message and "allow more max_steps" in fit.message
    assert len(fit.steps) == 3


def test_not_converging_raises_with_the_result_attached():
    with pytest.raises(ConvergenceError, match="stopped after 2 steps") as caught:
        solve(
            lambda x: jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1 * x[1]]),
            [-1.2, 1.0],
            solver=jn.LevenbergMarquardt(max_steps=2),
        )
    assert caught.value.result.status == "max_steps"


def test_data_without_noise_converge_in_a_few_steps():
    fit = solve(lambda x: jnp.stack([x[0] * x[1] - 2.0, x[0] - 1.0, x[1] ** 2 - 4.0]), [0.5, 1.0])
    assert fit.converged and len(fit.steps) < 10
    assert fit.parameters["problem/x"] == pytest.approx([1.0, 2.0], abs=1e-6)


def test_a_model_that_no_step_improves_is_stalled():
    """A residual that jumps: the linear model always promises more than there is."""
    fit = solve(
        lambda x: jnp.stack([jnp.where(x[0] > 1.0, x[0], x[0] + 50.0), 0.0 * x[0] + 1.0, 0.0 * x[0]]),
        [1.0 + 1e-13],
        throw=False,
    )
    assert fit.status == "stalled"
    assert "No step lowers chi²" in fit.message


# -- interruption and checkpoints --------------------------------------------------------------------------------------
def test_an_interrupted_refinement_keeps_the_last_good_parameters(powder, tmp_path):
    objective, truth = powder
    start = truth.set("u_iso", 0.03).set("xrd/size", 0.1)
    path, seen = tmp_path / "last.json", []

    def impatient(info):
        seen.append(info.chi2)
        if len(seen) == 2:
            raise KeyboardInterrupt

    fit = jn.refine(
        objective,
        start.free(*ALL),
        callback=impatient,
        checkpoint=path,
    )
    assert fit.status == "interrupted" and "interrupted after 2 steps" in fit.message
    assert fit.suggestions == ()
    saved = read_checkpoint(path, truth)
    np.testing.assert_array_equal(saved.flat, fit.parameters.flat)
    assert json.loads(path.read_text())["chi2"] == pytest.approx(seen[1])
    assert fit.statistics["xrd"].chi2 == pytest.approx(seen[1])


def test_the_checkpoint_of_a_finished_refinement_is_its_result(powder, tmp_path):
    objective, truth = powder
    path = tmp_path / "last.json"
    fit = jn.refine(
        objective,
        truth.free(*ALL),
        checkpoint=path,
        suggest=False,
    )
    np.testing.assert_array_equal(read_checkpoint(path, truth).flat, fit.parameters.flat)


def test_an_error_in_a_callback_is_not_swallowed(powder):
    objective, truth = powder

    def broken(info):
        raise ValueError("no disk left")

    with pytest.raises(ValueError, match="no disk left"):
        jn.refine(objective, truth.set("u_iso", 0.03).free(*ALL), callback=broken)


# -- input that makes no sense -----------------------------------------------------------------------------------------
def test_nothing_free_is_refused(powder):
    objective, truth = powder
    with pytest.raises(ParameterError, match=r"all parameters are fixed: free some, e.g. params.free\('cell', 'xyz'\)"):
        jn.refine(objective, truth)
    with pytest.raises(ParameterError, match="all parameters are fixed"):
        jn.refine(objective, truth, stages=[jn.Stage(name="nothing")])


def test_parameters_of_another_objective_are_refused(powder):
    objective, truth = powder
    more = objective + objective.terms[0].replace(name="again")
    with pytest.raises(ParameterError, match=r"of another objective: again/.* are missing; start from objective.param"):
        jn.refine(more, truth.free("xyz"))


def test_a_stage_that_frees_nothing_is_refused(powder):
    objective, truth = powder
    with pytest.raises(ParameterError, match="stage 'empty' frees nothing"):
        jn.refine(objective, truth, stages=[jn.Stage(name="empty"), jn.Stage("xrd/scale")])


def test_an_unknown_name_in_a_stage_is_refused_before_anything_is_computed(powder):
    objective, truth = powder
    with pytest.raises(ParameterError, match="did you mean 'xrd/scale'"):
        jn.refine(objective, truth, stages=[jn.Stage("xrd/scale"), jn.Stage("xrd/scala")])


def test_fewer_observations_than_parameters_are_refused():
    with pytest.raises(DataError, match="2 observations cannot determine 3 parameters"):
        solve(lambda x: x[:2], np.ones(3))


def test_single_precision_is_refused(precision):
    objective = jn.Objective(Equations(lambda x: x - 1.0, np.zeros(2)))
    params = objective.parameters().free("*")
    if precision.dtype is np.float32:
        with pytest.raises(PrecisionError, match=r"call jaxnmr.enable_x64\(\)"):
            jn.refine(objective, params)
    else:
        assert jn.refine(objective, params).converged


def test_everything_excluded_is_refused():
    x = np.arange(24, 60, 0.1)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET, name="mine").excluding((0.0, 100.0))
    with pytest.raises(DataError, match="mine: 0 points are left outside the excluded regions"):
        jn.PowderDiffraction().plan(rutile(), like=pattern)


def test_a_range_without_reflections_is_refused():
    x = np.arange(2.0, 9.0, 0.05)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET, name="mine")
    with pytest.raises(DataError, match="check the wavelength, the 2theta limits and the cell"):
        jn.PowderDiffraction().plan(rutile(), like=pattern)
