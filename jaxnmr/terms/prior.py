"""`Prior`: expected values of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import set_fields, static
from ..errors import ParameterError
from ..objective.evidence import Knowledge, rows_of
from ..objective.state import State
from ..objective.term import Term, bound_as
from ..typing import Array

if TYPE_CHECKING:
    from ..objective import HostState, Parameters


class Prior(Term):
    """Expected values of parameters: ``Prior("u_iso[O1]", 0.01, 0.002)`` or ``Prior("u_iso", 0.01, 0.005)``.

    Attributes:
        target, sigma: expected value and standard uncertainty, in the parameter's unit.
        pattern: name or pattern of the parameters.
        name: name for reports.

    Example:
        >>> known = jn.Objective(jn.Prior("u_iso[O1]", 0.012, 0.002), crystal=quartz)
        >>> known.residuals(known.parameters()).round(3)
        Array([1.], dtype=float64)
    """

    target: Array
    sigma: Array
    pattern: str = static()
    name: str = static()

    reads = ()

    @checked
    def __init__(self, pattern: str, value: float, sigma: float, *, name: str = ""):
        label = name or f"prior {pattern}"
        set_fields(self, target=float(value), sigma=positive_sigma(sigma, label), pattern=pattern, name=label)

    @property
    def sees_origin(self) -> bool:
        return "xyz" in self.pattern or "*" in self.pattern

    def bind(self, state: HostState, params: Parameters) -> BoundPrior:
        spec = params.spec
        hits = spec.match(self.pattern)
        # skip anisotropic atoms, which have no u_iso
        hits = hits[(np.abs(spec.directions[hits]) > 1e-9).any(axis=1)]
        if hits.size == 0:
            raise ParameterError(
                f"{self.name!r}: symmetry fixes everything that {self.pattern!r} stands for; drop the prior"
            )
        elements, start = [], 0
        for name, shape in spec.layout.parts:
            size = int(np.prod(shape, dtype=int))
            inside = hits[(hits >= start) & (hits < start + size)] - start
            if inside.size:
                elements.append((name, tuple(inside.tolist())))
            start += size
        return bound_as(BoundPrior, self, elements=tuple(elements))


class BoundPrior(Prior):
    """Residuals ``(value - expected)/sigma``.

    Attributes:
        elements: pairs ``(parameter, indices in it)``.
        All other attributes are those of `Prior`.
    """

    elements: tuple[tuple[str, tuple[int, ...]], ...] = static()

    def length(self, state: Callable[[], State]) -> int:
        return sum(len(places) for _, places in self.elements)

    def residuals(self, state: State) -> Array:
        values = [jnp.ravel(jnp.asarray(state.values[name]))[np.array(places)] for name, places in self.elements]
        return (jnp.concatenate(values) - self.target) / self.sigma

    def evidence(self, state: State) -> Knowledge:
        known = _element_names(state)
        labels, values = [], []
        for name, places in self.elements:
            numbers = np.ravel(np.asarray(state.values[name], dtype=float))
            labels += [known.get(name, {}).get(k, f"{name}[{k}]" if numbers.size > 1 else name) for k in places]
            values += numbers[list(places)].tolist()
        if len(labels) == 1:
            labels = [self.pattern]
        rows = rows_of(labels, "value", "", self.target, values, self.sigma)
        header = ("parameter", "expected", "value")
        return Knowledge(name=self.name, what="restraints", title="expected values", rows=rows, header=header)


def _element_names(state: State) -> dict[str, dict[int, str]]:
    """Return full names of the elements of structural parameters, by parameter and index."""
    found = {}
    for phase, crystal in state.crystals.items():
        prefix = "" if len(state.crystals) == 1 else f"{phase}/"
        for name, quantity in crystal.quantities().items():
            full = prefix + name
            found[full] = {k: f"{full}[{label}]" for k, label in enumerate(quantity.labels)}
    return found


def positive_sigma(sigma, what: str) -> np.ndarray:
    """Return standard uncertainties as an array.

    Raises:
        ParameterError: one of them is not a positive number.
    """
    sigma = np.asarray(sigma, dtype=float)
    if not (np.isfinite(sigma).all() and (sigma > 0).all()):
        raise ParameterError(f"sigma of {what} is {sigma}; expected a positive number")
    return sigma
