"""Geometries about the minimum of a molecule: the minimum, its normal modes, and displacements at a temperature.

Displacements are harmonic in internal coordinates, so that bonds keep their lengths where groups turn far. Positions are in angstrom;
Hessians in hartree/bohr^2, shape ``(n, n, 3, 3)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import ConventionError, ConvergenceError
from .calculation import Settings, check, kohn_sham, molecule
from .internal import Tree, tree_of

BOHR = 0.529177210903
HARTREE_TO_CM = 219474.6313632
KELVIN = 3.1668115634556e-6  # hartree
DALTON = 1822.888486209  # electron masses
MASSES = {1: 1.00782503207, 6: 12.0, 7: 14.0030740048, 8: 15.9949146196}
# force constants of a first Hessian, hartree/bohr^2 and hartree/radian^2
_STIFF = {"bond": 0.40, "angle": 0.20, "dihedral": 0.20}
_TORSION = 0.02
# softer modes (1/cm) than this are left where they are
_SOFTEST = 40.0
_STEPS = 60
# hartree by which an energy may rise
_NOISE = 1e-6


@dataclass(frozen=True)
class Reference:
    """A molecule at the minimum of its energy.

    Attributes:
        numbers: atomic numbers.
        xyz: positions, shape ``(n, 3)``.
        energy: in hartree, at the settings that the minimum was searched with.
        hessian: shape ``(n, n, 3, 3)``.
    """

    numbers: tuple[int, ...]
    xyz: np.ndarray
    energy: float
    hessian: np.ndarray

    def modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Wavenumbers in 1/cm, ascending, and displacements in bohr per unit of mass-weighted coordinate, ``(k, n, 3)``.

        Translations and rotations are projected out. Imaginary modes have negative wavenumbers.
        """
        n = len(self.numbers)
        roots = np.repeat(np.sqrt(DALTON * np.array([MASSES[z] for z in self.numbers])), 3)
        matrix = self.hessian.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n) / roots[:, None] / roots[None]
        rigid = _rigid(self.xyz, roots)
        away = np.eye(3 * n) - rigid @ rigid.T
        values, vectors = np.linalg.eigh(away @ (matrix + matrix.T) @ away / 2)
        inside = np.einsum("ik,ik->k", away @ vectors, vectors) > 0.5
        values, vectors = values[inside], vectors[:, inside]
        shapes = (vectors / roots[:, None]).T.reshape(-1, n, 3)
        return np.sign(values) * np.sqrt(abs(values)) * HARTREE_TO_CM, shapes


def find_minimum(
    numbers: Sequence[int], xyz: np.ndarray, settings: Settings, tolerance: float = 5e-4,
    callback: Callable[[int, float, float], None] | None = None,
) -> Reference:  # fmt: skip
    """The minimum nearest to a geometry, with its Hessian.

    Quasi-Newton steps (BFGS, at most 0.3 bohr per atom) from force constants of bonds, angles and dihedrals, each
    calculation from the density before.

    Args:
        tolerance: of the largest component of the gradient, hartree/bohr.
        callback: called with the number of a step, the energy and the largest component of the gradient.

    Raises:
        ConvergenceError: not found in 60 steps.
        SCFError: a calculation that failed.
    """
    tree = tree_of(numbers, xyz)
    position = np.asarray(xyz, float)
    hessian = _first_hessian(tree, position)
    density, best, step = None, None, np.zeros(position.size)
    for count in range(_STEPS):
        field = kohn_sham(molecule(numbers, position, settings), settings)
        field.kernel(density)
        check(field)
        density = field.make_rdm1()
        gradient = field.nuc_grad_method().kernel().ravel()
        if callback is not None:
            callback(count, float(field.e_tot), float(abs(gradient).max()))
        if abs(gradient).max() < tolerance:
            second = field.Hessian()
            second.verbose = 0
            found = Reference(tuple(int(z) for z in numbers), position, float(field.e_tot), second.kernel())
            return found if found.modes()[0][0] > -_SOFTEST else replace(found, hessian=invariant(found.hessian))
        if best is not None:
            change = gradient - best[1]
            if step @ change > 0:
                along = hessian @ step
                hessian += np.outer(change, change) / (change @ step) - np.outer(along, along) / (step @ along)
        if best is None or field.e_tot < best[0] + _NOISE:
            best = field.e_tot, gradient, position
            # the six rigid motions have no curvature: the pseudo-inverse leaves them alone
            step = -np.linalg.pinv(hessian, rcond=1e-4, hermitian=True) @ gradient
            step *= min(1.0, 0.3 / np.linalg.norm(step.reshape(-1, 3), axis=1).max())
        else:
            step = step / 3
        position = best[2] + BOHR * step.reshape(-1, 3)
    raise ConvergenceError(f"no minimum in {_STEPS} steps: begin from a better geometry")


