"""Measurements of a hidden zeolite structure, simulated: its powder pattern and its 29Si shift tensors, with noise.

What a laboratory would measure: a pattern of Cu Kα1 behind a germanium monochromator that ends at d = 1.5 Å, 10000 counts at
the highest point, and the principal values of the seven shift tensors.
"""

from dataclasses import dataclass

import numpy as np

import jaxnmr as jn
from jaxnmr.crystal import Crystal
from jaxnmr.diffraction.powder import compiled_pattern
from jaxnmr.models import TensorModel

COUNTS, SHORTEST, STEP_DEG = 10000.0, 1.5, 0.02
INSTRUMENT = jn.Instrument(
    wavelengths=(1.540593,), monochromator_deg=27.3, U=3.0, V=-3.0, W=7.0, X=1.5, Y=3.0, shl=0.02, name="laboratory"
)
BACKGROUND = (300.0, -120.0, 40.0, 0.0)
U_ISO = {"Si": 0.010, "O": 0.020}
# Å², before they are refined
U_START = 0.015
# ppm, of every principal value
SIGMA_PPM = 0.5
# of valence electrons; the data of the model have those of the core added
REFERENCE = jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)


@dataclass(frozen=True)
class Measured:
    """What is known of a hidden structure.

    Attributes:
        pattern: counts.
        scale: factor of the calculated pattern, for the start.
        shifts: ``(7, 3)`` principal values in ppm, in descending order.
    """

    pattern: jn.Pattern
    scale: float
    shifts: np.ndarray


def two_theta() -> np.ndarray:
    """Points of the pattern, degrees."""
    end = 2.0 * np.degrees(np.arcsin(INSTRUMENT.wavelengths[0] / (2.0 * SHORTEST)))
    return np.arange(5.0, end, STEP_DEG)


def planned(crystal: Crystal) -> jn.PowderDiffraction:
    """The calculation of the pattern; its reflections and shapes belong to the cell."""
    x = two_theta()
    flat = jn.Pattern.create(x, np.full(x.shape, BACKGROUND[0]), instrument=INSTRUMENT)
    return jn.PowderDiffraction.plan(crystal, flat, background=jn.Background.chebyshev(len(BACKGROUND)))


def measure(hidden: Crystal, model: TensorModel, rng: np.random.Generator, *, of_model: np.ndarray | None) -> Measured:
    """Simulate both measurements.

    Args:
        hidden: the structure.
        model: whose tensors nature is supposed to have.
        rng: of all noise.
        of_model: ``(7, 2)`` standard deviations of the components of l = 0 and l = 2 of the shielding, ppm: errors of the
            model are drawn too; ``None`` for a model that is right.
    """
    sites = [k for k, element in enumerate(hidden.elements) if element == "Si"]
    tensors = np.asarray(model.predict(hidden).tensors["shielding"])[sites]
    if of_model is not None:
        tensors = tensors + errors(of_model, rng)
    values = np.linalg.eigvalsh(np.asarray(REFERENCE.shift_tensor(0.5 * (tensors + tensors.swapaxes(1, 2)))))
    noisy = values[:, ::-1] + rng.normal(0.0, SIGMA_PPM, (len(sites), 3))

    crystal = hidden.replace(u_iso=np.array([U_ISO[element] for element in hidden.elements]))
    plan = planned(crystal)
    true = {name: np.array(q.value, dtype=float) for name, q in plan.quantities().items()}
    true["background"] = np.array(BACKGROUND)
    plan = plan.laid_out({crystal.name: crystal}, true)
    pattern = lambda: np.asarray(compiled_pattern(plan, {crystal.name: crystal}, true))
    level = plan.background @ true["background"]
    true["scale"] = true["scale"] * (COUNTS - BACKGROUND[0]) / (pattern() - level).max()
    counts = rng.poisson(pattern()).astype(float)
    measured = jn.Pattern.create(two_theta(), counts, instrument=INSTRUMENT, name="simulated")
    return Measured(pattern=measured, scale=float(np.ravel(true["scale"])[0]), shifts=-np.sort(-noisy, axis=1))


def errors(sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Symmetric tensors ``(sites, 3, 3)`` with normal components of l = 0 and 2 in any orthonormal basis, ``sigma`` ``(sites, 2)``."""
    drawn = rng.normal(size=(len(sigma), 3, 3))
    # elements off the diagonal of a symmetric tensor count twice
    drawn = 0.5 * (drawn + drawn.swapaxes(1, 2))
    unity = np.eye(3) / 3.0
    trace = np.trace(drawn, axis1=1, axis2=2)[:, None, None] * unity
    return sigma[:, :1, None] * trace + sigma[:, 1:, None] * (drawn - trace)
