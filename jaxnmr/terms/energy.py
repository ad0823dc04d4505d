"""The energy of a structure as prior knowledge: the nearest minimum, and how closely it must be met.

An energy over its error, ``E/ε``, is not a sum of squares, and its square root as a single residual has rank one: least
squares converges slowly. Therefore the nearest minimum in the current cell is found, where forces vanish, with the force
constants H, and ``E = E0 + zᵀHz/2`` at a displacement z from it. Residuals ``r = C^(-1/2) z`` with the covariance
``C = εH⁻¹ + s²`` of positions have full rank and the correlations of the force constants; ``rᵀr/2 = (E − E0)/ε`` for s
= 0, with every site counted once. Whitened forces, ``z = H⁻¹g`` at the structure itself, differ from this by anharmonic
parts: where data lead a structure away, curvature is lost along the very directions that are wrong, and with it the
restoring force. A refined cell contributes its stress to z. The minimum is found again when the cell has changed or
atoms have moved far.

Both errors are those of the model, not a temperature: ε is an energy per atom and coordinate, s a displacement by which
measured positions, averages over thermal motion, differ from any minimum. An atom held by a force constant h is
uncertain by ``(ε/h + s²)^(1/2)``, however many symmetry images it has: their errors are one and the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked, shown
from .._struct import set_fields, static
from ..crystal import Crystal, element_of, too_close
from ..errors import ConventionError, ParameterError
from ..objective.evidence import rows_of
from ..objective.source import EnergyError, PhaseSource
from ..objective.state import State
from ..objective.term import Term, bound_as
from ..typing import Array
from .energy_evidence import EnergyEvidence
from .energy_modes import MOVED, all_coordinates, minimum_of, modes_of, same_span, whitened

if TYPE_CHECKING:
    from ..objective import HostState, Parameters

# the minimum is found again when atoms are this far from it (Å), or the cell has changed by this fraction
_FAR, _STRAINED = 0.25, 0.003
# when bound again, any other cell counts: what is bound must not depend on the path
_THE_SAME = 1e-7
# two minima closer than this are the same, Å
_SAME = 0.01
# a chi² per coordinate beyond this indicates wrong data or a wrong model
_AT_ODDS = 4.0


class EnergyTerm(Term):
    """An energy as prior knowledge of atomic positions: ``EnergyTerm()`` with ``models=EnergyModel.load(...)``.

    Attributes:
        phase: name of the crystal; the only one by default.
        errors: errors of energies, eV per atom and coordinate, by element with ``""`` for all others; empty to use the
            model's own.
        displacement: distance of measured positions from a minimum for other reasons, Å; ``None`` to use the model's own.
        quantity: name of the energy that the source provides.
        name: name for reports.

    Example:
        >>> held = jn.Objective(xrd + jn.EnergyTerm(), crystal=quartz, models=jn.EnergyModel.load("chgnet-r2scan"))  # doctest: +SKIP
    """

    phase: str | None = static()
    # residuals are fixed when the term is bound: other errors need no other program
    errors: tuple[tuple[str, float], ...] = static(note=True)
    displacement: float | None = static(note=True)
    quantity: str = static()
    name: str = static()

    # the energy is evaluated when the term is bound: no derivatives by the state are needed
    reads = ()
    sees_origin = False

    @checked
    def __init__(
        self,
        *misplaced: object,
        error_ev: float | Mapping[str, float] | None = None,
        displacement: float | None = None,
        phase: str | None = None,
        quantity: str = "energy",
        name: str = "energy",
    ):
        """Define the energy to be used, and its error.

        Args:
            error_ev: error of the energy per atom and coordinate, eV, or several by element with ``"others"`` for all
                others; the model's own by default.
            displacement: distance of measured positions from a minimum for other reasons, above all thermal motion, Å;
                by default the model's own, or 0 if ``error_ev`` is given. Atoms held by a force constant h become
                uncertain by ``(error/h + displacement²)^(1/2)`` in every direction.
            phase: name of the crystal; needed when there are several.
            quantity: name of the quantity that the source provides, an energy of the conventional cell in eV.
            name: name of the term.

        Raises:
            ParameterError: an error is not positive, the displacement is negative, or an element is unknown.
        """
        if misplaced:
            raise ParameterError(
                f"EnergyTerm: its first argument is {shown(misplaced[0])}; expected none. A model is given to the objective: "
                "Objective(xrd + EnergyTerm(), crystal=crystal, models=model)"
            )
        if not name or "/" in name:
            raise ParameterError(f"the name of an energy term is {name!r}; expected a text without /, such as 'energy'")
        errors = {} if error_ev is None else dict(error_ev) if isinstance(error_ev, Mapping) else {"": error_ev}
        if "others" in errors:
            errors[""] = errors.pop("others")
        for element in filter(None, errors):
            element_of(str(element))
        wrong = any(isinstance(e, str | bool) or not 0 < e < np.inf for e in errors.values())
        if wrong or (errors and "" not in errors):
            raise ParameterError(
                f'error_ev of {name!r} is {error_ev}; expected a positive energy in eV, or several by element with "others" '
                "for all others"
            )
        if displacement is not None and (isinstance(displacement, str | bool) or not 0 <= displacement < np.inf):
            raise ParameterError(f"displacement of {name!r} is {displacement}; expected a distance in Å, such as 0.01")
        if errors and displacement is None:
            displacement = 0.0
        sizes = tuple(sorted((element, float(e)) for element, e in errors.items()))
        set_fields(self, phase=phase, errors=sizes, displacement=displacement, quantity=quantity, name=name)

    def bind(self, state: HostState, params: Parameters) -> BoundEnergy:
        phase = state.phase(self.phase)
        # no derivatives by the state are needed for this term
        source = state.source(self.quantity, phase).differentiated((), ())
        crystal = _on_host(state.crystals[phase])
        prefix = "" if len(state.crystals) == 1 else f"{phase}/"
        self._require_atoms(params, prefix, phase)
        absent = sorted(e for e, _ in self.errors if e and e not in crystal.elements)
        if absent:
            raise ParameterError(
                f"error_ev of {self.name!r} names {', '.join(absent)}, which {phase} does not contain: it is of "
                f"{', '.join(dict.fromkeys(crystal.elements))}"
            )
        directions = _free_directions(params, prefix, crystal)
        if directions.shape[1] == 0:
            raise ParameterError(
                f"{self.name!r}: symmetry fixes the cell and all coordinates of {phase}, so that its energy says nothing: drop the "
                "term"
            )
        if self.errors:
            constants = dict(self.errors)
            error = EnergyError(np.array([constants.get(element, constants[""]) for element in crystal.elements]), 0.0)
        else:
            error = source.energy_error(crystal)
        if self.displacement is not None:
            error = error._replace(displacement=self.displacement)
        source, lowest = minimum_of(self.name, source, self.quantity, crystal, directions)
        modes = modes_of(self.name, source, self.quantity, lowest, directions)
        return bound_as(
            BoundEnergy, self, source=source, directions=directions, error=error, phase=phase, idle=_idle(params, prefix),
            **whitened(modes, error)._asdict(),
        )  # fmt: skip

    def _require_atoms(self, params: Parameters, prefix: str, phase: str) -> None:
        if any(moved.startswith(f"{prefix}occupancy") for moved in params.moved_names):
            raise ParameterError(
                f"{self.name!r}: an energy needs to know which atoms are there, and an occupancy of {phase} is refined: fix it, or "
                "leave the term out"
            )


class BoundEnergy(EnergyTerm):
    """Whitened displacements from the minimum along the free directions.

    Attributes:
        source: source of the energy, with the plan for the phase.
        directions: ``(6 + 3 sites, k)`` free directions of cell and coordinates.
        reference: crystal at the minimum in its cell.
        error: error of the model.
        at_reference: ``(n,)`` residuals at the reference: those of stress, if the cell is refined.
        changes_to_residuals: ``(n, 6 + 3 sites)`` derivatives of the residuals by cell and coordinates.
        softness: ``(6 + 3 sites, n)`` displacement per unit residual, for reports.
        loose: sentences about directions that are not held.
        idle: whether parameters are refined, but none that the energy depends on.
        All other attributes are those of `EnergyTerm`.
    """

    source: PhaseSource
    directions: Array
    reference: Crystal
    error: EnergyError
    at_reference: Array
    changes_to_residuals: Array
    softness: Array
    loose: tuple[str, ...] = static(note=True)
    idle: bool = static(note=True)

    def bind(self, state: HostState, params: Parameters) -> BoundEnergy:
        prefix = "" if len(state.crystals) == 1 else f"{self._phase}/"
        crystal = _on_host(state.crystals[self._phase])
        self._require_atoms(params, prefix, self._phase)
        if not same_span(_free_directions(params, prefix, crystal), np.asarray(self.directions)):
            return super().bind(state, params)
        moved, strained = map(float, _moved(crystal, self.reference))
        if strained < _THE_SAME and moved <= _FAR:
            return self.replace(idle=_idle(params, prefix))
        try:
            return super().bind(state, params)
        except ConventionError:
            # data may have led the structure away from any minimum: the report shows how far
            return self.replace(idle=_idle(params, prefix))

    def length(self, state: Callable[[], State]) -> int:
        return len(self.changes_to_residuals)

    def residuals(self, state: State) -> Array:
        return self._away(state.crystals[self._phase])

    def _away(self, crystal: Crystal) -> Array:
        changes = [jnp.ravel(jnp.asarray(getattr(crystal, f)) - getattr(self.reference, f)) for f in MOVED]
        return jnp.asarray(self.at_reference) + jnp.asarray(self.changes_to_residuals) @ jnp.concatenate(changes)

    @property
    def _phase(self) -> str:
        return str(self.phase)

    def jacobian(self, state: State, tangents: State) -> Array:
        moved = tangents.crystals[self._phase]
        changes = jnp.concatenate([moved.cell, moved.xyz.reshape(len(moved.xyz), -1)], axis=1)
        return jnp.asarray(self.changes_to_residuals) @ changes.T

    def outgrown(self, state: State) -> Array | bool:
        moved, strained = _moved(state.crystals[self._phase], self.reference)
        return (moved > _FAR) | (strained > _STRAINED)

    def replan(self, state: HostState) -> tuple[BoundEnergy, str]:
        crystal = _on_host(state.crystals[self._phase])
        moved, strained = map(float, _moved(crystal, self.reference))
        if moved <= _FAR and strained <= _STRAINED:
            return self, ""
        directions = np.asarray(self.directions)
        try:
            source, lowest = minimum_of(self.name, self.source, self.quantity, crystal, directions)
        except ConventionError:
            # an intermediate structure need not be near a minimum
            return self, ""
        if strained <= _STRAINED and float(_moved(lowest, self.reference)[0]) < _SAME:
            return self, ""
        made = whitened(
            modes_of(self.name, source, self.quantity, lowest, directions), jax.tree.map(np.asarray, self.error)
        )
        return self.replace(source=source, **made._asdict()), f"minimum of the energy of {self._phase} found again"

    def warnings(self, state: State) -> tuple[str, ...]:
        crystal = _on_host(state.crystals[self._phase])
        found, out = np.asarray(self._away(crystal)), list(self.loose)
        if doubt := too_close(crystal):
            out.append(f"'{self.name}': {doubt}.")
        chi2 = float(found @ found)
        if self.idle:
            return (
                f"'{self.name}' does nothing: neither the cell nor a coordinate of {self._phase} is refined. Free xyz, or drop the "
                "term.",
            )
        if chi2 > _AT_ODDS * self._held:
            pulls = self._pulls(found)
            worst = np.argsort(-pulls)[:3]
            where = ", ".join(f"{self.reference.labels[k]} {pulls[k]:.3f} Å" for k in worst if pulls[k] > 0)
            out.append(
                f"The energy of {self._phase} by {self.source.name!r} and the data are at odds: chi² of '{self.name}' is "
                f"{chi2 / self._held:.1f} per coordinate where its errors allow 1; it would move {where}. Either the model is wrong "
                "for this structure (its cell at this temperature, an element it knows badly), or the structure is; leave the term "
                "out and compare."
            )
        return tuple(out)

    @property
    def _held(self) -> int:
        """Number of directions that the energy holds."""
        return max(int(np.count_nonzero(np.any(np.asarray(self.changes_to_residuals), axis=1))), 1)

    def _pulls(self, found: np.ndarray) -> np.ndarray:
        """Return the displacement of every site that the model would make, Å."""
        move = (np.asarray(self.softness) @ found)[6:].reshape(-1, 3) @ np.asarray(self.reference.lattice())
        return np.linalg.norm(move, axis=1)

    def evidence(self, state: State) -> EnergyEvidence:
        crystal = _on_host(state.crystals[self._phase])
        found = np.asarray(self._away(crystal))
        chi2 = float(found @ found)
        vectors = np.asarray(self.reference.lattice(), dtype=float)
        spread = np.einsum("sin,ij->sjn", np.asarray(self.softness)[6:].reshape(-1, 3, found.size), vectors)
        sigma = np.sqrt((spread**2).sum(axis=(1, 2)))
        held = np.flatnonzero(sigma > 1e-9)
        rows = rows_of(
            [self.reference.labels[k] for k in held], "displacement", "Å", 0.0, self._pulls(found)[held], sigma[held]
        )
        # energy of the minimum in the refined cell
        there = crystal.replace(xyz=np.asarray(self.reference.xyz))
        energy, lowest = (float(self.source.replan(at)[0].slopes(self.quantity, at)[0]) for at in (crystal, there))
        return EnergyEvidence(
            name=self.name,
            what="energy",
            title=f"energy of {self._phase} by {self.source.name}",
            rows=rows,
            conditions=(
                ("energy of the cell", f"{energy:.4f} eV"),
                ("above the minimum", f"{1e3 * (energy - lowest):.1f} meV"),
                ("coordinates it holds", str(self._held)),
                ("chi² per coordinate", f"{chi2 / self._held:.2f}"),
            ),
            remarks=(
                "The displacement of a site is what lies between it and the minimum of the energy, other things equal; its σ is how "
                "well the model knows the place. Measured coordinates are averages over thermal motion, a minimum is not.",
            ),
            facts={
                "phase": self._phase,
                "energy_ev": energy,
                "minimum_ev": lowest,
                "errors_ev": np.asarray(self.error.energies).tolist(),
            },
        )


def _idle(params: Parameters, prefix: str) -> bool:
    """Return whether parameters are refined, but neither the cell nor a coordinate of the phase."""
    own = tuple(prefix + name for name in MOVED)
    return bool(params.moved_names) and not any(moved.startswith(own) for moved in params.moved_names)


def _free_directions(params: Parameters, prefix: str, crystal: Crystal) -> np.ndarray:
    """Return free directions of cell and coordinates, ``(6 + 3 sites, k)``; all coordinates if nothing is free (host)."""
    spec = params.spec
    places = spec.layout.unflatten(np.arange(len(spec.labels)))
    where = np.concatenate([np.ravel(places[prefix + name]) for name in ("cell", "xyz")])
    moved = spec.transform[where]
    moved = moved[:, np.abs(moved).any(axis=0)]
    if moved.shape[1]:
        return moved
    return all_coordinates(crystal)


def _moved(crystal: Crystal, reference: Crystal) -> tuple[Any, Any]:
    """Return the largest displacement of an atom (Å), and the largest change of a cell edge (relative) or angle (rad)."""
    xyz, cell = (jnp.asarray(getattr(crystal, name)) - getattr(reference, name) for name in ("xyz", "cell"))
    far = jnp.sqrt(jnp.max(jnp.sum((xyz @ jnp.asarray(reference.lattice())) ** 2, axis=1)))
    strain = jnp.maximum(
        jnp.max(jnp.abs(cell[:3] / jnp.asarray(reference.cell)[:3])), jnp.radians(jnp.max(jnp.abs(cell[3:])))
    )
    return jax.lax.stop_gradient(far), jax.lax.stop_gradient(strain)


def _on_host(crystal: Crystal) -> Crystal:
    return jax.tree.map(np.asarray, crystal)
