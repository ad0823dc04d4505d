"""The crystal of a train part that is nearest in composition and pattern: what a learned prior of densities is set beside."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

WEIGHTS = (0.0, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class Retrieval(NamedTuple):
    """A train part.

    Attributes:
        counts: atoms of each element, ``(crystals, elements)``.
        roots: square roots of the shares of the lines, ``(crystals, lines)``.
    """

    counts: np.ndarray
    roots: np.ndarray

    def nearest(self, counts: np.ndarray, roots: np.ndarray, weight: float) -> int:
        """The crystal with the smallest ``atoms that differ + weight * sum (difference of roots)²``."""
        apart = 0.5 * np.abs(self.counts - counts).sum(axis=1) + weight * ((self.roots - roots) ** 2).sum(axis=1)
        return int(apart.argmin())

    def tuned(self, counts: np.ndarray, roots: np.ndarray, score: Callable[[int, int], float]) -> np.ndarray:
        """Scores of a validation part by weight, ``(crystals, weights)``.

        Args:
            counts, roots: of the validation part.
            score: of a validation crystal and the one that was found for it, by number.
        """
        found = np.zeros((len(counts), len(WEIGHTS)))
        for k in range(len(counts)):
            known: dict[int, float] = {}
            for j, weight in enumerate(WEIGHTS):
                hit = self.nearest(counts[k], roots[k], weight)
                if hit not in known:
                    known[hit] = score(k, hit)
                found[k, j] = known[hit]
        return found
