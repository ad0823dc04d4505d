"""Files of a training or an evaluation of tensor models: numbers, text and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._record import envelope, write_record
from .._tables import markdown as table
from ..models.tensors.anchors import Anchor, anchors_for
from ..plot.models import learning_curve, orientation, parity

if TYPE_CHECKING:
    from ..models.data.training_data import Prepared
    from ..models.tensors.experiment import Evaluation, ExperimentResult
    from ..models.tensors.tensor_model import TensorModel

# key of a metric, heading with its unit, digits
_COLUMNS = {
    "shielding": (
        ("tensor_mae", "tensor / ppm", 2), ("rmse_l0_percent", "l=0 / %", 1), ("rmse_l1_percent", "l=1 / %", 1),
        ("rmse_l2_percent", "l=2 / %", 1), ("iso_mae", "iso / ppm", 2), ("iso_median", "iso median / ppm", 2),
        ("iso_within_mae", "iso in a structure / ppm", 2), ("iso_offset_rms", "offset of structures / ppm", 2),
        ("span_mae", "span / ppm", 2), ("skew_mae", "skew", 3), ("zeta_mae", "ζ / ppm", 2), ("eta_mae", "η", 3),
        ("orientation_deg", "axes / °", 1), ("orientation_deg_median", "axes median / °", 1),
    ),
    "efg": (
        ("tensor_mae", "tensor / a.u.", 4), ("rmse_l2_percent", "l=2 / %", 1), ("cq_mae_mhz", "C_Q / MHz", 3),
        ("cq_size_mae_mhz", "C_Q size / MHz", 3), ("eta_mae", "η", 3), ("orientation_deg", "axes / °", 1),
        ("orientation_deg_median", "axes median / °", 1),
    ),
}  # fmt: skip
_PACKAGES = ("flax", "optax", "e3nn-jax", "jraph", "safetensors", "ase", "spglib")


def write_training(result: ExperimentResult, folder: str | Path, inputs: Sequence[Path] = ()) -> dict[str, Path]:
    """Write ``result.json``, ``report.md``, ``learning-curve.png``, ``parity.png`` and ``orientation.png``.

    Args:
        result: result of the training; its models are already written.
        folder: output folder.
        inputs: input files, which the record lists with their digests.

    Returns:
        The files written, by description.
    """
    folder = Path(folder)
    part = next((name for name in ("test", "train") if name in result.evaluations), "train")
    evaluation = result.evaluations[part]
    written = {"learning curve": _save(learning_curve(result.histories), folder / "learning-curve.png")}
    written |= write_pictures(evaluation, folder)
    record = training_record(result, inputs)
    written["result"] = write_record(folder / "result.json", record)
    written["report"] = folder / "report.md"
    written["report"].write_text(training_text(result, record, evaluation), encoding="utf-8")
    return written


def write_evaluation(
    evaluation: Evaluation, prepared: Prepared, model: TensorModel, folder: str | Path, *, title: str,
    inputs: Sequence[Path] = (), folds: Sequence[Evaluation] = (),
) -> dict[str, Path]:  # fmt: skip
    """Write ``evaluation.json``, ``evaluation.md``, ``parity.png`` and ``orientation.png``; see :func:`write_training`.

    Args:
        evaluation: evaluation of the model.
        prepared: prepared data.
        model: evaluated model, or the first of those of all folds.
        folder: output folder; created if missing.
        title: title of the report.
        inputs: input files, which the record lists with their digests.
        folds: evaluations that were pooled.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = write_pictures(evaluation, folder)
    record = envelope(
        "cross-validation" if folds else "evaluation",
        title,
        {
            "part": evaluation.part,
            "model": {"name": model.card.name, "parameters": model.count, "members": model.members},
            "evaluation": evaluation_record(evaluation),
            "folds": [evaluation_record(fold) | {"names": fold.names} for fold in folds],
            "labels": _labels_record(prepared),
            "structures": evaluation.names,
        },
        inputs=inputs,
        packages=_PACKAGES,
    )
    written["result"] = write_record(folder / "evaluation.json", record)
    members = f" (mean of {model.members} members)" if model.members else ""
    parts = [
        f"# {title}: {evaluation.title}",
        f"Model {model.card.name}{members}, {evaluation.source}.",
        *_evaluation_parts(evaluation),
        *(text for fold in folds for text in (f"### {fold.title.capitalize()}", table(*score_rows(fold)))),
        "## Labels",
        _bullets(prepared.labels.lines() + prepared.warnings()),
        "## How these numbers were made",
        _provenance(record),
    ]
    written["report"] = folder / "evaluation.md"
    written["report"].write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return written


