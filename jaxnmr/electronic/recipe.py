"""How Hamiltonian models are trained, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..models.networks.recipe import DescentRecipe


@dataclass(frozen=True, kw_only=True)
class HamiltonianRecipe(DescentRecipe):
    """Training options of Hamiltonian models, besides those of :class:`DescentRecipe`.

    Attributes:
        energies, occupied: weights of orbital energies and of the projector in the loss, see `losses`.
        orbitals_from: fraction of the epochs after which these are in it: before, the orbitals are those of noise.
    """

    epochs: int = 200
    batch: int = 5
    learning_rate: float = 5e-3
    clip: float = 50.0
    ema: float = 0.99
    energies: float = 0.0
    occupied: float = 0.0
    orbitals_from: float = 0.5

    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("energies", "occupied")
    FRACTIONS: ClassVar[tuple[str, ...]] = (*DescentRecipe.FRACTIONS, "orbitals_from")


class EpochOfHamiltonian(NamedTuple):
    """What a callback is told after every epoch.

    Attributes:
        epoch, epochs: done, and of all.
        loss: mean over the epoch, mEh.
        h_mae, eps_mae: meV, of the validation with averaged weights; ``None`` in epochs without one.
        cpu: seconds of this process so far, those before an interruption included.
    """

    epoch: int
    epochs: int
    loss: float
    h_mae: float | None
    eps_mae: float | None
    cpu: float
