"""Irreps, rotations and Cartesian tensors, in the order and signs of e3nn (axes x, y, z).

Independent of e3nn, whose import takes longer than a prediction.
"""

import re
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...errors import ShapeError
from ...typing import Array


class Irrep(NamedTuple):
    """An irreducible representation of rotations and inversion: degree ``l``, and parity ``p``, 1 or -1."""

    l: int
    p: int

    @property
    def dim(self) -> int:
        """Number of components."""
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    def times(self, other: "Irrep") -> list["Irrep"]:
        """List the irreps in the product with another irrep."""
        return [Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]


class Irreps(tuple[tuple[int, Irrep], ...]):
    """Irreps with their multiplicities, in order: ``Irreps.read("16x0e+8x1o")``."""

    @classmethod
    def read(cls, text: str) -> "Irreps":
        """Read a string; ``1x`` may be omitted, and ``y`` denotes the parity of spherical harmonics.

        Raises:
            ValueError: the string is invalid.
        """
        if not text.strip():
            return cls()
        found = [re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+)([eoy])\s*", part) for part in text.split("+")]
        if None in found:
            raise ValueError(f"{text!r} is no string of irreps")
        parity = lambda l, of: {"e": 1, "o": -1, "y": (-1) ** l}[of]
        return cls((int(m[1] or 1), Irrep(int(m[2]), parity(int(m[2]), m[3]))) for m in found if m)

    @property
    def each(self) -> tuple[Irrep, ...]:
        """All irreps, repeated ones included."""
        return tuple(ir for mul, ir in self for _ in range(mul))

    def simplify(self) -> "Irreps":
        """Merge equal neighbours."""
        out: list[tuple[int, Irrep]] = []
        for mul, ir in self:
            if out and out[-1][1] == ir:
                out[-1] = (out[-1][0] + mul, ir)
            elif mul:
                out.append((mul, ir))
        return Irreps(out)

    def regroup(self) -> "Irreps":
        """Merge all equal irreps, sorted by degree, with the parity of spherical harmonics first."""
        return Irreps(sorted(self, key=lambda of: (of[1].l, -of[1].p * (-1) ** of[1].l))).simplify()

    def __str__(self) -> str:
        return "+".join(f"{mul}x{ir}" for mul, ir in self)


SCALAR = Irrep(0, 1)


@cache
def tensor_basis() -> np.ndarray:
    """Return an orthonormal basis ``(9, 3, 3)`` of Cartesian tensors: 0e (trace/sqrt3), 1e (antisymmetric), 2e."""
    # parameters of networks depend on this order and these signs, those of e3nn with polar axis y: not `TRACELESS_DYADS`
    basis = np.zeros((9, 3, 3))
    basis[0] = np.eye(3) / np.sqrt(3.0)
    for k, (i, j) in enumerate([(1, 2), (2, 0), (0, 1)], start=1):
        basis[k, i, j], basis[k, j, i] = np.sqrt(0.5), -np.sqrt(0.5)
    for k, (i, j) in ((4, (0, 2)), (5, (0, 1)), (7, (1, 2))):
        basis[k, i, j] = basis[k, j, i] = np.sqrt(0.5)
    basis[6] = np.diag([-1.0, 2.0, -1.0]) / np.sqrt(6.0)
    basis[8] = np.diag([-1.0, 0.0, 1.0]) / np.sqrt(2.0)
    return basis


def parts(irreps: str) -> np.ndarray:
    """Return the indices of components of these irreps: 0e is the first, 1e the next three, 2e the last five of nine."""
    at = {0: range(0, 1), 1: range(1, 4), 2: range(4, 9)}
    return np.concatenate([np.array(at[ir.l]) for _, ir in Irreps.read(irreps)])


def cartesian(components, irreps: str) -> Array:
    """Return Cartesian tensors ``(..., 3, 3)`` of components ``(..., dim)``; parts missing in the irreps are zero.

    Raises:
        ShapeError: the number of components is wrong.
    """
    xp: Any = np if isinstance(components, np.ndarray) else jnp
    components = xp.asarray(components)
    basis = tensor_basis()[parts(irreps)]
    if components.shape[-1:] != (len(basis),):
        raise ShapeError(f"components have the shape {components.shape}; {irreps} needs (..., {len(basis)})")
    return xp.einsum("...k,kij->...ij", components, xp.asarray(basis, dtype=components.dtype))


def components(tensors, irreps: str) -> np.ndarray:
    """Return the components ``(..., dim)`` of Cartesian tensors ``(..., 3, 3)`` for these irreps (host)."""
    tensors = np.asarray(tensors, dtype=float)
    if tensors.shape[-2:] != (3, 3):
        raise ShapeError(f"tensors have the shape {tensors.shape}; expected (..., 3, 3)")
    return np.einsum("...ij,kij->...k", tensors, tensor_basis()[parts(irreps)])
