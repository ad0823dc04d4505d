"""Potentials made of this package's equivariant network, trained on what a teacher says."""

from .frames import Frames
from .potential import NetworkPotential, network_config

__all__ = ["Frames", "NetworkPotential", "network_config"]