def write_pictures(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Write ``parity.png`` and ``orientation.png``."""
    title = f"{evaluation.source}, {evaluation.title}"
    return {
        "parity": _save(parity(evaluation.comparisons, title=title), folder / "parity.png"),
        "orientation": _save(orientation(evaluation.comparisons, title=title), folder / "orientation.png"),
    }


def training_record(result: ExperimentResult, inputs: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the content of ``result.json``: an envelope of the kind ``"training"``, see `jaxnmr._record`."""
    experiment, prepared = result.experiment, result.prepared
    names = [s.name for s in prepared.data.structures]
    return envelope(
        "training",
        experiment.title,
        {
            "data": {**dataclasses.asdict(experiment.source), "path": experiment.source.path.name},
            "level_of_theory": prepared.data.level_of_theory,
            "labels": _labels_record(prepared),
            "split": {
                **dataclasses.asdict(experiment.split),
                "structures": {part: [names[k] for k in indices] for part, indices in prepared.parts.items()},
                "groups": {part: len({prepared.data.groups[k] for k in i}) for part, i in prepared.parts.items()},
            },
            "network": result.model.config.to_dict(),
            "parameters": result.model.count,
            "recipe": dataclasses.asdict(experiment.recipe),
            "start": None if experiment.start is None else experiment.start.name,
            "seeds": [experiment.recipe.seed + k for k in range(experiment.members)],
            "history": [[info._asdict() for info in history] for history in result.histories],
            "evaluations": {part: evaluation_record(found) for part, found in result.evaluations.items()},
            "model": result.file.name,
            "warnings": result.warnings,
        },
        inputs=inputs,
        packages=_PACKAGES,
    )


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return scores of an evaluation with their reliability and published values for comparison."""
    return {
        "part": evaluation.part,
        "quantity": evaluation.quantity,
        "structures": len(evaluation.names),
        "trained_on": evaluation.trained,
        "validated_on": evaluation.followed,
        "near_duplicates_of_training": evaluation.alike,
        "caveats": evaluation.caveats(),
        "scores": evaluation.scores(),
        "members": list(evaluation.members),
        "coverage": [] if evaluation.coverage is None else [row._asdict() for row in evaluation.coverage.rows],
        "published": [
            {**dataclasses.asdict(anchor), "same_data": _same_data(anchor, evaluation)}
            for anchor in anchors_for(evaluation.quantity, evaluation.comparisons)
        ],
    }


def training_text(result: ExperimentResult, record: dict[str, Any], evaluation: Evaluation) -> str:
    """Format the Markdown report of a training."""
    experiment, prepared = result.experiment, result.prepared
    config, last = result.model.config, result.histories[0][-1]
    members = f"{len(result.histories)} networks of " if len(result.histories) > 1 else "A network of "
    counts = {part: len(indices) for part, indices in prepared.parts.items()}
    split = {
        "all": "All structures were trained on: there is no test, and the scores below are those of the training data.",
        "random": "Dealt at random: structures of one group may be on both sides.",
        "group": "Dealt by group: alike structures are on one side.",
    }[experiment.split.kind]
    dealt = table(
        ("part", "structures", "groups", "labels"),
        [
            (part, count, record["result"]["split"]["groups"][part], int(sum(prepared.data.mask(k).sum() for k in prepared.parts[part])))
            for part, count in counts.items()
        ],
    )  # fmt: skip
    network = [
        ("species", ", ".join(config.species)), ("hidden", config.hidden), ("layers", config.layers),
        ("cutoff / Å", f"{config.cutoff:g}"), ("mean neighbours", f"{config.neighbours:g}"),
        *((f"head {head.name}", f"{head.irreps}, {head.unit}, {', '.join(head.elements)}") for head in config.heads),
        *((name, f"{value:g}") for name, value in record["result"]["recipe"].items() if name != "seed"),
        ("seeds", ", ".join(map(str, record["result"]["seeds"]))),
        *([("started from", record["result"]["start"])] if record["result"]["start"] else []),
    ]  # fmt: skip
    loss = f"loss {last.train_loss:.4f}" + ("" if last.valid_loss is None else f", validation {last.valid_loss:.4f}")
    parts = [
        f"# {record['title']}",
        f"{members}{record['result']['parameters']} parameters, {last.epoch} epochs, {loss} (scaled units, first network).",
        _bullets([f"**Note:** {sentence}" for sentence in result.warnings]),
        *_evaluation_parts(evaluation),
        "## Data",
        f"{evaluation.source}"
        + (f", {prepared.data.level_of_theory}" if prepared.data.level_of_theory else "")
        + f". {split} Seed {experiment.split.seed}; the names are in result.json.",
        dealt,
        _bullets([*prepared.labels.lines(), *prepared.warnings()]),
        "## Network and recipe",
        table(("what", "value"), network),
        "## Course of the training",
        "![learning curve](learning-curve.png)",
        "## How these numbers were made",
        _provenance(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def score_rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return the header and one row per element of the table of scores."""
    scores = evaluation.scores()
    columns = [c for c in _COLUMNS[evaluation.quantity] if any(c[0] in found for found in scores.values())]
    cell = lambda found, key, digits: f"{found[key]:.{digits}f}" if key in found else "–"
    rows = [
        [element, f"{found['labels']:.0f}", *(cell(found, key, digits) for key, _, digits in columns)]
        for element, found in scores.items()
    ]
    return ["element", "labels", *(heading for _, heading, _ in columns)], rows


def _evaluation_parts(evaluation: Evaluation) -> list[str]:
    header, rows = score_rows(evaluation)
    note = (
        "Mean absolute errors unless it says median; l= is the root mean square error of an irrep over its spread; axes is "
        "the smallest rotation between principal frames, over the four equivalent ones."
    )
    return [
        f"## Scores ({evaluation.title})",
        _bullets([f"**Note:** {sentence}" for sentence in evaluation.caveats()]),
        table(header, rows),
        note,
        "![predicted against computed](parity.png)",
        "![errors of orientation](orientation.png)",
        *_uncertainty(evaluation),
        "## What others reached",
        _published(evaluation),
    ]


def _uncertainty(evaluation: Evaluation) -> list[str]:
    if evaluation.coverage is None:
        return []
    rows = [
        (
            r.element, r.quantity, r.atoms, f"{100 * r.within_68:.1f}", f"{100 * r.within_95:.1f}",
            f"{r.half_width_68:.3g}", f"{r.half_width_95:.3g}",
        )
        for r in evaluation.coverage.rows
    ]  # fmt: skip
    header = ("element", "what", "atoms", "in 68 % / %", "in 95 % / %", "± 68 %", "± 95 %")
    note = (
        "How many atoms are within the intervals the model gives, and half of their median width (ppm; a.u.). Lines with /own are about "
        "what sites of one structure have of their own, lines with /common about structures: the constant (l0, as isotropic "
        "value) or the factor (l2) that all sites of one have in common."
    )
    return ["## Uncertainty", note, table(header, rows)]


def _published(evaluation: Evaluation) -> str:
    anchors = anchors_for(evaluation.quantity, evaluation.comparisons)
    if not anchors:
        return "No published number of these elements is known to jaxnmr."
    rows = [
        (
            ", ".join(a.elements), a.metric, a.value, _same_data(a, evaluation), a.split, a.citation,
        )
        for a in anchors
    ]  # fmt: skip
    return table(("element", "what", "value", "same data", "split", "work"), rows)


def _same_data(anchor: Anchor, evaluation: Evaluation) -> str:
    return {
        True: "yes",
        None: f"**a part**: {evaluation.population} of {anchor.structures} structures",
        False: f"**no**: {anchor.data}",
    }[anchor.same_data(evaluation.source, evaluation.population)]


def _labels_record(prepared: Prepared) -> dict[str, Any]:
    labels = prepared.labels
    return {
        "excluded": labels.excluded,
        "sign": None if labels.sign is None else dataclasses.asdict(labels.sign),
        "frames": [dataclasses.asdict(c) for c in labels.frames if c.name in labels.excluded],
        "lines": labels.lines(),
        "warnings": prepared.warnings(),
    }


def _provenance(record: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    rows = [(i["file"], i["bytes"], f"`{i['sha256']}`") for i in record["inputs"] if i["sha256"]]
    text = f"{record['created']}, on {record['device']}. {packages}."
    return text + ("\n\n" + table(("input", "bytes", "SHA-256"), rows) if rows else "")


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"  - {line.strip()}" if line.startswith(" ") else f"- {line}" for line in lines)


def _save(figure, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path)
    plt.close(figure)
    return path
