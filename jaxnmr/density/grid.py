"""`Density`: electrons per Å³ on a grid of one cell, and its Fourier coefficients.

``F(h) = V/N sum of rho(x) exp(2 pi i h·x)``, ``rho(x) = 1/V sum of F(h) exp(-2 pi i h·x)``: the phase convention of
crystallography. A NumPy density gives NumPy results in double precision, a JAX density gives traceable ones.
"""

from typing import Self

import numpy as np
from jaxtyping import Complex, Float, Int

from .._arguments import checked
from .._arrays import namespace
from .._struct import Struct
from ..crystal import metric, volume
from ..errors import ConventionError, ParameterError, ShapeError
from ..typing import Array, Numbers

Shape = tuple[int, int, int]


class Density(Struct):
    """Electron density of a crystal; point ``(i, j, k)`` lies at the fractional coordinates ``(i/n1, j/n2, k/n3)``.

    Attributes:
        values: e/Å³.
        cell: a, b, c in Å, alpha, beta, gamma in degrees.
    """

    values: Float[Array, "n1 n2 n3"]
    cell: Float[Array, "6"]

    @classmethod
    @checked
    def create(cls, values: Numbers, cell: Numbers) -> Self:
        """Make a density from checked values on a grid (host).

        Args:
            values: ``(n1, n2, n3)`` e/Å³, at least two points along every axis.
            cell: six numbers, Å and degrees.

        Raises:
            ShapeError: values are not a grid, or the cell is not six numbers.
            ConventionError: numbers are not finite, or the cell has no volume.
        """
        grid, six = np.asarray(values, dtype=float), np.asarray(cell, dtype=float)
        if grid.ndim != 3 or min(grid.shape) < 2:
            raise ShapeError(
                f"a density has three axes of two points at least; these values have the shape {grid.shape}"
            )
        if six.shape != (6,):
            raise ShapeError(
                f"a cell is six numbers, a, b, c in Å and three angles in degrees; got the shape {six.shape}"
            )
        if not np.isfinite(grid).all():
            raise ConventionError(
                f"{int((~np.isfinite(grid)).sum())} of {grid.size} values of the density are not finite"
            )
        if not (np.isfinite(six).all() and (six[:3] > 0.0).all() and np.linalg.det(metric(six)) > 1e-6):
            raise ConventionError(f"cell {six.tolist()} has no volume: give lengths in Å and angles in degrees")
        return cls(values=grid, cell=six)

    @property
    def shape(self) -> Shape:
        """Number of points along a, b and c."""
        n1, n2, n3 = self.values.shape
        return n1, n2, n3

    @property
    def steps(self) -> Float[np.ndarray, "3"]:
        """Spacing of points along a, b and c in Å (host)."""
        return np.asarray(self.cell, dtype=float)[:3] / np.array(self.shape)

    def volume(self) -> Float[Array, ""] | np.floating:
        """Return the volume of the cell in Å³."""
        return volume(self.cell)

    def electrons(self) -> Float[Array, ""]:
        """Return the electrons per cell: the integral, exact for waves that the grid resolves."""
        return namespace(self.values).mean(self.values) * self.volume()

    def waves(self) -> Complex[Array, "n1 n2 n3"]:
        """Return all structure factors of the grid, electrons per cell; that of ``h`` is at ``h`` modulo the shape."""
        return namespace(self.values).fft.ifftn(self.values) * self.volume()

    def structure_factors(self, hkl: Int[np.ndarray, "m 3"]) -> Complex[Array, " m"]:
        """Return structure factors in electrons per cell, by one fast Fourier transform.

        Args:
            hkl: reflections (host), each index less than half the number of points along its axis.

        Raises:
            ParameterError: the grid is too coarse for some reflections.
        """
        return self.waves()[tuple(self.places(hkl).T)]

    def places(self, hkl: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "m 3"]:
        """Return the indices of reflections among the :meth:`waves` (host); raises as :meth:`structure_factors`."""
        h = np.asarray(hkl, dtype=int).reshape(-1, 3)
        beyond = (2 * np.abs(h) >= np.array(self.shape)).any(axis=1)
        if beyond.any():
            need = 2 * np.abs(h).max(axis=0) + 1
            raise ParameterError(
                f"{int(beyond.sum())} of {len(h)} reflections, {h[beyond][0].tolist()} among them, are beyond what a grid of "
                f"{self.shape} points holds; take {tuple(need.tolist())} points at least (`resampled`), or a larger d_min"
            )
        return h % np.array(self.shape)

    def intensities(self, hkl: Int[np.ndarray, "m 3"]) -> Float[Array, " m"]:
        """Return ``|F|²`` in electrons² per cell; arguments as of :meth:`structure_factors`."""
        f = self.structure_factors(hkl)
        return f.real**2 + f.imag**2

    def moved(self, shift: Float[Array, "3"] | tuple[float, float, float]) -> Self:
        """Return the density shifted by any fractional vector: ``rho(x - shift)``.

        The phases of all waves change; the outermost wave of an even number of points, whose sign is unknown, is
        multiplied by the cosine, so that a shift by whole points only reorders the values.
        """
        xp = namespace(self.values, shift)
        turned = xp.asarray(self.values)
        for axis in range(3):
            turned = _along(
                xp, turned, axis, lambda f, h, axis=axis: f * _shift_factor(xp, h, f.shape[axis], shift[axis], axis)
            )
        return self.replace(values=turned)

    def resampled(self, shape: Shape) -> Self:
        """Return the same waves on another grid (Fourier interpolation); a coarser one drops those it cannot hold.

        Args:
            shape: points along a, b and c.

        Raises:
            ParameterError: an axis has fewer than two points.
        """
        target = tuple(int(n) for n in shape)
        if len(target) != 3 or min(target) < 2:
            raise ParameterError(f"shape is {tuple(shape)}; expected three numbers of points, each 2 or more")
        xp, values = namespace(self.values), self.values
        for axis, n in enumerate(target):
            values = _resampled_along(xp, values, axis, n)
        return self.replace(values=values)


