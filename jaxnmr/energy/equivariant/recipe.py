"""How network potentials are trained, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ...models.networks.recipe import DescentRecipe


@dataclass(frozen=True, kw_only=True)
class Recipe(DescentRecipe):
    """Training options of network potentials, besides those of :class:`DescentRecipe`.

    Attributes:
        energy, force, stress: sizes of errors that count alike: eV per atom, eV/Å per component, eV per atom (stress times the
            volume of an atom).
        bend: in units of these sizes: errors beyond it count by their size instead of its square.
    """

    energy: float = 0.005
    force: float = 0.1
    stress: float = 0.03
    bend: float = 5.0

    POSITIVE: ClassVar[tuple[str, ...]] = (*DescentRecipe.POSITIVE, "energy", "force", "stress", "bend")


class Epoch(NamedTuple):
    """What a callback is told after every epoch.

    Attributes:
        epoch, epochs: done, and of all.
        loss: mean over the epoch.
        energy, force, stress: root mean squares of the validation with averaged weights, meV per atom, meV/Å, meV per atom;
            ``None`` in epochs without one.
        cpu: seconds of this process so far, those before an interruption included.
    """

    epoch: int
    epochs: int
    loss: float
    energy: float | None
    force: float | None
    stress: float | None
    cpu: float
