"""A series of one material compiles once: what only describes its members, and small differences of size, change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from small_problems import DOUBLET, Equations, histogram, rutile

import jaxnmr as jn
from jaxnmr._struct import BLANK, NoteRead, bare, compiled, static, struct
from jaxnmr.errors import ParameterError

CELLS, WIDTHS = (1.0, 1.004, 0.994), (1.0, 1.3, 0.8)
STAGES = (jn.Stage(("xrd/scale", "xrd/background")), jn.Stage(("cell", "xrd/W", "xrd/size")), jn.Stage("xyz"))


def heated(factor: float, name: str) -> jn.Crystal:
    return rutile().replace(cell=np.asarray(rutile().cell) * [factor, factor, factor, 1, 1, 1], name=name)


def member(k: int, x) -> tuple[jn.Objective, jn.Parameters, jn.Crystal]:
    """One pattern of a series: another file, another cell, other starting widths."""
    true = heated(CELLS[k], "rutile")
    term, _ = histogram(true, DOUBLET, x, values={"size": 0.1}, seed=k)
    instrument = DOUBLET.replace(U=2.0 * WIDTHS[k], V=-2.0 * WIDTHS[k], W=5.0 * WIDTHS[k], name=f"diffractometer {k}")
    pattern = jn.Pattern.create(x, term.observed, term.sigma, instrument=instrument, name=f"run{k:03}.xye")
    start = {"rutile": heated(CELLS[k] * 1.001, f"from run{k:03}.cif")}
    plan = jn.PowderDiffraction.plan(start, pattern, background=jn.Background.chebyshev(3))
    objective = jn.Objective(jn.PatternTerm(plan, pattern), crystal=start)
    return objective, objective.parameters().set("xrd/size", 0.12), true


def test_a_series_of_patterns_compiles_nothing_after_the_first():
    x = np.arange(24, 72, 0.1)
    counted, fits = [], []
    problems = [member(k, x) for k in range(3)]
    for k, (objective, params, true) in enumerate(problems):
        with compilations() as programs:
            fit = jn.refine(objective, params, stages=STAGES)
        counted.append(programs)
        fits.append(fit)
        a, esd = float(fit.parameters["cell[a]"]), float(fit.esds["cell"][0])
        assert fit.converged and abs(a - true.cell[0]) < 4 * esd
        assert fit.crystal.name == f"from run{k:03}.cif"
        assert fit.objective.terms[0].source == f"run{k:03}.xye"
        assert fit.objective.terms[0].model.instrument.name == f"diffractometer {k}"
    print(counted)
    assert counted[0]["residuals"] == counted[0]["residuals_and_jacobian"] == 1
    assert not counted[1] and not counted[2]
