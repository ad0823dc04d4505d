"""The shipped examples on measured data reach what other programs reach.

Reference values: GSAS-II on the same patterns, refined in the same stages (Rwp in per cent); DMFit on the same spectra.
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


# what DMFit found in the same spectra (Zakary et al., J. Alloys Compd. 1010, 177457 (2025)), and how close is close
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nanbo2f2_19f", {"f/shift[F1]": (-63.44, 0.3), "f/shift[F2]": (-91.00, 0.3)}),
        (
            "nanbo2f2_23na",
            {"na/cq[Na1]": (1.603e6, 15e3), "na/eta_q[Na1]": (0.707, 0.03), "na/shift[Na1]": (-9.83, 0.3)},
        ),
        # not evenly excited: see the example
        ("nanbo2f2_93nb", {"nb/cq[Nb1]": (42.04e6, 1.5e6), "nb/eta_q[Nb1]": (0.602, 0.03)}),
    ],
)
def test_an_example_finds_what_dmfit_found_in_the_spectrum(name, found, data):
    setup = load_run(EXAMPLES / f"{name}.toml").build()
    fit = jn.refine(setup.objective, setup.parameters, stages=setup.stages, solver=setup.solver, suggest=False)
    assert fit.converged
    for label, (value, tolerance) in found.items():
        assert abs(fit.parameters[label] - value) < tolerance, label
