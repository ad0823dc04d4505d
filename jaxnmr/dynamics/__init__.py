"""Atoms in motion: molecular dynamics, and what NMR averages over them."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .average import ThermalAverage, thermal_average
    from .ensemble import Ensemble
    from .schedule import Schedule
    from .simulation import Frame, simulate, start
    from .supercells import Supercell, supercell

__all__ = [
    "Ensemble", "Frame", "Schedule", "Supercell", "ThermalAverage", "simulate", "start", "supercell", "thermal_average",
]  # fmt: skip

# a module of the same name would take the place of the function
__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Ensemble": "ensemble",
        "Frame": "simulation",
        "Schedule": "schedule",
        "Supercell": "supercells",
        "ThermalAverage": "average",
        "simulate": "simulation",
        "start": "simulation",
        "supercell": "supercells",
        "thermal_average": "average",
    },
)
