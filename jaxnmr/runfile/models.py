"""``[[model]]``: models that predict NMR tensors from the structure, and the references of the shifts that follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConventionError
from ..nmr import ShiftReference, isotope
from .table import Table

if TYPE_CHECKING:
    from ..models import TensorModel


@dataclass(frozen=True)
class ModelSpec:
    """One ``[[model]]``: a file, or the ``name`` of a model that comes with the package, else empty."""

    file: Path | None
    name: str
    phase: str | None
    member: int | None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file it is read from."""
        from ..models.tensors.checkpoint import find_checkpoint

        return (find_checkpoint(self.file or self.name),)


def read_model(table: Table, phases: tuple[str, ...]) -> ModelSpec:
    """Check one ``[[model]]`` table."""
    text, file = table.text("path"), table.path("path")
    # a plain word is a name, unless there is a file of that name
    plain = not (Path(text).suffix or os.sep in text or "/" in text or "$" in text)
    named = plain and not file.is_file()
    spec = ModelSpec(
        file=None if named else file,
        name=text if named else "",
        phase=table.text("phase", None, choices=phases),
        member=table.integer("member", None),
    )
    table.done()
    return spec


def read_reference(table: Table) -> dict[str, Any] | str:
    """The key ``reference`` of shifts."""
    if not table.has("reference"):
        raise table.error(
            'the key \'reference\' is missing: { reference_ppm = ... }, { published = "..." }, or "model" for the one kept '
            "with the model"
        )
    if isinstance(table.content["reference"], str):
        return table.text("reference", choices=("model",))
    inner = table.table("reference")
    if inner.has("published"):
        found = {"published": inner.text("published"), "core_ppm": inner.number("core_ppm", 0.0)}
    else:
        found = {"reference_ppm": inner.number("reference_ppm"), "slope": inner.number("slope", -1.0)}
        if found["slope"] == 0:
            raise inner.error("every site would have the same shift; expected about -1", "slope")
    inner.done()
    return found


def load_model(spec: ModelSpec) -> TensorModel:
    """The model of a table."""
    from ..models import TensorModel

    model = TensorModel.load(spec.file or spec.name)
    return model if spec.member is None else model.member(spec.member)


def by_phase(specs: tuple[ModelSpec, ...], models: list[TensorModel], phases: tuple[str, ...]) -> dict[str, list]:
    """Models by phase, as an objective takes them."""
    pairs = list(zip(specs, models, strict=True))
    found = {phase: [model for spec, model in pairs if spec.phase in (None, phase)] for phase in phases}
    return {phase: of for phase, of in found.items() if of}


def model_of(phase: str, nucleus: str, head: str, models: Mapping[str, list], sigma_model: Any = None) -> TensorModel:
    """The model that a term reads."""
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


def shift_reference(reference: dict[str, Any] | str, nucleus: str, model: TensorModel) -> ShiftReference:
    """The reference that a table gives."""
    if isinstance(reference, str):
        element, known = isotope(nucleus).element, model.card.references
        if element not in known:
            raise ConventionError(
                f"reference = 'model', but the model {model.card.name!r} has none of {element}: type it in, "
                "reference = { reference_ppm = ..., slope = -1.0 }"
            )
        return ShiftReference(*known[element])
    if "published" in reference:
        return ShiftReference.published(reference["published"], core_ppm=reference["core_ppm"])
    return ShiftReference(**reference)
