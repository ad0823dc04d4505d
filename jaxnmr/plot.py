"""Pictures of a refinement: the fitted pattern or spectrum, correlations, convergence.

Every function takes a :class:`~jaxnmr.refine.result.RefinementResult`, returns a matplotlib ``Figure`` and shows
nothing by itself; ``figure.savefig("fit.png", dpi=200)`` writes it. Colours are those of Okabe and Ito, which people
with any colour vision tell apart, and no information is carried by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from .errors import ConventionError, ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .nmr import Spectrum
    from .refine.result import FittedPattern, FittedSpectrum, RefinementResult

OBSERVED, CALCULATED, BACKGROUND, DIFFERENCE = "#1a1a1a", "#D55E00", "#009E73", "#0072B2"
PHASES = ("#8a3b78", "#b87a00", "#2b7bba", "#4d4d4d", "#00806b", "#c0504d")
_GREY = "#8c8c8c"
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
_MOST_LABELS = 24
_PLURAL = {"histogram": "histograms", "spectrum": "spectra"}
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.linewidth": 0.8,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.dpi": 150,
}


def pattern(
    fit: RefinementResult,
    name: str | None = None,
    *,
    zoom: tuple[float, float] | Literal["auto"] | None = "auto",
    scale: Literal["linear", "sqrt"] = "linear",
    axes: Axes | None = None,
) -> Figure:
    """Observed, calculated and difference pattern of one histogram, with the reflections of every phase.

    Args:
        fit: the result of a refinement.
        name: the histogram; may be left out when there is only one.
        zoom: 2theta range in degrees shown enlarged in a second panel, ``"auto"`` for the range where most is
            going on, ``None`` for no second panel. Not used with ``axes``.
        scale: ``"sqrt"`` plots square roots of intensities, which shows weak peaks and evens out counting noise.
        axes: draw into these axes instead of a new figure.

    Returns:
        The figure.

    Raises:
        ParameterError: no histogram of that name.
        ConventionError: an unknown scale, or a zoom outside the data.
    """
    import matplotlib.pyplot as plt

    data = _one_of(fit.patterns, name, "histogram")
    if scale not in ("linear", "sqrt"):
        raise ConventionError(f"scale is {scale!r}; expected 'linear' or 'sqrt'")
    with plt.rc_context(_STYLE):
        if axes is not None:
            _draw(axes, data, scale, (data.x[0], data.x[-1]), legend=True)
            return axes.figure
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
            main.axvspan(*window, color=_GREY, alpha=0.13, linewidth=0, zorder=0)
        return figure


def spectrum(
    fit: RefinementResult | Spectrum,
    name: str | None = None,
    *,
    zoom: tuple[float, float] | None = None,
    components: bool = True,
    axes: Axes | None = None,
) -> Figure:
    """A fitted NMR spectrum with the contribution of every site and the difference; or a spectrum that was read.

    Shifts increase to the left, as is the custom.

    Args:
        fit: the result of a refinement, or a `Spectrum`.
        name: the spectrum; may be left out when only one was fitted.
        zoom: range in ppm shown enlarged in an inset. Not used with ``axes``.
        components: draw every site.
        axes: draw into these axes instead of a new figure.

    Returns:
        The figure.

    Raises:
        ParameterError: no spectrum of that name.
        ConventionError: a zoom outside the data.
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        if hasattr(fit, "values"):
            return _plain_spectrum(fit, zoom, axes)
        data = _one_of(fit.spectra, name, "spectrum")
        if axes is not None:
            _draw_spectrum(axes, data, components)
            return axes.figure
        figure, main = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
        _draw_spectrum(main, data, components)
        statistics = fit.statistics.get(data.name)
        main.set_title(f"{data.name}: {_isotope_text(data.isotope)}", loc="left", fontweight="bold")
        if statistics is not None:
            main.set_title(f"Rw = {statistics.rw:.2f} %    GoF = {statistics.gof:.2f}", loc="right")
        if zoom is not None:
            inset = _inset(main, zoom, data.ppm)
            _draw_spectrum(inset, data, components, window=zoom, decorated=False)
        return figure


def correlations(fit: RefinementResult, *, annotate: bool | None = None) -> Figure:
    """Correlation matrix of the refined parameters as a map.

    Values that follow others by symmetry or a tie are left out.

    Args:
        fit: the result of a refinement.
        annotate: write the coefficients (in per cent) into the squares; by default up to 24 parameters.

    Returns:
        The figure; an explanation instead of a map when fewer than two parameters were refined.
    """
    import matplotlib.pyplot as plt

    names, matrix = correlation_matrix(fit)
    n = len(names)
    with plt.rc_context({**_STYLE, "xtick.minor.visible": False, "xtick.top": False, "ytick.right": False}):
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
                    color="white" if abs(value) > 0.7 else "#333333",
                )  # fmt: skip
        bar = figure.colorbar(image, ax=axis, shrink=min(1.0, 3.2 / size + 0.25), pad=0.02, aspect=18)
        bar.set_label("correlation coefficient")
        bar.outline.set_visible(False)
        strongest = fit.correlations[0] if fit.correlations else None
        note = f"strongest {strongest[2]:+.3f}: {strongest[0]} ↔ {strongest[1]}" if strongest else ""
        figure.suptitle(f"{n} refined parameters\n{note}".rstrip(), x=0.02, ha="left", fontsize=9)
        return figure


