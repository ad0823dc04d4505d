"""Measurements of a hidden zeolite structure, simulated: its powder pattern and NMR of 29Si and 17O, with noise.

What a laboratory would measure: a pattern of Cu Kα1 behind a germanium monochromator that ends at d = 1.5 Å, 10000 counts at
the highest point; the principal values of the seven shift tensors; C_Q and eta of the 14 oxygen sites; J couplings of
29Si across the oxygen atoms. Every peak is taken to be assigned to its site or linkage, which is optimistic.
"""

from dataclasses import dataclass

import numpy as np

import jaxnmr as jn
from jaxnmr.crystal import Crystal
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
# Hz of C_Q and eta of 17O: 1 % of C_Q, as fits of spectra from double rotation or MQMAS at several fields may reach
SIGMA_OXYGEN = (0.05e6, 0.05)
# measured couplings by those of the model: PBE makes them 5 % too large
OXYGEN_SLOPE = 0.952
# Hz, of J
SIGMA_J = 0.5
# MADE UP: J grows from 6 Hz at 135 to 24 Hz at 180 degrees, the size of couplings in siliceous zeolites; after the calibration
# 1.04 Hz sin(angle) per degree, 0.60 at 145 and 0.27 at 165 degrees
LAW = jn.CouplingLaw(offset_hz=-28.0, slope_hz=-42.0)
CALIBRATION = jn.CouplingCalibration.published("nmrcryspy/29Si-O-29Si")
# Hz, by which couplings scatter about a law that is not exact
LAW_SCATTER = 1.5
BRIDGES = ("Si", "O", "Si")


@dataclass(frozen=True)
class Measured:
    """What is known of a hidden structure.

    Attributes:
        pattern: counts.
        scale: factor of the calculated pattern, for the start.
        shifts: ``(7, 3)`` principal values in ppm, in descending order.
        oxygen: ``(14, 2)`` size of C_Q in Hz and eta.
        couplings: ``(13,)`` J in Hz of the linkages ``atoms``.
        sigma_couplings: Hz.
        atoms: of :func:`linkages`.
    """

    pattern: jn.Pattern
    scale: float
    shifts: np.ndarray
    oxygen: np.ndarray
    couplings: np.ndarray
    sigma_couplings: float
    atoms: list[tuple[str, str, str]]


def two_theta() -> np.ndarray:
    """Points of the pattern, degrees."""
    end = 2.0 * np.degrees(np.arcsin(INSTRUMENT.wavelengths[0] / (2.0 * SHORTEST)))
    return np.arange(5.0, end, STEP_DEG)


def experiment() -> jn.PowderDiffraction:
    """How the pattern is measured."""
    return jn.PowderDiffraction(INSTRUMENT, jn.Background.chebyshev(len(BACKGROUND)))


def linkages(framework: Crystal) -> list[tuple[str, str, str]]:
    """Linkages whose J can be measured: those of two Si that symmetry does not make equal."""
    found = jn.CouplingTerm.linkages(framework, BRIDGES)
    return [ends for ends in found if ends[0].split()[0] != ends[2].split()[0]]


