"""`Restraint`: expected distances and angles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from .._arguments import checked
from .._struct import static
from ..crystal import (
    Crystal,
    angles,
    atom_names,
    distances,
    distinct_pairs,
    plan_bonds,
    plan_distances,
    plan_pairs,
    plan_triplets,
    select_angles,
)
from ..crystal.bonds import Cutoffs
from ..errors import ParameterError
from ..objective.evidence import Knowledge, rows_of
from ..objective.state import State
from ..objective.term import Term, calculated_of
from ..typing import Array
from .prior import positive_sigma

Count = Literal["distinct", "cell"]


class Restraint(Term):
    """Distances (Å) or angles (degrees) with expected values. Build it with a classmethod.

    Constructors that restrain many distances at once take ``count``, which defines one observation. It is one of

    * ``"distinct"``: every symmetry-distinct distance, however often it occurs. The standard uncertainty is that of the
      expected distance, and chi² is distributed accordingly: a distance in a cubic crystal is not known better because it
      occurs 48 times. Described in P1 the same crystal has more distances that might differ, and as many more parameters.
    * ``"cell"``: every distance of the conventional cell. Chi² is then the same in P1, in the space group and in every
      subgroup of the same cell, and standard uncertainties of refined parameters are too small by the square root of
      the number of occurrences: for comparing descriptions.

    Attributes:
        atoms: ``(n, 2, 5)`` pairs or ``(n, 3, 5)`` triplets of atoms.
        target, sigma: ``(n,)``; with ``count="cell"`` sigma is divided by the square root of the number of occurrences.
        kind: kind of restraint.
        phase: name of the crystal.
        name: name for reports.

    Example:
        >>> bond = jn.Restraint.bond(quartz, ("Si1", "O1"), 1.62, sigma=0.01)
        >>> known = jn.Objective(bond, crystal=quartz)
        >>> known.residuals(known.parameters()).round(1)
        Array([-1.5], dtype=float64)
    """

    atoms: Array
    target: Array
    sigma: Array
    kind: Literal["bond", "angle"] = static()
    phase: str = static()
    name: str = static()

    reads = ()
    sees_origin = False

    @classmethod
    @checked
    def bond(
        cls,
        crystal: Crystal,
        atoms: Sequence[str],
        value: float,
        sigma: float,
        *,
        phase: str | None = None,
        name: str = "",
    ) -> Restraint:
        """Restrain one distance, ``Restraint.bond(crystal, ("P1", "O2"), 1.53, 0.01)``: the shortest between two sites.

        Args:
            crystal: structure with the sites; a symmetry code selects an image, ``"O2 3_655"``.
            atoms: two labels.
            value, sigma: expected value and standard uncertainty, Å.
            phase: phase name in the objective; the crystal's name by default.
            name: name of the term.
        """
        _expect(atoms, 2)
        return cls._one("bond", plan_pairs, crystal, atoms, value, sigma, phase, name)

    @classmethod
    @checked
    def angle(
        cls,
        crystal: Crystal,
        atoms: Sequence[str],
        value: float,
        sigma: float,
        *,
        phase: str | None = None,
        name: str = "",
    ) -> Restraint:
        """Restrain one angle in degrees at the middle atom; arguments as for :meth:`bond`."""
        _expect(atoms, 3)
        return cls._one("angle", plan_triplets, crystal, atoms, value, sigma, phase, name)

    @classmethod
    def _one(cls, kind, plan, crystal, atoms, value, sigma, phase, name) -> Restraint:
        label = name or f"{kind} {'-'.join(atoms)}"
        return cls(
            atoms=plan(crystal, [tuple(atoms)]), target=np.array([float(value)]),
            sigma=positive_sigma([sigma], label), kind=kind, phase=phase or crystal.name, name=label,
        )  # fmt: skip

    @classmethod
    @checked
    def bonds(
        cls,
        crystal: Crystal,
        *,
        sigma: float = 0.02,
        target: Mapping[tuple[str, str], float] | None = None,
        count: Count = "distinct",
        cutoffs: Cutoffs = None,
        phase: str | None = None,
        name: str = "bonds",
    ) -> Restraint:
        """Restrain every bond of a crystal, each once.

        Args:
            crystal: structure in which bonds are found.
            sigma: Å.
            target: expected length by element pair, ``{("Si", "O"): 1.61}``; only these pairs are restrained.
                By default every bond is held near its current length.
            count: definition of one observation, see above.
            cutoffs: longest bonds, as for :func:`jaxnmr.crystal.plan_bonds`.

        Raises:
            ParameterError: there is no bond of the requested kind.
        """
        pairs = plan_bonds(crystal, cutoffs).distinct()
        length = np.asarray(distances(crystal, pairs), dtype=float)
        if target is not None:
            wanted = {frozenset(pair): float(value) for pair, value in target.items()}
            kinds = [frozenset((crystal.elements[a[0]], crystal.elements[b[0]])) for a, b in pairs]
            keep = np.array([kind in wanted for kind in kinds], dtype=bool)
            pairs = pairs[keep]
            length = np.array([wanted[kind] for kind, k in zip(kinds, keep, strict=True) if k])
        if len(pairs) == 0:
            raise ParameterError(
                f"{crystal.name} has no bonds to restrain{'' if target is None else f' between {sorted(target)}'}"
            )
        multiplicity = distinct_pairs(crystal, pairs)[1] if count == "cell" else 1
        return cls._many("bond", crystal, pairs, length, np.full(len(pairs), sigma), multiplicity, count, phase, name)

    @classmethod
    @checked
    def distances(
        cls,
        crystal: Crystal,
        expected: Mapping[tuple[str, ...], tuple[float, float]],
        *,
        count: Count = "distinct",
        cutoffs: Cutoffs = None,
        phase: str | None = None,
        name: str = "distances",
    ) -> Restraint:
        """Restrain bonds and distances across an atom, of given kinds, to the mean and spread of the kind.

        Args:
            crystal: structure in which bonds are found.
            expected: mean and standard deviation in Å by kind. ``("Si", "O")`` are bonds; ``("O", "Si", "O")`` are
                distances between two O bonded to one Si. ``("O", "O")`` is sufficient if O is not bonded to O.
            count: definition of one observation, see above.
            cutoffs: longest bonds, as for :func:`jaxnmr.crystal.plan_bonds`.

        Raises:
            ParameterError: a kind does not occur or is ambiguous.

        Example:
            >>> expected = {("Si", "O"): (1.60, 0.01), ("O", "O"): (2.61, 0.02), ("Si", "Si"): (3.10, 0.05)}
            >>> jn.Restraint.distances(crystal, expected)  # doctest: +SKIP
            >>> jn.Restraint.distances(crystal, jn.crystal.measure_distances(known, expected))  # doctest: +SKIP
        """
        plan = plan_distances(crystal, cutoffs)
        chosen = [(plan.pairs[k], plan.multiplicity[k]) for k in plan.select(expected)]
        return cls._of_kinds("bond", crystal, expected, chosen, count, phase, name)

    @classmethod
    @checked
    def angles(
        cls,
        crystal: Crystal,
        expected: Mapping[tuple[str, str, str], tuple[float, float]],
        *,
        count: Count = "distinct",
        cutoffs: Cutoffs = None,
        phase: str | None = None,
        name: str = "angles",
    ) -> Restraint:
        """Restrain all angles of given kinds, ``{("O", "Si", "O"): (109.47, 1.5)}`` in degrees; see :meth:`distances`."""
        return cls._of_kinds("angle", crystal, expected, select_angles(crystal, expected, cutoffs), count, phase, name)

    @classmethod
    def _of_kinds(cls, kind, crystal, expected, chosen, count, phase, name) -> Restraint:
        """Make restraints of ``chosen``, atoms and multiplicity for each kind of ``expected``."""
        if not expected:
            raise ParameterError(f"{name} expects nothing: give at least one kind, {{('Si', 'O'): (1.61, 0.01)}}")
        for elements, value in expected.items():
            if np.ndim(value) != 1 or len(value) < 2 or not np.isfinite(value[0]):
                raise ParameterError(f"{name}: {'-'.join(elements)} is expected to be {value!r}; give mean and sigma")
        numbers = [len(atoms) for atoms, _ in chosen]
        target, sigma = (np.repeat([float(value[k]) for value in expected.values()], numbers) for k in (0, 1))
        atoms, multiplicity = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
        return cls._many(kind, crystal, atoms, target, sigma, multiplicity, count, phase, name)

    @classmethod
    def _many(cls, kind, crystal, atoms, target, sigma, multiplicity, count, phase, name) -> Restraint:
        if count not in ("distinct", "cell"):
            raise ParameterError(f"count of {name} is {count!r}; expected 'distinct' or 'cell'")
        sigma = positive_sigma(sigma, name)
        return cls(
            atoms=atoms, target=target, sigma=sigma / np.sqrt(multiplicity) if count == "cell" else sigma,
            kind=kind, phase=phase or crystal.name, name=name,
        )  # fmt: skip

    def calculated(self, state: State) -> Array:
        """Return current distances or angles."""
        if self.phase not in state.crystals:
            raise ParameterError(
                f"restraint {self.name!r} is about {self.phase!r}; the phases are {sorted(state.crystals)}"
            )
        measure = distances if self.kind == "bond" else angles
        return measure(state.crystals[self.phase], self.atoms)

    def length(self, state: Callable[[], State]) -> int:
        return len(self.target)

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.target) / self.sigma

    def evidence(self, state: State) -> Knowledge:
        quantity, unit, what = {"bond": ("d", "Å", "distances"), "angle": ("angle", "°", "angles")}[self.kind]
        labels = [atom_names(state.crystals[self.phase], atoms) for atoms in np.asarray(self.atoms)]
        return Knowledge(
            name=self.name,
            what="restraints",
            title=f"restrained {what}",
            rows=rows_of(labels, quantity, unit, self.target, calculated_of(self, state), self.sigma),
            header=("atoms", "expected", "calculated"),
            facts={"phase": self.phase},
        )


def _expect(atoms: Sequence[str], count: int) -> None:
    if isinstance(atoms, str) or len(atoms) != count:
        raise ParameterError(f"expected {count} site labels, got {atoms!r}")