def convergence(fit: RefinementResult) -> Figure:
    """χ² and the weighted R factor of every histogram and spectrum, step by step, stages apart."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

    with plt.rc_context(_STYLE):
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
        for k, histogram in enumerate(fit.statistics):
            style = dict(color=PHASES[k % len(PHASES)], marker="osD^v"[k % 5], markersize=4, linewidth=1.3)
            rwp = np.array([s.rwp.get(histogram, s.rw.get(histogram, np.nan)) for s in fit.steps])
            lower.plot(
                step[kept],
                rwp[kept],
                label=f"{histogram}  ({rwp[kept][-1]:.2f} %)" if kept.any() else histogram,
                **style,
            )
        low, high = lower.get_ylim()
        if low > 0 and high > 4 * low:
            lower.set_yscale("log")
            lower.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            lower.yaxis.set_major_formatter(ScalarFormatter())
        lower.minorticks_off()
        lower.set_ylabel(
            " or ".join(label for label, any_of in (("Rwp", fit.patterns), ("Rw", fit.spectra)) if any_of) + " / %"
        )
        lower.set_xlabel("step")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.legend(loc="upper right")
        _stage_bands(upper, lower, fit)
        return figure


def correlation_matrix(fit: RefinementResult) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the refined numbers and their correlation matrix ``(n, n)``."""
    place = {label: k for k, label in enumerate(fit.parameters.labels)}
    names = tuple(fit.parameters.free_names)
    rows = np.array([place[name] for name in names], dtype=int)
    covariance = np.asarray(fit.covariance, dtype=float)[np.ix_(rows, rows)]
    esd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    esd = np.where(esd > 0, esd, 1.0)  # an undetermined parameter without uncertainty correlates with nothing
    return names, np.clip(covariance / np.outer(esd, esd), -1.0, 1.0)


def _one_of(fitted: dict, name: str | None, what: str):
    known = sorted(fitted)
    if name is None:
        if len(known) != 1:
            raise ParameterError(f"{len(known)} {_PLURAL[what]} were fitted: name one of {known}")
        name = known[0]
    if name not in fitted:
        raise ParameterError(f"no {what} {name!r} was fitted; there is {known}")
    return fitted[name]


def _zoom_range(data: FittedPattern, zoom) -> tuple[float, float] | None:
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


def _busiest_range(data: FittedPattern) -> tuple[float, float]:
    """The twelfth of the pattern with the most peaks: square roots of intensity are summed, the strongest capped."""
    width = (data.x[-1] - data.x[0]) / 12
    root = np.sqrt(np.maximum(data.calculated - data.background, 0.0))
    weight = np.minimum(root, 0.4 * root.max()) * np.gradient(data.x)
    total = np.concatenate([[0.0], np.cumsum(weight)])
    end = np.searchsorted(data.x, data.x + width)
    start = np.arange(len(data.x))
    complete = data.x + width <= data.x[-1] + 1e-9
    best = int(np.argmax(np.where(complete, total[end] - total[start], -1.0)))
    return float(data.x[best]), float(min(data.x[best] + width, data.x[-1]))


