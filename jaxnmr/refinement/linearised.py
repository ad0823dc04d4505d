"""The linear least-squares problem around a point, compressed once: uncertainties for any subset of columns (host).

Columns are scaled to unit length, ``[J, r]`` is compressed by QR, and the small triangle is decomposed by SVD: normal
equations are avoided, since their condition number is the square of this one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# singular values below this fraction of the largest are directions the data do not determine
NULL_TOLERANCE = 1e-7
# rows compressed at once: QR of the whole tall matrix is slow, because threads of LAPACK wait for each other
_ROWS = 256


@dataclass(frozen=True)
class Linearised:
    """The problem ``min |r + J d|`` over the selected columns.

    Attributes:
        triangle: ``(rows, columns)`` triangular factor of the scaled Jacobian.
        rotated: ``(rows,)`` residual in the same frame.
        norms: ``(columns,)`` lengths of the Jacobian's columns (1 for a column of zeros).
    """

    triangle: np.ndarray
    rotated: np.ndarray
    norms: np.ndarray

    @classmethod
    def create(cls, residuals: np.ndarray, jacobian: np.ndarray) -> Linearised:
        """Compress residuals ``(m,)`` and Jacobian ``(m, n)``."""
        norms = np.linalg.norm(jacobian, axis=0)
        norms = np.where(norms > 0, norms, 1.0)
        n = jacobian.shape[1]
        r = _triangle(np.column_stack([jacobian / norms, residuals]), max(_ROWS, 4 * (n + 1)))
        return cls(triangle=r[:, :n], rotated=r[:, n], norms=norms)

    def subset(self, keep: np.ndarray) -> Linearised:
        """Return the problem in some of the columns, the others held fixed."""
        return Linearised(self.triangle[:, keep], self.rotated, self.norms[keep])

    @cached_property
    def svd(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.linalg.svd(self.triangle, full_matrices=False)

    @cached_property
    def determined(self) -> np.ndarray:
        """Mask of the singular directions that the data determine."""
        s = self.svd[1]
        return s > NULL_TOLERANCE * max(s.max(initial=0.0), 1e-300)

    def whitening(self) -> np.ndarray:
        """Return ``D`` ``(columns, rank)`` such that the columns of ``J D`` are orthonormal."""
        _, s, vt = self.svd
        keep = self.determined
        found = (vt[keep].T / s[keep]) / self.norms[:, None]
        # rounding errors in a column without effect would look like a tiny uncertainty
        found[~self.triangle.any(axis=0)] = 0.0
        return found

    def minimum(self) -> np.ndarray:
        """Return the step ``(columns,)`` to the minimum of the linear model; zero along null directions."""
        return -self.whitening() @ (self.svd[0][:, self.determined].T @ self.rotated)

    def covariance(self) -> np.ndarray:
        """Return ``(JᵀJ)⁻¹`` on the determined directions, ``(columns, columns)``."""
        d = self.whitening()
        return d @ d.T

    def null_vectors(self) -> np.ndarray:
        """Return undetermined unit combinations of the scaled columns, ``(k, columns)``."""
        _, s, vt = np.linalg.svd(self.triangle, full_matrices=True)
        rank = int((s > NULL_TOLERANCE * max(s.max(initial=0.0), 1e-300)).sum())
        return vt[rank:]


def _triangle(matrix: np.ndarray, rows: int) -> np.ndarray:
    """Return the triangular factor of a matrix ``(m, n)``, from those of blocks of rows.

    Source: Demmel, Grigori, Hoemmen & Langou, SIAM J. Sci. Comput. 34, A206 (2012).
    """
    of = lambda part: np.asarray(np.linalg.qr(part, mode="r"))
    if len(matrix) <= rows:
        return of(matrix)
    return of(np.concatenate([of(matrix[first : first + rows]) for first in range(0, len(matrix), rows)]))


def null_sentences(
    problem: Linearised, names: Sequence[str], symmetric: Collection[str] = frozenset()
) -> tuple[str, ...]:
    """Describe the combinations of parameters that the data do not determine.

    Args:
        problem: problem in the columns of the names.
        names: names of the columns.
        symmetric: quantities that may lack a slope by symmetry.
    """
    sentences = []
    for vector in problem.null_vectors():
        order = [k for k in np.argsort(-np.abs(vector)) if abs(vector[k]) > 0.1 * np.abs(vector).max()]
        combination = ", ".join(names[k] for k in order[:6])
        if len(order) == 1:
            at = " at its value, which may be a point of symmetry: try another start"
            where = at if combination.partition("[")[0] in symmetric else ""
            sentences.append(f"The data do not determine {combination}{where}.")
        else:
            sentences.append(f"The data do not determine a common change of {combination}.")
    return tuple(sentences)
