"""`ParameterSpec`: the constant part of parameters: names, directions, flags, bounds, ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from ..errors import ParameterError
from ..typing import Array, Quantity
from .ties import Following, Tie

# attributes derived from the others
_DERIVED = ("_key", "transform", "free_pivots", "following")


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the parts of the physical vector; hashable, and all that traced code needs."""

    parts: tuple[tuple[str, tuple[int, ...]], ...]

    def unflatten(self, vector) -> dict[str, Array]:
        """Split a vector (or a stack of vectors) into arrays by name."""
        out, start = {}, 0
        for name, shape in self.parts:
            size = int(np.prod(shape, dtype=int))
            part = vector[..., start : start + size]
            out[name] = part.reshape(part.shape[:-1] + shape)
            start += size
        return out


class ParameterSpec:
    """Names, symmetry directions, free flags, bounds and ties of parameters, constant while values change. Immutable."""

    def __init__(self, quantities: Mapping[str, Quantity]):
        self.quantities = dict(quantities)
        self.layout = Layout(tuple((name, np.shape(q.value)) for name, q in quantities.items()))
        self.parts = tuple((name, label) for name, q in quantities.items() for label in (q.labels or ("",)))
        self.labels: tuple[str, ...] = tuple(f"{name}[{label}]" if label else name for name, label in self.parts)
        self.units = tuple(
            unit
            for q in quantities.values()
            for unit in ((q.unit,) * np.size(q.value) if isinstance(q.unit, str) else q.unit)
        )
        sizes = [np.size(q.value) for q in quantities.values()]
        self.lower = np.concatenate([np.full(s, q.lower) for s, q in zip(sizes, quantities.values(), strict=True)])
        self.upper = np.concatenate([np.full(s, q.upper) for s, q in zip(sizes, quantities.values(), strict=True)])
        self.scale = np.concatenate([np.full(s, q.scale) for s, q in zip(sizes, quantities.values(), strict=True)])
        self.intensity = np.concatenate(
            [np.full(s, q.intensity) for s, q in zip(sizes, quantities.values(), strict=True)]
        )
        n = len(self.labels)
        columns, start = [], 0
        for s, q in zip(sizes, quantities.values(), strict=True):
            block = np.eye(s) if q.basis is None else q.basis
            wide = np.zeros((n, block.shape[1]))
            wide[start : start + s] = block
            columns.append(wide)
            start += s
        self.directions = np.concatenate(columns, axis=1)
        self.pivots = np.array([int(np.flatnonzero(np.abs(c) > 1e-9)[0]) for c in self.directions.T], dtype=int)
        self.free = np.zeros(len(self.pivots), dtype=bool)
        self.ties: tuple[Tie, ...] = ()
        # notes on values that were changed when they were freed, by label
        self.notes: dict[str, str] = {}

    def changed(self, **attributes) -> ParameterSpec:
        """Return a copy with other free flags, bounds or ties."""
        other = object.__new__(ParameterSpec)
        other.__dict__.update({k: v for k, v in self.__dict__.items() if k not in _DERIVED})
        other.__dict__.update(attributes)
        return other

    @cached_property
    def _key(self):
        arrays = (self.directions, self.scale, self.free, self.lower, self.upper)
        return (self.layout, self.labels, self.ties, *(a.tobytes() for a in arrays))

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return isinstance(other, ParameterSpec) and (self is other or self._key == other._key)

    @cached_property
    def free_pivots(self) -> np.ndarray:
        """Index in the vector of the element that each component of ``theta`` represents."""
        return self.pivots[self.free]

    @cached_property
    def transform(self) -> np.ndarray:
        """Matrix ``d vector / d theta``, ``(values, theta)``: symmetry, ties and scaling."""
        return self.along(np.flatnonzero(self.free))

    @cached_property
    def following(self) -> Following:
        """Linear map from untied to tied directions."""
        return Following(self.directions, self.pivots, self.ties)

    def along(self, columns) -> np.ndarray:
        """Return ``d vector`` by the scaled numbers of any directions, ties included, ``(values, columns)``."""
        scale = self.scale[self.pivots[columns]]
        matrix = self.directions[:, columns] * scale
        if self.ties:
            matrix += self.following.along @ (self.following.slopes[:, columns] * scale)
        return matrix

    def tied(self, flat: Array) -> np.ndarray:
        """Return a copy of a vector with tied values updated."""
        return self.following.settled(np.array(flat, dtype=float))

    def match(self, pattern: str) -> np.ndarray:
        """Return the indices in the vector that match a name or pattern.

        Raises:
            ParameterError: nothing matches; the message suggests similar names.
        """
        if not isinstance(pattern, str):
            raise ParameterError(
                f'the name of a parameter is {pattern!r}; expected a text, several one after the other: "cell", "xyz"'
            )
        name, bracket, element = pattern.partition("[")
        element = element.removesuffix("]")
        same_name = {n: n == pattern or (not bracket and _glob(n, pattern)) for n, _ in self.layout.parts}
        in_name = {n: bool(bracket) and _glob(n, name) for n, _ in self.layout.parts}
        hits = [
            k
            for k, (part, item) in enumerate(self.parts)
            if same_name[part]
            or self.labels[k] == pattern
            or (in_name[part] and (_glob(item, element) or _glob(item, element + ".*")))
        ]
        if not hits:
            names = [n for n, _ in self.layout.parts]
            pool = list(self.labels) if bracket else names
            close = get_close_matches(pattern, pool, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"the names are {', '.join(names)}"
            raise ParameterError(f"no parameter is called {pattern!r}; {hint}")
        return np.array(hits)


def _glob(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)
