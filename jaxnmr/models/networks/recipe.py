"""Training options that do not depend on what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import ConventionError


@dataclass(frozen=True, kw_only=True)
class DescentRecipe:
    """Options of a descent: see `descent.py`.

    Attributes:
        epochs: number of passes over the data.
        batch: number of structures in a step.
        learning_rate: peak learning rate, after ``warmup`` (a fraction of all steps); then a cosine down to a hundredth.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are those kept.
        every: epochs between two validations.
        seed: seed of parameters and order.
    """

    epochs: int = 100
    batch: int = 4
    learning_rate: float = 1e-2
    warmup: float = 0.02
    clip: float = 10.0
    ema: float = 0.999
    every: int = 5
    seed: int = 0

    # names of options by range
    POSITIVE: ClassVar[tuple[str, ...]] = ("epochs", "batch", "learning_rate", "clip", "every")
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ()
    FRACTIONS: ClassVar[tuple[str, ...]] = ("warmup", "ema")

    def __post_init__(self):
        for name in self.POSITIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a positive number")
        for name in self.NOT_NEGATIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected 0 or a positive number")
        for name in self.FRACTIONS:
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a fraction from 0 to below 1")
