"""`PatternTerm`: a measured powder pattern against a calculated one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, static
from ..crystal import Crystal
from ..diffraction import Pattern, PatternPlan, PowderDiffraction
from ..diffraction.tiles import Tiles
from ..errors import ParameterError
from ..objective.state import State
from ..objective.statistics import weighted_factor
from ..objective.term import Term
from ..typing import Array, Quantity
from .pattern_evidence import PatternEvidence, pattern_evidence

if TYPE_CHECKING:
    from ..objective import HostState, Parameters


class PatternTerm(Term):
    """Residuals ``(calculated - observed)/sigma`` of one histogram, excluded regions left out.

    Binding it plans the pattern of the structures that the objective has; see `BoundPattern`.

    Attributes:
        experiment: how the pattern is measured and calculated.
        pattern: what was measured.
        name: prefix of the histogram's parameters.
    """

    pattern: Pattern
    experiment: PowderDiffraction = static(note=True)
    name: str = static()

    reads = ()

    def __init__(self, experiment: PowderDiffraction, pattern: Pattern, *, name: str = "xrd"):
        """Compare a measured pattern with the calculated one.

        Raises:
            ConventionError: no wavelength, or one that no diffractometer can have at these angles.
            DataError: no points outside the excluded regions.
        """
        experiment.measured(pattern)
        set_fields(self, experiment=experiment, pattern=pattern, name=name)

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        if not crystals:
            raise ParameterError(
                f"{self.name!r} is a powder pattern, and the objective has no crystal: give it crystal="
            )
        return self.experiment.quantities(crystals, self.pattern)

    def bind(self, state: HostState, params: Parameters) -> BoundPattern:
        keep = self.pattern.included()
        bound = BoundPattern(
            model=self.experiment.plan(state.crystals, like=self.pattern),
            observed=np.asarray(self.pattern.y)[keep],
            sigma=np.asarray(self.pattern.sigma)[keep],
            excluded=self.pattern.excluded,
            name=self.name,
            source=self.pattern.name,
        )
        return bound.bind(state, params)


class BoundPattern(Term):
    """A `PatternTerm` of known structures; binding it again lays out the windows of peaks for what is refined.

    Attributes:
        model: the calculated pattern.
        observed, sigma: ``(points,)``, the points that are fitted.
        excluded: regions left out, for plots.
        name: prefix of the histogram's parameters.
        source: what was measured, for reports.
    """

    model: PatternPlan
    observed: Array
    sigma: Array
    excluded: tuple[tuple[float, float], ...] = static(note=True)
    name: str = static()
    source: str = static(note=True)

    reads = ()

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        missing = set(self.model.phase_names) - set(crystals)
        if missing:
            raise ParameterError(
                f"{self.name!r} was planned for {list(self.model.phase_names)}, the objective has {list(crystals)}: "
                "give both the same crystals by the same names"
            )
        return self.model.quantities()

    def calculated(self, state: State) -> Array:
        """The calculated pattern at the fitted points."""
        return self.model.pattern(state.crystals, state.local(self.name))

    def length(self, state: Callable[[], State]) -> int:
        return len(self.observed)

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.observed) / self.sigma

    def jacobian(self, state: State, tangents: State) -> Array:
        # only the small peak table is differentiated automatically; the sum over peaks is in closed form
        table, push = jax.linearize(lambda s: self.model.peak_table(s.crystals, s.local(self.name)), state)
        return self.model.jacobian(table, jax.vmap(push)(tangents)) / self.sigma[:, None]

    @property
    def extracting(self) -> bool:
        return any(phase.intensities == "lebail" for phase in self.model.phases)

    def bind(self, state: HostState, params: Parameters) -> BoundPattern:
        if not params.n_free:
            return self
        # room for the asymmetry to grow without compiling again
        model = self.model.with_nodes(16) if f"{self.name}/shl" in params.moved_names else self.model
        return self.replace(model=model.laid_out(state.crystals, state.local(self.name), reflections=True))

    def replan(self, state: HostState) -> tuple[BoundPattern, str]:
        values = state.local(self.name)
        model, note = self.model.refreshed(state.crystals, values)
        if self.extracting:
            model = model.extracted(state.crystals, values, jnp.asarray(self.observed))
            note = "; ".join(filter(None, (note, "intensities extracted")))
        return (self.replace(model=model), note) if note else (self, "")

    def outgrown(self, state: State) -> Array | bool:
        return self.extracting or self.model.outgrown(state.crystals, state.local(self.name))

    def warnings(self, state: State) -> tuple[str, ...]:
        negative = self.model.negative_variance(state.local(self.name))
        if negative is None:
            return ()
        low, high = negative
        return (
            f"The Gaussian variance U tan² + V tan + W of {self.name!r} is negative between {low:.0f} and {high:.0f}° and "
            "was held at zero there: fix one of U, V and W, or describe the width with X, Y, size and strain.",
        )

    # -- what it shows -------------------------------------------------------------------------------------------
    def evidence(self, state: State) -> PatternEvidence:
        return pattern_evidence(self.name, self.model, self.observed, self.sigma, self.excluded, state)

    def agreement(self, chi2: float) -> dict[str, float]:
        return {PatternEvidence.factor: weighted_factor(chi2, self.observed, self.sigma)}

    # -- common sizes --------------------------------------------------------------------------------------------
    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.model.core.capacity, self.model.tail.capacity, *(p.hkl.shape[0] for p in self.model.phases))

    def in_room(self, sizes: tuple[int, ...], state: State) -> BoundPattern:
        core, tail, *rows = sizes
        phases = tuple(
            p if p.intensities == "given" else p.replace(hkl=np.zeros((n, 3)))
            for p, n in zip(self.model.phases, rows, strict=True)
        )
        model = self.model.replace(phases=phases, core=Tiles.empty(core), tail=Tiles.empty(tail))
        return self.replace(model=model.laid_out(state.crystals, state.local(self.name), reflections=True))
