"""A determination from one seed as an item of a campaign: how it is worked on, its row, and the whole of it again from the row (host)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ..._cache import share_cache
from ..._precision import enable_x64
from ...campaign.rows import Row
from ...campaign.work import Item, failed
from ...crystal import Crystal
from ...energy import EnergyModel
from ...io.structures.cif_write import cif_text
from ..extraction.extinction import ExtinctionTable
from ..extraction.records import Extraction
from ..handover import profile_factor
from .atom_search import AtomSearch, areas_in, criterion
from .common import Common
from .ladder import Rung
from .outcome import Attempt, Determination
from .progress import Clock, Step
from .record import Trail, attempt_record, crystal_of_record, crystal_record, group_of_attempt, solutions_of_record
from .refined import Refinements, badness

KIND = "determination"
_CELL = ("a", "b", "c", "alpha", "beta", "gamma")
COLUMNS: dict[str, type] = {
    "seed": int, "space_group": str, "contents": str, "r_factor": float, "coordinates": int, "overlap": float, "rwp": float, "bic": float,
    "energy_ev_atom": float, **dict.fromkeys(_CELL, float),
}  # fmt: skip
_NAN = float("nan")
_NAMED = "seed "


def item_of(seed: int) -> Item:
    """The item of a seed; what else it depends on is that of its table."""
    return Item(f"{_NAMED}{seed}", f"{_NAMED}{seed}", content=seed)


@dataclass(frozen=True)
class SeedRow:
    """A determination from one seed.

    Attributes:
        seed: of the searches for atoms.
        status, reason: as of a `Determination`; ``"error"`` where it could not be made.
        group, contents: space group and atoms in the conventional cell, ``"Pb4 S4 O16"``; empty where no structure was found.
        r_factor: R of the square roots of areas, of the search that led to the structure.
        coordinates: that are free in the structure; ``overlap`` Å by which atoms come closer than the search wants.
        rwp: of the refinement, per cent; not a number where there was none.
        bic: Bayesian information criterion of it, to be compared within a table.
        energy_ev_atom: of the refined structure, relaxed in its cell; not a number where no energy was asked for.
        crystal: the structure, refined where that was possible.
        alike: pairs of elements that X-rays hardly tell apart.
        seconds: of processor time, what all seeds share left out.
        key: under which it stands in the table.
        structure: number of the structure among those that differ, from 1 for that of the best; 0 where there is none.
        distance: Å, root mean square distance of its atoms from those of the best; not a number for another structure.
    """

    seed: int
    status: str
    reason: str
    group: str = ""
    contents: str = ""
    r_factor: float = _NAN
    coordinates: int = 0
    overlap: float = _NAN
    rwp: float = _NAN
    bic: float = _NAN
    energy_ev_atom: float = _NAN
    crystal: Crystal | None = None
    alike: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    key: str = ""
    structure: int = 0
    distance: float = _NAN

    @property
    def refined(self) -> bool:
        """Whether the structure was refined against the whole pattern."""
        return bool(np.isfinite(self.rwp))

    @property
    def cell(self) -> Float[np.ndarray, 6] | None:
        """``(6,)`` conventional cell in Å and degrees."""
        return None if self.crystal is None else np.asarray(self.crystal.cell, dtype=float)


@dataclass(frozen=True)
class Determining:
    """Searches for atoms from many seeds, each with the refinements that follow; see `Work`.

    Attributes:
        common: lines and cells.
        extracted: the fits that were made of the first cells, with their extinctions.
        minutes: as of :func:`jaxnmr.solve.determine`, of each seed; ``energy``, too.
        cache: folder of compiled programs, for processes that have none.
        keep: receives every row with the whole determination, ``told`` what is done now; not for other processes.
    """

    common: Common
    extracted: tuple[tuple[Extraction, ExtinctionTable], ...]
    minutes: float
    energy: EnergyModel | str | None = None
    cache: str | None = None
    keep: Callable[[Row, Determination], None] | None = field(default=None, repr=False)
    told: Callable[[Step], None] | None = field(default=None, repr=False)

    def begin(self) -> tuple[list[tuple[Extraction, ExtinctionTable]], EnergyModel | None]:
        """What all seeds share; fits of less likely cells are added when one needs them."""
        enable_x64()
        share_cache(self.cache)
        return list(self.extracted), EnergyModel.load(self.energy) if isinstance(self.energy, str) else self.energy

    def rows(self, state: tuple, items: Iterable[Item]) -> Iterator[Row]:
        """A row for every seed, one after the other.

        Raises:
            KeyboardInterrupt: somebody stopped it; the seed that was being worked on has no row.
        """
        extracted, model = state
        for item in items:
            try:
                row, found = self._determined(item, extracted, model)
            except Exception as err:
                yield failed(item, f"{type(err).__name__}: {err}")
                continue
            if self.keep is not None:
                self.keep(row, found)
            yield row

    def _determined(self, item: Item, extracted: list, model: EnergyModel | None) -> tuple[Row, Determination]:
        clock = Clock(60.0 * self.minutes, self.told)
        search = self.common.search(item.content, clock, Trail(None, self.common.question.pattern, {}), extracted)
        search.run()
        refinements = Refinements(self.common.question.pattern, clock, model)
        refinements.run(search.attempts, search.extractions)
        found = self.common.outcome(search, refinements, False, clock.spent)
        return _row(item, found, search, refinements), found

    def again(self, row: Row) -> Determination:
        """The determination that a row tells of: searches as they were, refined once more in this process.

        Raises:
            KeyboardInterrupt: somebody stopped it.
        """
        extracted, model = self.begin()
        clock = Clock(60.0 * self.minutes, self.told)
        search = self.common.search(taken(row).seed, clock, Trail(None, self.common.question.pattern, {}), extracted)
        record = row.record
        search.extract(record["extractions"] - 1)
        search.attempts = [_attempt(one, search) for one in record["attempts"]]
        search.notes = list(record["notes"])
        refinements = Refinements(self.common.question.pattern, clock, model)
        refinements.run(search.attempts, search.extractions)
        return self.common.outcome(search, refinements, False, row.seconds)


def _attempt(record: Any, search: AtomSearch) -> Attempt:
    group, found = group_of_attempt(record), solutions_of_record(record)
    areas = areas_in(search.extractions[record["cell"]], group)
    rung = Rung(group, record["symbol"], record["probability"])
    return Attempt(record["cell"], rung, areas, found, criterion(found, len(areas)))


def _row(item: Item, found: Determination, search: AtomSearch, refinements: Refinements) -> Row:
    """What a table keeps of a determination."""
    values: dict[str, Any] = {"seed": item.content}
    record: dict[str, Any] = {
        "attempts": [attempt_record(a) for a in found.attempts], "notes": search.notes, "extractions": len(found.extractions),
        "worker": platform.node(),
    }  # fmt: skip
    text = ""
    if found.attempts:
        best = refinements.best
        solutions = (found.attempts[0] if best is None else best.attempt).solutions
        crystal = found.crystal.replace(name=f"seed_{item.content}")
        record |= {"crystal": crystal_record(crystal), "alike": solutions.indistinguishable}
        values |= dict(zip(_CELL, np.asarray(crystal.cell, dtype=float).tolist(), strict=True))
        values |= {
            "space_group": crystal.group.name, "contents": contents_of(crystal), "r_factor": solutions.best.r_factor,
            "coordinates": sum(site.xyz_basis().shape[1] for site in crystal.sites()), "overlap": solutions.best.overlap,
        }  # fmt: skip
        if best is not None:
            values |= {
                "rwp": profile_factor(best.fit), "bic": badness(best.fit, len(found.extractions[0].hkl)),
                "energy_ev_atom": found.energies[0],
            }  # fmt: skip
        esds = None if best is None else best.fit.esds
        text = cif_text(
            {crystal.name: crystal}, esds, extra={"_refine_special_details": f"{found.status}: {found.reason}"}
        )
    return Row(item.key, item.name, found.status, found.reason, found.seconds, values, record, text)


def contents_of(crystal: Crystal) -> str:
    """Atoms in the conventional cell, ``"Pb4 S4 O16"``."""
    count: dict[str, int] = {}
    for species, site in zip(crystal.species, crystal.sites(), strict=True):
        count[species] = count.get(species, 0) + site.multiplicity
    return " ".join(f"{species}{n}" for species, n in count.items())


def taken(row: Row) -> SeedRow:
    """A row from a table."""
    numbers: dict[str, Any] = {
        name: _NAN if row.values.get(name) is None else row.values[name]
        for name in ("r_factor", "overlap", "rwp", "bic", "energy_ev_atom")
    }
    record = row.record.get("crystal")
    return SeedRow(
        seed=int(row.name.removeprefix(_NAMED)), status=row.status, reason=row.message, group=row.values.get("space_group") or "",
        contents=row.values.get("contents") or "", coordinates=row.values.get("coordinates") or 0, **numbers,
        crystal=None if record is None else crystal_of_record(record), seconds=row.seconds, key=row.key,
        alike=tuple((a, b) for a, b in row.record.get("alike", ())),
    )  # fmt: skip
