"""The fourteen Bravais lattices: quadratic forms, lines and cells (host).

``Q = 1/d² = A h² + B k² + C l² + D kl + E hl + F hk``, in Å⁻²; a lattice has one to six free parameters, of which the
six coefficients are linear functions.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from ...crystal import SpaceGroup
from ...crystal.cell import cell_from_metric, reciprocal_metric

# the six coefficients as linear functions of the free parameters, by crystal system; hexagonal axes for R
_FREE = {
    "c": ((1, 1, 1, 0, 0, 0),),
    "t": ((1, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0)),
    "h": ((1, 1, 0, 0, 0, 1), (0, 0, 1, 0, 0, 0)),
    "o": ((1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0)),
    "m": ((1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0), (0, 0, 0, 0, 1, 0)),
    "a": tuple(tuple(row) for row in np.eye(6, dtype=int).tolist()),
}
# the group of highest symmetry without extinctions other than those of the centring
_GROUPS = {
    "cF": "F m -3 m", "cI": "I m -3 m", "cP": "P m -3 m", "hR": "R -3 m:H", "hP": "P 6/m m m", "tI": "I 4/m m m", "tP": "P 4/m m m",
    "oF": "F m m m", "oI": "I m m m", "oC": "C m m m", "oP": "P m m m", "mC": "C 1 2/m 1", "mP": "P 1 2/m 1", "aP": "P -1",
}  # fmt: skip
_LATTICE_POINTS = {"P": 1, "C": 2, "I": 2, "R": 3, "F": 4}


@dataclass(frozen=True)
class BravaisLattice:
    """One of the fourteen Bravais lattices.

    Attributes:
        name: Pearson's letters, ``"mP"``.
    """

    name: str

    @property
    def system(self) -> str:
        """Crystal system, the first letter: ``c t h o m a``."""
        return self.name[0]

    @property
    def centring(self) -> str:
        """Centring, the second letter: ``P C I F R``."""
        return self.name[1]

    @property
    def points(self) -> int:
        """Lattice points per conventional cell."""
        return _LATTICE_POINTS[self.centring]

    @property
    def group(self) -> SpaceGroup:
        """Space group of highest symmetry without extinctions other than those of the centring."""
        return SpaceGroup.from_name(_GROUPS[self.name])

    @property
    def free(self) -> Int[np.ndarray, "p 6"]:
        """Matrix of the form ``x @ free``."""
        return np.array(_FREE[self.system])

    def columns(self, hkl: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "n p"]:
        """Return the derivatives of Q by the free parameters."""
        return squares(hkl) @ self.free.T

    def allowed(self, hkl: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return whether the centring allows these reflections."""
        return centred(self.centring, hkl)

    def numbers(self, cell: Float[np.ndarray, "6"]) -> Float[np.ndarray, " p"]:
        """Return the free parameters of a conventional cell, projected if it is not of this lattice."""
        form = form_of(reciprocal_metric(np.asarray(cell, dtype=float)))
        return np.linalg.lstsq(self.free.T.astype(float), form, rcond=None)[0]

    def cell(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "6"]:
        """Return the conventional cell in Å and degrees."""
        return cell_from_metric(np.linalg.inv(metric_of(x @ self.free)))


def squares(hkl: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "n 6"]:
    """Return the factors that multiply the six coefficients."""
    h, k, l = np.asarray(hkl).T
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], axis=1)


