"""Pictures of thermal averages: their course, spectra with and without motion, and what changes with temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from .style import CALCULATED, GREY, OBSERVED, PHASES, isotope_text, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..dynamics.average import ThermalAverage
    from ..dynamics.readings import Reading
    from ..dynamics.series import ThermalSeries
    from ..dynamics.spectra import AveragedSpectra

_MOST = 9
_ACROSS = 3
_MARKS = {"up": ("^", "full", "-"), "down": ("v", "none", "--")}


def interesting(readings: Sequence[Reading], most: int = _MOST) -> tuple[Reading, ...]:
    """The readings that there is room for: shifts and couplings first, then asymmetries and the rest."""
    rank = ("shift", "CQ", "shielding", "eta", "span", "skew")
    of = lambda r: rank.index(r.quantity.split()[-1])
    chosen = sorted(readings, key=of)[:most]
    return tuple(r for r in readings if r in chosen)


def _called(reading: Reading) -> str:
    nucleus, quantity = reading.quantity.split()
    words = {"CQ": "$C_Q$", "eta": "η", "span": "Ω", "skew": "κ"}
    unit = f" / {reading.unit}" if reading.unit else ""
    return f"{reading.site}: {words.get(quantity, quantity)}({isotope_text(nucleus)}){unit}"


def _panels(count: int, across: int = _ACROSS) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    across = min(count, across)
    down = -(-count // across)
    figure, axes = plt.subplots(
        down, across, figsize=(3.3 * across + 0.3, 2.35 * down + 0.3), layout="constrained", squeeze=False
    )
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_axis_off()
    return figure, flat[:count]


_SMALL = {"axes.formatter.useoffset": False, "font.size": 8.5, "axes.titlesize": 9.0, "axes.labelsize": 9.0}


@checked
def course(average: ThermalAverage, readings: Sequence[Reading] | None = None) -> Figure:
    """Temperature, energy and cell along the trajectory, and how averages settle.

    Args:
        average: of :func:`jaxnmr.dynamics.thermal_average`.
        readings: of ``average.readings``, whose means up to every moment are drawn, with the final standard error as a band and the
            value without motion as a dashed line; the first six by default.

    Returns:
        The figure.

    Raises:
        ParameterError: an average of a harmonic solid.
    """
    from ..dynamics.pooling import cell_lengths
    from ..dynamics.readings import running

    shown = interesting(average.readings, 6) if readings is None else tuple(readings)
    frames = average.frames
    if "potential_ev" not in frames:
        raise ParameterError(
            "the average is of independent configurations, which have no course; expected one of thermal_average"
        )
    time = (frames["time_fs"] - frames["time_fs"][0]) / 1000.0
    with styled(_SMALL):
        figure, axes = _panels(3 + len(shown))
        axes[0].plot(time, frames["temperature_k"], color=OBSERVED, linewidth=0.7)
        axes[0].axhline(average.temperature_k, color=CALCULATED, linewidth=1.0, linestyle="--")
        axes[0].set_title("temperature / K", loc="left")
        atoms = average.supercell.crystal.n_sites
        energy = 1e3 * (frames["potential_ev"] - frames["potential_ev"].mean()) / atoms
        axes[1].plot(time, energy, color=OBSERVED, linewidth=0.7)
        axes[1].axhline(0.0, color=GREY, linewidth=0.7)
        axes[1].set_title("potential energy − mean / meV per atom", loc="left")
        lengths = cell_lengths(average.supercell, frames["vectors"])
        for k, name in enumerate("abc"):
            start = np.linalg.norm(average.supercell.vectors[k]) / average.supercell.repeats[k]
            axes[2].plot(time, 100.0 * (lengths[:, k] / start - 1.0), color=PHASES[k], linewidth=0.8, label=f"${name}$")
        axes[2].set_title("cell, change from the start / %", loc="left")
        axes[2].legend(loc="best", ncols=3)
        means = running(shown, average.static, frames) if shown else np.zeros((len(time), 0))
        for k, (axis, reading) in enumerate(zip(axes[3:], shown, strict=True)):
            axis.axhspan(
                reading.mean - reading.error, reading.mean + reading.error, color=CALCULATED, alpha=0.2, linewidth=0
            )
            axis.plot(time, means[:, k], color=CALCULATED, linewidth=1.0)
            axis.axhline(reading.static, color=GREY, linewidth=0.9, linestyle="--")
            axis.set_title(_called(reading), loc="left")
            # the first frames must not decide what is seen of the rest
            late = means[len(time) // 10 :, k]
            values = [*late, reading.static, reading.mean - reading.error, reading.mean + reading.error]
            low, high = min(values), max(values)
            room = 0.08 * max(high - low, 1e-6)
            axis.set_ylim(low - room, high + room)
        for axis in axes:
            axis.set_xlabel("time / ps")
            axis.set_xlim(time[0], max(time[-1], time[0] + 1e-9))
        figure.suptitle(
            f"{average.crystal.name}, {average.temperature_k:g} K: {len(time)} frames of {atoms} atoms; means up to then, band: "
            "final standard error, dashed: without motion",
            x=0.01, ha="left", fontsize=9,
        )  # fmt: skip
        return figure


@checked
def spectra(found: AveragedSpectra) -> Figure:
    """Spectra of averaged tensors against that without motion, each with the same area.

    Args:
        found: of :func:`jaxnmr.dynamics.averaged_spectra`.

    Returns:
        The figure. Of several averages, spectra are shifted up one after the other.
    """
    import matplotlib.pyplot as plt

    ppm = np.asarray(found.static.ppm)
    area = lambda spectrum: np.real(np.asarray(spectrum.values)) / np.abs(np.real(np.asarray(spectrum.values)).sum())
    still, moving = area(found.static), [area(spectrum) for spectrum in found.averaged]
    top = max(curve.max() for curve in (still, *moving))
    with styled():
        figure, axis = plt.subplots(figsize=(7.2, 3.0 + 0.55 * len(moving)), layout="constrained")
        step = 0.0 if len(moving) == 1 else 0.6 * top
        # what is empty on either side of all lines is left out
        seen = np.flatnonzero(np.max([still, *moving], axis=0) > 2e-3 * top)
        edge = 0.06 * (ppm[seen[-1]] - ppm[seen[0]])
        axis.plot(ppm, still, color=OBSERVED, linewidth=1.0, linestyle="--", label="without motion")
        for k, (curve, label) in enumerate(zip(moving, found.labels, strict=True)):
            colour = CALCULATED if len(moving) == 1 else plt.get_cmap("plasma")(0.85 * k / max(len(moving) - 1, 1))
            up = step * (k + 1)
            axis.plot(ppm, curve + up, color=colour, linewidth=1.1, label=label)
            if step:
                at = (ppm[seen[-1]] + 0.9 * edge, up)
                axis.annotate(label, at, (0, 3), textcoords="offset points", fontsize=8.5, color=colour)
        axis.set_xlim(ppm[seen[-1]] + edge, ppm[seen[0]] - edge)
        axis.set_xlabel(f"δ({isotope_text(found.static.isotope)}) / ppm")
        axis.set_yticks([])
        axis.tick_params(which="both", left=False, right=False, top=False)
        axis.spines[["left", "right", "top"]].set_visible(False)
        axis.set_title(found.name, loc="left", fontweight="bold")
        axis.legend(handles=axis.lines[:1] if step else axis.lines, loc="best")
        return figure


@checked
def against_temperature(series: ThermalSeries, readings: Sequence[Reading] | None = None) -> Figure:
    """Cell, what was observed and readings against temperature, on the way up and on the way down, with standard errors.

    Args:
        series: of :func:`jaxnmr.dynamics.thermal_series`.
        readings: of one of its averages, to say which; by default as many as there is room for.

    Returns:
        The figure. Filled triangles that point up are of rising temperature, open ones that point down of falling; grey lines say what the
        crystal has without motion.

    Raises:
        ParameterError: fewer than two temperatures.
    """
    if len(series) < 2:
        raise ParameterError("there is one temperature; expected two or more to draw anything against")
    first = series.averages[0]
    lengths, errors = (np.array([getattr(a, name) for a in series.averages]) for name in ("cell", "cell_error"))
    names = [o.name for o in first.observed]
    shown = interesting(first.readings) if readings is None else tuple(readings)
    with styled(_SMALL):
        figure, axes = _panels(2 + len(names) + len(shown))
        for k, name in enumerate("abc"):
            _both_ways(axes[0], series, lengths[:, k], errors[:, k], PHASES[k], label=f"${name}$")
        axes[0].set_title("cell lengths / Å", loc="left")
        axes[0].legend(loc="best", ncols=3)
        volumes = np.array([float(a.crystal.volume()) for a in series.averages])
        _both_ways(axes[1], series, volumes, None, OBSERVED)
        axes[1].set_title("volume of the cell / Å³", loc="left")
        for axis, name in zip(axes[2:], names, strict=False):
            values = series.observed(name)
            unit = next(o.unit for o in first.observed if o.name == name)
            _both_ways(axis, series, values[:, 0], values[:, 1], PHASES[2])
            axis.set_title(f"{_WORDS.get(name, name)}{f' / {unit}' if unit else ''}", loc="left")
        for axis, reading in zip(axes[2 + len(names) :], shown, strict=True):
            values = series.readings(reading.site, reading.quantity)
            axis.axhline(reading.static, color=GREY, linewidth=0.8)
            _both_ways(axis, series, values[:, 0], values[:, 1], CALCULATED)
            axis.set_title(_called(reading), loc="left")
        for axis in axes:
            axis.set_xlabel("temperature / K")
            axis.margins(0.08)
        ways = "▲ heating, ▽ cooling, " if len(set(series.directions)) > 1 else ""
        figure.suptitle(f"{first.crystal.name}, {ways}grey: without motion", x=0.01, ha="left", fontsize=9)
        return figure


_WORDS = {"order": "order parameter", "amplitude": "amplitude of the distortion", "Si-O-Si": "mean angle Si–O–Si"}


def _both_ways(
    axis: Axes,
    series: ThermalSeries,
    values: np.ndarray,
    errors: np.ndarray | None,
    colour: str,
    label: str | None = None,
) -> None:
    """One curve for each direction; that of falling temperature begins where that of rising ends."""
    t, ways = series.temperatures, np.array(series.directions)
    for way, (mark, fill, line) in _MARKS.items():
        mine = np.flatnonzero(ways == way)
        if not len(mine):
            continue
        joined = np.array([mine[0] - 1, *mine]) if mine[0] > 0 else mine
        axis.plot(t[joined], values[joined], line, color=colour, linewidth=0.8)
        axis.errorbar(
            t[mine], values[mine], None if errors is None else errors[mine], fmt=mark, color=colour, fillstyle=fill, markersize=4.5,
            elinewidth=0.9, capsize=1.5, label=label if way == ways[0] else None,
        )  # fmt: skip
