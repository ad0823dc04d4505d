"""Crystals that tests of structure solution simulate intensities of, as arguments of `jaxnmr.Crystal.create`; and the pattern of one."""

from pathlib import Path

import numpy as np

import jaxnmr as jn

QUARTZ = dict(
    cell=[4.9134, 4.9134, 5.4052, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], b_iso=0.6,
)  # fmt: skip
# R. I. Smith et al. (anglesite, Pnma), rounded
ANGLESITE = dict(
    cell=[8.478, 5.397, 6.958, 90, 90, 90], spacegroup="P n m a", species=["Pb", "S", "O", "O", "O"],
    xyz=[[0.1879, 0.25, 0.1671], [0.063, 0.25, 0.686], [0.908, 0.25, 0.595], [0.194, 0.25, 0.543], [0.082, 0.026, 0.809]], b_iso=0.6,
)  # fmt: skip
RUTILE = dict(
    cell=(4.594, 4.594, 2.959, 90, 90, 90), spacegroup="P 42/m n m", species=("Ti", "O"), xyz=((0, 0, 0), (0.3053, 0.3053, 0)),
)  # fmt: skip


def write_rutile(folder: Path) -> Path:
    """A simulated pattern of rutile with the noise of counts, of 1.540593 Å, in a file."""
    crystal = jn.Crystal.create(**RUTILE, u_iso=0.006, name="rutile")
    instrument = jn.Instrument(wavelengths=(1.540593,), U=2.0, V=-2.0, W=12.0, shl=0.0)
    experiment = jn.PowderDiffraction(instrument=instrument, background=jn.Background.chebyshev(3))
    smooth = experiment.simulate(crystal, (20.0, 125.0, 0.03), values={"scale": 1.0, "size": 0.3})
    y = np.random.default_rng(3).poisson(np.asarray(smooth.y) / np.max(smooth.y) * 8000.0 + 60.0).astype(float)
    path = folder / "rutile.xye"
    jn.write_pattern(jn.Pattern.create(smooth.x, y, name="rutile"), path)
    return path
