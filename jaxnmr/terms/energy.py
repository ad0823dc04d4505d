"""The energy of a structure as knowledge of it: whitened forces.

An energy over its error, ``E/ε``, is no sum of squares, and its root as one residual has rank one: least squares crawls. Near
the minimum ``E = E0 + gᵀH⁻¹g/2`` with forces g and force constants H, so that residuals ``r = Λ^(-1/2) Vᵀ g`` from
``ε^(1/2) H ε^(1/2) = V Λ Vᵀ`` have ``rᵀr/2 = (E − E0)/ε`` and Jacobian ``Λ^(-1/2) Vᵀ H``: of full rank, with the correlations of the
force constants. H is calculated where the term is bound and again when atoms have moved far from there; forces are always those
of the structure.

The error ε is that of the model, not a temperature: an energy per atom and coordinate. An atom that is held by a force constant h
is uncertain by ``(ε/h)^(1/2)``, however many images symmetry makes of it: errors of images are one error. Of energies of the
cell that means ε times the multiplicity of a site; of strains, times the number of atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, static
from ..crystal import Crystal, lattice
from ..crystal.crystal import block_diagonal
from ..errors import ConventionError, ParameterError
from ..objective.evidence import Knowledge, rows_of
from ..objective.source import PhaseSource
from ..objective.state import State
from ..objective.term import Term, bound_as
from ..typing import Array

if TYPE_CHECKING:
    from ..objective import HostState, Parameters

# directions with a smaller force constant than this (eV/Å² per atom) are not held: they would be uncertain by 0.2 Å and more
_SOFTEST = 0.05
# force constants are calculated again when forces differ from those expected of them by more than this (root mean square, in
# units of the error)
_BENT = 0.1
# displacement for force constants, Å
_DIFFERENCE = 1e-3
_MOVED = ("cell", "xyz")
# a chi² per coordinate beyond this is one of a model, or of data, that are wrong
_AT_ODDS = 4.0
# a structure is far from a minimum when the energy does not hold more than this part of its directions, or where it falls as
# steeply as this (eV/Å² per atom)
_MANY, _STEEP = 0.25, -2.0


class EnergyTerm(Term):
    """The energy that a model gives the structure, as knowledge of where atoms are: ``EnergyTerm()`` beside ``models=EnergyModel.load(...)``.

    Attributes:
        phase: name of the crystal; the only one by default.
        errors: how wrong energies are, eV per atom and coordinate, by element with ``""`` for all others; empty for what the
            model says of itself.
        quantity: what the source provides.
        name: for reports.
    """

    phase: str | None = static()
    errors: tuple[tuple[str, float], ...] = static()
    quantity: str = static()
    name: str = static()

    # whitened forces are calculated by the term itself: nothing in the state need be differentiated for it
    reads = ()
    sees_origin = False

    def __init__(
        self,
        *,
        error_ev: float | Mapping[str, float] | None = None,
        phase: str | None = None,
        quantity: str = "energy",
        name: str = "energy",
    ):
        """Say what is to be taken for the energy, and how wrong it is.

        Args:
            error_ev: energy per atom and coordinate, eV, or several by element with ``""`` for all others; the model's own by
                default. Atoms held by a force constant h become uncertain by the root of ``error/h``.
            phase: name of the crystal; needed when there are several.
            quantity: what the source of the energy provides, an energy of the conventional cell in eV.
            name: name of the term.

        Raises:
            ParameterError: an error that is no positive number.
        """
        errors = {} if error_ev is None else dict(error_ev) if isinstance(error_ev, Mapping) else {"": error_ev}
        wrong = any(isinstance(e, str | bool) or not 0 < e < np.inf for e in errors.values())
        if wrong or (errors and "" not in errors):
            raise ParameterError(
                f'error_ev of {name!r} is {error_ev}; expected a positive energy in eV, or several by element with "" for '
                "all others"
            )
        sizes = tuple(sorted((element, float(e)) for element, e in errors.items()))
        set_fields(self, phase=phase, errors=sizes, quantity=quantity, name=name)

    def bind(self, state: HostState, params: Parameters) -> BoundEnergy:
        phase = state.phase(self.phase)
        # nothing in the state need be differentiated for this term
        source = state.source(self.quantity, phase).differentiated((), ())
        crystal = _on_host(state.crystals[phase])
        prefix = "" if len(state.crystals) == 1 else f"{phase}/"
        directions = _free_directions(params, prefix, crystal)
        if directions.shape[1] == 0:
            raise ParameterError(
                f"{self.name!r}: symmetry fixes the cell and all coordinates of {phase}, so that its energy says nothing: drop the "
                "term"
            )
        constants = dict(self.errors)
        errors = (
            np.array([constants.get(element, constants[""]) for element in crystal.elements])
            if constants
            else source.energy_error(crystal)
        )
        whitening = _whitening(self.name, source, self.quantity, crystal, directions, errors)
        return bound_as(BoundEnergy, self, source=source, directions=directions, phase=phase, **whitening._asdict())


class BoundEnergy(EnergyTerm):
    """Whitened forces along what is free.

    Attributes:
        source: of the energy, with the plan of the phase.
        directions: ``(6 + 3 sites, k)`` what is free of the cell and coordinates.
        reference: the crystal that force constants are of.
        energy_errors: ``(sites,)`` eV.
        at_reference: ``(n,)`` residuals there.
        forces_to_residuals: ``(n, 6 + 3 sites)``, of derivatives of the energy by cell and coordinates.
        changes_to_residuals: ``(n, 6 + 3 sites)``, of changes of cell and coordinates.
        softness: ``(6 + 3 sites, n)``, displacement per residual, for reports.
        loose: what is not held: sentences.
        The others are those of `EnergyTerm`.
    """

    source: PhaseSource
    directions: Array
    reference: Crystal
    energy_errors: Array
    at_reference: Array
    forces_to_residuals: Array
    changes_to_residuals: Array
    softness: Array
    loose: tuple[str, ...] = static(note=True)

    def length(self, state: Callable[[], State]) -> int:
        return len(self.forces_to_residuals)

    def residuals(self, state: State) -> Array:
        return self._whitened(state.crystals[self._phase])

    def _whitened(self, crystal: Crystal) -> Array:
        return jnp.asarray(self.forces_to_residuals) @ self.source.slopes(self.quantity, crystal)[1]

    @property
    def _phase(self) -> str:
        return str(self.phase)

    def jacobian(self, state: State, tangents: State) -> Array:
        """From force constants where the term was bound: by derivatives of forces each column would cost as much as these."""
        moved = tangents.crystals[self._phase]
        changes = jnp.concatenate([moved.cell, moved.xyz.reshape(len(moved.xyz), -1)], axis=1)
        return jnp.asarray(self.changes_to_residuals) @ changes.T

    def outgrown(self, state: State) -> Array | bool:
        crystal = state.crystals[self._phase]
        return (self._bent(crystal) > _BENT) | self.source.outgrown(crystal)

    def _bent(self, crystal: Crystal) -> Array:
        """How far the energy is from the parabola that was made of it: difference of whitened forces, root mean square."""
        changes = jnp.concatenate(
            [jnp.ravel(jnp.asarray(getattr(crystal, f)) - getattr(self.reference, f)) for f in _MOVED]
        )
        expected = self.at_reference + jnp.asarray(self.changes_to_residuals) @ changes
        return jax.lax.stop_gradient(jnp.sqrt(jnp.mean((self._whitened(crystal) - expected) ** 2)))

    def replan(self, state: HostState) -> tuple[Term, str]:
        crystal = _on_host(state.crystals[self._phase])
        source, note = self.source.replan(crystal)
        # not a number where it is: there must be another way to see that
        if not float(self._bent(crystal)) > _BENT:
            return (self.replace(source=source), note) if note else (self, "")
        directions, errors = np.asarray(self.directions), np.asarray(self.energy_errors)
        made = _whitening(self.name, source, self.quantity, crystal, directions, errors)
        return self.replace(source=source, **made._asdict()), f"force constants of {self._phase} calculated again"

    def warnings(self, state: State) -> tuple[str, ...]:
        found, out = np.asarray(self._whitened(_on_host(state.crystals[self._phase]))), list(self.loose)
        chi2 = float(found @ found)
        if chi2 > _AT_ODDS * len(found):
            pulls = self._pulls(found)
            worst = np.argsort(-pulls)[:3]
            where = ", ".join(f"{self.reference.labels[k]} {pulls[k]:.3f} Å" for k in worst if pulls[k] > 0)
            out.append(
                f"The energy of {self._phase} by {self.source.name!r} and the data are at odds: chi² of '{self.name}' is "
                f"{chi2 / len(found):.1f} per coordinate where its errors allow 1; it would move {where}. Either the model is wrong "
                "for this structure (its cell at this temperature, an element it knows badly), or the structure is; leave the term "
                "out and compare."
            )
        return tuple(out)

    def _pulls(self, found: np.ndarray) -> np.ndarray:
        """How far the model would move every site, Å."""
        move = (np.asarray(self.softness) @ found)[6:].reshape(-1, 3) @ np.asarray(self.reference.lattice())
        return np.linalg.norm(move, axis=1)

    def evidence(self, state: State) -> Knowledge:
        crystal = _on_host(state.crystals[self._phase])
        found = np.asarray(self._whitened(crystal))
        chi2 = float(found @ found)
        vectors = np.asarray(self.reference.lattice(), dtype=float)
        spread = np.einsum("sin,ij->sjn", np.asarray(self.softness)[6:].reshape(-1, 3, found.size), vectors)
        sigma = np.sqrt((spread**2).sum(axis=(1, 2)))
        held = np.flatnonzero(sigma > 1e-9)
        rows = rows_of(
            [self.reference.labels[k] for k in held], "displacement", "Å", 0.0, self._pulls(found)[held], sigma[held]
        )
        energy = float(self.source.slopes(self.quantity, crystal)[0])
        return Knowledge(
            name=self.name,
            what="energy",
            title=f"energy of {self._phase} by {self.source.name}",
            rows=rows,
            header=("site", "at the minimum", "from there"),
            conditions=(
                ("energy of the cell", f"{energy:.4f} eV"),
                ("coordinates it holds", str(found.size)),
                ("chi² per coordinate", f"{chi2 / max(found.size, 1):.2f}"),
            ),
            remarks=(
                "The displacement of a site is what lies between it and the minimum of the energy, other things equal; its σ is how "
                "well the model knows the place. Measured coordinates are averages over thermal motion, a minimum is not.",
            ),
            facts={"phase": self._phase, "energy_ev": energy, "errors_ev": np.asarray(self.energy_errors).tolist()},
        )


class _Whitening(NamedTuple):
    """What follows from force constants; see `BoundEnergy`."""

    reference: Crystal
    energy_errors: Array
    at_reference: Array
    forces_to_residuals: Array
    changes_to_residuals: Array
    softness: Array
    loose: tuple[str, ...]


def _whitening(
    name: str, source: PhaseSource, quantity: str, crystal: Crystal, directions: np.ndarray, errors: np.ndarray
) -> _Whitening:
    """Force constants of a crystal along free directions, and what makes residuals of forces (host).

    Args:
        name: of the term.
        source, quantity: of the energy.
        crystal: where.
        directions: ``(6 + 3 sites, k)``.
        errors: ``(sites,)`` eV.

    Raises:
        ConventionError: a structure far from any minimum, or forces that are not finite.
    """
    metric, weights = _coordinates(crystal)
    # of free displacements in Å
    left, singular, _ = np.linalg.svd(metric @ directions, full_matrices=False)
    left = left[:, singular > 1e-9 * singular[0]]
    basis = np.linalg.solve(metric, left)
    constants = _force_constants(source, quantity, crystal, basis)
    forces = source.slopes(quantity, crystal)[1]
    if not np.isfinite(constants).all():
        raise ConventionError(
            f"{name!r}: {source.name!r} gives no finite force constants for {crystal.name}: look for atoms on top of each other"
        )
    # per atom: what tells soft from stiff
    scale = _root((left.T * weights) @ left, -0.5)
    stiffness, modes = np.linalg.eigh(scale @ constants @ scale)
    loose = stiffness < _SOFTEST
    sentences = _about_loose(name, source, crystal, left @ scale @ modes[:, loose], stiffness[loose], len(stiffness))
    stiffness, modes = stiffness[~loose], modes[:, ~loose]
    shapes = scale @ modes
    errors_y = np.concatenate([np.full(6, errors.mean()), np.repeat(errors, 3)])
    half = _root(modes.T @ (left.T * (errors_y * weights)) @ left @ modes, 0.5)
    values, vectors = np.linalg.eigh((half * stiffness) @ half)
    whiten = (vectors / np.sqrt(values)).T
    to_residuals = whiten @ shapes.T @ basis.T
    return _Whitening(
        reference=crystal,
        energy_errors=errors,
        at_reference=to_residuals @ np.asarray(forces),
        forces_to_residuals=to_residuals,
        changes_to_residuals=whiten @ (stiffness[:, None] * np.linalg.pinv(shapes)) @ left.T @ metric,
        softness=basis @ (shapes / stiffness) @ np.linalg.inv(whiten),
        loose=sentences,
    )


def _about_loose(
    name: str, source: PhaseSource, crystal: Crystal, shapes: np.ndarray, stiffness: np.ndarray, count: int
) -> tuple[str, ...]:
    """What is to be said of directions that the energy does not hold (host).

    Args:
        name: of the term.
        source, crystal: for messages.
        shapes: ``(6 + 3 sites, n)`` displacements in Å, of length 1 when squares are weighted by multiplicities.
        stiffness: ``(n,)`` eV/Å² per atom.
        count: of all directions.

    Raises:
        ConventionError: the structure is far from a minimum.
    """
    _, weights = _coordinates(crystal)
    sites = crystal.n_sites
    together = np.concatenate([np.zeros((6, 3)), np.tile(np.eye(3), (sites, 1))]) / np.sqrt(weights[6:].sum() / 3.0)
    # a space group may leave the origin open: no energy holds it
    real = ((together.T * weights) @ shapes) ** 2
    inner = real.sum(axis=0) < 0.9
    shapes, stiffness = shapes[:, inner], stiffness[inner]
    if not len(stiffness):
        return ()
    most = []
    for k in np.argsort(stiffness)[:3]:
        size = np.linalg.norm(shapes[6:, k].reshape(-1, 3), axis=1)
        strained = np.linalg.norm(shapes[:6, k]) > size.max(initial=0.0)
        most.append("the cell" if strained else crystal.labels[int(np.argmax(size))])
    where = ", ".join(dict.fromkeys(most))
    if len(stiffness) > max(1.0, _MANY * count) or stiffness.min() < _STEEP:
        raise ConventionError(
            f"{name!r}: {crystal.name} is far from a minimum of {source.name!r}: along {len(stiffness)} of {count} free directions "
            f"(most of {where}) the energy falls to both sides or is flat (smallest force constant {stiffness.min():.2g} eV/Å²). Begin "
            "with a relaxed structure (jaxnmr relax, jaxnmr.search.relax), or leave the term out until the data have brought the "
            "structure near"
        )
    return (
        f"'{name}' does not hold {len(stiffness)} of {count} free directions of {crystal.name}, most of them of {where}: the energy by "
        f"{source.name!r} is flat there or has a maximum (force constants from {stiffness.min():.2g} eV/Å²).",
    )


def _root(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-300) ** power) @ vectors.T


def _free_directions(params: Parameters, prefix: str, crystal: Crystal) -> np.ndarray:
    """What may change of cell and coordinates, ``(6 + 3 sites, k)``; all coordinates where nothing is free (host)."""
    spec = params.spec
    places = spec.layout.unflatten(np.arange(len(spec.labels)))
    where = np.concatenate([np.ravel(places[prefix + name]) for name in ("cell", "xyz")])
    moved = spec.transform[where]
    moved = moved[:, np.abs(moved).any(axis=0)]
    if moved.shape[1]:
        return moved
    bases = [site.xyz_basis() for site in crystal.sites()]
    return np.concatenate([np.zeros((6, sum(b.shape[1] for b in bases))), block_diagonal(bases)])


def _coordinates(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
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

    Central differences of exact forces, good to 1e-4 and better: a program for products with the Hessian takes three times as
    long to compile as that for forces, and these are needed anyway.
    """

    def forces(change: np.ndarray) -> np.ndarray:
        moved = crystal.replace(cell=crystal.cell + change[:6], xyz=crystal.xyz + change[6:].reshape(-1, 3))
        return basis.T @ np.asarray(source.slopes(quantity, moved)[1])

    step = _DIFFERENCE * basis.T
    constants = np.array([forces(change) - forces(-change) for change in step]) / (2.0 * _DIFFERENCE)
    return (constants + constants.T) / 2.0


def _on_host(crystal: Crystal) -> Crystal:
    return jax.tree.map(np.asarray, crystal)
