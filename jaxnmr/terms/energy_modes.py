"""Minimum of an energy, force constants there, and whitened residuals (host)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..crystal import Crystal, lattice, too_close
from ..crystal.crystal import block_diagonal
from ..errors import ConventionError
from ..objective.source import EnergyError, PhaseSource
from ..typing import Array

# directions with a force constant below this (eV/Å² per atom) are not held
_SOFTEST = 0.02
# displacement for force constants, Å, comparable to the uncertainty of positions. Models have kinks at straight bond
# angles, where the curvature is valid only within a few thousandths of an Å
_DIFFERENCE = 0.02
# of the search for a minimum: largest step before neighbours are listed again (Å), number of rounds, decrease of the
# energy (eV per site) regarded as converged, and distance (Å) beyond which a minimum belongs to another structure
_REACH, _ROUNDS, _SETTLED, _FAR = 0.1, 25, 1e-5, 1.0
# variables of the energy
MOVED = ("cell", "xyz")


class Modes(NamedTuple):
    """The ``n`` directions along which an energy holds a structure, with their force constants.

    Attributes:
        crystal: structure at which they were calculated.
        basis: ``(6 + 3 sites, k)`` changes of cell and coordinates corresponding to orthonormal displacements in Å.
        left: ``(6 + 3 sites, k)`` those displacements, see :func:`coordinates`.
        forces: ``(6 + 3 sites,)`` derivatives of the energy by cell and coordinates.
        stiffness: ``(n,)`` force constant per atom, eV/Å².
        shapes: ``(k, n)`` directions in the basis; squares weighted by the number of moving atoms add up to 1.
        atoms: ``(k, k)`` those weights.
        loose: sentences about directions that the energy does not hold.
    """

    crystal: Crystal
    basis: np.ndarray
    left: np.ndarray
    forces: np.ndarray
    stiffness: np.ndarray
    shapes: np.ndarray
    atoms: np.ndarray
    loose: tuple[str, ...]

    @property
    def changes(self) -> np.ndarray:
        """Components of changes of cell and coordinates along the directions, ``(n, 6 + 3 sites)``."""
        return self.shapes.T @ self.atoms @ self.left.T @ coordinates(self.crystal)[0]

    @property
    def away(self) -> np.ndarray:
        """Displacement of the crystal from the minimum along the directions, ``(n,)``."""
        return self.shapes.T @ (self.basis.T @ self.forces) / self.stiffness

    def covariance(self, error: EnergyError) -> np.ndarray:
        """Return the covariance ``(n, n)`` of positions along the directions."""
        weights = coordinates(self.crystal)[1]
        energies = np.concatenate([np.full(6, np.mean(error.energies)), np.repeat(error.energies, 3)])
        # in coordinates in which every atom counts once
        turned = _root(self.atoms, 0.5) @ self.shapes
        along = lambda of: turned.T @ ((self.left.T * (of * weights)) @ self.left) @ turned
        half = _root(along(energies), 0.5)
        return (half / self.stiffness) @ half + error.displacement**2 * along(np.ones(len(weights)))


class Whitening(NamedTuple):
    """Matrices that map changes to residuals; the fields are those of `jaxnmr.terms.energy.BoundEnergy`."""

    reference: Crystal
    at_reference: Array
    changes_to_residuals: Array
    softness: Array
    loose: tuple[str, ...]


def whitened(modes: Modes, error: EnergyError) -> Whitening:
    """Return residuals ``C^(-1/2) z`` of displacements z, with the covariance C that follows from an error."""
    whiten = _root(modes.covariance(error), -0.5)
    # directions that are not held have constant zero residuals: the number of residuals does not depend on the structure
    rest = len(modes.shapes) - len(whiten)
    padded = lambda rows: np.pad(rows, ((0, rest), (0, 0)))
    return Whitening(
        reference=modes.crystal,
        at_reference=padded((whiten @ modes.away)[:, None])[:, 0],
        changes_to_residuals=padded(whiten @ modes.changes),
        softness=padded((modes.basis @ modes.shapes @ np.linalg.inv(whiten)).T).T,
        loose=modes.loose,
    )


def all_coordinates(crystal: Crystal) -> np.ndarray:
    """Return all coordinates that symmetry leaves free, ``(6 + 3 sites, k)``, without the cell (host)."""
    bases = [site.xyz_basis() for site in crystal.sites()]
    return np.concatenate([np.zeros((6, sum(b.shape[1] for b in bases))), block_diagonal(bases)])


def minimum_of(
    name: str, source: PhaseSource, quantity: str, crystal: Crystal, directions: np.ndarray
) -> tuple[PhaseSource, Crystal]:
    """Find the nearest minimum of an energy in the current cell; also return the source with its plan for it.

    Args:
        name: name of the term, for messages.
        source, quantity: source and name of the energy.
        crystal: starting structure.
        directions: ``(6 + 3 sites, k)`` free directions of cell and coordinates; the cell is kept fixed.

    Raises:
        ConventionError: forces are not finite, or there is no minimum nearby.
    """
    # expensive to import, and rarely needed
    from scipy.optimize import minimize

    own = directions[:, np.abs(directions[:6]).max(axis=0, initial=0.0) < 1e-12]
    if own.shape[1] == 0:
        return source, crystal
    begin, last = crystal, np.inf
    for _ in range(_ROUNDS):
        source = source.replan(crystal)[0]
        left, basis = _orthonormal(crystal, own)
        scale = _root((left.T * coordinates(crystal)[1]) @ left, -0.5)

        def energy(step: np.ndarray, at=crystal, basis=basis @ scale, source=source) -> tuple[float, np.ndarray]:
            value, slopes = source.slopes(quantity, _changed(at, basis @ step))
            return float(value), basis.T @ np.asarray(slopes)

        # for sites with few images as well
        reach = _REACH / np.linalg.eigvalsh(scale)[-1]
        found = minimize(
            energy, np.zeros(own.shape[1]), jac=True, method="L-BFGS-B", bounds=[(-reach, reach)] * own.shape[1],
            options={"ftol": 1e-10, "gtol": 1e-3, "maxiter": 100},
        )  # fmt: skip
        if not (np.isfinite(found.fun) and np.isfinite(found.jac).all()):
            raise ConventionError(
                f"{name!r}: {source.name!r} gives no finite forces for {crystal.name}: look for atoms on top of each other"
            )
        crystal = _changed(crystal, basis @ scale @ found.x)
        inside = np.abs(found.x).max(initial=0.0) < 0.99 * reach
        if inside and (last - found.fun) < _SETTLED * crystal.n_sites:
            break
        last = found.fun
    moved = np.linalg.norm((crystal.xyz - begin.xyz) @ np.asarray(crystal.lattice(), dtype=float), axis=1)
    if moved.max() > _FAR:
        far, doubt = crystal.labels[int(np.argmax(moved))], too_close(begin)
        raise ConventionError(
            f"{name!r}: there is no minimum of {source.name!r} near {crystal.name}: on the way downhill {far} moves by "
            f"{moved.max():.1f} Å. Look for missing atoms and wrong elements, begin with a structure that is nearer "
            f"(jaxnmr relax shows where this one goes), or take an energy that knows such crystals{doubt and f'. {doubt}'}"
        )
    return source, crystal


def modes_of(name: str, source: PhaseSource, quantity: str, crystal: Crystal, directions: np.ndarray) -> Modes:
    """Return force constants of a crystal along free directions.

    Args:
        name: name of the term, for messages.
        source, quantity: source and name of the energy.
        crystal: structure, see :func:`minimum_of`.
        directions: ``(6 + 3 sites, k)`` free directions of cell and coordinates.

    Raises:
        ConventionError: forces are not finite.
    """
    left, basis = _orthonormal(crystal, directions)
    constants = _force_constants(source, quantity, crystal, basis)
    if not np.isfinite(constants).all():
        raise ConventionError(
            f"{name!r}: {source.name!r} gives no finite force constants for {crystal.name}: look for atoms on top of each other"
        )
    atoms = (left.T * coordinates(crystal)[1]) @ left
    scale = _root(atoms, -0.5)
    stiffness, turned = np.linalg.eigh(scale @ constants @ scale)
    loose = stiffness < _SOFTEST
    return Modes(
        crystal=crystal,
        basis=basis,
        left=left,
        forces=np.asarray(source.slopes(quantity, crystal)[1]),
        stiffness=stiffness[~loose],
        shapes=scale @ turned[:, ~loose],
        atoms=atoms,
        loose=_about_loose(name, source, crystal, left @ scale @ turned[:, loose], stiffness[loose], len(stiffness)),
    )


def _about_loose(
    name: str, source: PhaseSource, crystal: Crystal, shapes: np.ndarray, stiffness: np.ndarray, count: int
) -> tuple[str, ...]:
    """Report directions that the energy does not hold.

    Args:
        name: name of the term.
        source, crystal: for messages.
        shapes: ``(6 + 3 sites, n)`` displacements in Å, normalised with squares weighted by multiplicities.
        stiffness: ``(n,)`` eV/Å² per atom.
        count: total number of directions.
    """
    _, weights = coordinates(crystal)
    together = np.concatenate([np.zeros((6, 3)), np.tile(np.eye(3), (crystal.n_sites, 1))])
    together /= np.sqrt(weights[6:].sum() / 3.0)
    # along a floating origin of the space group no energy can hold the structure
    inner = (((together.T * weights) @ shapes) ** 2).sum(axis=0) < 0.9
    shapes, stiffness = shapes[:, inner], stiffness[inner]
    if not len(stiffness):
        return ()
    most = []
    for k in np.argsort(stiffness)[:3]:
        size = np.linalg.norm(shapes[6:, k].reshape(-1, 3), axis=1)
        strained = np.linalg.norm(shapes[:6, k]) > size.max(initial=0.0)
        most.append("the cell" if strained else crystal.labels[int(np.argmax(size))])
    return (
        f"'{name}' does not hold {len(stiffness)} of {count} free directions of {crystal.name}, most of them of "
        f"{', '.join(dict.fromkeys(most))}: the energy by {source.name!r} is flat there or has a maximum (force constants from "
        f"{stiffness.min():.2g} eV/Å²).",
    )


def _orthonormal(crystal: Crystal, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal displacements in Å that span the free directions, and the changes, both ``(6 + 3 sites, k)``."""
    metric = coordinates(crystal)[0]
    left, singular, _ = np.linalg.svd(metric @ directions, full_matrices=False)
    left = left[:, singular > 1e-9 * singular[0]]
    return left, np.linalg.solve(metric, left)


