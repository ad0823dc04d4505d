"""``[[spectrum]]`` whose sites follow the structure, through the tensors that a ``[[model]]`` predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..crystal import Crystal
from ..errors import ConventionError
from ..nmr import Spectrum, SpectrumMAS, SpectrumStatic, isotope
from ..terms import PredictedSpectrumTerm
from .models import model_of, read_reference, shift_reference
from .shared import phase_of
from .table import Table


@dataclass(frozen=True)
class PredictedSites:
    """Where the sites of a ``[[spectrum]]`` come from when a model predicts them."""

    phase: str
    sites: tuple[str, ...] | None
    reference: dict[str, Any] | str | None
    shifts_ppm: dict[str, float] | None
    q_barn: float | None


def read_predicted(table: Table, phases: tuple[str, ...]) -> PredictedSites | None:
    """The keys of a ``[[spectrum]]`` with ``tensors = "model"``; ``None`` for one without."""
    if not table.has("tensors"):
        return None
    table.text("tensors", choices=("model",))
    shifts = None
    if table.has("shifts_ppm"):
        inner = table.table("shifts_ppm")
        shifts = {label: inner.number(label) for label in inner.content}
        if not shifts:
            raise table.error("expected a shift of every site, such as { O1 = 41.0 }", "shifts_ppm")
        if table.has("reference"):
            raise table.error("shifts that are given need no reference; leave it out", "reference")
    return PredictedSites(
        phase=phase_of(table, phases, "tensors are predicted for structures"),
        sites=table.texts("sites", None),
        reference=None if shifts is not None else read_reference(table),
        shifts_ppm=shifts,
        q_barn=table.number("q_barn", None),
    )


def predicted_term(
    spec: PredictedSites,
    simulation: SpectrumStatic | SpectrumMAS,
    data: Spectrum,
    crystals: Mapping[str, Crystal],
    models: Mapping[str, list],
    options: Mapping[str, Any],
) -> PredictedSpectrumTerm:
    """The term of such a table; ``options`` are all other arguments of `PredictedSpectrumTerm`."""
    nucleus, reference = simulation.isotope, None
    if spec.reference is not None:
        model = model_of(spec.phase, nucleus, "shielding", models)
        reference = shift_reference(spec.reference, nucleus, model)
    elif not isotope(nucleus).is_quadrupolar:
        raise ConventionError(f"shifts_ppm of {nucleus}: without shieldings no model predicts anything of a spin 1/2")
    if isotope(nucleus).is_quadrupolar:
        model_of(spec.phase, nucleus, "efg", models)
    term = PredictedSpectrumTerm(
        simulation, data, reference=reference, phase=spec.phase, sites=spec.sites, q_barn=spec.q_barn,
        shielding=spec.shifts_ppm, **options,
    )  # fmt: skip
    # labels are wrong here rather than in the middle of a refinement
    term.quantities(crystals)
    return term
