"""Many refinements in one call: one structure from many starts, or many candidate structures."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .ranking import ScreeningResult, ScreeningRow
    from .screening import screen
    from .starts import StartsResult, displaced, refine_starts

__all__ = ["ScreeningResult", "ScreeningRow", "StartsResult", "displaced", "refine_starts", "screen"]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "ScreeningResult": "ranking",
        "ScreeningRow": "ranking",
        "StartsResult": "starts",
        "displaced": "starts",
        "refine_starts": "starts",
        "screen": "screening",
    },
)
