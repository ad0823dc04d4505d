"""Space groups: operations, centring, and the subspaces left free by symmetry.

Operations come from gemmi (International Tables, volume A, all tabulated settings) or from a list of
``x,y,z`` triplets, so that non-standard settings of a CIF are preserved.
"""

from collections.abc import Iterable
from functools import cached_property

import gemmi
import numpy as np
from jaxtyping import Float, Int

from ..errors import SymmetryError
from ..typing import Numbers
from .symbols import hall_part, open_origin, tabulated, unknown_symbol

UIJ = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # CIF order: U11 U22 U33 U12 U13 U23


class SpaceGroup:
    """An immutable, hashable set of symmetry operations ``x' = R x + t`` (fractional).

    Build it with :meth:`from_name`, :meth:`from_hall` or :meth:`from_operations`. Equal groups list their
    operations in the same order, whatever the order of input: an operation index means the same
    operation for every crystal of the group.

    Attributes:
        name: extended Hermann-Mauguin symbol, or the symbol given.
        rotations: ``(n, 3, 3)`` integers, the whole group including centring.
        translations: ``(n, 3)`` in [0, 1), multiples of 1/24.
    """

    def __init__(self, name: str, ops: gemmi.GroupOps) -> None:
        known = gemmi.find_spacegroup_by_ops(ops)
        if known is None:
            ordered = sorted((op.wrap() for op in ops), key=lambda op: (op.triplet() != "x,y,z", op.triplet()))
            ops = gemmi.GroupOps(ordered)
        else:
            ops = known.operations()
        self.name = name
        self._ops = ops
        self._key = tuple(op.triplet() for op in ops)

    @classmethod
    def from_name(cls, name: str | int | np.integer, cell: Numbers | None = None) -> "SpaceGroup":
        """Look up a Hermann-Mauguin symbol (``"P 63/m"``, ``"I a -3 d"``, ``"R -3 m:R"``), a Hall symbol or a number.

        Hall symbols are marked as such, ``"hall: P 31 2"``; the mark may be omitted only with a leading minus
        (``"-P 2ybc"``), which no Hermann-Mauguin symbol has.

        Args:
            name: symbol or number. Groups with two origins need ``":1"`` or ``":2"`` (or ``S``, ``Z``, ``O1``, ``O2``) at
                the end.
            cell: six numbers, Å and degrees, that distinguish rhombohedral from hexagonal axes if the symbol does not
                (``":R"``, ``":H"``); hexagonal axes if not given.

        Raises:
            SymmetryError: an unknown symbol (similar ones are suggested), or one that leaves the origin open.
        """
        found = cls.meanings(name, cell)
        if len(found) > 1:
            raise open_origin(tabulated(_symbol(name)))
        return found[0]

    @classmethod
    def meanings(cls, name: str | int | np.integer, cell: Numbers | None = None) -> "tuple[SpaceGroup, ...]":
        """Look up a symbol as :meth:`from_name` does, but return both origins if it leaves the origin open."""
        symbol = _symbol(name)
        hall = hall_part(symbol)
        if hall is not None:
            return (cls.from_hall(hall),)
        angles = None if cell is None else (float(np.asarray(cell)[3]), float(np.asarray(cell)[5]))
        found = tabulated(symbol, angles)
        if not found:
            raise unknown_symbol(name)
        return tuple(cls(setting.xhm(), setting.operations()) for setting in found)

    @classmethod
    def from_hall(cls, symbol: str) -> "SpaceGroup":
        """Build from a Hall symbol (``"-P 2ybc"``), which specifies setting and origin unambiguously."""
        text = _unquoted(str(symbol))
        try:
            ops = gemmi.symops_from_hall(text.replace("_", " "))
        except (RuntimeError, ValueError) as err:
            raise SymmetryError(f"cannot read the Hall symbol {symbol!r}: {err}") from err
        return cls(_tabulated_name(ops) or text, ops)

    @classmethod
    def from_operations(cls, triplets: Iterable[str], name: str | None = None) -> "SpaceGroup":
        """Build from ``x,y,z`` triplets (as in a CIF); the name is looked up if not given.

        Raises:
            SymmetryError: a triplet that cannot be read, or operations that do not form a group.
        """
        triplets = list(triplets)
        try:
            ops = [gemmi.Op(t).wrap() for t in triplets]
        except (RuntimeError, ValueError) as err:
            raise SymmetryError(f"cannot read the symmetry operations: {err}") from err
        _require_group(ops)
        group = gemmi.GroupOps(ops)
        return cls(_tabulated_name(group) or name or "unknown", group)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpaceGroup) and self._key == other._key

    def __reduce__(self) -> tuple:
        return SpaceGroup._restore, (self.name, self._key)

    @classmethod
    def _restore(cls, name: str, triplets: tuple[str, ...]) -> "SpaceGroup":
        return cls(name, gemmi.GroupOps([gemmi.Op(t) for t in triplets]))

    def __repr__(self) -> str:
        return f"SpaceGroup({self.name!r}, {self.order} operations)"

    @property
    def order(self) -> int:
        """Number of operations in the conventional cell, centring included."""
        return len(self._key)

    @property
    def hall(self) -> str | None:
        """Hall symbol, or ``None`` for operations outside the tabulated settings."""
        known = gemmi.find_spacegroup_by_ops(self._ops)
        return known.hall if known else None

    @property
    def triplets(self) -> tuple[str, ...]:
        """All operations as ``x,y,z`` triplets, identity first."""
        return self._key

    @property
    def number(self) -> int | None:
        """International Tables number, or ``None`` for operations outside the tabulated settings."""
        known = gemmi.find_spacegroup_by_ops(self._ops)
        return known.number if known else None

    @property
    def gemmi_ops(self) -> gemmi.GroupOps:
        """The operations as a gemmi object."""
        return self._ops

    @cached_property
    def rotations(self) -> Int[np.ndarray, "operations 3 3"]:
        return np.array([op.rot for op in self._ops], dtype=int) // gemmi.Op.DEN

    @cached_property
    def translations(self) -> Float[np.ndarray, "operations 3"]:
        return np.array([op.tran for op in self._ops], dtype=float) / gemmi.Op.DEN

    @cached_property
    def centring(self) -> Float[np.ndarray, "k 3"]:
        """Centring translations, the zero vector first."""
        return np.array(self._ops.cen_ops, dtype=float) / gemmi.Op.DEN

    @cached_property
    def is_centrosymmetric(self) -> bool:
        return bool(self._ops.is_centrosymmetric())

    @cached_property
    def polar_basis(self) -> Float[np.ndarray, "3 k"]:
        """Directions along which the origin is arbitrary: shifting every atom along them changes nothing."""
        return rref_basis(self.rotations.astype(float).mean(axis=0))

    def metric_projector(self, g: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
        """Average the metric tensor over the point group, giving the nearest allowed one."""
        r = self.rotations.astype(float)
        return np.einsum("nki,kl,nlj->ij", r, g, r) / len(r)


def _symbol(name: str | int | np.integer) -> str:
    return " ".join(_unquoted(str(name)).split())


def _unquoted(text: str) -> str:
    """Strip a surrounding pair of quotes; a Hall symbol may itself end in a prime."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _tabulated_name(ops: gemmi.GroupOps) -> str | None:
    known = gemmi.find_spacegroup_by_ops(ops)
    return known.xhm() if known else None


def _require_group(ops: list[gemmi.Op]) -> None:
    """Raise unless the operations are integer, invertible, distinct and closed, and include the identity."""
    den = gemmi.Op.DEN
    rotations = np.array([op.rot for op in ops], dtype=np.int64).reshape(-1, 3, 3)
    translations = np.array([op.tran for op in ops], dtype=np.int64).reshape(-1, 3)
    triplets = [op.triplet() for op in ops]
    for triplet, rotation in zip(triplets, rotations, strict=True):
        if (rotation % den).any() or abs(round(np.linalg.det(rotation / den))) != 1:
            raise SymmetryError(f"{triplet!r} is no crystallographic operation: its matrix must be integer with det ±1")
    if "x,y,z" not in triplets:
        raise SymmetryError(f"the {len(ops)} symmetry operations do not contain the identity 'x,y,z'")
    repeated = sorted({t for t in triplets if triplets.count(t) > 1})
    if repeated:
        raise SymmetryError(f"symmetry operations occur twice (modulo lattice translations): {', '.join(repeated)}")
    rotations //= den
    product_r = np.einsum("aij,bjk->abik", rotations, rotations)
    product_t = (np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]) % den
    listed = np.unique(_operation_keys(rotations, translations))
    missing = ~np.isin(_operation_keys(product_r, product_t), listed)
    if missing.any():
        first, second = np.argwhere(missing)[0]
        raise SymmetryError(
            f"the {len(ops)} symmetry operations do not form a group: the product of {triplets[first]!r} and "
            f"{triplets[second]!r} is not among them. Give the complete list, centring included"
        )


def _operation_keys(
    rotations: Int[np.ndarray, "*n 3 3"], translations: Int[np.ndarray, "*n 3"]
) -> Int[np.ndarray, "*n"]:
    """Return one integer per operation, different for different operations."""
    digits = np.concatenate([rotations.reshape(*rotations.shape[:-2], 9) + 8, translations], axis=-1)
    return digits @ (24 ** np.arange(12, dtype=np.int64))


def rref_basis(projector: Float[np.ndarray, "n n"], tolerance: float = 1e-8) -> Float[np.ndarray, "n k"]:
    """Return columns spanning the range of a projector, in reduced echelon form.

    In echelon form each free direction starts with a 1 in its own component, so that the refined number *is*
    that coordinate; e.g. ``(x, 2x, z)`` gives the columns ``(1, 2, 0)`` and ``(0, 0, 1)``.

    Args:
        projector: matrix whose columns span the allowed space.

    Returns:
        As many columns as the rank.
    """
    rows = np.array(projector, dtype=float).T.copy()
    n = rows.shape[1]
    rank = 0
    scale = max(np.abs(rows).max(), 1.0)
    for column in range(n):
        if rank == rows.shape[0]:
            break
        pivot = rank + int(np.argmax(np.abs(rows[rank:, column])))
        if abs(rows[pivot, column]) <= tolerance * scale:
            continue
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] /= rows[rank, column]
        for other in range(rows.shape[0]):
            if other != rank:
                rows[other] -= rows[other, column] * rows[rank]
        rank += 1
    basis = rows[:rank].T
    return np.where(np.abs(basis) < 1e-12, 0.0, basis)


def voigt(matrix: Float[np.ndarray, "*n 3 3"]) -> Float[np.ndarray, "*n 6"]:
    """Convert symmetric matrices to six numbers in CIF order 11 22 33 12 13 23."""
    return np.stack([matrix[..., i, j] for i, j in UIJ], axis=-1)


def unvoigt(six: Float[np.ndarray, "*n 6"]) -> Float[np.ndarray, "*n 3 3"]:
    """Convert six numbers in CIF order to symmetric matrices."""
    out = np.zeros((*six.shape[:-1], 3, 3), dtype=six.dtype)
    for k, (i, j) in enumerate(UIJ):
        out[..., i, j] = out[..., j, i] = six[..., k]
    return out


def symmetric_projector(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "6 6"]:
    """Return the projector onto symmetric tensors invariant under ``T -> M T Mᵀ`` for all ``M`` of a group."""
    unit = unvoigt(np.eye(6))
    images = np.einsum("nij,kjl,nml->nkim", matrices, unit, matrices)
    return voigt(images).mean(axis=0).T