def _gapped(x: np.ndarray, y: np.ndarray, excluded: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The curve with a NaN in every excluded region, so that no line is drawn across it."""
    places = [int(np.searchsorted(x, 0.5 * (low + high))) for low, high in excluded if x[0] < high and low < x[-1]]
    return np.insert(x, places, [x[min(p, len(x) - 1)] for p in places]), np.insert(y, places, np.nan)


def _draw(axis, data: FittedPattern, scale: str, window: tuple[float, float], *, legend: bool) -> None:
    """Draw the classic picture: pattern, a row of ticks per phase, difference on the same scale below."""
    from matplotlib.lines import Line2D

    inside = (data.x >= window[0]) & (data.x <= window[1])
    x = data.x[inside]
    shown = np.sqrt if scale == "sqrt" else lambda v: v
    observed, calculated, background = (
        shown(np.maximum(v[inside], 0.0)) for v in (data.observed, data.calculated, data.background)
    )
    difference = observed - calculated
    top = max(observed.max(), calculated.max())
    floor = min(background.min(), observed.min())
    base = floor - 0.05 * (top - floor) if floor > 0.25 * top else 0.0
    height = top - base
    row = 0.042 * height
    n_phases = max(len(data.reflections), 1)
    zero = base - row * (n_phases + 1.0) - max(difference.max(), 0.03 * height)
    dense = len(x) > 1500  # crosses would merge into a black band
    axis.plot(
        x, observed, linestyle="none", marker="." if dense else "+", color=OBSERVED, markersize=2.2 if dense else 4.2,
        markeredgewidth=0.0 if dense else 0.65, label="observed", zorder=3, rasterized=len(x) > 20000,
    )  # fmt: skip
    axis.plot(*_gapped(x, calculated, data.excluded), color=CALCULATED, linewidth=1.0, label="calculated", zorder=4)
    axis.plot(
        *_gapped(x, background, data.excluded), color=BACKGROUND, linewidth=1.1, linestyle=(0, (5, 2)),
        label="background", zorder=3.5,
    )  # fmt: skip
    axis.plot(
        *_gapped(x, difference + zero, data.excluded), color=DIFFERENCE, linewidth=0.8, label="difference", zorder=3
    )
    axis.axhline(zero, color=_GREY, linewidth=0.6, zorder=2)
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
    """Label the intensity axis only where there are intensities, not along ticks and difference."""
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


def _titles(axis, fit: RefinementResult, data: FittedPattern) -> None:
    statistics = fit.statistics.get(data.name)
    phases = ", ".join(data.reflections)
    axis.set_title(data.name if phases in ("", data.name) else f"{data.name}: {phases}", loc="left", fontweight="bold")
    if statistics is not None:
        axis.set_title(f"Rwp = {statistics.rwp:.2f} %    GoF = {statistics.gof:.2f}", loc="right")


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
                axis.axvspan(low, high, color=_GREY, alpha=0.12, linewidth=0, zorder=0)
        room = max(int(95 * (high - low) / span), 4)
        text = names[stage] if len(names[stage]) <= room else names[stage][: room - 1] + "…"
        upper.annotate(
            text, (0.5 * (low + high), 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color="#555555", annotation_clip=False,
        )  # fmt: skip
    lower.set_xlim(min(first.values()) - 0.5, max(last.values()) + 0.5)


def _isotope_text(isotope: str) -> str:
    """``29Si`` with its mass number raised."""
    return isotope.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _shift_axis(axis, isotope: str, ppm: np.ndarray) -> None:
    margin = 0.01 * (ppm[-1] - ppm[0])
    axis.set_xlim(ppm[-1] + margin, ppm[0] - margin)
    axis.set_xlabel(f"δ({_isotope_text(isotope)}) / ppm" if isotope else "δ / ppm")
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
    """Axes for an enlarged part, in the half of the picture where the part itself is not."""
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
    axis.axvspan(low, high, color=_GREY, alpha=0.13, linewidth=0, zorder=0)
    return inset


def _draw_spectrum(axis, data: FittedSpectrum, components: bool, *, window=None, decorated: bool = True) -> None:
    """Data, fit, sites above the baseline, and the difference below on the same scale."""
    low, high = (data.ppm[0], data.ppm[-1]) if window is None else sorted(window)
    inside = (data.ppm >= low) & (data.ppm <= high)
    ppm = data.ppm[inside]
    gaps = [(a[1], b[0]) for a, b in zip(data.region_ppm[:-1], data.region_ppm[1:], strict=True) if b[0] > a[1]]
    curve = lambda values: _gapped(ppm, values, gaps)
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
    axis.axhline(zero, color=_GREY, linewidth=0.6, zorder=2)
    if np.any(baseline):
        axis.plot(
            *curve(baseline), color=BACKGROUND, linewidth=1.0, linestyle=(0, (5, 2)), label="baseline", zorder=3.5
        )
    if components and (len(parts) > 1 or window is None):
        for k, (label, part) in enumerate(zip(data.labels, parts, strict=True)):
            colour, style = PHASES[k % len(PHASES)], _DASHES[k // len(PHASES) % len(_DASHES)]
            axis.plot(*curve(part + baseline), color=colour, linewidth=0.9, linestyle=style, zorder=3.2)
            axis.fill_between(ppm, baseline, part + baseline, color=colour, alpha=0.12, linewidth=0, zorder=1)
            if decorated and len(parts) <= _MOST_LABELS:
                peak = int(np.argmax(np.abs(part)))
                axis.annotate(
                    label, (ppm[peak], part[peak] + baseline[peak]), xytext=(0, 9 + 9 * (k % 3)),
                    textcoords="offset points", ha="center", fontsize=8, color=colour, zorder=6,
                    bbox=dict(boxstyle="square,pad=0.1", facecolor="white", edgecolor="none", alpha=0.7),
                )  # fmt: skip
    axis.set_ylim(zero + difference.min() - 0.04 * height, top + 0.14 * height)
    if decorated:
        _shift_axis(axis, data.isotope, data.ppm)
        axis.legend(loc="upper left", handlelength=1.6, labelspacing=0.35)
