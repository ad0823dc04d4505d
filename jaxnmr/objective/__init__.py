"""Objectives: parameters, states, and the residuals and Jacobian that solvers work on."""

from .evidence import Derived, Evidence, Knowledge, Profile, Row, Rows, Table
from .losses import Loss
from .objective import Objective
from .parameters import ParameterRow, Parameters, perturb
from .state import State, TensorRead, TensorSource
from .statistics import ProfileStatistics, Statistics
from .term import Term, TermSum, term

__all__ = [
    "Derived",
    "Evidence",
    "Knowledge",
    "Loss",
    "Objective",
    "ParameterRow",
    "Parameters",
    "Profile",
    "ProfileStatistics",
    "Row",
    "Rows",
    "State",
    "Statistics",
    "Table",
    "TensorRead",
    "TensorSource",
    "Term",
    "TermSum",
    "perturb",
    "term",
]
