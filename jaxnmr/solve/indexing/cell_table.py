"""Result of indexing: candidate cells in a table (host)."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ..._tables import plain
from ...crystal.cell import volume
from ...errors import DataError
from ..records import CellCandidate, Peaks
from .lattices import lattice_named, lines_within

# largest number of lines of a cell up to the last peak of a long list
_MOST = 20_000


@dataclass(frozen=True, repr=False)
class CellTable:
    """Candidate cells for a list of peaks.

    Attributes:
        candidates: the most probable first, one per lattice.
        peaks: complete list of peaks.
        lines: number of these, from the first, that were indexed.
        scales: factors by which the uncertainties of the positions seem too small, per candidate.
        tolerance: added in quadrature to the uncertainties, degrees.
        sigmas: ``(6,)`` standard uncertainties of each cell, Å and degrees.
        untried: lattices not tried because there are too few lines.
    """

    candidates: tuple[CellCandidate, ...]
    peaks: Peaks
    lines: int
    scales: tuple[float, ...]
    tolerance: float
    sigmas: tuple[Float[np.ndarray, "6"], ...]
    untried: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, number: int) -> CellCandidate:
        return self.candidates[number]

    @property
    def best(self) -> CellCandidate:
        """Most probable cell."""
        return self.candidates[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that a reader of the table must know."""
        if not self.untried:
            return ()
        return (f"{self.lines} lines are too few for the lattices {' '.join(self.untried)}, which were not tried",)

    @property
    def unindexed(self) -> Float[np.ndarray, " peaks"]:
        """2theta in degrees of the indexed peaks that the best cell does not explain."""
        first = np.sort(self.peaks.two_theta)[: self.lines]
        return first[~self.explains(0, first)]

    def positions(self, number: int, high: float) -> Float[np.ndarray, " lines"]:
        """Return 2theta in degrees of the lines of a candidate, with its shift, up to an angle in degrees."""
        one, wavelength = self.candidates[number], self.peaks.wavelength
        lattice = lattice_named(one.lattice)
        x = lattice.numbers(one.cell)
        q = (
            lattice.columns(self._lines(number, 4.0 * np.sin(np.radians(min(high, 179.0)) / 2.0) ** 2 / wavelength**2))
            @ x
        )
        theta = np.arcsin(np.minimum(wavelength * np.sqrt(q) / 2.0, 1.0))
        return np.degrees(2.0 * theta) + one.zero + one.displacement * np.cos(theta)

    def _lines(self, number: int, q_max: float) -> Int[np.ndarray, "n 3"]:
        one = self.candidates[number]
        lattice = lattice_named(one.lattice)
        hkl = lines_within(lattice, lattice.numbers(one.cell), q_max, _MOST)
        if hkl is None:
            raise DataError(f"candidate {number + 1}, {one.lattice}, has more than {_MOST} lines up to the last peak")
        return hkl

    def explains(self, number: int, two_theta: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Return whether a candidate has a line at each of these angles in degrees, within three uncertainties."""
        one = self.candidates[number]
        lattice = lattice_named(one.lattice)
        half = np.radians(np.asarray(two_theta, dtype=float) - one.zero) / 2.0
        half -= np.radians(one.displacement * np.cos(half)) / 2.0
        wavelength = self.peaks.wavelength
        q = 4.0 * np.sin(half) ** 2 / wavelength**2
        x = lattice.numbers(one.cell)
        known = np.sort(lattice.columns(self._lines(number, 1.02 * float(q.max()))) @ x)
        right = np.clip(np.searchsorted(known, q), 1, len(known) - 1)
        away = np.minimum(np.abs(known[right] - q), np.abs(known[right - 1] - q))
        order = np.argsort(self.peaks.two_theta)
        sigma = np.interp(two_theta, self.peaks.two_theta[order], self.peaks.sigma[order])
        by_angle = 2.0 * np.sin(2.0 * half) / wavelength**2 * np.pi / 180.0
        return away <= 3.0 * self.scales[number] * by_angle * np.hypot(sigma, 2.0 * self.tolerance)

    def left_over(self, number: int = 0) -> Peaks:
        """Return all peaks that a candidate does not explain: those of a second phase, to be indexed in turn.

        Raises:
            DataError: the candidate explains all peaks.
        """
        peaks = self.peaks
        rest = ~self.explains(number, peaks.two_theta)
        if not rest.any():
            raise DataError(
                f"candidate {number + 1} explains all {len(peaks)} peaks of {peaks.name}; none are left to be indexed"
            )
        columns = ("two_theta", "sigma", "area", "sigma_area", "fwhm")
        return replace(peaks, name=f"{peaks.name}, left over", **{name: getattr(peaks, name)[rest] for name in columns})

    def rows(self) -> list[dict[str, object]]:
        """Return one row per candidate, for ``cells.csv``: Å, degrees, Å³."""
        return [cell_row(k, *one) for k, one in enumerate(zip(self.candidates, self.sigmas, strict=True), start=1)]

    def __str__(self) -> str:
        header = (
            "",
            "lattice",
            "a",
            "b",
            "c",
            "alpha",
            "beta",
            "gamma",
            "V",
            "shift",
            "indexed",
            "possible",
            "M20",
            "log E",
            "P",
        )
        rows = [
            (
                rank, one.lattice, *(f"{x:.4f}" for x in one.cell[:3]), *(f"{x:.3f}" for x in one.cell[3:]), f"{volume_of(one):.1f}",
                f"{one.zero + one.displacement:+.3f}", f"{one.indexed}/{one.indexed + one.unindexed}", one.possible, f"{one.m20:.1f}",
                f"{one.log_evidence:.1f}", f"{one.probability:.3f}",
            )
            for rank, one in enumerate(self.candidates[:10], start=1)
        ]  # fmt: skip
        left = ", ".join(f"{x:.3f}" for x in self.unindexed)
        more = [f"not explained by the first: {left}"] if left else []
        return "\n".join([plain(header, rows), *more, *self.notes])

    __repr__ = __str__


def cell_row(rank: int, one: CellCandidate, sigma: Float[np.ndarray, "6"] | None = None) -> dict[str, object]:
    """Return a candidate as a row of ``cells.csv``: Å, degrees, Å³; with standard uncertainties if known."""
    row: dict[str, object] = {"rank": rank, "lattice": one.lattice, "group": one.group.name}
    for k, name in enumerate(("a", "b", "c", "alpha", "beta", "gamma")):
        row[name] = round(float(one.cell[k]), 5)
        if sigma is not None:
            row[f"{name}_su"] = float(f"{sigma[k]:.2g}")
    return row | {
        "volume": round(volume_of(one), 3), "zero_deg": round(one.zero, 4), "displacement_deg": round(one.displacement, 4),
        "indexed": one.indexed, "unindexed": one.unindexed, "possible": one.possible,
        "m20": round(one.m20, 2) if np.isfinite(one.m20) else None, "log_evidence": round(one.log_evidence, 2),
        "probability": float(f"{one.probability:.4g}"), "rwp": None if one.rwp is None else round(one.rwp, 3),
    }  # fmt: skip


def volume_of(one: CellCandidate) -> float:
    """Return the volume of a candidate, Å³."""
    return float(volume(np.asarray(one.cell, dtype=float)))
