"""``[[peaks]]``: isotropic shifts read off a spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..crystal import Crystal
from ..objective import Loss
from ..terms import PeakListTerm
from .models import model_of, read_reference, shift_reference
from .shared import Spread, common, model_spread, spread, squeezed
from .table import Table
from .weights import weighted


@dataclass(frozen=True)
class PeaksSpec:
    """One ``[[peaks]]``."""

    name: str
    nucleus: str
    phase: str
    weight: float
    robust: Loss | None
    sigma_model: Spread
    reference: dict[str, Any] | str
    sigma: tuple[float, ...]
    shifts_ppm: tuple[float, ...]
    assignment: tuple[tuple[str, ...], ...] | None
    counts: tuple[int, ...] | None
    sites: tuple[str, ...] | None


def read_peaks(table: Table, phases: tuple[str, ...]) -> PeaksSpec:
    """Check one ``[[peaks]]`` table."""
    shared = common(table, "peaks", phases)
    shifts = table.numbers("shifts_ppm")
    if not shifts:
        raise table.error("expected at least one shift", "shifts_ppm")
    sigma = spread(table, "sigma", (1, len(shifts)))
    if sigma is None:
        raise table.error("the key 'sigma' is missing: how closely a site is expected at its peak, in ppm")
    counts = table.numbers("counts", None, count=len(shifts))
    if counts is not None and any(n != round(n) or n < 1 for n in counts):
        raise table.error(f"expected whole numbers from 1 on, got {table.content['counts']!r}", "counts")
    assignment = _assignment(table, len(shifts))
    for other in ("counts", "sites"):
        if assignment is not None and table.has(other):
            raise table.error(f"an assignment already says it; leave {other} out", other)
    spec = PeaksSpec(
        **shared,
        sigma_model=model_spread(table, None),
        reference=read_reference(table),
        sigma=sigma,
        shifts_ppm=shifts,
        assignment=assignment,
        counts=None if counts is None else tuple(round(n) for n in counts),
        sites=table.texts("sites", None),
    )
    table.done()
    return spec


def _assignment(table: Table, peaks: int) -> tuple[tuple[str, ...], ...] | None:
    if not table.has("assignment"):
        return None
    value = table.content["assignment"]
    groups: list[Any] = [[of] if isinstance(of, str) else of for of in value] if isinstance(value, list) else [None]
    if any(not isinstance(of, list) or not of or any(not isinstance(x, str) for x in of) for of in groups):
        raise table.error(f'expected the labels of every peak, [["Si1"], ["Si2", "Si3"]], got {value!r}', "assignment")
    if len(groups) != peaks:
        raise table.error(f"{len(groups)} groups of sites for {peaks} peaks; expected one of each", "assignment")
    labels = [label for of in groups for label in of]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise table.error(f"{repeated[0]!r} is named twice; a site has one peak", "assignment")
    return tuple(map(tuple, groups))


def peaks_term(spec: PeaksSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a ``[[peaks]]``."""
    model = model_of(spec.phase, spec.nucleus, "shielding", models, spec.sigma_model)
    term = PeakListTerm(
        spec.nucleus,
        spec.shifts_ppm,
        sigma=squeezed(spec.sigma),
        reference=shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=squeezed(spec.sigma_model),
        assignment=spec.assignment,
        counts=spec.counts,
        sites=spec.sites,
        phase=spec.phase,
        name=spec.name,
    )
    # labels and numbers of sites are wrong here rather than in the middle of a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)
