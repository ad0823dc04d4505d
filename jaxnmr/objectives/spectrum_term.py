"""`SpectrumTerm`: a measured NMR spectrum against the spectrum of sites whose parameters are refined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, static, struct
from ..crystal import Crystal
from ..errors import ConventionError, DataError
from ..nmr import Site, Sites, Spectrum, SpectrumMAS, SpectrumPlan, SpectrumStatic
from ..nmr.simulation import MOVES, RESHAPES, SCALES
from ..typing import Array, Quantity
from .site_parameters import ANGLES, check_values, described, planning_sites, quantities, site_names, tensors_at
from .spectrum_start import at_larmor, noise, non_negative, regions
from .term import State, Term

_NUISANCES = ("scale", "baseline", "phase0", "phase1", "mas")
# what site parameters change at most; all others change tensors
_REACH = {"amplitude": SCALES, "gaussian": SCALES, "lorentzian": SCALES, "shift": MOVES}
# a shift that has moved by this part of the window may have brought other sidebands into it
_FAR = 0.08
_DENSITIES = (40, 60, 90, 130, 180, 260)
# asymmetries and widths that do not change a spectrum to first order where they are zero
_FLAT_AT_ZERO = ("eta", "eta_q", "gaussian", "shielding_spread", "quadrupolar_spread")


@struct
class SpectrumTerm(Term):
    """Residuals ``(calculated - observed)/sigma`` of one spectrum.

    The calculated spectrum is ``scale Re(exp(i phase) sum of sites) + baseline`` with
    ``phase = phase0 + phase1 (f - pivot)/width`` (width of the whole spectrum), so that the data stay as they are. An
    amplitude is the sum of a site's intensity over all points, and the baseline a Chebyshev polynomial over the region.

    Parameters, below the term's name: ``shift[Na1]`` and ``zeta`` in ppm, ``eta``, ``cq`` in Hz, ``eta_q``,
    ``euler[Na1.alpha]`` in degrees, ``amplitude``, ``gaussian`` and ``lorentzian`` (full widths at half maximum) in Hz,
    ``shielding_spread`` in ppm, ``quadrupolar_spread`` in Hz; ``scale``, ``baseline[0]``, ``phase0``, ``phase1`` in
    degrees and ``mas`` in Hz. A spin 1/2 has no quadrupolar ones. Scale and amplitudes say the same thing: free one of
    them. A spectrum does not depend on ``eta``, ``eta_q``, ``gaussian`` and the spreads to first order where they are 0:
    start them elsewhere (0.1) to refine them.

    Attributes:
        plan: the calculated spectrum.
        observed, sigma: ``(points,)``, the points that are fitted, by increasing shift.
        rows: ``(points,)`` which points of the plan they are.
        basis: ``(points, terms)`` of the baseline.
        slope: ``(points,)`` distance from the pivot in spectral widths, for the first-order phase.
        start: parameters by local name.
        template, frames: what of the sites is not refined, and the axes of their quadrupolar tensors.
        planned: parameters the plan was made for; empty when it must be made.
        simulation: how to plan.
        moving: ``(name, site)`` of the site parameters a refinement moves; ``None`` when that is not known.
        region_ppm: parts that are fitted.
        name: prefix of the parameters.
        source: what was measured, for reports.
    """

    plan: SpectrumPlan
    observed: Array
    sigma: Array
    rows: Array
    basis: Array
    slope: Array
    start: dict[str, Array]
    template: Sites
    frames: Array
    planned: dict[str, Array]
    simulation: SpectrumStatic | SpectrumMAS = static()
    moving: tuple[tuple[str, int], ...] | None = static()
    moving_mas: bool = static()
    region_ppm: tuple[tuple[float, float], ...] = static()
    pivot_ppm: float = static()
    name: str = static()
    source: str = static()

    def __init__(
        self,
        simulation: SpectrumStatic | SpectrumMAS,
        spectrum: Spectrum,
        sites: Site | Sequence[Site] | Sites,
        *,
        name: str = "nmr",
        region_ppm: Sequence[tuple[float, float]] | tuple[float, float] | None = None,
        baseline: int = 0,
        sigma: float | None = None,
        noise_ppm: tuple[float, float] | None = None,
        pivot_ppm: float | None = None,
        amplitudes: Literal["fit", "keep"] = "fit",
    ):
        """Compare a measured spectrum with the one of sites; amplitudes and baseline start at their least-squares values.

        Args:
            simulation: nucleus, field, spinning, transitions. Its Larmor frequency is replaced by the spectrum's when the
                two agree to a thousandth.
            spectrum: measured; only the real part is fitted.
            sites: starting values. A site without width starts with a Gaussian of four points.
            name: prefix of the parameters.
            region_ppm: the part that is fitted, ``(low, high)`` or several; all by default.
            baseline: terms of the polynomial.
            sigma: noise of every point; by default the spectrum's own, or else measured in it.
            noise_ppm: region without signal for that measurement; without it differences of neighbours decide, which is
                wrong for zero-filled spectra.
            pivot_ppm: where ``phase1`` has no effect; by default at the highest point.
            amplitudes: ``"fit"`` starts with least-squares amplitudes, ``"keep"`` keeps the ratios of the sites and puts
                the least-squares factor into ``scale``.

        Raises:
            ConventionError: a spectrum of another nucleus or field, sites of another isotope, bad regions.
            DataError: values that are not finite, no noise, a window without intensity of a site.
        """
        if not np.isfinite(np.asarray(spectrum.values)).all():
            bad = int(np.flatnonzero(~np.isfinite(np.asarray(spectrum.values)))[0])
            raise DataError(f"{spectrum.name}: intensity is not finite at point {bad + 1}; remove or repair that point")
        if baseline < 0:
            raise ConventionError(f"{name!r}: a baseline of {baseline} terms; expected 0 or more")
        if amplitudes not in ("fit", "keep"):
            raise ConventionError(f"{name!r}: amplitudes is {amplitudes!r}; expected 'fit' or 'keep'")
        simulation = at_larmor(simulation, spectrum)
        fitted = regions(spectrum, region_ppm, name)
        part = spectrum.limited(fitted[0][0], fitted[-1][1])
        ppm = np.asarray(part.ppm)
        rows = np.flatnonzero(np.any([(ppm >= low) & (ppm <= high) for low, high in fitted], axis=0))
        observed = np.real(np.asarray(part.values))[rows].astype(float)
        template, frames, start = described(sites)
        missing = start["gaussian"] + start["lorentzian"] <= 0
        start["gaussian"] = np.where(missing, 4.0 * part.step_hz, start["gaussian"])
        x = np.linspace(-1.0, 1.0, len(ppm))[rows]
        pivot = float(ppm[rows][np.argmax(np.abs(observed))]) if pivot_ppm is None else float(pivot_ppm)
        width_hz = spectrum.step_hz * len(spectrum.frequency_hz)
        start |= {"scale": np.array(1.0), "phase0": np.array(0.0), "phase1": np.array(0.0)}
        if baseline:
            start["baseline"] = np.zeros(baseline)
        if 0 < simulation.mas_hz < np.inf:
            start["mas"] = np.array(float(simulation.mas_hz))
        set_fields(
            self,
            plan=simulation.plan(Sites.of(sites), like=part, broadened=True),
            observed=observed,
            sigma=noise(spectrum, part, rows, sigma, noise_ppm),
            rows=rows,
            basis=np.polynomial.chebyshev.chebvander(x, baseline - 1) if baseline else np.zeros((len(rows), 0)),
            slope=(np.asarray(part.frequency_hz)[rows] - pivot * 1e-6 * spectrum.larmor_hz) / width_hz,
            start=start,
            template=template,
            frames=frames,
            planned={},
            simulation=simulation,
            moving=None,
            moving_mas="mas" in start,
            region_ppm=fitted,
            pivot_ppm=pivot,
            name=name,
            source=spectrum.name,
        )
        set_fields(self, plan=self._laid_out(start).plan)
        set_fields(self, start=self._scaled(start, keep=amplitudes == "keep"))

    # -- what others read ----------------------------------------------------------------------------------------
    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sites."""
        return self.template.labels

    @property
    def ppm(self) -> Array:
        """``(points,)`` shifts of the fitted points."""
        return self.frequency_hz * (1e6 / self.simulation.larmor_hz)

    @property
    def frequency_hz(self) -> Array:
        """``(points,)`` frequencies of the fitted points, Hz from the reference."""
        return self.plan.frequency_hz[self.rows]

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        step = float(self.plan.experiment.grid.step_hz)
        names = site_names(self.template.isotope, len(self.template.partners))
        out = {"scale": Quantity(self.start["scale"], lower=0.0, scale=0.1, doc="multiplies all sites")}
        out |= quantities({name: self.start[name] for name in names}, self.labels, step)
        if "baseline" in self.start:
            numbers = tuple(str(k) for k in range(self.basis.shape[1]))
            size = max(float(np.abs(self.observed).max()) * 0.01, 1e-300)
            out["baseline"] = Quantity(self.start["baseline"], labels=numbers, scale=size, doc="Chebyshev coefficients")
        out["phase0"] = Quantity(self.start["phase0"], unit="°", scale=1.0, doc="phase of the data at the pivot")
        out["phase1"] = Quantity(self.start["phase1"], unit="°", scale=5.0, doc="change of it over the spectral width")
        if "mas" in self.start:
            out["mas"] = Quantity(self.start["mas"], unit="Hz", lower=1.0, scale=10.0, doc="spinning speed")
        return out

    def calculated(self, state: State) -> Array:
        """The calculated spectrum at the fitted points."""
        values = state.local(self.name)
        plan, sites = self._at(values)
        return values["scale"] * self._turned(plan.complex_spectrum(sites), values).real + self._baseline(values)

    def baseline(self, state: State) -> Array:
        """The baseline at the fitted points."""
        return self._baseline(state.local(self.name))

    def components(self, state: State) -> Array:
        """What every site contributes at the fitted points, ``(points, sites)``."""
        values = state.local(self.name)
        plan, sites = self._at(values)
        turned = self._turned(_per_amplitude(plan, sites), values)
        return values["scale"] * turned.real * values["amplitude"]

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.observed) / self.sigma

    def jacobian(self, state: State, tangents: State) -> Array:
        # every site is differentiated by its own parameters only, whatever the objective's parameters are; those of the
        # site are then combined into these
        values, pushed = state.local(self.name), tangents.local(self.name)
        plan, sites = self._at(values)
        own = self._own()
        if own:
            site_values = {name: values[name] for name in site_names(sites.isotope, len(sites.partners))}
            _, push = jax.linearize(self._tensors, site_values)
            unit = {name: np.zeros((len(own), *np.shape(v))) for name, v in site_values.items()}
            for row, (name, *place) in enumerate(own):
                unit[name][(row, *place)] = 1.0
            dtype = sites.shift_ppm.dtype
            unit = {name: jnp.asarray(array, dtype) for name, array in unit.items()}
            reach = [_REACH.get(name, RESHAPES) for name, *_ in own]
            signal, by_own = plan.value_and_jacobian(sites, jax.vmap(push)(unit), self._columns(own), reach)
        else:
            signal = plan.complex_spectrum(sites)
        signal = self._turned(signal, values)
        count = jax.tree.leaves(pushed)[0].shape[0]
        out = self.basis @ pushed["baseline"].T if "baseline" in values else jnp.zeros((len(self.rows), count))
        out = out + signal.real[:, None] * pushed["scale"]
        angle = pushed["phase0"] + self.slope[:, None] * pushed["phase1"]
        out = out - values["scale"] * signal.imag[:, None] * jnp.deg2rad(angle)
        if own:
            by_own = self._turned(by_own, values)
            along = jnp.stack([pushed[name][(slice(None), *place)] for name, *place in own])
            out = out + values["scale"] * (by_own.real @ along)
        if self.moving_mas:
            by_mas = jax.jvp(
                lambda mas: plan.with_mas(mas).complex_spectrum(sites), (values["mas"],), (1.0 + 0 * values["mas"],)
            )
            out = out + values["scale"] * self._turned(by_mas[1], values).real[:, None] * pushed["mas"]
        return jnp.where(self._strays(pushed, own), jnp.nan, out) / self.sigma[:, None]

    def stages(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Names of stages and what to free in them, in an order that finds its way from rough starting values.

        All at once, a pattern that starts in the wrong place is rather broadened or made axial than moved.
        """
        names = self.start
        has = lambda *wanted: tuple(f"{self.name}/{name}" for name in wanted if name in names)
        of = lambda name, where: tuple(
            f"{self.name}/{name}[{label}]" for label, ok in zip(self.labels, where, strict=True) if ok
        )
        none = np.zeros(len(self.labels), dtype=bool)
        anisotropic, quadrupolar = names["zeta"] != 0, names.get("cq", none) != 0
        spreads = [(s, names.get(s, none) > 0) for s in ("shielding_spread", "quadrupolar_spread")]
        steps = (
            ("positions and intensities", has("shift", "amplitude", "baseline")),
            ("tensors", of("zeta", anisotropic) + of("cq", quadrupolar)),
            (
                "asymmetries",
                of("eta", anisotropic & (names["eta"] > 0)) + of("eta_q", quadrupolar & (names.get("eta_q", none) > 0)),
            ),
            ("widths", of("gaussian", names["gaussian"] > 0) + of("lorentzian", names["lorentzian"] > 0)),
            ("distributions", tuple(name for spread, where in spreads for name in of(spread, where))),
            (
                "orientations",
                of("euler", anisotropic & quadrupolar & (names.get("euler", none[:, None]) != 0).any(axis=1)),
            ),
        )
        return tuple((name, free) for name, free in steps if free)

    # -- planning ------------------------------------------------------------------------------------------------
    def prepared(self, free: tuple[str, ...]) -> SpectrumTerm:
        place = {label: k for k, label in enumerate(self.labels)}
        moving = set()
        for full in free:
            name, _, element = full.removeprefix(self.name + "/").partition("[")
            if full.startswith(self.name + "/") and name not in _NUISANCES:
                label = element.removesuffix("]")
                moving.add((name, place[label.rpartition(".")[0] if name == "euler" else label]))
        moving_mas = "mas" in self.start and f"{self.name}/mas" in free
        return self.replace(moving=tuple(sorted(moving)), moving_mas=moving_mas, planned={})

    def refreshed(self, state: State) -> tuple[SpectrumTerm, str]:
        values = _host(state.local(self.name))
        reason = self._outgrown(values)
        if not reason:
            return self, ""
        return self._laid_out(values), f"orientations and sidebands planned: {reason}"

    def settled(self, state: State) -> SpectrumTerm:
        return self._laid_out(_host(state.local(self.name)))

    def warnings(self, state: State) -> tuple[str, ...]:
        values = _host(state.local(self.name))
        moving = self.moving or ()
        sentences = []
        for name, k in moving:
            value = values[name][k]
            full = f"{self.name}/{name}[{self.labels[k]}]"
            if name in _FLAT_AT_ZERO and np.ndim(value) == 0 and value <= 0:
                sentences.append(
                    f"{full} is 0, where the spectrum does not depend on it to first order: it cannot leave by itself. Set "
                    "it to a small value and refine again, or fix it."
                )
            if name in ("eta", "eta_q") and value >= 1:
                coupling = "zeta" if name == "eta" else "cq"
                sentences.append(
                    f"{full} is 1, where {coupling} changes its sign: set {self.name}/{coupling}[{self.labels[k]}] to "
                    f"{-values[coupling][k]:.6g} and refine again; keep the better of the two."
                )
        return tuple(sentences)

    # -- parts ---------------------------------------------------------------------------------------------------
    def _tensors(self, values: Mapping[str, Array]) -> Sites:
        return tensors_at(values, self.template, self.frames)

    def _at(self, values: Mapping[str, Array]) -> tuple[SpectrumPlan, Sites]:
        sites = self._tensors(values)
        distributed = np.zeros(len(self.labels), dtype=bool)
        for group in self.plan.groups:
            distributed[list(group.members)] |= len(group.nodes) > 1
        # the plan has no nodes for a distribution that was zero and fixed: not a number, rather than no distribution
        spread = sites.shielding_spread_ppm + sites.quadrupolar_spread_hz
        lost = ~distributed & (spread > 0)
        sites = sites.replace(amplitude=jnp.where(lost, jnp.nan, sites.amplitude))
        return (self.plan.with_mas(values["mas"]) if "mas" in values else self.plan), sites

    def _turned(self, signal: Array, values: Mapping[str, Array]) -> Array:
        """The fitted points of a complex spectrum ``(points, ...)``, with the phase of the data."""
        angle = jnp.deg2rad(values["phase0"] + values["phase1"] * self.slope)
        turn = jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
        return signal[self.rows] * turn.reshape(-1, *(1,) * (signal.ndim - 1))

    def _baseline(self, values: Mapping[str, Array]) -> Array:
        return self.basis @ values["baseline"] if "baseline" in values else jnp.zeros(len(self.rows))

    def _own(self) -> list[tuple]:
        """``(name, site)`` or ``("euler", site, angle)`` of the parameters the Jacobian is taken by."""
        names = site_names(self.template.isotope, len(self.template.partners))
        moving = self.moving
        if moving is None:
            moving = [(name, k) for k in range(len(self.labels)) for name in names]
        return [
            item
            for name, k in sorted(moving, key=lambda pair: (pair[1], pair[0]))
            for item in ([(name, k, angle) for angle in range(len(ANGLES))] if name == "euler" else [(name, k)])
        ]

    def _columns(self, own: list[tuple]) -> np.ndarray:
        """``(sites, most)`` rows of ``own`` by site, filled up with -1."""
        by_site = [[row for row, item in enumerate(own) if item[1] == k] for k in range(len(self.labels))]
        most = max(map(len, by_site))
        return np.array([rows + [-1] * (most - len(rows)) for rows in by_site])

    def _strays(self, pushed: Mapping[str, Array], own: list[tuple]) -> Array:
        """Which columns move something that was not announced to `prepared`, ``(columns,)``."""
        known = {name: np.zeros(np.shape(v)[1:], dtype=bool) for name, v in pushed.items()}
        for name, *place in own:
            known[name][tuple(place)] = True
        for name in _NUISANCES:
            if name in known:
                known[name] = np.full(known[name].shape, name != "mas" or self.moving_mas)
        moved = [jnp.any((pushed[name] != 0) & ~k, axis=tuple(range(1, k.ndim + 1))) for name, k in known.items()]
        return jnp.any(jnp.stack(moved), axis=0)

    def _axis(self) -> Spectrum:
        frequency = np.asarray(self.plan.frequency_hz)
        larmor = self.simulation.larmor_hz
        return Spectrum.create(frequency, np.zeros(len(frequency)), larmor_hz=larmor, isotope=self.template.isotope)

    def _laid_out(self, values: Mapping[str, np.ndarray]) -> SpectrumTerm:
        """A copy planned for these values and what moves."""
        moving = self.moving
        if moving is None:
            # what is zero now is taken for absent
            names = site_names(self.template.isotope, len(self.template.partners))
            present = lambda name, k: bool(
                np.any(np.asarray(values[{"eta": "zeta", "eta_q": "cq"}.get(name, name)])[k])
            )
            moving = [
                (name, k) for name in names if name != "euler" for k in range(len(self.labels)) if present(name, k)
            ]
            both = {k for name, k in moving if name == "cq"} & {k for name, k in moving if name == "zeta"}
            moving += [("euler", k) for k in both]
        check_values(values, moving, self.labels, self.name)
        sites = planning_sites(
            {name: values[name] for name in site_names(self.template.isotope, len(self.template.partners))},
            self.template,
            np.asarray(self.frames),
            moving,
            float(self.plan.experiment.grid.step_hz),
        )
        simulation = self.simulation
        if "mas" in values:
            simulation = replace(simulation, mas_hz=float(values["mas"]))
        plan = simulation.plan(sites, like=self._axis(), broadened=True)
        distributed = any(len(group.nodes) > 1 for group in plan.groups)
        if simulation.integration_density == "auto" and not distributed:
            # few different densities: less to compile, and a small change of a tensor leaves the plan as it is
            needed = max(group.orientations.density for group in plan.groups)
            density = next((n for n in _DENSITIES if n >= needed), needed)
            plan = replace(simulation, integration_density=density).plan(sites, like=self._axis(), broadened=True)
        planned = {name: np.array(values[name], dtype=float) for name in self.start}
        for name, reach in (("zeta", sites.shielding_ppm), ("cq", sites.quadrupolar_hz)):
            if name in planned:
                planned[name] = np.abs(np.linalg.eigvalsh(np.asarray(reach))).max(axis=1)
        for name, reach in (
            ("shielding_spread", sites.shielding_spread_ppm),
            ("quadrupolar_spread", sites.quadrupolar_spread_hz),
        ):
            if name in planned:
                planned[name] = np.array(reach)
        return self.replace(plan=plan, planned=planned)

    def _outgrown(self, values: Mapping[str, np.ndarray]) -> str:
        """Why the plan must be made anew; empty when it serves."""
        if not self.planned:
            return "for what is refined"
        was = self.planned
        for name, what in (
            ("zeta", "anisotropy"),
            ("cq", "coupling"),
            ("shielding_spread", "distribution"),
            ("quadrupolar_spread", "distribution"),
        ):
            if name in was and (np.abs(values[name]) > was[name] * (1 + 1e-9)).any():
                k = int(np.argmax(np.abs(values[name]) - was[name]))
                return f"the {what} of {self.labels[k]} has grown"
        grid = self.plan.experiment.grid
        reach_ppm = _FAR * grid.points * float(grid.step_hz) / self.simulation.larmor_hz * 1e6
        if (np.abs(values["shift"] - was["shift"]) > reach_ppm).any():
            return "a line has moved far"
        fwhm, before = (v["gaussian"] + v["lorentzian"] for v in (values, was))
        if (fwhm < 0.5 * before).any():
            return "a line has become narrow"
        if "mas" in was and not 0.9 < values["mas"] / was["mas"] < 1.1:
            return "the spinning speed has changed"
        return ""

    def _scaled(self, start: dict[str, np.ndarray], *, keep: bool) -> dict[str, np.ndarray]:
        """Starting values with least-squares amplitudes and baseline (host)."""
        columns = np.asarray(_per_amplitude_compiled(self.plan, self._tensors(start)).real)[np.asarray(self.rows)]
        inside = np.abs(columns).sum(axis=0)
        if (inside < 1e-3).any():
            k = int(np.argmin(inside))
            low, high = self.region_ppm[0][0], self.region_ppm[-1][1]
            raise DataError(
                f"{self.name!r}: {self.labels[k]} at {start['shift'][k]:g} ppm has no intensity in what is fitted, "
                f"{low:g} to {high:g} ppm; correct its shift, widen region_ppm, or leave the site out"
            )
        if keep:
            amplitude = start["amplitude"]
            found, baseline = non_negative(columns @ amplitude[:, None], self.basis, self.observed, self.sigma)
            start = start | {"scale": np.array(found[0])}
        else:
            amplitude, baseline = non_negative(columns, self.basis, self.observed, self.sigma)
            # a site that starts in the wrong place must not start without intensity, or it could not move
            start = start | {"amplitude": np.maximum(amplitude, 0.02 * amplitude.sum() / len(amplitude))}
            found = amplitude
        if not found.sum() > 0:
            raise DataError(
                f"{self.name!r}: the sites fit the data with negative amplitudes only; the phase of the spectrum may be "
                "wrong by 180 degrees, or the sites far from its lines"
            )
        return start | ({"baseline": baseline} if "baseline" in start else {})


def _per_amplitude(plan: SpectrumPlan, sites: Sites) -> Array:
    """Complex spectra of the sites with amplitude 1, ``(points, sites)``."""
    n = len(sites.labels)
    tangents = jax.tree.map(lambda leaf: jnp.zeros((n, *jnp.shape(leaf)), jnp.result_type(leaf)), sites)
    tangents = tangents.replace(amplitude=jnp.eye(n, dtype=jnp.result_type(sites.amplitude)))
    return plan.jacobian(sites, tangents, np.arange(n)[:, None], [SCALES] * n)


_per_amplitude_compiled = jax.jit(_per_amplitude)


def _host(values: Mapping[str, Array]) -> dict[str, np.ndarray]:
    return {name: np.asarray(v, dtype=float) for name, v in values.items()}
