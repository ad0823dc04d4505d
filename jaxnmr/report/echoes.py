"""Files of simulated spin echoes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from .._words import counted
from ..io import write_echo
from ..nmr.echo import Echo, EchoExperiment, changes_nothing

# descriptions of the parameters, with units
_ABOUT = {
    "alpha": ("strength of the coupling", "MHz"),
    "xi": ("its length", "lattice constants"),
    "p": ("its exponent", ""),
    "d": ("Γ = 10^-d", ""),
    "gamma": ("Γ of the jump operator √Γ I_z", "2π MHz"),
    "gamma_1": ("1/T1", "2π MHz"),
    "width": ("full width of the line at half maximum", "MHz"),
}


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
    """Write the curves, a table of their parameters, a figure, ``result.json`` and ``report.md``.

    Args:
        echo: simulated curves.
        parameters: ``(curves,)`` of each given parameter.
        experiment: spins and pulses.
        directory: output folder; created if missing.
        title: title for the record.
        format: ``"text"`` (``echos_r.txt`` and ``echos_i.txt``), ``"npz"`` or ``"csv"``.
        noise, seed: noise and seed of the simulation, for the record.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    from ..plot.echoes import echoes

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    if format == "text":
        written = {"real": folder / "echos_r.txt", "imaginary": folder / "echos_i.txt"}
        write_echo(echo, written["real"], written["imaginary"])
    else:
        written = {"curves": write_echo(echo, folder / f"echos.{format}")}
    names = [name for name in _ABOUT if name in parameters]
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
    written["report"] = write_atomically(folder / "report.md", _text(title, found, experiment))
    written["result"] = write_record(folder / "result.json", envelope("echo-simulation", title, found, inputs=inputs))
    return written


def _text(title: str, found: Mapping[str, Any], experiment: EchoExperiment) -> str:
    ensemble, sequence = experiment.ensemble, experiment.sequence
    kernel, line = ensemble.kernel, ensemble.line
    drawn = f", drawn from {line.grid} equally spaced ones" if line.grid else ""
    a, b = found["time_us"]
    noise = f"white noise of {found['noise']:.3g} on real and imaginary parts" if found["noise"] else "no noise"
    about = [
        ("spins", " × ".join(map(str, ensemble.sizes))),
        ("kernel", f"{kernel.family}{', normalised' if kernel.normalised else ''}"),
        ("line", f"{line.shape}, within ± {line.cutoff:g} MHz of {ensemble.nu0:g} MHz{drawn}"),
        (
            "pulse sequence",
            f"{counted(len(sequence.angles), 'pulse')}, {found['points']} points from {a:.4g} to {b:.4g} µs",
        ),
        ("noise", noise),
        ("seed", str(found["seed"])),
    ]
    rows, silent = [], []
    for name, (low, high) in found["parameters"].items():
        value = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        rows.append((f"`{name}`", value, _ABOUT[name][1], _ABOUT[name][0]))
        if name != "d" and (why := changes_nothing(experiment, name)):
            silent.append(f"- **`{name}` changes no curve:** {why}.")
    files = found["files"]
    lines = [
        f"# {title}",
        f"{counted(found['curves'], 'curve')}, simulated; frequencies of the spins were drawn afresh for each.",
        f"![magnitudes of the first curves]({files['picture']})",
        "## Experiment",
        markdown(("what", "value"), about),
        "## Parameters",
        markdown(("parameter", "of these curves", "unit", "what it is"), rows)
        if rows
        else "None was stated: spins do not couple.",
        "\n".join(silent),
        "## Files",
        "\n".join(f"- {what}: [{name}]({name})" for what, name in files.items()),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"
