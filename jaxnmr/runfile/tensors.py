"""``[[tensors]]``: shift and quadrupolar tensors measured at sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..crystal import Crystal
from ..objective import Loss
from ..terms import TensorTerm
from .models import model_of, read_reference, shift_reference
from .shared import common, model_spread, spread
from .table import Table
from .weights import weighted

# by the key that a site gives: quantity, kind, how many sigmas it may have, factor to ppm or Hz
_KINDS: dict[
    str, tuple[Literal["shielding", "efg"], Literal["tensor", "principal", "cq_eta"], tuple[int, ...], float]
] = {
    "cq_mhz": ("efg", "cq_eta", (2,), 1e6),
    "principal_ppm": ("shielding", "principal", (1, 3), 1.0),
    "tensor_ppm": ("shielding", "tensor", (1,), 1.0),
    "tensor_mhz": ("efg", "tensor", (1,), 1e6),
}


@dataclass(frozen=True)
class TensorsSpec:
    """One ``[[tensors]]``; ``key`` says what its sites give, ``values`` and uncertainties per site, in ppm, Hz and 1."""

    name: str
    nucleus: str
    phase: str
    weight: float
    robust: Loss | None
    sigma_model: Any
    reference: dict[str, Any] | str | None
    key: str
    labels: tuple[str, ...]
    values: np.ndarray
    sigma: np.ndarray
    slope: float
    q_barn: float | None


def read_tensors(table: Table, phases: tuple[str, ...]) -> TensorsSpec:
    """Check one ``[[tensors]]`` table."""
    shared = common(table, "tensors", phases)
    sites = table.tables("site")
    if not sites:
        raise table.error(
            "there is no [[tensors.site]]: give label and cq_mhz, principal_ppm, tensor_ppm or tensor_mhz"
        )
    given = [[key for key in _KINDS if site.has(key)] for site in sites]
    for site, keys in zip(sites, given, strict=True):
        if len(keys) != 1:
            raise site.error(f"give one of {', '.join(_KINDS)}" + (f", not {' and '.join(keys)}" if keys else ""))
        if keys != given[0]:
            raise site.error(f"the sites before it give {given[0][0]}; put {keys[0]} into a [[tensors]] of its own")
    key = given[0][0]
    quantity, _, widths, factor = _KINDS[key]
    units = np.array([factor, 1.0]) if key == "cq_mhz" else factor
    sigma, sigma_model = spread(table, "sigma", widths), model_spread(table, widths[:1])
    labels, values, spreads, of_model = [], [], [], []
    for site in sites:
        labels.append(site.text("label"))
        values.append(np.asarray(_values(site, key)) * units)
        own = spread(site, "sigma", widths) or sigma
        if own is None:
            raise site.error("the key 'sigma' is missing, here and in the table above: the uncertainty of the data")
        size = max(widths)
        spreads.append(np.broadcast_to(own, (size,)) * units)
        if site.has("sigma_model"):
            if isinstance(sigma_model, str):
                raise site.error("the table above says sigma_model = 'model' for all sites", "sigma_model")
            of_model.append(spread(site, "sigma_model", widths[:1], least=0.0))
        else:
            of_model.append(sigma_model)
        site.done()
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise table.error(f"two sites are called {repeated[0]!r}; every site has one tensor", "site")
    if not isinstance(sigma_model, str):
        sigma_model = None
        if any(of is not None for of in of_model):
            of_model = [np.zeros(1) if of is None else np.asarray(of) for of in of_model]
            sigma_model = np.array([np.broadcast_to(of, (widths[0],)) for of in of_model]) * units
            sigma_model = sigma_model if widths[0] == 2 else sigma_model[:, 0]
    spec = TensorsSpec(
        **shared,
        sigma_model=sigma_model,
        reference=read_reference(table) if quantity == "shielding" else None,
        key=key,
        labels=tuple(labels),
        values=np.array(values),
        sigma=np.array(spreads),
        slope=1.0 if quantity == "shielding" else table.number("slope", 1.0),
        q_barn=None if quantity == "shielding" else table.number("q_barn", None),
    )
    table.done()
    return spec


def _values(site: Table, key: str) -> Any:
    if key == "cq_mhz":
        cq, eta = site.number(key), site.number("eta_q")
        if cq < 0:
            raise site.error(f"expected the size of C_Q, 0 or more, got {cq:g}", key)
        if not 0 <= eta <= 1:
            raise site.error(f"expected a number between 0 and 1, got {eta:g}", "eta_q")
        return (cq, eta)
    if key == "principal_ppm":
        return site.numbers(key, count=3)
    rows = site.content[key]
    if not isinstance(rows, list) or len(rows) != 3 or any(not isinstance(row, list) for row in rows):
        raise site.error(f"expected three rows of three numbers, got {rows!r}", key)
    return [
        Table(site.file, site.where, {f"{key}[{k}]": row}).numbers(f"{key}[{k}]", count=3) for k, row in enumerate(rows)
    ]


def tensors_term(spec: TensorsSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a ``[[tensors]]``."""
    quantity, kind, _, _ = _KINDS[spec.key]
    model = model_of(spec.phase, spec.nucleus, quantity, models, spec.sigma_model)
    term = TensorTerm(
        spec.nucleus,
        spec.values,
        sigma=spec.sigma[:, 0] if kind == "tensor" else spec.sigma,
        reference=None if spec.reference is None else shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=spec.sigma_model,
        quantity=quantity,
        kind=kind,
        sites=spec.labels,
        slope=spec.slope,
        q_barn=spec.q_barn,
        phase=spec.phase,
        name=spec.name,
    )
    # labels and numbers of sites are wrong here rather than in the middle of a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)