def invariant(hessian: np.ndarray) -> np.ndarray:
    """A Hessian ``(n, n, 3, 3)`` whose rows add up to zero, by its diagonal blocks: moving all atoms costs no energy.

    Grids move with the atoms, which second derivatives of pyscf leave out. On coarse grids the sums are as large as the stiffness of soft
    torsions, and such a mode may come out imaginary where there is a minimum.
    """
    found = (hessian + hessian.transpose(1, 0, 3, 2)) / 2
    atoms = np.arange(len(found))
    found[atoms, atoms] = 0.0
    own = -found.sum(axis=1)
    found[atoms, atoms] = (own + own.transpose(0, 2, 1)) / 2
    return found


def harmonic(
    reference: Reference, tree: Tree, temperature: float, rng: np.random.Generator, *, quantum: bool = False
) -> np.ndarray:
    """One geometry from the harmonic Boltzmann distribution, in a random orientation, shape ``(n, 3)``.

    Args:
        temperature: in kelvin.
        quantum: the variance of the quantum oscillator, coth(h nu / 2 k T) / 2 nu, in place of the classical k T / nu^2.

    Raises:
        ConventionError: imaginary modes.
    """
    wavenumbers, shapes = reference.modes()
    if wavenumbers[0] < -_SOFTEST:
        raise ConventionError(
            f"an imaginary mode at {wavenumbers[0]:.0f}i 1/cm: the geometry is no minimum, so it has no vibrations to sample"
        )
    used = wavenumbers > _SOFTEST
    omega = wavenumbers[used] / HARTREE_TO_CM
    thermal = KELVIN * temperature
    variance = 1 / (2 * omega * np.tanh(omega / (2 * thermal))) if quantum else thermal / omega**2
    amplitudes = rng.normal(size=len(omega)) * np.sqrt(variance)
    moved = BOHR * np.einsum("k,kni->ni", amplitudes, shapes[used])
    change = np.einsum("qni,ni->q", tree.derivatives(reference.xyz), moved)
    return tree.place(tree.measure(reference.xyz) + change) @ rotation(rng).T


def trajectory(
    reference: Reference, tree: Tree, temperature: float, rng: np.random.Generator, settings: Settings, *,
    geometries: int = 5, every: int = 8, femtoseconds: float = 1.0,
) -> list[np.ndarray]:  # fmt: skip
    """Geometries of a short trajectory at constant energy (velocity Verlet), from a harmonic one with velocities of a temperature.

    Args:
        geometries: how many are kept.
        every: steps between two.

    Raises:
        SCFError: a calculation that failed.
    """
    masses = DALTON * np.array([MASSES[z] for z in reference.numbers])[:, None]
    position = harmonic(reference, tree, temperature, rng) / BOHR
    velocity = rng.normal(size=position.shape) * np.sqrt(KELVIN * temperature / masses)
    roots = np.repeat(np.sqrt(masses[:, 0]), 3)
    rigid = _rigid(position, roots)
    weighted = velocity.ravel() * roots
    velocity = ((weighted - rigid @ (rigid.T @ weighted)) / roots).reshape(-1, 3)
    dt = femtoseconds * 41.341373336
    density, kept = None, []

    def force(density: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        loose = replace(settings, tolerance=max(settings.tolerance, 1e-7))
        field = kohn_sham(molecule(reference.numbers, BOHR * position, loose), loose)
        field.kernel(density)
        check(field)
        return -field.nuc_grad_method().kernel(), field.make_rdm1()

    pull, density = force(density)
    for step in range(1, geometries * every + 1):
        velocity = velocity + 0.5 * dt * pull / masses
        position = position + dt * velocity
        pull, density = force(density)
        velocity = velocity + 0.5 * dt * pull / masses
        if step % every == 0:
            kept.append((BOHR * (position - position.mean(0))) @ rotation(rng).T)
    return kept


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation, uniform over all orientations."""
    w, x, y, z = (lambda q: q / np.linalg.norm(q))(rng.normal(size=4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _rigid(xyz: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Orthonormal mass-weighted translations and rotations, shape ``(3 n, 6)`` (5 where atoms lie on a line)."""
    masses = roots[::3] ** 2
    centred = xyz - masses @ xyz / masses.sum()
    axes = np.eye(3)
    motions = [np.broadcast_to(axis, xyz.shape) for axis in axes] + [np.cross(axis, centred) for axis in axes]
    columns = np.array([motion.ravel() * roots for motion in motions]).T
    left, sizes, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0).clip(1e-12), full_matrices=False)
    return left[:, sizes > 1e-6]


def _first_hessian(tree: Tree, xyz: np.ndarray) -> np.ndarray:
    """Force constants of internal coordinates, as a matrix of positions in bohr, shape ``(3 n, 3 n)``."""
    slopes = tree.derivatives(xyz).reshape(len(tree.kinds), -1) * BOHR
    # lengths are in angstrom, their constants per bohr
    kinds = zip(tree.kinds, tree.torsions, strict=True)
    stiff = [_TORSION if turns else _STIFF[kind] / (BOHR**2 if kind == "bond" else 1.0) for kind, turns in kinds]
    return slopes.T @ (np.array(stiff)[:, None] * slopes)
