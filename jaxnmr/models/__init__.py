"""Learned NMR tensors: an equivariant message-passing network and what follows from its predictions."""

from .config import HeadConfig, NetworkConfig
from .network import Network
from .prediction import Prediction
from .tensor_model import ModelCard, TensorModel

__all__ = ["HeadConfig", "ModelCard", "Network", "NetworkConfig", "Prediction", "TensorModel"]
