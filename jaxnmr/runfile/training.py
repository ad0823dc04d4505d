"""Run files of model training: data, checks, split, network and training settings of a tensor model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConventionError
from ..models.data.tensor_data import QUANTITIES
from ..models.data.training_data import FORMATS, DataSource, Split
from ..models.tensors.experiment import Experiment
from ..models.tensors.recipe import Recipe
from .keys import EMPTY, Spec, by_name, flat, given, key, part, read, required
from .table import REQUIRED, Table, read_toml


@dataclass(frozen=True, kw_only=True)
class SourceSpec(Spec):
    """The table ``[data]``."""

    format: str = required(
        Table.text, '"si_nmr"', help="magres is a folder of files, extxyz a file with ms or efg arrays", choices=FORMATS
    )
    path: Path = required(Table.path, '"${JAXNMR_DATA}/si_nmr"')
    quantity: str = required(Table.text, '"shielding"', "in ppm and atomic units", choices=QUANTITIES)
    elements: tuple[str, ...] = key(Table.texts, (), '["Si"]', "whose labels are used; all when left out")
    composition: tuple[str, ...] = key(Table.texts, (), '["O", "Si"]', "only structures of these elements")
    other_than: tuple[str, ...] = key(Table.texts, (), '["O", "Si"]', "or: none of these elements alone")
    group: str | None = key(Table.text, None, '"prototype"', "extxyz: entry of a frame that says which are alike")
    group_pattern: str | None = key(
        Table.text, None, r"""'T1Si\d[b-e]?'""",
        help="or: what this finds in the name (for magres the path without suffix). Left out: si_nmr knows its "
        "duplicates, magres files of one name are alike",
    )  # fmt: skip
    exclude: tuple[str, ...] = key(Table.texts, (), '["90"]', "names of structures")
    level_of_theory: str = key(Table.text, "", '"PBE, CASTEP"', "kept with the model")


@dataclass(frozen=True, kw_only=True)
class ChecksSpec(Spec):
    """The table ``[checks]``."""

    wrong_frame: str = key(
        Table.text, "exclude", help="structures whose tensors violate their own symmetry", choices=("exclude", "error")
    )
    wrong_sign: str = key(Table.text, "error", choices=("error", "ignore"))


@dataclass(frozen=True, kw_only=True)
class SplitSpec(Spec):
    """The table ``[split]``."""

    all: bool = key(
        Table.flag, False, help="true: train on everything, for a model that was judged before; without the keys below"
    )
    kind: str = key(
        Table.text, Split.kind, choices=("random", "group"), shown=True,
        help="group keeps groups together, random lets near-duplicates leak into the test",
    )  # fmt: skip
    fractions: tuple[float, ...] = key(
        Table.numbers, Split.fractions, help="training, validation, test", count=3, shown=True
    )
    seed: int = key(Table.integer, Split.seed, shown=True)

    def check(self, table: Table) -> None:
        if self.all and len(table.content) > 1:
            raise table.error("all = true trains on everything: leave kind, fractions and seed out")


def _widths(table: Table, name: str, default: Any = REQUIRED) -> tuple[int, ...] | None:
    widths = table.numbers(name, default)
    if widths is None:
        return None
    if not widths or any(width < 1 or width != int(width) for width in widths):
        raise table.error(f"expected whole numbers such as [32], got {list(widths)}", name)
    return tuple(int(width) for width in widths)


@dataclass(frozen=True, kw_only=True)
class NetworkSpec(Spec):
    """The table ``[network]``."""

    irreps: str | None = key(Table.text, None, '"0e+2e"', "of the prediction; without 1e a symmetric tensor")
    hidden: str | None = key(Table.text, None, '"16x0e+16x1o+8x1e+8x2e"', shown=True)
    layers: int | None = key(Table.integer, None, "2", minimum=1, shown=True)
    cutoff: float | None = key(Table.positive, None, "5.0", "Å", shown=True, unit="Å")
    lmax: int | None = key(Table.integer, None, "2")
    radial: int | None = key(Table.integer, None, "8", minimum=1)
    radial_hidden: tuple[int, ...] | None = key(_widths, None, "[32]")
    neighbours: float | None = key(Table.positive, None, "35.0", "counted in the training data when left out")


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """Keys of ``[training]`` that define the optimisation."""

    epochs: int = key(Table.integer, Recipe.epochs, shown=True)
    batch: int = key(Table.integer, Recipe.batch, help="structures of a step, on all devices together", shown=True)
    seed: int = key(Table.integer, Recipe.seed)
    learning_rate: float = key(Table.number, Recipe.learning_rate)
    warmup: float = key(Table.number, Recipe.warmup)
    weight_decay: float = key(Table.number, Recipe.weight_decay)
    clip: float = key(Table.number, Recipe.clip)
    ema: float = key(Table.number, Recipe.ema)
    delta: float = key(Table.number, Recipe.delta)
    offset: float = key(
        Table.number, Recipe.offset, help="5: isotropic labels of a structure may all be off by one constant"
    )


def _recipe(table: Table, name: str, default: Any = REQUIRED, *, of: type[RecipeSpec]) -> Recipe:
    return _made(table, Recipe, vars(flat(table, name, of=of)))


@dataclass(frozen=True, kw_only=True)
class TrainingSpec(Spec):
    """The table ``[training]``."""

    recipe: Recipe = required(_recipe, of=RecipeSpec)
    members: int = key(Table.integer, 1, help="an ensemble: models with the seeds seed, seed + 1 ...", minimum=1)
    start: Path | None = key(
        Table.path, None, '"model.safetensors"',
        help="go on with this model, or take the features of one of another quantity over: its network is kept, leave "
        "[network] out, irreps aside",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShiftSpec(Spec):
    """A table ``[references.Si]``."""

    reference_ppm: float = required(Table.number, "337.3")
    slope: float = key(Table.number, -1.0)


def _data(table: Table, name: str, default: Any = REQUIRED, *, of: type[SourceSpec]) -> DataSource:
    if not table.has(name):
        raise table.error(f"a training needs a table [{name}]; jaxnmr help-run explains it")
    inner = table.table(name)
    return _made(inner, DataSource, vars(read(inner, of)))


def _split(table: Table, name: str, default: Any = REQUIRED, *, of: type[SplitSpec]) -> Split:
    inner = table.table(name)
    found = vars(read(inner, of))
    return _made(
        inner, Split, {key: "all" if key == "kind" and found["all"] else found[key] for key in found if key != "all"}
    )


def _reference(table: Table, name: str) -> tuple[float, float]:
    found = read(table.table(name), ShiftSpec)
    return (found.reference_ppm, found.slope)


def _made(table: Table, kind: Any, arguments: Mapping[str, Any]) -> Any:
    """Make an object; turn its errors into errors of the run file."""
    try:
        return kind(**arguments)
    except ConventionError as error:
        raise table.error(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class TrainingRun(Spec):
    """A checked run file of a training run."""

    path: Path
    title: str = key(Table.text, "", '"29Si shielding of silica"', shown=True)
    source: DataSource = required(_data, "[data]", name="data", of=SourceSpec)
    checks: ChecksSpec = required(
        part, "[checks]", "units are always tested, and labels that are not finite refused", of=ChecksSpec
    )
    split: Split = required(_split, "[split]", of=SplitSpec)
    network: NetworkSpec = required(part, "[network]", of=NetworkSpec)
    training: TrainingSpec = required(part, "[training]", of=TrainingSpec)
    references: dict[str, tuple[float, float]] = key(
        by_name, EMPTY, "[references.Si]\nreference_ppm = 337.3\nslope = -1.0", each=_reference,
        help="shift = reference_ppm + slope * shielding, kept with the model",
    )  # fmt: skip

    def check(self, table: Table) -> None:
        if self.training.start is not None and given(self.network).keys() - {"irreps"}:
            raise table.error(
                "the network is that of the model to start from: leave [network], irreps aside, or start out", "network"
            )
        if self.references and self.source.quantity != "shielding":
            raise table.table("references").error(
                f"references are for shieldings, and quantity is {self.source.quantity!r}: leave them out"
            )

    @property
    def experiment(self) -> Experiment:
        """The experiment that describes the training."""
        return Experiment(
            title=self.title,
            source=self.source,
            split=self.split,
            network=given(self.network),
            recipe=self.training.recipe,
            members=self.training.members,
            wrong_frame=self.checks.wrong_frame,
            wrong_sign=self.checks.wrong_sign,
            start=self.training.start,
            references=self.references,
        )


def load_training(path: str | Path) -> TrainingRun:
    """Read and check a run file; data files are not touched yet.

    Raises:
        ParseError: the file does not exist or is not TOML, a key is unknown or missing, a value has the wrong type or
            is invalid, or an environment variable is not set.
    """
    return read(read_toml(path), TrainingRun, path=Path(path), title=Path(path).stem)
