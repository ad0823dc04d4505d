"""`MeasuredSpectrum`: common parts of terms with a measured NMR spectrum, independent of the origin of the sites.

`PlannedSpectrum` adds the plan of the calculated spectrum, residuals and derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled, static
from ..crystal import Crystal
from ..errors import DataError, require_kind
from ..nmr import Sites, Spectrum, SpectrumMAS, SpectrumPlan, SpectrumStatic
from ..nmr.powder.neglected import beyond_second_order
from ..nmr.powder.simulation import MAGIC_ANGLE_DEG, SCALES
from ..objective.evidence import Axis, Condition
from ..objective.state import State
from ..objective.statistics import weighted_factor
from ..objective.term import Term
from ..typing import Array, Quantity
from .site_parameters import planning_sites
from .spectrum_evidence import TENSOR_CONVENTIONS, SpectrumEvidence, spectrum_conditions

if TYPE_CHECKING:
    from ..objective import HostState

# a shift that has moved by this fraction of the window may have brought other sidebands into it
_FAR = 0.08
# a refined rotor angle is planned this far from the magic angle, and may change by as much
_TILTED_DEG = 0.1
# points of two spectra are equal within this fraction of their spacing, fields within this fraction
_SAME_POINT, _SAME_FIELD = 1e-2, 1e-7
_DENSITIES = (40, 60, 90, 130, 180, 260)


class Changes(NamedTuple):
    """Changes of sites along an objective's parameters: directions that each belong to one site, and their combinations.

    Attributes:
        tangents: tangents of the sites along every direction, with a leading axis; ``None`` if there are no directions.
        columns: ``(sites, most)`` directions of every site, padded with -1.
        reach: largest effect of each direction, see `SpectrumPlan.value_and_jacobian`.
        along: ``(directions, parameters)``; ``None`` if there are no directions.
        strays: ``(parameters,)`` which of them change something that was not declared when the term was bound.
    """

    tangents: Sites | None
    columns: np.ndarray
    reach: Sequence[int]
    along: Array | None
    strays: Array


def _points(term: MeasuredSpectrum) -> str:
    ppm = np.asarray(term.ppm)
    return f"{len(ppm)} fitted points from {ppm[0]:.6g} to {ppm[-1]:.6g} ppm"


def _field(simulation: SpectrumStatic | SpectrumMAS) -> str:
    return f"{simulation.isotope} at {1e-6 * simulation.larmor_hz:.8g} MHz"


class MeasuredSpectrum(Term, ABC):
    """One measured spectrum with its fitted regions and simulation; subclasses define the sites.

    The calculated spectrum is ``scale Re(exp(i phase) sum of sites) + baseline`` with
    ``phase = phase0 + phase1 (f - pivot)/width`` (width of the whole spectrum), so that the data are not changed. An
    amplitude is the sum of a site's intensity over all points, and the baseline is a Chebyshev polynomial over the region.

    Attributes:
        observed, sigma: ``(points,)``, the fitted points, by increasing shift.
        rows: ``(points,)`` their indices among the points of the plan.
        basis: ``(points, terms)`` basis functions of the baseline.
        slope: ``(points,)`` distance from the pivot in spectral widths, for the first-order phase.
        start: starting values of the parameters by local name.
        simulation: simulation to be planned.
        axis: axis of the plan: first point and step in Hz, number of points.
        region_ppm: fitted regions.
        pivot_ppm: shift at which ``phase1`` has no effect.
        name: prefix of the parameters.
        source: name of the data, for reports.
    """

    observed: Array
    sigma: Array
    rows: Array
    basis: Array
    slope: Array
    start: dict[str, Array]
    simulation: SpectrumStatic | SpectrumMAS = static(note=True)
    axis: tuple[float, float, int] = static(note=True)
    region_ppm: tuple[tuple[float, float], ...] = static(note=True)
    pivot_ppm: float = static(note=True)
    name: str = static()
    source: str = static(note=True)

    sees_origin = False

    # -- defined by subclasses -----------------------------------------------------------------------------------
    @property
    def _scale_step(self) -> float:
        """Typical change of the scale."""
        return 0.1

    @abstractmethod
    def site_labels(self, crystals: Mapping[str, Crystal]) -> tuple[str, ...]:
        """Return the labels of the sites."""

    @abstractmethod
    def _site_quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        """Return the parameters of the sites."""

    # -- interface of terms --------------------------------------------------------------------------------------
    @property
    def ppm(self) -> Array:
        """Shifts of the fitted points, ``(points,)``."""
        return self.frequency_hz * (1e6 / self.simulation.larmor_hz)

    @property
    def frequency_hz(self) -> Array:
        """Frequencies of the fitted points in Hz from the reference, ``(points,)``."""
        first, step, points = self.axis
        return (first + step * np.arange(points))[np.asarray(self.rows)]

    @property
    def step_hz(self) -> float:
        """Spacing of the points, Hz."""
        return self.axis[1]

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        scale, step = self.start["scale"], self._scale_step
        out = {"scale": Quantity(scale, lower=0.0, scale=step, intensity=True, doc="multiplies all sites")}
        out |= self._site_quantities(crystals)
        if "baseline" in self.start:
            numbers = tuple(str(k) for k in range(self.basis.shape[1]))
            size = max(float(np.abs(self.observed).max()) * 0.01, 1e-300)
            out["baseline"] = Quantity(
                self.start["baseline"], labels=numbers, scale=size, intensity=True, doc="Chebyshev coefficients"
            )
        out["phase0"] = Quantity(self.start["phase0"], unit="°", scale=1.0, doc="phase of the data at the pivot")
        out["phase1"] = Quantity(self.start["phase1"], unit="°", scale=5.0, doc="change of it over the spectral width")
        if "mas" in self.start:
            out["mas"] = Quantity(self.start["mas"], unit="Hz", lower=1.0, scale=10.0, doc="spinning speed")
        if "rotor_angle" in self.start:
            angle, doc = self.start["rotor_angle"], "angle between rotor and field"
            leave = off_magic if self.simulation.spin < 1 else None
            out["rotor_angle"] = Quantity(angle, unit="°", lower=0.0, upper=90.0, scale=0.01, leave=leave, doc=doc)
        return out

    # -- other data ----------------------------------------------------------------------------------------------
    def measuring(self, other: Term) -> Self:
        require_kind(other, MeasuredSpectrum, f"what takes the place of the data of {self.name!r}")
        new = cast(MeasuredSpectrum, other)
        (first, step, points), mine = new.axis, self.axis
        same = points == mine[2] and np.allclose((first, step), mine[:2], atol=_SAME_POINT * abs(mine[1]), rtol=1e-9)
        if not same or not np.array_equal(new.rows, self.rows):
            raise DataError(
                f"{new.source} has {_points(new)}, {self.source} has {_points(self)}: both must have the same points"
            )
        theirs, ours = new.simulation, self.simulation
        if theirs.isotope != ours.isotope or abs(theirs.larmor_hz / ours.larmor_hz - 1.0) > _SAME_FIELD:
            raise DataError(
                f"{new.source} is of {_field(theirs)}, {self.source} of {_field(ours)}: both must be of the same nucleus and field"
            )
        return self.replace(observed=np.asarray(new.observed), sigma=np.asarray(new.sigma), source=new.source)

    # -- parts ---------------------------------------------------------------------------------------------------
    def _turned(self, signal: Array, values: Mapping[str, Array]) -> Array:
        """Return the fitted points of a complex spectrum ``(points, ...)``, with the phase of the data."""
        angle = jnp.deg2rad(values["phase0"] + values["phase1"] * self.slope)
        turn = jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
        return signal[self.rows] * turn.reshape(-1, *(1,) * (signal.ndim - 1))

    def _baseline(self, values: Mapping[str, Array]) -> Array:
        return self.basis @ values["baseline"] if "baseline" in values else jnp.zeros(len(self.rows))

    def _made(
        self,
        values: Mapping[str, np.ndarray],
        template: Sites,
        frames: np.ndarray,
        moving: Collection[tuple[str, int]],
        *,
        tilting: bool = False,
    ) -> tuple[SpectrumPlan, dict[str, np.ndarray]]:
        """Plan the spectrum for these values of sites, of which ``moving`` may change, and the rotor angle if ``tilting``.

        Also returns the parameter values up to which the plan is valid (host).
        """
        sites = planning_sites(values, template, frames, moving, self.step_hz)
        simulation, axis = self.simulation, self._axis()
        if "mas" in values:
            simulation = replace(cast(SpectrumMAS, simulation), mas_hz=float(values["mas"]))
        if "rotor_angle" in values:
            # at the magic angle the plan would lack what appears beside it
            angle = float(values["rotor_angle"])
            angle += np.copysign(_TILTED_DEG, angle - MAGIC_ANGLE_DEG) if tilting else 0.0
            simulation = replace(cast(SpectrumMAS, simulation), rotor_angle_deg=min(angle, 90.0))
        plan = simulation.plan(sites, like=axis, broadened=True)
        distributed = any(len(group.nodes) > 1 for group in plan.groups)
        if simulation.integration_density == "auto" and not distributed:
            # few distinct densities: less to compile, and a small change of a tensor leaves the plan unchanged
            needed = max(group.orientations.density for group in plan.groups)
            density = next((n for n in _DENSITIES if n >= needed), needed)
            plan = replace(simulation, integration_density=density).plan(sites, like=axis, broadened=True)
        planned = {name: np.array(value, dtype=float) for name, value in values.items()}
        for name, reach in (("zeta", sites.shielding_ppm), ("cq", sites.quadrupolar_hz)):
            if name in planned:
                planned[name] = np.abs(np.linalg.eigvalsh(np.asarray(reach))).max(axis=1)
        for name, reach in (
            ("shielding_spread", sites.shielding_spread_ppm),
            ("quadrupolar_spread", sites.quadrupolar_spread_hz),
        ):
            if name in planned:
                planned[name] = np.array(reach)
        return plan, planned

    def _axis(self) -> Spectrum:
        first, step, points = self.axis
        frequency, larmor = first + step * np.arange(points), self.simulation.larmor_hz
        return Spectrum.create(frequency, np.zeros(points), larmor_hz=larmor, isotope=self.simulation.isotope)


class PlannedSpectrum(MeasuredSpectrum):
    """Residuals ``(calculated - observed)/sigma`` of one spectrum.

    Attributes:
        plan: the calculated spectrum.
        planned: site parameters for which the plan was made.
        moving_mas, moving_angle: whether a refinement moves the spinning speed, and the rotor angle.
        All other attributes are those of `MeasuredSpectrum`.
    """

    plan: SpectrumPlan
    planned: dict[str, Array]
    moving_mas: bool = static()
    moving_angle: bool = static(default=False)

    @abstractmethod
    def _now(self, state: State) -> tuple[SpectrumPlan, Sites]:
        """Return the plan at the spinning speed of the state, and the sites (traceable)."""

    @abstractmethod
    def _changes(self, state: State, tangents: State, sites: Sites) -> Changes:
        """Return the changes of the sites along tangents of the state (traceable)."""

    @abstractmethod
    def _described(self, state: HostState) -> tuple[dict[str, np.ndarray], Sites, np.ndarray] | None:
        """Return site parameters as `site_parameters.described`, with sites and axes; ``None`` if not finite (host)."""

    @abstractmethod
    def _planned_for(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        """Return the pairs ``(name, site)`` that may change while a plan is used (host)."""

    def _spun(self, values: Mapping[str, Array]) -> SpectrumPlan:
        """Return the plan at the spinning speed and rotor angle among these values (traceable)."""
        plan = self.plan.with_mas(values["mas"]) if "mas" in values else self.plan
        return plan.with_rotor_angle(values["rotor_angle"]) if "rotor_angle" in values else plan

    def calculated(self, state: State) -> Array:
        """Return the calculated spectrum at the fitted points."""
        values = state.local(self.name)
        plan, sites = self._now(state)
        return values["scale"] * self._turned(plan.complex_spectrum(sites), values).real + self._baseline(values)

    def baseline(self, state: State) -> Array:
        """Return the baseline at the fitted points."""
        return self._baseline(state.local(self.name))

    def components(self, state: State) -> Array:
        """Return the contribution of every site at the fitted points, ``(points, sites)``."""
        values = state.local(self.name)
        plan, sites = self._now(state)
        turned = self._turned(per_amplitude(plan, sites), values)
        return values["scale"] * turned.real * sites.amplitude

    def length(self, state: Callable[[], State]) -> int:
        return len(self.observed)

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.observed) / self.sigma

    def jacobian(self, state: State, tangents: State) -> Array:
        # every site is differentiated along its own directions only, whatever the objective's parameters are; the derivatives are
        # then combined
        values, pushed = state.local(self.name), tangents.local(self.name)
        plan, sites = self._now(state)
        changes = self._changes(state, tangents, sites)
        if changes.tangents is not None:
            signal, by_own = plan.value_and_jacobian(sites, changes.tangents, changes.columns, changes.reach)
        else:
            signal = plan.complex_spectrum(sites)
        signal = self._turned(signal, values)
        count = jax.tree.leaves(pushed)[0].shape[0]
        out = self.basis @ pushed["baseline"].T if "baseline" in values else jnp.zeros((len(self.rows), count))
        out = out + signal.real[:, None] * pushed["scale"]
        angle = pushed["phase0"] + self.slope[:, None] * pushed["phase1"]
        out = out - values["scale"] * signal.imag[:, None] * jnp.deg2rad(angle)
        if changes.tangents is not None and changes.along is not None:
            out = out + values["scale"] * (self._turned(by_own, values).real @ changes.along)
        strays = changes.strays
        for name, moves in (("mas", self.moving_mas), ("rotor_angle", self.moving_angle)):
            if moves:
                spun = lambda value, name=name: self._spun({**values, name: value}).complex_spectrum(sites)
                change = jax.jvp(spun, (values[name],), (1.0 + 0 * values[name],))[1]
                out = out + values["scale"] * self._turned(change, values).real[:, None] * pushed[name]
            elif name in pushed:
                strays = strays | (pushed[name] != 0)
        # directions not declared when the term was bound have no derivative here: NaN rather than a silent zero
        return jnp.where(strays, jnp.nan, out) / self.sigma[:, None]

    # -- evidence ------------------------------------------------------------------------------------------------
    def _conditions(self) -> tuple[Condition, ...]:
        """Describe the measurement and the calculation in words."""
        return spectrum_conditions(self.simulation)

    def _neglected(self, sites: Sites) -> tuple[str, ...]:
        """List warnings about couplings too large for the order of perturbation theory (host)."""
        pairs = cast("tuple[tuple[float, float], ...]", self.simulation.transitions)
        larmor_hz = float(self.plan.experiment.larmor_hz)
        return tuple(beyond_second_order(self.simulation.spin, larmor_hz, sites, pairs, self.step_hz))

    def evidence(self, state: State) -> SpectrumEvidence:
        return self._evidence(state)

    @property
    def _central(self) -> bool:
        """Return whether only the central transition of a nucleus with satellite transitions is calculated."""
        shown = {pair for group in self.plan.groups for pair in group.transitions}
        return self.simulation.spin > 1 and shown == {(0.5, -0.5)}

    def _evidence(self, state: State, **sites: Any) -> SpectrumEvidence:
        """Return the evidence of any spectrum, with ``values`` or ``predicted`` parameters of its sites."""
        calculated, baseline, components = map(np.asarray, _curves(self, state))
        ppm, frequency_hz = np.asarray(self.ppm), np.asarray(self.frequency_hz)
        what = f"{self.simulation.isotope} spectrum"
        return SpectrumEvidence(
            name=self.name,
            what=what,
            title=what,
            conditions=(
                *self._conditions(),
                ("fitted / ppm", ", ".join(f"{low:.5g} to {high:.5g}" for low, high in self.region_ppm)),
                ("points", f"{len(ppm)}, {np.median(np.diff(frequency_hz)):.4g} Hz apart"),
            ),
            remarks=(TENSOR_CONVENTIONS,),
            axis=Axis(ppm, "δ", "ppm", to_the_left=True),
            observed=np.asarray(self.observed),
            sigma=np.asarray(self.sigma),
            calculated=calculated,
            baseline=baseline,
            parts=dict(zip(self.site_labels(state.crystals), components.T, strict=True)),
            regions=self.region_ppm,
            frequency_hz=frequency_hz,
            isotope=self.simulation.isotope,
            larmor_hz=self.simulation.larmor_hz,
            mas_hz=float(self.simulation.mas_hz),
            central=self._central,
            **sites,
        )

    def agreement(self, chi2: float) -> dict[str, float]:
        return {SpectrumEvidence.factor: weighted_factor(chi2, self.observed, self.sigma)}

    # -- planning ------------------------------------------------------------------------------------------------
    def replan(self, state: HostState) -> tuple[Self, str]:
        described = self._described(state)
        reason = "" if described is None else self._outgrown(described[0], described[1].labels)
        if described is None or not reason:
            return self, ""
        return self._laid_out(*described), f"orientations and sidebands planned: {reason}"

    def _planned(self, state: HostState) -> Self:
        """Return a copy planned for this state, if it is finite (host)."""
        described = self._described(state)
        return self if described is None else self._laid_out(*described)

    def _laid_out(self, values: Mapping[str, np.ndarray], template: Sites, frames: np.ndarray) -> Self:
        """Return a copy planned for these values and the moving parameters."""
        plan, planned = self._made(values, template, frames, self._planned_for(values), tilting=self.moving_angle)
        return self.replace(plan=plan, planned=planned)

    def _outgrown(self, values: Mapping[str, np.ndarray], labels: tuple[str, ...]) -> str:
        """Return why the plan must be made again; empty if it is still valid."""
        was = self.planned
        for name, what in (
            ("zeta", "anisotropy"),
            ("cq", "coupling"),
            ("shielding_spread", "distribution"),
            ("quadrupolar_spread", "distribution"),
        ):
            if name in was and (np.abs(values[name]) > was[name] * (1 + 1e-9)).any():
                k = int(np.argmax(np.abs(values[name]) - was[name]))
                return f"the {what} of {labels[k]} has grown"
        _, step, points = self.axis
        reach_ppm = _FAR * points * step / self.simulation.larmor_hz * 1e6
        if (np.abs(values["shift"] - was["shift"]) > reach_ppm).any():
            return "a line has moved far"
        fwhm, before = (v["gaussian"] + v["lorentzian"] for v in (values, was))
        if (fwhm < 0.5 * before).any():
            return "a line has become narrow"
        if "rotor_angle" in was and abs(values["rotor_angle"] - was["rotor_angle"]) > _TILTED_DEG:
            return "the angle of the rotor has changed"
        if "mas" in was and not 0.9 < values["mas"] / was["mas"] < 1.1:
            return "the spinning speed has changed"
        return ""


def off_magic(degrees: np.ndarray, freed: np.ndarray) -> np.ndarray:
    """Move a freed rotor angle off the magic angle, where the slope from shielding alone vanishes (host)."""
    return np.where(freed & (np.abs(degrees - MAGIC_ANGLE_DEG) < 0.01), MAGIC_ANGLE_DEG + 0.1, degrees)


def per_amplitude(plan: SpectrumPlan, sites: Sites) -> Array:
    """Return complex spectra of the sites with unit amplitude, ``(points, sites)`` (traceable)."""
    n = len(sites.labels)
    tangents = jax.tree.map(lambda leaf: jnp.zeros((n, *jnp.shape(leaf)), jnp.result_type(leaf)), sites)
    tangents = tangents.replace(amplitude=jnp.eye(n, dtype=jnp.result_type(sites.amplitude)))
    return plan.jacobian(sites, tangents, np.arange(n)[:, None], [SCALES] * n)


@compiled(kept=True)
def _curves(term: PlannedSpectrum, state: State):
    components, baseline = term.components(state), term.baseline(state)
    return components.sum(axis=1) + baseline, baseline, components


def on_host(values: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Return parameters as NumPy arrays in double precision."""
    return {name: np.asarray(v, dtype=float) for name, v in values.items()}


def flat_at_zero(full: str) -> str:
    """Advise on a refined parameter at 0, where the spectrum does not depend on it to first order."""
    return (
        f"{full} is 0, where the spectrum does not depend on it to first order: it cannot leave by itself. Set it to a small "
        "value and refine again, or fix it."
    )
