"""The shipped examples on measured data reach the agreement other programs reach.

Reference values: GSAS-II on the same data, refined in the same stages (Rwp in per cent).
"""

from pathlib import Path

import pytest

import jaxnmr as jn
from jaxnmr.runfile import load_run

pytestmark = pytest.mark.real_data
EXAMPLES = Path(__file__).parents[2] / "examples"


# GSAS-II: 9.415, 9.766, 10.58 / 4.53, 8.70, 4.70
@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("fap", {"xrd": 9.46}),
        ("pbso4", {"xrd": 9.81}),
        ("pbso4_xn", {"xrd": 10.63, "npd": 4.58}),
        ("nac", {"xrd": 8.75}),
        ("nanbo2f2", {"xrd": 4.75}),
    ],
)
def test_an_example_reaches_the_agreement_of_gsas(name, limits, data):
    setup = load_run(EXAMPLES / f"{name}.toml").build()
    fit = jn.refine(setup.objective, setup.parameters, stages=setup.stages, solver=setup.solver, suggest=False)
    assert fit.converged
    for histogram, limit in limits.items():
        assert fit.statistics[histogram].rwp <= limit