def same_span(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether directions ``(6 + 3 sites, k)`` span the same changes."""
    ranks = [np.linalg.matrix_rank(of) for of in (first, second, np.concatenate([first, second], axis=1))]
    return len(set(ranks)) == 1


def _changed(crystal: Crystal, change: np.ndarray) -> Crystal:
    """Apply a change ``(6 + 3 sites,)`` of cell and coordinates to a crystal."""
    return crystal.replace(cell=crystal.cell + change[:6], xyz=crystal.xyz + change[6:].reshape(-1, 3))


def _root(matrix: np.ndarray, power: float) -> np.ndarray:
    """Return a power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-300) ** power) @ vectors.T


def coordinates(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix from changes of cell and coordinates to displacements in Å, and numbers of moving atoms (host).

    Shapes are ``(6 + 3 sites, 6 + 3 sites)`` and ``(6 + 3 sites,)``. A change of an angle counts as the displacement of
    the end of a cell edge of mean length.
    """
    cell = np.asarray(crystal.cell, dtype=float)
    sites = crystal.n_sites
    metric = np.zeros((6 + 3 * sites, 6 + 3 * sites))
    metric[range(6), range(6)] = [1.0] * 3 + [np.radians(1.0) * cell[:3].mean()] * 3
    metric[6:, 6:] = np.kron(np.eye(sites), np.asarray(lattice(cell)).T)
    multiplicity = np.array([site.multiplicity for site in crystal.sites()], dtype=float)
    return metric, np.concatenate([np.full(6, multiplicity.sum()), np.repeat(multiplicity, 3)])


def _force_constants(source: PhaseSource, quantity: str, crystal: Crystal, basis: np.ndarray) -> np.ndarray:
    """Return the matrix ``(k, k)`` of second derivatives of the energy along directions ``(6 + 3 sites, k)`` (host).

    Central differences of exact forces give the parabola over the range of likely positions. A program for products
    with the Hessian would take three times as long to compile as that for forces, which is needed anyway.
    """

    def forces(change: np.ndarray) -> np.ndarray:
        return basis.T @ np.asarray(source.slopes(quantity, _changed(crystal, change))[1])

    step = _DIFFERENCE * basis.T
    constants = np.array([forces(change) - forces(-change) for change in step]) / (2.0 * _DIFFERENCE)
    return (constants + constants.T) / 2.0
