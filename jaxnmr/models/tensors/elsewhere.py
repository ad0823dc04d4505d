"""Independent trainings, of folds and members, on the workers of a cluster (host)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...campaign.cluster import Cluster
from ...campaign.drive import Tally, drive
from ...campaign.rows import Row
from ...campaign.table import Table
from ...campaign.work import Item, failed
from ...errors import JaxnmrError
from ..data.training_data import Prepared
from .experiment import Experiment, train_some

if TYPE_CHECKING:
    from distributed import Client

KIND = "training"
COLUMNS: Mapping[str, type] = {"fold": str, "member": int, "epochs": int, "train_loss": float, "valid_loss": float}


@dataclass(frozen=True)
class Training:
    """Training of members; see `Work`. Their states are files in the folders, to which every worker needs access.

    Attributes:
        experiment: description of the training.
        parts: data by name of the fold.
        folders: folders for the states of each fold.
    """

    experiment: Experiment
    parts: Mapping[str, Prepared]
    folders: Mapping[str, Path]

    def begin(self) -> None:
        """Do nothing: no state is shared."""

    def rows(self, state: None, items: Iterable[Item]) -> Iterator[Row]:
        """Train the members one after the other."""
        for item in items:
            fold, member = item.content
            try:
                (result,) = train_some(self.experiment, self.parts[fold], self.folders[fold], [member])
            except Exception as err:
                yield failed(item, f"{type(err).__name__}: {err}")
                continue
            last = result.history[-1]
            values = {
                "fold": fold, "member": member, "epochs": last.epochs, "train_loss": last.train_loss, "valid_loss": last.valid_loss,
            }  # fmt: skip
            yield Row(item.key, item.name, "converged", "", values=values)


def train_elsewhere(
    experiment: Experiment,
    parts: Mapping[str, Prepared],
    folder: Path,
    folders: Mapping[str, Path],
    client: Client,
    callback: Callable[[Row, Tally], Any] | None = None,
) -> Tally:
    """Train all members of all folds on a cluster; one row per member in a table in ``folder``, states in ``folders``.

    A call after an interruption continues.

    Raises:
        ConventionError: the table belongs to another experiment.
        JaxnmrError: a training failed; the others are finished first.
    """
    work = Training(experiment, parts, {name: path.absolute() for name, path in folders.items()})
    for path in work.folders.values():
        path.mkdir(parents=True, exist_ok=True)
    items = [
        Item(f"{fold} {member}", f"{fold}, member {member + 1}", fold, (fold, member))
        for fold in parts
        for member in range(experiment.members)
    ]
    with Table(folder, KIND, COLUMNS, _digest(experiment, parts)) as table:
        table.forget(table.reader().keys(status="error"))
        tally = drive(items, work, table, Cluster(client, most=1, least=1), total=len(items), callback=callback)
        wrong = [row for row in table.reader() if row.status == "error"]
    if wrong:
        more = f" ({len(wrong) - 1} others failed, too)" if wrong[1:] else ""
        raise JaxnmrError(f"{wrong[0].name}: {wrong[0].message}{more}; trainings that are finished are kept")
    return tally


def _digest(experiment: Experiment, parts: Mapping[str, Prepared]) -> str:
    """Return a digest of the experiment and its data."""
    # the number of members may change
    made = hashlib.sha256(repr(replace(experiment, members=1)).encode())
    for name, prepared in parts.items():
        for part, indices in prepared.parts.items():
            made.update(f"{name} {part}".encode() + np.asarray(indices).tobytes())
    data = next(iter(parts.values())).data
    for k in range(len(data)):
        made.update(np.nan_to_num(data.tensors(k)).tobytes())
    return made.hexdigest()
