"""A wavelength refined beside the only cell is said to mean nothing."""

import numpy as np
from small_problems import rutile

import jaxnmr as jn

ONE_LINE = jn.Instrument(wavelengths=(1.5406,))


def test_a_wavelength_refined_with_the_only_cell_is_named():
    experiment = jn.PowderDiffraction(ONE_LINE)
    made = experiment.simulate(rutile(), (25.0, 60.0, 0.1))
    y = np.random.default_rng(1).poisson(1e3 * np.asarray(made.y) / np.max(made.y) + 100.0).astype(float)
    objective = jn.Objective(
        jn.PatternTerm(experiment, jn.Pattern.create(made.x, y, instrument=ONE_LINE), name="xrd"), crystal=rutile()
    )
    start = objective.parameters().free("xrd/scale", "xrd/background")
    said = lambda *more: [
        w
        for w in jn.refine(objective, start.free(*more), throw=False, suggest=False).warnings
        if "their ratio only" in w
    ]
    both = said("cell", "xrd/wavelength[0]")
    assert len(both) == 1 and "xrd/wavelength[0] and cell[" in both[0]
    assert said("cell") == []
