"""Measured or simulated echo curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Num

from ...errors import DataError, ShapeError
from .sequence import PulseSequence

# <I_+> of spins ½ cannot be longer
_LONGEST = 0.5
_ROOM = 0.1


@dataclass(frozen=True, eq=False)
class Echo:
    """Echo curves ``<I_x> + i <I_y>`` of the same pulse sequence.

    Attributes:
        curves: ``(curves, points)``; a single one may be given as ``(points,)``.
        time: ``(points,)`` in µs; ``None`` if a file has none.
        source: their origin.
    """

    curves: Num[np.ndarray, ...]
    time: Num[np.ndarray, ...] | None = None
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        curves = np.atleast_2d(np.asarray(self.curves, dtype=complex))
        where = f"{self.source}: " if self.source else ""
        if curves.ndim != 2 or curves.shape[1] < 2:
            raise ShapeError(f"{where}curves have the shape {curves.shape}; expected (curves, points)")
        bad = np.argwhere(~np.isfinite(curves))
        if len(bad):
            raise DataError(
                f"{where}point {bad[0, 1] + 1} of curve {bad[0, 0] + 1} is not a number; leave that curve out, or repair it"
            )
        if self.time is not None:
            time = np.asarray(self.time, dtype=float)
            if time.shape != curves.shape[1:]:
                raise ShapeError(
                    f"{where}there are {curves.shape[1]} points and {time.size} times; expected one time a point"
                )
            if not np.isfinite(time).all() or (np.diff(time) <= 0.0).any():
                raise DataError(f"{where}times do not increase from point to point; expected µs after the first pulse")
            object.__setattr__(self, "time", time)
        object.__setattr__(self, "curves", curves)

    def __len__(self) -> int:
        return len(self.curves)

    def checked(self, sequence: PulseSequence) -> Self:
        """Return these curves after checking that they fit a pulse sequence.

        Raises:
            ShapeError: a different number of points.
            DataError: a scale other than that of spins ½, or different times.
        """
        where = f"{self.source}: " if self.source else ""
        points = self.curves.shape[1]
        if points != sequence.points:
            raise ShapeError(
                f"{where}curves have {points} points, and the pulse sequence records {sequence.points}: give the sequence that they "
                "were measured with"
            )
        size = np.abs(self.curves).max(axis=1)
        if size.max() > _LONGEST + _ROOM or size.max() < 1e-3:
            k = int(size.argmax())
            raise DataError(
                f"{where}the largest |M| of curve {k + 1} is {size[k]:.3g}; expected at most 0.5, what spins ½ have after a pulse of "
                "90°: divide the curves by twice their first point"
            )
        if self.time is not None:
            off = np.abs(self.time - sequence.time_us)
            if off.max() > 0.5 * float(np.diff(sequence.time_us).min()):
                k = int(off.argmax())
                raise DataError(
                    f"{where}point {k + 1} is at {self.time[k]:.4g} µs, and at {sequence.time_us[k]:.4g} µs in the pulse sequence: "
                    "give the sequence and the step that they were measured with, and times in µs after the first pulse"
                )
        return self
