"""Candidates of a screening by rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ParameterError
from .cells import draw_cell
from .structures import atom_style
from .style import CALCULATED, DIFFERENCE, GREY, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..crystal import Crystal
    from ..search.screening.ranking import ScreeningResult

_AXES = {"bic": "BIC − best", "aic": "AIC − best", "chi2": "χ² − best", "rwp": "R / %", "energy": "ΔE / meV per atom"}


# differences up to this do not discriminate candidates
_CLOSE = 10.0
_SHOWN, _ACROSS = 10, 5


def ranking(result: ScreeningResult, *, most: int = 40) -> Figure:
    """Plot figure of merit and R factor of every candidate, the best on top; open symbols if not converged.

    Args:
        result: result of :func:`jaxnmr.screen`.
        most: number of best candidates shown; candidates without a figure of merit are counted, not shown.
    """
    import matplotlib.pyplot as plt

    pairs = [(row, f) for row, f in zip(result.rows, result.figures, strict=True) if np.isfinite(f)]
    shown = pairs[:most]
    with styled():
        figure, axes = plt.subplots(
            1, 2, sharey=True, figsize=(8.2, 1.6 + 0.22 * max(len(shown), 3)), layout="constrained", width_ratios=(3, 2)
        )
        series = [(_AXES[result.rank], np.array([f for _, f in shown])), ("R / %", np.array([r.rwp for r, _ in shown]))]
        place = np.arange(len(shown))
        done = np.array([row.status == "converged" for row, _ in shown], dtype=bool)
        for axis, (label, values), colour in zip(axes, series, (DIFFERENCE, CALCULATED), strict=True):
            axis.hlines(place, 0, values, color=GREY, linewidth=0.6)
            axis.plot(values[done], place[done], "o", color=colour, markersize=5, label="converged")
            axis.plot(
                values[~done], place[~done], "o", color=colour, markersize=5, fillstyle="none", label="not converged"
            )
            axis.set_xlabel(label)
            axis.tick_params(axis="y", which="minor", left=False, right=False)
        if result.rank not in ("rwp", "energy"):
            axes[0].axvspan(0, _CLOSE, color=GREY, alpha=0.15, linewidth=0)
            _compressed(axes[0], float(series[0][1].max(initial=0.0)))
        axes[1].set_xlim(left=0)
        axes[0].set_yticks(place, [_short(row.name, 34) for row, _ in shown])
        axes[0].invert_yaxis()
        if (~done).any():
            axes[1].legend(loc="upper right")
        left = len(result.rows) - len(shown)
        note = f", {left} not shown" if left else ""
        note += "; shaded: not clearly worse than the best" if result.rank not in ("rwp", "energy") else ""
        figure.suptitle(f"{len(result.rows)} candidates{note}", x=0.02, ha="left", fontsize=9)
        return figure


def best_candidates(crystals: Mapping[str, Crystal], captions: Mapping[str, str]) -> Figure:
    """Plot unit cells of the best ten candidates of a ranking, with captions.

    Args:
        crystals: structures by candidate name, the best first; the first ten are shown.
        captions: a caption line by name, ``"R = 3.42 %"``; may be missing.

    Raises:
        ParameterError: there are no crystals.
    """
    import matplotlib.pyplot as plt

    if not crystals:
        raise ParameterError("no candidates to show: give crystals by name, the best first")
    shown = list(crystals.items())[:_SHOWN]
    across = min(len(shown), _ACROSS)
    down = -(-len(shown) // across)
    with styled():
        figure, grid = plt.subplots(
            down, across, figsize=(max(2.2 * across, 4.4), 2.75 * down + 0.4), squeeze=False, layout="constrained"
        )
        elements: dict[str, None] = {}
        for rank, (axes, (name, crystal)) in enumerate(zip(grid.flat, shown, strict=False), start=1):
            elements.update(dict.fromkeys(draw_cell(axes, crystal)))
            text = f"{rank}  {_short(name, 24)}\n{crystal.group.name}"
            text += f"\n{captions[name]}" if captions.get(name) else ""
            axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=8.5, linespacing=1.35)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        discs = [
            plt.Line2D([], [], marker="o", linestyle="", markersize=7, color=atom_style(e)[0], markeredgecolor="k")
            for e in elements
        ]
        figure.legend(discs, list(elements), loc="outside lower center", ncols=len(elements))
        return figure


def _short(name: str, most: int) -> str:
    return name if len(name) < most else name[: most - 2] + "…"


def _compressed(axis, largest: float) -> None:
    """Scale an axis of differences from 0; for a wide range every power of ten is as wide as the first."""
    if largest <= 10.0 * _CLOSE:
        axis.set_xlim(left=0)
        return
    axis.set_xscale("symlog", linthresh=_CLOSE)
    axis.minorticks_off()
    decades = int(np.floor(np.log10(largest)))
    # the shading ends at 10, whose number would overlap the 0
    ticks = [0.0, *10.0 ** np.arange(2, decades + 1, 1 + decades // 6)]
    axis.set_xticks(ticks, [f"{tick:.0f}" if tick < 1e5 else f"$10^{{{np.log10(tick):.0f}}}$" for tick in ticks])
