"""`SiteTerm`: common parts of terms about the sites of one nucleus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._struct import static
from .._words import counted
from ..crystal import Crystal
from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..nmr import ShiftReference
from ..nmr.isotopes import sites_of
from ..objective.evidence import Row, Rows, uncertainties
from ..objective.state import State, only_phase
from ..objective.term import Term
from ..typing import Array, Quantity
from ..units import format_esd


class Place(NamedTuple):
    """Location of the sites of a term, looked up once.

    Attributes:
        phase: name of the crystal.
        sites: indices of the sites in it; ``labels`` their labels.
    """

    phase: str
    sites: tuple[int, ...]
    labels: tuple[str, ...]


class SiteTerm(Term):
    """Base class of terms about sites of one nucleus: selection of sites, and shift reference.

    Attributes:
        start: starting values of the parameters by local name.
        sigma_model: ``"model"`` if the model provides its own uncertainty.
        nucleus: isotope.
        labels: labels of the sites; ``None`` for all sites of the nucleus.
        phase: name of the crystal; ``None`` for the only one.
        name: prefix of the parameters.
    """

    start: dict[str, Array]
    sigma_model: Any = static()
    nucleus: str = static()
    labels: tuple[str, ...] | None = static()
    phase: str | None = static()
    name: str = static()

    sees_origin = False

    def where(self, crystals: Mapping[str, Crystal]) -> tuple[str, np.ndarray]:
        """Return the phase, and the indices of the sites in it.

        Raises:
            ParameterError: no such phase or site, or a site is of another element.
        """
        phase = only_phase(crystals, self.phase)
        crystal = crystals[phase]
        of_nucleus = sites_of(crystal.elements, self.nucleus, crystal.name)
        if self.labels is None:
            return phase, of_nucleus
        possible = {crystal.labels[k]: k for k in of_nucleus}
        missing = [label for label in self.labels if label not in possible]
        if missing:
            raise ParameterError(
                f"{self.name!r}: {', '.join(missing)} is not a {self.nucleus} site of {phase}; these are {', '.join(possible)}"
            )
        return phase, np.array([possible[label] for label in self.labels])

    def place(self, crystals: Mapping[str, Crystal]) -> Place:
        """Return the phase, and indices and labels of the sites; errors as for :meth:`where`."""
        phase, sites = self.where(crystals)
        return Place(phase, tuple(int(k) for k in sites), tuple(crystals[phase].labels[k] for k in sites))

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        self.where(crystals)
        docs = {"reference": ("ppm", 1.0, "shift without shielding"), "slope": ("", 0.01, "of data by prediction")}
        return {
            name: Quantity(np.array(float(value)), unit=docs[name][0], scale=docs[name][1], doc=docs[name][2])
            for name, value in self.start.items()
        }

    @property
    def wants_predictions(self) -> bool:
        """Return whether the model provides its own uncertainty."""
        return isinstance(self.sigma_model, str)

    def _shown(
        self,
        state: State,
        at: Place,
        what: str,
        rows: tuple[Row, ...],
        spread: Any,
        shared: tuple[tuple[str, float, float, float], ...] = (),
    ) -> Rows:
        """Make the evidence of values of the sites.

        Args:
            state, at, what, rows: content of the evidence.
            spread: the uncertainty of the model, ``"model"`` for its own.
            shared: unit, standard deviation, estimate and its uncertainty for every common error.
        """
        local = {name: float(value) for name, value in state.local(self.name).items()}
        if isinstance(spread, str):
            doubt = "its own, calibrated, at the refined structure"
        else:
            counts = spread is not None and np.any(np.asarray(spread, dtype=float) > 0)
            doubt = "typed in" if counts else "none: predictions count as exact"
        reference, slope = (f"{{{self.name}/{name}}}" for name in ("reference", "slope"))
        scaled = ("reference", f"δ / ppm = {reference} + ({slope}) σ") if "reference" in local else ("slope", slope)
        return Rows(
            name=self.name,
            what=what,
            title=f"{self.nucleus}, {what}",
            conditions=(
                (
                    "compared",
                    f"{what} of {self.nucleus} in {at.phase}, {counted(len(at.sites), 'site')}",
                ),
                *uncertainties(rows),
                ("uncertainty of the model", doubt),
                *(("common to all sites", _common_text(*of)) for of in shared),
                scaled,
            ),
            rows=rows,
            facts={
                "nucleus": self.nucleus,
                "phase": at.phase,
                **local,
                "sigma_model": spread,
                "common_errors": [
                    dict(zip(("unit", "sigma", "estimate", "sigma_of_estimate"), of, strict=True)) for of in shared
                ],
            },
        )


def _common_text(unit: str, sigma: float, estimate: float, uncertainty: float) -> str:
    """Describe the expected size of a common error and its estimate by the fit."""
    size = 100.0 if unit == "%" else 1.0
    return f"± {size * sigma:.3g} {unit}; the fit makes it {format_esd(size * estimate, size * uncertainty)} {unit}"


def common_spread(given: Any, width: int, sigma_model: Any, name: str) -> np.ndarray:
    """Return standard deviations of common errors, ``()`` or ``(width,)``: NaN if the model provides them.

    Raises:
        DataError: numbers are negative or not finite.
        ShapeError: there are too many numbers.
    """
    shape = () if width == 1 else (width,)
    if given is None:
        return np.full(shape, np.nan if isinstance(sigma_model, str) else 0.0)
    found = np.asarray(given, dtype=float)
    if found.shape not in ((), shape):
        raise ShapeError(
            f"{name!r}: sigma_common has the shape {found.shape}; expected a number{f' or {width}' * (width > 1)}"
        )
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise DataError(f"{name!r}: sigma_common is {given}; expected 0 or more")
    if found.shape == shape:
        return found
    # a single number is the first of them
    return np.append(found, np.zeros(width - 1))


def has_changed(before: np.ndarray, now: np.ndarray) -> bool:
    """Return whether an uncertainty of the model has changed by more than a tenth."""
    return bool((np.abs(now - before) > 0.1 * np.abs(before)).any())


def reference_start(reference: ShiftReference | None, name: str) -> dict[str, float]:
    """Return the starting values of a term's reference and slope.

    Raises:
        ConventionError: the reference is missing, or a bare number.
    """
    if not isinstance(reference, ShiftReference):
        raise ConventionError(
            f"{name!r}: shifts need a reference: give reference=ShiftReference(ppm), such as one fitted with "
            "ShiftReference.fit or ShiftReference(*model.card.references['Si']), or ShiftReference(0, 1) for shieldings"
        )
    return {"reference": float(reference.reference_ppm), "slope": float(reference.slope)}


def site_spread(sigma, count: int, width: int, what: str, least: float | None = None) -> np.ndarray:
    """Return uncertainties ``(sites, width)`` from a number, one per site, one per component, or all."""
    sigma = np.asarray(sigma, dtype=float)
    shapes = {(), (count, width), (count,)} if width != 2 else {(2,), (count, 2)}
    if sigma.shape not in shapes:
        raise ShapeError(f"{what} has the shape {sigma.shape}; expected one of {sorted(shapes, key=len)}")
    sigma = sigma[:, None] if sigma.shape == (count,) and width != 2 else sigma
    return np.array(positive_spread(np.broadcast_to(sigma, (count, width)), what, least))


def positive_spread(sigma: np.ndarray, what: str, least: float | None = None) -> np.ndarray:
    """Return the uncertainties, after checking that they are positive (or at least ``least``)."""
    if not (np.isfinite(sigma).all() and (sigma > 0 if least is None else sigma >= least).all()):
        raise DataError(f"{what}: uncertainties must be positive numbers")
    return sigma
