"""Files of posteriors: what was inferred from curves, and how good a training is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from ..inference import Inferred, Posterior

_LEVELS = (0.68, 0.95)


def inference_rows(inferred: Inferred) -> tuple[list[str], np.ndarray]:
    """Titles and ``(n, 6 k)`` numbers of a table: mean, standard deviation, ends of the 68 and 95 % intervals."""
    columns = [inferred.mean, inferred.sd, *(end for level in _LEVELS for end in inferred.interval(level))]
    words = ("mean", "sd", "low_68", "high_68", "low_95", "high_95")
    titles = [f"{name}_{word}" for k, name in enumerate(inferred.names) for word in words]
    return titles, np.stack(columns, axis=2).reshape(len(inferred), -1)


def write_inference(
    inferred: Inferred,
    posterior: Posterior,
    directory: str | Path,
    title: str,
    *,
    noise: float,
    truth: np.ndarray | None = None,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write a table of the posteriors, a picture and ``result.json``.

    Args:
        inferred: n posteriors.
        posterior: that they are of.
        directory: where to; made when missing.
        title: for the record.
        noise: that was assumed.
        truth: ``(n, all)`` parameters, where they are known: scores and coverage are added.
        inputs: files it was made from.

    Returns:
        The files written, by what they are.
    """
    from ..plot.inference import parity, posteriors

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    titles, rows = inference_rows(inferred)
    lines = [",".join(["curve", *titles])]
    lines += [",".join([str(k + 1), *(f"{value:.7g}" for value in row)]) for k, row in enumerate(rows)]
    written = {"posteriors": write_atomically(folder / "posteriors.csv", "\n".join(lines) + "\n")}
    written["picture"] = folder / "posteriors.png"
    posteriors(inferred).savefig(written["picture"])
    found: dict[str, Any] = {
        "curves": len(inferred),
        "noise": noise,
        "posterior": {"name": posterior.name, "card": posterior.card},
        "parameters": list(inferred.names),
        "undetermined": {
            p.name: {"prior": [p.low, p.high], "why": "the curve does not depend on it"}
            for p in inferred.prior.undetermined
        },
        "mean": inferred.mean,
        "sd": inferred.sd,
    }
    if truth is not None:
        found["against_truth"] = against(inferred, truth)
        written["parity"] = folder / "parity.png"
        parity(inferred, truth).savefig(written["parity"])
    written["result"] = write_record(folder / "result.json", envelope("echo-inference", title, found, inputs=inputs))
    return written


def against(inferred: Inferred, truth: np.ndarray) -> dict[str, Any]:
    """Scores and coverage as plain values."""
    from ..inference import coverage, score

    r2, error = score(inferred, truth)
    return {
        "r2": dict(zip(inferred.names, r2.tolist(), strict=True)),
        "error_per_500": error,
        "coverage": coverage(inferred, truth).to_dict(),
    }


def write_echo_training(
    posterior: Posterior, scores: Mapping[str, Any], directory: str | Path, title: str, *, inputs: Sequence[Path] = ()
) -> Path:
    """Write ``result.json`` of a training.

    Args:
        posterior: what was trained; its card is in the record.
        scores: by noise, as of `against`.
        directory: the folder of the training.
        title: for the record.
        inputs: files it was made from.
    """
    found = {"name": posterior.name, "card": posterior.card, "scores": dict(scores)}
    return write_record(Path(directory) / "result.json", envelope("echo-training", title, found, inputs=inputs))
