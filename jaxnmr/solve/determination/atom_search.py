"""Atoms searched in the likeliest cells and space groups, longer with every round, until a structure fits (host)."""

from collections.abc import Sequence

import numpy as np

from ..._words import counted
from ...crystal import Crystal, SpaceGroup
from ...diffraction import Instrument, Pattern
from ...errors import ConventionError, JaxnmrError, ParameterError, SymmetryError
from ..direct.formula import Composition
from ..direct.proposals import has_cell
from ..direct.search import GOOD_R
from ..direct.solutions import Solutions
from ..direct.structure import structure
from ..extraction.extinction import Extinction, ExtinctionTable, extinctions
from ..extraction.lebail import lebail
from ..extraction.records import Extraction
from ..extraction.symmetry import intensities_in
from ..records import CellCandidate, Intensities, Peaks
from .ladder import Rung, groups_to_try
from .outcome import Attempt, fits
from .progress import Clock
from .record import Trail

# cells are searched for atoms as long as they are this probable, and no more than so many
_LEAST_CELL, _MOST_CELLS = 0.02, 3
# seconds of processor time that the first visit of a group takes at most; every later visit takes three times as long
_FIRST_VISIT = 20.0
# groups this many times less probable than that of a structure that fits are not searched
_RIVAL = 0.2
# between the seeds of searches one after the other, so that those of determinations with seeds 0, 1, 2 ... have no random numbers in common
_STRIDE = 1_000_003


