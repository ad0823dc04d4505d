"""Spin echoes of coupled nuclear spins on a lattice: mean-field dynamics, pulses, frequencies, kernels."""

from .derivatives import changes_nothing, curve_derivatives
from .draws import DrawCovariance, as_real
from .ensemble import EchoExperiment, EchoParameters, SpinEnsemble
from .evolution import curve, simulate
from .kernels import Kernel
from .lines import Line
from .liouville import liouville_step
from .presets import CHALLENGE_PRIOR, challenge
from .records import Echo
from .sequence import Delay, EchoPulse, PulseSequence

__all__ = [
    "CHALLENGE_PRIOR",
    "Delay",
    "DrawCovariance",
    "Echo",
    "EchoExperiment",
    "EchoParameters",
    "EchoPulse",
    "Kernel",
    "Line",
    "PulseSequence",
    "SpinEnsemble",
    "challenge",
    "as_real",
    "changes_nothing",
    "curve",
    "curve_derivatives",
    "liouville_step",
    "simulate",
]
