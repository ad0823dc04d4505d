"""`extinctions`: systematic absences, as a table of extinction symbols ranked by evidence (host).

Source of the method: A. J. Markvardsen, W. I. F. David, J. C. Johnson & K. Shankland, Acta Cryst. A57, 47 (2001).
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from ..._arguments import checked
from ...crystal import SpaceGroup
from ...diffraction import Instrument, Pattern
from ...errors import ConventionError, SymmetryError, require_kind
from ...typing import Numbers
from ..records import CellCandidate, Peaks
from .evidence import expected_areas, log_evidence
from .lebail import lebail
from .records import Extraction
from .starts import group_of_lattice
from .symbols import classes_of, forbidden


@dataclass(frozen=True)
class Extinction:
    """One extinction symbol.

    Attributes:
        symbol: extinction symbol, such as ``"P n - a"``.
        groups: compatible space groups in the axes of the cell, the highest Laue class first.
        log_evidence: log evidence relative to that of no absences.
        probability: posterior probability among all symbols of the lattice, with equal priors.
        absent: number of measured reflections it forbids.
        worst: largest ratio of area to uncertainty among these, and ``hkl`` its reflection.
    """

    symbol: str
    groups: tuple[SpaceGroup, ...]
    log_evidence: float
    probability: float
    absent: int
    worst: float
    hkl: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class ExtinctionTable:
    """All extinction symbols of a lattice, the most probable first.

    Attributes:
        rows: one row per symbol.
        lattice: group of highest symmetry without extinctions other than the centring.
        cell: ``(6,)`` Å and degrees.
        notes: remarks that a reader of the result must know.
    """

    rows: tuple[Extinction, ...]
    lattice: SpaceGroup
    cell: Float[np.ndarray, "6"]
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Extinction:
        """Most probable symbol."""
        return self.rows[0]

    def groups(self, least: float = 0.01) -> tuple[SpaceGroup, ...]:
        """List the space groups of all symbols with at least this probability, the most probable symbol first."""
        return tuple(group for row in self.rows if row.probability >= least for group in row.groups)

    def rank(self, group: SpaceGroup) -> int | None:
        """Return the rank, from 1, of the symbol of a group; ``None`` if it has no symbol of this lattice."""
        return next((k + 1 for k, row in enumerate(self.rows) if _among(group, row.groups)), None)

    def __str__(self) -> str:
        lines = [f"{'symbol':12} {'P':>7} {'ln evidence':>12} {'absent':>7} {'worst':>7}  groups"]
        for row in self.rows[:12]:
            numbers = ", ".join(f"{g.name} ({g.number})" for g in row.groups[:4])
            more = ", ..." if len(row.groups) > 4 else ""
            lines.append(
                f"{row.symbol:12} {row.probability:7.3f} {row.log_evidence:12.1f} {row.absent:7d} {row.worst:7.1f}  {numbers}{more}"
            )
        return "\n".join(lines)


def _among(group: SpaceGroup, groups: tuple[SpaceGroup, ...]) -> bool:
    """Return whether a group is one of these up to its origin."""
    rotations = {tuple(r.ravel()) for r in group.rotations}
    return any(
        g == group or (g.number == group.number and {tuple(r.ravel()) for r in g.rotations} == rotations)
        for g in groups
    )


@checked
def extinctions(
    fit: Extraction | Pattern,
    cell: Numbers | None = None,
    *,
    start: CellCandidate | None = None,
    instrument: Instrument | None = None,
    peaks: Peaks | None = None,
) -> ExtinctionTable:
    """Rank the extinction symbols of a lattice by the areas of the reflections they forbid.

    Args:
        fit: areas of all reflections of the lattice, or a pattern to extract them from.
        cell, start, instrument, peaks: for a pattern, as of `lebail`.

    Raises:
        ConventionError: there is no cell.
        SymmetryError: areas were extracted with extinctions other than those of the centring.
    """
    require_kind(fit, (Extraction, Pattern), "what absences are sought in", "as of lebail or read_pattern")
    if isinstance(fit, Pattern):
        if cell is None and start is None:
            raise ConventionError("a pattern alone tells no absences: give its cell=, or start= one of index(peaks)")
        fit = lebail(fit, cell, instrument=instrument, start=start, peaks=peaks)
    lattice = _lattice_of(fit)
    classes = classes_of(lattice, fit.cell)
    absent = np.array([forbidden(c.groups[0], fit.hkl, lattice) for c in classes])
    if forbidden(fit.group, fit.hkl, lattice).any() or _leaves_out(fit.group):
        raise SymmetryError(
            f"{fit.name} was extracted with {fit.group.name}, which has left reflections out already: extract it with the group of the lattice, "
            f"lebail(pattern, cell, {lattice.name!r})"
        )
    expected = expected_areas(fit.area, np.diag(fit.covariance), fit.weight)
    logs = log_evidence(fit.area, fit.covariance, expected, absent)
    share = np.exp(logs - logs.max())
    share = share / share.sum()
    z = fit.area / np.sqrt(np.diag(fit.covariance))
    rows = [
        Extinction(
            c.symbol, c.groups, float(logs[k]), float(share[k]), int(absent[k].sum()), *_worst(z, absent[k], fit)
        )
        for k, c in enumerate(classes)
    ]
    rows.sort(key=lambda row: (-row.log_evidence, row.absent, row.symbol))
    return ExtinctionTable(tuple(rows), lattice, fit.cell, fit.notes)


def _worst(
    z: Float[np.ndarray, " n"], absent: Bool[np.ndarray, " n"], fit: Extraction
) -> tuple[float, tuple[int, int, int] | None]:
    if not absent.any():
        return 0.0, None
    k = int(np.flatnonzero(absent)[np.argmax(z[absent])])
    h, i, l = (int(v) for v in fit.hkl[k])
    return float(z[k]), (h, i, l)


def _leaves_out(group: SpaceGroup) -> bool:
    """Return whether a group has screw axes or glide planes that forbid reflections."""
    axis = np.arange(-4, 5)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    shift = hkl @ group.centring.T
    hkl = hkl[(np.abs(shift - np.round(shift)) < 1e-6).all(axis=1)]
    return bool(forbidden(group, hkl, SpaceGroup.from_name("P -1")).any())


def _lattice_of(fit: Extraction) -> SpaceGroup:
    """Return the group of the lattice in the centring of a fit."""
    lattice = group_of_lattice(fit.cell)
    if len(fit.group.centring) == 1:
        return lattice
    return fit.group
