"""One determination from many seeds: common steps are done once, and agreement is evidence (host)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._arguments import checked
from ..._cache import cache_in_use
from ..._record import plain
from ..._version import __version__
from ..._words import listed
from ...campaign.cluster import Cluster
from ...campaign.drive import Tally, drive
from ...campaign.rows import Row
from ...campaign.table import Table
from ...crystal import SpaceGroup
from ...diffraction import Instrument, Pattern
from ...energy import EnergyModel
from ...errors import JaxnmrError, ParameterError
from ...typing import Numbers
from ..direct.formula import Composition
from .agreement import Agreement, agreement, in_order
from .common import Common, Question, common, question
from .determine import require_minutes
from .outcome import Determination
from .progress import Clock, Step
from .record import Trail, cell_of_record, cell_record, pattern_record
from .seeds import COLUMNS, KIND, Determining, SeedRow, item_of, taken

if TYPE_CHECKING:
    from distributed import Client

    from ..extraction.extinction import ExtinctionTable
    from ..extraction.records import Extraction


@dataclass(frozen=True)
class SeedsResult:
    """Determinations from many seeds.

    Attributes:
        best: best determination, with the comparison of seeds in its ``status`` and ``reason``: it is not called solved
            if another structure fits equally well.
        agreement: rows, the best first, their agreement, and structures that fit equally well.
        done, known: numbers of seeds of this call, and of earlier ones.
        seconds: CPU time of all seeds, including common steps.
        table_file: file of the rows; ``None`` if in memory.
        texts: structures as CIF, by seed.
    """

    best: Determination
    agreement: Agreement
    done: int
    known: int
    seconds: float
    table_file: Path | None
    texts: dict[int, str]

    @property
    def rows(self) -> tuple[SeedRow, ...]:
        """One row per seed of the table, the best first."""
        return self.agreement.rows


@checked
def determine_from_seeds(
    pattern: Pattern,
    composition: Composition,
    *,
    seeds: int | Sequence[int] = 8,
    instrument: Instrument | None = None,
    cell: Numbers | None = None,
    group: SpaceGroup | str | int | None = None,
    formula_units: int | None = None,
    density: float | None = None,
    lattices: str | Sequence[str] | None = None,
    largest_volume: float | None = None,
    minutes: float = 20.0,
    energy: EnergyModel | str | None = None,
    folder: str | Path | None = None,
    client: Client | None = None,
    callback: Callable[[SeedRow, Tally], Any] | None = None,
    progress: Callable[[Step], Any] | None = None,
) -> SeedsResult:
    """Determine a structure from many independent seeds, and compare the results.

    Lines, cells and the intensities of the most likely cell are found once; every seed then searches for atoms and
    refines the structures found, as :func:`jaxnmr.solve.determine` does. Structures are the same if atoms lie within
    0.05 (V/N)^(1/3), root mean square, in any setting, origin and hand. A folder stores the table (``table.sqlite``),
    to which later calls add further seeds. An interruption (Ctrl-C) keeps and returns the finished seeds.

    Args:
        pattern, composition, instrument, cell, group, formula_units, density, lattices, largest_volume, energy: as of
            :func:`jaxnmr.solve.determine`. For a cluster, a user-defined energy must be picklable.
        seeds: number of seeds, from 0 on, or the seeds themselves.
        minutes: CPU time for every seed, after which it begins no new search.
        folder: folder of the table; in memory by default. Only one process at a time may write it.
        client: client of ``dask.distributed``, whose workers take one seed each; without it seeds run sequentially in
            this process.
        callback: receives the row of every finished seed, and the progress.
        progress: callback with the current step in this process.

    Returns:
        Comparison of all seeds of the table, including those of earlier calls, with the best determination.

    Raises:
        ConventionError, DataError, SymmetryError, ParameterError: as of :func:`jaxnmr.solve.determine`; or the table is
            of another pattern or other arguments, another process writes it, or no worker is suitable.
        JaxnmrError: no seed could be determined, the disk is full, or the scheduler is lost; finished seeds are kept.
    """
    numbers = _seeds(seeds)
    asked = question(
        pattern, composition, instrument=instrument, cell=cell, group=group, formula_units=formula_units, density=density,
        lattices=lattices, largest_volume=largest_volume,
    )  # fmt: skip
    require_minutes(minutes)
    model = EnergyModel.load(energy) if isinstance(energy, str) else energy
    table = Table(folder, KIND, COLUMNS, _run(asked, minutes, energy))
    try:
        # a failure may have been a worker out of memory
        table.forget(table.reader().keys(status="error"))
        clock = Clock(60.0 * minutes, progress)
        shared, extracted = _shared(asked, numbers[0], clock, table)
        seconds, kept = clock.spent, _Best()
        work = Determining(shared, extracted, minutes, model, keep=kept.keep, told=progress)
        tally, interrupted = Tally(), False

        def tell(row: Row, now: Tally) -> None:
            nonlocal tally
            tally = now
            if callback is not None:
                callback(taken(row), now)

        try:
            items = [item_of(seed) for seed in numbers]
            if client is None:
                tally = drive(items, work, table, total=len(items), callback=tell)
            else:
                remote = replace(work, energy=energy, keep=None, told=None, cache=cache_in_use())
                tally = drive(items, remote, table, Cluster(client, most=1, least=1), total=len(items), callback=tell)
        except KeyboardInterrupt:
            interrupted = True
        rows = {row.key: row for row in table.reader()}
    finally:
        table.close()
    if not rows:
        raise KeyboardInterrupt
    found = agreement([taken(row) for row in rows.values()])
    if found.rows[0].status == "error":
        raise JaxnmrError(f"no seed could be determined: {found.rows[0].reason}")
    best = kept.of(found.rows[0].seed) or work.again(rows[found.rows[0].key])
    missing = [seed for seed in numbers if item_of(seed).key not in rows] if interrupted else []
    return SeedsResult(
        best=_judged(best, found, missing), agreement=found, done=tally.done, known=tally.known,
        seconds=seconds + sum(row.seconds for row in found.rows), table_file=table.path,
        texts={row.seed: rows[row.key].text for row in found.rows if row.crystal is not None},
    )  # fmt: skip


def _seeds(given: int | Sequence[int]) -> list[int]:
    if isinstance(given, int):
        if given < 1:
            raise ParameterError(f"seeds is {given}; expected how many, from 1 on")
        return list(range(given))
    numbers = [int(seed) for seed in given]
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ParameterError(f"seeds are {numbers}; expected different whole numbers from 0 on, one or more")
    return numbers


def _run(asked: Question, minutes: float, energy: EnergyModel | str | None) -> str:
    """Return a digest of everything common to all rows."""
    device = asked.instrument or asked.pattern.instrument
    # the file that an instrument was read from is irrelevant
    beam = {} if device is None else {f.name: getattr(device, f.name) for f in fields(device) if f.name not in _NOTES}
    name = energy if energy is None or isinstance(energy, str) else energy.name
    said = {
        **pattern_record(asked.pattern),
        "asked": asked.asked,
        "instrument": beam,
        "minutes": minutes,
        "energy": name,
    }
    return hashlib.sha256(f"{__version__} {json.dumps(plain(said), sort_keys=True)}".encode()).hexdigest()


_NOTES = ("name", "optics")


def _shared(
    asked: Question, seed: int, clock: Clock, table: Table
) -> tuple[Common, tuple[tuple[Extraction, ExtinctionTable], ...]]:
    """Make the common steps: lines and cells, fixed by the first call, and the fit of the most likely cell."""
    trail, known = Trail(None, asked.pattern, {}), table.reader().notes.get("cells")
    if known is None:
        shared = common(asked, seed, clock, trail)
        cells = {"cells": [cell_record(one) for one in shared.cells], "notes": shared.notes}
        table.note(cells=json.dumps(plain(cells)))
    else:
        earlier = json.loads(known)
        trail.cells = tuple(cell_of_record(one) for one in earlier["cells"])
        shared = replace(common(asked, seed, clock, trail), notes=tuple(earlier["notes"]))
    extracted: list[tuple[Extraction, ExtinctionTable]] = []
    shared.search(seed, clock, trail, extracted).extract(0)
    return shared, tuple(extracted)


class _Best:
    """Best determination made in this process."""

    def __init__(self) -> None:
        self._row: SeedRow | None = None
        self._found: Determination | None = None

    def keep(self, row: Row, found: Determination) -> None:
        """Add one determination."""
        new = taken(row)
        if self._row is None or in_order([self._row, new])[0] is new:
            self._row, self._found = new, found

    def of(self, seed: int) -> Determination | None:
        """Return the determination of a seed, ``None`` if it is not the best, or was made elsewhere."""
        return self._found if self._row is not None and self._row.seed == seed else None


def _judged(best: Determination, found: Agreement, missing: Sequence[int]) -> Determination:
    """Return the best determination with the comparison of seeds in its verdict."""
    status, reason = best.status, f"{best.reason}. {found.text}"
    if status == "solved" and found.undecided:
        status, reason = "not solved", f"seeds disagree, and the data do not tell which structure is right. {reason}"
    if missing:
        left = f"seed{'' if len(missing) == 1 else 's'} {listed([str(seed) for seed in missing])}"
        status, reason = "interrupted", f"{left} not done; the same call goes on with the rest. {reason}"
    return replace(best, status=status, reason=reason)
