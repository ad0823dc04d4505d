"""Symmetry-independent reflections of a cell, and densities made of them (host).

``F(hR) = F(h) exp(-2 pi i h·t)`` for every operation ``x -> R x + t``, and ``F(-h)`` is the conjugate of ``F(h)``: one
reflection represents its whole set. If an operation takes ``h`` to ``-h``, its phase is ``pi h·t`` or that plus ``pi``.
"""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from ...crystal import SpaceGroup, metric, reciprocal_metric, volume
from ...diffraction.reflections import laue_rotations
from ...errors import ParameterError, ShapeError, SymmetryError
from ...typing import Numbers
from ..grid import Density, Shape
from ..symmetry import fitting_shape

# largest relative deviation of the cell metric from one that the group allows
_METRIC = 1e-3
_SAME_PHASE = 1e-6
# largest number of waves for an in-memory refinement
MOST_WAVES = 40_000
# base of the code of three indices, each between minus and plus half of it
_SPAN = 2048


class IndependentWaves(NamedTuple):
    """One reflection of every set of equivalents by symmetry and Friedel's law, without F(000).

    Attributes:
        cell: ``(6,)`` Å and degrees.
        group: symmetry imposed on densities; P1 imposes none.
        hkl: ``(n, 3)``, by decreasing d.
        copies: ``(n,)`` number of reflections of the whole sphere in the set.
        centric: ``(n,)`` whether the phase is restricted to two values.
        phase: ``(n,)`` such a restricted phase, radians; 0 for others.
    """

    cell: Float[np.ndarray, "6"]
    group: SpaceGroup
    hkl: Int[np.ndarray, "n 3"]
    copies: Int[np.ndarray, " n"]
    centric: Bool[np.ndarray, " n"]
    phase: Float[np.ndarray, " n"]

    @classmethod
    def plan(cls, cell: Numbers, d_min: float, group: SpaceGroup | None = None) -> Self:
        """List all reflections down to a d spacing.

        Args:
            cell: six numbers, Å and degrees.
            d_min: Å.
            group: space group; P1 by default.

        Raises:
            ShapeError: the cell is not six numbers.
            ParameterError: ``d_min`` is not positive, or gives no or too many reflections.
            SymmetryError: the cell does not have the metric of the group.
        """
        six = np.asarray(cell, dtype=float)
        if six.shape != (6,):
            raise ShapeError(
                f"a cell is six numbers, a, b, c in Å and three angles in degrees; got the shape {six.shape}"
            )
        group = SpaceGroup.from_name(1) if group is None else group
        g = metric(six)
        if float(np.abs(group.metric_projector(g) - g).max() / np.abs(g).max()) > _METRIC:
            raise SymmetryError(f"the cell {np.round(six, 4).tolist()} does not have the metric of {group.name}")
        if not d_min > 0.0:
            raise ParameterError(f"d_min is {d_min} Å; expected a positive number")
        limit = np.floor(six[:3] / d_min + 1e-9).astype(int)
        if np.prod(2.0 * limit + 1.0) > 8.0 * MOST_WAVES:
            raise ParameterError(
                f"down to d = {d_min:g} Å this cell has about {int(2.1 * volume(six) / d_min**3)} waves; expected {MOST_WAVES} at most: "
                "take a larger d_min"
            )
        axes = [np.arange(-m, m + 1) for m in limit]
        h = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        d_star_sq = np.einsum("ni,ij,nj->n", h, reciprocal_metric(six), h)
        h = h[(d_star_sq > 0.0) & (d_star_sq <= (1.0 + 1e-12) / d_min**2)]
        if not len(h):
            raise ParameterError(f"no wave of this cell has d of {d_min:g} Å or more: take a smaller d_min")
        images = _keys(h, group)
        keys, copies = np.unique(images, return_counts=True)
        hkl = _unkeyed(keys)
        absent, centric, phase = np.zeros(len(hkl), bool), np.zeros(len(hkl), bool), np.zeros(len(hkl))
        for rotation, translation in zip(group.rotations, group.translations, strict=True):
            turned, shift = hkl @ rotation, hkl @ translation
            absent |= (turned == hkl).all(axis=1) & (np.abs(shift - np.round(shift)) > _SAME_PHASE)
            opposite = (turned == -hkl).all(axis=1)
            phase = np.where(opposite & ~centric, np.pi * shift, phase)
            centric |= opposite
        d = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(six), hkl)
        order = np.lexsort((*hkl.T[::-1], d.round(12)))
        order = order[~absent[order]]
        return cls(six, group, hkl[order], copies[order], centric[order], phase[order] % (2.0 * np.pi))

    def __len__(self) -> int:
        return len(self.hkl)

    @property
    def d_star(self) -> Float[np.ndarray, " n"]:
        """``1/d``, 1/Å."""
        return np.sqrt(np.einsum("ni,ij,nj->n", self.hkl, reciprocal_metric(self.cell), self.hkl))

    def find(self, hkl: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, " m"]:
        """Return the index of the set of each reflection; -1 beyond d_min and for forbidden reflections."""
        wanted = np.asarray(hkl, dtype=int).reshape(-1, 3)
        mine = _keys(self.hkl, self.group)
        order = np.argsort(mine)
        keys = _keys(wanted, self.group)
        at = np.minimum(np.searchsorted(mine[order], keys), len(mine) - 1)
        return np.where(mine[order][at] == keys, order[at], -1)

    def numbers(self, f: Complex[np.ndarray, "*k n"]) -> Float[np.ndarray, "*k p"]:
        """Convert structure factors to free real numbers: one per centric reflection, else two, real parts first."""
        turned = np.asarray(f) * np.exp(-1j * self.phase)
        return np.concatenate([turned.real, turned.imag[..., ~self.centric]], axis=-1)

    def structure_factors(self, numbers: Float[np.ndarray, "*k p"]) -> Complex[np.ndarray, "*k n"]:
        """Return the inverse of :meth:`numbers`."""
        x = np.asarray(numbers, dtype=float)
        n = len(self)
        imaginary = np.zeros((*x.shape[:-1], n))
        imaginary[..., ~self.centric] = x[..., n:]
        return (x[..., :n] + 1j * imaginary) * np.exp(1j * self.phase)

    def shape(self, room: int = 1) -> Shape:
        """Return the smallest grid that holds all waves and is compatible with the group, times ``room``."""
        most = np.abs(self._everywhere()[0]).max(axis=0)
        n1, n2, n3 = (int(room * (2 * m + 1)) for m in most)
        return fitting_shape(self.group, (max(n1, 4), max(n2, 4), max(n3, 4)))

    def on_grid(self, f: Complex[np.ndarray, " n"], electrons: float, shape: Shape) -> Density:
        """Return the density with these structure factors; waves that the grid cannot hold are left out.

        Args:
            f: ``(n,)`` structure factors, electrons per cell.
            electrons: F(000).
            shape: points along a, b and c.
        """
        h, of, turn, alone = self._everywhere()
        size = np.array(shape)
        held = (2 * np.abs(h) < size).all(axis=1)
        values = np.asarray(f)[of] * turn
        full = np.zeros(shape, dtype=complex)
        full[tuple((h[held] % size).T)] = values[held]
        mates = held & alone
        full[tuple((-h[mates] % size).T)] = np.conj(values[mates])
        full[0, 0, 0] = electrons
        return Density.create(np.fft.fftn(full).real / float(volume(self.cell)), self.cell)

    def at(self, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m p"]:
        """Return derivatives of the density at fractional coordinates by :meth:`numbers`, 1/Å³."""
        h, of, turn, alone = self._everywhere()
        angles = np.exp(-2j * np.pi * np.asarray(points, dtype=float).reshape(-1, 3) @ h.T)
        summed = np.zeros((len(self), len(angles)), dtype=complex)
        np.add.at(summed, of, (angles * turn * np.where(alone, 2.0, 1.0)).T)
        summed = summed.T * np.exp(1j * self.phase) / float(volume(self.cell))
        return np.concatenate([summed.real, -summed.imag[:, ~self.centric]], axis=1)

    def _everywhere(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return all equivalent reflections, indices here, phase factors, and whether the Friedel mate is missing."""
        rotations, translations = self.group.rotations, self.group.translations
        h = np.concatenate([self.hkl @ rotation for rotation in rotations])
        turn = np.concatenate([np.exp(-2j * np.pi * (self.hkl @ translation)) for translation in translations])
        of = np.tile(np.arange(len(self)), len(rotations))
        codes, first = np.unique(_code(h), return_index=True)
        h, of, turn = h[first], of[first], turn[first]
        return h, of, turn, ~np.isin(_code(-h), codes)


def _code(h: np.ndarray) -> np.ndarray:
    shifted = np.asarray(h, dtype=np.int64) + _SPAN // 2
    return (shifted[:, 0] * _SPAN + shifted[:, 1]) * _SPAN + shifted[:, 2]


def _unkeyed(keys: np.ndarray) -> np.ndarray:
    return np.stack([keys // _SPAN**2, keys // _SPAN % _SPAN, keys % _SPAN], axis=1) - _SPAN // 2


def _keys(h: np.ndarray, group: SpaceGroup) -> np.ndarray:
    """Return the same number for all reflections of a set: the largest of their codes."""
    best = _code(h)
    for rotation in laue_rotations(group):
        best = np.maximum(best, _code(h @ rotation))
    return best
