"""Records shared by every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Real

Array = jax.Array | np.ndarray
Numbers = ArrayLike | Sequence[Any]
"""Input of functions that convert their arguments to arrays: numbers, arrays and nested sequences."""
Values = Real[Array, "*#n"] | float | np.floating
"""Numbers or arrays that broadcast against each other."""
ArrayT = TypeVar("ArrayT", bound=jax.Array | np.ndarray)
"""The same type of array as the argument."""
Scalar = Float[Array, ""] | float | np.floating
"""A number, traced or not."""


@dataclass(frozen=True)
class Quantity:
    """A refinable quantity as declared by the physics, before any decision to refine it.

    Attributes:
        value: initial physical value, any shape (``()`` for a number).
        unit: unit as printed, ``""`` if dimensionless; one per flattened element if they differ.
        labels: one name per flattened element (``("Ca1.x", "Ca1.y", ...)``); empty for a single number.
        lower, upper: bounds, common to all elements or one each.
        scale: size of a typical change in the physical unit; the unit of solver steps.
        basis: ``(value.size, k)`` matrix whose columns span the directions left free by symmetry; ``None``
            if every element is free.
        intensity: whether calculated values are linear in it, as for scales and backgrounds.
        instead: name of the quantity that describes the elements without free directions of their own (anisotropic
            instead of isotropic displacements).
        leave: function ``(values, freed)`` of arrays shaped like ``value``, returning new values for freed elements at
            points where the calculated values have zero slope by symmetry; ``None`` if there are no such points.
        doc: one-line description.

    Example:
        >>> jn.Quantity(value=np.array(1.0), unit="Hz", lower=0.0).unit
        'Hz'
    """

    value: Array
    unit: str | tuple[str, ...] = ""
    labels: tuple[str, ...] = ()
    lower: float | np.ndarray = -np.inf
    upper: float | np.ndarray = np.inf
    scale: float = 1.0
    basis: np.ndarray | None = field(default=None, repr=False)
    intensity: bool = False
    instead: str = ""
    leave: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = field(default=None, repr=False)
    doc: str = ""
