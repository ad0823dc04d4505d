"""``[[spectrum]]`` whose sites depend on the structure, via tensors predicted by a ``[[model]]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..crystal import Crystal
from ..errors import ConventionError
from ..nmr import Spectrum, SpectrumMAS, SpectrumStatic, isotope
from ..terms import PredictedSpectrumTerm
from .keys import Spec, by_name, flat, key, required
from .models import Reference, model_of, read_reference, reference_key, shift_reference
from .shared import phase_key
from .table import REQUIRED, Table


def _shifts(table: Table, name: str, default: Any = REQUIRED) -> dict[str, float] | None:
    shifts = by_name(table, name, default, each=Table.number)
    if shifts is not None:
        if not shifts:
            raise table.error("expected a shift of every site, such as { O1 = 41.0 }", name)
        if table.has("reference"):
            raise table.error("shifts that are given need no reference; leave it out", "reference")
    return shifts


def _reference(table: Table, name: str, default: Any, *, of: Any) -> Reference | None:
    return default if table.has("shifts_ppm") else read_reference(table, name, of=of)


@dataclass(frozen=True, kw_only=True)
class PredictedSites(Spec):
    """Sites of a ``[[spectrum]]`` predicted by a model."""

    tensors: str = required(
        Table.text, '"model"', choices=("model",),
        help="the sites follow the structure, see below; with the keys that follow",
    )  # fmt: skip
    shifts_ppm: dict[str, float] | None = key(
        _shifts, None, "{ O1 = 41.0 }",
        help="with tensors, instead of a reference: where no model predicts shieldings; nmr/shift[O1]",
    )  # fmt: skip
    phase: str = phase_key("tensors are predicted for structures")
    sites: tuple[str, ...] | None = key(
        Table.texts, None, '["O1"]', "sites that the spectrum shows, all of the nucleus when left out"
    )
    reference: Reference | None = reference_key(_reference, None)
    q_barn: float | None = key(Table.number, None, "-0.02558", "quadrupole moment to use")
    errors: bool = key(
        Table.flag, False, "true",
        help="predictions have errors, free nmr/shift_error in ppm, nmr/coupling_error as a part; they are expected to be as "
        "large as the model says",
    )  # fmt: skip


def read_predicted(
    table: Table, name: str, default: Any = REQUIRED, *, of: type[PredictedSites]
) -> PredictedSites | None:
    """Read the keys of a ``[[spectrum]]`` with ``tensors = "model"``; return ``None`` without that key."""
    return flat(table, name, of=of) if table.has("tensors") else default


def predicted_term(
    spec: PredictedSites,
    simulation: SpectrumStatic | SpectrumMAS,
    data: Spectrum,
    crystals: Mapping[str, Crystal],
    models: Mapping[str, list],
    options: Mapping[str, Any],
) -> PredictedSpectrumTerm:
    """Make the term of such a table; ``options`` are the remaining arguments of `PredictedSpectrumTerm`."""
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
        shielding=spec.shifts_ppm, errors=spec.errors, **options,
    )  # fmt: skip
    # report wrong labels here rather than during a refinement
    term.quantities(crystals)
    return term
