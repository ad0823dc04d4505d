"""What an interatomic potential is to everything else: neighbours that are planned once, and an energy.

A potential is a pytree (:class:`jaxnmr.Struct`) whose numbers are leaves. It is written for all crystals; a :class:`PotentialPlan`
holds what is known of one, as far as atoms may move before neighbours are listed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from ..crystal import Crystal
from ..typing import Array, Scalar

# how far beyond the cutoff neighbours are listed, Å
SKIN = 0.3


class PotentialPlan(Protocol):
    """Neighbours of a crystal."""

    @property
    def skin(self) -> float:
        """How far beyond the cutoff neighbours are listed, Å."""

    def margin(self, crystal: Crystal) -> Array:
        """How much of the skin is left, Å (traceable)."""

    def renewed(self, crystal: Crystal) -> Self:
        """The plan with neighbours listed again (host)."""


class Potential(Protocol):
    """An interatomic potential."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def elements(self) -> frozenset[str]:
        """What it has numbers for."""

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about it: theory, training data, citation, licence."""

    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> Any:
        """Neighbours of a crystal, a `PotentialPlan` (host).

        Raises:
            ConventionError: an element it does not know, partial occupancy, atoms on top of each other, a charged cell.
        """

    def energy(self, crystal: Crystal, plan: Any) -> Scalar:
        """Energy of the conventional cell, eV (traceable in ``cell`` and ``xyz``).

        The cell may change in the directions that the space group allows.
        """

    def replace(self, **changes: Any) -> Self:
        """A copy with other fields."""
