"""Scan of one site over many positions with all other atoms fixed (host, single precision)."""

import numpy as np
from jaxtyping import Float

from .candidates import Candidate
from .problem import Problem

# number of positions tried, and number of the best to choose from
_PLACES, _BEST = 128, 4


class Scan:
    """Placement of sites where square roots of areas agree best.

    Args:
        problem: problem to be solved.
        rng: random number generator for the positions.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator):
        measured = problem.measured
        n = int(np.flatnonzero(measured.weight)[-1]) + 1
        self._hkl = np.asarray(measured.hkl)[:n]
        self._form, self._weight = np.asarray(measured.form)[:n], np.asarray(measured.weight)[:n, None]
        self._starts = np.flatnonzero(np.diff(np.asarray(measured.member)[:n], prepend=-1))
        groups = len(self._starts)
        self._trust = np.asarray(measured.trust)[:groups, None]
        self._observed = np.asarray(measured.root)[:groups, None] * self._trust
        self._centric, self._rng = problem.centric, rng

    def place(self, candidate: Candidate, u: Float[np.ndarray, " dof1"], site: int) -> Float[np.ndarray, " k"]:
        """Return coordinates for a site: one of the best of many random positions."""
        model, columns, own = candidate.model, candidate.columns[site], candidate.atoms[site]
        used = candidate.atoms[-1].stop
        matrix, offset = np.asarray(model.matrix)[:used, :, : candidate.dof], np.asarray(model.offset)[:used]
        x = (matrix @ u[:-1].astype(np.float32) + offset).astype(np.float32)
        factors = self._form[:, np.asarray(model.element)[:used]] * np.asarray(model.copies)[:used]
        rest = np.ones(used, dtype=bool)
        rest[own] = False
        fixed = (factors[:, rest] * self._waves(x[rest])).sum(axis=1)
        trials = self._rng.uniform(0.0, candidate.periods[columns], (_PLACES, columns.stop - columns.start))
        places = np.einsum("nik,tk->tni", matrix[own][:, :, columns], trials.astype(np.float32)) + offset[own]
        waves = self._waves(places.reshape(-1, 3).astype(np.float32)).reshape(len(self._hkl), _PLACES, -1)
        total = fixed[:, None] + (factors[:, None, own] * waves).sum(axis=-1)
        area = np.add.reduceat(self._weight * np.abs(total) ** 2, self._starts, axis=0)
        y = np.sqrt(area) * self._trust
        likeness = (y * self._observed).sum(axis=0) / np.sqrt((y**2).sum(axis=0) + 1e-30)
        best = np.argsort(-likeness)[:_BEST]
        return trials[best[int(self._rng.integers(len(best)))]]

    def _waves(self, x: Float[np.ndarray, "n 3"]) -> np.ndarray:
        turns = self._hkl @ x.T
        phase = (2.0 * np.pi) * (turns - np.round(turns))
        return np.cos(phase) if self._centric else np.exp(1j * phase)
