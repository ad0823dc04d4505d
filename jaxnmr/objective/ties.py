"""Ties: values that follow others linearly, individually or so that a sum is constant.

Every tie removes one refined direction. The remaining freedom is the null space of all ties together, written in the
numbers that are left, so that the uncertainties of tied values come from the same matrix as all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._words import counted


@dataclass(frozen=True)
class Tie:
    """A relation ``vector[target] = sum factor * vector[source] + offset``; the target is the pivot of a direction.

    Attributes:
        target, sources, factors, offset: see the formula above.
        total: the sum kept constant by this tie, as text; empty if the user chose the target.
    """

    target: int
    sources: tuple[int, ...]
    factors: tuple[float, ...]
    offset: float
    total: str = ""

    def written(self, labels: Sequence[str]) -> str:
        """Return what the target equals: ``"1 - occupancy[Ca1] - occupancy[Sr1]"``; for a plain tie, its source."""
        if len(self.sources) == 1 and not self.total:
            return labels[self.sources[0]]
        return combination(
            [labels[s] for s in self.sources], self.factors, self.offset if self.offset or not self.sources else None
        )


class Following:
    """Linear map from untied to tied directions.

    Attributes:
        followers: index of the direction of each tie.
        slopes: ``(ties, directions)``, derivatives of the tied numbers by those of the untied directions.
    """

    def __init__(self, directions: np.ndarray, pivots: np.ndarray, ties: Sequence[Tie]):
        self.ties = tuple(ties)
        place = {int(pivot): k for k, pivot in enumerate(pivots)}
        self.followers = np.array([place[tie.target] for tie in ties], dtype=int)
        self.along = directions[:, self.followers]
        rows = np.zeros((len(ties), len(pivots)))
        for row, tie in zip(rows, ties, strict=True):
            for source, factor in zip(tie.sources, tie.factors, strict=True):
                row += factor * directions[source]
        # followers can be sources only of sums: plain ties may not be chained
        self.within = np.eye(len(ties)) - rows[:, self.followers]
        rows[:, self.followers] = 0.0
        self.slopes = np.linalg.solve(self.within, rows)

    def settled(self, flat: np.ndarray) -> np.ndarray:
        """Return a copy of a vector with tied values updated."""
        misses = [
            sum(f * flat[s] for s, f in zip(tie.sources, tie.factors, strict=True)) + tie.offset - flat[tie.target]
            for tie in self.ties
        ]
        return flat + self.along @ np.linalg.solve(self.within, misses) if misses else flat.copy()


def outside(value: float, lower: float, upper: float) -> bool:
    """Return whether a value exceeds its bounds by more than rounding."""
    room = 1e-9 * max(abs(value), 1.0)
    return bool(value < lower - room or value > upper + room)


def combination(names: Sequence[str], factors: Sequence[float] | np.ndarray, offset: float | None = None) -> str:
    """Write a linear combination as text: ``"1 - a + 0.5 b"``."""
    parts = [] if offset is None else [(offset, f"{abs(offset):.6g}")]
    parts += [
        (f, name if abs(abs(f) - 1.0) < 1e-12 else f"{abs(f):.6g} {name}")
        for f, name in zip(factors, names, strict=True)
    ]
    if len(parts) > 12:
        rest = f"... ({counted(len(parts) - 10, 'more value')})"
        parts = [*parts[:10], (1.0, rest)]
    text = " ".join(f"{'-' if f < 0 else '+'} {part}" for f, part in parts)
    return text.removeprefix("+ ") if text.startswith("+") else text.replace("- ", "-", 1)
