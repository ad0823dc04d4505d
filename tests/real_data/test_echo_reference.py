"""Curves of an independent program (C. Snider's Spin_Echo_Sim) against the simulation: the nine are in benchmarks/echo."""

import jax
import numpy as np
import pytest

from jaxnmr.nmr.echo import EchoExperiment, EchoParameters, Kernel, Line, PulseSequence, SpinEnsemble, simulate

pytestmark = pytest.mark.real_data

# strong and weak coupling, long and short: the strongest need more draws for their mean
CURVES, DRAWS = (1, 3), 6


def test_echoes_of_a_gaussian_kernel_are_those_of_an_independent_program(data):
    folder = data / "spin_echo" / "reference_cuda"
    table = np.loadtxt(folder / "echo_params1.txt")
    theirs = np.loadtxt(folder / "real_output1.txt") + 1j * np.loadtxt(folder / "imag_output1.txt")
    # the point before the first step of each part is recorded there, too
    theirs = np.delete(theirs, [0, 167], axis=1)
    ensemble = SpinEnsemble(
        (100, 100),
        kernel=Kernel("gaussian", normalised=False),
        line=Line("lorentzian", cutoff=0.25),
        axes=(1.0, 1.0, 0.0),
    )
    # their pulses turn about -x, first and second: the plane is turned by 180°
    sequence = PulseSequence.hahn(166, 332, dt=1.88495559, refocus_phase_deg=0.0)
    experiment = EchoExperiment(ensemble=ensemble, sequence=sequence)
    which = np.repeat(CURVES, DRAWS)
    parameters = EchoParameters(alpha=table[which, 0].astype(np.float32), xi=table[which, 3].astype(np.float32))
    ours = -np.asarray(simulate(experiment, parameters, jax.random.key(1))).reshape(len(CURVES), DRAWS, -1)
    for k, curves in zip(CURVES, ours, strict=True):
        mean, other = curves.mean(axis=0), theirs[k]
        parts = [np.concatenate([c.real, c.imag]) for c in (mean, other)]
        assert np.corrcoef(*parts)[0, 1] > 0.985, k
        # one draw of theirs lies among ours
        spread = np.sqrt(np.mean(np.abs(curves - mean) ** 2))
        assert np.sqrt(np.mean(np.abs(other - mean) ** 2)) < 2.5 * spread, k
        assert abs(np.abs(other[200:]).argmax() - np.abs(mean[200:]).argmax()) <= 2, k
