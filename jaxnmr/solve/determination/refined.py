"""Refinement of the best structures of a search against the whole pattern, and their comparison (host)."""

from collections.abc import Sequence

import numpy as np

from ...crystal import Crystal
from ...diffraction import Pattern
from ...energy import EnergyModel
from ...errors import JaxnmrError
from ...refinement import RefinementResult
from ..checks.bond_valence import Order, orders_by_bond_valences
from ..checks.energies import relaxed_energy
from ..checks.higher_symmetry import in_higher_symmetry, in_standard_setting
from ..extraction.records import Extraction
from ..handover import profile_factor, refine_solution
from .after_search import electron_notes, missing_notes, texture_for
from .outcome import Attempt, fits
from .progress import Clock
from .verdict import Refined

# number of structures refined
_REFINED = 2
# number of orders of two elements whose energies are calculated, the most likely by bond valences
_MOST_ORDERS = 6
# structures whose criteria differ by less are equal for the pattern
UNDECIDED = 10.0
# eV per atom; energies that differ by less belong to the same structure, within the accuracy of minimisation
SAME_ENERGY = 1e-3


class Refinements:
    """Rietveld refinements of the structures of a determination.

    Args:
        pattern: measured pattern.
        clock: receives messages.
        energy: model that decides between structures with equal patterns, if given.

    Attributes:
        fits: refinements, the best first.
        notes: remarks that a reader must know.
        doubts: remarks that contradict the composition.
    """

    def __init__(self, pattern: Pattern, clock: Clock, energy: EnergyModel | None = None):
        self._pattern, self._clock, self._energy = pattern, clock, energy
        self._made_of: dict[int, tuple[Attempt, Extraction]] = {}
        self._energy_of: dict[int, float] = {}
        self.fits: list[RefinementResult] = []
        self.notes: list[str] = []
        self.doubts: tuple[str, ...] = ()

    @property
    def best(self) -> Refined | None:
        """Best refinement, with the search and the Le Bail fit it started from; ``None`` without any."""
        return Refined(self.fits[0], *self._made_of[id(self.fits[0])]) if self.fits else None

    @property
    def energies(self) -> tuple[float, ...]:
        """Energies of the fits, relaxed in their cells, eV per atom; NaN if unknown."""
        return tuple(self._energy_of.get(id(fit), float("nan")) for fit in self.fits)

    def run(self, attempts: Sequence[Attempt], extractions: Sequence[Extraction]) -> None:
        """Refine the best structures that fit, in their highest symmetry.

        Raises:
            KeyboardInterrupt: the user stopped it; refinements so far are kept.
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
            self.doubts = electron_notes(attempt.solutions.best.crystal, attempt.intensities, attempt.solutions.texture)
        if self.fits:
            searched = self._made_of[id(self.fits[0])][0]
            self.doubts += missing_notes(self.fits[0].crystal, searched.intensities, searched.solutions)
        self.notes += self.doubts
        if self._energy is not None and self.fits:
            self._rank_by_energy(self._energy, len(extractions[0].hkl))

    def _rank_by_energy(self, model: EnergyModel, n: int) -> None:
        """Rank structures with equal patterns by energy."""
        for fit in self.fits:
            name = fit.crystal.group.name
            try:
                self._energy_of[id(fit)] = relaxed_energy(fit.crystal, model)
            except JaxnmrError as err:
                self.notes.append(f"energy in {name}: {err}")
                continue
            self._clock.say("energy", f"{name}: {self._energy_of[id(fit)]:.4f} eV per atom")
        first = self.fits[0]
        self.fits = [self.fits[k] for k in by_energy([badness(fit, n) for fit in self.fits], self.energies)]
        if self.fits[0] is not first:
            best, other = self.fits[0].crystal.group.name, first.crystal.group.name
            self.notes.append(f"{best} and {other} are equal for the pattern; the energy ({model.name}) prefers {best}")

    def _ordered(self, crystal: Crystal, pairs: Sequence[tuple[str, str]]) -> Crystal:
        """Assign elements that X-rays do not distinguish, by bond valences and energy, with a remark."""
        for pair in pairs:
            orders = orders_by_bond_valences(crystal, pair)
            if len(orders) < 2:
                continue
            first, second = orders[:2]
            sums = ", ".join(f"{label} {value:.2f}" for label, value in first.sums.items())
            where = f"{crystal.group.name}: which sites are {pair[0]} and which {pair[1]} is not in the pattern"
            valences = f"By bond valences it is: {sums} (misfit {first.misfit:.2f}; the next order {second.misfit:.2f})"
            if self._energy is None:
                self.notes.append(f"{where}. {valences}")
                crystal = first.crystal
                continue
            try:
                crystal, words = order_by_energy(orders[:_MOST_ORDERS], self._energy)
            except JaxnmrError as err:
                crystal, words = first.crystal, f"The energy does not say: {err}"
            self.notes.append(f"{where}. {words}. {valences}")
        return crystal


def order_by_energy(orders: Sequence[Order], model: EnergyModel) -> tuple[Crystal, str]:
    """Return the order of lowest energy, relaxed in its cell, and a comparison in words.

    Args:
        orders: two or more orders, the most likely by bond valences first.
        model: energy model.

    Raises:
        ConventionError: the model cannot describe an order.
    """
    energies = np.array([relaxed_energy(order.crystal, model) for order in orders])
    lowest, next_one = np.argsort(energies)[:2]
    same = "the order that bond valences prefer, too" if lowest == 0 else "another order than bond valences prefer"
    margin = 1e3 * (energies[next_one] - energies[lowest])
    return orders[lowest].crystal, f"The energy ({model.name}) is lowest, by {margin:.0f} meV per atom, for {same}"


def by_energy(criteria: Sequence[float], energies: Sequence[float]) -> list[int]:
    """Return indices of structures, the best first: by the pattern, or by energy if criteria hardly differ.

    Energies are used only if all are known. Structures of equal energy keep the order of the pattern: in a lower
    symmetry the same structure never has a higher energy.

    Args:
        criteria: ascending Bayesian information criteria; ``energies`` in eV per atom, NaN if unknown.
    """
    equal = [k for k, value in enumerate(criteria) if value - criteria[0] < UNDECIDED]
    of_equal = np.array([energies[k] for k in equal])
    if np.isfinite(of_equal).all():
        lowest = of_equal.min()
        equal.sort(key=lambda k: max(energies[k] - lowest - SAME_ENERGY, 0.0))
    return [*equal, *[k for k in range(len(criteria)) if k not in equal]]


def badness(fit: RefinementResult, n: int) -> float:
    """Return the Bayesian information criterion of a refined structure, for ``n`` independent observations."""
    return n * float(np.log(profile_factor(fit) ** 2)) + fit.parameters.n_free * float(np.log(n))
