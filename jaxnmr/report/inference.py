"""Files of posteriors: results of inference from curves, and the quality of a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._words import counted
from ..inference import Families, Inferred, Posterior

_LEVELS = (0.68, 0.95)
# most rows of tables in reports
_MOST = 40
_SURE = 0.9


def inference_rows(inferred: Inferred) -> tuple[list[str], np.ndarray]:
    """Return titles and ``(n, 6 k)`` numbers of a table: mean, standard deviation, 68 and 95 % intervals."""
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
    simulations: int = 0,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write a table of the posteriors, a figure, ``report.md`` and ``result.json``.

    Args:
        inferred: n posteriors.
        posterior: trained posterior they come from.
        directory: output folder; created if missing.
        title: title for the record.
        noise: assumed noise.
        truth: ``(n, all)`` true parameters, if known: scores and coverage are added.
        simulations: number of simulations each was refined with; 0 for the posterior itself.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    from ..plot.inference import parity

    folder = Path(directory)
    written = _written(inferred, folder, "posteriors")
    found = {"curves": len(inferred), "noise": noise, "refined_with": simulations, **_found(inferred, posterior)}
    if truth is not None:
        found["against_truth"] = against(inferred, truth)
        written["parity"] = folder / "parity.png"
        parity(inferred, truth).savefig(written["parity"])
    lines = [f"# {title}", "", _head(inferred, noise), "", *_table(inferred, range(min(len(inferred), _MOST)))]
    lines += _remarks(inferred, posterior)
    if simulations:
        lines += [
            "",
            f"Refined: each curve by {simulations} simulations of its own, around what this posterior says of it.",
        ]
    written["report"] = write_atomically(folder / "report.md", "\n".join(lines) + "\n")
    written["result"] = write_record(folder / "result.json", envelope("echo-inference", title, found, inputs=inputs))
    return written


def write_family_inference(
    probabilities: np.ndarray,
    inferred: Sequence[Inferred],
    posteriors: Sequence[Posterior],
    families: Families,
    directory: str | Path,
    title: str,
    *,
    noise: float,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write the probability of each family, and as `write_inference` the posteriors given each family.

    Args:
        probabilities: ``(n, families)``.
        inferred: n posteriors for each family.
        posteriors: trained posteriors they come from, in the order of the probabilities.
        families: classifier the probabilities come from.
        directory: output folder; created if missing.
        title: title for the record.
        noise: assumed noise.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    from ..plot.inference import family_probabilities

    folder = Path(directory)
    names = [posterior.name for posterior in posteriors]
    written: dict[str, Path] = {}
    for name, of in zip(names, inferred, strict=True):
        written |= _written(of, folder, f"posteriors-{name}")
    rows = [",".join(["curve", *names])]
    rows += [",".join([str(k + 1), *(f"{p:.6f}" for p in row)]) for k, row in enumerate(probabilities)]
    written["families"] = write_atomically(folder / "families.csv", "\n".join(rows) + "\n")
    written["families_picture"] = folder / "families.png"
    family_probabilities(names, probabilities).savefig(written["families_picture"])
    best = probabilities.argmax(axis=1)
    found = {
        "curves": len(probabilities),
        "noise": noise,
        "families": {
            "names": names, "probabilities": probabilities, "most_probable": [names[k] for k in best], "card": families.card
        },
        "posteriors": {n: _found(of, p) for n, of, p in zip(names, inferred, posteriors, strict=True)},
    }  # fmt: skip
    written["report"] = write_atomically(
        folder / "report.md", "\n".join(_family_report(title, names, probabilities, inferred, posteriors, noise)) + "\n"
    )
    written["result"] = write_record(folder / "result.json", envelope("echo-inference", title, found, inputs=inputs))
    return written


def _family_report(
    title: str,
    names: list[str],
    probabilities: np.ndarray,
    inferred: Sequence[Inferred],
    posteriors: Sequence[Posterior],
    noise: float,
) -> list[str]:
    best = probabilities.argmax(axis=1)
    sure = int((probabilities.max(axis=1) > _SURE).sum())
    count = len(probabilities)
    lines = [
        f"# {title}",
        "",
        f"{_head(inferred[0], noise)} Which coupling it is: the probability of each of {len(names)} families, all equally probable before. "
        f"For {sure} of {count} {'curves' if count != 1 else 'curve'} one has more than {100.0 * _SURE:.0f} %; where none has, the curve does not "
        "tell. That the coupling is none of these is not considered.",
        "",
        f"| curve | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    lines += [f"| {k + 1} | {' | '.join(f'{p:.3f}' for p in row)} |" for k, row in enumerate(probabilities[:_MOST])]
    if count > 1:
        lines += [f"| mean | {' | '.join(f'{p:.3f}' for p in probabilities.mean(axis=0))} |"]
    for k, (name, of, posterior) in enumerate(zip(names, inferred, posteriors, strict=True)):
        curves = [int(i) for i in np.flatnonzero(best == k)]
        if curves:
            lines += [
                "",
                f"## If it is {name}",
                "",
                f"{len(curves)} of {count}, for which it is the most probable:",
                "",
            ]
            lines += _table(of, curves[:_MOST]) + _remarks(of, posterior)
    return lines


def _head(inferred: Inferred, noise: float) -> str:
    return f"{counted(len(inferred), 'curve')}, noise {noise:g}. Means and standard deviations of posteriors, and 95 % intervals."


def _table(inferred: Inferred, curves: Iterable[int]) -> list[str]:
    low, high = inferred.interval(0.95)
    mean, sd = inferred.mean, inferred.sd
    lines = [f"| curve | {' | '.join(inferred.names)} |", f"|---|{'---|' * len(inferred.names)}"]
    for i in curves:
        cells = [
            f"{mean[i, k]:.5g} ± {sd[i, k]:.2g} ({low[i, k]:.4g} to {high[i, k]:.4g})"
            for k in range(len(inferred.names))
        ]
        lines.append(f"| {i + 1} | {' | '.join(cells)} |")
    return lines


def _remarks(inferred: Inferred, posterior: Posterior) -> list[str]:
    lines = [
        f"{p.name} is not determined by these curves: anything from {p.low:g} to {p.high:g}."
        for p in inferred.prior.undetermined
    ]
    priors = ", ".join(f"{p.name} {p.low:g} to {p.high:g}" for p in inferred.prior.parameters)
    return ["", *lines, f"Posterior {posterior.name}; priors are uniform: {priors}."]


def _written(inferred: Inferred, folder: Path, stem: str) -> dict[str, Path]:
    """Write a table and a figure."""
    from ..plot.inference import posteriors

    folder.mkdir(parents=True, exist_ok=True)
    titles, rows = inference_rows(inferred)
    lines = [",".join(["curve", *titles])]
    lines += [",".join([str(k + 1), *(f"{value:.7g}" for value in row)]) for k, row in enumerate(rows)]
    table, picture = folder / f"{stem}.csv", folder / f"{stem}.png"
    write_atomically(table, "\n".join(lines) + "\n")
    posteriors(inferred).savefig(picture)
    return {stem: table, f"{stem}_picture": picture}


def _found(inferred: Inferred, posterior: Posterior) -> dict[str, Any]:
    return {
        "posterior": {"name": posterior.name, "card": posterior.card},
        "parameters": list(inferred.names),
        "undetermined": {
            p.name: {"prior": [p.low, p.high], "why": "the curve does not depend on it"}
            for p in inferred.prior.undetermined
        },
        "mean": inferred.mean,
        "sd": inferred.sd,
    }


def against(inferred: Inferred, truth: np.ndarray) -> dict[str, Any]:
    """Return scores and coverage as plain values."""
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
        posterior: trained posterior; its card is in the record.
        scores: scores by noise, from `against`.
        directory: folder of the training.
        title: title for the record.
        inputs: input files.
    """
    found = {"name": posterior.name, "card": posterior.card, "scores": dict(scores)}
    return write_record(Path(directory) / "result.json", envelope("echo-training", title, found, inputs=inputs))


def write_families_training(
    families: Families,
    posteriors: Sequence[Posterior],
    directory: str | Path,
    title: str,
    *,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write ``result.json`` of a training of several families, and a figure of the calibration of probabilities.

    Args:
        families: classifier of the families; scores are in its card.
        posteriors: posterior of each family.
        directory: folder of the training.
        title: title for the record.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    from ..plot.inference import reliability

    folder = Path(directory)
    written = {"picture": folder / "families.png"}
    reliability(families.card["scores"]).savefig(written["picture"])
    found = {
        "families": {"names": list(families.names), "card": families.card},
        "posteriors": {p.name: {"card": p.card, "scores": p.card["scores"]} for p in posteriors},
    }
    written["result"] = write_record(folder / "result.json", envelope("echo-training", title, found, inputs=inputs))
    return written
