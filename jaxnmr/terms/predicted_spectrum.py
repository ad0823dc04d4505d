"""`PredictedSpectrumTerm`: a measured NMR spectrum against that of sites with predicted tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import set_fields, static
from ..crystal import Crystal
from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..nmr import ShiftReference, Sites, Spectrum, SpectrumMAS, SpectrumPlan, SpectrumStatic, isotope
from ..nmr.powder.simulation import MOVES, RESHAPES, SCALES
from ..nmr.quadrupolar import cq_hz_per_au
from ..nmr.tensors import TRACELESS_DYADS
from ..objective.state import EFG, SHIELDING, State, TensorRead
from ..objective.term import bound_as
from ..typing import Array, Quantity
from .measured_spectrum import Changes, MeasuredSpectrum, PlannedSpectrum, flat_at_zero, on_host
from .site_parameters import WIDTHS, described, width
from .site_term import Place, SiteTerm, reference_start
from .spectrum_evidence import SpectrumEvidence, predicted_columns
from .spectrum_start import observed_part

if TYPE_CHECKING:
    from ..objective import HostState, Parameters

# fields of a site: effect of a change on the spectrum, and names used in planning
_FIELDS = {
    "shift_ppm": (MOVES, ("shift",)),
    "shielding_ppm": (RESHAPES, ("zeta", "eta")),
    "quadrupolar_hz": (RESHAPES, ("cq", "eta_q")),
    "gaussian_hz": (SCALES, ("gaussian",)),
    "lorentzian_hz": (SCALES, ("lorentzian",)),
}
_TENSORS = ("shielding_ppm", "quadrupolar_hz")
# error parameters of predictions
SHIFT_ERROR, COUPLING_ERROR = "shift_error", "coupling_error"


class PredictedSpectrumTerm(MeasuredSpectrum, SiteTerm):
    """A measured spectrum whose sites follow the structure; see `BoundPredictedSpectrum` for the residuals.

    Shifts are ``reference + slope sigma_iso``, their anisotropy is that of the predicted SHIELDING tensor times
    ``-slope``, and quadrupolar tensors come from the predicted field gradient. Both are in the frame of the crystal, so
    that their relative orientation needs no angles. Sites are weighted by their multiplicity. See `MeasuredSpectrum`
    for how the spectrum is calculated. The objective needs a model for every quantity that is read.

    A spectrum is differentiated by the components of each site's own tensors, however many parameters move the atoms.
    Start each line within one linewidth of the observed one: farther away the gradient carries no information.

    Parameters, below the term's name: ``scale``, the total intensity of all sites; ``reference`` in ppm and ``slope``,
    or ``shift[O1]`` if shieldings are given; ``gaussian`` and ``lorentzian`` in Hz, one for all sites or
    ``gaussian[O1]``; ``baseline[0]``, ``phase0``, ``phase1`` in degrees and ``mas`` in Hz. With ``errors`` also
    ``shift_error[O1]`` in ppm, the error of the predicted shift, and ``coupling_error[O1]``, the relative error of the
    predicted field gradient: free them, and add `ModelErrors` as their prior. Otherwise predictions are taken as exact.

    Attributes:
        given: anisotropic SHIELDING by label, ppm; ``None`` if predicted by a model.
        hz_per_au: C_Q of a field gradient of one atomic unit; 0 for a spin 1/2.
        anisotropic: whether an anisotropy of the shielding is observable: not if spinning averages it out.
        errors: whether errors of predictions are parameters.
        All other attributes are those of `MeasuredSpectrum` and `SiteTerm`.

    Example:
        >>> silica = jn.ShiftReference(-94.9)
        >>> term = jn.PredictedSpectrumTerm(jn.SpectrumMAS("29Si", b0_tesla=9.4), data, reference=silica, name="si")  # doctest: +SKIP
        >>> jn.Objective(term, crystal=quartz, models=jn.TensorModel.load("silica-29si"))  # doctest: +SKIP
    """

    given: dict[str, Array] | None
    hz_per_au: float = static()
    anisotropic: bool = static()
    errors: bool = static()

    @checked
    def __init__(
        self,
        simulation: SpectrumStatic | SpectrumMAS,
        spectrum: Spectrum,
        *,
        reference: ShiftReference | None = None,
        phase: str | None = None,
        sites: Sequence[str] | None = None,
        name: str = "nmr",
        region_ppm: Sequence[tuple[float, float]] | tuple[float, float] | None = None,
        baseline: int = 0,
        sigma: float | None = None,
        noise_ppm: tuple[float, float] | None = None,
        pivot_ppm: float | None = None,
        gaussian_hz: float | Mapping[str, float] = 0.0,
        lorentzian_hz: float | Mapping[str, float] = 0.0,
        q_barn: float | None = None,
        shielding: Mapping[str, object] | None = None,
        errors: bool = False,
    ):
        """Compare a measured spectrum with that of predicted tensors; the scale starts at the sum of the data.

        Args:
            simulation: nucleus, field, spinning, transitions. Its Larmor frequency is replaced by the spectrum's if the
                two agree to a thousandth.
            spectrum: measured spectrum; only the real part is fitted.
            reference: chemical-shift reference.
            phase: name of the crystal; needed when there are several.
            sites: labels of the sites in the spectrum; by default all sites of the nucleus.
            name: prefix of the parameters.
            region_ppm: fitted region, ``(low, high)`` or several; all by default.
            baseline: number of terms of the polynomial.
            sigma: noise of every point; by default the spectrum's own, or else measured in it.
            noise_ppm: region without signal for that measurement; by default the noise is estimated from differences of
                neighbouring points, which is wrong for zero-filled spectra.
            pivot_ppm: shift at which ``phase1`` has no effect; by default that of the highest point.
            gaussian_hz, lorentzian_hz: starting widths, a number for all sites or one per site by label. By default a
                Gaussian of four points.
            q_barn: quadrupole moment; an effective one, see `jaxnmr.nmr.EffectiveQuadrupole`, corrects the model.
            shielding: for every site by label, if no model predicts it: an isotropic SHIFT in ppm, or a SHIELDING
                tensor ``(3, 3)`` in ppm in the frame of ``crystal.lattice()``. Tensors are fixed; the shifts are
                parameters.
            errors: whether errors of predicted shifts and field gradients are parameters, see above.

        Raises:
            ConventionError: the spectrum is of another nucleus or field, there is no reference or no quadrupole moment,
                or regions or widths are invalid.
            ShapeError: a shielding is neither a number nor a tensor.
            DataError: values are not finite, there is no noise, or the sum of the data is not positive.
            ParameterError: a site is named twice.
        """
        atom = isotope(simulation.isotope)
        data = observed_part(
            simulation, spectrum, name=name, region_ppm=region_ppm, baseline=baseline, sigma=sigma, noise_ppm=noise_ppm,
            pivot_ppm=pivot_ppm,
        )  # fmt: skip
        labels = None if sites is None else tuple(sites)
        if labels is not None and len(set(labels)) != len(labels):
            raise ParameterError(f"{name!r}: {', '.join(labels)}: a site is named twice")
        hz_per_au = 0.0
        if atom.is_quadrupolar:
            hz_per_au = float(cq_hz_per_au(atom, q_barn, prefix=f"{name!r}: "))
        start, given = data.pop("start"), None
        if shielding is None:
            start |= reference_start(reference, name)
        else:
            start["shift"], given = _given(shielding, reference, name)
        start |= _widths(gaussian_hz, lorentzian_hz, data["axis"][1], name)
        start |= _sum_of_data(data["observed"], start, name)
        along = 1.5 * np.cos(np.radians(simulation.rotor_angle_deg)) ** 2 - 0.5
        averaged = bool(np.isinf(simulation.mas_hz) and abs(along) < 1e-9)
        set_fields(
            self, start=start, given=given, hz_per_au=hz_per_au, anisotropic=not averaged, errors=bool(errors), nucleus=atom.symbol,
            sigma_model=None, labels=labels, phase=phase, **data,
        )  # fmt: skip

    # -- interface of terms --------------------------------------------------------------------------------------
    def site_labels(self, crystals: Mapping[str, Crystal]) -> tuple[str, ...]:
        phase, sites = self.where(crystals)
        return tuple(crystals[phase].labels[k] for k in sites)

    def stages(
        self, crystals: Mapping[str, Crystal], prefix: Callable[[str], str]
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """List names of stages with the parameters to free in them: intensities, then coordinates, then widths.

        Args:
            crystals: structures by phase name.
            prefix: returns the prefix of a phase's parameters, :meth:`Objective.phase_prefix`.
        """
        has = lambda *wanted: tuple(f"{self.name}/{name}" for name in wanted if name in self.start)
        widths = [name for name in WIDTHS if any(value > 0 for value in _numbers(self.start[name]))]
        return (
            ("positions and intensities", has("scale", "shift", "baseline")),
            ("coordinates", (prefix(self.where(crystals)[0]) + "xyz",)),
            ("widths", has(*widths)),
        )

    def bind(self, state: HostState, params: Parameters) -> BoundPredictedSpectrum:
        at = self.place(state.crystals)
        atoms = np.array([site.multiplicity for site in state.crystals[at.phase].sites()], dtype=float)[list(at.sites)]
        placed = bound_as(_Placed, self, at=at, share=atoms / atoms.sum())
        described = placed._described(state)
        if described is None:
            raise DataError(f"{self.name!r}: predicted tensors are not finite at the starting structure")
        moved = self._moving(params.moved_names or params.labels)
        plan, planned = placed._made(*described, self._reached(moved["moving"], described[0]))
        return bound_as(BoundPredictedSpectrum, placed, plan=plan, planned=planned, moving_angle=False, **moved)

    def _moving(self, free: tuple[str, ...]) -> dict[str, Any]:
        """Return the fields of `Sites` that these parameters move, and whether they move the spinning speed."""
        prefix = self.name + "/"
        mine = {full.removeprefix(prefix).partition("[")[0] for full in free if full.startswith(prefix)}
        atoms = any(full.partition("[")[0].rpartition("/")[2] in ("cell", "xyz") for full in free)
        moved = {f"{name}_hz" for name in WIDTHS if name in mine}
        if self.given is not None:
            moved |= {"shift_ppm"} if "shift" in mine else set()
        elif atoms or "slope" in mine:
            moved |= {"shift_ppm", "shielding_ppm"}
        elif mine & {"reference", SHIFT_ERROR}:
            moved.add("shift_ppm")
        moved |= {"quadrupolar_hz"} if atoms or COUPLING_ERROR in mine else set()
        moving = tuple(name for name in self._present if name in moved)
        return {"moving": moving, "moving_mas": "mas" in self.start and "mas" in mine}

    def _reached(self, moving: Sequence[str], values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        """Return the pairs ``(name, site)`` that may change while these fields of `Sites` move (host)."""
        names = [name for field in moving for name in _FIELDS[field][1]]
        pairs = [(name, k) for name in names for k in range(len(values["shift"]))]
        if self.hz_per_au and set(moving) & set(_TENSORS):
            both = ("shielding_ppm" in moving) | (values["zeta"] != 0)
            pairs += [("euler", int(k)) for k in np.flatnonzero(np.broadcast_to(both, values["zeta"].shape))]
        return pairs

    # -- parts ---------------------------------------------------------------------------------------------------
    @property
    def error_names(self) -> tuple[str, ...]:
        """Local names of the error parameters of predictions."""
        shifts = (SHIFT_ERROR,) if self.errors and self.given is None else ()
        return (*shifts, *((COUPLING_ERROR,) if self.errors and self.hz_per_au else ()))

    @property
    def _scale_step(self) -> float:
        return 0.1 * float(self.start["scale"])

    @property
    def _present(self) -> tuple[str, ...]:
        """Fields of the sites that can change."""
        absent = set() if self.hz_per_au else {"quadrupolar_hz"}
        absent |= {"shielding_ppm"} if self.given is not None or not self.anisotropic else set()
        return tuple(name for name in _FIELDS if name not in absent)

    def _site_quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        labels, out = self.site_labels(crystals), {}
        if self.given is None:
            number = lambda name, **of: Quantity(np.array(self.start[name]), **of)
            out["reference"] = number("reference", unit="ppm", doc="shift without shielding")
            out["slope"] = number("slope", scale=0.01, doc="of shifts by predicted shieldings")
        else:
            shift = self._by_site("shift", labels)
            out["shift"] = Quantity(shift, unit="ppm", labels=labels, doc="isotropic chemical shift")
        for name in self.error_names:
            unit, scale = ("ppm", 1.0) if name == SHIFT_ERROR else ("", 0.01)
            out[name] = Quantity(np.zeros(len(labels)), unit=unit, labels=labels, scale=scale, doc="of the prediction")
        for name in WIDTHS:
            each = isinstance(self.start[name], dict)
            value = self._by_site(name, labels) if each else np.array(self.start[name])
            out[name] = width(name, value, labels if each else (), self.step_hz)
        return out

    def _by_site(self, name: str, labels: tuple[str, ...]) -> np.ndarray:
        """Return numbers given by label in the order of the sites."""
        numbers = self.start[name]
        wrong = sorted(set(labels) ^ set(numbers))
        if wrong:
            argument = "shielding" if name == "shift" else f"{name}_hz"
            raise ParameterError(
                f"{self.name!r}: {argument} names {', '.join(numbers)}, the {self.nucleus} sites are {', '.join(labels)}: "
                "give a value for each of them, or name those that the spectrum shows with sites="
            )
        return np.array([numbers[label] for label in labels], dtype=float)


class _Placed(PredictedSpectrumTerm):
    """A term whose sites and intensities are known; see `BoundPredictedSpectrum`."""

    share: Array
    at: Place = static()

    def sites_at(self, state: State) -> Sites:
        """Return the sites, with amplitudes that add up to 1 (traceable).

        Raises:
            ParameterError: no model predicts a quantity that the spectrum depends on.
        """
        values, labels = state.local(self.name), self.at.labels
        count = len(labels)
        traceless = lambda tensor: tensor - jnp.trace(tensor, axis1=1, axis2=2)[:, None, None] / 3.0 * jnp.eye(3)
        anisotropy = quadrupolar = jnp.zeros((count, 3, 3), jnp.result_type(values["scale"]))
        if self.given is None:
            tensor = self._tensor(state, SHIELDING, "; or give its shifts, shielding={label: ppm}")
            shift = values["reference"] + values["slope"] * jnp.trace(tensor, axis1=1, axis2=2) / 3.0
            if SHIFT_ERROR in values:
                shift = shift + values[SHIFT_ERROR]
            if self.anisotropic:
                anisotropy = -values["slope"] * traceless(tensor)
        else:
            shift = jnp.asarray(values["shift"])
            if self.anisotropic:
                anisotropy = jnp.stack([jnp.asarray(self.given[label]) for label in labels])
        if self.hz_per_au:
            quadrupolar = self.hz_per_au * traceless(self._tensor(state, EFG))
            if COUPLING_ERROR in values:
                quadrupolar = (1.0 + values[COUPLING_ERROR])[:, None, None] * quadrupolar
        # a tensor of NaN must not silently drop out of the window
        known = jnp.isfinite(shift + jnp.sum(anisotropy + quadrupolar, axis=(1, 2)))
        return Sites.traced(
            self.nucleus, labels, shift, shielding_ppm=anisotropy, quadrupolar_hz=quadrupolar,
            amplitude=jnp.where(known, jnp.asarray(self.share), jnp.nan),
            gaussian_hz=values["gaussian"], lorentzian_hz=values["lorentzian"],
        )  # fmt: skip

    def _tensor(self, state: State, head: str, hint: str = "") -> Array:
        """Return the symmetric part of predicted tensors, ``(sites, 3, 3)``."""
        try:
            tensor = state.tensor(head, self.at.phase, sites=self.at.sites)
        except ParameterError as error:
            raise ParameterError(f"{self.name!r}: {error}{hint}") from None
        tensor = tensor.astype(jnp.result_type(state.values[f"{self.name}/scale"]))
        return 0.5 * (tensor + jnp.swapaxes(tensor, 1, 2))

    def _described(self, state: HostState) -> tuple[dict[str, np.ndarray], Sites, np.ndarray] | None:
        sites = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=float), self.sites_at(state))
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sites)):
            return None
        template, frames, values = described(sites)
        local = state.local(self.name)
        return values | on_host({"mas": local["mas"]} if "mas" in local else {}), template, frames


class BoundPredictedSpectrum(_Placed, PlannedSpectrum):
    """Residuals ``(calculated - observed)/sigma`` of one spectrum whose sites follow the structure.

    Attributes:
        share: ``(sites,)`` fractions of the intensity.
        at: location of the sites.
        moving: fields of `Sites` by which the spectrum is differentiated.
        All other attributes are those of `PlannedSpectrum` and `PredictedSpectrumTerm`.
    """

    moving: tuple[str, ...] = static()

    @property
    def reads(self) -> tuple[TensorRead, ...]:
        read = lambda head, part: TensorRead(self.at.phase, head, self.at.sites, part)
        part = "symmetric" if self.anisotropic else "isotropic"
        shielding = () if self.given is not None else (read(SHIELDING, part),)
        return (*shielding, *((read(EFG, "symmetric"),) if self.hz_per_au else ()))

    def evidence(self, state: State) -> SpectrumEvidence:
        return self._evidence(state, predicted=predicted_columns(self.sites_at(state)))

    def warnings(self, state: State) -> tuple[str, ...]:
        neglected = self._neglected(self.sites_at(state))
        if "gaussian_hz" not in self.moving:
            return neglected
        values = np.atleast_1d(state.local(self.name)["gaussian"])
        full = f"{self.name}/gaussian"
        if len(values) == 1:
            names = [full]
        else:
            names = [f"{full}[{label}]" for label in self.at.labels]
        return neglected + tuple(flat_at_zero(of) for of, value in zip(names, values, strict=True) if value <= 0)

    # -- planning ------------------------------------------------------------------------------------------------
    def bind(self, state: HostState, params: Parameters) -> BoundPredictedSpectrum:
        if not params.n_free:
            return super().bind(state, params)  # bound in a new objective, perhaps to another structure
        return self.differentiable(params.moved_names)._planned(state)

    def differentiable(self, free: tuple[str, ...]) -> BoundPredictedSpectrum:
        return self.replace(**self._moving(free))

    def _planned_for(self, values: Mapping[str, np.ndarray]) -> Collection[tuple[str, int]]:
        return self._reached(self.moving, values)

    # -- derivatives ---------------------------------------------------------------------------------------------
    def _now(self, state: State) -> tuple[SpectrumPlan, Sites]:
        sites, values = self.sites_at(state), state.local(self.name)
        return (self.plan.with_mas(values["mas"]) if "mas" in values else self.plan), sites

    def _changes(self, state: State, tangents: State, sites: Sites) -> Changes:
        push = lambda tangent: jax.jvp(self.sites_at, (state,), (tangent,))[1]
        pushed = jax.vmap(push)(tangents)
        moving = self.moving
        strays: Any = [
            jnp.any(getattr(pushed, field) != 0, axis=tuple(range(1, 4 if field in _TENSORS else 2)))
            for field in _FIELDS
            if field not in moving
        ]
        strays = jnp.any(jnp.stack(strays), axis=0) if strays else jnp.zeros(len(pushed.shift_ppm), bool)
        count = len(sites)
        if not moving:
            return Changes(None, np.zeros((count, 0), dtype=int), (), None, strays)
        parts = [len(TRACELESS_DYADS) if field in _TENSORS else 1 for field in moving]
        total = count * sum(parts)
        tangent = {f: np.zeros((total, *np.shape(getattr(sites, f)))) for f in moving}
        columns, along, reach, first = [], [], [], 0
        for field, many in zip(moving, parts, strict=True):
            rows = first + np.arange(count * many).reshape(count, many)
            of = getattr(pushed, field)
            if field in _TENSORS:
                tangent[field][rows, np.arange(count)[:, None]] = TRACELESS_DYADS
                along.append(jnp.einsum("pkij,aij->kap", of, TRACELESS_DYADS).reshape(count * many, -1))
            else:
                tangent[field][rows[:, 0], np.arange(count)] = 1.0
                along.append(of.T)
            columns.append(rows)
            reach += [_FIELDS[field][0]] * rows.size
            first += rows.size
        blank = jax.tree.map(lambda leaf: jnp.zeros((total, *jnp.shape(leaf)), jnp.result_type(leaf)), sites)
        dtype = sites.shift_ppm.dtype
        directions = blank.replace(**{field: jnp.asarray(array, dtype) for field, array in tangent.items()})
        return Changes(directions, np.concatenate(columns, axis=1), reach, jnp.concatenate(along), strays)


def _given(shielding: Mapping[str, object], reference: ShiftReference | None, name: str):
    """Split given shieldings into isotropic shifts and anisotropic shielding, by label."""
    shifts, tensors = {}, {}
    for label, value in shielding.items():
        value = np.asarray(value, dtype=float)
        if value.shape not in ((), (3, 3)):
            raise ShapeError(f"{name!r}: shielding of {label} has the shape {value.shape}; expected a number or (3, 3)")
        if not np.isfinite(value).all():
            raise DataError(f"{name!r}: shielding of {label} is not finite")
        tensors[label] = np.zeros((3, 3))
        if value.ndim:
            of = reference_start(reference, name)
            iso = np.trace(value) / 3.0
            tensors[label] = -of["slope"] * (0.5 * (value + value.T) - iso * np.eye(3))
            value = of["reference"] + of["slope"] * iso
        shifts[label] = float(value)
    return shifts, tensors


def _widths(gaussian_hz, lorentzian_hz, step_hz: float, name: str) -> dict[str, float | dict[str, float]]:
    """Return starting widths, as numbers or by label; a Gaussian of four points for sites without any width."""
    by_label = lambda value: dict(value) if isinstance(value, Mapping) else value
    widths = [by_label(gaussian_hz), by_label(lorentzian_hz)]
    for argument, value in zip(WIDTHS, widths, strict=True):
        numbers = np.array(_numbers(value), dtype=float)
        if not (np.isfinite(numbers).all() and (numbers >= 0).all()):
            raise ConventionError(f"{name!r}: {argument}_hz is {value}; expected 0 or more")
    gaussian, lorentzian = widths
    if isinstance(gaussian, dict) or isinstance(lorentzian, dict):
        at = lambda value, label: float(value.get(label, 0.0) if isinstance(value, dict) else value)
        bare = lambda label: at(gaussian, label) + at(lorentzian, label) <= 0
        if isinstance(gaussian, dict):
            gaussian = {label: 4.0 * step_hz if bare(label) else float(v) for label, v in gaussian.items()}
        elif any(bare(label) for label in lorentzian):
            gaussian = 4.0 * step_hz
    elif gaussian + lorentzian <= 0:
        gaussian = 4.0 * step_hz
    return {"gaussian": gaussian, "lorentzian": lorentzian}


def _numbers(value: Any) -> list[float]:
    """List all numbers of a width."""
    return list(value.values()) if isinstance(value, Mapping) else [value]


def _sum_of_data(observed: np.ndarray, start: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    """Return starting values of the scale and, if present, of a baseline through both ends."""
    end = max(1, len(observed) // 20)
    level = float(np.mean([observed[:end], observed[-end:]])) if "baseline" in start else 0.0
    if not np.sum(observed - level) > 0:
        # in a spectrum that fills the region the baseline is not visible
        level = 0.0
    total = float(np.sum(observed - level))
    if not total > 0:
        raise DataError(
            f"{name!r}: what is fitted adds up to {total:g}, which is not positive; the phase of the spectrum may be wrong by "
            "180 degrees, or it needs baseline=1"
        )
    baseline = {"baseline": np.eye(1, len(start["baseline"]))[0] * level} if "baseline" in start else {}
    return baseline | {"scale": np.array(total)}
