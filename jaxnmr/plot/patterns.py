"""Fitted powder patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from .._arguments import checked
from ..errors import ConventionError
from .style import BACKGROUND, CALCULATED, DIFFERENCE, GREY, OBSERVED, PHASES, gapped, one_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..objective import ProfileStatistics
    from ..refinement.result import RefinementResult
    from ..terms import PatternEvidence


@checked
def pattern(
    fit: RefinementResult,
    name: str | None = None,
    *,
    zoom: tuple[float, float] | Literal["auto"] | None = "auto",
    scale: Literal["linear", "sqrt"] = "linear",
    axes: Axes | None = None,
) -> Figure:
    """Plot the observed, calculated and difference pattern of one histogram, with the reflections of every phase.

    Args:
        fit: result of a refinement.
        name: name of the histogram; may be omitted if there is only one.
        zoom: 2theta range in degrees shown enlarged in a second panel, ``"auto"`` for the most crowded range, ``None``
            for no second panel. Not used with ``axes``.
        scale: ``"sqrt"`` plots square roots of intensities, which shows weak peaks and equalises counting noise.
        axes: draw into these axes instead of a new figure.

    Returns:
        The figure.

    Raises:
        ParameterError: there is no histogram of that name.
        ConventionError: the scale is unknown, or the zoom is outside the data.
    """
    import matplotlib.pyplot as plt

    data = one_of(fit.patterns, name, "histogram")
    if scale not in ("linear", "sqrt"):
        raise ConventionError(f"scale is {scale!r}; expected 'linear' or 'sqrt'")
    with styled():
        if axes is not None:
            _draw(axes, data, scale, (data.x[0], data.x[-1]), legend=True)
            return cast("Figure", axes.figure)
        window = _zoom_range(data, zoom)
        if window is None:
            figure, main = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
        else:
            figure, (main, detail) = plt.subplots(
                1, 2, figsize=(12.4, 5.4), width_ratios=(2.1, 1.0), layout="constrained"
            )
        _draw(main, data, scale, (data.x[0], data.x[-1]), legend=True)
        _titles(main, fit, data)
        if window is not None:
            _draw(detail, data, scale, window, legend=False)
            detail.set_ylabel("")
            detail.set_title(f"{window[0]:.4g}–{window[1]:.4g}°", loc="left")
            main.axvspan(*window, color=GREY, alpha=0.13, linewidth=0, zorder=0)
        return figure


def _zoom_range(data: PatternEvidence, zoom) -> tuple[float, float] | None:
    if zoom is None:
        return None
    if isinstance(zoom, str):
        if zoom != "auto":
            raise ConventionError(f"zoom is {zoom!r}; expected (low, high) in degrees, 'auto' or None")
        return _busiest_range(data)
    low, high = (float(v) for v in zoom)
    if not low < high or np.sum((data.x >= low) & (data.x <= high)) < 3:
        raise ConventionError(
            f"zoom ({low:g}, {high:g}) shows fewer than 3 points; the data run from {data.x[0]:g} to {data.x[-1]:g}"
        )
    return low, high


def _busiest_range(data: PatternEvidence) -> tuple[float, float]:
    """Return the twelfth of the pattern with the most peaks, by the sum of square roots of capped intensities."""
    width = (data.x[-1] - data.x[0]) / 12
    root = np.sqrt(np.maximum(data.calculated - data.background, 0.0))
    weight = np.minimum(root, 0.4 * root.max()) * np.gradient(data.x)
    total = np.concatenate([[0.0], np.cumsum(weight)])
    end = np.searchsorted(data.x, data.x + width)
    start = np.arange(len(data.x))
    complete = data.x + width <= data.x[-1] + 1e-9
    best = int(np.argmax(np.where(complete, total[end] - total[start], -1.0)))
    return float(data.x[best]), float(min(data.x[best] + width, data.x[-1]))


def _draw(axis, data: PatternEvidence, scale: str, window: tuple[float, float], *, legend: bool) -> None:
    """Draw the standard figure: pattern, a row of ticks per phase, difference on the same scale below."""
    from matplotlib.lines import Line2D

    inside = (data.x >= window[0]) & (data.x <= window[1])
    x = data.x[inside]
    shown = np.sqrt if scale == "sqrt" else lambda v: v
    # net intensities may be negative
    lowest = 0.0 if scale == "sqrt" else min(float(data.observed[inside].min()), 0.0)
    observed, calculated, background = (
        shown(np.maximum(v[inside], lowest)) for v in (data.observed, data.calculated, data.background)
    )
    difference = observed - calculated
    top = max(observed.max(), calculated.max())
    floor = min(background.min(), observed.min())
    base = floor - 0.05 * (top - floor) if floor > 0.25 * top else lowest
    height = top - base
    row = 0.042 * height
    n_phases = max(len(data.reflections), 1)
    zero = base - row * (n_phases + 1.0) - max(difference.max(), 0.03 * height)
    dense = len(x) > 1500  # crosses would merge into a black band
    axis.plot(
        x, observed, linestyle="none", marker="." if dense else "+", color=OBSERVED, markersize=2.2 if dense else 4.2,
        markeredgewidth=0.0 if dense else 0.65, label="observed", zorder=3, rasterized=len(x) > 20000,
    )  # fmt: skip
    axis.plot(*gapped(x, calculated, data.excluded), color=CALCULATED, linewidth=1.0, label="calculated", zorder=4)
    axis.plot(
        *gapped(x, background, data.excluded), color=BACKGROUND, linewidth=1.1, linestyle=(0, (5, 2)),
        label="background", zorder=3.5,
    )  # fmt: skip
    # each added part on the polynomial background alone, if that is visible
    rest = data.background - sum(data.background_parts.values(), np.zeros_like(data.background))
    for k, part in enumerate(data.background_parts.values()):
        curve = shown(np.maximum((rest + part)[inside], lowest))
        axis.plot(
            *gapped(x, np.where(curve >= base, curve, np.nan), data.excluded), color=BACKGROUND, linewidth=0.7, linestyle=":",
            label="its parts" if k == 0 else None, zorder=3.4,
        )  # fmt: skip
    axis.plot(
        *gapped(x, difference + zero, data.excluded), color=DIFFERENCE, linewidth=0.8, label="difference", zorder=3
    )
    axis.axhline(zero, color=GREY, linewidth=0.6, zorder=2)
    for k, (phase, reflections) in enumerate(data.reflections.items()):
        position = np.asarray(reflections.two_theta)
        position = position[(position >= window[0]) & (position <= window[1])]
        axis.vlines(
            position, base - row * (k + 1.35), base - row * (k + 0.65), color=PHASES[k % len(PHASES)],
            linewidth=1.0 if len(position) < 120 else 0.6, zorder=3,
        )  # fmt: skip
        if len(data.reflections) > 1:
            axis.annotate(
                phase, (1.0, base - row * (k + 1)), xycoords=("axes fraction", "data"), xytext=(-3, 0), fontsize=7,
                textcoords="offset points", ha="right", va="center", color=PHASES[k % len(PHASES)],
                bbox=dict(boxstyle="square,pad=0.1", facecolor="white", edgecolor="none", alpha=0.85), zorder=5,
            )  # fmt: skip
    hatch = True
    for low, high in data.excluded:
        if high > window[0] and low < window[1]:
            axis.axvspan(
                max(low, window[0]), min(high, window[1]), facecolor="#dddddd", edgecolor="#b5b5b5", hatch="///",
                linewidth=0, label="excluded" if legend and hatch else None, zorder=1,
            )  # fmt: skip
            hatch = False
    margin = 0.008 * (window[1] - window[0])
    axis.set_xlim(window[0] - margin, window[1] + margin)
    axis.set_ylim(zero + min(difference.min(), -0.03 * height) - 0.03 * height, top + 0.05 * height)
    axis.set_xlabel("2θ / °")
    axis.set_ylabel("√(intensity / counts)" if scale == "sqrt" else "intensity / counts")
    _positive_ticks(axis, base, top)
    if legend:
        handles, labels = axis.get_legend_handles_labels()
        for k, phase in enumerate(data.reflections):
            tick = Line2D([], [], color=PHASES[k % len(PHASES)], linestyle="none", marker="|", markersize=9)
            handles, labels = [*handles, tick], [*labels, phase]
        axis.legend(handles, labels, loc="upper right", handlelength=1.6, labelspacing=0.35, markerscale=1.6)


def _positive_ticks(axis, base: float, top: float) -> None:
    """Label the intensity axis only beside intensities, not beside ticks and difference."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    ticks = [
        t
        for t in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(max(base, 0.0), top)
        if base - 1e-9 <= t <= top * 1.03
    ]
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:,.0f}".replace(",", "\u2009") if top >= 10 else f"{v:g}")
    )


def _titles(axis, fit: RefinementResult, data: PatternEvidence) -> None:
    statistics = cast("ProfileStatistics | None", fit.statistics.get(data.name))
    phases = ", ".join(data.reflections)
    axis.set_title(data.name if phases in ("", data.name) else f"{data.name}: {phases}", loc="left", fontweight="bold")
    if statistics is not None:
        axis.set_title(f"Rwp = {statistics.r_weighted:.2f} %    GoF = {statistics.gof:.2f}", loc="right")
