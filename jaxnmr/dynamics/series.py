"""Averages at several temperatures, each from where the one before ended (host)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .._arguments import checked
from ..crystal import Crystal
from ..energy.model import EnergyModel
from ..errors import ParameterError
from ..models.tensors.tensor_model import TensorModel
from ..nmr import ShiftReference
from .average import ThermalAverage, thermal_average
from .order import Observer
from .schedule import Schedule
from .simulation import Frame
from .supercells import Supercell, supercell_of

UP, DOWN = "up", "down"
Callback = Callable[[int, Frame, int, int], None]


@dataclass(frozen=True)
class Stop:
    """One temperature on the way.

    Attributes:
        temperature: K.
        direction: ``"up"`` or ``"down"``: where it is come from.
        number: from 0.
    """

    temperature: float
    direction: str
    number: int

    @property
    def name(self) -> str:
        """For files: ``00-300K``."""
        return f"{self.number:02d}-{self.temperature:g}K"


@dataclass(frozen=True, repr=False)
class ThermalSeries:
    """Averages at several temperatures.

    Attributes:
        averages: in the order in which they were made.
        directions: of each, ``"up"`` or ``"down"``.
    """

    averages: tuple[ThermalAverage, ...]
    directions: tuple[str, ...]

    @property
    def temperatures(self) -> Float[np.ndarray, " averages"]:
        """K."""
        return np.array([average.temperature_k for average in self.averages])

    def readings(self, site: str, quantity: str) -> Float[np.ndarray, "averages 2"]:
        """A number of a site and its standard error at every temperature.

        Raises:
            ParameterError: no such number.
        """
        rows = [
            [(r.mean, r.error) for r in average.readings if (r.site, r.quantity) == (site, quantity)]
            for average in self.averages
        ]
        if not all(rows):
            known = ", ".join(dict.fromkeys(f"{r.quantity} of {r.site}" for a in self.averages for r in a.readings))
            raise ParameterError(f"there is no {quantity} of {site}; expected one of {known}")
        return np.array([row[0] for row in rows])

    def observed(self, name: str) -> Float[np.ndarray, "averages 2"]:
        """What an observer followed, with its standard error, at every temperature.

        Raises:
            ParameterError: it was not.
        """
        rows = [[(o.mean, o.error) for o in average.observed if o.name == name] for average in self.averages]
        if not all(rows):
            known = ", ".join(dict.fromkeys(o.name for a in self.averages for o in a.observed)) or "nothing"
            raise ParameterError(f"{name!r} was not observed; what was: {known}")
        return np.array([row[0] for row in rows])

    def __len__(self) -> int:
        return len(self.averages)

    def __repr__(self) -> str:
        return f"ThermalSeries({', '.join(f'{t:g} K' for t in self.temperatures)})"


def itinerary(temperatures: Sequence[float], *, back: bool = False) -> tuple[Stop, ...]:
    """The temperatures in order, and from the last one back to the first where asked.

    Raises:
        ParameterError: none, or one that is not positive.
    """
    listed = [float(t) for t in temperatures]
    if not listed or not all(np.isfinite(t) and t > 0 for t in listed):
        raise ParameterError(f"temperatures are {list(temperatures)}; expected one or more in kelvin, above 0")
    if back and len(listed) < 2:
        raise ParameterError("there is one temperature, and no way back to it: name several, or leave the way back out")
    way = [*listed, *(listed[-2::-1] if back else ())]
    stops = []
    for k, t in enumerate(way):
        near = way[k - 1] if k else t
        later = way[k + 1] if k + 1 < len(way) else t
        falling = t < near or (k == 0 and later < t)
        stops.append(Stop(t, DOWN if falling else UP, k))
    return tuple(stops)


@checked
def thermal_series(
    model: TensorModel | Sequence[TensorModel],
    energy: Any,
    crystal: Crystal | Supercell,
    *,
    temperatures: Sequence[float],
    back: bool = False,
    schedule: Schedule | None = None,
    repeats: Sequence[int] | None = None,
    references: Mapping[str, ShiftReference] | None = None,
    folder: str | Path | None = None,
    observe: Observer | None = None,
    callback: Callback | None = None,
) -> ThermalSeries:
    """Averages at several temperatures, each from the last state of the one before (host).

    Args:
        model, energy, crystal, schedule, repeats, references, observe: as for :func:`thermal_average`.
        temperatures: K, in this order.
        back: afterwards from the last one to the first again, which shows hysteresis.
        folder: for a file of each temperature; those that are finished are not simulated again.
        callback: receives the number of the temperature, from 0, and what that of :func:`thermal_average` receives.

    Raises:
        ParameterError, ConventionError, DynamicsError: as :func:`thermal_average`.
    """
    stops = itinerary(temperatures, back=back)
    found = averages_along(
        stops, model, energy, crystal, schedule=schedule, repeats=repeats, references=references, folder=folder,
        observe=observe, callback=callback,
    )  # fmt: skip
    return ThermalSeries(tuple(found), tuple(stop.direction for stop in stops))


def averages_along(
    stops: Sequence[Stop],
    model: TensorModel | Sequence[TensorModel],
    energy: Any,
    crystal: Crystal | Supercell,
    *,
    schedule: Schedule | None = None,
    repeats: Sequence[int] | None = None,
    references: Mapping[str, ShiftReference] | None = None,
    folder: str | Path | None = None,
    observe: Observer | None = None,
    callback: Callback | None = None,
) -> Iterator[ThermalAverage]:
    """The averages of :func:`thermal_series` one by one, as they are finished; ``stops`` are those of :func:`itinerary`."""
    cell = supercell_of(crystal, repeats)
    potential = EnergyModel.load(energy).for_dynamics() if isinstance(energy, str | Path) else energy
    state = None
    for stop in stops:
        tell = None if callback is None else (lambda *frame, number=stop.number: callback(number, *frame))
        average = thermal_average(
            model, potential, cell, temperature=stop.temperature, schedule=schedule, references=references, state=state,
            file=None if folder is None else Path(folder) / f"{stop.name}.npz", observe=observe, callback=tell,
        )  # fmt: skip
        state = average.state
        yield average
