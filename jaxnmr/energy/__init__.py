"""Energies of structures: interatomic potentials, what they predict, and their use as sources of an objective."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .ase_calculator import EnergyCalculator
    from .model import EnergyModel, shipped_potentials
    from .prediction import EnergyPrediction

__all__ = ["EnergyCalculator", "EnergyModel", "EnergyPrediction", "shipped_potentials"]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "EnergyCalculator": "ase_calculator",
        "EnergyModel": "model",
        "EnergyPrediction": "prediction",
        "shipped_potentials": "model",
    },
)
