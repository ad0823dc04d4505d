"""Terms: what an objective compares with data or with knowledge."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .couplings import CouplingLaw, CouplingTerm, Linkages
    from .measured_spectrum import MeasuredSpectrum
    from .pattern import PatternTerm
    from .peaks import PeakListTerm
    from .predicted_spectrum import PredictedSpectrumTerm
    from .prior import Prior
    from .restraints import Restraint
    from .spectrum import SpectrumTerm
    from .tensors import TensorTerm

__all__ = [
    "CouplingLaw",
    "CouplingTerm",
    "Linkages",
    "MeasuredSpectrum",
    "PatternTerm",
    "PeakListTerm",
    "PredictedSpectrumTerm",
    "Prior",
    "Restraint",
    "SpectrumTerm",
    "TensorTerm",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "CouplingLaw": "couplings",
        "CouplingTerm": "couplings",
        "Linkages": "couplings",
        "MeasuredSpectrum": "measured_spectrum",
        "PatternTerm": "pattern",
        "PeakListTerm": "peaks",
        "PredictedSpectrumTerm": "predicted_spectrum",
        "Prior": "prior",
        "Restraint": "restraints",
        "SpectrumTerm": "spectrum",
        "TensorTerm": "tensors",
    },
)
