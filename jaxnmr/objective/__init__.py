"""Objectives: parameters, states, and the residuals and Jacobian that solvers work on."""

from .losses import Loss
from .objective import Objective
from .parameters import ParameterRow, Parameters, perturb
from .state import State, TensorRead, TensorSource
from .term import Term, TermSum, term

__all__ = [
    "Loss",
    "Objective",
    "ParameterRow",
    "Parameters",
    "State",
    "TensorRead",
    "TensorSource",
    "Term",
    "TermSum",
    "perturb",
    "term",
]
