"""One determination from many seeds: what they share is done once, and where they agree is evidence (host)."""

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
        best: the best of them, with what the seeds say together in its ``status`` and ``reason``: it is not called solved where another
            structure fits as well.
        agreement: rows, the best first, which of them agree, and the structures that fit as well.
        done, known: seeds of this call, and of earlier ones.
        seconds: of processor time of all seeds, what they share included.
        table_file: where rows are kept; ``None`` where that was in memory.
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
        """One for every seed of the table, the best first."""
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
    """Determine a structure from many seeds, independently of one another, and compare what they found.

    Lines, cells and the intensities of the likeliest cell are found once; every seed then searches for atoms and refines what it finds, as
    :func:`jaxnmr.solve.determine` does. Structures are the same when atoms lie within 0.05 (V/N)^(1/3), root mean square, whatever setting,
    origin and hand they are in. With a folder, the table is kept there (``table.sqlite``), and a later call with other seeds adds theirs.
    An interruption (Ctrl-C) keeps the seeds that are done, and returns them.

    Args:
        pattern, composition, instrument, cell, group, formula_units, density, lattices, largest_volume, energy: as of
            :func:`jaxnmr.solve.determine`. For a cluster, an energy of your own must be picklable.
        seeds: how many, from 0 on, or which.
        minutes: of processor time for every seed, after which it begins no new search.
        folder: where the table is kept; in memory when not given. One process at a time writes it.
        client: of ``dask.distributed``, whose workers take a seed each; without it one follows the other in this process.
        callback: receives the row of every seed that is done, and how far things are.
        progress: called with what is done in this process.

    Returns:
        All seeds of the table compared, those of earlier calls included, with the best determination.

    Raises:
        ConventionError, DataError, SymmetryError, ParameterError: as of :func:`jaxnmr.solve.determine`; a table of another pattern, of other
            arguments or that another process writes; no worker that could do it.
        JaxnmrError: no seed could be determined, no space on the disk, or the scheduler is gone; what was finished before is kept.
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
        # what failed may have been a worker out of memory
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
    """Digest of everything that all rows have in common."""
    device = asked.instrument or asked.pattern.instrument
    # where an instrument was read from changes nothing
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
    """What seeds share: lines, cells, which stay those of the first call, and the fit of the likeliest cell."""
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
    """The best determination that was made in this process."""

    def __init__(self) -> None:
        self._row: SeedRow | None = None
        self._found: Determination | None = None

    def keep(self, row: Row, found: Determination) -> None:
        """One more."""
        new = taken(row)
        if self._row is None or in_order([self._row, new])[0] is new:
            self._row, self._found = new, found

    def of(self, seed: int) -> Determination | None:
        """That of a seed, ``None`` where it is not the best, or was made elsewhere."""
        return self._found if self._row is not None and self._row.seed == seed else None


def _judged(best: Determination, found: Agreement, missing: Sequence[int]) -> Determination:
    """The best determination with what the seeds say together."""
    status, reason = best.status, f"{best.reason}. {found.text}"
    if status == "solved" and found.undecided:
        status, reason = "not solved", f"seeds disagree, and the data do not tell which structure is right. {reason}"
    if missing:
        left = f"seed{'' if len(missing) == 1 else 's'} {listed([str(seed) for seed in missing])}"
        status, reason = "interrupted", f"{left} not done; the same call goes on with the rest. {reason}"
    return replace(best, status=status, reason=reason)
