"""`ModelErrors`: prior of prediction errors that are parameters of a spectrum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, static
from ..errors import ParameterError
from ..objective.evidence import Knowledge, Row, rows_of
from ..objective.state import EFG, SHIELDING, State, TensorRead
from ..objective.term import bound_as
from ..typing import Array
from .common_error import decorrelated, log_variance
from .predicted_spectrum import SHIFT_ERROR, PredictedSpectrumTerm
from .site_term import Place, SiteTerm, has_changed

if TYPE_CHECKING:
    from ..objective import HostState, Parameters


class ModelErrors(SiteTerm):
    """The prior of ``shift_error`` and ``coupling_error`` of a `PredictedSpectrumTerm`, as estimated by its models.

    Errors of a kind have the covariance ``own² + common²`` of a site with itself and ``common²`` between sites: an error
    of the model for a whole structure costs once, not at every site. If the reference of the spectrum is free, a change
    of it is equivalent to a common change of all errors, and the common part costs nothing::

        nmr = jn.PredictedSpectrumTerm(mas, data, reference=silica, errors=True)
        objective = jn.Objective(nmr + jn.ModelErrors(nmr), crystal=crystal, models=model)
        params = objective.parameters().free("xyz", "nmr/scale", "nmr/shift_error")

    Attributes:
        of: name of the spectrum's term.
        errors: local names of its error parameters.
        hz_per_au: C_Q of a field gradient of one atomic unit.
        All other attributes are those of `SiteTerm`.

    Example:
        >>> nmr = jn.PredictedSpectrumTerm(mas, data, reference=silica, errors=True)  # doctest: +SKIP
        >>> objective = jn.Objective(nmr + jn.ModelErrors(nmr), crystal=quartz, models=model)  # doctest: +SKIP
    """

    of: str = static()
    errors: tuple[str, ...] = static()
    hz_per_au: float = static()

    def __init__(self, spectrum: PredictedSpectrumTerm, *, name: str = ""):
        """Make the prior for a spectrum with errors.

        Raises:
            ParameterError: the spectrum has none.
        """
        if not isinstance(spectrum, PredictedSpectrumTerm) or not spectrum.error_names:
            raise ParameterError(
                "ModelErrors is about a PredictedSpectrumTerm whose predictions have errors: make it with errors=True"
            )
        set_fields(
            self, start={}, sigma_model="model", nucleus=spectrum.nucleus, labels=spectrum.labels, phase=spectrum.phase,
            name=name or f"errors of {spectrum.name}", of=spectrum.name, errors=spectrum.error_names,
            hz_per_au=spectrum.hz_per_au,
        )  # fmt: skip

    def bind(self, state: HostState, params: Parameters) -> BoundModelErrors:
        if f"{self.of}/{self.errors[0]}" not in state.values:
            raise ParameterError(f"{self.name!r} is about the spectrum {self.of!r}, which the objective does not have")
        place = self.place(state.crystals)
        count = (len(self.errors), len(place.sites))
        bare = bound_as(BoundModelErrors, self, at=place, own=np.ones(count), common=np.zeros(count))
        own, common = bare._of_model(state)
        return bare.replace(own=own, common=common)


class BoundModelErrors(ModelErrors):
    """Residuals ``error/sigma``, whitened for the common part of errors of a kind.

    Attributes:
        own, common: ``(kinds, sites)`` standard deviations.
        at: location of the sites.
        All other attributes are those of `ModelErrors`.
    """

    own: Array
    common: Array
    at: Place = static()

    @property
    def reads(self) -> tuple[TensorRead, ...]:
        return ()

    def length(self, state: Callable[[], State]) -> int:
        return np.size(self.own)

    def residuals(self, state: State) -> Array:
        values = state.local(self.of)
        rows = [
            decorrelated(values[name] / own, (common / own)[None])
            for name, own, common in zip(self.errors, self.own, self.common, strict=True)
        ]
        return jnp.concatenate(rows)

    def log_variance(self, moved: frozenset[str]) -> float:
        own, total = np.asarray(self.own), 0.0
        for name, mine, common in zip(self.errors, own, np.asarray(self.common), strict=True):
            free = name == SHIFT_ERROR and f"{self.of}/reference" in moved
            total += float(2.0 * np.sum(np.log(mine))) + log_variance(1.0 / mine[None], [common.max()], [free])
        return total

    def replan(self, state: HostState) -> tuple[BoundModelErrors, str]:
        own, common = self._of_model(state)
        if has_changed(np.asarray(self.own), own) or has_changed(np.asarray(self.common), common):
            return self.replace(own=own, common=common), "uncertainty taken from the model"
        return self, ""

    def _of_model(self, state: HostState) -> tuple[np.ndarray, np.ndarray]:
        """Return own and common standard deviations ``(kinds, sites)``: of shifts in ppm, of couplings as ratios."""
        rows = np.searchsorted(state.sites(self.nucleus, self.at.phase), self.at.sites)
        found = []
        for part in ("own", "common"):
            kinds = []
            for name in self.errors:
                head = SHIELDING if name == SHIFT_ERROR else EFG
                prediction = state.prediction(head, self.at.phase)
                quantity, unit = (
                    ("iso", abs(float(state.values[f"{self.of}/slope"]))) if head == SHIELDING else ("cq", 1.0)
                )
                sigma = np.asarray(prediction.sigma(quantity, self.nucleus, part=part), dtype=float)
                if head == EFG:
                    sigma = sigma / np.abs(np.asarray(prediction.quadrupolar(self.nucleus).cq_hz, dtype=float))
                kinds.append(unit * sigma[rows])
            found.append(np.stack(kinds))
        return found[0], found[1]

    def evidence(self, state: State) -> Knowledge:
        values = state.local(self.of)
        rows: list[Row] = []
        for name, own, common in zip(self.errors, np.asarray(self.own), np.asarray(self.common), strict=True):
            quantity, unit = ("error of δ", "ppm") if name == SHIFT_ERROR else ("error of C_Q, part", "")
            rows += rows_of(self.at.labels, quantity, unit, 0.0, np.asarray(values[name]), np.hypot(own, common))
        shared = ", ".join(f"{common.max():.3g}" for common in np.asarray(self.common))
        return Knowledge(
            name=self.name, what="errors of predictions", title="errors of predictions", rows=tuple(rows),
            header=("site", "expected", "error"), conditions=(("common to all sites", f"± {shared} (ppm; part of C_Q)"),),
        )  # fmt: skip
