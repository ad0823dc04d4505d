"""``[[model]]``: models that predict NMR tensors from the structure, and references of the predicted shifts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConventionError
from ..nmr import ShiftReference, isotope
from .keys import Reader, Spec, key, part, required
from .table import REQUIRED, Table

if TYPE_CHECKING:
    from ..models import TensorModel


def file_or_name(table: Table, key: str, default: Any = REQUIRED) -> Path | str:
    """Read a plain word as a model name, unless a file has that name."""
    text, file = table.text(key), table.path(key)
    plain = not (Path(text).suffix or os.sep in text or "/" in text or "$" in text)
    return text if plain and not file.is_file() else file


def _phase(table: Table, key: str, default: Any = REQUIRED) -> str | None:
    return table.text(key, default, choices=table.phases)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """One ``[[model]]``: a file, or the name of a model that comes with the package."""

    path: Path | str = required(file_or_name, '"silica-29si"', "a file, or the name of a model that comes with jaxnmr")
    phase: str | None = key(_phase, None, '"quartz"', "whose tensors it predicts; those of every phase when left out")
    member: int | None = key(
        Table.integer, None, "0", "one network of an ensemble: cheaper, but without uncertainty of its own"
    )

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Model file."""
        from ..models.tensors.checkpoint import find_checkpoint

        return (find_checkpoint(self.path),)


@dataclass(frozen=True, kw_only=True)
class ReferenceSpec(Spec):
    """``reference = { ... }`` given in the run file."""

    reference_ppm: float = required(Table.number, "337.3", "instead: the shift where the shielding is 0")
    slope: float = key(Table.number, -1.0)

    def check(self, table: Table) -> None:
        if self.slope == 0:
            raise table.error("every site would have the same shift; expected about -1", "slope")

    def reference(self) -> ShiftReference:
        """Return the shift reference."""
        return ShiftReference(self.reference_ppm, self.slope)


@dataclass(frozen=True, kw_only=True)
class PublishedSpec(Spec):
    """``reference = { published = ... }``."""

    published: str = required(Table.text, '"nmrcryspy/29Si"', "a regression of the literature")
    core_ppm: float = key(Table.number, 0.0, help="shielding by core electrons that the model does not know")

    def reference(self) -> ShiftReference:
        """Return the shift reference."""
        return ShiftReference.published(self.published, core_ppm=self.core_ppm)


Reference = ReferenceSpec | PublishedSpec | Literal["model"]


def reference_key(read: Reader | None = None, default: Any = REQUIRED) -> Any:
    """Make the key ``reference`` of shifts."""
    example = '{ published = "nmrcryspy/29Si", core_ppm = 838.0 }'
    help, of = 'or "model": the one kept with the model', (PublishedSpec, ReferenceSpec)
    return key(read or read_reference, default, example, help, of=of, shown=default is REQUIRED)


def read_reference(table: Table, name: str, default: Any = REQUIRED, *, of: tuple[type[Spec], type[Spec]]) -> Reference:
    """Read a given reference, or the word ``"model"``."""
    if not table.has(name):
        raise table.error(
            f'the key {name!r} is missing: {{ reference_ppm = ... }}, {{ published = "..." }}, or "model" for the one kept '
            "with the model"
        )
    if isinstance(table.content[name], str):
        return table.text(name, choices=("model",))
    published, typed = of
    return part(table, name, of=published if table.table(name).has("published") else typed)


def load_model(spec: ModelSpec) -> TensorModel:
    """Load the model of a table."""
    from ..models import TensorModel

    model = TensorModel.load(spec.path)
    return model if spec.member is None else model.member(spec.member)


def by_phase(specs: tuple[ModelSpec, ...], models: list[TensorModel], phases: tuple[str, ...]) -> dict[str, list]:
    """Return models by phase, as an objective takes them."""
    pairs = list(zip(specs, models, strict=True))
    found = {phase: [model for spec, model in pairs if spec.phase in (None, phase)] for phase in phases}
    return {phase: of for phase, of in found.items() if of}


def model_of(phase: str, nucleus: str, head: str, models: Mapping[str, list], sigma_model: Any = None) -> TensorModel:
    """Return the model that a term uses."""
    of_phase = models.get(phase, [])
    if not of_phase:
        raise ConventionError(f"no [[model]] predicts tensors of {phase!r}: add one, path = a file or a name")
    model = next((m for m in of_phase if head in [h.name for h in m.config.heads]), None)
    if model is None:
        known = ", ".join(h.name for m in of_phase for h in m.config.heads)
        raise ConventionError(f"no [[model]] predicts the {head} of {phase!r}, only its {known}: add one that does")
    element = isotope(nucleus).element
    trained = model.config.head(head).elements
    if element not in trained:
        raise ConventionError(
            f"the model {model.card.name!r} was not trained on the {head} of {element}, but of {', '.join(trained)}: take "
            "one that was, or leave these data out (a [[spectrum]] does without shieldings where shifts_ppm are given)"
        )
    if isinstance(sigma_model, str) and element not in model.card.calibration.get(head, {}):
        raise ConventionError(
            f"sigma_model = 'model', but the uncertainty of the model {model.card.name!r} is not calibrated for the {head} "
            f"of {element} (one member of an ensemble never is): give sigma_model a number"
        )
    return model


def shift_reference(reference: Reference, nucleus: str, model: TensorModel) -> ShiftReference:
    """Return the reference that a table gives."""
    if reference == "model":
        element, known = isotope(nucleus).element, model.card.references
        if element not in known:
            raise ConventionError(
                f"reference = 'model', but the model {model.card.name!r} has none of {element}: type it in, "
                "reference = { reference_ppm = ..., slope = -1.0 }"
            )
        return ShiftReference(*known[element])
    return reference.reference()
