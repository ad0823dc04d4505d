"""Powder diffraction: reflections, structure factors, corrections, profiles, and the calculated pattern."""

from .background import Background
from .pattern_plan import PatternPlan
from .powder import PowderDiffraction
from .records import Instrument, Pattern

__all__ = ["Background", "Instrument", "Pattern", "PatternPlan", "PowderDiffraction"]