def frequencies(n: int) -> Int[np.ndarray, " n"]:
    """Return wave indices of ``n`` points in transform order, 0, 1, ..., -1; the middle of an even ``n`` is negative."""
    return np.round(np.fft.fftfreq(n, 1.0 / n)).astype(int)


def _shaped(vector, axis: int):
    return vector.reshape([-1 if k == axis else 1 for k in range(3)])


def _along(xp, values, axis: int, change):
    """Change the transform along an axis; real values stay real."""
    f = xp.fft.fft(values, axis=axis)
    return xp.fft.ifft(change(f, frequencies(values.shape[axis])), axis=axis).real


def _shift_factor(xp, h: np.ndarray, n: int, shift, axis: int):
    angle = 2.0 * np.pi * h * shift
    factor = xp.exp(-1j * angle)
    if n % 2 == 0:
        factor = xp.where(h == -(n // 2), xp.cos(angle), factor)
    return _shaped(factor, axis)


def _resampled_along(xp, values, axis: int, m: int):
    n = values.shape[axis]
    if m == n:
        return values
    f = xp.fft.fft(values, axis=axis)
    least = min(m, n)
    inner = np.arange(-((least - 1) // 2), (least - 1) // 2 + 1)
    matrix_rows, columns, weights = list(inner % m), list(inner % n), [1.0] * len(inner)
    if least % 2 == 0:
        # the outermost wave represents both signs: halved when they separate, added when they merge
        half = least // 2
        pairs = [(half, half, 0.5), (m - half, half, 0.5)] if m > n else [(half, half, 1.0), (half, n - half, 1.0)]
        for row, column, weight in pairs:
            matrix_rows.append(row)
            columns.append(column)
            weights.append(weight)
    picked = xp.take(f, np.array(columns), axis=axis) * _shaped(np.array(weights) * (m / n), axis)
    # the matrix product adds waves that merge
    both = np.zeros((m, len(columns)))
    both[matrix_rows, np.arange(len(columns))] = 1.0
    out = xp.moveaxis(xp.tensordot(both, picked, axes=(1, axis)), 0, axis)
    return xp.fft.ifft(out, axis=axis).real
