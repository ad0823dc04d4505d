"""Peaks of measured patterns against the reflections of the cells that are known, the cells refined to the peaks."""

import numpy as np

from jaxnmr.crystal import SpaceGroup
from jaxnmr.crystal.cell import d_spacing
from jaxnmr.diffraction.reflections import plan_reflections

# the first peaks, as many as an indexing takes
FIRST = 24


def lines(group: str, cell: list[float], wavelength: float, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Angles and hkl of a cell."""
    hkl, _ = plan_reflections(SpaceGroup(group), cell, wavelength / 2.0 / np.sin(np.radians(highest / 2.0)))
    return np.degrees(2.0 * np.arcsin(wavelength / 2.0 / np.asarray(d_spacing(np.array(cell), hkl)))), hkl
