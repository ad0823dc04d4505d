"""``[[peaks]]``: isotropic shifts read from a spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..crystal import Crystal
from ..objective import Loss
from ..terms import PeakListTerm
from .keys import Spec, key, required
from .models import Reference, model_of, reference_key, shift_reference
from .shared import (
    ModelSpread,
    Spread,
    common_spread,
    isotope_of,
    model_spread,
    phase_key,
    plain_name,
    spread,
    squeezed,
)
from .table import REQUIRED, Table
from .weights import robust_key, weight_key, weighted


def _shifts(table: Table, key: str, default: Any = REQUIRED) -> tuple[float, ...]:
    shifts = table.numbers(key)
    if not shifts:
        raise table.error("expected at least one shift", key)
    return shifts


def _sigma(table: Table, key: str, default: Any = REQUIRED) -> tuple[float, ...]:
    if not table.has(key):
        raise table.error("the key 'sigma' is missing: how closely a site is expected at its peak, in ppm")
    return spread(table, key, lengths=(1, len(table.content["shifts_ppm"])))


def _counts(table: Table, key: str, default: Any = REQUIRED) -> tuple[int, ...] | None:
    counts = table.numbers(key, default, count=len(table.content["shifts_ppm"]))
    if counts is None:
        return None
    if any(n != round(n) or n < 1 for n in counts):
        raise table.error(f"expected whole numbers from 1 on, got {table.content[key]!r}", key)
    return tuple(round(n) for n in counts)


def _assignment(table: Table, key: str, default: Any = REQUIRED) -> tuple[tuple[str, ...], ...] | None:
    if not table.has(key):
        return default
    value, peaks = table.content[key], len(table.content["shifts_ppm"])
    groups: list[Any] = [[of] if isinstance(of, str) else of for of in value] if isinstance(value, list) else [None]
    if any(not isinstance(of, list) or not of or any(not isinstance(x, str) for x in of) for of in groups):
        raise table.error(f'expected the labels of every peak, [["Si1"], ["Si2", "Si3"]], got {value!r}', key)
    if len(groups) != peaks:
        raise table.error(f"{len(groups)} groups of sites for {peaks} peaks; expected one of each", key)
    labels = [label for of in groups for label in of]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise table.error(f"{repeated[0]!r} is named twice; a site has one peak", key)
    return tuple(tuple(of) for of in groups)


@dataclass(frozen=True, kw_only=True)
class PeaksSpec(Spec):
    """One ``[[peaks]]``."""

    name: str = key(
        plain_name, "peaks", '"si"', shown=True,
        help="its parameters are called si/reference and si/slope; stages may free them",
    )  # fmt: skip
    phase: str = phase_key("tensors are predicted for structures")
    nucleus: str = required(isotope_of, '"29Si"')
    weight: float = weight_key()
    robust: Loss | None = robust_key()
    shifts_ppm: tuple[float, ...] = required(_shifts, "[-107.4]")
    sigma: tuple[float, ...] = required(
        _sigma,
        "0.5",
        "ppm, one for all or one per peak: where a site of the peak may be",
        unit="ppm",
    )
    counts: tuple[int, ...] | None = key(
        _counts, None, "[1]", "how many sites each peak holds, at least one when left out"
    )
    assignment: tuple[tuple[str, ...], ...] | None = key(
        _assignment, None, '[["Si1", "Si2"]]',
        help="instead: sites of every peak; the assignment of least chi-squared when left out",
    )  # fmt: skip
    sites: tuple[str, ...] | None = key(
        Table.texts, None, '["Si1", "Si2"]', "sites the peaks are of, all of the nucleus when left out"
    )
    sigma_model: ModelSpread = key(
        model_spread, None, '"model"', shown=True,
        help='that of predictions in ppm, one for all or one per site; "model": its own; without it they count as '
        "exact",
        unit="ppm",
    )  # fmt: skip
    sigma_common: Spread = key(
        common_spread, None, "1.5",
        help="ppm, by how much predictions of all sites may be off together; the model's own with sigma_model = \"model\"; "
        "costs nothing where the reference is refined",
        unit="ppm",
    )  # fmt: skip
    reference: Reference = reference_key()

    def check(self, table: Table) -> None:
        for other in ("counts", "sites"):
            if self.assignment is not None and table.has(other):
                raise table.error(f"an assignment already says it; leave {other} out", other)


def peaks_term(spec: PeaksSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """Make the weighted term of a ``[[peaks]]``."""
    model = model_of(spec.phase, spec.nucleus, "shielding", models, spec.sigma_model)
    term = PeakListTerm(
        spec.nucleus,
        spec.shifts_ppm,
        sigma=squeezed(spec.sigma),
        reference=shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=squeezed(spec.sigma_model),
        sigma_common=squeezed(spec.sigma_common),
        assignment=spec.assignment,
        counts=spec.counts,
        sites=spec.sites,
        phase=spec.phase,
        name=spec.name,
    )
    # report wrong labels and numbers of sites here rather than during a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)
