"""Cross-validation: every structure is predicted by networks that have seen nothing like it (host)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...campaign.drive import Tally
from ...campaign.rows import Row
from ...errors import ConventionError, DataError
from ..data.training_data import Prepared
from .calibration import cross_coverage
from .elsewhere import train_elsewhere
from .experiment import Evaluation, Experiment, run_experiment
from .metrics import Comparison
from .tensor_model import TensorModel
from .train import EpochInfo

if TYPE_CHECKING:
    from distributed import Client


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
    client: Client | None = None,
    progress: Callable[[Row, Tally], Any] | None = None,
) -> CrossValidation:
    """Train as many times as there are folds, each time on all others; state is kept in ``folder/fold_1`` and so on.

    Called again after an interruption, it goes on. A model to start from must not have learned from these structures.

    Args:
        experiment: as for :func:`run_experiment`; of its split, kind and seed are used.
        folder: made when missing.
        folds: number of parts, at least two.
        prepared: what :func:`deal_folds` gave, if it was called before.
        callback: called with the numbers of fold and member after every epoch; not where a client is given.
        client: of a Dask cluster, whose workers train folds and members at the same time; they must reach the folder.
        progress: called after every training that ended on it.

    Raises:
        ConventionError: fewer than two folds.
        JaxnmrError: a training on the cluster failed; the others are kept.
        DataError: fewer groups than folds, or an element that only one fold has; see also :func:`run_experiment`.
    """
    prepared = deal_folds(experiment, folds) if prepared is None else prepared
    parts = {name: _without(prepared, name) for name in prepared.parts}
    folders = {name: Path(folder) / name.replace(" ", "_") for name in parts}
    if client is not None:
        train_elsewhere(experiment, parts, Path(folder), folders, client, progress)
    models, judged = [], []
    for k, (name, mine) in enumerate(parts.items()):
        follow = None if callback is None or client is not None else partial(callback, k)
        result = run_experiment(experiment, folders[name], prepared=mine, callback=follow)
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


def _without(prepared: Prepared, fold: str) -> Prepared:
    """The data with one fold for the test, and all others to train on."""
    rest = np.sort(np.concatenate([part for name, part in prepared.parts.items() if name != fold]))
    mine = replace(prepared, parts={"train": rest, "test": prepared.parts[fold]})
    mine.require_elements()
    return mine


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
