"""k-fold cross-validation: every structure is predicted by networks trained without its fold (host)."""

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
        models: one per fold, trained on the other folds.
        folds: evaluation of every model on its own fold.
        pooled: evaluation of all folds together; its coverage calibrates every fold with errors in the others (``None``
            if there are too few atoms).
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
    """Train once per fold, on all other folds; state is kept in ``folder/fold_1`` and so on.

    A call after an interruption continues. A model to start from must not have been trained on these structures.

    Args:
        experiment: as for :func:`run_experiment`; only kind and seed of its split are used.
        folder: created if missing.
        folds: number of folds, at least two.
        prepared: result of :func:`deal_folds`, if it was called before.
        callback: called with the indices of fold and member after every epoch; not with a client.
        client: client of a Dask cluster, whose workers train folds and members in parallel; they need access to the folder.
        progress: called after every training that ended on the cluster.

    Raises:
        ConventionError: there are fewer than two folds.
        JaxnmrError: a training on the cluster failed; the others are kept.
        DataError: there are fewer groups than folds, or an element occurs in one fold only; see also
            :func:`run_experiment`.
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
    """Return the data with one fold as the test part, and all others as the training part."""
    rest = np.sort(np.concatenate([part for name, part in prepared.parts.items() if name != fold]))
    mine = replace(prepared, parts={"train": rest, "test": prepared.parts[fold]})
    mine.require_elements()
    return mine


def deal_folds(experiment: Experiment, folds: int) -> Prepared:
    """Read and check the data, and divide them into folds of about equal size; see :func:`cross_validate`."""
    if folds < 2:
        raise ConventionError(f"{folds} folds; expected two at least")
    data, labels = experiment.checked()
    by_group = experiment.split.kind != "random"
    parts = data.split([1.0 / folds] * folds, seed=experiment.split.seed, by_group=by_group)
    return Prepared(data, labels, {f"fold {k}": part for k, part in enumerate(parts, start=1)})


def _pooled(judged: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Join the comparisons of all folds by element; structures remain distinct."""
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
