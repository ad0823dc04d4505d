"""Many refinements in one call: one structure from many starts, or many candidate structures."""

from .ranking import ScreeningResult, ScreeningRow
from .screening import screen
from .starts import StartsResult, displaced, refine_starts

__all__ = ["ScreeningResult", "ScreeningRow", "StartsResult", "displaced", "refine_starts", "screen"]