class AtomSearch:
    """A search for atoms in several cells and groups.

    Args:
        pattern, instrument, peaks: what was measured, and its lines.
        composition: as of :func:`jaxnmr.solve.structure`; ``contents`` and ``density`` too.
        cells: candidates, the likeliest first; ``group`` where it is known.
        seed: of the searches.
        clock: how long; ``trail`` keeps what is found, and has what was found before.
        extracted: Le Bail fits of the first cells with their extinctions, where they were made before; those made here are added.
        proposals: structures that searches in cells which are theirs begin with.

    Attributes:
        extractions, tables: Le Bail fits of the cells that were searched, and their extinctions.
        attempts: searches, the best first.
        notes: what a reader must know.
    """

    def __init__(
        self,
        pattern: Pattern,
        composition: Composition,
        *,
        instrument: Instrument | None,
        peaks: Peaks | None,
        cells: Sequence[CellCandidate],
        group: SpaceGroup | None,
        contents: dict[str, int] | None,
        density: float | None,
        seed: int,
        clock: Clock,
        trail: Trail,
        extracted: list[tuple[Extraction, ExtinctionTable]] | None = None,
        proposals: tuple[Crystal, ...] = (),
    ):
        self._pattern, self._composition, self._instrument, self._peaks = pattern, composition, instrument, peaks
        self._cells, self._given_group = tuple(cells), group
        self._contents, self._density, self._seed = contents, density, seed
        self._clock, self._trail = clock, trail
        self._extracted = [] if extracted is None else extracted
        self._proposals = proposals
        self._settled: list[tuple[int, SpaceGroup]] = []
        self.notes: list[str] = []
        self.extractions: list[Extraction] = []
        self.tables: list[ExtinctionTable] = []
        self.attempts: list[Attempt] = []

    def run(self) -> None:
        """Search until a structure fits, nothing is left to be tried, or the time is over.

        Raises:
            KeyboardInterrupt: somebody stopped it; what was found until then is kept.
        """
        count = len(self._cells[:_MOST_CELLS])
        likely = [k for k in range(count) if k == 0 or self._cells[k].probability >= _LEAST_CELL]
        seconds = _FIRST_VISIT
        while self._clock.left > 0.0:
            for k in likely:
                try:
                    if self._search_cell(k, seconds) or self._clock.left <= 0.0:
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
        self.extract(k)
        best: Attempt | None = None
        for rung in groups_to_try(self.tables[k]):
            # a higher symmetry shows in the structure itself, and a lower one only adds coordinates
            sure = best is not None and best.solutions.best.r_factor <= GOOD_R
            if best and (sure or rung.probability < _RIVAL * best.rung.probability):
                break
            if self._is_settled(k, rung):
                continue
            attempt = self._attempt(k, rung, seconds)
            if attempt is not None:
                self._keep(attempt)
                if fits(attempt) and (best is None or attempt.bic < best.bic):
                    best = attempt
                if attempt.solutions.interrupted:
                    raise KeyboardInterrupt
            if self._clock.left <= 0.0:
                break
        return best is not None

    def extract(self, k: int) -> None:
        """Areas and absences of the cells up to number ``k``, where they are not there yet."""
        while (made := len(self.extractions)) <= k:
            if made == len(self._extracted):
                fit = lebail(self._pattern, start=self._cells[made], instrument=self._instrument, peaks=self._peaks)
                self._extracted.append((fit, known_group(fit) if self._given_group else extinctions(fit)))
            fit, table = self._extracted[made]
            self.extractions.append(fit)
            self.tables.append(table)
            self.notes += [note for note in fit.notes if note not in self.notes]
            self._clock.say("intensities", f"{fit}; {table.best.symbol} ({table.best.probability:.0%})")

    def _attempt(self, k: int, rung: Rung, seconds: float) -> Attempt | None:
        fit, name = self.extractions[k], rung.group.name
        try:
            areas = areas_in(fit, rung.group)
            if (known := self._trail.taken(k, rung.group)) is not None:
                return Attempt(k, rung, areas, known, criterion(known, len(areas)))
            say = lambda at: self._clock.say(
                "atoms",
                f"{name}: R {at.r_factor:.3f} after {counted(at.tried, 'assignment')}, {counted(at.hops, 'minimisation')}",
                passing=True,
            )
            found = structure(
                areas, self._composition, contents=self._contents, density=self._density, seed=self._seed + _STRIDE * len(self.attempts),
                seconds=min(seconds, max(self._clock.left, 1.0)), progress=say,
                proposals=tuple(one for one in self._proposals if has_cell(one, areas)),
            )  # fmt: skip
        except (JaxnmrError, ValueError) as err:
            note = f"{name}: {err}"
            if note not in self.notes:
                self.notes.append(note)
            if isinstance(err, SymmetryError | ConventionError | ParameterError):
                # contents or positions that there is no room for
                self._settled.append((k, rung.group))
            return None
        best = found.best
        if found.total is not None and not any(one.dof for one in found.solutions):
            # all assignments were tried, and none has a coordinate to move
            self._settled.append((k, rung.group))
        solved = "solved" if found.solved else "not solved"
        self._clock.say("atoms", f"{name}: R {best.r_factor:.3f}, {counted(best.dof, 'free coordinate')}, {solved}")
        return Attempt(k, rung, areas, found, criterion(found, len(areas)))

    def _keep(self, attempt: Attempt) -> None:
        """A later, longer search in the same group takes the place of an earlier one that was worse."""
        same = [
            k for k, old in enumerate(self.attempts) if (old.cell, old.rung.group) == (attempt.cell, attempt.rung.group)
        ]
        for k in same:
            if self.attempts[k].bic <= attempt.bic:
                return
        self.attempts = [old for k, old in enumerate(self.attempts) if k not in same] + [attempt]
        self.attempts.sort(key=lambda a: (not a.solutions.solved, not fits(a), a.bic))
        self._trail.write(self._cells, self.attempts)


def areas_in(fit: Extraction, group: SpaceGroup) -> Intensities:
    """Areas of a cell in one of its space groups."""
    return fit.intensities if group == fit.group else intensities_in(fit, group)


def known_group(fit: Extraction) -> ExtinctionTable:
    """The table of a group that was given."""
    row = Extinction("given", (fit.group,), 0.0, 1.0, 0, 0.0)
    return ExtinctionTable((row,), fit.group, fit.cell)


def criterion(found: Solutions, n: int) -> float:
    """Bayesian information criterion of the best structure for ``n`` areas."""
    best = found.best
    return n * float(np.log(max(best.r_factor, 1e-3) ** 2)) + best.dof * float(np.log(n))
