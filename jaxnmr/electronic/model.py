"""Models that predict Hamiltonians: a network with the scales of its blocks, and what is known of its training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import Struct, compiled, static
from ..errors import ConventionError, DataError, ShapeError
from ..models.networks.novelty import novelty
from ..typing import Array
from .basis import BasisSet, Orbitals, symbols
from .blocks import BlockLayout, block_irreps, block_layout
from .config import HamiltonianConfig
from .data import HamiltonianData
from .files import find_model, read_model, write_model
from .network import HamiltonianNetwork
from .shapes import beyond

_LEAST_SCALE = 1e-6
# molecules that one program calculates at once, where there is more than one
_TOGETHER = 16


class HamiltonianModel(Struct):
    """Predicts the Kohn-Sham matrix of a molecule, or what has to be added to that of a start.

    Attributes:
        weights: of the network.
        scales: by kind of blocks, ``(components,)`` Hartree; kinds that are missing were not in the training.
        shifts: by kind of on-site blocks, ``(components,)`` Hartree, added.
        environments: what atoms of the training look like to the network, by element; see `novelty`.
        ranges: distances between the atoms of the molecules of the training, by composition; see `shapes`.
        config: architecture.
        card: where it comes from: seed, data, scores.
    """

    weights: Any
    scales: Mapping[str, Array]
    shifts: Mapping[str, Array]
    environments: Mapping[str, Mapping[str, Array]]
    ranges: Mapping[str, Mapping[str, Array]]
    config: HamiltonianConfig = static()
    card: Mapping[str, Any] = static(note=True)

    @classmethod
    def initial(cls, config: HamiltonianConfig, data: list[HamiltonianData], *, seed: int = 0) -> Self:
        """Random parameters, and scales of blocks from labels (host).

        Raises:
            ConventionError: labels that hold an element the configuration lacks.
        """
        scales, shifts = _scales(config, data)
        generator = np.random.default_rng(seed)
        shapes = parameter_shapes(config)
        weights = jax.tree.map(lambda of: jnp.asarray(generator.normal(size=of.shape), dtype=np.float32), shapes)
        return cls(weights=weights, scales=scales, shifts=shifts, environments={}, ranges={}, config=config, card={})

    def correction(self, xyz: Array, elements: tuple[str, ...]) -> Array:
        """What the network adds to the matrix of the start, Hartree ``(molecules, m, m)`` (traceable).

        Args:
            xyz: ``(molecules, n, 3)`` Å; calculations are in its precision.
            elements: of the atoms, the same for all molecules.

        Raises:
            ConventionError: pairs of elements that were not in the training.
        """
        layout = self.layout(elements)
        found: Any = HamiltonianNetwork(self.config).apply({"params": _as(self.weights, xyz)}, xyz, elements)
        scaled = {}
        for kind in layout.kinds:
            scaled[kind.name] = found[kind.name] * _as(self.scales[kind.name], xyz)
            if kind.onsite:
                scaled[kind.name] += _as(self.shifts[kind.name], xyz)
        return layout.matrices(scaled)

    def hamiltonian(self, atoms, xyz, start=None, *, basis: str = "", functional: str = "") -> np.ndarray:
        """The Kohn-Sham matrix, Hartree (host). All orders of the same atoms share a compiled program.

        Args:
            atoms: ``(n,)`` symbols or numbers.
            xyz: ``(n, 3)`` or ``(molecules, n, 3)`` Å.
            start: matrices of the start that the model was trained with, ``(m, m)`` or ``(molecules, m, m)`` Hartree.
            basis, functional: of what it is for, checked against the model's where given.

        Returns:
            ``(m, m)`` or ``(molecules, m, m)``, in the precision of ``xyz`` (32 bits unless 64 are switched on).

        Raises:
            ConventionError: another basis, functional or element, or a start that is missing or not wanted.
            ShapeError: arrays that do not fit the atoms.
        """
        for what, wanted in (("basis", basis), ("functional", functional)):
            if wanted and wanted.lower() != getattr(self.config, what).lower():
                raise ConventionError(f"the model is of the {what} {getattr(self.config, what)!r}, not of {wanted!r}")
        elements, xyz = _molecules(atoms, xyz)
        if bool(self.config.start) != (start is not None):
            raise ConventionError(
                f"the model adds to the matrix of the start {self.config.start!r}: give start=..."
                if self.config.start
                else "the model predicts the whole matrix; leave out start"
            )
        orbitals, order, rows, back = self._order(elements)
        many = xyz.reshape(-1, *xyz.shape[-2:])
        found = _in_parts(partial(_correction, self, elements=orbitals.elements), many[:, order])
        found = found[:, back][:, :, back].reshape(*xyz.shape[:-2], len(rows), len(rows))
        if start is None:
            return found
        start = np.asarray(start)
        if start.shape != found.shape:
            raise ShapeError(f"start has the shape {start.shape}; expected {found.shape}")
        return start + found

    def novelty(self, atoms, xyz) -> np.ndarray:
        """How unlike those of the training the atoms are, ``(n,)`` or ``(molecules, n)``: above 1 they are novel (host).

        Raises:
            DataError: the model remembers no environments.
            ConventionError, ShapeError: as of :meth:`hamiltonian`.
        """
        if not self.environments:
            raise DataError("the model remembers no environments of its training: see jaxnmr.electronic.with_novelty")
        elements, xyz = _molecules(atoms, xyz)
        orbitals, order, _, _ = self._order(elements)
        many = xyz.reshape(-1, *xyz.shape[-2:])
        found = _in_parts(partial(_novelty, self, elements=orbitals.elements), many[:, order])
        return found[:, np.argsort(order)].reshape(xyz.shape[:-1])

    def beyond(self, atoms, xyz) -> np.ndarray:
        """How far distances between atoms leave those of the training, of a molecule or of ``(molecules,)``: up to 1 is usual (host).

        Where a group turns about a bond, this says so sooner than :meth:`novelty`. NaN for molecules of a composition that was
        not in the training.

        Raises:
            DataError: the model remembers no shapes.
            ShapeError: as of :meth:`hamiltonian`.
        """
        if not self.ranges:
            raise DataError("the model remembers no shapes of its training: see jaxnmr.electronic.with_novelty")
        elements, xyz = _molecules(atoms, xyz)
        return beyond(elements, xyz.reshape(-1, *xyz.shape[-2:]), self.ranges).reshape(xyz.shape[:-2])

    def require_known(self, atoms, xyz, *, most: float = 1.5) -> None:
        """Refuse molecules with atoms or of shapes unlike those of the training (host).

        Args:
            atoms, xyz: as of :meth:`hamiltonian`.
            most: that is allowed of :meth:`novelty` and of :meth:`beyond`.

        Raises:
            ConventionError: an atom is more novel, or distances between atoms are farther beyond those of the training.
            DataError: the model remembers no environments.
        """
        found = self.novelty(atoms, xyz).reshape(-1, len(symbols(atoms)))
        which, atom = np.unravel_index(int(found.argmax()), found.shape)
        if not found[which, atom] <= most:
            raise ConventionError(
                f"atom {atom + 1} ({symbols(atoms)[atom]}) of molecule {which + 1} is unlike those of the training: novelty "
                f"{found[which, atom]:.1f}, expected at most {most}. Its matrix is an extrapolation: start from minao instead, or "
                "train with geometries like this one"
            )
        shapes = np.atleast_1d(self.beyond(atoms, xyz)) if self.ranges else np.zeros(1)
        farthest = int(np.argmax(np.nan_to_num(shapes)))
        if shapes[farthest] > most:
            raise ConventionError(
                f"molecule {farthest + 1} has a shape unlike those of the training: distances between its atoms are {shapes[farthest]:.1f} times "
                f"as far beyond theirs as is usual, expected at most {most}. Start from minao instead, or train with geometries like "
                "this one"
            )

    def save(self, path: str | Path) -> Path:
        """Write the model to a safetensors file."""
        return write_model(path, self)

    @classmethod
    def load(cls, path_or_name: str | Path) -> Self:
        """Read a model: a file, or one that comes with the package by its name (:func:`shipped_hamiltonians`).

        Raises:
            ConventionError: no model of that name comes with the package.
            ParseError: no model, a damaged one, or one of another version.
        """
        config, card, weights, *kept = read_model(find_model(path_or_name), parameter_shapes)
        names = ("scales", "shifts", "environments", "ranges")
        return cls(weights=weights, config=config, card=card, **dict(zip(names, kept, strict=True)))

    def layout(self, elements: tuple[str, ...]) -> BlockLayout:
        """Where the blocks of a molecule are (host).

        Raises:
            ConventionError: a single atom, or elements or pairs of them that were not in the training.
        """
        known = self.config.elements
        if len(elements) < 2:
            raise ConventionError("the model is of molecules; a single atom has no neighbours")
        unknown = sorted(set(elements) - set(known))
        if unknown:
            raise ConventionError(f"the model does not know {', '.join(unknown)}; it was made for {', '.join(known)}")
        layout = block_layout(Orbitals(tuple(elements), BasisSet.load(self.config.basis)))
        missing = [kind.name for kind in layout.kinds if kind.name not in self.scales]
        if missing:
            raise ConventionError(
                f"blocks {', '.join(missing)} were not in the training of the model; it knows {', '.join(self.scales)}"
            )
        return layout

    def _order(self, elements: tuple[str, ...]):
        """Functions of the sorted molecule, order of its atoms, and that of its functions, there and back."""
        self.layout(elements)
        given = Orbitals(elements, BasisSet.load(self.config.basis))
        order = np.argsort(given.numbers, kind="stable")
        rows = given.reordered(order)
        orbitals = Orbitals(tuple(elements[k] for k in order), given.basis)
        return orbitals, order, rows, np.argsort(rows)


def _molecules(atoms, xyz) -> tuple[tuple[str, ...], np.ndarray]:
    """Elements, and positions that fit them.

    Raises:
        ShapeError: they do not.
    """
    elements, xyz = symbols(atoms), np.asarray(xyz, dtype=float)
    if xyz.ndim not in (2, 3) or xyz.shape[-2:] != (len(elements), 3):
        raise ShapeError(f"positions have the shape {xyz.shape}; expected (..., {len(elements)}, 3)")
    return elements, xyz


def _in_parts(function, xyz: np.ndarray) -> np.ndarray:
    """What a function gives for molecules, so many at a time that one program or two serve any number of them."""
    size = 1 if len(xyz) == 1 else _TOGETHER
    filled = xyz[np.minimum(np.arange(-(-len(xyz) // size) * size), len(xyz) - 1)]
    parts = [np.asarray(function(filled[k : k + size])) for k in range(0, len(filled), size)]
    return np.concatenate(parts)[: len(xyz)]


@compiled(static_argnames=("elements",))
def _correction(model: HamiltonianModel, xyz, *, elements: tuple[str, ...]):
    return model.correction(xyz, elements)


@compiled(static_argnames=("elements",))
def _novelty(model: HamiltonianModel, xyz, *, elements: tuple[str, ...]):
    scalars = scalar_features(model, xyz, elements)
    species = np.tile([model.config.elements.index(e) for e in elements], len(xyz))
    flat = scalars.reshape(-1, scalars.shape[-1])
    return novelty(flat, species, model.environments, model.config.elements).reshape(scalars.shape[:2])


def scalar_features(model: HamiltonianModel, xyz: Array, elements: tuple[str, ...]) -> Array:
    """Invariant features of atoms ``(molecules, n, features)`` (traceable)."""
    network = HamiltonianNetwork(model.config)
    _, kept = network.apply({"params": _as(model.weights, xyz)}, xyz, elements, mutable=["intermediates"])
    return kept["intermediates"]["scalars"][0]


@lru_cache
def parameter_shapes(config: HamiltonianConfig) -> Any:
    """Shapes of all parameters, without calculating any."""
    elements = (config.elements[0], config.elements[-1])
    xyz = jax.ShapeDtypeStruct((1, 2, 3), np.float32)
    network = HamiltonianNetwork(config)
    return jax.eval_shape(lambda key, x: network.init(key, x, elements), jax.random.key(0), xyz)["params"]


def _as(tree, like):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=like.dtype), tree)


def _scales(config: HamiltonianConfig, data: list[HamiltonianData]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Root mean squares of the labels by irrep, those of on-site scalars around their means."""
    rows: dict[str, list[np.ndarray]] = {}
    for part in data:
        unknown = sorted(set(part.orbitals.elements) - set(config.elements))
        if unknown:
            raise ConventionError(f"the labels hold {', '.join(unknown)}, the model only {', '.join(config.elements)}")
        labels = part.h - part.h0 if config.start else part.h
        for name, found in block_layout(part.orbitals).coefficients(labels).items():
            rows.setdefault(name, []).append(np.asarray(found).reshape(-1, found.shape[-1]))
    scales: dict[str, Array] = {}
    shifts: dict[str, Array] = {}
    basis = BasisSet.load(config.basis)
    for name, parts in rows.items():
        labels = np.concatenate(parts)
        one, _, other = name.partition("-")
        scale, shift, start = np.zeros(labels.shape[1]), np.zeros(labels.shape[1]), 0
        for ir in block_irreps(basis, one, other or one).irreps.each:
            at = slice(start, start + ir.dim)
            if not other and ir.l == 0 and ir.p == 1:
                shift[at] = labels[:, at].mean()
            scale[at] = np.sqrt(np.mean((labels[:, at] - shift[at]) ** 2)) + _LEAST_SCALE
            start += ir.dim
        scales[name] = jnp.asarray(scale)
        if not other:
            shifts[name] = jnp.asarray(shift)
    return scales, shifts
