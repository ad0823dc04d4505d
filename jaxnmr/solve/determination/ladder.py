"""Which space groups are tried, and in which order (host)."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...crystal import SpaceGroup
from ..extraction.extinction import ExtinctionTable

# a group that was never counted is not impossible
_UNSEEN = 0.3


@dataclass(frozen=True)
class Rung:
    """A space group to try.

    Attributes:
        group: in the axes of the cell.
        symbol: its extinction symbol.
        probability: from the absences and from how often groups occur, among all groups of the lattice.
    """

    group: SpaceGroup
    symbol: str
    probability: float


def groups_to_try(table: ExtinctionTable, *, least: float = 0.003, most: int = 12) -> tuple[Rung, ...]:
    """Space groups of a lattice, the most probable first.

    An extinction symbol is as probable as absences say; of the groups that share it, and of symbols that agree equally well,
    those are more probable that occur more often.

    Args:
        table: of `jn.solve.extinctions`.
        least: smallest probability; the first group is always there.
        most: groups.
    """
    counts = group_counts()
    total = sum(counts) + _UNSEEN * len(counts)
    weighed = [
        (row.probability * (counts[(group.number or 1) - 1] + _UNSEEN) / total, row.symbol, group)
        for row in table.rows
        for group in row.groups
    ]
    whole = sum(weight for weight, _, _ in weighed)
    rungs = [Rung(group, symbol, weight / whole) for weight, symbol, group in sorted(weighed, key=lambda w: -w[0])]
    return tuple(rung for k, rung in enumerate(rungs[:most]) if k == 0 or rung.probability >= least)


@lru_cache(maxsize=1)
def group_counts() -> tuple[int, ...]:
    """How often each of the 230 space groups was counted among inorganic crystals."""
    record = json.loads(Path(__file__).with_name("space_groups.json").read_text(encoding="utf-8"))
    return tuple(record["counts"])
