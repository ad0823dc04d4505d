"""Glasses from the melt: temperature as a function of time, followed from a file that is written on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..._digest import digest
from ...crystal import Crystal
from ...errors import ParameterError
from ...typing import Array
from ..ensemble import Ensemble
from ..restart import read_state, write_state
from ..simulation import Frame, simulate, start

SKIN = 1.6
# u of 1 Å³ at 1 g/cm³
_DENSITY = 0.602214076


@dataclass(frozen=True)
class TemperatureProgram:
    """Temperatures at times, straight lines between, in a fixed cell.

    Attributes:
        times_fs: increasing, from 0.
        temperatures_k: at these times.
        timestep_fs: fs.
        relaxation_fs: of the thermostat.
    """

    times_fs: tuple[float, ...]
    temperatures_k: tuple[float, ...]
    timestep_fs: float = 1.6
    relaxation_fs: float = 500.0

    @classmethod
    def create(
        cls, points: Sequence[tuple[float, float]], *, timestep_fs: float = 1.6, relaxation_fs: float = 500.0
    ) -> TemperatureProgram:
        """A schedule through ``(time in fs, temperature in K)``.

        Raises:
            ParameterError: times that do not begin at 0 and increase, temperatures or times out of range.
        """
        table = np.asarray(points, dtype=float)
        if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2 or not np.isfinite(table).all():
            raise ParameterError(f"points are {points!r}; expected at least two (time in fs, temperature in K)")
        if table[0, 0] != 0.0 or (np.diff(table[:, 0]) <= 0).any():
            raise ParameterError(f"times are {table[:, 0].tolist()}; expected increasing ones that begin at 0")
        made = cls(tuple(table[:, 0].tolist()), tuple(table[:, 1].tolist()), float(timestep_fs), float(relaxation_fs))
        for time in made.times_fs:
            made.at(time)
        return made

    @property
    def steps(self) -> int:
        """How many it takes."""
        return int(np.ceil(self.times_fs[-1] / self.timestep_fs - 1e-9))

    @property
    def rate(self) -> float:
        """How fast the fastest cooling is, K/s."""
        return float(-np.min(np.diff(self.temperatures_k) / np.diff(self.times_fs)) * 1e15)

    def at(self, time_fs: float) -> Ensemble:
        """How to go on at a time."""
        temperature = float(np.interp(time_fs, self.times_fs, self.temperatures_k))
        return Ensemble.langevin(temperature, timestep_fs=self.timestep_fs, relaxation_fs=self.relaxation_fs)


def at_density(crystal: Crystal, density: float) -> Crystal:
    """The crystal with its cell scaled to a density in g/cm³ (host).

    Raises:
        ParameterError: a density that is not positive.
    """
    if not (np.isfinite(density) and density > 0):
        raise ParameterError(f"density is {density}; expected g/cm³, such as 2.20 of vitreous silica")
    mass = float(np.sum(crystal.full_masses()))
    wanted = mass / (density * _DENSITY)
    cell = np.asarray(crystal.cell, dtype=float).copy()
    cell[:3] *= (wanted / float(crystal.volume())) ** (1.0 / 3.0)
    return crystal.replace(cell=cell)


def quench(
    potential: Any,
    crystal: Crystal,
    masses: Float[Array, " atoms"],
    schedule: TemperatureProgram,
    *,
    path: str | Path,
    seed: int = 0,
    segment: int = 1000,
    every: int = 50,
    skin: float = SKIN,
) -> Iterator[Frame]:
    """Follow a schedule from a file, and yield a frame at the end of every segment (host).

    Where the file holds a state of this very run it goes on from there, with the numbers that it would have had without the
    break: neighbours are listed anew at the beginning of every segment.

    Args:
        potential: an `EnergyModel` or a potential; for charges that of ``for_dynamics()``.
        crystal: in P1: the structure to begin with.
        masses: ``(atoms,)`` u.
        schedule: temperature against time.
        path: of the state, ``.npz``; written after every segment, before its frame is yielded.
        seed: of velocities and random forces.
        segment: steps between states in the file.
        every: steps at one temperature.
        skin: Å beyond the cutoff up to which neighbours are listed: atoms of a melt use it up fast.

    Raises:
        ParameterError: a segment that is no multiple of ``every``.
        ParseError: the file holds something else.
        DynamicsError: as `simulate`.
    """
    if segment < 1 or every < 1 or segment % every:
        raise ParameterError(f"segment is {segment} and every {every}; expected a positive multiple of every")
    cell, xyz = np.asarray(crystal.cell), np.asarray(crystal.xyz)
    run = digest(schedule, cell, xyz, tuple(crystal.species), str(potential.name), seed, segment, every, skin)[:16]
    path = Path(path)
    state = read_state(path, of=run) if path.exists() else start(crystal, masses, schedule.temperatures_k[0], seed=seed)
    while (left := schedule.steps - int(state.step)) > 0:
        *_, frame = simulate(
            potential, crystal, masses, state, schedule.at, steps=min(segment, left), every=every, skin=skin
        )
        state = frame.state
        write_state(path, state, of=run)
        yield frame
