"""The reciprocal half of an Ewald sum on a mesh: its cost grows with the number of atoms, not with its square.

Charges are spread over the points of a mesh by B-splines and convolved with the potential of a Gaussian by fast Fourier
transforms: the smooth particle-mesh sum of U. Essmann, L. Perera, M. L. Berkowitz, T. Darden, H. Lee and L. G. Pedersen,
*J. Chem. Phys.* **103**, 8577 (1995), written anew. The energy is a smooth function of cell and positions, and forces are its
derivatives: whatever the mesh, dynamics conserves its energy. What a coarse mesh does wrong is the energy itself, which then
depends a little on where atoms stand between its points.

What neighbours beyond the cutoff would add is, as a root mean square over atoms, ``2 k sum q² exp(-(alpha cutoff)²)/sqrt(N V cutoff)``
(J. Kolafa and J. W. Perram, *Mol. Simul.* **9**, 351, 1992). Errors of the mesh are mostly forces of charges on themselves, about
``_SCALE k alpha² (alpha h)**ORDER`` times the mean square of the charges with the spacing h; the factor was measured on disordered
silica (a test compares).
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._struct import Struct, static
from ...errors import ConventionError
from ...typing import Array
from .ewald import COULOMB

ORDER = 8
_SCALE = 0.02
# alpha times cutoff
_LEAST, _MOST = 1.5, 6.0
# a cell may grow by this, and its mesh with it, before it is planned again
_GROWTH = 1.03
_FEWEST = 2 * ORDER


class Mesh(Struct):
    """Mesh and width of the Gaussians; see :func:`plan_mesh`.

    Attributes:
        alpha: inverse width of the Gaussians, 1/Å.
        sizes: points along the three lattice vectors.
        order: of the B-splines, even.
    """

    alpha: Float[Array, ""]
    sizes: tuple[int, int, int] = static()
    order: int = static(default=ORDER)

    @property
    def stretch(self) -> float:
        """By how much the cell may grow until the mesh is too coarse."""
        return _GROWTH

    def energy(
        self, lattice: Float[Array, "3 3"], positions: Float[Array, "atoms 3"], charges: Float[Array, " atoms"]
    ) -> Float[Array, ""]:
        """Energy of the Gaussians without that of each with itself, eV per cell (traceable; ``order - 2`` derivatives)."""
        dtype = lattice.dtype
        inverse = jnp.linalg.inv(lattice)
        waves = jnp.fft.rfftn(self._spread(positions @ inverse, charges))
        power = jnp.real(waves) ** 2 + jnp.imag(waves) ** 2
        hkl, weight = _waves(self.sizes, self.order)
        k2 = sum(
            ((2.0 * jnp.pi) * sum(jnp.asarray(n, dtype) * inverse[j, i] for i, n in enumerate(hkl))) ** 2
            for j in range(3)
        )
        volume = jnp.abs(jnp.linalg.det(lattice))
        alpha = jnp.asarray(self.alpha).astype(dtype)
        # the wave of length 0 has no weight: the cell is neutral
        k2 = jnp.where(weight > 0.0, k2, 1.0)
        total = (
            2.0 * jnp.pi / volume * jnp.sum(jnp.asarray(weight, dtype) * jnp.exp(-k2 / (4.0 * alpha**2)) / k2 * power)
        )
        return COULOMB * (total - alpha / math.sqrt(math.pi) * jnp.sum(charges**2))

    def _spread(self, fractional: Float[Array, "atoms 3"], charges: Float[Array, " atoms"]) -> Float[Array, "x y z"]:
        """Charges on the points of the mesh."""
        sizes = np.array(self.sizes)
        scaled = fractional * jnp.asarray(sizes, fractional.dtype)
        corner = jnp.floor(scaled)
        weights = _splines(scaled - corner, self.order)
        at = (corner.astype(int)[..., None] - np.arange(self.order)) % sizes[:, None]
        x, y, z = (at[:, i] for i in range(3))
        flat = (x[:, :, None, None] * sizes[1] + y[:, None, :, None]) * sizes[2] + z[:, None, None, :]
        u, v, w = (weights[:, i] for i in range(3))
        share = (charges[:, None] * u)[:, :, None, None] * v[:, None, :, None] * w[:, None, None, :]
        mesh = jnp.zeros(int(sizes.prod()), fractional.dtype).at[flat.ravel()].add(share.ravel())
        return mesh.reshape(self.sizes)


def plan_mesh(
    lattice: Float[np.ndarray, "3 3"], charges: Float[np.ndarray, " atoms"], *, cutoff: float, force_error: float
) -> Mesh:
    """Choose alpha and a mesh for a cutoff of the sum over neighbours (host).

    Args:
        lattice: vectors as rows, Å.
        charges: ``(atoms,)`` e, of a neutral cell.
        cutoff: of the sum over neighbours, Å.
        force_error: rms, eV/Å, of both halves of the sum together.

    Raises:
        ConventionError: an error that is not positive, or that no mesh reaches with this cutoff.
    """
    if not (np.isfinite(force_error) and force_error > 0):
        raise ConventionError(f"the error of forces is {force_error}; expected a positive number of eV/Å, such as 2e-5")
    q = np.asarray(charges, dtype=float)
    volume = abs(np.linalg.det(lattice))
    squares = COULOMB * float(np.mean(q**2))
    wanted = force_error / math.sqrt(2.0)
    x = np.linspace(_LEAST, _MOST, 901)
    near = 2.0 * squares * math.sqrt(len(q) / volume / cutoff) * np.exp(-(x**2))
    if near[-1] > wanted:
        raise ConventionError(
            f"an error of forces of {force_error:g} eV/Å cannot be had with a cutoff of {cutoff:g} Å: ask for 2e-5 eV/Å"
        )
    alpha = float(x[np.argmax(near <= wanted)]) / cutoff
    spacing = (wanted / (_SCALE * squares * alpha**2)) ** (1.0 / ORDER) / alpha / _GROWTH
    lengths = np.linalg.norm(lattice, axis=1)
    first, second, third = (_smooth(max(math.ceil(length / spacing), _FEWEST)) for length in lengths)
    return Mesh(alpha=np.asarray(alpha), sizes=(first, second, third))


def _smooth(least: int) -> int:
    """The smallest even number from there whose prime factors are 2, 3 and 5: what fast Fourier transforms like."""
    size = least + least % 2
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def _splines(x: Float[Array, "*n"], order: int) -> Float[Array, "*n order"]:
    """Cardinal B-splines at ``x + k``, k = 0 ... order - 1, of x between 0 and 1."""
    rows: list[Any] = [x, 1.0 - x]
    for n in range(3, order + 1):
        below = [None, *rows, None]
        rows = [
            sum(
                factor / (n - 1) * row
                for factor, row in ((x + k, below[k + 1]), (n - x - k, below[k]))
                if row is not None
            )
            for k in range(n)
        ]
    return jnp.stack(rows, axis=-1)


def _waves(sizes: tuple[int, int, int], order: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Indices of the waves of a real transform along three axes, and how much each counts (host).

    Its weight corrects the spread of splines, counts waves whose opposites are not stored twice and leaves out the one of length 0.
    """
    knots = np.array(_knots(order))
    hkl, correction = [], []
    for axis, size in enumerate(sizes):
        n = np.fft.fftfreq(size, 1.0 / size) if axis < 2 else np.arange(size // 2 + 1)
        phase = np.exp(2j * np.pi * np.outer(n, np.arange(order - 1)) / size)
        shape = [1, 1, 1]
        shape[axis] = len(n)
        hkl.append(n.reshape(shape))
        correction.append((1.0 / np.abs(phase @ knots) ** 2).reshape(shape))
    twice = np.full(sizes[2] // 2 + 1, 2.0)
    twice[[0, -1]] = 1.0
    weight = correction[0] * correction[1] * correction[2] * twice
    weight[0, 0, 0] = 0.0
    return hkl, weight


def _knots(order: int) -> list[float]:
    """The B-spline at the integers 1 ... order - 1."""
    values = [1.0]
    for n in range(3, order + 1):
        below = [0.0, *values, 0.0]
        values = [(k * below[k] + (n - k) * below[k - 1]) / (n - 1) for k in range(1, n)]
    return values
