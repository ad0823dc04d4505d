"""`EnergyEvidence`: evidence of the energy of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..objective.evidence import Knowledge


@dataclass(frozen=True, kw_only=True)
class EnergyEvidence(Knowledge):
    """Distances of sites from the minimum of an energy, in Å, one row per site with the uncertainty of the model."""

    kind: ClassVar[str] = "energy"
    header: tuple[str, str, str] = ("site", "at the minimum", "from there")