def measure(
    hidden: Crystal,
    framework: Crystal,
    models: tuple[TensorModel, TensorModel],
    rng: np.random.Generator,
    *,
    sigma_model: bool = False,
    counts: float = COUNTS,
) -> Measured:
    """Simulate all measurements.

    Args:
        hidden: the structure.
        framework: names its linkages.
        models: of shieldings and of field gradients, which nature is supposed to have.
        rng: of all noise.
        sigma_model: errors of the models, with the uncertainties they state, and of the law are drawn too: what all sites of
            the structure have in common, and what each has of its own.
        counts: of the pattern at its highest point.
    """
    (shieldings, gradients), others = (model.predict(hidden) for model in models), rng.spawn(1)[0]
    sites = [k for k, element in enumerate(hidden.elements) if element == "Si"]
    tensors = np.asarray(shieldings.tensors["shielding"])[sites]
    if sigma_model:
        own, common = (
            np.asarray(of("shielding"))[sites][:, [0, -1]]
            for of in (shieldings.component_sigma, shieldings.common_sigma)
        )
        tensors = tensors + errors(own, rng) + common_errors(tensors, common, rng)
    values = np.linalg.eigvalsh(np.asarray(REFERENCE.shift_tensor(0.5 * (tensors + tensors.swapaxes(1, 2)))))
    noisy = values[:, ::-1] + rng.normal(0.0, SIGMA_PPM, (len(sites), 3))

    of_oxygen = gradients.quadrupolar("17O")
    oxygen = np.stack([OXYGEN_SLOPE * np.abs(of_oxygen.cq_hz), np.asarray(of_oxygen.eta)], axis=1)
    spread = np.broadcast_to(SIGMA_OXYGEN, oxygen.shape)
    if sigma_model:
        cq, eta = (np.asarray(gradients.sigma(quantity, "17O", part="own")) for quantity in ("cq", "eta_q"))
        spread = np.hypot(spread, np.stack([OXYGEN_SLOPE * cq, eta], axis=1))
        common = np.asarray(gradients.sigma("cq", "17O", part="common"))
        oxygen = oxygen + others.normal() * OXYGEN_SLOPE * np.stack([common, 0 * common], axis=1)
    # eta beyond its ends cannot be measured
    oxygen = np.clip(others.normal(oxygen, spread), 0.0, [np.inf, 1.0])

    atoms = linkages(framework)
    sigma_couplings = float(np.hypot(SIGMA_J, LAW_SCATTER)) if sigma_model else SIGMA_J
    term = jn.CouplingTerm.across(
        hidden, BRIDGES, np.zeros(len(atoms)), sigma=1.0, law=LAW, calibration=CALIBRATION, atoms=atoms
    )
    alone = jn.Objective(term, crystal=hidden)
    couplings = others.normal(np.asarray(alone.residuals(alone.parameters())), sigma_couplings)

    crystal = hidden.replace(u_iso=np.array([U_ISO[element] for element in hidden.elements]))
    plan = experiment().plan(crystal, two_theta())
    true = {name: np.array(q.value, dtype=float) for name, q in plan.quantities().items()}
    true["background"] = np.array(BACKGROUND)
    plan = plan.laid_out({crystal.name: crystal}, true)
    pattern = lambda: plan.curve({crystal.name: crystal}, true)
    level = plan.background @ true["background"]
    true["scale"] = true["scale"] * (counts - BACKGROUND[0]) / (pattern() - level).max()
    drawn = rng.poisson(pattern()).astype(float)
    measured = jn.Pattern.create(two_theta(), drawn, instrument=INSTRUMENT, name="simulated")
    return Measured(
        pattern=measured, scale=float(np.ravel(true["scale"])[0]), shifts=-np.sort(-noisy, axis=1), oxygen=oxygen,
        couplings=couplings, sigma_couplings=sigma_couplings, atoms=atoms,
    )  # fmt: skip


def errors(sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Symmetric tensors ``(sites, 3, 3)`` with normal components of l = 0 and 2 in any orthonormal basis, ``sigma`` ``(sites, 2)``."""
    drawn = rng.normal(size=(len(sigma), 3, 3))
    # elements off the diagonal of a symmetric tensor count twice
    drawn = 0.5 * (drawn + drawn.swapaxes(1, 2))
    unity = np.eye(3) / 3.0
    trace = np.trace(drawn, axis1=1, axis2=2)[:, None, None] * unity
    return sigma[:, :1, None] * trace + sigma[:, 1:, None] * (drawn - trace)


def common_errors(tensors: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Errors ``(sites, 3, 3)`` that all sites share, a constant and a factor of the anisotropy; ``sigma`` ``(sites, 2)``."""
    constant, factor = rng.normal(size=2)
    isotropic = np.trace(tensors, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3.0
    anisotropic = 0.5 * (tensors + tensors.swapaxes(1, 2)) - isotropic
    return constant * sigma[:, :1, None] * np.eye(3) / np.sqrt(3.0) + factor * sigma[:, 1:, None] * anisotropic
