"""Evolution of refined quantities along a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from .style import CALCULATED, DIFFERENCE, GREY, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..search.series.rows import SeriesResult

# kinds of figures with their quantities, by the last part of the parameter name
KINDS: dict[str, tuple[str, ...]] = {
    "cell": ("cell", "volume"),
    "coordinates": ("xyz",),
    "displacements": ("u_iso", "u_aniso", "occupancy"),
    "amounts": ("scale", "weight", "amplitude", "intensity"),
    "shifts and tensors": (
        "shift",
        "cq",
        "eta_q",
        "zeta",
        "eta",
        "euler",
        "shielding_spread",
        "quadrupolar_spread",
        "PQ",
    ),
}
# parameters that only describe the data
_NUISANCES = ("background", "baseline", "phase0", "phase1")
_OTHERS = "others"
_ACROSS = 3


def kinds(result: SeriesResult) -> dict[str, tuple[str, ...]]:
    """Return the kinds of figures available, with the columns of each; backgrounds are in none."""
    place = {quantity: kind for kind, quantities in KINDS.items() for quantity in quantities}
    found: dict[str, list[str]] = {kind: [] for kind in (*KINDS, _OTHERS)}
    for name in result.columns:
        quantity = name.partition("[")[0].rpartition("/")[2]
        if quantity not in _NUISANCES:
            found[place.get(quantity, _OTHERS)].append(name)
    return {kind: tuple(names) for kind, names in found.items() if names}


@checked
def evolution(result: SeriesResult, names: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """Plot parameters and derived quantities along a series with standard uncertainties; without names, agreement.

    Rows with a held value have open grey symbols and no uncertainty; rows whose forward and backward refinements end in
    different minima are shaded.

    Args:
        result: result of :func:`jaxnmr.refine_series`.
        names: columns of the result, one panel each.
        title: title above the panels.

    Raises:
        ParameterError: there is no such column.
    """
    import matplotlib.pyplot as plt

    panels = 2 if names is None else len(names)
    if not panels:
        raise ParameterError(f"no names of columns were given; the series has {', '.join(result.columns)}")
    across = min(panels, _ACROSS)
    down = -(-panels // across)
    with styled({"axes.formatter.useoffset": False, "font.size": 8.5, "axes.titlesize": 9.0, "axes.labelsize": 9.0}):
        figure, axes = plt.subplots(
            down,
            across,
            figsize=(3.1 * across + 0.4, 2.25 * down + 0.5),
            layout="constrained",
            squeeze=False,
            sharex=True,
        )
        flat = list(axes.ravel())
        if names is None:
            _agreement(flat[0], flat[1], result)
        else:
            for k, name in enumerate(names):
                _course(flat[k], result, name, PHASES[k % len(PHASES)])
        for axis in flat[panels:]:
            axis.set_axis_off()
        for k, axis in enumerate(flat[:panels]):
            for span in result.disagreements():
                axis.axvspan(*_wide(span.low, span.high, result.at), color=GREY, alpha=0.15, linewidth=0)
            if k + across >= panels:
                axis.set_xlabel(result.axis)
                axis.tick_params(labelbottom=True)
        note = "; shaded: forward and backward end in different minima" if result.disagreements() else ""
        figure.suptitle(f"{title}{note}".lstrip("; "), x=0.01, ha="left", fontsize=9)
        return figure


def _course(axis: Axes, result: SeriesResult, name: str, colour: str) -> None:
    values, esds = result.column(name)
    known, free = np.isfinite(values), esds > 0
    order = np.argsort(result.at, kind="stable")
    axis.plot(result.at[order], values[order], color=GREY, linewidth=0.5, zorder=1)
    axis.errorbar(
        result.at[known & free], values[known & free], esds[known & free], fmt="o", color=colour, markersize=2.5, elinewidth=0.8,
        capsize=0,
    )  # fmt: skip
    held = known & ~free
    axis.plot(result.at[held], values[held], "o", color=GREY, markersize=2.5, fillstyle="none")
    axis.set_title(result.heading(name), loc="left")
    # the large uncertainty of a phase that is almost absent must not set the range of the plot
    inside = values[known & free & (esds < 5 * max(np.ptp(values[known]), 1e-300))] if known.any() else values[:0]
    if inside.size > 1 and np.ptp(inside) > 0:
        spread = np.median(esds[known & free])
        low, high = inside.min() - 2 * spread, inside.max() + 2 * spread
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _agreement(upper: Axes, lower: Axes, result: SeriesResult) -> None:
    for k, term in enumerate(dict.fromkeys(term for row in result.rows for term in row.factors)):
        factors = np.array([row.factors.get(term, np.nan) for row in result.rows])
        upper.plot(result.at, factors, "o-", color=PHASES[k % len(PHASES)], markersize=2.5, linewidth=0.6, label=term)
    upper.set_title("weighted R factor / %", loc="left")
    if upper.lines:
        upper.legend(loc="best")
    lower.plot(result.at, [row.gof for row in result.rows], "o-", color=DIFFERENCE, markersize=2.5, linewidth=0.6)
    lower.axhline(1.0, color=GREY, linewidth=0.6, linestyle="--")
    failed = [row.at for row in result.rows if row.status != "converged"]
    for at in failed:
        lower.axvline(at, color=CALCULATED, linewidth=0.8)
    lower.set_title(f"goodness of fit{' (lines: not converged)' if failed else ''}", loc="left")


def _wide(low: float, high: float, at: np.ndarray) -> tuple[float, float]:
    """Extend a range by half a step on either side."""
    half = 0.5 * float(np.median(np.abs(np.diff(at)))) if len(at) > 1 else 0.5
    return min(low, high) - half, max(low, high) + half
