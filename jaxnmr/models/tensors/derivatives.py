"""Strategies to differentiate a network by the refined parameters, no more than needed.

Forward mode, along the refined parameters that move the cell or the atoms of a phase and no others; or reverse mode,
from the components that terms read, if these are clearly fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array

# values by head, and their derivatives with a leading axis of columns
Derivatives = tuple[dict[str, Array], dict[str, Array]]
# from the number of tangents to the number of them per batch
Batch = Callable[[int], int]
# orthonormal tensors (k, 3, 3), or components (dim, dim), spanning a part of the prediction for one site
Basis = Callable[[str, str], np.ndarray]


@dataclass(frozen=True)
class Everywhere:
    """Forward mode along all refined parameters, if it is not known which of them move atoms."""

    def how(self, batch: Batch) -> str:
        """Describe the strategy in words."""
        return "forward mode along every refined number, as it is not known which of them move atoms"

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        """Return the columns that may be recombined for another change of the structure."""
        return columns

    def derivatives(self, at, where, tangents: tuple[Array, Array], basis: Basis, batch: Batch) -> Derivatives:
        """Return values and derivatives of ``at(cell, xyz)`` (traceable).

        Args:
            at: returns predictions by head.
            where: cell and coordinates.
            tangents: of both, ``(columns, 6)`` and ``(columns, sites, 3)``.
            basis, batch: see `Basis` and `Batch`.
        """
        return _forward(np.arange(len(tangents[0])), at, where, tangents, batch)


@dataclass(frozen=True)
class Forward:
    """Forward mode along the refined parameters that move the cell or atoms.

    Attributes:
        columns: indices of these parameters.
        read: number of components that terms read; ``None`` if a term does not declare them.
    """

    columns: tuple[int, ...]
    read: int | None

    def how(self, batch: Batch) -> str:
        """Describe the strategy in words."""
        if not self.columns:
            return "not calculated: nothing refined moves its cell or atoms"
        read = "an unknown number of" if self.read is None else str(self.read)
        return (
            f"forward mode along the {len(self.columns)} refined numbers that move cell or atoms, for {read} components "
            f"that terms read; {batch(len(self.columns))} at a time"
        )

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        """Return the columns that moved atoms when this strategy was chosen."""
        return np.intersect1d(columns, self.columns).astype(int)

    def derivatives(self, at, where, tangents: tuple[Array, Array], basis: Basis, batch: Batch) -> Derivatives:
        """Differentiate as `Everywhere`; NaN in columns that move atoms but were not declared."""
        return _forward(np.array(self.columns, dtype=int), at, where, tangents, batch)


@dataclass(frozen=True)
class Backward:
    """Reverse mode from the components that terms read.

    Attributes:
        columns: indices of the refined parameters that move the cell or atoms.
        rows: ``(head, site, part)`` of everything that terms read.
        read: number of these components.
    """

    columns: tuple[int, ...]
    rows: tuple[tuple[str, int, str], ...]
    read: int

    def how(self, batch: Batch) -> str:
        """Describe the strategy in words."""
        if not self.rows:
            return "not calculated: no term reads them"
        return (
            f"reverse mode from {self.read} components that terms read, fewer than the {len(self.columns)} refined "
            f"numbers that move cell or atoms; {batch(self.read)} at a time"
        )

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        """Return all of them."""
        return columns

    def derivatives(self, at, where, tangents: tuple[Array, Array], basis: Basis, batch: Batch) -> Derivatives:
        """Differentiate as `Everywhere`; NaN for sites that no term reads."""
        cell, xyz = tangents
        if not self.rows:
            values = at(*where)
            return values, {head: jnp.full((len(cell), *v.shape), jnp.nan, v.dtype) for head, v in values.items()}
        values, pull = jax.vjp(at, *where)
        one = [(head, site, dyad) for head, site, part in self.rows for dyad in basis(head, part)]
        site = jnp.array([s for _, s, _ in one])
        dyads = {
            head: jnp.stack([d if h == head else np.zeros(value.shape[1:]) for h, _, d in one])
            for head, value in values.items()
        }

        def gradient(row):
            k, of = row
            return pull({head: jnp.zeros_like(value).at[k].set(of[head]) for head, value in values.items()})

        by_cell, by_xyz = mapped(gradient, (site, dyads), batch(len(one)))
        along = by_cell @ cell.T + jnp.einsum("rsi,psi->rp", by_xyz, xyz)
        out: dict[str, Array] = {}
        for head, value in values.items():
            read = np.unique([s for h, s, _ in one if h == head]).astype(int)
            # undeclared components have no derivative here: NaN rather than a silent zero
            blank = jnp.full((len(cell), *value.shape), jnp.nan, value.dtype).at[:, read].set(0.0)
            mine = np.array([k for k, (h, _, _) in enumerate(one) if h == head], dtype=int)
            parts = jnp.einsum("rp,r...->pr...", along[mine], dyads[head][mine])
            out[head] = blank.at[:, site[mine]].add(parts)
        return values, out


def _forward(chosen: np.ndarray, at, where, tangents: tuple[Array, Array], batch: Batch) -> Derivatives:
    """Differentiate along chosen columns; NaN in others that are not zero."""
    cell, xyz = tangents
    if chosen.size:
        values, push = jax.linearize(at, *where)
        moved = mapped(lambda t: push(*t), (cell[chosen], xyz[chosen]), batch(chosen.size))
    else:
        values = at(*where)
    stray = jnp.any(cell != 0, axis=1) | jnp.any(xyz != 0, axis=(1, 2))
    stray = stray.at[chosen].set(False)
    out: dict[str, Array] = {}
    for head, value in values.items():
        still = jnp.where(
            stray.reshape(-1, *[1] * value.ndim), jnp.nan, jnp.zeros((len(cell), *value.shape), value.dtype)
        )
        out[head] = still.at[chosen].set(moved[head]) if chosen.size else still
    return values, out


def mapped(function, rows, batch: int):
    """Apply ``vmap`` over leading axes, ``batch`` rows at a time; the last batch is padded with repeated rows."""
    count = jax.tree.leaves(rows)[0].shape[0]
    if batch >= count:
        return jax.vmap(function)(rows)
    batches = math.ceil(count / batch)
    order = np.minimum(np.arange(batches * batch), count - 1)
    parts = jax.tree.map(lambda a: a[order].reshape(batches, batch, *a.shape[1:]), rows)
    out = jax.lax.map(jax.vmap(function), parts)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], out)
