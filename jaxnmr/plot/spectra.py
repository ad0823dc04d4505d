"""NMR spectra, measured and fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import ConventionError
from .style import (
    BACKGROUND,
    CALCULATED,
    DASHES,
    DIFFERENCE,
    GREY,
    OBSERVED,
    PHASES,
    gapped,
    isotope_text,
    one_of,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..nmr import Spectrum
    from ..objective import ProfileStatistics
    from ..refinement.result import RefinementResult
    from ..terms import SpectrumEvidence

_MOST_LABELS = 24


def spectrum(
    fit: RefinementResult | Spectrum,
    name: str | None = None,
    *,
    zoom: tuple[float, float] | None = None,
    components: bool = True,
    axes: Axes | None = None,
) -> Figure:
    """Plot a fitted NMR spectrum with the contribution of every site and the difference, or a measured spectrum.

    Shifts increase to the left, by convention.

    Args:
        fit: result of a refinement, or a `Spectrum`.
        name: name of the spectrum; may be omitted if only one was fitted.
        zoom: range in ppm shown enlarged in an inset. Not used with ``axes``.
        components: draw every site.
        axes: draw into these axes instead of a new figure.

    Returns:
        The figure.

    Raises:
        ParameterError: there is no spectrum of that name.
        ConventionError: the zoom is outside the data.
    """
    import matplotlib.pyplot as plt

    with styled():
        if hasattr(fit, "values"):
            return _plain_spectrum(cast("Spectrum", fit), zoom, axes)
        data = one_of(fit.spectra, name, "spectrum")
        if axes is not None:
            _draw_spectrum(axes, data, components)
            return cast("Figure", axes.figure)
        figure, main = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
        _draw_spectrum(main, data, components)
        statistics = cast("ProfileStatistics | None", fit.statistics.get(data.name))
        main.set_title(f"{data.name}: {isotope_text(data.isotope)}", loc="left", fontweight="bold")
        if statistics is not None:
            main.set_title(f"Rw = {statistics.r_weighted:.2f} %    GoF = {statistics.gof:.2f}", loc="right")
        if zoom is not None:
            inset = _inset(main, zoom, data.ppm)
            _draw_spectrum(inset, data, components, window=zoom, decorated=False)
        return figure


def _shift_axis(axis, isotope: str, ppm: np.ndarray) -> None:
    margin = 0.01 * (ppm[-1] - ppm[0])
    axis.set_xlim(ppm[-1] + margin, ppm[0] - margin)
    axis.set_xlabel(f"δ({isotope_text(isotope)}) / ppm" if isotope else "δ / ppm")
    axis.set_yticks([])
    axis.tick_params(which="both", left=False, right=False, top=False)
    axis.spines[["left", "right", "top"]].set_visible(False)


def _plain_spectrum(data: Spectrum, zoom, axes):
    import matplotlib.pyplot as plt

    figure, main = (axes.figure, axes) if axes is not None else plt.subplots(figsize=(8.6, 4.2), layout="constrained")
    ppm, values = np.asarray(data.ppm), np.real(np.asarray(data.values))
    main.plot(ppm, values, color=OBSERVED, linewidth=0.9)
    _shift_axis(main, data.isotope, ppm)
    main.set_title(data.name, loc="left", fontweight="bold")
    if zoom is not None and axes is None:
        inset = _inset(main, zoom, ppm)
        inside = (ppm >= min(zoom)) & (ppm <= max(zoom))
        inset.plot(ppm[inside], values[inside], color=OBSERVED, linewidth=0.9)
    return figure


def _inset(axis, zoom, ppm: np.ndarray):
    """Make axes for an enlarged range, in the half of the figure that does not contain it."""
    low, high = sorted(float(v) for v in zoom)
    if np.sum((ppm >= low) & (ppm <= high)) < 3:
        raise ConventionError(
            f"zoom ({low:g}, {high:g}) shows fewer than 3 points; the data run from {ppm[0]:g} to {ppm[-1]:g} ppm"
        )
    left = 0.5 * (low + high) < 0.5 * (ppm[0] + ppm[-1])  # drawn on the right, so that the left is empty
    inset = axis.inset_axes((0.03 if left else 0.62, 0.5, 0.35, 0.46))
    inset.set_xlim(high, low)
    inset.set_yticks([])
    inset.tick_params(which="both", labelsize=7.5, left=False, right=False, top=False)
    axis.axvspan(low, high, color=GREY, alpha=0.13, linewidth=0, zorder=0)
    return inset


def _draw_spectrum(axis, data: SpectrumEvidence, components: bool, *, window=None, decorated: bool = True) -> None:
    """Draw data, fit, sites above the baseline, and the difference below on the same scale."""
    low, high = (data.ppm[0], data.ppm[-1]) if window is None else sorted(window)
    inside = (data.ppm >= low) & (data.ppm <= high)
    ppm = data.ppm[inside]
    gaps = [(a[1], b[0]) for a, b in zip(data.region_ppm[:-1], data.region_ppm[1:], strict=True) if b[0] > a[1]]
    curve = lambda values: gapped(ppm, values, gaps)
    observed, calculated = data.observed[inside], data.calculated[inside]
    baseline, parts = data.baseline[inside], data.components[:, inside]
    difference = observed - calculated
    top = max(observed.max(), calculated.max())
    floor = min(observed.min(), calculated.min(), (parts + baseline).min() if len(parts) else 0.0)
    height = top - floor
    zero = floor - 0.05 * height - difference.max()
    axis.plot(*curve(observed), color=OBSERVED, linewidth=0.9, label="observed", zorder=3)
    axis.plot(*curve(calculated), color=CALCULATED, linewidth=1.2, label="calculated", zorder=4)
    axis.plot(*curve(difference + zero), color=DIFFERENCE, linewidth=0.7, label="difference", zorder=3)
    axis.axhline(zero, color=GREY, linewidth=0.6, zorder=2)
    if np.any(baseline):
        axis.plot(
            *curve(baseline), color=BACKGROUND, linewidth=1.0, linestyle=(0, (5, 2)), label="baseline", zorder=3.5
        )
    if components and (len(parts) > 1 or window is None):
        for k, (label, part) in enumerate(zip(data.labels, parts, strict=True)):
            colour, style = PHASES[k % len(PHASES)], DASHES[k // len(PHASES) % len(DASHES)]
            axis.plot(*curve(part + baseline), color=colour, linewidth=0.9, linestyle=style, zorder=3.2)
            axis.fill_between(ppm, baseline, part + baseline, color=colour, alpha=0.12, linewidth=0, zorder=1)
            if decorated and len(parts) <= _MOST_LABELS:
                peak = int(np.argmax(np.abs(part)))
                # above all curves there, so that the label hides none of them
                near = np.abs(ppm - ppm[peak]) <= 0.015 * (high - low)
                above = max(observed[near].max(), calculated[near].max(), part[peak] + baseline[peak])
                axis.annotate(
                    label, (ppm[peak], above), xytext=(0, 5 + 9 * (k % 3)),
                    textcoords="offset points", ha="center", fontsize=8, color=colour, zorder=6,
                    bbox=dict(boxstyle="square,pad=0.1", facecolor="white", edgecolor="none", alpha=0.7),
                )  # fmt: skip
    axis.set_ylim(zero + difference.min() - 0.04 * height, top + 0.14 * height)
    if decorated:
        _shift_axis(axis, data.isotope, data.ppm)
        # on the side where the curves leave more room; shifts increase to the left
        third = max(len(ppm) // 3, 1)
        left = np.maximum(observed, calculated)[-third:].max() <= np.maximum(observed, calculated)[:third].max()
        axis.legend(loc="upper left" if left else "upper right", handlelength=1.6, labelspacing=0.35)
