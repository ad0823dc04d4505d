"""Recipe of a training, and information for callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...errors import ConventionError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training options.

    Attributes:
        epochs: number of passes over the data.
        batch: largest number of structures in a step, on all devices together: the result does not depend on the number
            of devices.
        learning_rate: peak learning rate, after ``warmup`` (a fraction of all steps); then a cosine decay to a hundredth.
        weight_decay: weight decay of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the exponentially averaged weights, which are those kept.
        delta: error at which the loss changes from quadratic to linear, in units of the spread of the labels.
        offset: scatter, relative to errors of single atoms, of a constant error common to all isotropic labels of a
            structure that cannot be predicted from the structure, such as an unconverged macroscopic susceptibility. 0
            for none.
        seed: seed of parameters and order.
    """

    epochs: int = 200
    batch: int = 8
    learning_rate: float = 5e-3
    warmup: float = 0.05
    weight_decay: float = 1e-5
    clip: float = 1.0
    ema: float = 0.99
    delta: float = 0.3
    offset: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch", "learning_rate", "clip", "delta"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a positive number")
        if not (np.isfinite(self.offset) and self.offset >= 0):
            raise ConventionError(f"offset is {self.offset}; expected 0 or a positive number")
        for name in ("warmup", "ema"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a fraction from 0 to below 1")


class EpochInfo(NamedTuple):
    """Progress of a training after an epoch; losses are per label, in scaled units."""

    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float | None
