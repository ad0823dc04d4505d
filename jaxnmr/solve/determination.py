"""From a powder pattern and a composition to a refined structure, step by step (host)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .._arguments import checked
from .._words import counted
from ..crystal import Crystal, SpaceGroup
from ..diffraction import Instrument, Pattern
from ..errors import ConventionError, JaxnmrError, ParameterError, SymmetryError
from ..refinement import RefinementResult
from ..typing import Numbers
from .after_search import electron_notes, texture_for
from .bond_valence import orders_by_bond_valences
from .direct.formula import Composition, parse_composition
from .direct.search import GOOD_R
from .direct.solutions import Solutions
from .direct.structure import structure
from .extraction.extinction import Extinction, ExtinctionTable, extinctions
from .extraction.lebail import lebail
from .extraction.ranking import rank_by_lebail
from .extraction.records import Extraction
from .extraction.starts import group_of_lattice, require_cell, require_metric
from .extraction.symmetry import intensities_in
from .handover import profile_factor, refine_solution
from .higher_symmetry import in_higher_symmetry, in_standard_setting
from .indexing.index import index
from .ladder import Rung, groups_to_try
from .outcome import Attempt, Determination
from .peaks.find import find_peaks
from .record import Trail
from .records import CellCandidate, Peaks

# cells are searched for atoms as long as they are this probable, and no more than so many
_LEAST_CELL, _MOST_CELLS = 0.02, 3
# seconds of processor time that the first visit of a group takes at most; every later visit takes three times as long
_FIRST_VISIT = 20.0
# Rwp of a refined structure over that of the Le Bail fit, up to which the structure may be believed
_LARGEST_RATIO = 2.0
# part of the pattern above the background that the reflections of the right cell may leave: impurities, a poor profile
_MOST_UNEXPLAINED = 0.5
# groups this many times less probable than that of a structure that fits are not searched
_RIVAL = 0.2
# structures that are refined
_REFINED = 2


@dataclass(frozen=True)
class Step:
    """What a determination does now, for whoever waits.

    Attributes:
        name: ``"peaks"``, ``"cells"``, ``"intensities"``, ``"atoms"`` or ``"refinement"``.
        text: what was found or is being done.
        seconds_left: of processor time, at most, for the search of atoms.
        passing: whether this is only how far something is.
    """

    name: str
    text: str
    seconds_left: float
    passing: bool = False


@checked
def determine(
    pattern: Pattern,
    composition: Composition,
    *,
    instrument: Instrument | None = None,
    cell: Numbers | None = None,
    group: SpaceGroup | str | int | None = None,
    formula_units: int | None = None,
    density: float | None = None,
    lattices: str | Sequence[str] | None = None,
    largest_volume: float | None = None,
    minutes: float = 20.0,
    seed: int = 0,
    progress: Callable[[Step], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Determination:
    """Determine a crystal structure from a powder pattern and what the sample is made of.

    Lines are found and indexed, the likeliest cells fitted to the whole pattern, space groups ranked by the reflections that are absent
    and by how often they occur, and in each the atoms are searched, until a structure fits. The best ones are refined. A failure is said
    to be one. An interruption (Ctrl-C) returns what was found until then.

    Args:
        pattern: measured.
        composition: such as ``"PbSO4"``, or numbers by element; ``{"Pb": None, "S": None, "O": None}`` where only the elements are known.
            Hydrogen is left out.
        instrument: by default that of the pattern.
        cell: ``(6,)`` conventional cell in Å and degrees, where it is known; ``group`` its space group.
        formula_units: in this or in the conventional cell that is found, where known; ``density`` in g/cm³ tells it, too.
        lattices, largest_volume: as of :func:`jaxnmr.solve.index`.
        minutes: of processor time, after which no new search for atoms begins.
        seed: of all searches.
        progress: called with what is done, and when there is news.
        checkpoint: JSON file that always holds the cells and the searches that are done. Where it is there already, of the same
            pattern and arguments, these are taken over.

    Raises:
        ConventionError: no wavelength, a composition that makes no sense, a group without its cell.
        DataError: fewer than five lines and no cell; fewer than eight and no cubic, tetragonal or hexagonal one.
        SymmetryError: a group that contradicts the cell.
        ParameterError: numbers that make no sense.
    """
    if group is not None and cell is None:
        raise ConventionError("a space group without its cell: give cell=, too")
    if formula_units is not None and formula_units < 1:
        raise ParameterError(f"formula_units is {formula_units}; expected a whole number from 1 on")
    if not minutes > 0.0:
        raise ParameterError(f"minutes is {minutes:g}; expected a positive number")
    if density is not None and not density > 0.0:
        raise ParameterError(f"density is {density:g} g/cm³; expected a positive number")
    known = isinstance(composition, str) or None not in composition.values()
    # of elements without numbers only whether they are any
    unit = parse_composition(composition if known else dict.fromkeys(composition, 1.0))
    wanted = None
    if cell is not None:
        cell = require_cell(cell)
        if group is not None:
            wanted = group if isinstance(group, SpaceGroup) else SpaceGroup.from_name(group, cell)
            require_metric(wanted, cell)
    if formula_units is not None and not known:
        raise ParameterError("formula_units needs to know how many atoms of each element a formula unit has")
    say = progress or (lambda step: None)
    asked = {
        "composition": composition, "cell": cell, "group": None if group is None else str(group), "formula_units": formula_units,
        "density": density, "lattices": lattices, "largest_volume": largest_volume, "seed": seed,
        "wavelengths": getattr(instrument or pattern.instrument, "wavelengths", None),
    }  # fmt: skip
    trail = Trail(checkpoint, pattern, asked)
    run = _Run(pattern, composition, unit, instrument, formula_units, density, 60.0 * minutes, seed, say, trail)
    # whoever stops the search for lines gets nothing: there is nothing yet
    run.find_lines()
    try:
        run.find_cells(cell, wanted, lattices, largest_volume)
        run.find_atoms()
        run.refine()
    except KeyboardInterrupt:
        if not run.cells:
            raise
        run.interrupted = True
    return run.outcome(composition if isinstance(composition, str) else _formula(composition))


def _formula(amounts: Mapping[str, float | None]) -> str:
    return "".join(f"{element}{'?' if n is None else '' if n == 1 else f'{n:g}'}" for element, n in amounts.items())


class _Run:
    """A determination on its way: what was found so far."""

    def __init__(
        self,
        pattern: Pattern,
        composition: Composition,
        unit: dict[str, int],
        instrument: Instrument | None,
        formula_units: int | None,
        density: float | None,
        seconds: float,
        seed: int,
        say: Callable[[Step], None],
        trail: Trail,
    ):
        self.pattern, self.composition, self.unit, self.instrument = pattern, composition, unit, instrument
        self.formula_units, self.density, self.seconds, self.seed = formula_units, density, seconds, seed
        self._say, self._trail, self._start = say, trail, time.process_time()
        self.interrupted = False
        self._settled: list[tuple[int, SpaceGroup]] = []
        self.notes: list[str] = []
        self.peaks: Peaks | None = None
        self.cells: tuple[CellCandidate, ...] = ()
        self.extractions: list[Extraction] = []
        self.tables: list[ExtinctionTable] = []
        self.attempts: list[Attempt] = []
        self.fits: list[RefinementResult] = []
        # the Le Bail fit of its cell, for each refinement
        self._extraction_of: dict[int, Extraction] = {}

    @property
    def spent(self) -> float:
        return time.process_time() - self._start

    def say(self, name: str, text: str, *, passing: bool = False) -> None:
        self._say(Step(name, text, max(self.seconds - self.spent, 0.0), passing))

    def find_lines(self) -> None:
        """Lines of the pattern."""
        self.peaks = find_peaks(self.pattern, self.instrument)
        self.say("peaks", counted(len(self.peaks), "line"))
        self.notes += self.peaks.notes

    def find_cells(
        self,
        cell: np.ndarray | None,
        group: SpaceGroup | None,
        lattices: str | Sequence[str] | None,
        largest_volume: float | None,
    ) -> None:
        """Candidate cells; the given cell where there is one."""
        assert self.peaks is not None
        self._given_group = group
        if cell is not None:
            self.cells = (given_cell(cell, group or group_of_lattice(cell)),)
            return
        if self._trail.cells:
            self.cells = self._trail.cells
            self.say("cells", f"{len(self.cells)} taken over from before")
            return
        table = index(self.peaks, lattices=lattices, largest_volume=largest_volume, seed=self.seed)
        self.notes += table.notes
        best = table.best
        self.say(
            "cells",
            f"{best.lattice} {' '.join(f'{x:.4f}' for x in best.cell)}, {best.indexed} of {best.indexed + best.unindexed} lines",
        )
        self.cells = rank_by_lebail(self.pattern, table.candidates, instrument=self.instrument, peaks=self.peaks)
        self._trail.write(self.cells, ())
        best = self.cells[0]
        self.say(
            "cells",
            f"by the whole pattern: {best.lattice} {' '.join(f'{x:.4f}' for x in best.cell)} ({best.probability:.0%})",
        )

    def find_atoms(self) -> None:
        """Search for atoms in the likeliest cells and groups, longer with every round, until a structure fits."""
        count = len(self.cells[:_MOST_CELLS])
        likely = [k for k in range(count) if k == 0 or self.cells[k].probability >= _LEAST_CELL]
        seconds = _FIRST_VISIT
        while self.spent < self.seconds:
            for k in likely:
                try:
                    if self._search_cell(k, seconds) or self.spent >= self.seconds:
                        return
                except JaxnmrError as err:
                    # a fit of a less likely cell that fails is no reason to give up the others
                    count = len(self.extractions)
                    if count == 0:
                        raise
                    self.notes.append(f"cell {count + 1}: {err}")
                    break
            # probabilities of cells are too sure of themselves: where nothing fits, the next ones have their turn
            likely, seconds = list(range(count)), 3.0 * seconds
            tables = self.tables[:count]
            if len(tables) == count and all(
                self._is_settled(k, rung) for k in likely for rung in groups_to_try(tables[k])
            ):
                return

    def _is_settled(self, k: int, rung: Rung) -> bool:
        """Whether a longer search in this cell and group can find nothing else."""
        return any(cell == k and group == rung.group for cell, group in self._settled)

    def _search_cell(self, k: int, seconds: float) -> bool:
        """Search in the groups of one cell; whether a structure was found that fits."""
        while k >= len(self.extractions):
            fit = lebail(
                self.pattern, start=self.cells[len(self.extractions)], instrument=self.instrument, peaks=self.peaks
            )
            table = self._known_group(fit) if self._given_group else extinctions(fit)
            self.extractions.append(fit)
            self.tables.append(table)
            self.notes += [note for note in fit.notes if note not in self.notes]
            self.say("intensities", f"{fit}; {table.best.symbol} ({table.best.probability:.0%})")
        rungs = groups_to_try(self.tables[k])
        best: Attempt | None = None
        for rung in rungs:
            # a higher symmetry shows in the structure itself, and a lower one only adds coordinates
            sure = best is not None and best.solutions.best.r_factor <= GOOD_R
            if best and (sure or rung.probability < _RIVAL * best.rung.probability):
                break
            if self._is_settled(k, rung):
                continue
            attempt = self._attempt(k, rung, seconds)
            if attempt is not None:
                self._keep(attempt)
                if _fits(attempt) and (best is None or attempt.bic < best.bic):
                    best = attempt
            if self.interrupted:
                raise KeyboardInterrupt
            if self.spent >= self.seconds:
                break
        return best is not None

    def _known_group(self, fit: Extraction) -> ExtinctionTable:
        """The table of a group that was given."""
        row = Extinction("given", (fit.group,), 0.0, 1.0, 0, 0.0)
        return ExtinctionTable((row,), fit.group, fit.cell)

    def _attempt(self, k: int, rung: Rung, seconds: float) -> Attempt | None:
        fit = self.extractions[k]
        try:
            areas = fit.intensities if rung.group == fit.group else intensities_in(fit, rung.group)
            contents = self._contents()
            if (known := self._trail.taken(k, rung.group)) is not None:
                return Attempt(k, rung, areas, known, _criterion(known, len(areas)))
            say = lambda at: self.say(
                "atoms",
                f"{rung.group.name}: R {at.r_factor:.3f} after {counted(at.tried, 'assignment')}, {counted(at.hops, 'minimisation')}",
                passing=True,
            )
            found = structure(
                areas, self.composition, contents=contents, density=self.density, seed=self.seed + len(self.attempts),
                seconds=min(seconds, max(self.seconds - self.spent, 1.0)), progress=say,
            )  # fmt: skip
        except (JaxnmrError, ValueError) as err:
            note = f"{rung.group.name}: {err}"
            if note not in self.notes:
                self.notes.append(note)
            if isinstance(err, SymmetryError | ConventionError | ParameterError):
                # contents or positions that there is no room for
                self._settled.append((k, rung.group))
            return None
        self.interrupted = self.interrupted or found.interrupted
        best = found.best
        if found.total is not None and not any(one.dof for one in found.solutions):
            # all assignments were tried, and none has a coordinate to move
            self._settled.append((k, rung.group))
        self.say(
            "atoms",
            f"{rung.group.name}: R {best.r_factor:.3f}, {counted(best.dof, 'free coordinate')}, {'solved' if found.solved else 'not solved'}",
        )
        return Attempt(k, rung, areas, found, _criterion(found, len(areas)))

    def _contents(self) -> dict[str, int] | None:
        """Atoms in the cell, where the number of formula units was given."""
        if self.formula_units is None:
            return None
        return {element: self.formula_units * n for element, n in self.unit.items() if element != "H"}

    def _keep(self, attempt: Attempt) -> None:
        """A later, longer search in the same group takes the place of an earlier one that was worse."""
        same = [
            k for k, old in enumerate(self.attempts) if (old.cell, old.rung.group) == (attempt.cell, attempt.rung.group)
        ]
        for k in same:
            if self.attempts[k].bic <= attempt.bic:
                return
        self.attempts = [old for k, old in enumerate(self.attempts) if k not in same] + [attempt]
        self.attempts.sort(key=lambda a: (not a.solutions.solved, not _fits(a), a.bic))
        self._trail.write(self.cells, self.attempts)

    def refine(self) -> None:
        """Rietveld refinements of the best structures that fit, in the highest symmetry that they have."""
        done: set[str] = set()
        for attempt in [a for a in self.attempts if _fits(a)][:_REFINED]:
            crystal = attempt.solutions.best.crystal
            for one in (*in_higher_symmetry(crystal), in_standard_setting(crystal)):
                if one.group.name not in done:
                    done.add(one.group.name)
                    one, extraction = (
                        self._ordered(one, attempt.solutions.indistinguishable),
                        self.extractions[attempt.cell],
                    )
                    try:
                        texture = texture_for(one, attempt.intensities, attempt.solutions)
                        fit = refine_solution(one, extraction, self.pattern, texture=texture)
                    except (JaxnmrError, ValueError) as err:
                        self.notes.append(f"refinement in {one.group.name}: {err}")
                        continue
                    self.say("refinement", f"{one.group.name}: Rwp {profile_factor(fit):.2f} %")
                    self._extraction_of[id(fit)] = extraction
                    self.fits.append(fit)
                    self.fits.sort(key=lambda fit: _badness(fit, len(self.extractions[0].hkl)))
                    if fit.status == "interrupted":
                        raise KeyboardInterrupt
        for attempt in self.attempts[: 1 if self.fits else 0]:
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

    def outcome(self, composition: str) -> Determination:
        status, reason = self._judged()
        assert self.peaks is not None
        return Determination(
            status=status, reason=reason, pattern=self.pattern, composition=composition, peaks=self.peaks, cells=self.cells,
            extractions=tuple(self.extractions), extinctions=tuple(self.tables), attempts=tuple(self.attempts), fits=tuple(self.fits),
            notes=tuple(self.notes), seconds=self.spent,
        )  # fmt: skip

    def _judged(self) -> tuple[Literal["solved", "not solved", "interrupted"], str]:
        best = self.attempts[0] if self.attempts else None
        if self.fits and best:
            found = self.fits[0]
            extraction = self._extraction_of[id(found)]
            rwp, reachable, missed = profile_factor(found), extraction.rwp, unexplained(extraction)
            words = f"{found.crystal.group.name}: Rwp {rwp:.2f} %, that of the Le Bail fit {reachable:.2f} %"
            if self.interrupted and not found.converged:
                return "interrupted", f"a structure was found, but not refined to the end. {words}"
            if missed > _MOST_UNEXPLAINED:
                return (
                    "not solved",
                    f"the cell does not explain the pattern: its reflections leave {missed:.0%} of what rises above the background. {words}",
                )
            if not found.converged:
                return "not solved", f"the refinement of the structure did not converge. {words}"
            if not rwp <= _LARGEST_RATIO * reachable:
                return "not solved", f"the refined structure does not fit. {words}"
            if not best.solutions.solved:
                return "not solved", f"a structure fits, but {best.solutions.reason}. {words}"
            return "solved", words
        if self.interrupted:
            found_one = best is not None and _fits(best)
            return (
                "interrupted",
                "a structure was found, but not refined" if found_one else "no structure was found that fits",
            )
        if best:
            return "not solved", best.solutions.reason
        return "not solved", "no atoms could be searched for" + (f": {self.notes[-1]}" if self.notes else "")


def _fits(attempt: Attempt) -> bool:
    """Whether to search on cannot help: a structure is solved, or agrees without being determined by the data."""
    return attempt.solutions.solved or attempt.solutions.best.r_factor <= GOOD_R


def unexplained(fit: Extraction) -> float:
    """Part of the squares of what rises above or below the median that a fit leaves, the noise taken off.

    Not above the background of the fit: where reflections are at the wrong places, that goes anywhere.
    """
    left = float(np.sum(((fit.observed - fit.calculated) / fit.sigma) ** 2)) - len(fit.observed)
    whole = float(np.sum(((fit.observed - np.median(fit.observed)) / fit.sigma) ** 2)) - len(fit.observed)
    return min(max(left, 0.0) / whole, 1.0) if whole > 0.0 else 1.0


def _criterion(found: Solutions, n: int) -> float:
    """Bayesian information criterion of the best structure for ``n`` areas."""
    best = found.best
    return n * float(np.log(max(best.r_factor, 1e-3) ** 2)) + best.dof * float(np.log(n))


def _badness(fit: RefinementResult, n: int) -> float:
    """Bayesian information criterion of a refined structure, for ``n`` independent observations."""
    return n * float(np.log(profile_factor(fit) ** 2)) + fit.parameters.n_free * float(np.log(n))


def given_cell(cell: np.ndarray, group: SpaceGroup) -> CellCandidate:
    """A cell that was known before, as a candidate."""
    return CellCandidate(
        cell=cell, niggli=cell, lattice="", group=group, zero=0.0, displacement=0.0, indexed=0, unindexed=0, possible=0,
        m20=float("nan"), log_evidence=0.0, probability=1.0,
    )  # fmt: skip
