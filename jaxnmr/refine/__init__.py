"""Refinement: solvers, the loop around them, statistics, uncertainties and results."""

from .checkpoint import read_checkpoint, write_checkpoint
from .loop import Stage, refine
from .progress import progress
from .result import FittedPattern, HistogramStatistics, RefinementResult, Reflections, StepInfo
from .solvers import GaussNewton, LevenbergMarquardt

__all__ = [
    "FittedPattern",
    "GaussNewton",
    "HistogramStatistics",
    "LevenbergMarquardt",
    "RefinementResult",
    "Reflections",
    "Stage",
    "StepInfo",
    "progress",
    "read_checkpoint",
    "refine",
    "write_checkpoint",
]
