"""Learned NMR tensors: an equivariant network, its training, and quantities derived from its predictions."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .data.training_data import DataSource, Split
    from .networks.config import HeadConfig, NetworkConfig
    from .networks.network import Network
    from .tensors.ase_calculator import TensorCalculator
    from .tensors.calibration import Coverage, calibrate, coverage, cross_coverage
    from .tensors.checkpoint import shipped_models
    from .tensors.cross_validation import CrossValidation, cross_validate
    from .tensors.experiment import Evaluation, Experiment, evaluate, run_experiment
    from .tensors.metrics import Comparison, compare
    from .tensors.novelty import with_novelty
    from .tensors.prediction import Prediction
    from .tensors.recipe import Recipe
    from .tensors.tensor_model import ModelCard, TensorModel

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

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Comparison": "tensors.metrics",
        "Coverage": "tensors.calibration",
        "CrossValidation": "tensors.cross_validation",
        "DataSource": "data.training_data",
        "Evaluation": "tensors.experiment",
        "Experiment": "tensors.experiment",
        "HeadConfig": "networks.config",
        "ModelCard": "tensors.tensor_model",
        "Network": "networks.network",
        "NetworkConfig": "networks.config",
        "Prediction": "tensors.prediction",
        "Recipe": "tensors.recipe",
        "Split": "data.training_data",
        "TensorCalculator": "tensors.ase_calculator",
        "TensorModel": "tensors.tensor_model",
        "calibrate": "tensors.calibration",
        "compare": "tensors.metrics",
        "coverage": "tensors.calibration",
        "cross_coverage": "tensors.calibration",
        "cross_validate": "tensors.cross_validation",
        "evaluate": "tensors.experiment",
        "run_experiment": "tensors.experiment",
        "shipped_models": "tensors.checkpoint",
        "with_novelty": "tensors.novelty",
    },
)
