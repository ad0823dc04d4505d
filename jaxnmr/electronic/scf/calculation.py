"""One Kohn-Sham calculation by pyscf: how it is made, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import ConventionError, JaxnmrError
from .packages import pyscf, without_files

SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O"}
# where orbitals are nearer to each other than this (hartree), which are occupied is a matter of chance
_LEAST_GAP = 0.01


class SCFError(JaxnmrError):
    """A self-consistent calculation that did not converge, or converged to what is no ground state."""


@dataclass(frozen=True)
class Settings:
    """What a Kohn-Sham matrix depends on besides the positions.

    Attributes:
        functional: in the words of pyscf.
        basis: in the words of pyscf; functions are real and spherical, in its order.
        grid: level of pyscf's integration grids.
        tolerance: of the energy, in hartree; that of the gradient is its square root.
        cycles: the most macro-iterations.
    """

    functional: str = "pbe"
    basis: str = "def2-svp"
    grid: int = 2
    tolerance: float = 1e-9
    cycles: int = 60

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Solved:
    """A converged calculation; matrices of shape ``(nao, nao)`` in the order of pyscf, energies in hartree.

    Attributes:
        h: Kohn-Sham matrix.
        h0: the one that the density of superposed atoms (minao) gives.
        s: overlap.
        e_tot: total energy.
        eps: orbital energies, ascending, shape ``(nao,)``.
        dipole: in e bohr, about the origin of the coordinates, shape ``(3,)``.
        commutator: greatest element of H D S - S D H.
    """

    h: np.ndarray
    h0: np.ndarray
    s: np.ndarray
    e_tot: float
    eps: np.ndarray
    dipole: np.ndarray
    commutator: float


def molecule(numbers: Sequence[int], xyz: np.ndarray, settings: Settings) -> Any:
    """The molecule as pyscf's ``Mole``; positions in angstrom.

    Raises:
        ConventionError: an element that is not known, an odd number of electrons, or atoms on top of each other.
    """
    numbers = [int(z) for z in numbers]
    strange = sorted(set(numbers) - SYMBOLS.keys())
    if strange:
        raise ConventionError(f"atomic numbers {strange} are not supported; {', '.join(SYMBOLS.values())} are")
    if sum(numbers) % 2:
        raise ConventionError(
            f"{sum(numbers)} electrons, an odd number: only closed shells of neutral molecules are calculated"
        )
    xyz = np.asarray(xyz, float)
    if xyz.shape != (len(numbers), 3) or not np.isfinite(xyz).all():
        raise ConventionError(
            f"positions of shape {xyz.shape} for {len(numbers)} atoms, or not finite; expected ({len(numbers)}, 3)"
        )
    apart = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)[np.triu_indices(len(numbers), 1)]
    if len(apart) and apart.min() < 0.4:
        raise ConventionError(f"two atoms are {apart.min():.2f} Å from each other: positions have to be in angstrom")
    gto = pyscf().gto
    atoms = [(SYMBOLS[z], tuple(x)) for z, x in zip(numbers, xyz, strict=True)]
    return gto.M(atom=atoms, unit="Angstrom", basis=settings.basis, verbose=0, cart=False)


def kohn_sham(mol: Any, settings: Settings) -> Any:
    """A restricted Kohn-Sham calculation of pyscf that has not been run."""
    with without_files():
        found = pyscf().dft.RKS(mol)
    found.xc, found.verbose = settings.functional, 0
    found.grids.level, found.conv_tol, found.max_cycle = settings.grid, settings.tolerance, settings.cycles
    return found


def solve(numbers: Sequence[int], xyz: np.ndarray, settings: Settings) -> tuple[Solved, Any]:
    """Solve from the density of superposed atoms (minao), and check the solution.

    Returns:
        What is kept, and pyscf's object.

    Raises:
        SCFError: no convergence, no gap, or occupied orbitals that are not the lowest.
    """
    mol = molecule(numbers, xyz, settings)
    field = kohn_sham(mol, settings)
    core, overlap = field.get_hcore(), field.get_ovlp()
    built: list[tuple[np.ndarray, np.ndarray]] = []
    build = field.get_veff

    def veff(mol: Any, density: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        potential = build(mol, density, *args, **kwargs)
        # the first is that of the start, the last that of the solution: neither has to be built again
        built[1:] = [(np.asarray(density), np.asarray(potential))]
        return potential

    field.get_veff = veff
    field.kernel(field.init_guess_by_minao())
    del field.get_veff
    check(field)
    (_, first), (density, potential) = built[0], built[-1]
    h0, h = core + first, core + potential
    product = h @ density @ overlap
    dipole = np.asarray(field.dip_moment(mol, density, unit="AU", verbose=0))
    eps, _ = field.eig(h, overlap)
    kept = Solved(h, h0, overlap, float(field.e_tot), eps, dipole, float(abs(product - product.T).max()))
    return kept, field


def check(field: Any) -> None:
    """Raise an ``SCFError`` where a calculation did not converge, has no gap, or does not occupy the lowest orbitals."""
    if not field.converged:
        raise SCFError(
            f"the self-consistent field did not converge in {field.max_cycle} macro-iterations: is the geometry reasonable? "
            "Allow more cycles, or use the second-order solver"
        )
    filled = np.asarray(field.mo_occ) > 0
    gap = field.mo_energy[~filled].min() - field.mo_energy[filled].max()
    if gap < _LEAST_GAP:
        raise SCFError(
            f"the gap between occupied and empty orbitals is {gap:.4f} hartree: no closed-shell ground state to learn from"
        )
