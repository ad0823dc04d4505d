"""Where the minimum of an energy is, how stiffly it holds a structure there, and what residuals follow (host)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..crystal import Crystal, lattice, too_close
from ..crystal.crystal import block_diagonal
from ..errors import ConventionError
from ..objective.source import EnergyError, PhaseSource
from ..typing import Array

# directions with a smaller force constant than this (eV/Å² per atom) are not held
_SOFTEST = 0.02
# displacement for force constants, Å: of the size of what places are uncertain by. Models have kinks where bonds are straight,
# whose curvature says nothing of what lies beyond a few thousandths of an Å
_DIFFERENCE = 0.02
# of the search for a minimum: how far it looks before neighbours are listed again (Å), how often, by how much the energy may still
# fall (eV per site), and beyond which distance a minimum is another structure's (Å)
_REACH, _ROUNDS, _SETTLED, _FAR = 0.1, 25, 1e-5, 1.0
# what force constants are of
MOVED = ("cell", "xyz")


class Modes(NamedTuple):
    """Directions that an energy holds one by one, ``n`` of them.

    Attributes:
        crystal: where.
        basis: ``(6 + 3 sites, k)`` changes of cell and coordinates, of displacements in Å that are orthonormal.
        left: ``(6 + 3 sites, k)`` these displacements, see :func:`coordinates`.
        forces: ``(6 + 3 sites,)`` derivatives of the energy by cell and coordinates.
        stiffness: ``(n,)`` force constant per atom, eV/Å².
        shapes: ``(k, n)`` the directions in the basis; squares weighted by the number of atoms that move add up to 1.
        atoms: ``(k, k)`` these weights.
        loose: sentences about directions that it does not hold.
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
        """``(n, 6 + 3 sites)`` what changes of cell and coordinates are along them."""
        return self.shapes.T @ self.atoms @ self.left.T @ coordinates(self.crystal)[0]

    @property
    def away(self) -> np.ndarray:
        """``(n,)`` how far the crystal is from the minimum along them."""
        return self.shapes.T @ (self.basis.T @ self.forces) / self.stiffness

    def covariance(self, error: EnergyError) -> np.ndarray:
        """``(n, n)`` of places along the directions."""
        weights = coordinates(self.crystal)[1]
        energies = np.concatenate([np.full(6, np.mean(error.energies)), np.repeat(error.energies, 3)])
        # in coordinates in which every atom counts once
        turned = _root(self.atoms, 0.5) @ self.shapes
        along = lambda of: turned.T @ ((self.left.T * (of * weights)) @ self.left) @ turned
        half = _root(along(energies), 0.5)
        return (half / self.stiffness) @ half + error.displacement**2 * along(np.ones(len(weights)))


class Whitening(NamedTuple):
    """What makes residuals of forces and of changes; fields are those of `jaxnmr.terms.energy.BoundEnergy`."""

    reference: Crystal
    at_reference: Array
    changes_to_residuals: Array
    softness: Array
    loose: tuple[str, ...]


def whitened(modes: Modes, error: EnergyError) -> Whitening:
    """Residuals ``C^(-1/2) z`` of displacements z with the covariance C that an error gives them."""
    whiten = _root(modes.covariance(error), -0.5)
    # directions that are not held have residuals that stay 0: there are as many wherever the structure goes
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
    """``(6 + 3 sites, k)`` every coordinate that symmetry leaves free; no cell (host)."""
    bases = [site.xyz_basis() for site in crystal.sites()]
    return np.concatenate([np.zeros((6, sum(b.shape[1] for b in bases))), block_diagonal(bases)])


def minimum_of(
    name: str, source: PhaseSource, quantity: str, crystal: Crystal, directions: np.ndarray
) -> tuple[PhaseSource, Crystal]:
    """The nearest minimum of an energy in the present cell, and the source with what was planned for it.

    Args:
        name: of the term, for messages.
        source, quantity: of the energy.
        crystal: where to begin.
        directions: ``(6 + 3 sites, k)`` what is free of cell and coordinates; the cell stays all the same.

    Raises:
        ConventionError: forces that are not finite, or no minimum near.
    """
    # expensive to import, and few need it
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

        # of sites with few images as well
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
    """Force constants of a crystal along free directions.

    Args:
        name: of the term, for messages.
        source, quantity: of the energy.
        crystal: where, see :func:`minimum_of`.
        directions: ``(6 + 3 sites, k)`` what is free of cell and coordinates.

    Raises:
        ConventionError: forces that are not finite.
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
    """What is to be said of directions that the energy does not hold.

    Args:
        name: of the term.
        source, crystal: for messages.
        shapes: ``(6 + 3 sites, n)`` displacements in Å, of length 1 when squares are weighted by multiplicities.
        stiffness: ``(n,)`` eV/Å² per atom.
        count: of all directions.
    """
    _, weights = coordinates(crystal)
    together = np.concatenate([np.zeros((6, 3)), np.tile(np.eye(3), (crystal.n_sites, 1))])
    together /= np.sqrt(weights[6:].sum() / 3.0)
    # a space group may leave the origin open: no energy holds it
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
    """Displacements in Å that span free directions, ``(6 + 3 sites, k)`` and orthonormal, and the changes that make them."""
    metric = coordinates(crystal)[0]
    left, singular, _ = np.linalg.svd(metric @ directions, full_matrices=False)
    left = left[:, singular > 1e-9 * singular[0]]
    return left, np.linalg.solve(metric, left)


def same_span(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether directions ``(6 + 3 sites, k)`` span the same changes."""
    ranks = [np.linalg.matrix_rank(of) for of in (first, second, np.concatenate([first, second], axis=1))]
    return len(set(ranks)) == 1


def _changed(crystal: Crystal, change: np.ndarray) -> Crystal:
    """A crystal with a change ``(6 + 3 sites,)`` of cell and coordinates."""
    return crystal.replace(cell=crystal.cell + change[:6], xyz=crystal.xyz + change[6:].reshape(-1, 3))


def _root(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-300) ** power) @ vectors.T


def coordinates(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Displacements in Å of changes of cell and coordinates, ``(6 + 3 sites, 6 + 3 sites)``, and how many atoms move (host).

    A change of an angle counts as far as it moves the end of a cell edge of mean length.
    """
    cell = np.asarray(crystal.cell, dtype=float)
    sites = crystal.n_sites
    metric = np.zeros((6 + 3 * sites, 6 + 3 * sites))
    metric[range(6), range(6)] = [1.0] * 3 + [np.radians(1.0) * cell[:3].mean()] * 3
    metric[6:, 6:] = np.kron(np.eye(sites), np.asarray(lattice(cell)).T)
    multiplicity = np.array([site.multiplicity for site in crystal.sites()], dtype=float)
    return metric, np.concatenate([np.full(6, multiplicity.sum()), np.repeat(multiplicity, 3)])


def _force_constants(source: PhaseSource, quantity: str, crystal: Crystal, basis: np.ndarray) -> np.ndarray:
    """Changes of derivatives of the energy along directions ``(6 + 3 sites, k)``, in the same directions, ``(k, k)`` (host).

    Central differences of exact forces: they are those of the parabola that is wanted, over the width that places have, and a program
    for products with the Hessian would take three times as long to compile as that for forces, which is needed anyway.
    """

    def forces(change: np.ndarray) -> np.ndarray:
        return basis.T @ np.asarray(source.slopes(quantity, _changed(crystal, change))[1])

    step = _DIFFERENCE * basis.T
    constants = np.array([forces(change) - forces(-change) for change in step]) / (2.0 * _DIFFERENCE)
    return (constants + constants.T) / 2.0
