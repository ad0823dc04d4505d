"""Training from files to scores: reading, checks, split, training, evaluation (host)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jraph
import numpy as np

from ...errors import ConventionError, DataError
from ...io.structures.magres import Magres
from ..data.labels import labelled_graphs, mean_neighbours
from ..data.tensor_data import TensorData
from ..data.training_data import DataSource, LabelReport, Prepared, Split, check_labels
from ..networks.config import HeadConfig, NetworkConfig
from .calibration import Coverage, calibrate, coverage
from .hosts import is_first
from .metrics import Comparison, compare
from .novelty import with_novelty
from .recipe import EpochInfo, Recipe
from .tensor_model import ModelCard, TensorModel
from .train import TrainingResult, train_members


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Complete description of a training.

    Attributes:
        title: name of the model.
        source: data source.
        split: split of the structures.
        network: arguments of `NetworkConfig` other than species and heads; ``irreps`` is that of the head. With a model
            to start from, only ``irreps`` is allowed.
        recipe: recipe of the first member; the others have consecutive seeds.
        members: number of models to train, which differ in their seed.
        wrong_frame, wrong_sign: see :func:`check_labels`.
        start: model from which to start; if it predicts another quantity, its features are transferred. If it is an
            ensemble, the members start from its networks in turn.
        references: ``(reference_ppm, slope)`` of chemical shifts, by element.
    """

    title: str
    source: DataSource
    split: Split = field(default_factory=Split)
    network: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    members: int = 1
    wrong_frame: str = "exclude"
    wrong_sign: str = "error"
    start: Path | None = None
    references: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def prepare(self) -> Prepared:
        """Read, check and split the data.

        Raises:
            ParseError, DataError, ConventionError: see `DataSource.read`, :func:`check_labels`, `Split.parts`; or a
                labelled element does not occur in the training part.
        """
        data, labels = self.checked()
        prepared = Prepared(data, labels, self.split.parts(data))
        prepared.require_elements()
        return prepared

    def checked(self) -> tuple[TensorData, LabelReport]:
        """Return the data and the report on their labels; errors as for :meth:`prepare`."""
        return check_labels(self.source.read(), wrong_frame=self.wrong_frame, wrong_sign=self.wrong_sign)

    def remembered(self, structures: int) -> float:
        """Return the weight of the random initial parameters in the averaged ones, by number of training structures."""
        if self.start is not None:
            return 0.0
        return self.recipe.ema ** (self.recipe.epochs * -(-structures // self.recipe.batch))

    def configuration(
        self, data: TensorData, train_data: TensorData, start: TensorModel | None = None
    ) -> NetworkConfig:
        """Return the network configuration for these data; neighbours are counted in the training part by default.

        Raises:
            ConventionError: the network is impossible.
        """
        return self.configured(data, train_data, start)[0]

    def configured(
        self, data: TensorData, train_data: TensorData, start: TensorModel | None = None
    ) -> tuple[NetworkConfig, list[jraph.GraphsTuple]]:
        """Return :meth:`configuration` together with the graphs of the training part, which take long to make."""
        arguments = dict(self.network)
        irreps = arguments.pop("irreps", "")
        head = HeadConfig(name=data.quantity, irreps=irreps, elements=data.labelled_elements)
        if start is None:
            config = NetworkConfig(species=data.species, heads=(head,), **arguments)
        elif any(known.name == data.quantity for known in start.config.heads):
            config = start.config
        else:
            config = replace(start.config, species=data.species, heads=(head,))
        graphs = labelled_graphs(train_data, config)
        if start is None and "neighbours" not in arguments:
            config = replace(config, neighbours=round(mean_neighbours(graphs), 1))
        return config, graphs


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a model on some structures.

    Attributes:
        part: part of the split, ``"all"``, or the fold.
        source: source of the data.
        quantity: predicted quantity.
        names: names of the structures.
        population: number of structures in all parts.
        comparisons: comparisons by element; for an ensemble, those of its mean.
        members: errors by element of every network of an ensemble; empty for a single network.
        coverage: coverage of the intervals; ``None`` without calibration.
        trained: number of the structures the model was trained on; ``None`` if unknown.
        followed: number of the structures used for validation in its training.
        alike: number of other structures with a member of their group in the training part.
    """

    part: str
    source: str
    quantity: str
    names: tuple[str, ...] = field(repr=False)
    population: int
    comparisons: Mapping[str, Comparison] = field(repr=False)
    members: tuple[dict[str, dict[str, float]], ...] = field(repr=False)
    coverage: Coverage | None
    trained: int | None
    followed: int
    alike: int

    @property
    def title(self) -> str:
        """Description of the structures."""
        which = {"all": "all parts"}.get(self.part, self.part if "fold" in self.part else f"{self.part} part")
        return f"{which}, {len(self.names)} structures"

    def scores(self) -> dict[str, dict[str, float]]:
        """Return errors by element, see `Comparison.metrics`."""
        return {element: comparison.metrics() for element, comparison in self.comparisons.items()}

    def caveats(self) -> list[str]:
        """List limitations of these scores, in words."""
        count = len(self.names)
        if self.trained is None:
            return ["The model does not say which structures it was trained on; these may be among them."]
        out = []
        if self.trained:
            which = f"All {count}" if self.trained == count else f"{self.trained} of the {count}"
            out.append(
                f"{which} structures were TRAINED ON: these scores say how well the model remembers, not how well it predicts."
            )
        if self.followed:
            out.append(
                f"{self.followed} of the {count} structures were for validation: settings may have been chosen by them."
            )
        if self.alike:
            out.append(
                f"{self.alike} of the {count} structures have a near-duplicate (same group) in the training part."
            )
        return out


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """A trained model with its learning curves and scores.

    Attributes:
        experiment: description of the training.
        prepared: the data.
        model: a network, or the ensemble of all.
        histories: learning curves of all networks.
        evaluations: evaluations of validation and test parts; of the training part if there are no others.
        file: file of the model.
        warnings: cautions for using it.
    """

    experiment: Experiment
    prepared: Prepared
    model: TensorModel
    histories: tuple[tuple[EpochInfo, ...], ...] = field(repr=False)
    evaluations: Mapping[str, Evaluation]
    file: Path
    warnings: tuple[str, ...]


def run_experiment(
    experiment: Experiment,
    folder: str | Path,
    *,
    prepared: Prepared | None = None,
    callback: Callable[[int, EpochInfo], None] | None = None,
    width: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> ExperimentResult:
    """Train all members, calibrate them on the validation part, evaluate them and write ``model.safetensors``.

    State is kept in the folder after every epoch: a call after an interruption continues and ends with the same
    numbers.

    Args:
        experiment: description of the training.
        folder: created if missing.
        prepared: result of `Experiment.prepare`, if it was called before.
        callback: called with the index of the member after every epoch.
        width, devices: as for :func:`jaxnmr.models.tensors.train.train_members`. With several processes each calls this
            function, and only the first writes files.

    Raises:
        ParseError: the folder holds the state of another training, or the starting model cannot be read.
        ConventionError, DataError, ConvergenceError: see `Experiment.prepare` and
            :func:`jaxnmr.models.tensors.train.train_members`.
    """
    folder = Path(folder)
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
    prepared = experiment.prepare() if prepared is None else prepared
    results = train_some(experiment, prepared, folder, range(experiment.members), callback, width, devices)
    train_data = prepared.part("train")
    valid = prepared.part("valid") if "valid" in prepared.parts else None
    models = [result.model for result in results]
    model, warnings = TensorModel.ensemble(models) if len(models) > 1 else models[0], []
    if (share := experiment.remembered(len(train_data))) > 0.01:
        warnings.append(
            f"{100 * share:.0f} % of the averaged parameters are still those of the random start: train for more epochs, or "
            "with a smaller ema"
        )
    if valid is not None:
        try:
            model = calibrate(with_novelty(model, train_data, valid), valid)
        except DataError as error:
            warnings.append(f"the model cannot say how uncertain it is: {error}")
    judged = [part for part in prepared.parts if part != "train"] or ["train"]
    evaluations = {part: evaluate(model, prepared, part) for part in judged}
    if "test" in evaluations:
        model = _scored(model, evaluations["test"])
    file = folder / "model.safetensors"
    if is_first():
        model.save(file)
    return ExperimentResult(
        experiment, prepared, model, tuple(result.history for result in results), evaluations, file, tuple(warnings)
    )


def train_some(
    experiment: Experiment,
    prepared: Prepared,
    folder: Path,
    members: Sequence[int],
    callback: Callable[[int, EpochInfo], None] | None = None,
    width: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[TrainingResult]:
    """Train some members of an experiment; arguments and errors as for :func:`run_experiment`.

    Args:
        members: their indices, from 0.
    """
    start = None if experiment.start is None else TensorModel.load(experiment.start)
    if start is not None and experiment.network.keys() - {"irreps"}:
        raise ConventionError("the network is that of the model to start from: leave [network] out, irreps aside")
    train_data = prepared.part("train")
    config, graphs = experiment.configured(prepared.data, train_data, start)
    return train_members(
        config,
        train_data,
        [replace(experiment.recipe, seed=experiment.recipe.seed + member) for member in members],
        valid=prepared.part("valid") if "valid" in prepared.parts else None,
        starts=None if start is None else [start.member(member % (start.members or 1)) for member in members],
        card=_card(experiment, prepared),
        checkpoints=[folder / f"member_{member}.state" for member in members],
        callback=callback,
        graphs=graphs,
        width=width,
        devices=devices,
    )


def evaluate(model: TensorModel, prepared: Prepared, part: str = "test") -> Evaluation:
    """Evaluate a model on a part of the data.

    Args:
        model: a network or an ensemble.
        prepared: the data.
        part: ``"train"``, ``"valid"``, ``"test"`` or ``"all"``.

    Raises:
        ConventionError: the model does not predict the quantity, or an element is not supported or was not trained.
        DataError: there is no such part.
    """
    data, indices = prepared.part(part), prepared.indices(part)
    single = [compare(model.member(k), data) for k in range(model.members or 1)]
    mean = lambda element: np.mean([member[element].predicted for member in single], axis=0)
    marks = [structure_mark(s) for s in prepared.data.structures]
    known = model.card.training.get("structures")
    seen = set() if known is None else set(known["train"])
    tuned = set() if known is None else set(known.get("valid", ())) - seen
    groups = {g for g, mark in zip(prepared.data.groups, marks, strict=True) if mark in seen}
    return Evaluation(
        part=part,
        source=data.source,
        quantity=data.quantity,
        names=tuple(s.name for s in data.structures),
        population=len(prepared.data),
        comparisons={element: replace(first, predicted=mean(element)) for element, first in single[0].items()},
        members=tuple({e: c.metrics() for e, c in member.items()} for member in single) if model.members else (),
        coverage=coverage(model, data) if data.quantity in model.card.calibration else None,
        trained=None if known is None else sum(marks[k] in seen for k in indices),
        followed=sum(marks[k] in tuned for k in indices),
        alike=sum(marks[k] not in seen and prepared.data.groups[k] in groups for k in indices),
    )


def load_models(paths: Sequence[str | Path]) -> TensorModel:
    """Read a model; several files are joined to one ensemble, trained on the structures of any of its members.

    Raises:
        ParseError: as for `TensorModel.load`.
        ConventionError: the models have different architectures.
    """
    models = [TensorModel.load(path) for path in paths]
    if len(models) == 1:
        return models[0]
    training = dict(models[0].card.training)
    known = [model.card.training.get("structures") for model in models]
    training["structures"] = None
    listed = [marks for marks in known if marks]
    if len(listed) == len(known):
        training["structures"] = {
            part: sorted({mark for marks in listed for mark in marks.get(part, ())}) for part in ("train", "valid")
        }
    return TensorModel.ensemble(models, card=replace(models[0].card, training=training, scores={}, calibration={}))


def structure_mark(structure: Magres) -> str:
    """Return a short fingerprint of elements, cell and positions (to 0.001 Å), to recognise a structure."""
    digest = hashlib.sha256(" ".join(structure.elements).encode())
    for numbers in (structure.lattice, structure.positions):
        digest.update((np.round(np.asarray(numbers, dtype=float), 3) + 0.0).tobytes())
    return digest.hexdigest()[:12]


def _card(experiment: Experiment, prepared: Prepared) -> ModelCard:
    marks = {
        part: [structure_mark(prepared.data.structures[k]) for k in prepared.parts[part]]
        for part in ("train", "valid")
        if part in prepared.parts
    }
    training = {
        "source": prepared.data.source,
        "quantity": prepared.data.quantity,
        "split": dataclasses.asdict(experiment.split),
        "counts": {part: len(indices) for part, indices in prepared.parts.items()},
        "excluded": list(prepared.labels.excluded),
        "recipe": dataclasses.asdict(experiment.recipe),
        "members": experiment.members,
        "structures": marks,
    }
    if experiment.start is not None:
        training["start"] = experiment.start.name
    return ModelCard(
        name=experiment.title,
        level_of_theory=prepared.data.level_of_theory,
        training=training,
        references=dict(experiment.references),
    )


def _scored(model: TensorModel, test: Evaluation) -> TensorModel:
    """Return the model with its scores on the test part in its card."""
    flat = {f"{element}/{name}": value for element, of in test.scores().items() for name, value in of.items()}
    flat = {name: value for name, value in flat.items() if np.isfinite(value)}
    return model.replace(card=replace(model.card, scores=flat))
