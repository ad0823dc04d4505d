"""Labelled geometries of one molecule: matrices of converged calculations and of their starts (host)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import ConventionError, DataError, ParseError
from .basis import Orbitals
from .diagonal import electron_pairs
from .integrals import overlap

_NEEDED = ("numbers", "xyz", "h", "h0", "s", "e_tot", "eps")


@dataclass(frozen=True, kw_only=True, eq=False)
class HamiltonianData:
    """Geometries ``g`` of a molecule of ``n`` atoms in a basis of ``m`` functions.

    Attributes:
        numbers: ``(n,)`` atomic numbers.
        xyz: ``(g, n, 3)`` Å.
        h: ``(g, m, m)`` Hartree, the converged Kohn-Sham matrix.
        h0: ``(g, m, m)`` Hartree, the one of the start.
        s: ``(g, m, m)`` overlap.
        e_tot: ``(g,)`` Hartree.
        eps: ``(g, m)`` Hartree, orbital energies.
        metadata: basis, functional, start and how the labels were made.
    """

    numbers: np.ndarray
    xyz: np.ndarray
    h: np.ndarray
    h0: np.ndarray
    s: np.ndarray
    e_tot: np.ndarray
    eps: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in _NEEDED:
            value = np.asarray(getattr(self, name), dtype=int if name == "numbers" else float)
            object.__setattr__(self, name, value)
            if not np.isfinite(value).all():
                raise DataError(f"{name} holds numbers that are not finite: leave out calculations that failed")
        g, n, m = len(self.xyz), len(self.numbers), self.orbitals.size
        shapes = {
            "xyz": (g, n, 3),
            "h": (g, m, m),
            "h0": (g, m, m),
            "s": (g, m, m),
            "e_tot": (g,),
            "eps": (g, m),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"{name} has the shape {getattr(self, name).shape}; {g} geometries of {n} atoms with {m} functions of "
                    f"{self.basis} need {shape}"
                )

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def basis(self) -> str:
        """Name of the basis set."""
        return str(self.metadata.get("basis", "def2-SVP"))

    @property
    def functional(self) -> str:
        """Functional of the labels; empty where nobody said."""
        return str(self.metadata.get("functional", ""))

    @cached_property
    def orbitals(self) -> Orbitals:
        """The functions of the matrices."""
        return Orbitals.of(self.numbers, self.basis)

    @property
    def pairs(self) -> int:
        """Doubly occupied orbitals."""
        return electron_pairs(self.numbers, int(self.metadata.get("charge", 0)))

    def subset(self, rows) -> HamiltonianData:
        """Some of the geometries, by numbers or a slice."""
        names = [name for name in _NEEDED if name != "numbers"]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def split(self, *counts: int, seed: int = 0) -> list[HamiltonianData]:
        """Disjoint parts of the given sizes, drawn at random.

        Raises:
            DataError: there are not so many geometries.
        """
        if sum(counts) > len(self):
            raise DataError(f"{sum(counts)} geometries are asked for, there are {len(self)}")
        order = np.random.default_rng(seed).permutation(len(self))
        ends = np.cumsum((0, *counts))
        return [self.subset(order[a:b]) for a, b in pairwise(ends)]

    def sorted_by_element(self) -> HamiltonianData:
        """The same with atoms in the order of their numbers, so that a composition is one program."""
        order = np.argsort(self.numbers, kind="stable")
        rows = self.orbitals.reordered(order)
        turned = {name: getattr(self, name)[:, rows][:, :, rows] for name in ("h", "h0", "s")}
        return replace_data(self, numbers=self.numbers[order], xyz=self.xyz[:, order], **turned)

    @classmethod
    def read(cls, path: str | Path) -> HamiltonianData:
        """Read a ``.npz`` or ``.safetensors`` file; its ``metadata`` is JSON.

        Raises:
            ParseError: no such file, damaged, or without one of the arrays.
            DataError: arrays that do not fit each other.
        """
        path = Path(path)
        try:
            if path.suffix == ".safetensors":
                with safetensors.safe_open(path, framework="numpy") as file:
                    metadata: dict[str, Any] = dict(file.metadata() or {})
                    arrays = {name: file.get_tensor(name) for name in file.keys()}
                text = metadata.get("metadata")
            else:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                metadata = {name: a.item() for name, a in arrays.items() if name not in _NEEDED and a.ndim == 0}
                text = metadata.pop("metadata", None)
            metadata = json.loads(text) if text else metadata
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise ParseError(path, None, f"cannot be read as labelled Hamiltonians: {error}") from error
        missing = [name for name in _NEEDED if name not in arrays]
        if missing:
            raise ParseError(path, None, f"lacks {', '.join(missing)}; expected {', '.join(_NEEDED)}")
        return cls(metadata=metadata, **{name: arrays[name] for name in _NEEDED})


def replace_data(data: HamiltonianData, **changes) -> HamiltonianData:
    """A copy with other arrays, checked again, functions included."""
    fields = {name: getattr(data, name) for name in (*_NEEDED, "metadata")}
    return HamiltonianData(**(fields | changes))


def require_own_functions(data: HamiltonianData, *, largest: float = 1e-4) -> None:
    """Refuse labels whose functions are not those of this package, in its order: their overlaps differ (host).

    Args:
        data: of which the first and the last geometry are looked at.
        largest: difference that is allowed, which single precision and another value of the bohr stay below.

    Raises:
        DataError: they differ.
    """
    for row in (0, len(data) - 1):
        apart = np.abs(np.asarray(overlap(data.orbitals, data.xyz[row])) - data.s[row])
        if apart.max() > largest:
            i, j = np.unravel_index(int(apart.argmax()), apart.shape)
            names = data.orbitals.labels
            raise DataError(
                f"geometry {row}: the overlap of {names[i]!r} and {names[j]!r} differs by {apart.max():.1e} from that of "
                f"{data.basis} in the order of this package. Labels need positions in Å, real spherical functions and pyscf's "
                "order (cart=False)"
            )


def require_alike(data: HamiltonianData, *, basis: str, functional: str, start: str) -> None:
    """Refuse labels of another basis, functional or start than a model's (host).

    Raises:
        ConventionError: they differ; what a file does not say is taken to be right.
    """
    for what, wanted in (("basis", basis), ("functional", functional), ("start", start)):
        found = str(data.metadata.get(what, wanted))
        if found.lower() != wanted.lower():
            raise ConventionError(
                f"the labels are of the {what} {found!r}, the model's is {wanted!r}: make the labels again, or train another "
                "model"
            )
