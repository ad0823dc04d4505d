"""Search for atoms in the most likely cells and space groups, longer in every round, until a structure fits (host)."""

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

# smallest probability of cells searched for atoms, and their largest number
_LEAST_CELL, _MOST_CELLS = 0.02, 3
# CPU seconds of the first visit of a group; every later visit takes three times as long
_FIRST_VISIT = 20.0
# groups with less than this fraction of the probability of a fitting structure's group are not searched
_RIVAL = 0.2
# difference between seeds of successive searches, so that determinations with seeds 0, 1, 2 ... share no random numbers
_STRIDE = 1_000_003


class AtomSearch:
    """Search for atoms in several cells and groups.

    Args:
        pattern, instrument, peaks: measured pattern, and its lines.
        composition: as of :func:`jaxnmr.solve.structure`, like ``contents`` and ``density``.
        cells: candidates, the most likely first; ``group`` if known.
        seed: random seed of the searches.
        clock: time limit; ``trail`` stores results, and provides earlier ones.
        extracted: existing Le Bail fits of the first cells with their extinctions; new ones are added.
        proposals: starting structures for searches in their cells.

    Attributes:
        extractions, tables: Le Bail fits of the searched cells, and their extinctions.
        attempts: searches, the best first.
        notes: remarks that a reader must know.
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
        """Search until a structure fits, nothing is left to try, or the time is up.

        Raises:
            KeyboardInterrupt: the user stopped it; results so far are kept.
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
                    # a failed fit of a less likely cell is no reason to abandon the others
                    count = len(self.extractions)
                    if count == 0:
                        raise
                    self.notes.append(f"cell {count + 1}: {err}")
                    break
            # probabilities of cells are overconfident: if nothing fits, the next ones are tried
            likely, seconds = list(range(count)), 3.0 * seconds
            tables = self.tables[:count]
            if len(tables) == count and all(
                self._is_settled(k, rung) for k in likely for rung in groups_to_try(tables[k])
            ):
                return

    def _is_settled(self, k: int, rung: Rung) -> bool:
        """Return whether a longer search in this cell and group cannot find anything else."""
        return any(cell == k and group == rung.group for cell, group in self._settled)

    def _search_cell(self, k: int, seconds: float) -> bool:
        """Search in the groups of one cell; return whether a structure was found that fits."""
        self.extract(k)
        best: Attempt | None = None
        for rung in groups_to_try(self.tables[k]):
            # a higher symmetry is detected in the structure itself, and a lower one only adds coordinates
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
        """Extract areas and absences of the cells up to number ``k``, unless already present."""
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
                # no room for these contents or positions
                self._settled.append((k, rung.group))
            return None
        best = found.best
        if found.total is not None and not any(one.dof for one in found.solutions):
            # all assignments were tried, and none has a free coordinate
            self._settled.append((k, rung.group))
        solved = "solved" if found.solved else "not solved"
        self._clock.say("atoms", f"{name}: R {best.r_factor:.3f}, {counted(best.dof, 'free coordinate')}, {solved}")
        return Attempt(k, rung, areas, found, criterion(found, len(areas)))

    def _keep(self, attempt: Attempt) -> None:
        """Replace an earlier search in the same group if a later, longer one is better."""
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
    """Return the areas of a cell in one of its space groups."""
    return fit.intensities if group == fit.group else intensities_in(fit, group)


def known_group(fit: Extraction) -> ExtinctionTable:
    """Return the extinction table of a given group."""
    row = Extinction("given", (fit.group,), 0.0, 1.0, 0, 0.0)
    return ExtinctionTable((row,), fit.group, fit.cell)


def criterion(found: Solutions, n: int) -> float:
    """Return the Bayesian information criterion of the best structure for ``n`` areas."""
    best = found.best
    return n * float(np.log(max(best.r_factor, 1e-3) ** 2)) + best.dof * float(np.log(n))
