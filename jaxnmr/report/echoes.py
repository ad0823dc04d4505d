"""Files of simulated spin echoes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from ..io import write_echo
from ..nmr.echo import Echo, EchoExperiment

_ORDER = ("alpha", "xi", "p", "d", "gamma", "gamma_1", "width")


def write_echo_simulation(
    echo: Echo,
    parameters: Mapping[str, np.ndarray],
    experiment: EchoExperiment,
    directory: str | Path,
    title: str,
    *,
    format: str = "text",
    noise: float = 0.0,
    seed: int = 0,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write the curves, a table of their parameters, a picture and ``result.json``.

    Args:
        echo: the curves.
        parameters: ``(curves,)`` of each that was stated.
        experiment: spins and pulses.
        directory: where to; made when missing.
        title: for the record.
        format: ``"text"`` (``echos_r.txt`` and ``echos_i.txt``), ``"npz"`` or ``"csv"``.
        noise, seed: of the simulation, for the record.
        inputs: files it was made from.

    Returns:
        The files written, by what they are.
    """
    from ..plot.echoes import echoes

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    if format == "text":
        written = {"real": folder / "echos_r.txt", "imaginary": folder / "echos_i.txt"}
        write_echo(echo, written["real"], written["imaginary"])
    else:
        written = {"curves": write_echo(echo, folder / f"echos.{format}")}
    names = [name for name in _ORDER if name in parameters]
    table = np.column_stack([parameters[name] for name in names]) if names else np.zeros((len(echo), 0))
    rows = "".join("\t".join(map(repr, row)) + "\n" for row in table.tolist())
    written["parameters"] = write_atomically(folder / "parameters.txt", "# " + "\t".join(names) + "\n" + rows)
    written["picture"] = folder / "echos.png"
    echoes(echo, experiment.sequence.time_us).savefig(written["picture"])
    ensemble, sequence = experiment.ensemble, experiment.sequence
    found = {
        "curves": len(echo),
        "points": sequence.points,
        "time_us": [sequence.time_us[0], sequence.time_us[-1]],
        "lattice": ensemble.sizes,
        "kernel": {"family": ensemble.kernel.family, "normalised": ensemble.kernel.normalised},
        "noise": noise,
        "seed": seed,
        "parameters": {name: [float(np.min(parameters[name])), float(np.max(parameters[name]))] for name in names},
        "files": {what: path.name for what, path in written.items()},
    }
    written["result"] = write_record(folder / "result.json", envelope("echo-simulation", title, found, inputs=inputs))
    return written
