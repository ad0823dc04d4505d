"""The lines of candidate cells below the peaks that they are to explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from .style import CALCULATED, GREY, OBSERVED, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..solve import CellTable


@checked
def cells(table: CellTable, *, most: int = 5) -> Figure:
    """Peaks as sticks, and below them the lines of the most probable cells.

    Args:
        table: of `jn.solve.index`.
        most: how many cells.

    Returns:
        The figure, so far as peaks were indexed; those that the first cell does not explain are dashed and marked by a cross.

    Raises:
        ParameterError: no cell is asked for.
    """
    import matplotlib.pyplot as plt

    if most < 1:
        raise ParameterError(f"most is {most}; expected at least one cell")
    order = np.argsort(table.peaks.two_theta)[: table.lines]
    at, area = table.peaks.two_theta[order], np.sqrt(np.maximum(table.peaks.area[order], 0.0))
    known = table.explains(0, at)
    shown = table.candidates[:most]
    high = float(at[-1]) + 0.02 * float(at[-1] - at[0])
    with styled():
        figure, (main, below) = plt.subplots(
            2, 1, figsize=(12.4, 3.4 + 0.42 * len(shown)), height_ratios=(3.0, 0.42 * len(shown) + 0.2), sharex=True, layout="constrained",
        )  # fmt: skip
        main.vlines(at[known], 0.0, area[known], color=OBSERVED, linewidth=1.2, label="peak")
        if not known.all():
            main.vlines(
                at[~known],
                0.0,
                area[~known],
                color=CALCULATED,
                linewidth=1.2,
                linestyle="--",
                label="not explained by the first",
            )
            main.plot(at[~known], area[~known], linestyle="none", marker="x", color=CALCULATED)
        main.set_ylim(0.0, None)
        main.set_ylabel("√(area)")
        main.set_title(f"{table.peaks.name}: {len(at)} peaks", loc="left", fontweight="bold")
        main.legend(loc="upper right")
        for k in range(len(shown)):
            lines = table.positions(k, high)
            below.vlines(lines, -k - 0.4, -k + 0.4, color=PHASES[k % len(PHASES)], linewidth=0.8)
        below.vlines(at, -len(shown) + 0.5, 0.5, color=GREY, linewidth=0.4, zorder=0)
        below.set_yticks([-k for k in range(len(shown))], [f"{one.lattice}  P {one.probability:.2f}" for one in shown])
        below.minorticks_off()
        below.set_ylim(-len(shown) + 0.4, 0.6)
        below.set_xlim(max(float(at[0]) - 0.1 * float(at[-1] - at[0]), 0.0), high)
        below.set_xlabel("2θ / °")
        return figure
