"""`PatternPlan`: layout of the calculated powder pattern of one histogram; derivatives are in `linear_pattern`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._arrays import namespace
from .._struct import Struct, compiled, static
from ..crystal import Crystal
from ..crystal.cell import metric
from ..typing import Array, Quantity
from . import axial, background_parts, corrections, profiles, widths
from .background import Background
from .phases import PhasePeaks, PhasePlan, phase_peaks
from .quantities import histogram_quantities
from .records import Fixed, Instrument
from .tiles import Tiles, plan_tiles

# relative change of interplanar distances up to which a list of reflections remains valid
CELL_MARGIN = 5e-3


class PeakTable(NamedTuple):
    """All peaks of all phases with a dummy last row, and the background at the points."""

    peaks: profiles.Peaks
    background: Float[Array, " points"]


class PatternPlan(Struct):
    """A powder pattern as a function of structures and histogram parameters.

    `PowderDiffraction.plan` builds it and determines everything discrete on the host: reflections, background basis,
    and the points that each peak reaches. :meth:`pattern` is traceable and has static shapes.

    Attributes:
        x: 2theta in degrees; ``x_blocks`` the same divided into blocks of 32.
        phases: one plan per phase.
        core, tail: tiles of peaks near their centre and in their Lorentzian tail.
        background: basis functions.
        background_start: starting coefficients; ``background_measured`` an additional measured curve, or none.
        abscissa, weight: axial-divergence quadrature.
        planned_position, planned_fwhm, planned_spread, planned_cells: values for which the tiles were laid out.
        fixed: geometry of the instrument; ``instrument`` with starting values, ``background_function`` and ``cutoff`` of
            peak tails, for planning and reports.
        axial_mode: as for `PowderDiffraction`.
        tiles_at_once: number of tiles summed at a time; chosen by type of device, as is the ``room`` for additional
            tiles.
    """

    x: Float[Array, " points"]
    x_blocks: Float[Array, "blocks 32"]
    phases: tuple[PhasePlan, ...]
    core: Tiles
    tail: Tiles
    background: Float[Array, "points terms"]
    background_start: Float[Array, " terms"]
    background_measured: Float[Array, "points curves"]
    abscissa: Float[Array, "rules nodes"]
    weight: Float[Array, "rules nodes"]
    planned_position: Float[Array, "lines peaks"]
    planned_fwhm: Float[Array, " peaks"]
    planned_spread: Float[Array, " peaks"]
    planned_cells: Float[Array, "phases 6"]
    fixed: Fixed = static()
    instrument: Instrument = static(note=True)
    background_function: Background = static(note=True)
    axial_mode: Literal["converged", "gsas"] = static()
    cutoff: float = static(note=True)
    tiles_at_once: int = static()
    room: tuple[float, float] = static(note=True)

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases, in the order of the per-phase parameters."""
        return tuple(p.name for p in self.phases)

    def quantities(self) -> dict[str, Quantity]:
        """The histogram's refinable quantities by local name (host)."""
        low, high = float(self.x[0]), float(self.x[-1])
        background = self.background_function.quantities(self.background_start, low, high)
        return histogram_quantities(self.instrument, self.phases, background, self.phases[0].dispersion)

    def phase_tables(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> list[PhasePeaks]:
        """Calculate the peaks of every phase (traceable)."""
        return _phase_tables(self.phases, crystals, values, fixed=self.fixed, gsas=self.axial_mode == "gsas")

    def peak_table(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> PeakTable:
        """Concatenate the peaks of all phases and a dummy (traceable)."""
        tables = self.phase_tables(crystals, values)
        joined = lambda name: jnp.concatenate([getattr(t, name) for t in tables], axis=-1)
        return self.table_of(joined("position"), joined("area"), joined("fwhm"), joined("eta"), values)

    def table_of(
        self,
        position: Float[Array, "lines peaks"],
        area: Float[Array, " peaks"],
        fwhm: Float[Array, " peaks"],
        eta: Float[Array, " peaks"],
        values: Mapping[str, Array],
    ) -> PeakTable:
        """Combine the peaks of all phases with the values common to the whole pattern (traceable)."""
        with_dummy = lambda of_peaks, dummy: jnp.concatenate(
            [of_peaks, jnp.full_like(of_peaks[..., :1], dummy)], axis=-1
        )
        peaks = profiles.Peaks(
            position=with_dummy(position, 90.0),
            area=with_dummy(area, 0.0),
            fwhm=with_dummy(fwhm, 1.0),
            eta=with_dummy(eta, 0.5),
            ratio=jnp.ones(1) if self.fixed.lines == 1 else jnp.stack([1.0, values["ratio"]]),
            shl=jnp.asarray(values["shl"]),
        )
        return PeakTable(peaks, self.background_curve(values))

    def background_curve(self, values: Mapping[str, Array]) -> Float[jax.Array, " points"]:
        """Calculate the background at every point (traceable)."""
        curve = jnp.asarray(self.background) @ jnp.asarray(values["background"])
        own = background_parts.numbers(values)
        return curve + background_parts.total(self.x, own, self.background_measured) if own else curve

    def background_added(self, values: Mapping[str, Array]) -> dict[str, Float[np.ndarray, "points n"]]:
        """Return the parts added to polynomials and points, by kind, one column each (host)."""
        own = background_parts.numbers(values)
        found = background_parts.added(self.x, own, self.background_measured) if own else {}
        return {kind: np.asarray(columns) for kind, columns in found.items()}

    def _nodes(self, peaks: profiles.Peaks) -> list[profiles.AxialNodes]:
        gsas, imbalance = self.axial_mode == "gsas", self.fixed.axial_imbalance
        out = []
        for position in peaks.position:
            place = lambda angle, shl: axial.axial_nodes(
                angle, shl, self.abscissa, self.weight, gsas=gsas, imbalance=0.0 if gsas else imbalance
            )
            one, zero = jnp.ones_like(position), jnp.zeros_like(position)
            (delta, share), (d_angle, s_angle) = jax.jvp(place, (position, peaks.shl), (one, jnp.zeros_like(peaks.shl)))
            _, (d_shl, s_shl) = jax.jvp(place, (position, peaks.shl), (zero, jnp.ones_like(peaks.shl)))
            out.append(profiles.AxialNodes(delta, share, d_angle, s_angle, d_shl, s_shl))
        return out

    def pattern(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> Float[jax.Array, " points"]:
        """Calculate the intensity at every point, background included (traceable)."""
        table = self.peak_table(crystals, values)
        return self.sum_of_peaks(table.peaks, self._nodes(table.peaks)) + table.background

    def sum_of_peaks(self, peaks: profiles.Peaks, nodes: list[profiles.AxialNodes]) -> Float[jax.Array, " points"]:
        """Calculate the pattern without its background (traceable)."""
        blocks = profiles.profile_sum(self.x_blocks, peaks, nodes, self.core, self.tail, self.tiles_at_once)
        total = blocks.reshape(-1)[: self.x.shape[0]]
        return total if self.fixed.divergence_slit == "fixed" else total * corrections.automatic_slit(self.x)

    def curve(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> Float[np.ndarray, " points"]:
        """:meth:`pattern`, compiled (host)."""
        return np.asarray(_compiled_pattern(self, crystals, values))

    def laid_out(
        self, crystals: Mapping[str, Crystal], values: Mapping[str, Array], *, reflections: bool = False
    ) -> Self:
        """Return the same histogram with tiles (and, on request, reflection lists) planned for these values (host)."""
        plan = self
        if reflections:
            d_min = shortest_d(np.asarray(self.x), self.instrument)
            phases = tuple(p.relisted(crystals[p.name], self.instrument, d_min) for p in self.phases)
            plan = plan.replace(phases=phases)
        tables = compiled_phase_tables(plan, crystals, values)
        position = np.concatenate([np.asarray(t.position) for t in tables], axis=1)
        fwhm = np.concatenate([np.asarray(t.fwhm) for t in tables])
        eta = np.concatenate([np.asarray(t.eta) for t in tables])
        present = np.concatenate([np.asarray(p.present) for p in plan.phases])
        shl = float(values["shl"])
        spread = axial.axial_spread(position[0], shl)
        x = np.asarray(plan.x_blocks)
        if plan.axial_mode == "gsas":
            gamma = np.concatenate([np.asarray(t.lorentzian) for t in tables])
            abscissa, weight = axial.gsas_quadrature(np.append(position[0], 90.0), shl, np.append(gamma, 1.0))
            plan = plan.replace(abscissa=abscissa, weight=weight)
        else:
            plan = plan.with_nodes(axial.nodes_needed(plan._asymmetry(position, fwhm, spread)))
        core, tail = plan_tiles(
            x[:, 0], x[:, -1], position.T, fwhm, eta, spread, plan.cutoff,
            core_only=plan.axial_mode == "gsas", present=present > 0,
            capacity=(plan.core.capacity, plan.tail.capacity), room=plan.room,
        )  # fmt: skip
        cells = np.stack([np.asarray(crystals[p.name].cell, dtype=float) for p in plan.phases])
        return plan.replace(
            core=core, tail=tail,
            planned_position=position, planned_fwhm=fwhm, planned_spread=spread,
            planned_cells=cells if reflections or not np.any(plan.planned_cells) else plan.planned_cells,
        )  # fmt: skip

    def extracted(
        self,
        crystals: Mapping[str, Crystal],
        values: Mapping[str, Array],
        observed: Float[Array, " points"],
        passes: int = 5,
    ) -> Self:
        """Update the intensities of Le Bail phases from the observed pattern (host).

        Args:
            observed: measured intensities.
            passes: rounds of partitioning; each starts from the intensities of the previous one.
        """
        plan = self
        for _ in range(passes):
            ratio = np.asarray(observed_over_calculated(plan, crystals, values, observed))
            phases, start = [], 0
            for phase in plan.phases:
                own = ratio[start : start + phase.given.shape[0]]
                start += phase.given.shape[0]
                if phase.intensities == "lebail":
                    renewed = np.asarray(phase.given) * np.maximum(own, 0.0)
                    # a reflection that reached zero could never recover
                    phase = phase.replace(given=np.maximum(renewed, 1e-6 * renewed.max()))
                phases.append(phase)
            plan = plan.replace(phases=tuple(phases))
        return plan

    def negative_variance(self, values: Mapping[str, Array]) -> tuple[float, float] | None:
        """Return the part of the fitted 2theta range where the Caglioti polynomial is negative, or ``None`` (host)."""
        x = np.asarray(self.x)
        negative = x[np.asarray(widths.caglioti_variance(x, values["U"], values["V"], values["W"])) < 0]
        return (float(negative[0]), float(negative[-1])) if negative.size else None

    def with_nodes(self, least: int) -> Self:
        """Return the plan with at least this many axial-divergence nodes, for a refinement that changes ``shl`` (host)."""
        abscissa, weight = axial.quadrature(least, self.fixed.axial_imbalance)
        if self.axial_mode == "gsas" or np.shape(self.abscissa)[1] >= abscissa.shape[1]:
            return self
        return self.replace(abscissa=abscissa, weight=weight)

    def refreshed(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> tuple[Self, str]:
        """Return a plan valid at these values, and a description of what was renewed, ``""`` if nothing was (host)."""
        tables = compiled_phase_tables(self, crystals, values)
        position = np.concatenate([np.asarray(t.position) for t in tables], axis=1)
        fwhm = np.concatenate([np.asarray(t.fwhm) for t in tables])
        cells, windows = self._outgrown(
            position, fwhm, [np.asarray(crystals[p.name].cell) for p in self.phases], values
        )
        if cells:
            return self.laid_out(crystals, values, reflections=True), "reflection list rebuilt"
        return (self.laid_out(crystals, values), "peak windows renewed") if windows else (self, "")

    def outgrown(self, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> Bool[jax.Array, ""]:
        """Return whether :meth:`refreshed` would renew anything at these values (traceable)."""
        tables = self.phase_tables(crystals, values)
        position = jnp.concatenate([t.position for t in tables], axis=1)
        fwhm = jnp.concatenate([t.fwhm for t in tables])
        cells, windows = self._outgrown(position, fwhm, [crystals[p.name].cell for p in self.phases], values)
        return cells | windows

    def _outgrown(self, position: Any, fwhm: Any, cells: Sequence[Any], values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return whether the reflection lists must be rebuilt, and whether the peak windows must be (NumPy or JAX)."""
        xp, shl = namespace(position), values["shl"]
        strains = [_largest_strain(cell, self.planned_cells[k]) for k, cell in enumerate(cells)]
        planned = xp.asarray(self.planned_fwhm)
        shifted = xp.abs(position - xp.asarray(self.planned_position)).max(axis=0) > 0.5 * planned
        grown = (fwhm > 1.15 * planned) | (fwhm < 0.7 * planned)
        spread = axial.axial_spread(position[0], shl)
        longer = xp.abs(spread) > xp.abs(xp.asarray(self.planned_spread)) + 0.5 * planned
        present = xp.concatenate([xp.asarray(p.present) for p in self.phases]) > 0
        coarse = self._asymmetry(position, fwhm, spread) > self._asymmetry_served
        renewed = coarse | xp.any((shifted | grown | longer) & present)
        return xp.max(xp.stack(strains)) > CELL_MARGIN, renewed

    def _asymmetry(self, position: Any, fwhm: Any, spread: Any) -> Any:
        """Return the axial tail over the width of the most asymmetric peak in the data range (NumPy or JAX)."""
        xp = namespace(position)
        x = xp.asarray(self.x)
        inside = xp.concatenate([xp.asarray(p.present) for p in self.phases]) > 0
        inside &= (position[0] > x[0] - 1.0) & (position[0] < x[-1] + 1.0)
        return xp.max(xp.where(inside, xp.abs(spread) / fwhm, 0.0), initial=0.0)

    @property
    def _asymmetry_served(self) -> float:
        """Largest such asymmetry for which the nodes suffice."""
        if self.axial_mode == "gsas":
            return np.inf
        return axial.spread_served(np.shape(self.abscissa)[1] // (2 if self.fixed.axial_imbalance else 1))


def shortest_d(x: Float[np.ndarray, " points"], instrument: Instrument) -> float:
    """Return the smallest d whose peak can reach the data, with margins for shifts and cell changes."""
    highest = min(float(x[-1]) + 1.0, 179.0)
    shortest = min(instrument.wavelengths)
    return shortest / (2.0 * np.sin(np.deg2rad(0.5 * highest))) / (1.0 + CELL_MARGIN)


def _largest_strain(cell: Float[Array, "6"], reference: Float[Array, "6"]) -> Any:
    """Return the largest relative change of any distance between two cells (NumPy or JAX)."""
    xp = namespace(cell)
    outer = xp.linalg.inv(xp.linalg.cholesky(xp.asarray(metric(reference))))
    squared = xp.linalg.eigvalsh(outer @ metric(cell) @ outer.T)
    return xp.abs(xp.sqrt(squared) - 1.0).max()


def compiled_phase_tables(
    plan: PatternPlan, crystals: Mapping[str, Crystal], values: Mapping[str, Array]
) -> list[PhasePeaks]:
    """`PatternPlan.phase_tables`, compiled; the program does not depend on the layout of peaks."""
    return _compiled_tables(plan.phases, crystals, values, fixed=plan.fixed, gsas=plan.axial_mode == "gsas")


def _phase_tables(
    phases: tuple[PhasePlan, ...],
    crystals: Mapping[str, Crystal],
    values: Mapping[str, Array],
    *,
    fixed: Fixed,
    gsas: bool,
) -> list[PhasePeaks]:
    return [phase_peaks(p, crystals[p.name], fixed, values, k, gsas=gsas) for k, p in enumerate(phases)]


_compiled_tables = compiled(_phase_tables, kept=True, static_argnames=("fixed", "gsas"))


_compiled_pattern = compiled(PatternPlan.pattern, kept=True)


@compiled(kept=True)
def observed_over_calculated(
    plan: PatternPlan,
    crystals: Mapping[str, Crystal],
    values: Mapping[str, Array],
    observed: Float[Array, " points"],
) -> Float[jax.Array, " peaks"]:
    """Return observed over calculated intensity of every peak.

    At every point the observed intensity above background is partitioned in proportion to the calculated
    contributions of the peaks, following Rietveld; this serves R_Bragg and Le Bail extraction.

    Source: Rietveld, J. Appl. Cryst. 2, 65 (1969); Le Bail, Duroy & Fourquet, Mater. Res. Bull. 23, 447 (1988).
    """
    table = plan.peak_table(crystals, values)
    nodes = plan._nodes(table.peaks)

    calculated = plan.sum_of_peaks(table.peaks, nodes)
    seen = calculated > 1e-9 * jnp.max(calculated)
    share = jnp.where(seen, (observed - table.background) / jnp.where(seen, calculated, 1.0), 1.0)
    # weighting each point by its spacing keeps unevenly spaced patterns correct
    spacing: Any = jnp.gradient(jnp.asarray(plan.x))
    if plan.fixed.divergence_slit == "automatic":
        spacing = spacing * corrections.automatic_slit(plan.x)
    along = jnp.stack([share * spacing, spacing])
    # padding in the last block has zero weight
    along = jnp.pad(along, ((0, 0), (0, plan.x_blocks.size - along.shape[1]))).reshape(2, *plan.x_blocks.shape)
    own, total = profiles.profile_pull(
        plan.x_blocks, along, table.peaks, nodes, plan.core, plan.tail, plan.tiles_at_once
    )
    reached = total > 1e-6
    return jnp.where(reached, own / jnp.where(reached, total, 1.0), 1.0)[:-1]
