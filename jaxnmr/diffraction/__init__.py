"""Powder diffraction: reflections, structure factors, corrections, profiles, and the calculated pattern."""

from .background import Background
from .powder import PowderDiffraction
from .records import Instrument, Pattern

__all__ = ["Background", "Instrument", "Pattern", "PowderDiffraction"]
