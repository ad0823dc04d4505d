"""Sections through electron densities, and isosurfaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..crystal import lattice
from ..errors import ParameterError
from .structures import atom_style
from .style import CALCULATED, GREY, OBSERVED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..crystal import Crystal
    from ..density import Density

# number of contours, and the lowest as a fraction of the highest value in the section
_CONTOURS, _LOWEST = 10, 0.02
# Å, atoms further from the plane are not marked
_NEAR = 0.5
_AXES = "abc"


def section(
    density: Density, *, axis: str = "c", at: float = 0.0, crystal: Crystal | None = None, levels: Sequence[float] | None = None
) -> Figure:  # fmt: skip
    """Plot contours of a density in the plane of two cell axes, to scale, with the atoms in it.

    Args:
        density: density to plot.
        axis: ``"a"``, ``"b"`` or ``"c"``, the axis perpendicular to which it is cut.
        at: fractional coordinate along it; the nearest grid plane is shown.
        crystal: structure with the cell of the density; its atoms within 0.5 Å of the plane are marked.
        levels: contour levels in e/Å³, increasing; by default ten in a geometric series.

    Raises:
        ParameterError: another axis, or a section without positive values and no levels.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    if axis not in tuple(_AXES):
        raise ParameterError(f"axis is {axis!r}; expected 'a', 'b' or 'c'")
    across = _AXES.index(axis)
    first, second = (k for k in range(3) if k != across)
    values = np.asarray(density.values, dtype=float)
    n = values.shape[across]
    plane = round(at * n) % n
    # repeat the first points at the end, so that the whole cell is shown
    cut = np.pad(np.take(values, plane, across), ((0, 1), (0, 1)), mode="wrap")
    if levels is None and cut.max() <= 0.0:
        raise ParameterError(f"no value of the section at {axis} = {plane / n:.3f} is above 0: give levels")
    heights = (
        np.geomspace(_LOWEST * cut.max(), 0.9 * cut.max(), _CONTOURS)
        if levels is None
        else np.asarray(levels, dtype=float)
    )
    vectors = lattice(np.asarray(density.cell, dtype=float))
    right = np.array([np.linalg.norm(vectors[first]), 0.0])
    cosine = vectors[first] @ vectors[second] / right[0] / np.linalg.norm(vectors[second])
    up = np.linalg.norm(vectors[second]) * np.array([cosine, np.sqrt(1.0 - cosine**2)])
    u, v = (np.arange(size) / (size - 1) for size in cut.shape)
    x, y = (u[:, None] * right[k] + v * up[k] for k in range(2))
    width = max(right[0], right[0] + up[0]) - min(0.0, up[0])
    with styled():
        figure, ax = plt.subplots(figsize=(5.6, 0.9 + 4.3 * up[1] / width), layout="constrained")
        norm = LogNorm(heights[0], heights[-1]) if heights[0] > 0.0 and len(heights) > 1 else None
        # densities made of waves may be negative between atoms, where a logarithmic colour scale is undefined
        shown = cut if norm is None else np.maximum(cut, 1e-3 * heights[0])
        lines = ax.contour(x, y, shown, levels=heights, cmap="viridis", norm=norm, linewidths=0.9)
        ax.clabel(lines, levels=heights[1::3], fmt="%.2g", fontsize=7)
        corners = np.array([[0.0, 0.0], right, right + up, up, [0.0, 0.0]])
        ax.plot(*corners.T, color=GREY, linewidth=0.8)
        if crystal is not None:
            _mark(ax, crystal, across, (first, second), plane / n, np.stack([right, up]))
        ax.set_aspect("equal")
        ax.set_xlabel(f"along {_AXES[first]} / Å")
        upright = abs(cosine) < 1e-6
        ax.set_ylabel(f"{f'along {_AXES[second]}' if upright else f'at right angles to {_AXES[first]}'} / Å")
        ax.set_title(f"density at {axis} = {plane / n:.3f}, contours in e/Å³", loc="left", pad=16.0)
        return figure


def _mark(ax, crystal: Crystal, across: int, along: tuple[int, int], at: float, directions: np.ndarray) -> None:
    """Mark atoms near a plane, those on a cell edge at all equivalent places."""
    full = crystal.expand()
    xyz = np.asarray(full.fractional, dtype=float)
    # distance between opposite faces of the cell
    height = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(full.lattice, dtype=float))[:, across])
    off = xyz[:, across] - at
    near = np.abs(off - np.round(off)) * height < _NEAR
    for k in np.flatnonzero(near):
        element = crystal.elements[int(np.asarray(full.site)[k])]
        here = xyz[k, list(along)] % 1.0
        for shift in product((0, 1), repeat=2):
            place = here + shift
            if (place < 1.0 + 1e-6).all():
                x, y = place @ directions
                ax.plot(x, y, "o", color=atom_style(element)[0], markersize=6, markeredgecolor="k", markeredgewidth=0.7)
                ax.annotate(element, (x, y), (5, 4), textcoords="offset points", fontsize=9, fontweight="bold")


