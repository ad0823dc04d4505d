"""Cross-validation: every structure is predicted by networks that have seen nothing like it (host)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import ConventionError, DataError
from ..data.training_data import Prepared
from .calibration import cross_coverage
from .experiment import Evaluation, Experiment, run_experiment
from .metrics import Comparison
from .tensor_model import TensorModel
from .train import EpochInfo


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Scores of all structures, each by the networks that were trained without its fold.

    Attributes:
        prepared: the data; parts are ``"fold 1"``, ``"fold 2"`` ...
        models: one per fold, trained on the others.
        folds: every model judged on its own fold.
        pooled: all of them together; its coverage calibrates every fold with errors made in the others (``None`` where atoms
            are too few for that).
    """

    prepared: Prepared
    models: tuple[TensorModel, ...] = field(repr=False)
    folds: tuple[Evaluation, ...] = field(repr=False)
    pooled: Evaluation


def cross_validate(
    experiment: Experiment,
    folder: str | Path,
    *,
    folds: int = 5,
    prepared: Prepared | None = None,
    callback: Callable[[int, int, EpochInfo], None] | None = None,
) -> CrossValidation:
    """Train as many times as there are folds, each time on all others; state is kept in ``folder/fold_1`` and so on.

    Called again after an interruption, it goes on. A model to start from must not have learned from these structures.

    Args:
        experiment: as for :func:`run_experiment`; of its split, kind and seed are used.
        folder: made when missing.
        folds: number of parts, at least two.
        prepared: what :func:`deal_folds` gave, if it was called before.
        callback: called with the numbers of fold and member after every epoch.

    Raises:
        ConventionError: fewer than two folds.
        DataError: fewer groups than folds, or an element that only one fold has; see also :func:`run_experiment`.
    """
    prepared = deal_folds(experiment, folds) if prepared is None else prepared
    models, judged = [], []
    for k, (name, test) in enumerate(prepared.parts.items()):
        rest = np.sort(np.concatenate([part for other, part in prepared.parts.items() if other != name]))
        mine = replace(prepared, parts={"train": rest, "test": test})
        mine.require_elements()
        result = run_experiment(
            experiment,
            Path(folder) / name.replace(" ", "_"),
            prepared=mine,
            callback=None if callback is None else partial(callback, k),
        )
        models.append(result.model)
        judged.append(replace(result.evaluations["test"], part=name))
    try:
        held = cross_coverage(models, [prepared.part(name) for name in prepared.parts])
    except DataError:  # too few atoms for intervals; the scores are worth having
        held = None
    pooled = replace(
        judged[0],
        part=f"all {len(judged)} folds",
        names=tuple(s.name for s in prepared.data.structures),
        comparisons=_pooled(judged),
        members=(),
        coverage=held,
        trained=0,
        followed=0,
        alike=sum(evaluation.alike for evaluation in judged),
    )
    return CrossValidation(prepared, tuple(models), tuple(judged), pooled)


def deal_folds(experiment: Experiment, folds: int) -> Prepared:
    """Read and check the data and deal them to folds of about equal size; see :func:`cross_validate`."""
    if folds < 2:
        raise ConventionError(f"{folds} folds; expected two at least")
    data, labels = experiment.checked()
    by_group = experiment.split.kind != "random"
    parts = data.split([1.0 / folds] * folds, seed=experiment.split.seed, by_group=by_group)
    return Prepared(data, labels, {f"fold {k}": part for k, part in enumerate(parts, start=1)})


def _pooled(judged: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Comparisons of all folds by element; structures keep their own numbers."""
    found: dict[str, list[Comparison]] = {}
    for evaluation in judged:
        for element, comparison in evaluation.comparisons.items():
            found.setdefault(element, []).append(comparison)
    out = {}
    for element, parts in sorted(found.items()):
        starts = np.cumsum([0, *(part.structure.max() + 1 for part in parts)])
        joined = lambda name, parts=parts: np.concatenate([getattr(part, name) for part in parts])
        structure = np.concatenate([part.structure + start for part, start in zip(parts, starts, strict=False)])
        out[element] = replace(
            parts[0], predicted=joined("predicted"), true=joined("true"), weight=joined("weight"), structure=structure
        )
    return out
