"""Elements of a structure type with unknown composition: each kind in turn takes the element that fits best (host)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex, Float

from ...crystal import volume
from ...density.shapes import valence_elements
from .decorations import Decoration, contents_of, log_volume
from .fitting import TRIED_B, misfits
from .lines import Lines, Reflections, form_factors
from .types import StructureType

_SWEEPS = 2
# number of decorations kept per type
_KEPT = 5


def guessed(
    one: StructureType, waves: Complex[np.ndarray, "n sites"], reflections: Reflections, lines: Lines,
    start: tuple[str, ...], weigh: "Weigh", elements: "Elements",
) -> list[Decoration]:  # fmt: skip
    """Return the most probable decorations found by the sweeps.

    Args:
        one: structure type; waves: waves of its sites.
        reflections, lines: those of the pattern.
        start: initial decoration; elements: frequencies of elements.
        weigh: log likelihood of misfits.
    """
    every = valence_elements()
    factors = lines.factors(every)
    damping = np.exp(-TRIED_B[1] * reflections.s_sq)
    form = form_factors(factors, reflections.s_sq) * damping[:, None]
    kinds = int(one.kind.max()) + 1
    by_kind = np.stack([waves[:, one.kind == k].sum(axis=1) for k in range(kinds)], axis=1)
    now = [every.index(start[int(np.flatnonzero(one.kind == k)[0])]) for k in range(kinds)]
    space = float(volume(lines.cell))
    found: dict[tuple[str, ...], float] = {}
    for _ in range(_SWEEPS):
        before = list(now)
        for k in np.argsort([-one.multiplicity[one.kind == k].sum() for k in range(kinds)]):
            rest = sum((by_kind[:, j] * form[:, now[j]] for j in range(kinds) if j != k), np.zeros(len(form), complex))
            squares = np.abs(rest[None] + by_kind[:, k] * form.T) ** 2
            scores = weigh(misfits(lines, squares, reflections))
            rows = [tuple(every[e if j == k else now[j]] for j in one.kind.tolist()) for e in range(len(every))]
            prior = np.array([log_volume(contents_of(one, row), space) + elements.log_prior(row) for row in rows])
            # two kinds of one element would be another type
            taken = {now[j] for j in range(kinds) if j != k}
            prior[list(taken)] = -np.inf
            total = scores + prior
            for e in np.argsort(-total)[:_KEPT]:
                if np.isfinite(total[e]):
                    found[rows[e]] = float(prior[e])
            if np.isfinite(total).any():
                now[int(k)] = int(total.argmax())
        if now == before:
            break
    return [Decoration(row, prior) for row, prior in found.items()]


class Elements:
    """Frequencies of elements in the crystals of a library."""

    def __init__(self, types: Sequence[StructureType]) -> None:
        self.seen = Counter(e for one in types for row in one.known for e in set(row))
        self.total = sum(self.seen.values()) + len(valence_elements())

    def log_prior(self, elements: Sequence[str]) -> float:
        """Return the log prior probability of a set of elements from their frequencies, each count increased by one."""
        return float(sum(np.log((self.seen[e] + 1.0) / self.total) for e in set(elements)))


class Weigh:
    """Log likelihood of misfits of unknown size: ``-n/2 log(misfit² + noise²)``.

    Attributes:
        count: effective number of areas; noise: misfit explained by noise.
    """

    def __init__(self, count: float, noise: float) -> None:
        self.count, self.noise = count, noise

    def __call__(self, misfit: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        return -0.5 * self.count * np.log(np.square(misfit) + self.noise**2)
