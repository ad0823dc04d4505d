"""Steps from a powder pattern to a structure: lines and cells, extinctions, search for atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._words import counted
from ..diffraction.reflections import plan_reflections
from ..solve.direct.solutions import SOLVED_R
from .style import BACKGROUND, CALCULATED, DASHES, DIFFERENCE, GREY, OBSERVED, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..crystal import SpaceGroup
    from ..diffraction import Pattern
    from ..solve import CellCandidate, ExtinctionTable, Peaks
    from ..solve.determination.outcome import Attempt
    from ..solve.determination.seeds import SeedRow

# lines further from every calculated one than this many uncertainties are unexplained
_FAR = 4.0


def indexed(pattern: Pattern, peaks: Peaks, candidates: Sequence[CellCandidate], *, most: int = 4) -> Figure:
    """Plot the pattern with its lines, and the line positions of the most likely cells.

    Args:
        pattern: measured pattern.
        peaks: peaks found in it.
        candidates: cells from indexing, the most likely first.
        most: number of cells shown.
    """
    import matplotlib.pyplot as plt

    shown = candidates[:most]
    with styled():
        figure, (main, below) = plt.subplots(
            2, 1, sharex=True, figsize=(10.0, 4.6 + 0.3 * len(shown)), height_ratios=(4.0, 0.5 + 0.45 * len(shown)), layout="constrained"
        )  # fmt: skip
        x, y = np.asarray(pattern.x), np.sqrt(np.maximum(np.asarray(pattern.y), 0.0))
        last = min(x[-1], peaks.two_theta.max(initial=x[0]) + 2.0)
        main.plot(x, y, color=OBSERVED, linewidth=0.7)
        heights = np.interp(peaks.two_theta, x, y)
        far = leftover(peaks, shown[0]) if shown else np.zeros(len(peaks), dtype=bool)
        main.plot(peaks.two_theta[~far], heights[~far], "v", color=DIFFERENCE, markersize=4, label="line")
        if far.any():
            main.plot(
                peaks.two_theta[far],
                heights[far],
                "x",
                color=CALCULATED,
                markersize=6,
                label="not explained by the first cell",
            )
        main.set_ylabel("square root of intensity")
        main.legend(loc="upper right")
        for row, candidate in enumerate(shown):
            places = calculated_lines(peaks, candidate, last)
            below.vlines(places, -row - 0.35, -row + 0.35, color=PHASES[row % len(PHASES)], linewidth=0.8)
        cells = [f"{c.lattice}  {100.0 * c.probability:.0f} %" if c.lattice else "given" for c in shown]
        below.set_yticks(-np.arange(len(shown)), cells)
        below.tick_params(axis="y", which="both", left=False, right=False)
        below.set_ylim(-len(shown) + 0.4, 0.6)
        below.set_xlabel("2θ / °")
        main.set_xlim(x[0], last)
        return figure


def calculated_lines(peaks: Peaks, candidate: CellCandidate, last: float) -> np.ndarray:
    """Return the line positions of a cell up to ``last`` degrees, with its shift."""
    from ..solve.extraction.short import bragg  # needs scipy, which other figures do without

    d_min = peaks.wavelength / (2.0 * np.sin(np.radians(min(last, 179.0)) / 2.0))
    hkl, _ = plan_reflections(candidate.group, candidate.cell, d_min)
    two_theta = bragg(candidate.cell, hkl, peaks.wavelength)
    return two_theta + candidate.zero + candidate.displacement * np.cos(np.radians(two_theta / 2.0))


def leftover(peaks: Peaks, candidate: CellCandidate) -> np.ndarray:
    """Return which lines a cell does not explain."""
    lines = calculated_lines(peaks, candidate, float(peaks.two_theta.max(initial=1.0)) + 1.0)
    return np.abs(peaks.two_theta[:, None] - lines).min(axis=1) > _FAR * np.maximum(peaks.sigma, 0.01)


def extinctions(table: ExtinctionTable, *, most: int = 12) -> Figure:
    """Plot the evidence of the most probable extinction symbols, relative to no absences.

    Args:
        table: result of `jn.solve.extinctions`.
        most: number of symbols shown.
    """
    import matplotlib.pyplot as plt

    rows = table.rows[:most]
    with styled():
        figure, axis = plt.subplots(figsize=(7.6, 1.4 + 0.3 * len(rows)), layout="constrained")
        place, values = np.arange(len(rows)), np.array([row.log_evidence for row in rows])
        # symbols refuted by a strong line would compress the scale for the others
        least = min(-2.0, -1.2 * values.max(initial=1.0))
        axis.barh(
            place, np.maximum(values, least), color=[DIFFERENCE if v >= least else GREY for v in values], height=0.6
        )
        names = [f"{row.symbol}   {_first_names(row.groups)}" for row in rows]
        axis.set_yticks(place, names)
        axis.invert_yaxis()
        axis.tick_params(axis="y", which="both", left=False, right=False)
        axis.axvline(0.0, color=GREY, linewidth=0.6)
        for k, row in enumerate(rows):
            axis.annotate(
                f"{row.probability:.0%}",
                (max(row.log_evidence, 0.0), k),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.margins(x=0.1)
        axis.set_xlabel("ln evidence over no absences" + (" (grey: refuted)" if (values < least).any() else ""))
        return figure


def _first_names(groups: Sequence[SpaceGroup]) -> str:
    names = [group.name for group in groups]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def search(attempts: Sequence[Attempt], *, most: int = 6) -> Figure:
    """Plot R during the search for atoms, in every space group tried.

    Args:
        attempts: attempts of a determination, the best first.
        most: number of searches shown.
    """
    import matplotlib.pyplot as plt

    with styled():
        figure, axis = plt.subplots(figsize=(7.6, 4.4), layout="constrained")
        for k, attempt in enumerate(attempts[:most]):
            history = (
                np.minimum.accumulate(attempt.solutions.history)
                if len(attempt.solutions.history)
                else np.array([np.nan])
            )
            axis.plot(
                np.arange(1, len(history) + 1), history, color=PHASES[k % len(PHASES)], linestyle=DASHES[k // len(PHASES) % len(DASHES)],
                marker="o", markersize=2.5, linewidth=1.0,
                label=f"{attempt.rung.group.name}, {counted(attempt.solutions.best.dof, 'free coordinate')}",
            )  # fmt: skip
        axis.axhspan(0.0, SOLVED_R, color=BACKGROUND, alpha=0.12, linewidth=0)
        axis.annotate(
            "R low enough to be right",
            (1.0, SOLVED_R),
            (2, -11),
            textcoords="offset points",
            fontsize=8,
            color=BACKGROUND,
        )
        axis.set_ylim(bottom=0.0)
        axis.set_xlabel("turns of the search")
        axis.set_ylabel("lowest R of √I")
        axis.legend(loc="upper right")
        return figure


def seeds(rows: Sequence[SeedRow], *, most: int = 5) -> Figure:
    """Plot R of the search and Rwp of the refinement of every seed, coloured by final structure.

    Args:
        rows: rows of `jn.solve.determine_from_seeds`.
        most: number of structures with their own colour; others are grey.
    """
    import matplotlib.pyplot as plt

    shown = sorted((row for row in rows if row.structure), key=lambda row: row.seed)
    with styled():
        figure, axes = plt.subplots(2, 1, sharex=True, figsize=(7.6, 4.4), layout="constrained")
        for axis, name, label in zip(axes, ("r_factor", "rwp"), ("R of √I", r"$R_\mathrm{wp}$ / %"), strict=True):
            for number in sorted({min(row.structure, most + 1) for row in shown}):
                some = [row for row in shown if min(row.structure, most + 1) == number]
                first = some[0]
                words = f"structure {number}: {first.group}" if number <= most else "others"
                axis.plot(
                    [row.seed for row in some], [getattr(row, name) for row in some], "osD^v<"[number - 1], markersize=6,
                    color=PHASES[number - 1] if number <= most else GREY, label=f"{words}, {counted(len(some), 'seed')}",
                )  # fmt: skip
            axis.margins(x=0.08, y=0.25)
            axis.set_ylim(bottom=0.0)
            axis.set_ylabel(label)
        axes[0].axhspan(0.0, SOLVED_R, color=BACKGROUND, alpha=0.12, linewidth=0)
        axes[0].set_ylim(top=max(axes[0].get_ylim()[1], 1.3 * SOLVED_R))
        axes[0].annotate(
            "R low enough to be right", (0.0, SOLVED_R), (6, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=8, color=BACKGROUND,
        )  # fmt: skip
        axes[0].legend(loc="best")
        axes[1].xaxis.get_major_locator().set_params(integer=True)
        axes[1].tick_params(axis="x", which="minor", bottom=False, top=False)
        axes[0].tick_params(axis="x", which="minor", bottom=False, top=False)
        axes[1].set_xlabel("seed")
        return figure
