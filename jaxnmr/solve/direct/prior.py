"""Prior probability of Wyckoff positions for an element: a log-linear model fitted to known crystals.

``P(option) ∝ (ways to choose the positions) · exp(weights · features)`` among all options of one element in its group.
The weights are in ``prior.json`` with their origin (``tools/fit_assignment_prior.py``).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import comb, log
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .wyckoff import Positions

ANIONS = frozenset("N O F S Cl Se Br Te I".split())
_FILE = Path(__file__).with_name("prior.json")
# largest number of options listed for one element
MOST_OPTIONS = 20_000
NAMES = (
    "fixed", "line", "plane", "general", "anion fixed", "anion line", "anion plane", "anion general", "site symmetry", "repeated kind",
    "sites beyond the least", "anion site symmetry",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Wyckoff positions of the same multiplicity and freedom, which the prior treats as equal."""

    multiplicity: int
    dof: int
    members: tuple[int, ...]


# number of sites on positions of each kind
Counts = tuple[int, ...]


def kinds(positions: Positions) -> tuple[Kind, ...]:
    """Group the positions by multiplicity and freedom, general ones first."""
    found: dict[tuple[int, int], list[int]] = {}
    for position in positions.every:
        found.setdefault((position.multiplicity, position.dof), []).append(position.number)
    return tuple(Kind(*key, tuple(found[key])) for key in sorted(found, reverse=True))


def options(kinds: tuple[Kind, ...], atoms: int) -> Iterator[Counts]:
    """Iterate over the ways to put this many atoms on positions of these kinds; fixed positions at most once."""

    def fill(k: int, left: int) -> Iterator[Counts]:
        if k == len(kinds):
            if left == 0:
                yield ()
            return
        kind = kinds[k]
        most = left // kind.multiplicity
        if kind.dof == 0:
            most = min(most, len(kind.members))
        for number in range(most, -1, -1):
            for rest in fill(k + 1, left - number * kind.multiplicity):
                yield (number, *rest)

    return fill(0, atoms)


def features(
    kinds: tuple[Kind, ...], counts: Float[np.ndarray, "options kinds"], element: str
) -> Float[np.ndarray, "options features"]:
    """Return the features of the prior, in the order of `NAMES`."""
    counts = np.asarray(counts, dtype=float)
    largest = max(kind.multiplicity for kind in kinds)
    by_dof = np.stack([counts[:, [kind.dof == d for kind in kinds]].sum(axis=1) for d in range(4)], axis=1)
    symmetry = counts @ np.array([log(largest / kind.multiplicity) for kind in kinds])
    sites = counts.sum(axis=1)
    anion = float(element in ANIONS)
    columns = [
        *by_dof.T, *(anion * by_dof).T, symmetry, np.maximum(counts - 1.0, 0.0).sum(axis=1), (sites - sites.min()) ** 2 / 4.0,
        anion * symmetry,
    ]  # fmt: skip
    return np.stack(columns, axis=1)


def ways(kinds: tuple[Kind, ...], counts: Counts) -> float:
    """Return the logarithm of the number of ways to choose the positions."""
    total = 0.0
    for kind, number in zip(kinds, counts, strict=True):
        n = len(kind.members)
        if number:
            total += log(comb(n, number) if kind.dof == 0 else comb(n + number - 1, number))
    return total


@lru_cache(maxsize=1)
def fitted() -> Float[np.ndarray, " features"]:
    """Return the weights that come with the package."""
    return np.array(json.loads(_FILE.read_text(encoding="utf-8"))["weights"])
