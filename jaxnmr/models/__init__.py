"""Learned NMR tensors: an equivariant message-passing network and what follows from its predictions."""

from .config import HeadConfig, NetworkConfig
from .experiment import Evaluation, Experiment, evaluate, run_experiment
from .metrics import Comparison, compare
from .network import Network
from .prediction import Prediction
from .tensor_model import ModelCard, TensorModel
from .train import Recipe
from .training_data import DataSource, Split

__all__ = [
    "Comparison",
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
    "TensorModel",
    "compare",
    "evaluate",
    "run_experiment",
]
