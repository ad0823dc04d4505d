"""Run files of trainings: data, checks, split, network and recipe of a tensor model in one TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..errors import ConventionError
from ..models.data.tensor_data import QUANTITIES
from ..models.data.training_data import FORMATS, DataSource, Split
from ..models.tensors.experiment import Experiment
from ..models.tensors.train import Recipe
from .table import Table, read_toml


@dataclass(frozen=True)
class TrainingRun:
    """A checked run file of a training."""

    path: Path
    experiment: Experiment

    @property
    def title(self) -> str:
        """As the file says, or its name."""
        return self.experiment.title


def load_training(path: str | Path) -> TrainingRun:
    """Read and check a run file; data are not touched yet.

    Raises:
        ParseError: no such file, not TOML, an unknown or missing key, a value of the wrong kind or that makes no sense, an
            unset environment variable.
    """
    top = read_toml(path)
    if not top.has("data"):
        raise top.error("a training needs a table [data]; jaxnmr help-run explains it")
    source = _source(top.table("data"))
    checks = top.table("checks")
    training = top.table("training")
    start = training.path("start", None)
    members = training.integer("members", 1, minimum=1)
    network = _network(top.table("network"))
    if start is not None and network.keys() - {"irreps"}:
        raise top.error(
            "the network is that of the model to start from: leave [network], irreps aside, or start out", "network"
        )
    experiment = Experiment(
        title=top.text("title", Path(path).stem),
        source=source,
        split=_split(top.table("split")),
        network=network,
        recipe=_recipe(training),
        members=members,
        wrong_frame=checks.text("wrong_frame", "exclude", choices=("exclude", "error")),
        wrong_sign=checks.text("wrong_sign", "error", choices=("error", "ignore")),
        start=start,
        references=_references(top.table("references"), source.quantity),
    )
    checks.done()
    top.done()
    return TrainingRun(Path(path), experiment)


def _source(table: Table) -> DataSource:
    arguments = {
        "format": table.text("format", choices=FORMATS),
        "path": table.path("path"),
        "quantity": table.text("quantity", choices=QUANTITIES),
        "elements": table.texts("elements", ()),
        "composition": table.texts("composition", ()),
        "other_than": table.texts("other_than", ()),
        "group": table.text("group", None),
        "group_pattern": table.text("group_pattern", None),
        "exclude": table.texts("exclude", ()),
        "level_of_theory": table.text("level_of_theory", ""),
    }
    table.done()
    return _made(table, DataSource, arguments)


def _split(table: Table) -> Split:
    everything = table.flag("all", False)
    if everything and len(table.content) > 1:
        raise table.error("all = true trains on everything: leave kind, fractions and seed out")
    arguments = {
        "kind": "all" if everything else table.text("kind", "group", choices=("random", "group")),
        "fractions": table.numbers("fractions", (0.8, 0.1, 0.1), count=3),
        "seed": table.integer("seed", 0),
    }
    table.done()
    return _made(table, Split, arguments)


def _network(table: Table) -> dict:
    widths = table.numbers("radial_hidden", None)
    values = {
        "irreps": table.text("irreps", None),
        "hidden": table.text("hidden", None),
        "layers": table.integer("layers", None, minimum=1),
        "cutoff": table.number("cutoff", None, positive=True),
        "lmax": table.integer("lmax", None),
        "radial": table.integer("radial", None, minimum=1),
        "radial_hidden": None if widths is None else tuple(int(width) for width in widths),
        "neighbours": table.number("neighbours", None, positive=True),
    }
    if widths is not None and (not widths or any(width < 1 or width != int(width) for width in widths)):
        raise table.error(f"expected whole numbers such as [32], got {list(widths)}", "radial_hidden")
    table.done()
    return {name: value for name, value in values.items() if value is not None}


def _recipe(table: Table) -> Recipe:
    whole = ("epochs", "batch", "seed")
    arguments = {
        f.name: table.integer(f.name, f.default) if f.name in whole else table.number(f.name, f.default)
        for f in fields(Recipe)
    }
    table.done()
    return _made(table, Recipe, arguments)


def _references(table: Table, quantity: str) -> dict[str, tuple[float, float]]:
    if table.content and quantity != "shielding":
        raise table.error(f"references are for shieldings, and quantity is {quantity!r}: leave them out")
    out = {}
    for element in table.content:
        entry = table.table(element)
        out[element] = (entry.number("reference_ppm"), entry.number("slope", -1.0))
        entry.done()
    return out


def _made(table: Table, kind, arguments: dict):
    """The object; what it complains about is an error of the run file."""
    try:
        return kind(**arguments)
    except ConventionError as error:
        raise table.error(str(error)) from error
