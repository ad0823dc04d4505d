"""Candidates of a screening by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import CALCULATED, DIFFERENCE, GREY, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..search.screening.ranking import ScreeningResult

_AXES = {"bic": "BIC − best", "aic": "AIC − best", "chi2": "χ² − best", "rwp": "R / %", "energy": "ΔE / meV per atom"}


# differences up to this do not tell candidates apart
_CLOSE = 10.0


def ranking(result: ScreeningResult, *, most: int = 40) -> Figure:
    """Figure of merit and R factor of every candidate, the best on top; what did not converge has an open symbol.

    Args:
        result: of :func:`jaxnmr.screen`.
        most: show so many of the best; candidates without a figure of merit are counted, not shown.
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
        axes[0].set_yticks(place, [row.name if len(row.name) < 34 else row.name[:32] + "…" for row, _ in shown])
        axes[0].invert_yaxis()
        if (~done).any():
            axes[1].legend(loc="upper right")
        left = len(result.rows) - len(shown)
        note = f", {left} not shown" if left else ""
        note += "; shaded: not clearly worse than the best" if result.rank not in ("rwp", "energy") else ""
        figure.suptitle(f"{len(result.rows)} candidates{note}", x=0.02, ha="left", fontsize=9)
        return figure


def _compressed(axis, largest: float) -> None:
    """Differences from 0 on, with every power of ten as wide as the first where they reach far."""
    if largest <= 10.0 * _CLOSE:
        axis.set_xlim(left=0)
        return
    axis.set_xscale("symlog", linthresh=_CLOSE)
    axis.minorticks_off()
    decades = int(np.floor(np.log10(largest)))
    # the shade ends at 10: its number would stand upon the 0
    ticks = [0.0, *10.0 ** np.arange(2, decades + 1, 1 + decades // 6)]
    axis.set_xticks(ticks, [f"{tick:.0f}" if tick < 1e5 else f"$10^{{{np.log10(tick):.0f}}}$" for tick in ticks])
