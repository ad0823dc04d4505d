"""Determination from one seed as an item of a campaign: execution, its row, and reconstruction from the row (host)."""

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
    """Return the item of a seed; all other dependencies belong to its table."""
    return Item(f"{_NAMED}{seed}", f"{_NAMED}{seed}", content=seed)


@dataclass(frozen=True)
class SeedRow:
    """A determination from one seed.

    Attributes:
        seed: random seed of the searches for atoms.
        status, reason: as of a `Determination`; ``"error"`` if it failed.
        group, contents: space group and atoms in the conventional cell, ``"Pb4 S4 O16"``; empty if no structure was
            found.
        r_factor: R of the square roots of areas, from the search that led to the structure.
        coordinates: number of free coordinates; ``overlap`` largest overlap of atoms in Å, relative to the minimum
            distances.
        rwp: Rwp of the refinement, per cent; NaN without one.
        bic: Bayesian information criterion of the refinement, for comparison within a table.
        energy_ev_atom: energy of the refined structure, relaxed in its cell; NaN if no energy was requested.
        crystal: structure, refined if possible.
        alike: pairs of elements that X-rays hardly distinguish.
        seconds: CPU time, without the common steps.
        key: key in the table.
        structure: index of the structure among different ones, 1 for that of the best; 0 without any.
        distance: root mean square distance in Å of its atoms from those of the best; NaN for another structure.
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
    """Work of a campaign: searches for atoms from many seeds, each with its refinements; see `Work`.

    Attributes:
        common: lines and cells.
        extracted: existing fits of the first cells, with their extinctions.
        minutes: CPU time per seed, as of :func:`jaxnmr.solve.determine`; also ``energy``.
        cache: folder of compiled programs, for processes without one.
        keep: receives every row with the full determination, ``told`` the current step; not for other processes.
    """

    common: Common
    extracted: tuple[tuple[Extraction, ExtinctionTable], ...]
    minutes: float
    energy: EnergyModel | str | None = None
    cache: str | None = None
    keep: Callable[[Row, Determination], None] | None = field(default=None, repr=False)
    told: Callable[[Step], None] | None = field(default=None, repr=False)

    def begin(self) -> tuple[list[tuple[Extraction, ExtinctionTable]], EnergyModel | None]:
        """Return the data common to all seeds; fits of less likely cells are added on demand."""
        enable_x64()
        share_cache(self.cache)
        return list(self.extracted), EnergyModel.load(self.energy) if isinstance(self.energy, str) else self.energy

    def rows(self, state: tuple, items: Iterable[Item]) -> Iterator[Row]:
        """Iterate over rows, one per seed.

        Raises:
            KeyboardInterrupt: the user stopped it; the current seed has no row.
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
        """Reconstruct the determination of a row: recorded searches, refined again in this process.

        Raises:
            KeyboardInterrupt: the user stopped it.
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
    """Return the part of a determination that a table stores."""
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
    """Format the atoms in the conventional cell, ``"Pb4 S4 O16"``."""
    count: dict[str, int] = {}
    for species, site in zip(crystal.species, crystal.sites(), strict=True):
        count[species] = count.get(species, 0) + site.multiplicity
    return " ".join(f"{species}{n}" for species, n in count.items())


def taken(row: Row) -> SeedRow:
    """Read a row of a table."""
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
