"""What the energy of a structure shows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..objective.evidence import Knowledge


@dataclass(frozen=True, kw_only=True)
class EnergyEvidence(Knowledge):
    """How far sites are from the minimum of an energy, one row for each: a distance in Å with how well the model knows it."""

    kind: ClassVar[str] = "energy"
    header: tuple[str, str, str] = ("site", "at the minimum", "from there")
