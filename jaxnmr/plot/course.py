"""Course of a refinement, and correlations of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from .style import DIFFERENCE, GREY, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..refinement.result import RefinementResult


@checked
def correlations(fit: RefinementResult, *, annotate: bool | None = None) -> Figure:
    """Plot the correlation matrix of the refined parameters as a map.

    Parameters fixed to others by symmetry or a tie are left out.

    Args:
        fit: result of a refinement.
        annotate: write the coefficients (in per cent) into the squares; by default for up to 24 parameters.

    Returns:
        The figure; an explanation instead of a map if fewer than two parameters were refined.
    """
    import matplotlib.pyplot as plt

    names, matrix = correlation_matrix(fit)
    n = len(names)
    with styled({"xtick.minor.visible": False, "xtick.top": False, "ytick.right": False}):
        if n < 2:
            figure, axis = plt.subplots(figsize=(6, 1.2), layout="constrained")
            axis.set_axis_off()
            axis.text(0.5, 0.5, "fewer than two refined parameters: no correlations", ha="center", va="center")
            return figure
        size = float(np.clip(0.19 * n, 2.8, 15.0))
        points = float(np.clip(72 * size / n * 0.72, 3.2, 9.5))
        figure, axis = plt.subplots(figsize=(size + 2.9, size + 1.6), layout="constrained")
        shown = np.where(np.tri(n, k=-1, dtype=bool), matrix, np.nan)[1:, :-1]
        image = axis.imshow(shown, vmin=-1, vmax=1, cmap="PuOr_r", interpolation="nearest")
        axis.set_xticks(range(n - 1), names[:-1], rotation=90, fontsize=points)
        axis.set_yticks(range(n - 1), names[1:], fontsize=points)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xticks(np.arange(n) - 0.5, minor=True)
        axis.set_yticks(np.arange(n) - 0.5, minor=True)
        axis.grid(which="minor", color="white", linewidth=0.6)
        axis.tick_params(which="minor", length=0)
        if n <= 24 if annotate is None else annotate:
            for i, j in zip(*np.nonzero(np.abs(np.nan_to_num(shown)) >= 0.005), strict=True):
                value = shown[i, j]
                axis.text(
                    j, i, f"{100 * value:.0f}".replace("-", "−"), ha="center", va="center", fontsize=0.78 * points,
                    color="white" if value > 0.7 or value < -0.45 else "#333333",
                )  # fmt: skip
        bar = figure.colorbar(image, ax=axis, shrink=min(1.0, 3.2 / size + 0.25), pad=0.02, aspect=18)
        bar.set_label("correlation coefficient (cells: in %)")
        bar.outline.set_visible(False)
        strongest = fit.correlations[0] if fit.correlations else None
        note = f"strongest {strongest[2]:+.3f}: {strongest[0]} ↔ {strongest[1]}" if strongest else ""
        figure.suptitle(f"{n} refined parameters\n{note}".rstrip(), x=0.02, ha="left", fontsize=9)
        return figure


@checked
def convergence(fit: RefinementResult) -> Figure:
    """Plot χ² and the weighted R factor of every histogram and spectrum by step, with stages marked."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

    with styled():
        if not fit.steps:
            figure, axis = plt.subplots(figsize=(6, 1.2), layout="constrained")
            axis.set_axis_off()
            axis.text(0.5, 0.5, "no steps were taken", ha="center", va="center")
            return figure
        figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(8.2, 5.6), layout="constrained")
        step = np.array([s.step for s in fit.steps])
        chi2 = np.array([s.chi2 for s in fit.steps])
        kept = np.array([s.accepted for s in fit.steps])
        upper.plot(step[kept], chi2[kept], "-o", color=DIFFERENCE, markersize=4, linewidth=1.3, label="accepted")
        if (~kept).any():
            upper.plot(
                step[~kept], chi2[~kept], "o", color=DIFFERENCE, markersize=5, fillstyle="none", label="rejected"
            )
            upper.legend(loc="lower left")
        upper.set_yscale("log")
        upper.set_ylabel("χ²")
        upper.set_title(fit.message if len(fit.message) < 90 else fit.status, loc="left", pad=20)
        curves = list(dict.fromkeys((term, factor) for s in fit.steps for term, factor, _ in s.agreement()))
        for k, (term, factor) in enumerate(curves):
            style = dict(color=PHASES[k % len(PHASES)], marker="osD^v"[k % 5], markersize=4, linewidth=1.3)
            percent = np.array([s.factors.get(term, {}).get(factor, np.nan) for s in fit.steps])
            label = f"{term}  ({percent[kept][-1]:.2f} %)" if kept.any() else term
            lower.plot(step[kept], percent[kept], label=label, **style)
        if not curves:
            # no pattern or spectrum has an agreement factor: plot the size of the steps
            shift = np.array([s.shift_over_esd for s in fit.steps])
            lower.plot(
                step[kept], shift[kept], "-o", color=PHASES[0], markersize=4, linewidth=1.3, label="largest shift"
            )
        low, high = lower.get_ylim()
        if low > 0 and high > 4 * low:
            lower.set_yscale("log")
            lower.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            lower.yaxis.set_major_formatter(ScalarFormatter())
        lower.minorticks_off()
        factors = " or ".join(dict.fromkeys(factor for _, factor in curves))
        lower.set_ylabel(f"{factors} / %" if factors else "shift / esd")
        lower.set_xlabel("step")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.legend(loc="upper right")
        _stage_bands(upper, lower, fit)
        return figure


def correlation_matrix(fit: RefinementResult) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names of the refined numbers and their correlation matrix ``(n, n)``."""
    place = {label: k for k, label in enumerate(fit.parameters.labels)}
    names = tuple(fit.parameters.free_names)
    rows = np.array([place[name] for name in names], dtype=int)
    covariance = np.asarray(fit.covariance, dtype=float)[np.ix_(rows, rows)]
    esd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    esd = np.where(esd > 0, esd, 1.0)  # an undetermined parameter without an uncertainty is uncorrelated
    return names, np.clip(covariance / np.outer(esd, esd), -1.0, 1.0)


def _stage_bands(upper, lower, fit: RefinementResult) -> None:
    """Shade every other stage and write the stage names above the upper panel."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    names: dict[int, str] = {}
    for s in fit.steps:
        first.setdefault(s.stage, s.step)
        last[s.stage] = s.step
        names[s.stage] = s.stage_name
    span = max(last.values()) - min(first.values()) + 1
    for k, stage in enumerate(first):
        low, high = first[stage] - 0.5, last[stage] + 0.5
        if k % 2:
            for axis in (upper, lower):
                axis.axvspan(low, high, color=GREY, alpha=0.12, linewidth=0, zorder=0)
        room = max(int(95 * (high - low) / span), 4)
        text = names[stage] if len(names[stage]) <= room else names[stage][: room - 1] + "…"
        upper.annotate(
            text, (0.5 * (low + high), 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color="#555555", annotation_clip=False,
        )  # fmt: skip
    lower.set_xlim(min(first.values()) - 0.5, max(last.values()) + 0.5)
