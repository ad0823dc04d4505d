"""Atoms in motion: molecular dynamics, and what NMR averages over them."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .average import ThermalAverage, thermal_average
    from .ensemble import Ensemble
    from .harmonic_averages import harmonic_average
    from .harmonic_solid import HarmonicSolid, harmonic
    from .order import Bridges, Distortion
    from .schedule import Schedule
    from .series import ThermalSeries, thermal_series
    from .simulation import Frame, simulate, start
    from .spectra import averaged_spectra
    from .statistics import MeanError, mean_error, settling
    from .supercells import Supercell, supercell

__all__ = [
    "Bridges", "Distortion", "Ensemble", "Frame", "HarmonicSolid", "MeanError", "Schedule", "Supercell",
    "ThermalAverage", "ThermalSeries", "averaged_spectra", "harmonic", "harmonic_average", "mean_error",
    "settling", "simulate", "start", "supercell", "thermal_average", "thermal_series",
]  # fmt: skip

# a module of the same name would take the place of the function
__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Bridges": "order",
        "Distortion": "order",
        "Ensemble": "ensemble",
        "Frame": "simulation",
        "HarmonicSolid": "harmonic_solid",
        "MeanError": "statistics",
        "Schedule": "schedule",
        "Supercell": "supercells",
        "ThermalAverage": "average",
        "ThermalSeries": "series",
        "averaged_spectra": "spectra",
        "harmonic": "harmonic_solid",
        "harmonic_average": "harmonic_averages",
        "mean_error": "statistics",
        "settling": "statistics",
        "simulate": "simulation",
        "start": "simulation",
        "supercell": "supercells",
        "thermal_average": "average",
        "thermal_series": "series",
    },
)
