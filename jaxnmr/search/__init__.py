"""Many refinements in one call, of one structure from many starts or of many candidates; structures at rest in an energy."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .downhill import RelaxStep
    from .ranking import ScreeningResult, ScreeningRow
    from .relaxation import RelaxResult, relax
    from .screening import screen
    from .starts import StartsResult, displaced, refine_starts

__all__ = [
    "RelaxResult",
    "RelaxStep",
    "ScreeningResult",
    "ScreeningRow",
    "StartsResult",
    "displaced",
    "refine_starts",
    "relax",
    "screen",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "RelaxResult": "relaxation",
        "RelaxStep": "downhill",
        "ScreeningResult": "ranking",
        "ScreeningRow": "ranking",
        "StartsResult": "starts",
        "displaced": "starts",
        "refine_starts": "starts",
        "relax": "relaxation",
        "screen": "screening",
    },
)
