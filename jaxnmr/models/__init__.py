"""Learned NMR tensors: an equivariant message-passing network and what follows from its predictions."""

from .ase_calculator import TensorCalculator
from .calibration import Coverage, calibrate, coverage, cross_coverage
from .checkpoint import shipped_models
from .config import HeadConfig, NetworkConfig
from .cross_validation import CrossValidation, cross_validate
from .experiment import Evaluation, Experiment, evaluate, run_experiment
from .metrics import Comparison, compare
from .network import Network
from .novelty import with_novelty
from .prediction import Prediction
from .tensor_model import ModelCard, TensorModel
from .train import Recipe
from .training_data import DataSource, Split

__all__ = [
    "Comparison",
    "Coverage",
    "CrossValidation",
    "DataSource",
    "Evaluation",
    "Experiment",
    "HeadConfig",
    "ModelCard",
    "Network",
    "NetworkConfig",
    "Prediction",
    "Recipe",
    "Split",
    "TensorCalculator",
    "TensorModel",
    "calibrate",
    "compare",
    "coverage",
    "cross_coverage",
    "cross_validate",
    "evaluate",
    "run_experiment",
    "shipped_models",
    "with_novelty",
]
