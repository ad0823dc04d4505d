"""The best structures of a search refined against the whole pattern, and compared (host)."""

from collections.abc import Sequence

import numpy as np

from ..crystal import Crystal
from ..diffraction import Pattern
from ..errors import JaxnmrError
from ..refinement import RefinementResult
from .after_search import electron_notes, texture_for
from .bond_valence import orders_by_bond_valences
from .extraction.records import Extraction
from .handover import profile_factor, refine_solution
from .higher_symmetry import in_higher_symmetry, in_standard_setting
from .outcome import Attempt, fits
from .progress import Clock
from .verdict import Refined

# structures that are refined
_REFINED = 2


class Refinements:
    """Rietveld refinements of the structures of a determination.

    Args:
        pattern: what was measured.
        clock: who is told.

    Attributes:
        fits: the best first.
        notes: what a reader must know.
    """

    def __init__(self, pattern: Pattern, clock: Clock):
        self._pattern, self._clock = pattern, clock
        self._made_of: dict[int, tuple[Attempt, Extraction]] = {}
        self.fits: list[RefinementResult] = []
        self.notes: list[str] = []

    @property
    def best(self) -> Refined | None:
        """The best one, with the search and the Le Bail fit that it began with; ``None`` where there is none."""
        return Refined(self.fits[0], *self._made_of[id(self.fits[0])]) if self.fits else None

    def run(self, attempts: Sequence[Attempt], extractions: Sequence[Extraction]) -> None:
        """Refine the best structures that fit, in the highest symmetry that they have.

        Raises:
            KeyboardInterrupt: somebody stopped it; what was refined until then is kept.
        """
        done: set[str] = set()
        for attempt in [a for a in attempts if fits(a)][:_REFINED]:
            crystal, extraction = attempt.solutions.best.crystal, extractions[attempt.cell]
            for one in (*in_higher_symmetry(crystal), in_standard_setting(crystal)):
                if one.group.name in done:
                    continue
                done.add(one.group.name)
                one = self._ordered(one, attempt.solutions.indistinguishable)
                try:
                    texture = texture_for(one, attempt.intensities, attempt.solutions)
                    fit = refine_solution(one, extraction, self._pattern, texture=texture)
                except (JaxnmrError, ValueError) as err:
                    self.notes.append(f"refinement in {one.group.name}: {err}")
                    continue
                self._clock.say("refinement", f"{one.group.name}: Rwp {profile_factor(fit):.2f} %")
                self._made_of[id(fit)] = attempt, extraction
                self.fits.append(fit)
                self.fits.sort(key=lambda fit: badness(fit, len(extractions[0].hkl)))
                if fit.status == "interrupted":
                    raise KeyboardInterrupt
        for attempt in attempts[: 1 if self.fits else 0]:
            self.notes += electron_notes(attempt.solutions.best.crystal, attempt.intensities, attempt.solutions.texture)

    def _ordered(self, crystal: Crystal, pairs: Sequence[tuple[str, str]]) -> Crystal:
        """Elements that X-rays do not tell apart, by the valences of their bonds, which is said."""
        for pair in pairs:
            orders = orders_by_bond_valences(crystal, pair)
            if len(orders) > 1:
                first, second = orders[:2]
                sums = ", ".join(f"{label} {value:.2f}" for label, value in first.sums.items())
                self.notes.append(
                    f"{crystal.group.name}: which sites are {pair[0]} and which {pair[1]} is not in the pattern. By bond valences it is: {sums} "
                    f"(misfit {first.misfit:.2f}; the next order {second.misfit:.2f})"
                )
                crystal = first.crystal
        return crystal


def badness(fit: RefinementResult, n: int) -> float:
    """Bayesian information criterion of a refined structure, for ``n`` independent observations."""
    return n * float(np.log(profile_factor(fit) ** 2)) + fit.parameters.n_free * float(np.log(n))
