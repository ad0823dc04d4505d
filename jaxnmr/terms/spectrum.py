"""`SpectrumTerm`: a measured NMR spectrum against the spectrum of sites whose parameters are refined."""

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
# what site parameters change at most; all others change tensors
_REACH = {"amplitude": SCALES, "gaussian": SCALES, "lorentzian": SCALES, "shift": MOVES}
# asymmetries and widths that do not change a spectrum to first order where they are zero
_FLAT_AT_ZERO = ("eta", "eta_q", "gaussian", "shielding_spread", "quadrupolar_spread")


class SpectrumTerm(PlannedSpectrum):
    """Residuals ``(calculated - observed)/sigma`` of one spectrum; see `MeasuredSpectrum` for how it is calculated.

    It knows its sites, so that it has a plan for their starting values from the beginning, which takes what is zero for absent;
    binding it plans for what is refined.

    Parameters, below the term's name: ``shift[Na1]`` and ``zeta`` in ppm, ``eta``, ``cq`` in Hz, ``eta_q``,
    ``euler[Na1.alpha]`` in degrees, ``amplitude``, ``gaussian`` and ``lorentzian`` (full widths at half maximum) in Hz,
    ``shielding_spread`` in ppm, ``quadrupolar_spread`` in Hz; ``scale``, ``baseline[0]``, ``phase0``, ``phase1`` in
    degrees, ``mas`` in Hz and ``rotor_angle`` in degrees. A spin 1/2 has no quadrupolar ones. Scale and amplitudes say the same thing: free one of
    them. A spectrum does not depend on ``eta``, ``eta_q``, ``gaussian`` and the spreads to first order where they are 0:
    start them elsewhere (0.1) to refine them.

    Attributes:
        template, frames: what of the sites is not refined, and the axes of their quadrupolar tensors.
        moving: ``(name, site)`` of the site parameters by which the spectrum is differentiated.
        The others are those of `PlannedSpectrum`.

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

    # -- what others read ----------------------------------------------------------------------------------------
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
        """Parameters in which the sites have the shifts and tensors of those with the same labels in another spectrum.

        So spectra at several fields are fitted with one set of sites; amplitudes and widths stay their own.

        Args:
            params: of an objective with both spectra.
            other: name of the other spectrum, whose parameters stay as they are.

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
        """Names of stages and what to free in them, in an order that finds its way from rough starting values.

        All at once, a pattern that starts in the wrong place is rather broadened or made axial than moved. What there is of
        crystals does not matter here.
        """
        names = self.start
        has = lambda *wanted: tuple(f"{self.name}/{name}" for name in wanted if name in names)
        of = lambda name, where: tuple(
            f"{self.name}/{name}[{label}]"
            for label, ok, leads in zip(self.labels, where, self._leads, strict=True)
            # what a site has of another one follows that
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
        """Whether the spectrum is the same for either sign of C_Q: to second order, with nothing to compare it with."""
        alone = values["zeta"][k] == 0 and values["shielding_spread"][k] == 0 and not self.template.partners
        return bool(alone) and self._shown(k) <= {(0.5, -0.5)}

    def _shown(self, k: int) -> set[tuple[float, float]]:
        """Transitions of a site."""
        return {pair for group in self.plan.groups if k in group.members for pair in group.transitions}

    def _described(self, state: HostState) -> tuple[dict[str, np.ndarray], Sites, np.ndarray]:
        return on_host(state.local(self.name)), self.template, np.asarray(self.frames)

    def _planned_for(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        check_values(values, self.moving, self.labels, self.name)
        return self.moving

    def _present(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        """What can be seen of the sites: what is zero is taken for absent (host)."""
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
        """Which sites have a shift and tensors of their own."""
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
        """Every parameter of every site."""
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
        # the plan has no nodes for a distribution that was zero and fixed: NaN, rather than no distribution
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
            # rounding would be scaled up to a step of 1e11 degrees
            flat = flat_angles(values["euler"], 1e-6) & self._symmetric[:, None]
            unit["euler"] = jnp.where(flat, 0.0, unit["euler"])
        reach = [_REACH.get(name, RESHAPES) for name, *_ in own]
        along = jnp.stack([pushed[name][(slice(None), *place)] for name, *place in own])
        return Changes(jax.vmap(push)(unit), self._columns(own), reach, along, strays)

    def _own(self) -> list[tuple]:
        """``(name, site)`` or ``("euler", site, angle)`` of the parameters the Jacobian is taken by."""
        return [
            item
            for name, k in sorted(self.moving, key=lambda pair: (pair[1], pair[0]))
            for item in ([(name, k, angle) for angle in range(len(ANGLES))] if name == "euler" else [(name, k)])
        ]

    def _columns(self, own: list[tuple]) -> np.ndarray:
        """``(sites, most)`` rows of ``own`` by site, filled up with -1."""
        by_site = [[row for row, item in enumerate(own) if item[1] == k] for k in range(len(self.labels))]
        most = max(map(len, by_site))
        return np.array([rows + [-1] * (most - len(rows)) for rows in by_site])

    def _strays(self, pushed: Mapping[str, Array], own: list[tuple]) -> Array:
        """Which columns move a site in what binding was not told of, ``(columns,)``."""
        known = {name: np.zeros(np.shape(pushed[name])[1:], dtype=bool) for name in self._names}
        for name, *place in own:
            known[name][tuple(place)] = True
        moved = [jnp.any((pushed[name] != 0) & ~k, axis=tuple(range(1, k.ndim + 1))) for name, k in known.items()]
        return jnp.any(jnp.stack(moved), axis=0)

    def _scaled(self, start: dict[str, np.ndarray], *, keep: bool) -> dict[str, np.ndarray]:
        """Starting values with least-squares amplitudes and baseline (host)."""
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
            # a site that starts in the wrong place must not start without intensity, or it could not move
            start = start | {"amplitude": np.maximum(amplitude, 0.02 * amplitude.sum() / len(amplitude))}
            found = amplitude
        if not found.sum() > 0:
            raise DataError(
                f"{self.name!r}: the sites fit the data with negative amplitudes only; the phase of the spectrum may be "
                "wrong by 180 degrees, or the sites far from its lines"
            )
        return start | ({"baseline": baseline} if "baseline" in start else {})


_per_amplitude_compiled = compiled(per_amplitude, kept=True)
