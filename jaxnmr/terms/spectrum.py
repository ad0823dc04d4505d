"""`SpectrumTerm`: a measured NMR spectrum against that of sites with refined parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import compiled, set_fields, static
from ..crystal import Crystal
from ..errors import ConventionError, DataError
from ..nmr import Site, Sites, Spectrum, SpectrumMAS, SpectrumPlan, SpectrumStatic
from ..nmr.powder.simulation import MOVES, RESHAPES, SCALES
from ..objective.evidence import Condition
from ..objective.state import State
from ..typing import Array, Quantity
from .measured_spectrum import Changes, PlannedSpectrum, flat_at_zero, on_host, per_amplitude
from .site_parameters import (
    ANGLES,
    WIDTHS,
    check_values,
    described,
    flat_angles,
    quantities,
    site_names,
    symmetric_sites,
    tensors_at,
    usual_angles,
)
from .spectrum_evidence import SpectrumEvidence
from .spectrum_start import non_negative, observed_part

if TYPE_CHECKING:
    from ..objective import HostState, Parameters

_NUISANCES = ("scale", "baseline", "phase0", "phase1", "mas", "rotor_angle")
# effect of site parameters; those not listed change tensors
_REACH = {"amplitude": SCALES, "gaussian": SCALES, "lorentzian": SCALES, "shift": MOVES}
# asymmetries and widths by which the spectrum has no first derivative at zero
_FLAT_AT_ZERO = ("eta", "eta_q", "gaussian", "shielding_spread", "quadrupolar_spread")


class SpectrumTerm(PlannedSpectrum):
    """Residuals ``(calculated - observed)/sigma`` of one spectrum; see `MeasuredSpectrum` for how it is calculated.

    Its sites are given, so that it has a plan for their starting values from the beginning, in which zero values are
    taken as absent; binding makes a plan for the refined parameters.

    Parameters, below the term's name: ``shift[Na1]`` and ``zeta`` in ppm, ``eta``, ``cq`` in Hz, ``eta_q``,
    ``euler[Na1.alpha]`` in degrees, ``amplitude``, ``gaussian`` and ``lorentzian`` (full widths at half maximum) in Hz,
    ``shielding_spread`` in ppm, ``quadrupolar_spread`` in Hz; ``scale``, ``baseline[0]``, ``phase0``, ``phase1`` in
    degrees, ``mas`` in Hz and ``rotor_angle`` in degrees. A spin 1/2 has no quadrupolar parameters. Scale and
    amplitudes are redundant: free only one of them. A spectrum does not depend on ``eta``, ``eta_q``, ``gaussian`` and
    the spreads to first order at 0: start them elsewhere (0.1) to refine them.

    Attributes:
        template, frames: site properties that are not refined, and the axes of the quadrupolar tensors.
        moving: pairs ``(name, site)`` of the parameters by which the spectrum is differentiated.
        All other attributes are those of `PlannedSpectrum`.

    Example:
        >>> start = jn.Site(isotope="27Al", shift_ppm=59.0, cq_hz=2.9e6, eta_q=0.3, gaussian_hz=250.0, label="Al1")
        >>> al = jn.SpectrumTerm(mas, spectrum, [start], name="al", sigma=1e-3)
        >>> float(jn.Objective(al).parameters()["al/cq[Al1]"])
        2900000.0
    """

    template: Sites
    frames: Array
    moving: tuple[tuple[str, int], ...] = static()

    reads = ()

    @checked
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
        """Compare a measured spectrum with that of sites; amplitudes and baseline start at their least-squares values.

        Args:
            simulation: nucleus, field, spinning, transitions. Its Larmor frequency is replaced by the spectrum's if the
                two agree to a thousandth.
            spectrum: measured spectrum; only the real part is fitted.
            sites: starting values. A site without width starts with a Gaussian of four points.
            name: prefix of the parameters.
            region_ppm: fitted region, ``(low, high)`` or several; all by default.
            baseline: number of terms of the polynomial.
            sigma: noise of every point; by default the spectrum's own, or else measured in it.
            noise_ppm: region without signal for that measurement; by default the noise is estimated from differences of
                neighbouring points, which is wrong for zero-filled spectra.
            pivot_ppm: shift at which ``phase1`` has no effect; by default that of the highest point.
            amplitudes: ``"fit"`` starts with least-squares amplitudes, ``"keep"`` keeps the ratios of the sites and puts
                the least-squares factor into ``scale``.

        Raises:
            ConventionError: the spectrum is of another nucleus or field, sites are of another isotope, or regions are
                invalid.
            DataError: values are not finite, there is no noise, or a site has no intensity in the window.
        """
        if amplitudes not in ("fit", "keep"):
            raise ConventionError(f"{name!r}: amplitudes is {amplitudes!r}; expected 'fit' or 'keep'")
        data = observed_part(
            simulation, spectrum, name=name, region_ppm=region_ppm, baseline=baseline, sigma=sigma, noise_ppm=noise_ppm,
            pivot_ppm=pivot_ppm,
        )  # fmt: skip
        template, frames, start = described(sites)
        missing = start["gaussian"] + start["lorentzian"] <= 0
        start["gaussian"] = np.where(missing, 4.0 * data["axis"][1], start["gaussian"])
        start |= data.pop("start")
        if data["simulation"].mas_hz > 0:
            start["rotor_angle"] = np.array(float(data["simulation"].rotor_angle_deg))
        set_fields(
            self, start=start, template=template, frames=frames, moving_mas="mas" in start, moving=self._all(template), **data
        )  # fmt: skip
        plan, planned = self._made(start, template, frames, self._present(start))
        set_fields(self, plan=plan, planned=planned)
        set_fields(self, start=self._scaled(start, keep=amplitudes == "keep"))

    # -- interface of terms --------------------------------------------------------------------------------------
    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sites."""
        return self.template.labels

    def site_labels(self, crystals: Mapping[str, Crystal]) -> tuple[str, ...]:
        return self.labels

    def _site_quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        return quantities(
            {name: self.start[name] for name in self._names}, self.labels, self.step_hz,
            np.asarray(self._symmetric), self.template.leaders,
        )  # fmt: skip

    def evidence(self, state: State) -> SpectrumEvidence:
        values = on_host(state.local(self.name))
        followers = frozenset(label for label, leads in zip(self.labels, self._leads, strict=True) if not leads)
        return self._evidence(state, values={name: values[name] for name in self._names}, followers=followers)

    def _conditions(self) -> tuple[Condition, ...]:
        own = self.template.transitions or (None,) * len(self.labels)
        of = [
            (f"transitions of {label}", which)
            for label, which in zip(self.labels, own, strict=True)
            if which is not None
        ]
        return (
            *super()._conditions(),
            *((name, which if isinstance(which, str) else f"{which}") for name, which in of),
        )

    @checked
    def sharing(self, params: Parameters, other: str) -> Parameters:
        """Tie shifts and tensors of the sites to those with the same labels in another spectrum.

        Spectra at several fields are thus fitted with one set of sites; amplitudes and widths remain independent.

        Args:
            params: parameters of an objective with both spectra.
            other: name of the other spectrum, whose parameters are not changed.

        Raises:
            ParameterError: there is no such spectrum, or it lacks one of the sites.
        """
        own = [name for name in self._names if name not in ("amplitude", *WIDTHS)]
        for label, leads in zip(self.labels, self._leads, strict=True):
            for name in own if leads else ():
                params = params.tie(f"{self.name}/{name}[{label}]", f"{other}/{name}[{label}]")
        return params

    def stages(
        self, crystals: Mapping[str, Crystal] | None = None, prefix: Callable[[str], str] | None = None
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """List names of stages with the parameters to free in them, in an order that converges from rough starts.

        If all were freed at once, a pattern that starts in the wrong place would be broadened or made axial rather than
        moved. The arguments are not used.
        """
        names = self.start
        has = lambda *wanted: tuple(f"{self.name}/{name}" for name in wanted if name in names)
        of = lambda name, where: tuple(
            f"{self.name}/{name}[{label}]"
            for label, ok, leads in zip(self.labels, where, self._leads, strict=True)
            # parameters shared with a leading site follow it
            if ok and (leads or name in WIDTHS)
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
    def bind(self, state: HostState, params: Parameters) -> SpectrumTerm:
        if not params.n_free:
            return self.differentiable(params.labels)
        tilting = f"{self.name}/rotor_angle" in params.moved_names
        return self.differentiable(params.moved_names).replace(moving_angle=tilting)._planned(state)

    def differentiable(self, free: tuple[str, ...]) -> SpectrumTerm:
        place = {label: k for k, label in enumerate(self.labels)}
        moving = set()
        for full in free:
            name, _, element = full.removeprefix(self.name + "/").partition("[")
            if full.startswith(self.name + "/") and name not in _NUISANCES:
                label = element.removesuffix("]")
                moving.add((name, place[label.rpartition(".")[0] if name == "euler" else label]))
        moving_mas = "mas" in self.start and f"{self.name}/mas" in free
        return self.replace(moving=tuple(sorted(moving)), moving_mas=moving_mas)

    def in_range(self, values: Mapping[str, np.ndarray], moved: frozenset[str]) -> dict[str, np.ndarray]:
        if "euler" not in values:
            return {}
        coupled, frames = bool(self.template.partners), np.asarray(self.frames)
        free = [[f"{self.name}/euler[{label}.{angle}]" in moved for angle in ANGLES] for label in self.labels]
        rows = zip(values["euler"], np.array(free), frames, strict=True)
        return {"euler": np.stack([usual_angles(*row, coupled=coupled) for row in rows])}

    def warnings(self, state: State) -> tuple[str, ...]:
        values = on_host(state.local(self.name))
        sentences = []
        for name, k in self.moving:
            value = values[name][k]
            full = f"{self.name}/{name}[{self.labels[k]}]"
            if name in _FLAT_AT_ZERO and np.ndim(value) == 0 and value <= 0:
                sentences.append(flat_at_zero(full))
            if name in ("eta", "eta_q") and value >= 1:
                coupling = "zeta" if name == "eta" else "cq"
                if name == "eta_q" and self._without_sign(values, k):
                    sentences.append(
                        f"{full} is 1, the largest asymmetry there is; beyond it the shapes of the central transition come again. "
                        "The data do not show this shape, or something of the model is missing, such as satellite transitions that overlap "
                        'it (transitions "all"), or another site.'
                    )
                    continue
                sentences.append(
                    f"{full} is 1, where {coupling} changes its sign: set {self.name}/{coupling}[{self.labels[k]}] to "
                    f"{-values[coupling][k]:.6g} and refine again; keep the better of the two."
                )
        return (*sentences, *self._neglected(self._tensors(values)))

    def _without_sign(self, values: Mapping[str, np.ndarray], k: int) -> bool:
        """Return whether the sign of C_Q has no effect: to second order, if it is the only interaction."""
        alone = values["zeta"][k] == 0 and values["shielding_spread"][k] == 0 and not self.template.partners
        return bool(alone) and self._shown(k) <= {(0.5, -0.5)}

    def _shown(self, k: int) -> set[tuple[float, float]]:
        """Return the transitions of a site."""
        return {pair for group in self.plan.groups if k in group.members for pair in group.transitions}

    def _described(self, state: HostState) -> tuple[dict[str, np.ndarray], Sites, np.ndarray]:
        return on_host(state.local(self.name)), self.template, np.asarray(self.frames)

    def _planned_for(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        check_values(values, self.moving, self.labels, self.name)
        return self.moving

    def _present(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        """Return the parameters of the sites that are present: zeros are taken as absent (host)."""
        shown_by = {"eta": "zeta", "eta_q": "cq"}
        there = lambda name, k: bool(np.any(np.asarray(values[shown_by[name] if name in shown_by else name])[k]))
        names = [name for name in self._names if name != "euler"]
        seen = [(name, k) for name in names for k in range(len(self.labels)) if there(name, k)]
        both = {k for name, k in seen if name == "cq"} & {k for name, k in seen if name == "zeta"}
        seen += [("euler", k) for k in both]
        check_values(values, seen, self.labels, self.name)
        return seen

    # -- parts ---------------------------------------------------------------------------------------------------
    @property
    def _leads(self) -> list[bool]:
        """Return whether each site has its own shift and tensors."""
        leaders = self.template.leaders
        return [not leaders or leaders[k] == k for k in range(len(self.labels))]

    @property
    def _symmetric(self) -> Array:
        return symmetric_sites(self.template, self.frames)

    @property
    def _names(self) -> tuple[str, ...]:
        return site_names(self.template.isotope, len(self.template.partners))

    @staticmethod
    def _all(template: Sites) -> tuple[tuple[str, int], ...]:
        """List all parameters of all sites."""
        names = site_names(template.isotope, len(template.partners))
        return tuple(sorted((name, k) for k in range(len(template.labels)) for name in names))

    def _tensors(self, values: Mapping[str, Array]) -> Sites:
        return tensors_at(values, self.template, self.frames)

    def _now(self, state: State) -> tuple[SpectrumPlan, Sites]:
        return self._at(state.local(self.name))

    def _at(self, values: Mapping[str, Array]) -> tuple[SpectrumPlan, Sites]:
        sites = self._tensors(values)
        distributed = np.zeros(len(self.labels), dtype=bool)
        for group in self.plan.groups:
            distributed[list(group.members)] |= len(group.nodes) > 1
        # the plan has no nodes for a distribution that was zero and fixed: NaN rather than no distribution
        spread = sites.shielding_spread_ppm + sites.quadrupolar_spread_hz
        lost = ~distributed & (spread > 0)
        sites = sites.replace(amplitude=jnp.where(lost, jnp.nan, sites.amplitude))
        return self._spun(values), sites

    def _changes(self, state: State, tangents: State, sites: Sites) -> Changes:
        values, pushed = state.local(self.name), tangents.local(self.name)
        own = self._own()
        strays = self._strays(pushed, own)
        if not own:
            return Changes(None, np.zeros((len(sites), 0), dtype=int), (), None, strays)
        site_values = {name: values[name] for name in self._names}
        _, push = jax.linearize(self._tensors, site_values)
        unit: dict[str, Any] = {name: np.zeros((len(own), *np.shape(v))) for name, v in site_values.items()}
        for row, (name, *place) in enumerate(own):
            unit[name][(row, *place)] = 1.0
        unit = {name: jnp.asarray(array, sites.shift_ppm.dtype) for name, array in unit.items()}
        if "euler" in unit:
            # rounding errors would be amplified to a step of 1e11 degrees
            flat = flat_angles(values["euler"], 1e-6) & self._symmetric[:, None]
            unit["euler"] = jnp.where(flat, 0.0, unit["euler"])
        reach = [_REACH.get(name, RESHAPES) for name, *_ in own]
        along = jnp.stack([pushed[name][(slice(None), *place)] for name, *place in own])
        return Changes(jax.vmap(push)(unit), self._columns(own), reach, along, strays)

    def _own(self) -> list[tuple]:
        """List ``(name, site)`` or ``("euler", site, angle)`` of the parameters of the Jacobian."""
        return [
            item
            for name, k in sorted(self.moving, key=lambda pair: (pair[1], pair[0]))
            for item in ([(name, k, angle) for angle in range(len(ANGLES))] if name == "euler" else [(name, k)])
        ]

    def _columns(self, own: list[tuple]) -> np.ndarray:
        """Return the rows of ``own`` by site, ``(sites, most)``, padded with -1."""
        by_site = [[row for row, item in enumerate(own) if item[1] == k] for k in range(len(self.labels))]
        most = max(map(len, by_site))
        return np.array([rows + [-1] * (most - len(rows)) for rows in by_site])

    def _strays(self, pushed: Mapping[str, Array], own: list[tuple]) -> Array:
        """Find columns that move a site in a parameter not declared when the term was bound, ``(columns,)``."""
        known = {name: np.zeros(np.shape(pushed[name])[1:], dtype=bool) for name in self._names}
        for name, *place in own:
            known[name][tuple(place)] = True
        moved = [jnp.any((pushed[name] != 0) & ~k, axis=tuple(range(1, k.ndim + 1))) for name, k in known.items()]
        return jnp.any(jnp.stack(moved), axis=0)

    def _scaled(self, start: dict[str, np.ndarray], *, keep: bool) -> dict[str, np.ndarray]:
        """Return starting values with least-squares amplitudes and baseline (host)."""
        columns = np.asarray(_per_amplitude_compiled(self.plan, self._tensors(start))).real[np.asarray(self.rows)]
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
            # a site that starts in the wrong place needs intensity to be able to move
            start = start | {"amplitude": np.maximum(amplitude, 0.02 * amplitude.sum() / len(amplitude))}
            found = amplitude
        if not found.sum() > 0:
            raise DataError(
                f"{self.name!r}: the sites fit the data with negative amplitudes only; the phase of the spectrum may be "
                "wrong by 180 degrees, or the sites far from its lines"
            )
        return start | ({"baseline": baseline} if "baseline" in start else {})


_per_amplitude_compiled = compiled(per_amplitude, kept=True)
