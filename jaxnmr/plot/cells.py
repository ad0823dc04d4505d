"""Drawing of a unit cell in space: atoms, bonds and edges, sorted by depth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .structures import atom_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

    from ..crystal import Crystal

Colour = tuple[float, float, float]

# viewing direction: a points towards the viewer, b to the right, c upwards
_AZIMUTH, _ELEVATION = np.radians(22.0), np.radians(14.0)
# fraction of a cell; atoms this close to a face are also drawn on the opposite one
_ON_FACE = 0.01
# maximum bond length in sums of covalent radii; bonds between metals, with radii above this in Å, would hide the others
_BOND, _METAL = 1.15, 1.15
# each piece of a line has its own depth
_PIECES = 16
# fraction of the colour that is lost at the far end
_FADE = 0.5
_STICK, _EDGE = (0.4, 0.4, 0.4), (0.0, 0.0, 0.0)
_CORNERS = np.array(list(product((0.0, 1.0), repeat=3)))


class _Part(NamedTuple):
    """A disc or a piece of a line with its depth along the view; lines have no filling."""

    height: float
    path: Path
    fill: Colour | None
    line: Colour
    width: float


def draw_cell(axes: Axes, crystal: Crystal, *, radius: float = 0.5) -> list[str]:
    """Draw a unit cell, viewed slightly from the side and from above, on axes scaled to it.

    Args:
        axes: axes to draw into.
        crystal: the structure.
        radius: radius of the discs, in covalent radii.

    Returns:
        The elements drawn.
    """
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_rgb
    from matplotlib.path import Path

    from ..io.structures.ase import to_ase

    atoms = to_ase(crystal)
    symbols = atoms.get_chemical_symbols()
    styles = {element: atom_style(element) for element in dict.fromkeys(symbols)}
    seen = np.asarray(atoms.cell) @ _view()
    xyz, owners = _with_faces(atoms.get_scaled_positions(wrap=True))
    places, corners = xyz @ seen, _CORNERS @ seen
    radii = np.array([styles[symbols[k]][1] for k in owners])
    unit = Path.unit_circle()
    circle = np.asarray(unit.vertices, dtype=float)
    discs = [
        _Part(
            place[2],
            Path(circle * radius * r + place[:2], unit.codes),
            to_rgb(styles[symbols[k]][0]),
            _EDGE,
            0.5,
        )
        for place, r, k in zip(places, radii, owners, strict=True)
    ]
    parts = [*discs, *_sticks(places, radii, radius), *_edges(corners)]
    faded = _fading(corners)
    parts.sort(key=lambda part: part.height)
    axes.add_collection(
        PathCollection(
            [part.path for part in parts],
            facecolors=[(*faded(part.fill, part.height), 1.0) if part.fill else (0, 0, 0, 0) for part in parts],
            edgecolors=[faded(part.line, part.height) for part in parts],
            linewidths=[part.width for part in parts],
            capstyle="round",
        )
    )
    axes.set_aspect("equal")
    axes.set_axis_off()
    _scale(axes, places[:, :2], radius * radii, corners[:, :2])
    return list(styles)


def _view() -> np.ndarray:
    """Return ``(3, 3)``: Cartesian axes, a along x, in rows; right, up and towards the viewer in columns."""
    near = np.array([
        np.cos(_ELEVATION) * np.cos(_AZIMUTH), np.cos(_ELEVATION) * np.sin(_AZIMUTH), np.sin(_ELEVATION)
    ])  # fmt: skip
    right = np.array([-np.sin(_AZIMUTH), np.cos(_AZIMUTH), 0.0])
    return np.stack([right, np.cross(near, right), near], axis=1)


def _with_faces(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fractional coordinates with images of atoms on faces, edges and corners, and the atom of each."""
    images, owners = [], []
    for k, point in enumerate(xyz):
        apart = point - np.round(point)
        choices = [(a, a + 1.0) if abs(a) < _ON_FACE else (x,) for x, a in zip(point, apart, strict=True)]
        for image in product(*choices):
            images.append(image)
            owners.append(k)
    return np.array(images), np.array(owners)


def _sticks(places: np.ndarray, radii: np.ndarray, radius: float) -> list[_Part]:
    """Make bonds between the drawn atoms, from disc to disc."""
    between = places[None] - places[:, None]
    distance = np.linalg.norm(between, axis=-1)
    close = (distance < _BOND * (radii[:, None] + radii[None])) & (distance > 0.5)
    close &= np.minimum(radii[:, None], radii[None]) < _METAL
    parts = []
    for i, j in zip(*np.nonzero(np.triu(close)), strict=True):
        along = between[i, j] / distance[i, j]
        # a line starting at the centre would be sorted behind the disc it belongs to
        parts += _line(
            places[i] + 0.9 * radius * radii[i] * along, places[j] - 0.9 * radius * radii[j] * along, _STICK, 1.6
        )
    return parts


def _edges(corners: np.ndarray) -> list[_Part]:
    pairs = [(i, j) for i in range(8) for j in range(i) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1.0]
    return [part for i, j in pairs for part in _line(corners[i], corners[j], _EDGE, 0.8)]


def _line(start: np.ndarray, end: np.ndarray, colour: Colour, width: float) -> list[_Part]:
    from matplotlib.path import Path

    steps = np.linspace(start, end, _PIECES + 1)
    return [_Part(0.5 * (a[2] + b[2]), Path([a[:2], b[:2]]), None, colour, width) for a, b in pairwise(steps)]


def _fading(corners: np.ndarray) -> Callable[[Colour, float], Colour]:
    """Return a function that fades colours towards white with the distance from the viewer."""
    far, near = float(corners[:, 2].min()), float(corners[:, 2].max())

    def faded(colour: Colour, height: float) -> Colour:
        kept = 1.0 - _FADE * min(max((near - height) / (near - far), 0.0), 1.0)
        red, green, blue = (1.0 - (1.0 - c) * kept for c in colour)
        return red, green, blue

    return faded


def _scale(axes: Axes, places: np.ndarray, radii: np.ndarray, corners: np.ndarray) -> None:
    """Scale to a square, so that adjacent figures have one size, with room for axis labels beyond the axes."""
    low = np.minimum((places - radii[:, None]).min(axis=0), corners.min(axis=0))
    high = np.maximum((places + radii[:, None]).max(axis=0), corners.max(axis=0))
    room = 0.07 * float((high - low).max())
    origin = corners[0]
    for name, corner in (("a", 4), ("b", 2), ("c", 1)):
        along = corners[corner] - origin
        x, y = corners[corner] + (0.8 * room + 0.65 * radii.max()) * along / max(float(np.linalg.norm(along)), 1e-9)
        axes.text(x, y, name, ha="center", va="center", fontsize=7.5, style="italic")
    middle, half = 0.5 * (low + high), 0.5 * float((high - low).max()) + room
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
