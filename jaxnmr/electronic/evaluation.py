"""Errors of predicted Hamiltonians, and what a model remembers of its training so that it can tell what is new (host)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from ..models.networks.novelty import environments_of
from .blocks import block_layout
from .data import HamiltonianData
from .model import HamiltonianModel, scalar_features
from .shapes import composition, ranges_of

EV = 27.211386245988  # per Hartree, CODATA 2018


class HamiltonianErrors(NamedTuple):
    """Mean errors over geometries.

    Attributes:
        h_mae: meV, of all elements of the matrix.
        eps_mae: meV, of the occupied orbital energies.
        gap_mae: meV, of the gap.
        similarity: mean cosine between occupied orbitals and their labels, 1 for the same.
        by_block: meV, ``h_mae`` by kind of blocks.
    """

    h_mae: float
    eps_mae: float
    gap_mae: float
    similarity: float
    by_block: dict[str, float]


def evaluate(model: HamiltonianModel, data: HamiltonianData) -> HamiltonianErrors:
    """Errors of a model against labels."""
    return errors_of(model.hamiltonian(data.numbers, data.xyz, data.h0 if model.config.start else None), data)


def errors_of(predicted, data: HamiltonianData) -> HamiltonianErrors:
    """Errors of matrices ``(g, m, m)``, Hartree, against labels."""
    predicted = np.asarray(predicted, dtype=float)
    error = np.abs(predicted - data.h)
    values, vectors = np.linalg.eigh(data.s)
    root = np.einsum("gik,gk,gjk->gij", vectors, values**-0.5, vectors)
    found, orbitals = np.linalg.eigh(root @ predicted @ root)
    _, true = np.linalg.eigh(root @ data.h @ root)
    p = data.pairs
    gap = lambda eps: eps[:, p] - eps[:, p - 1]
    cosines = np.abs(np.sum(orbitals[:, :, :p] * true[:, :, :p], axis=1))
    layout = block_layout(data.orbitals)
    flat = error.reshape(len(error), -1)[:, layout.origin]
    by_block, begin = {}, 0
    for kind in layout.kinds:
        size = data.orbitals.basis.size(kind.elements[0]) * data.orbitals.basis.size(kind.elements[1])
        end = begin + size * len(kind.rows)
        by_block[kind.name] = 1e3 * EV * float(flat[:, begin:end].mean())
        begin = end
    return HamiltonianErrors(
        1e3 * EV * float(error.mean()),
        1e3 * EV * float(np.abs(found - data.eps)[:, :p].mean()),
        1e3 * EV * float(np.abs(gap(found) - gap(data.eps)).mean()),
        float(cosines.mean()),
        by_block,
    )


def with_novelty(
    model: HamiltonianModel, training: Sequence[HamiltonianData], held_out: Sequence[HamiltonianData], *, seed: int = 0
) -> HamiltonianModel:
    """The model with environments and shapes of its training.

    Args:
        model: trained.
        training: what it was trained on.
        held_out: labels of the same molecules that it was not trained on; they set what is usual.
        seed: of the choice of what is remembered.

    Raises:
        DataError: an element of the training that has no held-out atom, or a molecule without held-out geometries.
    """
    known, fresh = _scalars(model, training), _scalars(model, held_out)
    none = np.zeros((0, 1))
    environments = {element: environments_of(of, fresh.get(element, none), seed=seed) for element, of in known.items()}
    there, others = _positions(training), _positions(held_out)
    ranges = {}
    for elements, xyz in there.items():
        held = others.get(elements, np.zeros((0, len(elements), 3)))
        ranges[composition(elements)] = ranges_of(elements, xyz, held)
    return model.replace(environments=environments, ranges=ranges)


def _positions(data: Sequence[HamiltonianData]) -> dict[tuple[str, ...], np.ndarray]:
    """Positions of all geometries of the same atoms, by the sorted elements."""
    found: dict[tuple[str, ...], list[np.ndarray]] = {}
    for part in map(HamiltonianData.sorted_by_element, data):
        found.setdefault(part.orbitals.elements, []).append(part.xyz)
    return {elements: np.concatenate(parts) for elements, parts in found.items()}


def _scalars(model: HamiltonianModel, data: Sequence[HamiltonianData]) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    for part in data:
        part = part.sorted_by_element()
        elements = part.orbitals.elements
        compiled = jax.jit(lambda xyz, elements=elements: scalar_features(model, xyz, elements))
        scalars = np.asarray(compiled(part.xyz.astype(np.float32)), dtype=float)
        for k, element in enumerate(elements):
            found.setdefault(element, []).append(scalars[:, k])
    return {element: np.concatenate(parts) for element, parts in found.items()}
