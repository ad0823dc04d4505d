"""Write quartz.xye: a simulated laboratory pattern of alpha-quartz with counting noise.

Structure: Levien, Prewitt & Weidner, American Mineralogist 65, 920 (1980), alpha-quartz at 1 atm, a = 4.916 Å,
c = 5.4054 Å, Si (0.4697, 0, 0), O (0.4135, 0.2669, 0.1191) with the origin on the twofold axis of silicon; here in the
setting of International Tables, P 32 2 1 with z + 2/3. The displacement parameters, the diffractometer and the
specimen are ours. Run it again and the same numbers come out: the seed is fixed.

    python examples/quartz/make_pattern.py
"""

from collections.abc import Mapping
from pathlib import Path

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


def expected_counts(x: np.ndarray, truth: Mapping, highest_peak: float) -> np.ndarray:
    """Mean counts at the angles ``x``: peaks that reach ``highest_peak`` above the background."""
    quartz = jn.Crystal.create(**QUARTZ)
    terms = jn.Background.chebyshev(len(truth["background"]))
    calculated = jn.PowderDiffraction(DIFFRACTOMETER, terms).simulate(quartz, x, values=truth)
    background = terms.basis(x, x[0], x[-1]) @ truth["background"]
    peaks = calculated.y - background
    return peaks * (highest_peak / peaks.max()) + background


def counted(x: np.ndarray, expected: np.ndarray, seed: int) -> jn.Pattern:
    """A Poisson draw around the expected counts."""
    counts = poisson.ppf(np.random.default_rng(seed).uniform(size=len(x)), expected)  # one random number per point
    sigma = np.round(np.sqrt(np.maximum(counts, 1.0)), 4)
    return jn.Pattern.create(np.round(x, 4), counts, sigma, name="quartz, simulated")


def simulate() -> jn.Pattern:
    """The pattern: calculated counts, and a Poisson draw around each."""
    x = np.linspace(18.0, 118.0, 4001)
    return counted(x, expected_counts(x, TRUTH, HIGHEST_PEAK), SEED)


def write(pattern: jn.Pattern, path: Path, script: str) -> Path:
    """Store a pattern with a note that it is simulated, and by which script."""
    path = jn.write_pattern(pattern, path)
    note = f"# simulated, not measured: alpha-quartz, Cu K alpha, Poisson noise; made by {script}\n"
    path.write_text(note + path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def main() -> None:
    jn.enable_x64()
    print(write(simulate(), Path(__file__).with_name("quartz.xye"), "make_pattern.py"))


if __name__ == "__main__":
    main()
