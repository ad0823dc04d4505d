"""Terms: comparisons of calculated quantities with data or prior knowledge."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .couplings import CouplingLaw, CouplingTerm, Linkages
    from .echo import EchoTerm
    from .energy import EnergyTerm
    from .measured_spectrum import MeasuredSpectrum
    from .model_errors import ModelErrors
    from .pattern import PatternTerm
    from .pattern_evidence import PatternEvidence, Reflections
    from .peaks import PeakListTerm
    from .predicted_spectrum import PredictedSpectrumTerm
    from .prior import Prior
    from .quantification import Particles, Quantification
    from .restraints import Restraint
    from .spectrum import SpectrumTerm
    from .spectrum_evidence import SpectrumEvidence
    from .tensors import TensorTerm

__all__ = [
    "CouplingLaw",
    "CouplingTerm",
    "EchoTerm",
    "EnergyTerm",
    "Linkages",
    "MeasuredSpectrum",
    "ModelErrors",
    "Particles",
    "PatternEvidence",
    "PatternTerm",
    "PeakListTerm",
    "PredictedSpectrumTerm",
    "Prior",
    "Quantification",
    "Reflections",
    "Restraint",
    "SpectrumEvidence",
    "SpectrumTerm",
    "TensorTerm",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "CouplingLaw": "couplings",
        "CouplingTerm": "couplings",
        "EchoTerm": "echo",
        "EnergyTerm": "energy",
        "Linkages": "couplings",
        "MeasuredSpectrum": "measured_spectrum",
        "ModelErrors": "model_errors",
        "Particles": "quantification",
        "PatternEvidence": "pattern_evidence",
        "PatternTerm": "pattern",
        "PeakListTerm": "peaks",
        "PredictedSpectrumTerm": "predicted_spectrum",
        "Prior": "prior",
        "Quantification": "quantification",
        "Reflections": "pattern_evidence",
        "Restraint": "restraints",
        "SpectrumEvidence": "spectrum_evidence",
        "SpectrumTerm": "spectrum",
        "TensorTerm": "tensors",
    },
)