def centred(centring: str, hkl: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Return whether a centring allows reflections; R in the obverse setting."""
    h, k, l = np.asarray(hkl).T
    return {
        "P": np.full(len(h), True),
        "I": (h + k + l) % 2 == 0,
        "C": (h + k) % 2 == 0,
        "F": ((h + k) % 2 == 0) & ((k + l) % 2 == 0),
        "R": (-h + k + l) % 3 == 0,
    }[centring]


def metric_of(form: Float[np.ndarray, "*n 6"]) -> Float[np.ndarray, "*n 3 3"]:
    """Return reciprocal metric tensors of quadratic forms."""
    a, b, c, d, e, f = np.moveaxis(form, -1, 0)
    rows = ([a, f / 2, e / 2], [f / 2, b, d / 2], [e / 2, d / 2, c])
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def determinant(form: Float[np.ndarray, "*n 6"]) -> Float[np.ndarray, " *n"]:
    """Return determinants of reciprocal metric tensors: inverse squares of volumes, Å⁻⁶."""
    a, b, c, d, e, f = np.moveaxis(form, -1, 0)
    return a * b * c + d * e * f / 4.0 - (a * d * d + b * e * e + c * f * f) / 4.0


def form_of(metric: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6"]:
    """Return the quadratic form of a reciprocal metric tensor."""
    g = metric
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])


LATTICES = tuple(map(BravaisLattice, _GROUPS))


def lattice_named(name: str) -> BravaisLattice:
    """Return the lattice with these Pearson letters; raise `KeyError` for others."""
    if name not in _GROUPS:
        raise KeyError(name)
    return BravaisLattice(name)


@cache
def table(lattice: BravaisLattice, rows: int) -> tuple[Int[np.ndarray, "rows 3"], Int[np.ndarray, "rows p"]]:
    """List lines of a lattice, one reflection each, and their columns.

    Cells with very different axes have lines at high indices along one axis: a line ``hkl`` is inside a sphere only
    together with all those of no larger indices, about ``(|h| + 1)(|k| + 1)(|l| + 1)`` of them, so the table is ordered
    by these products.
    """
    most = 40 if lattice.system in "cth" else 30
    axis = np.arange(-most, most + 1)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[_half(lattice.system, hkl)]
    size = np.abs(hkl)
    order = (hkl**2).sum(axis=1) if lattice.system == "c" else np.prod(size + 1, axis=1)
    near = (order <= np.sort(order)[min(len(order) - 1, 60 * rows)]) & lattice.allowed(hkl) & (size.sum(axis=1) > 0)
    hkl, order = hkl[near], order[near]
    hkl = hkl[np.lexsort(((hkl**2).sum(axis=1), order))]
    columns = lattice.columns(hkl)
    first = np.sort(np.unique(columns, axis=0, return_index=True)[1])[:rows]
    return hkl[first], columns[first]


def lines_within(
    lattice: BravaisLattice, x: Float[np.ndarray, " p"], q_max: float, most: int
) -> Int[np.ndarray, "n 3"] | None:
    """Return one reflection per line with ``Q <= q_max``, by increasing Q; ``None`` if there are more than ``most``."""
    direct = np.linalg.inv(metric_of(x @ lattice.free))
    limit = np.floor(np.sqrt(np.diag(direct) * q_max) + 1e-9).astype(int)
    if np.prod(limit + 1.0) > 40 * most:
        return None
    hkl = _box(lattice, tuple(limit.tolist()))
    q = squares(hkl) @ (x @ lattice.free)
    hkl = hkl[(q <= q_max) & (q > 0)]
    columns = lattice.columns(hkl)
    hkl = hkl[np.unique(columns, axis=0, return_index=True)[1]]
    if len(hkl) > most:
        return None
    return hkl[np.argsort(lattice.columns(hkl) @ x, kind="stable")]


@lru_cache(maxsize=64)
def _box(lattice: BravaisLattice, limit: tuple[int, int, int]) -> Int[np.ndarray, "n 3"]:
    hkl = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limit), indexing="ij"), axis=-1).reshape(-1, 3)
    return hkl[_half(lattice.system, hkl) & lattice.allowed(hkl) & hkl.any(axis=1)]


def _half(system: str, hkl: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Return whether reflections represent their Laue equivalents; some sets have more than one."""
    h, k, l = hkl.T
    if system in "co":
        return (h >= 0) & (k >= 0) & (l >= 0)
    if system == "t":
        return (h >= k) & (k >= 0) & (l >= 0)
    if system == "h":
        return (l >= 0) & (h >= 0)
    if system == "m":
        return (k >= 0) & ((l > 0) | ((l == 0) & (h >= 0)))
    return (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h >= 0))))
