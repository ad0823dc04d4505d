"""Figures of spin echoes: curves, and their sensitivity to parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..nmr.echo.records import Echo
from .style import CALCULATED, GREY, OBSERVED, PHASES, one_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..refinement.curve_limits import Knowable
    from ..refinement.result import RefinementResult

_MOST = 6


@checked
def echoes(echo: Echo, time: np.ndarray | None = None) -> Figure:
    """Plot magnitudes of echo curves.

    Args:
        echo: the curves; at most six are drawn.
        time: times in µs, if the curves have none.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    own = echo.time if time is None else np.asarray(time)
    x = np.arange(1, echo.curves.shape[1] + 1) if own is None else own
    with styled():
        figure, axes = plt.subplots(figsize=(8.6, 4.2), layout="constrained")
        for k, one in enumerate(echo.curves[:_MOST]):
            axes.plot(x, np.abs(one), color=PHASES[k % len(PHASES)], linewidth=1.0, label=f"curve {k + 1}")
        axes.set_xlabel("point" if own is None else "time / µs")
        axes.set_ylabel("|M|")
        axes.legend()
        return figure


@checked
def echo_fit(fit: RefinementResult, name: str | None = None) -> Figure:
    """Plot observed and calculated curves of an `EchoTerm`, with the scatter of another draw of frequencies.

    Args:
        fit: result of a refinement.
        name: name of the term; may be omitted if it is the only one of its kind.

    Returns:
        The figure.

    Raises:
        ParameterError: there is no echo of that name.
    """
    import matplotlib.pyplot as plt

    shown = one_of(fit.of_kind("echo"), name, "echo")
    with styled():
        figure, rows = plt.subplots(2, 1, figsize=(8.6, 5.6), sharex=True, layout="constrained")
        for axes, part in zip(rows, ("real", "imag"), strict=True):
            calculated, spread = getattr(shown.calculated, part), getattr(shown.scatter, part)
            low, high = calculated - spread, calculated + spread
            axes.fill_between(shown.time_us, low, high, color=GREY, alpha=0.4, label="other frequencies")
            axes.plot(
                shown.time_us, getattr(shown.observed, part), ".", color=OBSERVED, markersize=3.0, label="observed"
            )
            axes.plot(shown.time_us, calculated, color=CALCULATED, linewidth=1.0, label="calculated")
            axes.set_ylabel(f"{'Re' if part == 'real' else 'Im'} M")
        rows[0].set_title(f"{shown.name}: {shown.title}", loc="left", fontweight="bold")
        rows[0].legend()
        rows[1].set_xlabel("time / µs")
        return figure


@checked
def sensitivity(known: Knowable, time: np.ndarray) -> Figure:
    """Plot the change of a curve by one standard deviation of each parameter (best linear estimator), and by draws.

    Args:
        known: result of ``jaxnmr.refinement.echo_knowledge``.
        time: ``(points,)`` in µs.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    with styled():
        figure, axes = plt.subplots(figsize=(8.6, 4.6), layout="constrained")
        axes.semilogy(time, np.maximum(known.scatter, 1e-12), color=GREY, linewidth=1.2, label="scatter of draws")
        axes.axhline(known.noise, color=GREY, linewidth=0.8, linestyle=":", label=f"assumed noise {known.noise:.1g}")
        for k, name in enumerate(known.names):
            if np.isfinite(known.deviations[k]):
                change = np.maximum(np.abs(known.slopes[k]) * known.deviations[k], 1e-12)
                axes.semilogy(
                    time,
                    change,
                    color=PHASES[k % len(PHASES)],
                    linewidth=1.0,
                    label=f"{name} ± {known.deviations[k]:.2g}",
                )
        lost = [name for k, name in enumerate(known.names) if not np.isfinite(known.deviations[k])]
        if lost:
            axes.set_title(f"not determined: {', '.join(lost)}", loc="right")
        # nothing is visible far below the noise
        axes.set_ylim(bottom=1e-2 * known.noise)
        axes.set_xlabel("time / µs")
        axes.set_ylabel("change of M")
        axes.legend()
        return figure
