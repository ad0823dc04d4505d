"""Peaks found in a powder pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..errors import ConventionError
from .style import BACKGROUND, CALCULATED, GREY, OBSERVED, gapped, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..diffraction import Pattern
    from ..solve import Peaks


@checked
def peaks(pattern: Pattern, peaks: Peaks, *, low: float | None = None, high: float | None = None) -> Figure:
    """Plot a pattern with its peaks, their uncertainties, and humps not taken for peaks.

    Args:
        pattern: measured pattern.
        peaks: result of `jn.solve.find_peaks`.
        low, high: degrees; by default the range of the listed peaks.

    Returns:
        The figure: square roots of intensities above, uncertainties of the positions over the widths below.

    Raises:
        ConventionError: the pattern has no points between these angles.
    """
    import matplotlib.pyplot as plt

    x, y = np.asarray(pattern.x), np.asarray(pattern.y)
    position = peaks.two_theta
    low = float(x[0]) if low is None else low
    high = high if high is not None else float(min(position[-1] + 2.0, x[-1])) if len(position) else float(x[-1])
    inside = (x >= low) & (x <= high)
    if inside.sum() < 3:
        raise ConventionError(
            f"fewer than 3 points lie between {low:g} and {high:g} degrees; the data run from {x[0]:g} to {x[-1]:g}"
        )
    x, y = x[inside], y[inside]
    root = np.sqrt(np.maximum(y, 0.0))
    shown = (position >= low) & (position <= high)
    at = position[shown]
    with styled():
        figure, (main, below) = plt.subplots(
            2, 1, figsize=(12.4, 6.2), height_ratios=(4.0, 1.0), sharex=True, layout="constrained"
        )
        span = float(root.max() - root.min()) or 1.0
        for k, (centre, width) in enumerate(peaks.humps):
            main.axvspan(
                max(centre - 0.5 * width, low), min(centre + 0.5 * width, high), color=GREY, alpha=0.25, linewidth=0,
                label=None if k else "hump", zorder=0,
            )  # fmt: skip
        for k, (left, right) in enumerate(pattern.excluded):
            if right > low and left < high:
                main.axvspan(
                    max(left, low), min(right, high), facecolor="#dddddd", edgecolor="#b5b5b5", hatch="///", linewidth=0,
                    label=None if k else "excluded", zorder=1,
                )  # fmt: skip
        main.plot(*gapped(x, root, pattern.excluded), color=OBSERVED, linewidth=0.8, label="observed", zorder=3)
        top = np.array(
            [
                root[np.abs(x - t) <= max(0.5 * w, np.diff(x).min())].max(initial=root.min())
                for t, w in zip(at, peaks.fwhm[shown], strict=True)
            ]
        )
        main.plot(
            at,
            top + 0.02 * span,
            linestyle="none",
            marker="v",
            markersize=4.5,
            color=CALCULATED,
            label="peak",
            zorder=4,
        )
        main.vlines(
            at, root.min() - 0.05 * span, top + 0.02 * span, color=CALCULATED, linewidth=0.4, alpha=0.6, zorder=2
        )
        for number, (t, height) in enumerate(zip(at, top, strict=True), start=int(np.argmax(shown)) + 1):
            main.annotate(
                str(number), (t, height + 0.02 * span), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=6,
                color=CALCULATED,
            )  # fmt: skip
        main.set_xlim(low, high)
        main.set_ylim(root.min() - 0.05 * span, root.max() + 0.12 * span)
        main.set_ylabel("√(intensity)")
        main.set_title(f"{peaks.name}: {len(peaks)} peaks", loc="left", fontweight="bold")
        main.legend(loc="upper right")
        below.semilogy(
            at, peaks.sigma[shown], linestyle="none", marker="o", markersize=3.5, color=CALCULATED, label="σ(2θ)"
        )
        below.semilogy(
            at, peaks.fwhm[shown], linestyle="none", marker="_", markersize=6, color=BACKGROUND, label="width"
        )
        below.set_xlabel("2θ / °")
        below.set_ylabel("degrees")
        below.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return figure
