"""What follows from a Hamiltonian and the overlap: orbital energies, density, charges, dipole, with derivatives (traceable).

All are of closed shells, in Hartree, bohr and elementary charges; only the overlap and the dipole integrals are calculated. The
sum of occupied orbital energies, the band energy, is not the total energy: that needs Coulomb and exchange integrals.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from ..errors import ShapeError
from ..typing import Array
from .basis import Orbitals
from .diagonal import Orthogonal, electron_pairs
from .integrals import BOHR, dipole_integrals, overlap

DEBYE = 2.541746473  # per e bohr, CODATA 2018


class ElectronicStructure(NamedTuple):
    """One molecule of ``n`` atoms with ``m`` functions.

    Attributes:
        energies: ``(m,)`` orbital energies, Hartree, the lowest first.
        gap: Hartree, lowest empty minus highest occupied.
        density: ``(m, m)`` density matrix of both spins.
        mulliken: ``(n,)`` charges: an element's ``D S`` belongs to the atom of its row.
        lowdin: ``(n,)`` charges in orthogonal functions, which do not depend on how functions overlap.
        dipole: ``(3,)`` e bohr, with respect to the origin; of a charged molecule it depends on it.
        band_energy: Hartree, ``trace(D H)``.
    """

    energies: Array
    gap: Array
    density: Array
    mulliken: Array
    lowdin: Array
    dipole: Array
    band_energy: Array


def electronic_structure(
    orbitals: Orbitals,
    hamiltonian: Float[Array, "m m"],
    xyz: Float[Array, "n 3"],
    *,
    charge: int = 0,
    temperature: float = 0.0,
    origin=(0.0, 0.0, 0.0),
) -> ElectronicStructure:
    """Diagonalise and evaluate.

    Args:
        orbitals: the functions.
        hamiltonian: Hartree, symmetric.
        xyz: Å.
        charge: of the molecule.
        temperature: K, of fractional occupations; 0 for full and empty orbitals.
        origin: Å, of the dipole.

    Raises:
        ConventionError: an odd number of electrons.
        ShapeError: a matrix of another size.
    """
    hamiltonian, xyz = jnp.asarray(hamiltonian), jnp.asarray(xyz)
    if hamiltonian.shape != (orbitals.size, orbitals.size):
        raise ShapeError(f"the matrix has the shape {hamiltonian.shape}; the molecule has {orbitals.size} functions")
    pairs = electron_pairs(orbitals.elements, charge)
    shared = overlap(orbitals, xyz)
    problem = Orthogonal.of(hamiltonian, shared)
    energies = problem.energies()
    density = problem.density(pairs, temperature=temperature)
    # S^(1/2) D S^(1/2), of which only the diagonal counts
    root = shared @ problem.root
    own = jnp.sum(root.T * (density @ root).T, axis=1)
    nuclei = jnp.asarray(orbitals.numbers, dtype=density.dtype)
    moments = dipole_integrals(orbitals, xyz, origin)
    positions = (xyz - jnp.asarray(origin, dtype=xyz.dtype)) / BOHR
    return ElectronicStructure(
        energies,
        energies[pairs] - energies[pairs - 1],
        density,
        nuclei - _by_atom(orbitals, jnp.sum(density * shared, axis=1)),
        nuclei - _by_atom(orbitals, own),
        nuclei @ positions - jnp.einsum("xij,ij->x", moments, density),
        jnp.sum(density * hamiltonian),
    )


def _by_atom(orbitals: Orbitals, values: Array) -> Array:
    return jnp.stack([jnp.sum(values[of]) for of in orbitals.slices])
