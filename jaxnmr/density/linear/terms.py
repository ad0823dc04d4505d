"""Terms of densities: coefficients with their prior, and areas of lines calculated from a density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._arguments import checked
from ..._struct import set_fields, static
from ...crystal import Crystal
from ...errors import ConventionError, ParameterError, ShapeError
from ...objective.evidence import Knowledge, Rows, rows_of
from ...objective.state import State
from ...objective.term import Term, calculated_of
from ...typing import Array, Quantity
from ..agreement import SCALE_SPREAD, best_scale
from .lines import LineAreas
from .model import LinearDensity
from .refine import require_same_electrons
from .source import DENSITY

COEFFICIENTS = "c"


class DensityCoefficients(Term):
    """Prior of a density, with the coefficients of a `LinearDensity` as parameters, each expected to be 0 ± 1.

    The covariance of the density is contained in its functions; any number of `DensityLines` terms, one per pattern,
    can use the coefficients.

    Parameters, under the term's name: ``c``, ``(K,)``, dimensionless.

    Attributes:
        size: number of coefficients.
        name: prefix of the parameters.
    """

    size: int = static()
    name: str = static()

    reads = ()

    @checked
    def __init__(self, known: LinearDensity, *, name: str = "density"):
        """Take the coefficients of a density.

        Args:
            known: prior distribution of the density.
            name: prefix of the parameters; the same as ``coefficients=`` of its `DensityLines`.
        """
        set_fields(self, size=known.size, name=name)

    @property
    def sees_origin(self) -> bool:
        return False

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        labels = tuple(str(k + 1) for k in range(self.size))
        return {COEFFICIENTS: Quantity(value=np.zeros(self.size), labels=labels, doc="coefficients of the density")}

    def length(self, state: Callable[[], State]) -> int:
        return self.size

    def residuals(self, state: State) -> Array:
        return jnp.asarray(state.values[f"{self.name}/{COEFFICIENTS}"])

    def evidence(self, state: State) -> Knowledge:
        values = np.asarray(state.values[f"{self.name}/{COEFFICIENTS}"], dtype=float)
        labels = [str(k + 1) for k in range(self.size)]
        rows = rows_of(labels, "coefficient", "", np.zeros(self.size), values, 1.0)
        header = ("coefficient", "expected", "value")
        return Knowledge(
            name=self.name, what="the density", title="what is known of the density", rows=rows, header=header
        )


class DensityLines(Term):
    """Calculated line areas of a density against measured ones; square roots, whitened by the covariance of the areas.

    Structure factors are ``mean + functions @ c``, those of the atoms of a crystal plus ``functions @ c``, or of the
    atoms alone.

    Parameters, under the term's name: ``log_scale``, the logarithm of the scale relative to that of the start. It has a
    weak prior of 0 ± 3, which only keeps it finite.

    Attributes:
        mean, functions: real and imaginary parts of structure factors, ``(n, 2)`` and ``(n, 2, K)``.
        summing: ``(lines, n)`` areas by ``|F|²``.
        observed, whitening, lift: of square roots, see `LineAreas.roots`.
        begin: scale at the start; ``area`` measured areas and ``sigma`` their deviations, for tables.
        coefficients: name of the term with the coefficients; empty without any.
        atoms: whether a source provides the structure factors that the functions are added to.
        phase: phase of the atoms; ``None`` with a single crystal.
        labels: labels of the lines.
        name: prefix of the parameters.
    """

    mean: Array
    functions: Array
    summing: Array
    observed: Array
    whitening: Array
    lift: Array
    begin: Array
    area: Array
    sigma: Array
    coefficients: str = static()
    atoms: bool = static()
    phase: str | None = static()
    labels: tuple[str, ...] = static(note=True)
    name: str = static()

    @checked
    def __init__(
        self,
        lines: LineAreas,
        known: LinearDensity,
        *,
        coefficients: str = "density",
        atoms: bool = False,
        phase: str | None = None,
        name: str = "lines",
    ):
        """Compare a density with lines.

        Args:
            lines: measured areas.
            known: prior distribution; its functions are used if ``coefficients`` are named, its mean if ``atoms`` is
                false.
            coefficients: name of the `DensityCoefficients`; ``""`` for none.
            atoms: whether structure factors include those of a crystal, by a `SuperposedDensity` of
                ``known.waves.hkl``.
            phase: phase of the atoms; required with several crystals.
            name: prefix of the parameters.

        Raises:
            ConventionError: lines have another cell or other electrons, or the waves end before them.
            ParameterError: there are neither coefficients nor atoms.
        """
        if not coefficients and not atoms:
            raise ParameterError(f"{name!r} has nothing to refine: name coefficients, or take the atoms of a crystal")
        require_same_electrons(known, lines)
        summing = lines.summing(known.waves)
        observed, whitening, lift = lines.roots()
        parts = lambda f: np.stack([np.real(f), np.imag(f)], axis=1)
        calculated = summing @ np.abs(known.mean) ** 2
        leads = [int(np.flatnonzero(lines.members == g)[0]) for g in range(len(lines))]
        set_fields(
            self, mean=parts(known.mean), functions=parts(known.functions if coefficients else known.functions[:, :0]),
            summing=summing, observed=observed, whitening=whitening, lift=np.asarray(lift),
            begin=np.asarray(best_scale(lines.area, calculated)), area=lines.area, sigma=lines.sigma,
            coefficients=coefficients, atoms=atoms, phase=phase,
            labels=tuple(" ".join(map(str, lines.hkl[k])) for k in leads), name=name,
        )  # fmt: skip

    @property
    def reads(self) -> tuple[()] | None:
        return None if self.atoms else ()

    @property
    def sees_origin(self) -> bool:
        return bool(self.coefficients)

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        return {"log_scale": Quantity(value=np.zeros(()), doc="logarithm of the scale over that of the start")}

    def length(self, state: Callable[[], State]) -> int:
        return len(self.labels) + 1

    def structure_factors(self, state: State) -> Array:
        """Return real and imaginary parts at the waves, ``(n, 2)`` (traceable)."""
        f: Any = jnp.asarray(self.mean)
        if self.atoms:
            f = state.of(DENSITY, self.phase)
            if f.shape != self.mean.shape:
                raise ShapeError(
                    f"{self.name!r} has {self.mean.shape[0]} waves, the source provides {f.shape[0]}: give it the reflections of the density, "
                    "SuperposedDensity(known.waves.hkl)"
                )
        if self.coefficients:
            key = f"{self.coefficients}/{COEFFICIENTS}"
            if key not in state.values:
                raise ConventionError(
                    f"{self.name!r} reads the coefficients {key!r}, which no term brings: add DensityCoefficients(known, "
                    f"name={self.coefficients!r})"
                )
            f = f + jnp.asarray(self.functions) @ jnp.asarray(state.values[key])
        return f

    def calculated(self, state: State) -> Array:
        """Return areas on the scale of the measured ones (traceable)."""
        squared = jnp.sum(self.structure_factors(state) ** 2, axis=1)
        log_scale = state.local(self.name)["log_scale"]
        return self.begin * jnp.exp(log_scale) * (jnp.asarray(self.summing) @ squared)

    def residuals(self, state: State) -> Array:
        roots = jnp.sqrt(self.calculated(state) + self.lift)
        scale = jnp.reshape(state.local(self.name)["log_scale"] / SCALE_SPREAD, (1,))
        return jnp.concatenate([jnp.asarray(self.whitening) @ (roots - self.observed), scale])

    def evidence(self, state: State) -> Rows:
        calculated: Any = np.asarray(calculated_of(self, state), dtype=float)
        rows = rows_of(self.labels, "area", "", self.area, calculated, self.sigma)
        r = np.abs(np.sqrt(self.area) - np.sqrt(calculated)).sum() / np.sqrt(self.area).sum()
        return Rows(
            name=self.name, what="areas of lines", rows=rows, header=("reflection", "observed", "calculated"),
            facts={"r_of_roots": float(r)},
        )  # fmt: skip
