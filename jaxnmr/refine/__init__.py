"""Refinement: solvers, the loop around them, statistics, uncertainties and results."""

from .checkpoint import read_checkpoint, write_checkpoint
from .loop import Stage, refine
from .progress import progress
from .result import FittedPattern, HistogramStatistics, RefinementResult, Reflections, StepInfo
from .screening import screen
from .screening_result import ScreeningResult, ScreeningRow
from .solvers import GaussNewton, LevenbergMarquardt
from .starts import StartsResult, displaced, refine_starts
from .variance_components import variance_components
from .variance_report import VarianceComponent, VarianceComponents

__all__ = [
    "FittedPattern",
    "GaussNewton",
    "HistogramStatistics",
    "LevenbergMarquardt",
    "RefinementResult",
    "Reflections",
    "ScreeningResult",
    "ScreeningRow",
    "Stage",
    "StartsResult",
    "StepInfo",
    "displaced",
    "VarianceComponent",
    "VarianceComponents",
    "progress",
    "read_checkpoint",
    "refine",
    "refine_starts",
    "screen",
    "variance_components",
    "write_checkpoint",
]
