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
"""What a function that checks its input makes an array of: numbers, arrays, and sequences of any depth."""
Values = Real[Array, "*#n"] | float | np.floating
"""Numbers of shapes that fit each other, for functions that take each by itself."""
ArrayT = TypeVar("ArrayT", bound=jax.Array | np.ndarray)
"""The same kind of array as was given."""
Scalar = Float[Array, ""] | float | np.floating
"""A number, traced or not."""


@dataclass(frozen=True)
class Quantity:
    """A refinable quantity as the physics declares it, before anybody has decided to refine it.

    Attributes:
        value: initial physical value, any shape (``()`` for a number).
        unit: unit as it is printed, ``""`` when dimensionless; one per flattened element when they differ.
        labels: one name per flattened element (``("Ca1.x", "Ca1.y", ...)``); empty for a single number.
        lower, upper: bounds, valid for every element or one for each.
        scale: size of a typical change, in the physical unit; solver steps are measured in it.
        basis: ``(value.size, k)`` matrix whose columns are the directions symmetry leaves free; ``None``
            when every element is free.
        intensity: whether what is calculated is proportional to it or to it and a constant: scales and backgrounds.
        instead: name of the quantity that describes the elements without a direction of their own (anisotropic
            displacements instead of isotropic ones).
        leave: new values from ``(values, freed)``, arrays of the shape of ``value``, when elements are freed where what is
            calculated has no slope by symmetry; ``None`` where there are no such places.
        doc: one line for people.

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
