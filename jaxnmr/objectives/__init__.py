"""Objectives: parameters, states, terms, and the residuals and Jacobian that solvers work on."""

from .coupling_term import CouplingLaw, CouplingTerm, Linkages
from .losses import Loss
from .measured_spectrum import MeasuredSpectrum
from .objective import Objective
from .parameters import ParameterRow, Parameters, perturb
from .pattern_term import PatternTerm
from .peak_list_term import PeakListTerm
from .predicted_spectrum import PredictedSpectrumTerm
from .prior import Prior
from .restraints import Restraint
from .spectrum_term import SpectrumTerm
from .state import State, TensorRead, TensorSource
from .tensor_term import TensorTerm
from .term import Term, TermSum, term

__all__ = [
    "CouplingLaw",
    "CouplingTerm",
    "Linkages",
    "Loss",
    "MeasuredSpectrum",
    "Objective",
    "ParameterRow",
    "Parameters",
    "PatternTerm",
    "PeakListTerm",
    "PredictedSpectrumTerm",
    "Prior",
    "Restraint",
    "SpectrumTerm",
    "State",
    "TensorRead",
    "TensorSource",
    "TensorTerm",
    "Term",
    "TermSum",
    "perturb",
    "term",
]
