"""How Hamiltonian models are trained, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import ConventionError


@dataclass(frozen=True, kw_only=True)
class HamiltonianRecipe:
    """How to train.

    Attributes:
        epochs: passes over the data.
        batch: geometries in a step.
        learning_rate: at its peak, after ``warmup`` (a fraction of all steps); then a cosine down to a hundredth.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones that are kept.
        energies, occupied: weights of orbital energies and of the projector in the loss, see `losses`.
        orbitals_from: fraction of the epochs after which these are in it: before, the orbitals are those of noise.
        every: epochs between two validations.
        seed: of parameters and order.
    """

    epochs: int = 200
    batch: int = 5
    learning_rate: float = 5e-3
    warmup: float = 0.02
    clip: float = 50.0
    ema: float = 0.99
    energies: float = 0.0
    occupied: float = 0.0
    orbitals_from: float = 0.5
    every: int = 5
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch", "learning_rate", "clip", "every"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a positive number")
        for name in ("energies", "occupied"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected 0 or a positive number")
        for name in ("warmup", "ema", "orbitals_from"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a fraction from 0 to below 1")


class EpochOfHamiltonian(NamedTuple):
    """What a callback is told after every epoch.

    Attributes:
        epoch, epochs: done, and of all.
        loss: mean over the epoch, mEh.
        h_mae, eps_mae: meV, of the validation with averaged weights; ``None`` in epochs without one.
        cpu: seconds of this process so far, those before an interruption included.
    """

    epoch: int
    epochs: int
    loss: float
    h_mae: float | None
    eps_mae: float | None
    cpu: float
