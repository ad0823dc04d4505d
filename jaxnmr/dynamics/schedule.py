"""How long an average is simulated, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from .ensemble import Ensemble

_FEWEST_FRAMES = 20


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long to simulate, and how.

    Attributes:
        settle_ps: before averaging begins, ps.
        run_ps: of averaging, ps.
        timestep_fs: fs.
        every_fs: between frames whose tensors are predicted, fs.
        cell: ``"full"``: lengths and angles fluctuate, ``"isotropic"`` or ``"fixed"``.
        pressure_gpa: GPa, where the cell is not fixed.
        relaxation_fs: of the thermostat, fs.
        seed: of velocities and random forces.
    """

    settle_ps: float = 2.0
    run_ps: float = 10.0
    timestep_fs: float = 1.0
    every_fs: float = 50.0
    cell: str = "full"
    pressure_gpa: float = 1.01325e-4
    relaxation_fs: float = 500.0
    seed: int = 0

    def __post_init__(self):
        for name in ("run_ps", "every_fs", "timestep_fs"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ParameterError(f"{name} is {value}; expected a positive time")
        if not (np.isfinite(self.settle_ps) and self.settle_ps >= 0):
            raise ParameterError(f"settle_ps is {self.settle_ps}; expected a time in ps, 0 or more")
        if self.cell not in ("full", "isotropic", "fixed"):
            raise ParameterError(f"cell is {self.cell!r}; expected 'full', 'isotropic' or 'fixed'")
        # what it checks itself is told now, not when a simulation begins
        self.ensemble(300.0)
        if self.every < 1 or abs(self.every * self.timestep_fs / self.every_fs - 1.0) > 1e-6:
            near = max(self.every, 1) * self.timestep_fs
            raise ParameterError(
                f"every_fs is {self.every_fs:g}; expected a whole number of timesteps of {self.timestep_fs:g} fs, such as {near:g}"
            )
        if self.frames < _FEWEST_FRAMES:
            raise ParameterError(
                f"run_ps = {self.run_ps:g} with every_fs = {self.every_fs:g} gives {self.frames} frames; expected at least "
                f"{_FEWEST_FRAMES}, so that their error can be told"
            )

    @property
    def every(self) -> int:
        """Steps between frames."""
        return round(self.every_fs / self.timestep_fs)

    @property
    def frames(self) -> int:
        """Frames that are averaged."""
        return round(self.run_ps * 1000.0 / self.every_fs)

    @property
    def settling(self) -> int:
        """Frames before."""
        return int(np.ceil(self.settle_ps * 1000.0 / self.every_fs))

    def ensemble(self, temperature_k: float, *, settling: bool = False) -> Ensemble:
        """At this temperature; while it settles, with a thermostat that is five times as strong."""
        relaxation = self.relaxation_fs / 5.0 if settling else self.relaxation_fs
        if self.cell == "fixed":
            return Ensemble.langevin(temperature_k, timestep_fs=self.timestep_fs, relaxation_fs=relaxation)
        return Ensemble.npt(
            temperature_k, timestep_fs=self.timestep_fs, relaxation_fs=relaxation, cell=self.cell,
            pressure_gpa=self.pressure_gpa,
        )  # fmt: skip
