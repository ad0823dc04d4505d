"""Source of the density of a crystal: superposed atoms at the waves that terms compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._struct import set_fields, static
from ...crystal import Crystal
from ...objective.source import PhaseSource, Source
from ...objective.state import Provision
from ...typing import Array
from ..atoms import AtomSum, plan_atoms
from ..shapes import AtomKind

DENSITY = "density"


@dataclass(frozen=True, eq=False)
class _Plan:
    """Untraced part: the sum over atoms and the reflections."""

    atoms: AtomSum
    hkl: np.ndarray


class SuperposedDensity(Source):
    """Structure factors of superposed atoms as ``state.of("density")``: ``(reflections, 2)``, real and imaginary parts.

    ``jn.Objective(DensityLines(lines, SuperposedDensity(lines.hkl)), crystal=crystal, models=...)`` refines atoms
    against line areas; with coefficients of functions, the functions are added to the atoms.

    Attributes:
        hkl: ``(reflections, 3)``.
        atoms: ``"all-electron"`` or ``"valence"``.
    """

    hkl: Array
    atoms: AtomKind = static()

    def __init__(self, hkl: Any, atoms: AtomKind = "all-electron"):
        set_fields(self, hkl=np.asarray(hkl, dtype=int).reshape(-1, 3), atoms=atoms)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseSource:
        plan = _Plan(plan_atoms(crystal, self.atoms), np.asarray(self.hkl))
        return PhaseDensity(plan=plan, phase=phase, name=DENSITY, provisions=(Provision(phase, DENSITY),))


class PhaseDensity(PhaseSource):
    """Superposed atoms of one phase.

    Attributes:
        plan: sum over the atoms.
        Other attributes are those of `PhaseSource`.
    """

    plan: _Plan = static()
    phase: str = static()
    name: str = static()
    provisions: tuple[Provision, ...] = static()

    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        f = self.plan.atoms.structure_factors(crystal, self.plan.hkl)
        return {DENSITY: jnp.stack([f.real, f.imag], axis=1)}
