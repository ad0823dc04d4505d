"""Refinement: solvers, the loop around them, statistics, uncertainties and results."""

from .checkpoint import read_checkpoint, write_checkpoint
from .curve_limits import Knowable, knowable
from .echo_limits import challenge_reference, echo_knowledge
from .progress import progress
from .result import RefinementResult, StepInfo
from .single import refine
from .solvers import GaussNewton, LevenbergMarquardt
from .stages import Stage
from .variance_components import variance_components
from .variance_report import VarianceComponent, VarianceComponents

__all__ = [
    "GaussNewton",
    "Knowable",
    "LevenbergMarquardt",
    "RefinementResult",
    "Stage",
    "StepInfo",
    "VarianceComponent",
    "VarianceComponents",
    "challenge_reference",
    "echo_knowledge",
    "knowable",
    "progress",
    "read_checkpoint",
    "refine",
    "variance_components",
    "write_checkpoint",
]
