"""Predefined experiments."""

from __future__ import annotations

from .ensemble import EchoExperiment, SpinEnsemble
from .kernels import Kernel
from .lines import Line
from .sequence import PulseSequence

# uniform between these limits: α, ξ, p, and d of Γ = 10^-d
CHALLENGE_PRIOR = {"alpha": (0.0, 0.2), "xi": (0.0, 20.0), "p": (2.0, 4.0), "d": (3.0, 6.0)}


def challenge() -> EchoExperiment:
    """Return the ML4SCI NMR challenge of 2020: 50 × 50 spins, normalised power law, 471 points, echo at point 314.

    τ is 50 µs, which is 157 steps of 2/γ. Frequencies are drawn from 2,500 values within ± 0.25 MHz with Lorentzian
    weights.
    """
    line = Line("lorentzian", cutoff=0.25, grid=2500)
    ensemble = SpinEnsemble(
        (50, 50), kernel=Kernel("power", normalised=True), line=line, axes=(0.0, 1.0, 0.0), nu0=10.0
    )
    return EchoExperiment(ensemble=ensemble, sequence=PulseSequence.hahn(157, 314, dt=2.0))
