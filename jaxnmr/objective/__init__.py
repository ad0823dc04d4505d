"""Objectives: parameters, states, and the residuals and Jacobian that solvers work on."""

from .host_state import HostState
from .losses import Loss
from .objective import Objective
from .parameters import ParameterRow, Parameters, perturb
from .source import PhaseSource, Source, source
from .state import Provision, State, TensorRead
from .term import Term, TermSum, term

__all__ = [
    "HostState",
    "Loss",
    "Objective",
    "ParameterRow",
    "Parameters",
    "PhaseSource",
    "Provision",
    "Source",
    "State",
    "TensorRead",
    "Term",
    "TermSum",
    "perturb",
    "source",
    "term",
]
