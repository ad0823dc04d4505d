"""Many refinements in one call, from many starts or of many candidates; series; relaxation in an energy."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .downhill import RelaxStep
    from .relaxation import RelaxResult, relax
    from .screening.ranking import ScreeningResult
    from .screening.rows import ScreeningRow
    from .screening.screen import screen
    from .series.refine import refine_series
    from .series.rows import SeriesResult, SeriesRow
    from .starts import StartsResult, displaced, refine_starts

__all__ = [
    "RelaxResult",
    "RelaxStep",
    "ScreeningResult",
    "ScreeningRow",
    "SeriesResult",
    "SeriesRow",
    "StartsResult",
    "displaced",
    "refine_series",
    "refine_starts",
    "relax",
    "screen",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "RelaxResult": "relaxation",
        "RelaxStep": "downhill",
        "ScreeningResult": "screening.ranking",
        "ScreeningRow": "screening.rows",
        "SeriesResult": "series.rows",
        "SeriesRow": "series.rows",
        "StartsResult": "starts",
        "displaced": "starts",
        "refine_series": "series.refine",
        "refine_starts": "starts",
        "relax": "relaxation",
        "screen": "screening.screen",
    },
)
