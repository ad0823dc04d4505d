"""``[[tensors]]``: shift and quadrupolar tensors measured at sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..crystal import Crystal
from ..objective import Loss
from ..terms import TensorTerm
from .keys import Reader, Spec, key, parts, required
from .models import Reference, model_of, read_reference, reference_key, shift_reference
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


class _Kind(NamedTuple):
    """Quantity of a key of a site, with the allowed numbers of sigmas and the factor to ppm or Hz."""

    quantity: Literal["shielding", "efg"]
    kind: Literal["tensor", "principal", "cq_eta"]
    lengths: tuple[int, ...]
    factor: float


_KINDS = {
    "cq_mhz": _Kind("efg", "cq_eta", (2,), 1e6),
    "principal_ppm": _Kind("shielding", "principal", (1, 3), 1.0),
    "tensor_ppm": _Kind("shielding", "tensor", (1,), 1.0),
    "tensor_mhz": _Kind("efg", "tensor", (1,), 1e6),
}


def _own(site: Table) -> str:
    """Return the key that holds the quantity of a site."""
    keys = [kind for kind in _KINDS if kind in site.content]
    if len(keys) != 1:
        raise site.error(f"give one of {', '.join(_KINDS)}" + (f", not {' and '.join(keys)}" if keys else ""))
    return keys[0]


def _given(table: Table) -> str:
    """Return the key that all sites use."""
    sites = table.tables("site")
    if not sites:
        raise table.error(
            "there is no [[tensors.site]]: give label and cq_mhz, principal_ppm, tensor_ppm or tensor_mhz"
        )
    first = _own(sites[0])
    for site in sites:
        if _own(site) != first:
            raise site.error(f"the sites before it give {first}; put {_own(site)} into a [[tensors]] of its own")
    return first


def _rows(table: Table, name: str, default: Any = REQUIRED) -> Any:
    if not table.has(name):
        return default
    rows = table.content[name]
    if not isinstance(rows, list) or len(rows) != 3 or any(not isinstance(row, list) for row in rows):
        raise table.error(f"expected three rows of three numbers, got {rows!r}", name)
    keys = [f"{name}[{k}]" for k in range(3)]
    return [table.inner(table.where, {key: row}).numbers(key, count=3) for key, row in zip(keys, rows, strict=True)]


def _eta(table: Table, name: str, default: Any = REQUIRED) -> float | None:
    return table.number(name) if "cq_mhz" in table.content else default


def _sigma(given: Callable[[Table], str]) -> Reader:
    """Make a reader of the uncertainties of the quantity in a table."""
    return lambda table, name, default: spread(table, name, lengths=_KINDS[given(table)].lengths) or default


def _sigma_model(table: Table, name: str, default: Any = REQUIRED) -> ModelSpread:
    return model_spread(table, name, lengths=_KINDS[_given(table)].lengths[:1])


def _sigma_common(table: Table, name: str, default: Any = REQUIRED) -> Spread:
    return common_spread(table, name, lengths=(1, 2) if _KINDS[_given(table)].quantity == "shielding" else (1,))


def _own_sigma_model(table: Table, name: str, default: Any = REQUIRED) -> Spread:
    return spread(table, name, lengths=_KINDS[_own(table)].lengths[:1], least=0.0)


def _of(quantity: str, read: Reader) -> Reader:
    """Make a reader of keys that only tensors of one quantity have."""
    return lambda table, name, default, **options: (
        read(table, name, default, **options) if _KINDS[_given(table)].quantity == quantity else default
    )


@dataclass(frozen=True, kw_only=True)
class TensorSpec(Spec):
    """One ``[[tensors.site]]``."""

    label: str = required(Table.text, '"O1"')
    cq_mhz: float | None = key(Table.number, None, "5.2", "its size, with eta_q; sigma is a pair", shown=True)
    eta_q: float | None = key(_eta, None, "0.2", shown=True)
    principal_ppm: tuple[float, float, float] | None = key(
        Table.numbers, None, "[40.0, 10.0, -20.0]", count=3,
        help="or principal values of the shift; sigma is a number or three",
    )  # fmt: skip
    tensor_ppm: list[tuple[float, float, float]] | None = key(
        _rows, None, "[[40.0, 1.0, 0.0], [1.0, 10.0, 0.0], [0.0, 0.0, -20.0]]",
        help="or the whole shift tensor, in the Cartesian frame of the cell (a along x, b in the xy plane); sigma is a "
        "number. Of SHIELDING: reference_ppm = 0, slope = 1",
    )  # fmt: skip
    tensor_mhz: list[tuple[float, float, float]] | None = key(
        _rows, None, "[[5.2, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, -3.2]]",
        help="or the quadrupolar tensor e Q V/h, in the same frame",
    )  # fmt: skip
    sigma: tuple[float, ...] = key(_sigma(_own), (), "[0.2, 0.1]")
    sigma_model: Spread = key(_own_sigma_model, None, "[0.3, 0.1]")

    def check(self, table: Table) -> None:
        if self.cq_mhz is not None and self.cq_mhz < 0:
            raise table.error(f"expected the size of C_Q, 0 or more, got {self.cq_mhz:g}", "cq_mhz")
        if self.eta_q is not None and not 0 <= self.eta_q <= 1:
            raise table.error(f"expected a number between 0 and 1, got {self.eta_q:g}", "eta_q")


@dataclass(frozen=True, kw_only=True)
class TensorsSpec(Spec):
    """One ``[[tensors]]``."""

    name: str = key(
        plain_name, "tensors", '"efg"', "its parameters are called efg/slope, and efg/reference of shifts", shown=True
    )
    phase: str = phase_key("tensors are predicted for structures")
    nucleus: str = required(isotope_of, '"17O"')
    weight: float = weight_key()
    robust: Loss | None = robust_key()
    sigma: tuple[float, ...] = key(
        _sigma(_given), (), "[0.1, 0.05]", shown=True,
        help="of every site that has none of its own, in the units of the data",
    )  # fmt: skip
    sigma_model: ModelSpread = key(
        _sigma_model, None, '"model"', "in the same units; without it the prediction counts as exact"
    )
    sigma_common: Spread = key(
        _sigma_common, None, "0.05",
        help="by how much predictions of all sites may be off together: of shifts a constant in ppm, or a pair of it and a "
        "factor of the anisotropy, of field gradients the factor; the model's own with sigma_model = \"model\"",
    )  # fmt: skip
    reference: Reference | None = reference_key(_of("shielding", read_reference), None)
    slope: float = key(_of("efg", Table.number), 1.0, help="of C_Q: starting value")
    q_barn: float | None = key(_of("efg", Table.number), None, "-0.02558", "quadrupole moment to use")
    site: tuple[TensorSpec, ...] = required(parts, "[[tensors.site]]", "all sites give the same", of=TensorSpec)

    def check(self, table: Table) -> None:
        for site, inner in zip(self.site, table.tables("site"), strict=True):
            if not (site.sigma or self.sigma):
                raise inner.error(
                    "the key 'sigma' is missing, here and in the table above: the uncertainty of the data"
                )
            if site.sigma_model is not None and isinstance(self.sigma_model, str):
                raise inner.error("the table above says sigma_model = 'model' for all sites", "sigma_model")
        labels = [site.label for site in self.site]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise table.error(f"two sites are called {repeated[0]!r}; every site has one tensor", "site")

    @property
    def given(self) -> str:
        """Key that holds the quantity of the sites."""
        return next(kind for kind in _KINDS if getattr(self.site[0], kind) is not None)

    @property
    def units(self) -> Any:
        """Factors from the units of the sites to ppm, Hz and 1."""
        factor = _KINDS[self.given].factor
        return np.array([factor, 1.0]) if self.given == "cq_mhz" else factor

    @property
    def values(self) -> np.ndarray:
        """Values per site, in ppm, Hz and 1."""
        pairs = self.given == "cq_mhz"
        values = [(site.cq_mhz, site.eta_q) if pairs else getattr(site, self.given) for site in self.site]
        return np.array([np.asarray(of) * self.units for of in values])

    @property
    def sigmas(self) -> np.ndarray:
        """Uncertainties per site, in the same units."""
        size = max(_KINDS[self.given].lengths)
        return np.array([np.broadcast_to(site.sigma or self.sigma, (size,)) * self.units for site in self.site])

    @property
    def model_sigmas(self) -> np.ndarray | Literal["model"] | None:
        """Uncertainties of the model per site, in the same units."""
        common = self.sigma_model
        if isinstance(common, str):
            return common
        of_model = [common if site.sigma_model is None else site.sigma_model for site in self.site]
        if all(of is None for of in of_model):
            return None
        size = _KINDS[self.given].lengths[0]
        found = np.array([np.broadcast_to((0.0,) if of is None else of, (size,)) for of in of_model]) * self.units
        return found if size == 2 else found[:, 0]


def tensors_term(spec: TensorsSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """Make the weighted term of a ``[[tensors]]``."""
    quantity, kind, *_ = _KINDS[spec.given]
    model = model_of(spec.phase, spec.nucleus, quantity, models, spec.sigma_model)
    term = TensorTerm(
        spec.nucleus,
        spec.values,
        sigma=spec.sigmas[:, 0] if kind == "tensor" else spec.sigmas,
        reference=None if spec.reference is None else shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=spec.model_sigmas,
        sigma_common=squeezed(spec.sigma_common),
        quantity=quantity,
        kind=kind,
        sites=tuple(site.label for site in spec.site),
        slope=spec.slope,
        q_barn=spec.q_barn,
        phase=spec.phase,
        name=spec.name,
    )
    # report wrong labels and numbers of sites here rather than during a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)
