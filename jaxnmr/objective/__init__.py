"""Objectives: parameters, states, and the residuals and Jacobian that solvers work on."""

from .contents import cell_atoms, cell_charge
from .evidence import Derived, Evidence, Knowledge, Profile, Row, Rows, Table
from .host_state import HostState
from .losses import Loss
from .normal import normal_equations
from .objective import Objective
from .parameter_row import ParameterRow
from .parameters import Parameters
from .perturbed import perturb
from .source import PhaseSource, Source, source
from .state import Provision, State, TensorRead
from .statistics import ProfileStatistics, Statistics
from .term import Term, TermSum, term

__all__ = [
    "Derived",
    "Evidence",
    "HostState",
    "Knowledge",
    "Loss",
    "Objective",
    "ParameterRow",
    "Parameters",
    "PhaseSource",
    "Profile",
    "ProfileStatistics",
    "Provision",
    "Row",
    "Rows",
    "Source",
    "State",
    "Statistics",
    "Table",
    "TensorRead",
    "Term",
    "TermSum",
    "cell_atoms",
    "cell_charge",
    "normal_equations",
    "perturb",
    "source",
    "term",
]
