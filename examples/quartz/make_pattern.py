"""Write quartz.xye: a simulated laboratory pattern of alpha-quartz with counting noise.

Structure: Levien, Prewitt & Weidner, American Mineralogist 65, 920 (1980), alpha-quartz at 1 atm, a = 4.916 Å,
c = 5.4054 Å, Si (0.4697, 0, 0), O (0.4135, 0.2669, 0.1191) with the origin on the twofold axis of silicon; here in the
setting of International Tables, P 32 2 1 with z + 2/3. The displacement parameters, the diffractometer and the
specimen are ours. Run it again and the same numbers come out: the seed is fixed.

    python examples/quartz/make_pattern.py
"""

from pathlib import Path

import jax
import numpy as np
from scipy.stats import poisson

import jaxnmr as jn

SEED = 1980
HIGHEST_PEAK = 12000.0  # counts above background
TRUTH = {"size": [0.20], "strain": [600.0], "displacement": 60.0, "background": [260.0, -150.0, 70.0, -25.0, 8.0]}

QUARTZ = dict(
    cell=[4.916, 4.916, 5.4054, 90, 90, 120],
    spacegroup="P 32 2 1",
    species=["Si", "O"],
    labels=["Si1", "O1"],
    xyz=[[0.4697, 0.0, 2 / 3], [0.4135, 0.2669, 0.1191 + 2 / 3]],
    u_iso=[0.0070, 0.0135],
    name="quartz",
)
DIFFRACTOMETER = jn.Instrument(wavelengths=(1.540593, 1.544427), radius_mm=217.5, shl=0.02)


def simulate() -> jn.Pattern:
    """The pattern: calculated counts, and a Poisson draw around each."""
    quartz = jn.Crystal.create(**QUARTZ)
    x = np.linspace(18.0, 118.0, 4001)
    empty = jn.Pattern.create(x, np.ones_like(x), instrument=DIFFRACTOMETER)
    plan = jn.PowderDiffraction.plan(quartz, empty, background=jn.Background.chebyshev(5))
    objective = jn.Objective(jn.PatternTerm(plan, empty), crystal=quartz)
    truth = objective.parameters()
    for name, value in TRUTH.items():
        truth = truth.set(f"xrd/{name}", value)
    objective, _ = objective.refreshed(truth)
    (term,) = objective.terms
    calculated = np.asarray(jax.jit(lambda term, state: term.calculated(state))(term, objective.state(truth.values)))
    background = np.asarray(plan.background) @ TRUTH["background"]
    peaks = calculated - background
    expected = peaks * (HIGHEST_PEAK / peaks.max()) + background
    counts = poisson.ppf(np.random.default_rng(SEED).uniform(size=len(x)), expected)  # one random number per point
    sigma = np.round(np.sqrt(np.maximum(counts, 1.0)), 4)
    return jn.Pattern.create(np.round(x, 4), counts, sigma, name="quartz, simulated")


def main() -> None:
    jn.enable_x64()
    path = jn.write_pattern(simulate(), Path(__file__).with_name("quartz.xye"))
    note = "# simulated, not measured: alpha-quartz, Cu K alpha, Poisson noise; made by make_pattern.py\n"
    path.write_text(note + path.read_text(encoding="utf-8"), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
