"""Records of estimated variance components."""

from __future__ import annotations

from dataclasses import dataclass

from .._tables import plain
from ..units import format_esd


@dataclass(frozen=True)
class VarianceComponent:
    """Estimated scale of the uncertainties of one term.

    Attributes:
        name: name of the term.
        n_observations: number of its residuals.
        redundancy: number of residuals less the number of parameters that the term determines.
        serial: factor for serial correlation; 1 for data other than curves.
        factor: factor applied to its stated standard uncertainties.
        esd: standard uncertainty of the factor, ``factor serial/sqrt(2 redundancy)``; 0 for terms left unchanged.
        why: why a term was left unchanged, or ``""``.
    """

    name: str
    n_observations: int
    redundancy: float
    serial: float
    factor: float
    esd: float
    why: str = ""

    @property
    def estimated(self) -> bool:
        """Return whether the factor was estimated."""
        return not self.why


@dataclass(frozen=True)
class VarianceComponents:
    """Factors of the uncertainties of all terms, in the order of the objective.

    Attributes:
        components: one per term.
        rounds: number of refinements with new factors.
        converged: whether the factors had stopped changing.
    """

    components: tuple[VarianceComponent, ...]
    rounds: int = 0
    converged: bool = True

    def __getitem__(self, name: str) -> VarianceComponent:
        """Return the component of a term."""
        return {of.name: of for of in self.components}[name]

    def sentences(self) -> tuple[str, ...]:
        """Warn about terms that could not be estimated and factors that did not converge."""
        out = [
            f"Uncertainties of {of.name!r} are taken as stated: {of.why}."
            for of in self.components
            if of.why and not of.why.startswith(("it is a restraint", "it was not asked for"))
        ]
        if not self.converged:
            out.append(f"Factors of uncertainties were still changing after {self.rounds} rounds.")
        return tuple(out)

    def __str__(self) -> str:
        """Return a table of residuals, redundancy and factors of uncertainties."""
        factor = lambda of: format_esd(of.factor, of.esd) if of.estimated else f"{of.factor:.4g}, left: {of.why}"
        rows = [
            (of.name, of.n_observations, f"{of.redundancy:.1f}", f"{of.serial:.2f}", factor(of))
            for of in self.components
        ]
        return plain(("term", "residuals", "redundancy", "SCOR", "sigma multiplied by"), rows)
