"""`PatternTerm`: a measured powder pattern against a calculated one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import set_fields, static
from ..crystal import Crystal
from ..diffraction import Instrument, Pattern, PatternPlan, PowderDiffraction
from ..diffraction.linear_pattern import LinearPattern, linear_pattern
from ..diffraction.tiles import Tiles
from ..errors import ConventionError, DataError, ParameterError, require_kind
from ..objective.losses import Loss, slopes
from ..objective.state import State
from ..objective.statistics import weighted_factor
from ..objective.term import Term
from ..typing import Array, Quantity
from .pattern_evidence import PatternEvidence, contents_of, pattern_evidence, texture_doubts
from .quantification import Quantification, coarse_grains

if TYPE_CHECKING:
    from ..objective import HostState, Parameters


# points of two patterns are equal within this fraction of their spacing
_SAME_POINT = 1e-3
# up to this number of background terms is accepted even for a short pattern
_FEW_TERMS = 20


def _points(x: np.ndarray) -> str:
    return f"{len(x)} points from {x[0]:g} to {x[-1]:g} degrees"


def _beam(instrument: Instrument) -> str:
    wavelengths = " and ".join(f"{w:.6g}" for w in instrument.wavelengths)
    return f"{instrument.radiation} of {wavelengths} Å ({instrument.geometry}, radius {instrument.radius_mm:g} mm)"


def _written(total: Array, first: Array, rows: Array) -> Array:
    """Overwrite rows of an array from ``first`` on; rows beyond its end are dropped."""
    size, new = total.shape[0], rows.shape[0]
    if new > size:
        return rows[:size]
    start = jnp.minimum(first, size - new)
    shift = first - start
    before = jnp.arange(new) < shift
    kept = jax.lax.dynamic_slice_in_dim(total, start, new)
    rows = jnp.where(before.reshape(-1, *(1,) * (rows.ndim - 1)), kept, jnp.roll(rows, shift, axis=0))
    return jax.lax.dynamic_update_slice_in_dim(total, rows, start, 0)


class PatternTerm(Term):
    """Residuals ``(calculated - observed)/sigma`` of one histogram, without excluded regions.

    Binding plans the pattern of the objective's structures; see `BoundPattern`.

    Attributes:
        experiment: measurement and calculation of the pattern.
        pattern: measured pattern.
        name: prefix of the histogram's parameters.
        quantification: additional information on the mixture.

    Example:
        >>> xrd = jn.PatternTerm(jn.PowderDiffraction(tube), pattern, name="xrd")
        >>> "xrd/scale" in jn.Objective(xrd, crystal=quartz).parameters().values
        True
    """

    pattern: Pattern
    experiment: PowderDiffraction = static(note=True)
    name: str = static()
    quantification: Quantification = static(note=True)

    reads = ()
    sees_origin = False

    @checked
    def __init__(
        self,
        experiment: PowderDiffraction,
        pattern: Pattern,
        *,
        name: str = "xrd",
        quantification: Quantification | None = None,
    ):
        """Compare a measured pattern with the calculated one.

        Background options left to the data (``"auto"`` terms, points, heights) are determined from the pattern here.

        Raises:
            ConventionError: there is no wavelength, or one impossible at these angles.
            DataError: there are no points outside the excluded regions.
            ConventionError: the background has more terms than half of the points.
            ConventionError: points of the background or broad peaks lie outside the data.
            DataError: a measured background does not cover the fitted range.
            ParameterError: an argument is of the wrong kind.
        """
        _, x, _ = experiment.measured(pattern)
        # options left to the data are determined once
        background = experiment.background_of(pattern)
        experiment = dataclasses.replace(experiment, background=background)
        terms = int(background.terms)
        if terms > max(len(x) // 2, _FEW_TERMS):
            raise ConventionError(
                f"{name!r}: a background of {terms} terms for {len(x)} points; expected far fewer terms than points, such as 12"
            )
        set_fields(
            self, experiment=experiment, pattern=pattern, name=name, quantification=quantification or Quantification()
        )

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        if not crystals:
            raise ParameterError(
                f"{self.name!r} is a powder pattern, and the objective has no crystal: give it crystal="
            )
        phases = tuple(self.experiment.among(crystals))
        self.quantification.require(phases, self.experiment.lebail, self.experiment.measured(self.pattern)[0])
        return self.experiment.quantities(crystals, self.pattern)

    def bind(self, state: HostState, params: Parameters) -> BoundPattern:
        keep = self.pattern.included()
        x, sigma = np.asarray(self.pattern.x)[keep], np.asarray(self.pattern.sigma)[keep]
        background = self.experiment.background
        bound = BoundPattern(
            model=self.experiment.plan(state.crystals, like=self.pattern),
            observed=np.asarray(self.pattern.y)[keep],
            sigma=sigma,
            variance=np.zeros(0) if background.measured is None else background.variance(x),
            excluded=self.pattern.excluded,
            name=self.name,
            source=self.pattern.name,
            notes=self.pattern.notes,
            quantification=self.quantification,
        )
        return bound.bind(state, params)


class BoundPattern(Term):
    """A `PatternTerm` of known structures; binding it again lays out the peak windows for the refined parameters.

    Attributes:
        model: the calculated pattern.
        observed, sigma: ``(points,)``, the fitted points.
        variance: ``(points,)`` variance of the measured background, unscaled; ``(0,)`` without one.
        excluded: excluded regions, for plots.
        name: prefix of the histogram's parameters.
        source: name of the data, for reports.
        notes: notes of the reader, for the warnings of a result.
        quantification: as in `PatternTerm`.
    """

    model: PatternPlan
    observed: Array
    sigma: Array
    variance: Array
    excluded: tuple[tuple[float, float], ...] = static(note=True)
    name: str = static()
    source: str = static(note=True)
    notes: tuple[str, ...] = static(note=True, default=())
    quantification: Quantification = static(note=True, default_factory=Quantification)

    reads = ()
    sees_origin = False

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        missing = set(self.model.phase_names) - set(crystals)
        if missing:
            raise ParameterError(
                f"{self.name!r} was planned for {list(self.model.phase_names)}, the objective has {list(crystals)}: "
                "give both the same crystals by the same names"
            )
        return self.model.quantities()

    def calculated(self, state: State) -> Array:
        """Return the calculated pattern at the fitted points."""
        return self.model.pattern(state.crystals, state.local(self.name))

    def length(self, state: Callable[[], State]) -> int:
        return len(self.observed)

    def uncertainty(self, values: Mapping[str, Array]) -> Array:
        """Return uncertainties ``(points,)`` including the measured background at its current scale (traceable).

        With fixed weights the noise of the background would pull its scale towards zero. Minimising these residuals is
        equivalent to freeing all true background intensities, each as uncertain as measured: Deming, Statistical
        Adjustment of Data (1943).
        """
        if not self.variance.shape[0]:
            return self.sigma
        return jnp.sqrt(jnp.asarray(self.sigma) ** 2 + values["background_scale"] ** 2 * self.variance)

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.observed) / self.uncertainty(state.local(self.name))

    def jacobian(self, state: State, tangents: State) -> Array:
        return self.weighted_rows(state, tangents, None, jnp.ones(()))[1]

    def weighted_rows(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array]:
        pattern, points = self._linear(state, tangents), len(self.observed)

        def write(total: Any, first: Array, r: Array, rows: Array) -> Any:
            return _written(total[0], first, r), _written(total[1], first, rows)

        start = jnp.zeros(points), jnp.zeros((points, pattern.mix.shape[1]))
        return pattern.fold(self._whitening(write, state, tangents, loss, weight), start)

    def normal(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array, Array]:
        pattern, points = self._linear(state, tangents), len(self.observed)

        def add(total: Any, first: Array, r: Array, rows: Array) -> Any:
            values, products, along = total
            return _written(values, first, r), products + rows.T @ rows, along + r @ rows

        n = pattern.mix.shape[1]
        start = jnp.zeros(points), jnp.zeros((n, n)), jnp.zeros(n)
        return pattern.fold(self._whitening(add, state, tangents, loss, weight), start)

    def _linear(self, state: State, tangents: State) -> LinearPattern:
        of = state.local(self.name), tangents.crystals, tangents.local(self.name)
        return linear_pattern(self.model, state.crystals, *of)

    def _whitening(
        self, visit: Callable[..., Any], state: State, tangents: State, loss: Loss | None, weight: Array
    ) -> Callable[..., Any]:
        """Turn ``visit(total, first, residuals, rows)`` into a visitor of calculated points, see `LinearPattern.fold`."""
        values, uncertainty = state.local(self.name), self.uncertainty(state.local(self.name))

        def of_calculated(total: Any, first: Array, calculated: Array, jacobian: Array) -> Any:
            here = first + jnp.arange(calculated.shape[0])
            at = lambda of, fill: jnp.asarray(of).at[here].get(mode="fill", fill_value=fill)
            observed, sigma = at(self.observed, 0.0), at(uncertainty, jnp.inf)
            plain = (calculated - observed) / sigma
            if self.variance.shape[0]:
                # the scale of the measured background also enters the uncertainty
                by_scale = values["background_scale"] * at(self.variance, 0.0) * plain / sigma
                jacobian = jacobian - by_scale[:, None] * tangents.local(self.name)["background_scale"]
            r, slope = slopes(loss, plain, weight)
            return visit(total, first, r, (slope / sigma)[:, None] * jacobian)

        return of_calculated

    @property
    def extracting(self) -> bool:
        return any(phase.intensities == "lebail" for phase in self.model.phases)

    def bind(self, state: HostState, params: Parameters) -> BoundPattern:
        if not params.n_free:
            return self
        # margin for the asymmetry to grow without compiling again
        model = self.model.with_nodes(16) if f"{self.name}/shl" in params.moved_names else self.model
        return self.replace(model=model.laid_out(state.crystals, state.local(self.name), reflections=True))

    def replan(self, state: HostState) -> tuple[BoundPattern, str]:
        values = state.local(self.name)
        model, note = self.model.refreshed(state.crystals, values)
        if self.extracting:
            model = model.extracted(state.crystals, values, self.observed)
            note = "; ".join(filter(None, (note, "intensities extracted")))
        return (self.replace(model=model), note) if note else (self, "")

    def outgrown(self, state: State) -> Array | bool:
        return self.extracting or self.model.outgrown(state.crystals, state.local(self.name))

    def warnings(self, state: State) -> tuple[str, ...]:
        read = tuple(f"{self.source}: {note}" for note in self.notes)
        values = state.local(self.name)
        if self.quantification.particles:
            read += coarse_grains(contents_of(self.model, state, values), self.quantification)
        negative, doubts = self.model.negative_variance(values), texture_doubts(self.model, state.crystals, values)
        if negative is None:
            return (*read, *doubts)
        low, high = negative
        return (
            *read,
            *doubts,
            f"The Gaussian variance U tan² + V tan + W of {self.name!r} is negative between {low:.0f} and {high:.0f}° and "
            "was held at zero there: fix one of U, V and W, or describe the width with X, Y, size and strain.",
        )

    # -- evidence ------------------------------------------------------------------------------------------------
    def evidence(self, state: State) -> PatternEvidence:
        of = self.observed, np.asarray(self.uncertainty(state.local(self.name))), self.excluded
        return pattern_evidence(self.name, self.model, *of, state, self.quantification)

    def agreement(self, chi2: float) -> dict[str, float]:
        # uncertainty of a measured background at its starting scale
        values = {"background_scale": np.array(self.model.background_function.measured_scale)}
        return {PatternEvidence.factor: weighted_factor(chi2, self.observed, self.uncertainty(values))}

    # -- other data ----------------------------------------------------------------------------------------------
    def measuring(self, other: Term) -> BoundPattern:
        require_kind(other, PatternTerm, f"what takes the place of the data of {self.name!r}")
        other = cast(PatternTerm, other)
        instrument, x, observed = other.experiment.measured(other.pattern)
        here, mine, ours = other.pattern, np.asarray(self.model.x), self.model.instrument
        if len(x) != len(mine) or np.abs(x - mine).max() > _SAME_POINT * float(np.median(np.diff(mine))):
            raise DataError(
                f"{here.name} has {_points(x)}, {self.source} has {_points(mine)}: both must be measured at the same points of 2theta"
            )
        if instrument.fixed != ours.fixed or not np.allclose(instrument.wavelengths, ours.wavelengths, rtol=1e-7):
            raise DataError(
                f"{here.name} was measured with {_beam(instrument)}, {self.source} with {_beam(ours)}: both must be measured in "
                "the same way"
            )
        sigma = np.asarray(here.sigma)[here.included()]
        return self.replace(observed=observed, sigma=sigma, source=here.name, notes=here.notes)

    # -- common sizes --------------------------------------------------------------------------------------------
    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.model.core.capacity, self.model.tail.capacity, *(p.hkl.shape[0] for p in self.model.phases))

    def in_room(self, sizes: tuple[int, ...], state: State | None) -> BoundPattern:
        core, tail, *rows = sizes
        phases = tuple(
            p if p.intensities == "given" else p.replace(hkl=np.zeros((n, 3)))
            for p, n in zip(self.model.phases, rows, strict=True)
        )
        model = self.model.replace(phases=phases, core=Tiles.empty(core), tail=Tiles.empty(tail))
        if state is None:
            return self.replace(model=model)
        return self.replace(model=model.laid_out(state.crystals, state.local(self.name), reflections=True))
