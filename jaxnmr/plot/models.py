"""Figures of learned tensors: learning curves, predictions against labels, errors of orientation.

Every function returns a matplotlib ``Figure`` without showing it, like those of :mod:`jaxnmr.plot`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .style import CALCULATED, DIFFERENCE, GREY, OBSERVED, PHASES, isotope_text, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..models.tensors.metrics import Comparison
    from ..models.tensors.recipe import EpochInfo

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))


def learning_curve(histories: Sequence[Sequence[EpochInfo]]) -> Figure:
    """Plot training and validation loss by epoch, one pair of lines per member.

    Args:
        histories: histories of all members.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    with styled():
        figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        for k, history in enumerate(histories):
            epochs = [info.epoch for info in history]
            valid: list[Any] = [info.valid_loss for info in history]
            faint = 1.0 if len(histories) == 1 else 0.55
            axis.plot(
                epochs, [info.train_loss for info in history], color=OBSERVED, alpha=faint, linewidth=1.0,
                linestyle=_DASHES[1], label="training" if k == 0 else None,
            )  # fmt: skip
            if any(loss is not None for loss in valid):
                axis.plot(
                    epochs, valid, color=CALCULATED, alpha=faint, linewidth=1.3,
                    label="validation, averaged weights" if k == 0 else None,
                )  # fmt: skip
        axis.set_yscale("log")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss per label (scaled)")
        if len(histories) > 1:
            axis.set_title(f"{len(histories)} members", loc="left")
        axis.legend()
        return figure


def parity(comparisons: Mapping[str, Comparison], *, title: str = "") -> Figure:
    """Plot predicted against computed isotropic shielding, span and asymmetry, or ``|C_Q|`` and asymmetry, by element.

    The magnitude of ``C_Q`` is shown, as observed in spectra: its sign changes where the asymmetry passes 1.

    Args:
        comparisons: comparisons by element.
        title: title above the figure.

    Raises:
        DataError: there is nothing to draw.
    """
    import matplotlib.pyplot as plt

    rows = {element: _panels(comparison) for element, comparison in comparisons.items()}
    if not rows:
        raise DataError("there is nothing to compare: no labelled atom")
    panels_each = max(len(panels) for panels in rows.values())
    # elements side by side if they outnumber the panels of each: a page is wider than it is high
    wide = len(rows) > panels_each
    shape = (panels_each, len(rows)) if wide else (len(rows), panels_each)
    with styled():
        figure, axes = plt.subplots(
            *shape, figsize=(3.4 * shape[1], 3.4 * shape[0]), layout="constrained", squeeze=False
        )
        for row, (element, panels) in zip(axes.T if wide else axes, rows.items(), strict=True):
            weight = comparisons[element].weight
            for axis in row[len(panels) :]:
                axis.set_axis_off()
            for axis, (label, unit, mine, theirs) in zip(row, panels, strict=False):
                _parity_panel(axis, mine, theirs, weight)
                axis.set_title(f"{element}: {label}", loc="left", fontsize=9.5)
                error = float(np.average(np.abs(mine - theirs), weights=weight))
                axis.text(
                    0.04, 0.95, f"MAE {error:.3g}{f' {unit}' if unit else ''}\n{weight.sum():.0f} atoms", va="top",
                    transform=axis.transAxes, fontsize=8.5, zorder=5,
                    bbox=dict(boxstyle="square,pad=0.15", facecolor="white", edgecolor="none", alpha=0.7),
                )  # fmt: skip
                axis.set_xlabel(f"computed{f' / {unit}' if unit else ''}")
                axis.set_ylabel(f"predicted{f' / {unit}' if unit else ''}")
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=10)
        return figure


def orientation(comparisons: Mapping[str, Comparison], *, title: str = "") -> Figure:
    """Plot the cumulative distribution of the angular errors of principal frames, a line per element.

    The grey line is for randomly oriented frames: the smallest of the four equivalent rotations then spans 0 to 120
    degrees.

    Args:
        comparisons: comparisons by element.
        title: title above the figure.

    Raises:
        DataError: there is nothing to draw.
    """
    import matplotlib.pyplot as plt

    from ..models.tensors.metrics import random_orientation_deg

    if not comparisons:
        raise DataError("there is nothing to compare: no labelled atom")
    with styled():
        figure, axis = plt.subplots(figsize=(6.0, 4.2), layout="constrained")
        for k, (element, comparison) in enumerate(comparisons.items()):
            angles = comparison.angles_deg()
            order = np.argsort(angles)
            share = 100.0 * np.cumsum(comparison.weight[order]) / comparison.weight.sum()
            median = angles[order][np.searchsorted(share, 50.0)]
            x, y = np.concatenate([[0.0], angles[order], [120.0]]), np.concatenate([[0.0], share, [100.0]])
            axis.step(
                x, y, where="post", color=(DIFFERENCE, CALCULATED, *PHASES)[k % 8], linestyle=_DASHES[k // 8 % 4],
                label=f"{element}: median {median:.1f}°", zorder=3,
            )  # fmt: skip
        chance = np.sort(random_orientation_deg(4000))
        axis.plot(
            chance, 100.0 * np.arange(1, 4001) / 4000, color=GREY, linewidth=0.9, linestyle=_DASHES[2], label="chance"
        )
        axis.set_xlim(0.0, 120.0)
        axis.set_ylim(0.0, 101.0)
        axis.axhline(50.0, color=GREY, linewidth=0.5, zorder=0)
        axis.set_xlabel("error of the principal axes / °")
        axis.set_ylabel("atoms below / %")
        axis.legend(loc="lower right")
        if title:
            axis.set_title(title, loc="left", fontsize=10)
        return figure


def _panels(comparison: Comparison) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """List label, unit, predicted and true values to plot."""
    values = comparison.values()
    if comparison.quantity == "shielding":
        labels = (("iso", "σiso", "ppm"), ("span", "span", "ppm"), ("eta", "η", ""))
        return [(label, unit, *values[name]) for name, label, unit in labels]
    if "cq_mhz" in values and comparison.isotope is not None:
        label, unit, (mine, theirs) = f"|C_Q|({isotope_text(comparison.isotope.symbol)})", "MHz", values["cq_mhz"]
    else:
        label, unit, (mine, theirs) = "|Vzz|", "a.u.", values["vzz"]
    return [(label, unit, np.abs(mine), np.abs(theirs)), ("η", "", *values["eta"])]


def _parity_panel(axis, mine: np.ndarray, theirs: np.ndarray, weight: np.ndarray) -> None:
    low, high = float(min(mine.min(), theirs.min())), float(max(mine.max(), theirs.max()))
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    area = 9.0 * np.sqrt(weight / np.median(weight)).clip(0.5, 4.0)
    axis.scatter(theirs, mine, s=area, color=DIFFERENCE, alpha=0.45, linewidths=0, zorder=2)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_aspect("equal")
