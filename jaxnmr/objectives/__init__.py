"""Objectives: parameters, states, terms, and the residuals and Jacobian that solvers work on."""

from .objective import Objective
from .parameters import ParameterRow, Parameters, perturb
from .pattern_term import PatternTerm
from .restraints import Prior, Restraint
from .spectrum_term import SpectrumTerm
from .state import State, TensorRead, TensorSource
from .term import Term, TermSum, term

__all__ = [
    "Objective",
    "ParameterRow",
    "Parameters",
    "PatternTerm",
    "Prior",
    "Restraint",
    "SpectrumTerm",
    "State",
    "TensorRead",
    "TensorSource",
    "Term",
    "TermSum",
    "perturb",
    "term",
]
