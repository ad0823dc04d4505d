"""`PeakListTerm`: isotropic shifts of a peak list against predicted shifts of sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import set_fields, static
from ..crystal import Crystal
from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..nmr import ShiftReference, isotope
from ..objective.evidence import Rows, rows_of
from ..objective.state import SHIELDING, State, TensorRead
from ..objective.term import bound_as, calculated_of
from ..typing import Array, Numbers, Quantity
from .common_error import common_errors, decorrelated, log_variance
from .site_term import Place, SiteTerm, common_spread, has_changed, reference_start, site_spread

if TYPE_CHECKING:
    from ..objective import HostState, Parameters

# assignments and common errors converge in two or three
_ROUNDS = 20


class PeakListTerm(SiteTerm):
    """Isotropic shifts of peaks, compared with those of sites; see `BoundPeaks` for the residuals.

    The assignment of sites to peaks is given, or found as the one with the least chi² in which every peak has a site.
    It is held fixed for derivatives and updated after every step; a change is noted in the history. A peak may hold
    several sites, each of which is expected at the peak: overlapping lines cannot be far apart. An automatic assignment
    follows the structure into the closest minimum, so a wrong start can make a wrong assignment look right.

    Parameters, below the term's name: ``reference`` in ppm and ``slope``, both fixed unless freed.

    Attributes:
        shifts, sigma: ``(peaks,)`` ppm.
        model_sigma: independent uncertainty of predictions in ppm, a number or ``(sites,)``; 0 if the model provides it.
        common_sigma: standard deviation of the error common to all predictions, ppm; NaN if the model provides it.
        assignment: peak of every site, if given; empty if it is to be found.
        counts: number of sites per peak; ``None`` for at least one.
        All other attributes are those of `SiteTerm`.

    Example:
        >>> silica = jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)
        >>> jn.PeakListTerm("29Si", [-107.4], sigma=0.2, sigma_model="model", reference=silica, name="si").name
        'si'
    """

    shifts: Array
    sigma: Array
    model_sigma: Array
    common_sigma: Array
    assignment: tuple[int, ...] = static()
    counts: tuple[int, ...] | None = static()

    @checked
    def __init__(
        self,
        nucleus: str,
        shifts_ppm: Numbers,
        *,
        sigma: Numbers,
        reference: ShiftReference | None = None,
        sigma_model: float | Sequence[float] | Literal["model"] | None = None,
        sigma_common: float | None = None,
        assignment: Sequence[str | Sequence[str]] | None = None,
        counts: Sequence[int] | None = None,
        sites: Sequence[str] | None = None,
        phase: str | None = None,
        name: str = "peaks",
    ):
        """Compare a list of peaks with the isotropic shifts of sites.

        Args:
            nucleus: isotope, ``"29Si"``.
            shifts_ppm: shifts of the peaks, ``(peaks,)``.
            sigma: uncertainty of the position of a site in the peak, ppm, a number or ``(peaks,)``: the error of the
                shift, or half the width of a peak of several unresolved lines.
            reference: chemical-shift reference.
            sigma_model: independent uncertainty of each prediction in ppm, a number or ``(sites,)``; ``"model"`` takes
                the model's own, calibrated, at the current structure.
            sigma_common: standard deviation of an error common to the predictions of all sites, ppm. By default the
                model's own if ``sigma_model`` is ``"model"``, and none otherwise. It has no effect if the reference is
                free.
            assignment: label of the site of every peak, or several; found automatically by default.
            counts: number of sites in each peak, from intensities; at least one by default.
            sites: labels of the sites that give the peaks; by default all sites of the nucleus.
            phase: name of the crystal; needed when there are several.
            name: prefix of the parameters.

        Raises:
            ConventionError: there is no reference, or sigma_model is an unknown word.
            ShapeError: lists have different lengths.
            DataError: numbers are not finite, or uncertainties not positive.
            ParameterError: the assignment contradicts itself or other arguments.
        """
        atom = isotope(nucleus)
        shifts = np.asarray(shifts_ppm, dtype=float)
        if shifts.ndim != 1 or not len(shifts):
            raise ShapeError(f"{name!r}: shifts_ppm has the shape {shifts.shape}; expected a list of numbers")
        if not np.isfinite(shifts).all():
            raise DataError(f"{name!r}: peak {int(np.flatnonzero(~np.isfinite(shifts))[0]) + 1} is not finite")
        peak: tuple[int, ...] = ()
        if assignment is not None:
            if sites is not None or counts is not None:
                raise ParameterError(
                    f"{name!r}: an assignment already says which sites there are; leave out sites, counts"
                )
            groups = [(of,) if isinstance(of, str) else tuple(of) for of in assignment]
            if len(groups) != len(shifts):
                raise ShapeError(f"{name!r}: {len(groups)} assignments for {len(shifts)} peaks; expected one of each")
            sites = tuple(label for group in groups for label in group)
            peak = tuple(k for k, group in enumerate(groups) for _ in group)
        labels = None if sites is None else tuple(sites)
        repeated = [] if labels is None else sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ParameterError(f"{name!r}: {', '.join(repeated)} is named twice; a site has one peak")
        if counts is not None:
            counts = tuple(int(n) for n in counts)
            if len(counts) != len(shifts) or min(counts) < 1:
                raise ShapeError(f"{name!r}: counts are {counts}; expected a number of sites, 1 or more, for each peak")
        model_sigma = np.zeros(())
        if isinstance(sigma_model, str):
            if sigma_model != "model":
                raise ConventionError(f"{name!r}: sigma_model is {sigma_model!r}; expected numbers or 'model'")
        else:
            model_sigma = np.asarray(0.0 if sigma_model is None else sigma_model, dtype=float)
            if not (np.isfinite(model_sigma).all() and (model_sigma >= 0).all()):
                raise DataError(f"{name!r}: sigma_model is {sigma_model}; expected 0 or more")
            sigma_model = None
        common_sigma = common_spread(sigma_common, 1, sigma_model, name)
        set_fields(
            self, shifts=shifts, sigma=site_spread(sigma, len(shifts), 1, f"sigma of {name!r}")[:, 0],
            model_sigma=model_sigma, common_sigma=common_sigma, start=reference_start(reference, name), sigma_model=sigma_model, counts=counts,
            assignment=peak, nucleus=atom.symbol, labels=labels, phase=phase, name=name,
        )  # fmt: skip

    @property
    def fixed(self) -> bool:
        """Return whether the assignment was given."""
        return bool(self.assignment)

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        phase, sites = self.where(crystals)
        found, peaks = len(sites), len(self.shifts)
        if found < peaks:
            raise ParameterError(
                f"{self.name!r}: {peaks} peaks for {found} {self.nucleus} sites of {phase}: leave out those of impurities, or "
                "use a structure with lower symmetry"
            )
        if self.counts is not None and sum(self.counts) != found:
            raise ParameterError(
                f"{self.name!r}: counts {self.counts} add up to {sum(self.counts)}, but {phase} has {found} {self.nucleus} "
                "sites; name those that are meant with sites="
            )
        if np.shape(self.model_sigma) not in ((), (found,)):
            raise ShapeError(
                f"{self.name!r}: sigma_model has the shape {np.shape(self.model_sigma)}; expected ({found},)"
            )
        return super().quantities(crystals)

    def bind(self, state: HostState, params: Parameters) -> BoundPeaks:
        bound = bound_as(
            BoundPeaks, self, at=self.place(state.crystals), peak=np.array(self.assignment, dtype=int),
            model_sigma=np.zeros(()) if self.wants_predictions else self.model_sigma,
            model_common=np.nan_to_num(np.asarray(self.common_sigma)),
        )  # fmt: skip
        if self.wants_predictions:
            bound = bound.replace(**bound._of_model(state))
        return bound if self.fixed else bound.replace(peak=bound._best(state))


class BoundPeaks(PeakListTerm):
    """Residuals ``(shift of the site - shift of its peak)/sigma``, one per site, whitened for the common error.

    Attributes:
        peak: ``(sites,)`` peak of every site.
        model_sigma: independent uncertainty of predictions in ppm, a number or ``(sites,)``.
        model_common: standard deviation of the error common to all predictions, ppm.
        at: location of the sites.
        All other attributes are those of `PeakListTerm`.
    """

    peak: Array
    model_common: Array
    at: Place = static()

    @property
    def reads(self) -> tuple[TensorRead, ...]:
        return (TensorRead(self.at.phase, SHIELDING, self.at.sites, "isotropic"),)

    def calculated(self, state: State) -> Array:
        """Return isotropic shifts of the sites, ppm."""
        values = state.local(self.name)
        shielding = state.tensor(SHIELDING, self.at.phase, sites=self.at.sites)
        return values["reference"] + values["slope"] * jnp.trace(shielding, axis1=1, axis2=2) / 3.0

    def length(self, state: Callable[[], State]) -> int:
        return len(self.peak)

    def residuals(self, state: State) -> Array:
        peak = jnp.asarray(self.peak)
        sigma = jnp.sqrt(jnp.asarray(self.sigma)[peak] ** 2 + jnp.asarray(self.model_sigma) ** 2)
        plain = (self.calculated(state) - jnp.asarray(self.shifts)[peak]) / sigma
        return decorrelated(plain, (self.model_common / sigma)[None])

    def log_variance(self, moved: frozenset[str]) -> float:
        if not self.wants_predictions:
            return 0.0
        sigma = self._sigma()
        common = log_variance(1.0 / sigma[None], [float(self.model_common)], [f"{self.name}/reference" in moved])
        return float(2.0 * np.sum(np.log(sigma))) + common

    def _sigma(self) -> np.ndarray:
        """Return uncertainties ``(sites,)`` without the common error (host)."""
        return np.hypot(np.asarray(self.sigma)[np.asarray(self.peak)], np.asarray(self.model_sigma))

    def assigned(self) -> dict[str, float]:
        """Return the shift of the peak of every site, ppm, by label (host)."""
        return dict(zip(self.at.labels, np.asarray(self.shifts)[np.asarray(self.peak)].tolist(), strict=True))

    def replan(self, state: HostState) -> tuple[BoundPeaks, str]:
        term, notes = self, []
        if self.wants_predictions:
            found = self._of_model(state)
            # a kink in chi² at every step would mislead the search: only if the change is significant
            if any(has_changed(np.asarray(getattr(self, name)), value) for name, value in found.items()):
                notes.append("uncertainty taken from the model")
                term = term.replace(**found)
        if self.fixed:
            return term, "; ".join(notes)
        peak = term._best(state)
        if (peak != np.asarray(self.peak)).any():
            term = term.replace(peak=peak)
            now, before = term.assigned(), self.assigned()
            changed = [f"{label} to {ppm:g}" for label, ppm in now.items() if before[label] != ppm]
            notes.append(f"assigned {', '.join(changed[:8])}{' ...' if len(changed) > 8 else ''} ppm")
        return term, "; ".join(notes)

    def outgrown(self, state: State) -> bool:
        return self.wants_predictions or not self.fixed

    def evidence(self, state: State) -> Rows:
        peak = np.asarray(self.peak)
        labels, calculated = self.at.labels, np.asarray(calculated_of(self, state))
        measured, own, common = np.asarray(self.sigma)[peak], self._sigma(), float(self.model_common)
        observed = np.asarray(self.shifts)[peak]
        rows = rows_of(labels, "δ", "ppm", observed, calculated, np.hypot(own, common), measured)
        shared: tuple[tuple[str, float, float, float], ...] = ()
        if common > 0:
            found = common_errors((calculated - observed) / own, (common / own)[None])
            shared = (("ppm", common, common * found.values[0], common * found.sigma[0]),)
        how = "found: the one of least χ² in which every peak has a site"
        spread = self.sigma_model if self.wants_predictions else np.asarray(self.model_sigma)
        shown = self._shown(state, self.at, "isotropic shifts", rows, spread, shared)
        return replace(
            shown,
            conditions=(*shown.conditions, ("assignment", "given" if self.fixed else how)),
            facts={
                **shown.facts,
                "shifts_ppm": np.asarray(self.shifts),
                "sigma": np.asarray(self.sigma),
                "assignment": "given" if self.fixed else "found",
            },
        )

    def _of_model(self, state: HostState) -> dict[str, np.ndarray]:
        """Return both parts of the model's own uncertainty, ppm; a given common error is kept."""
        slope = abs(float(state.local(self.name)["slope"]))
        prediction = state.prediction(SHIELDING, self.at.phase)
        rows = np.searchsorted(state.sites(self.nucleus, self.at.phase), self.at.sites)
        own, common = (
            slope * np.asarray(prediction.sigma("iso", self.nucleus, part=part), dtype=float)[rows]
            for part in ("own", "common")
        )
        given = np.asarray(self.common_sigma)
        return {"model_sigma": own, "model_common": np.asarray(common.max()) if np.isnan(given) else given}

    def _best(self, state: HostState) -> np.ndarray:
        """Return the peak of every site ``(sites,)`` with the least chi²; ``counts`` sites per peak, or at least one."""
        shifts = np.asarray(calculated_of(self, state.plain()))
        if not np.isfinite(shifts).all():
            raise DataError(f"{self.name!r}: predicted shifts are not finite; no peak can be assigned")
        common = float(self.model_common)
        model = np.broadcast_to(np.asarray(self.model_sigma), shifts.shape)
        variance = np.asarray(self.sigma) ** 2 + model[:, None] ** 2
        apart = shifts[:, None] - np.asarray(self.shifts)
        if common == 0:
            return self._assigned(apart**2 / variance)
        best: tuple[float, np.ndarray] = (np.inf, np.zeros(len(shifts), dtype=int))
        # alternate: best assignment for a given common error, best common error for a given assignment
        for start in (0.0, *(sign * times * common for times in (0.5, 1.0, 2.0) for sign in (1, -1))):
            error, peak = start, np.full(len(shifts), -1)
            for _ in range(_ROUNDS):
                before, peak = peak, self._assigned((apart + error) ** 2 / variance)
                at = np.arange(len(shifts)), peak
                error = -float(np.sum(apart[at] / variance[at]) / (np.sum(1.0 / variance[at]) + 1.0 / common**2))
                if (before == peak).all():
                    break
            chi2 = float(np.sum((apart[at] + error) ** 2 / variance[at]) + (error / common) ** 2)
            best = min(best, (chi2, peak), key=lambda found: found[0])
        return best[1]

    def _assigned(self, cost: np.ndarray) -> np.ndarray:
        """Return the assignment ``(sites,)`` with the least total cost ``(sites, peaks)``."""
        from scipy.optimize import linear_sum_assignment

        peaks = cost.shape[1]
        if self.counts is not None:
            place = np.repeat(np.arange(peaks), self.counts)
            return place[linear_sum_assignment(cost[:, place])[1]]
        # one place for every peak; the remaining sites take the closest peak
        nearest = cost.argmin(axis=1)
        spare = np.repeat(cost.min(axis=1)[:, None], len(cost) - peaks, axis=1)
        column = linear_sum_assignment(np.concatenate([cost, spare], axis=1))[1]
        return np.where(column < peaks, column, nearest)
