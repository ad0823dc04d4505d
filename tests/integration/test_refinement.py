"""The quartz example from Python: what a refinement must get right whatever the data are."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr.objective.objective import residuals
from jaxnmr.report import write_report

PATTERN = Path(__file__).parents[2] / "examples" / "quartz" / "quartz.xye"
TRUE_XYZ = {"xyz[Si1.x]": 0.4697, "xyz[O1.x]": 0.4135, "xyz[O1.y]": 0.2669, "xyz[O1.z]": 0.78577}
STAGES = (
    jn.Stage(("xrd/scale", "xrd/background"), name="scale"),
    jn.Stage(("cell", "xrd/displacement"), name="cell"),
    jn.Stage(("xrd/size", "xrd/strain"), name="widths"),
    jn.Stage(("xyz", "u_iso"), name="atoms"),
)


def quartz(cell=(4.926, 4.926, 5.394, 90, 90, 120)):
    return jn.Crystal.create(
        cell=cell,
        spacegroup="P 32 2 1",
        species=["Si", "O"],
        labels=["Si1", "O1"],
        xyz=[[0.48, 0.0, 2 / 3], [0.425, 0.255, 0.776]],
        u_iso=0.01,
        name="quartz",
    )


@pytest.fixture(scope="module")
def pattern():
    instrument = jn.Instrument(wavelengths=(1.540593, 1.544427), radius_mm=217.5, shl=0.02)
    return jn.read_pattern(PATTERN, instrument=instrument)


def objective_of(pattern, crystal):
    experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(5))
    return jn.Objective(jn.PatternTerm(experiment, pattern), crystal=crystal)


@pytest.fixture(scope="module")
def objective(pattern):
    return objective_of(pattern, quartz())


@pytest.fixture(scope="module")
def fits(objective):
    start = objective.parameters().set("xrd/size", 0.5)
    counted = []
    out = {}
    for solver in (jn.LevenbergMarquardt(), jn.GaussNewton()):
        with watch_compilations() as watch:
            out[solver.name] = jn.refine(objective, start, stages=STAGES, solver=solver, suggest=False)
        counted.append(watch.programs)
    return out, counted


def test_a_distorted_start_returns_to_the_true_coordinates_within_four_esds(fits):
    fit = fits[0]["levenberg-marquardt"]
    assert fit.converged
    for name, truth in TRUE_XYZ.items():
        label, element = name.rstrip("]").split("[")
        k = fit.parameters.labels.index(name)
        esd = np.concatenate([np.ravel(e) for e in fit.esds.values()])[k]
        assert abs(float(fit.parameters[name]) - truth) < 4 * esd, (label, element)
    assert fit.statistics["xrd"].gof == pytest.approx(1.0, abs=0.05)


def test_both_solvers_reach_the_same_minimum(fits):
    a, b = fits[0].values()
    esd = np.concatenate([np.ravel(e) for e in a.esds.values()])
    shift = np.abs(np.asarray(a.parameters.flat) - np.asarray(b.parameters.flat))
    assert np.all(shift <= 0.05 * esd + 1e-12)


def test_of_a_second_refinement_only_the_loop_with_another_rule_is_compiled(fits):
    first, second = fits[1]
    assert first["descend"] == 1 and dict(second) == {"descend": 1}


def test_a_refinement_and_its_report_are_few_programs(fits, tmp_path):
    """What the host does step by step is done with numpy: outside of programs every operation of JAX is one of its own."""
    (made, _), fit = fits[1], fits[0]["levenberg-marquardt"]
    with watch_compilations() as watch:
        write_report(fit, tmp_path)
    assert made.total() <= 5, made
    assert watch.count <= 4, watch.programs


def test_the_jacobian_is_plain_jacfwd_and_central_differences(objective):
    params = objective.parameters().set("xrd/scale", 100.0)
    params = params.free(
        "cell", "xyz", "u_iso", "xrd/scale", "xrd/displacement", "xrd/size", "xrd/strain", "xrd/W", "xrd/shl"
    )
    jacobian = np.asarray(objective.jacobian(params))
    layout, offset, transform = params.spec.layout, params.offset(), params.spec.transform
    function = lambda theta: residuals(layout, objective, offset, transform, theta)
    theta = jnp.asarray(params.theta)
    scale = params.spec.scale[params.spec.free_pivots]
    plain = np.asarray(jax.jacfwd(function)(theta)) / scale
    size = np.linalg.norm(jacobian, axis=0)
    assert np.max(np.linalg.norm(plain - jacobian, axis=0) / size) < 1e-10
    step = 1e-4
    for k in range(params.n_free):
        e = step * jnp.eye(params.n_free)[k]
        differences = (
            8 * (function(theta + e) - function(theta - e)) - (function(theta + 2 * e) - function(theta - 2 * e))
        ) / (12 * step)
        error = np.linalg.norm(np.asarray(differences) / scale[k] - jacobian[:, k]) / size[k]
        assert error < 1e-6, params.free_names[k]


def test_an_interrupted_run_keeps_the_last_good_step(objective, tmp_path):
    def stop(info):
        if info.step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.json"
    fit = jn.refine(
        objective, objective.parameters().set("xrd/size", 0.5), stages=STAGES, callback=stop, checkpoint=path
    )
    from jaxnmr.refinement import read_checkpoint

    assert fit.status == "interrupted"
    assert np.array_equal(read_checkpoint(path, objective.parameters()).flat, fit.parameters.flat)


def test_a_cell_five_per_cent_off_is_reported_as_a_misfit(pattern):
    crystal = quartz(cell=(5.16, 5.16, 5.67, 90, 90, 120))
    objective = objective_of(pattern, crystal)
    params = objective.parameters().free("xrd/scale", "xrd/background", "cell")
    fit = jn.refine(objective, params, throw=False, suggest=False)
    assert not fit.converged
    assert "cell" in fit.message.lower()
