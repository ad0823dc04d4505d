"""Atoms in motion: molecular dynamics, and what NMR averages over them."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .average import ThermalAverage, thermal_average
    from .ensemble import Ensemble
    from .order import Bridges, Distortion
    from .schedule import Schedule
    from .series import ThermalSeries, thermal_series
    from .simulation import Frame, simulate, start
    from .spectra import averaged_spectra
    from .supercells import Supercell, supercell

__all__ = [
    "Bridges", "Distortion", "Ensemble", "Frame", "Schedule", "Supercell", "ThermalAverage", "ThermalSeries",
    "averaged_spectra", "simulate", "start", "supercell", "thermal_average", "thermal_series",
]  # fmt: skip

# a module of the same name would take the place of the function
__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Bridges": "order",
        "Distortion": "order",
        "Ensemble": "ensemble",
        "Frame": "simulation",
        "Schedule": "schedule",
        "Supercell": "supercells",
        "ThermalAverage": "average",
        "ThermalSeries": "series",
        "averaged_spectra": "spectra",
        "simulate": "simulation",
        "start": "simulation",
        "supercell": "supercells",
        "thermal_average": "average",
        "thermal_series": "series",
    },
)
