"""Choice and order of the space groups to try (host)."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...crystal import SpaceGroup
from ..extraction.extinction import ExtinctionTable

# pseudocount: a group that was never counted is not impossible
_UNSEEN = 0.3


@dataclass(frozen=True)
class Rung:
    """A space group to try.

    Attributes:
        group: in the axes of the cell.
        symbol: extinction symbol.
        probability: probability among all groups of the lattice, from absences and frequencies of groups.
    """

    group: SpaceGroup
    symbol: str
    probability: float


def groups_to_try(table: ExtinctionTable, *, least: float = 0.003, most: int = 12) -> tuple[Rung, ...]:
    """List space groups of a lattice, the most probable first.

    Absences determine the probability of extinction symbols; among groups with the same symbol, and symbols that agree
    equally well, frequent groups are more probable.

    Args:
        table: result of `jn.solve.extinctions`.
        least: smallest probability; the first group is always included.
        most: largest number of groups.
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
    """Return the number of inorganic crystals counted in each of the 230 space groups."""
    record = json.loads(Path(__file__).with_name("space_groups.json").read_text(encoding="utf-8"))
    return tuple(record["counts"])
