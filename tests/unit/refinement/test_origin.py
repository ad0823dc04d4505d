"""Origins that polar groups leave open are held at the heaviest atom, and only where nothing else holds them."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import polar_directions
from jaxnmr.refinement.origin import held_origins

INSTRUMENT = jn.Instrument(wavelengths=(1.54056,))
FREE = ("xyz", "cell", "u_iso", "xrd/scale")


def perovskite(group="P 4 m m"):
    """A tetragonal perovskite, made up: all z are free."""
    return jn.Crystal.create(
        cell=[3.9, 3.9, 4.15, 90, 90, 90], spacegroup=group, labels=["Pb1", "Ti1", "O1", "O2"],
        species=["Pb", "Ti", "O", "O"], xyz=[[0, 0, 0.01], [0.5, 0.5, 0.54], [0.5, 0.5, 0.11], [0.5, 0, 0.62]],
        u_iso=0.008, name="perovskite",
    )  # fmt: skip


def objective_of(crystal, *others):
    x = np.arange(20.0, 90.0, 0.05)
    experiment = jn.PowderDiffraction(INSTRUMENT, jn.Background.chebyshev(1))
    pattern = experiment.simulate(crystal, x, values={"scale": 30.0, "size": 0.08})
    noisy = np.random.default_rng(0).poisson(np.asarray(pattern.y) + 50.0).astype(float)
    term = jn.PatternTerm(experiment, jn.Pattern.create(x, noisy, name="xrd"))
    return jn.Objective(sum(others, start=term), crystal=crystal)


@pytest.mark.parametrize(
    ("group", "cell", "expected"),
    [
        ("P 4 m m", [4, 4, 5, 90, 90, 90], [[0, 0, 1]]),
        ("P 1 21 1", [4, 5, 6, 90, 100, 90], [[0, 1, 0]]),
        ("P 1 m 1", [4, 5, 6, 90, 100, 90], [[1, 0, 0], [0, 0, 1]]),
        ("R 3 m:R", [5, 5, 5, 80, 80, 80], [[1, 1, 1]]),
        ("P 32 2 1", [5, 5, 6, 90, 90, 120], []),
        ("P -1", [4, 5, 6, 80, 85, 95], []),
    ],
)
def test_polar_directions_are_those_that_all_operations_leave_alone(group, cell, expected):
    crystal = jn.Crystal.create(cell=cell, spacegroup=group, labels=["O1"], species=["O"], xyz=[[0.1, 0.2, 0.3]])
    found = polar_directions(crystal)
    assert len(found) == len(expected)
    for direction in expected:
        of_length_one = np.array(direction) / np.linalg.norm(direction)
        np.testing.assert_allclose(found.T @ (found @ of_length_one), of_length_one, atol=1e-12)


@pytest.fixture(scope="module")
def floating():
    objective = objective_of(perovskite())
    params = objective.parameters().set("xrd/scale", 30.0).set("xrd/size", 0.08).set("xrd/background", 50.0)
    return objective, params.free(*FREE)


def held(objective, params):
    return held_origins(objective, params, [np.ones(params.n_free, dtype=bool)])


def test_the_coordinate_of_the_heaviest_atom_is_held_and_said(floating):
    params, (mask,) = held(*floating)
    assert set(floating[1].free_names) - set(params.free_names) == {"xyz[Pb1.z]"} and len(mask) == params.n_free
    assert "open along [0 0 1]: xyz[Pb1.z] was held" in params.spec.notes["xyz[Pb1.z]"]


def test_nothing_is_held_where_a_coordinate_is_fixed_or_something_knows_the_origin(floating):
    objective, params = floating
    assert held(objective, params.fix("xyz[O2.z]"))[0].n_free == params.n_free - 1
    with_prior = objective + jn.Prior("xyz[Ti1.z]", 0.54, 0.001)
    assert held(with_prior, params)[0].n_free == params.n_free
    assert held(objective + jn.Prior("u_iso", 0.01, 0.01), params)[0].n_free == params.n_free - 1


def test_a_polar_structure_is_refined_to_its_end(floating):
    objective, params = floating
    fit = jn.refine(objective, params.set("xyz[Ti1.z]", 0.535).set("xyz[O1.z]", 0.12), suggest=False)
    assert fit.converged and len(fit.steps) < 10 and fit.null_directions == ()
    assert any("xyz[Pb1.z] was held" in sentence for sentence in fit.warnings)
    for label, truth in (("Ti1", 0.54), ("O1", 0.11), ("O2", 0.62)):
        row = fit.parameters.labels.index(f"xyz[{label}.z]")
        esd = np.concatenate([np.ravel(e) for e in fit.esds.values()])[row]
        assert abs(fit.parameters[f"xyz[{label}.z]"] - truth) < 4 * esd
