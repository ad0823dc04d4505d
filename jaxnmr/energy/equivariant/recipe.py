"""How network potentials are trained, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...errors import ConventionError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the frames.
        batch: frames in a step.
        learning_rate: at its peak, after ``warmup`` (a fraction of all steps); then a cosine down to a hundredth.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones that are kept.
        energy, force, stress: sizes of errors that count alike: eV per atom, eV/Å per component, eV per atom (stress times the
            volume of an atom).
        bend: in units of these sizes: errors beyond it count by their size instead of its square.
        every: epochs between two validations.
        seed: of parameters and order.
    """

    epochs: int = 100
    batch: int = 4
    learning_rate: float = 1e-2
    warmup: float = 0.02
    clip: float = 10.0
    ema: float = 0.999
    energy: float = 0.005
    force: float = 0.1
    stress: float = 0.03
    bend: float = 5.0
    every: int = 5
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch", "learning_rate", "clip", "energy", "force", "stress", "bend", "every"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a positive number")
        for name in ("warmup", "ema"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a fraction from 0 to below 1")


class Epoch(NamedTuple):
    """What a callback is told after every epoch.

    Attributes:
        epoch, epochs: done, and of all.
        loss: mean over the epoch.
        energy, force, stress: root mean squares of the validation with averaged weights, meV per atom, meV/Å, meV per atom;
            ``None`` in epochs without one.
        cpu: seconds of this process so far, those before an interruption included.
    """

    epoch: int
    epochs: int
    loss: float
    energy: float | None
    force: float | None
    stress: float | None
    cpu: float