def cloud(
    density: Density, *, level: float | None = None, crystal: Crystal | None = None, most: int = 30_000
) -> Figure:
    """Plot an isosurface of a density as points in space, with the atoms.

    Points lie where the value is crossed between neighbouring grid points, so the surface is exact without a mesh.

    Args:
        density: density to plot.
        level: e/Å³; by default the value above which a third of all electrons lie.
        crystal: structure whose atoms are shown.
        most: largest number of points; beyond it points are thinned evenly.

    Raises:
        ParameterError: the density does not cross the level.
    """
    import matplotlib.pyplot as plt

    values = np.asarray(density.values, dtype=float)
    if level is None:
        rising = np.sort(np.maximum(values, 0.0).ravel())
        level = float(rising[np.searchsorted(np.cumsum(rising), 2.0 / 3.0 * rising.sum())])
    points = _crossings(values, level)
    if not len(points):
        raise ParameterError(
            f"no two neighbours have {level:g} e/Å³ between them; the density is from {values.min():.3g} to {values.max():.3g}"
        )
    points = points[:: max(1, -(-len(points) // most))]
    vectors = lattice(np.asarray(density.cell, dtype=float))
    with styled():
        figure = plt.figure(figsize=(6.2, 5.8), layout="constrained")
        ax = figure.add_subplot(projection="3d")
        x = points @ vectors
        ax.scatter(*x.T, c=points[:, 2], cmap="viridis", s=2.5, alpha=0.6, linewidths=0)
        ax.grid(False)
        ax.minorticks_off()
        for start, end in _edges():
            ax.plot(*np.array([start @ vectors, end @ vectors]).T, color=GREY, linewidth=0.8)
        if crystal is not None:
            full = crystal.expand()
            xyz = np.asarray(full.fractional, dtype=float) % 1.0 @ vectors
            symbols = [crystal.elements[k] for k in np.asarray(full.site)]
            for element in dict.fromkeys(symbols):
                mine = xyz[[s == element for s in symbols]]
                ax.scatter(*mine.T, color=atom_style(element)[0], s=60, edgecolors="k", depthshade=False, label=element)
            ax.legend(loc="upper left")
        ax.set_box_aspect(
            np.ptp(np.array([np.array(corner) @ vectors for corner in product((0, 1), repeat=3)]), axis=0)
        )
        ax.set_xlabel("x / Å")
        ax.set_ylabel("y / Å")
        ax.set_zlabel("z / Å")
        ax.set_title(f"{level:.3g} e/Å³", loc="left")
        return figure


def lines(
    d_star: Sequence[float] | np.ndarray,
    observed: Sequence[float] | np.ndarray,
    calculated: Sequence[float] | np.ndarray,
    sigma: Sequence[float] | np.ndarray,
) -> Figure:
    """Plot square roots of line areas over 1/d, observed with uncertainties and calculated, and their differences.

    Args:
        d_star: ``1/d`` of the lines, 1/Å.
        observed, calculated: areas on one scale.
        sigma: standard deviations of the observed areas.
    """
    import matplotlib.pyplot as plt

    x, a, b, s = (np.asarray(of, dtype=float) for of in (d_star, observed, calculated, sigma))
    order = np.argsort(x)
    x, a, b, s = x[order], np.maximum(a[order], 0.0), np.maximum(b[order], 0.0), s[order]
    root, error = np.sqrt(a), s / (2.0 * np.sqrt(np.maximum(a, s)))
    with styled():
        figure, (upper, lower) = plt.subplots(
            2, 1, sharex=True, figsize=(7.2, 4.2), height_ratios=(3, 1), layout="constrained"
        )
        upper.errorbar(x, root, error, fmt="o", color=OBSERVED, markersize=3.0, linewidth=0.8, label="observed")
        upper.plot(x, np.sqrt(b), "x", color=CALCULATED, markersize=5.0, label="calculated")
        upper.set_ylabel("√area")
        upper.set_ylim(bottom=0.0)
        upper.legend()
        lower.axhline(0.0, color=GREY, linewidth=0.8)
        lower.plot(x, (root - np.sqrt(b)) / error, "o", color=OBSERVED, markersize=2.5)
        lower.set_xlabel("1/d / Å⁻¹")
        lower.set_ylabel("Δ / σ")
        return figure


def _crossings(values: np.ndarray, level: float) -> np.ndarray:
    """Return fractional coordinates where a value is crossed along an axis, by linear interpolation."""
    found = []
    for axis in range(3):
        there = np.roll(values, -1, axis)
        where = np.argwhere((values > level) != (there > level))
        here, beyond = values[tuple(where.T)], there[tuple(where.T)]
        points = where.astype(float)
        points[:, axis] += (level - here) / (beyond - here)
        found.append(points / values.shape)
    return np.concatenate(found)


def _edges() -> list[tuple[np.ndarray, np.ndarray]]:
    corners = [np.array(corner) for corner in product((0, 1), repeat=3)]
    return [(p, q) for p in corners for q in corners if (q - p).min() >= 0 and (q - p).sum() == 1]


def training(train: Sequence[float], held_out: Sequence[float]) -> Figure:
    """Plot mean squared errors of coefficients by epoch, for training and held-out crystals."""
    import matplotlib.pyplot as plt

    with styled():
        figure, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
        epochs = np.arange(1, len(train) + 1)
        ax.semilogy(epochs, train, color=CALCULATED, label="trained with")
        ax.semilogy(epochs, held_out, color=OBSERVED, linestyle="--", label="held out")
        ax.set_xlabel("epoch")
        ax.set_ylabel("squared error / (e/Å³)²")
        ax.legend()
        return figure
