"""Spin echoes of nuclear spins on a lattice that feel each other: mean-field dynamics, pulses, frequencies, kernels."""

from .ensemble import EchoExperiment, EchoParameters, SpinEnsemble
from .evolution import curve, simulate
from .kernels import Kernel
from .lines import Line
from .presets import CHALLENGE_PRIOR, challenge
from .sequence import Delay, EchoPulse, PulseSequence

__all__ = [
    "CHALLENGE_PRIOR",
    "Delay",
    "EchoExperiment",
    "EchoParameters",
    "EchoPulse",
    "Kernel",
    "Line",
    "PulseSequence",
    "SpinEnsemble",
    "challenge",
    "curve",
    "simulate",
]
