"""Functions of symmetric matrices with derivatives that are exact where eigenvalues coincide.

The derivative of an eigenvector divides by differences of eigenvalues, those of a degenerate pair included, and is not a number
there. What is needed does not have such terms: the inverse root, orbital energies, and the projector on the occupied orbitals,
whose derivative has only differences between occupied and empty ones. Every rule is linear in the tangents, so that forward and
reverse derivatives follow from it; second derivatives would go through eigenvectors again.

``...`` are leading axes of many matrices.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..errors import ConventionError
from ..typing import Array
from .basis import atomic_numbers

_BISECTIONS = 60
_SMALLEST_GAP = 1e-6
# kT in Eh per kelvin, CODATA 2018
BOLTZMANN = 3.166811563e-6


def electron_pairs(atoms, charge: int = 0) -> int:
    """Number of doubly occupied orbitals of a molecule (host).

    Raises:
        ConventionError: an odd number of electrons, or none.
    """
    electrons = int(atomic_numbers(atoms).sum()) - int(charge)
    if electrons <= 0:
        raise ConventionError(f"a molecule with the charge {charge:+d} has {electrons} electrons")
    if electrons % 2:
        raise ConventionError(
            f"the molecule has {electrons} electrons, an odd number; orbitals are filled in pairs here. Check the atoms and "
            f"the charge ({charge:+d}); radicals are not supported"
        )
    return electrons // 2


def _spectral(vectors: Array, middle: Array) -> Array:
    """``V m V^T``."""
    return vectors @ middle @ jnp.swapaxes(vectors, -1, -2)


def _inside(vectors: Array, tangent: Array) -> Array:
    """``V^T dA V``, symmetric."""
    middle = jnp.swapaxes(vectors, -1, -2) @ tangent @ vectors
    return 0.5 * (middle + jnp.swapaxes(middle, -1, -2))


def _diagonalised(matrix: Array) -> tuple[Array, Array]:
    return jnp.linalg.eigh(0.5 * (matrix + jnp.swapaxes(matrix, -1, -2)), symmetrize_input=False)


@jax.custom_jvp
def inverse_root(matrix: Float[Array, "*many n n"]) -> Array:
    """``A^(-1/2)`` of positive definite matrices."""
    values, vectors = _diagonalised(matrix)
    return (vectors * values[..., None, :] ** -0.5) @ jnp.swapaxes(vectors, -1, -2)


@inverse_root.defjvp
def _inverse_root_jvp(primals, tangents):
    values, vectors = _diagonalised(primals[0])
    root = jnp.sqrt(values)
    a, b = root[..., :, None], root[..., None, :]
    value = (vectors / root[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
    return value, _spectral(vectors, _inside(vectors, tangents[0]) / (-a * b * (a + b)))


@jax.custom_jvp
def eigenvalues(matrix: Float[Array, "*many n n"]) -> Array:
    """Eigenvalues ``(..., n)``, the lowest first.

    Of coinciding ones sums have derivatives, each by itself has none: a derivative of one of them is its share in a basis that
    the diagonalisation chose.
    """
    return _diagonalised(matrix)[0]


@eigenvalues.defjvp
def _eigenvalues_jvp(primals, tangents):
    values, vectors = _diagonalised(primals[0])
    return values, jnp.sum(vectors * (tangents[0] @ vectors), axis=-2)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def projector(matrix: Float[Array, "*many n n"], occupied: int) -> Array:
    """Projector on the ``occupied`` eigenvectors of the lowest eigenvalues, ``(..., n, n)``."""
    _, vectors = _diagonalised(matrix)
    lowest = vectors[..., :occupied]
    return lowest @ jnp.swapaxes(lowest, -1, -2)


@projector.defjvp
def _projector_jvp(occupied, primals, tangents):
    values, vectors = _diagonalised(primals[0])
    lowest, others = vectors[..., :occupied], vectors[..., occupied:]
    gaps = values[..., :occupied, None] - values[..., None, occupied:]
    tangent = 0.5 * (tangents[0] + jnp.swapaxes(tangents[0], -1, -2))
    turned = lowest @ ((jnp.swapaxes(lowest, -1, -2) @ tangent @ others) / gaps) @ jnp.swapaxes(others, -1, -2)
    return lowest @ jnp.swapaxes(lowest, -1, -2), turned + jnp.swapaxes(turned, -1, -2)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def fermi_projector(matrix: Float[Array, "*many n n"], occupied: float, width: float) -> Array:
    """Orbitals weighted by their occupations at a temperature, ``(..., n, n)``; the trace is ``occupied``.

    Args:
        matrix: symmetric.
        occupied: pairs of electrons.
        width: kT in the unit of the matrix, above 0.
    """
    values, vectors = _diagonalised(matrix)
    return (vectors * _occupations(values, occupied, width)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)


@fermi_projector.defjvp
def _fermi_projector_jvp(occupied, width, primals, tangents):
    values, vectors = _diagonalised(primals[0])
    f = _occupations(values, occupied, width)
    slope = -f * (1.0 - f) / width
    inside = _inside(vectors, tangents[0])
    # the chemical potential moves so that the number of electrons stays
    total = jnp.sum(slope, axis=-1)
    moved = jnp.sum(slope * jnp.diagonal(inside, axis1=-2, axis2=-1), axis=-1)
    moved = moved / jnp.where(total == 0.0, -1.0, total)
    apart = values[..., :, None] - values[..., None, :]
    close = jnp.abs(apart) < 1e-4 * width
    middle = 0.5 * (slope[..., :, None] + slope[..., None, :])
    ratio = jnp.where(close, middle, (f[..., :, None] - f[..., None, :]) / jnp.where(close, 1.0, apart))
    change = ratio * inside - (slope * moved[..., None])[..., None, :] * jnp.eye(values.shape[-1], dtype=values.dtype)
    return (vectors * f[..., None, :]) @ jnp.swapaxes(vectors, -1, -2), _spectral(vectors, change)


def _occupations(values: Array, occupied: float, width: float) -> Array:
    """Fermi-Dirac occupations ``(..., n)`` of levels, by bisection for the chemical potential."""
    room = 40.0 * width

    def halved(_, limits):
        low, high = limits
        middle = 0.5 * (low + high)
        enough = jnp.sum(jax.nn.sigmoid((middle[..., None] - values) / width), axis=-1) > occupied
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halved, (values[..., 0] - room, values[..., -1] + room))
    return jax.nn.sigmoid((0.5 * (low + high)[..., None] - values) / width)


class Orthogonal(NamedTuple):
    """A generalised problem ``H C = S C e`` in Löwdin's orthogonal functions.

    Attributes:
        matrix: ``S^(-1/2) H S^(-1/2)``.
        root: ``S^(-1/2)``.
    """

    matrix: Array
    root: Array

    @classmethod
    def of(cls, hamiltonian, overlap) -> "Orthogonal":
        """Both matrices ``(..., n, n)``, Hartree and 1 (traceable)."""
        root = inverse_root(jnp.asarray(overlap))
        return cls(root @ jnp.asarray(hamiltonian) @ root, root)

    def energies(self) -> Array:
        """Orbital energies ``(..., n)``, Hartree."""
        return eigenvalues(self.matrix)

    def density(self, pairs: float, *, temperature: float = 0.0) -> Array:
        """Density matrix ``(..., n, n)`` of doubly occupied orbitals: ``trace(D S)`` is the number of electrons.

        Args:
            pairs: of electrons; any positive number above 0 K.
            temperature: K, of the occupations.
        """
        if temperature > 0.0:
            occupied = fermi_projector(self.matrix, float(pairs), BOLTZMANN * temperature)
        else:
            occupied = projector(self.matrix, int(pairs))
        return 2.0 * (self.root @ occupied @ self.root)


def require_gap(energies, pairs: int, *, smallest: float = _SMALLEST_GAP) -> None:
    """Refuse molecules whose highest occupied and lowest empty orbital coincide: no density is better than another (host).

    Args:
        energies: ``(..., n)``, Hartree.
        pairs: of electrons.
        smallest: Hartree.

    Raises:
        ConventionError: too few functions, or no gap.
    """
    energies = np.asarray(energies)
    if pairs >= energies.shape[-1]:
        raise ConventionError(f"{pairs} pairs of electrons do not leave an empty orbital among {energies.shape[-1]}")
    gap = (energies[..., pairs] - energies[..., pairs - 1]).min()
    if not gap > smallest:
        raise ConventionError(
            f"the gap between occupied and empty orbitals is {gap:.1e} Eh; expected more than {smallest:.0e}. Occupy orbitals "
            "at a temperature (temperature=300.0)"
        )
