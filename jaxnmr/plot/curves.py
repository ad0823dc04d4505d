"""Fitted curves of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._arguments import checked
from .style import BACKGROUND, CALCULATED, DASHES, DIFFERENCE, GREY, OBSERVED, PHASES, gapped, one_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..objective import ProfileStatistics
    from ..refinement.result import RefinementResult


@checked
def curve(fit: RefinementResult, name: str | None = None, *, axes: Axes | None = None) -> Figure:
    """Plot the observed, calculated and difference curves of a term other than a pattern or spectrum, with its parts.

    Args:
        fit: result of a refinement.
        name: name of the term; may be omitted if it has the only curve.
        axes: draw into these axes instead of a new figure.

    Returns:
        The figure.

    Raises:
        ParameterError: there is no curve of that name.
    """
    import matplotlib.pyplot as plt

    data = one_of(fit.of_kind("curve"), name, "curve")
    x, along = data.axis.values, lambda y: gapped(data.axis.values, y, data.excluded)
    with styled():
        figure, main = (
            (axes.figure, axes) if axes is not None else plt.subplots(figsize=(8.6, 5.2), layout="constrained")
        )
        low = min(data.observed.min(), data.calculated.min())
        zero = low - 0.05 * (data.observed.max() - low) - data.difference.max()
        main.plot(x, data.observed, ".", color=OBSERVED, markersize=4.0, label="observed", zorder=3)
        main.plot(*along(data.calculated), color=CALCULATED, linewidth=1.2, label="calculated", zorder=4)
        if np.any(data.baseline):
            main.plot(*along(data.baseline), color=BACKGROUND, linewidth=1.0, linestyle=DASHES[1], label="baseline")
        for k, (part, values) in enumerate(data.parts.items()):
            style: dict[str, Any] = dict(
                color=PHASES[k % len(PHASES)], linestyle=DASHES[k // len(PHASES) % len(DASHES)], linewidth=0.9
            )
            main.plot(*along(values + data.baseline), label=part, **style)
        main.plot(*along(data.difference + zero), color=DIFFERENCE, linewidth=0.8, label="difference", zorder=3)
        main.axhline(zero, color=GREY, linewidth=0.6, zorder=2)
        main.set_xlabel(f"{data.axis.label} / {data.axis.unit}" if data.axis.unit else data.axis.label)
        if data.axis.to_the_left:
            main.invert_xaxis()
        main.set_title(f"{data.name}: {data.what}", loc="left", fontweight="bold")
        s = cast("ProfileStatistics", fit.statistics[data.name])
        main.set_title(f"{data.factor} = {s.r_weighted:.2f} %    GoF = {s.gof:.2f}", loc="right")
        main.legend()
        return cast("Figure", figure)
