"""Peaks found in simulated patterns: where they are, how well that is known, and what is none."""

from functools import lru_cache

import numpy as np
import pytest
from small_problems import DOUBLET, monoclinic, rutile

import jaxnmr as jn
from jaxnmr.diffraction import Instrument, Pattern
from jaxnmr.errors import ConventionError, DataError
from jaxnmr.solve import Peaks, find_peaks
from jaxnmr.solve.peaks import peak_table, write_peaks

TWO_THETA = (10.0, 70.0, 0.02)
FLAT = np.full(3001, 100.0)


@lru_cache
def peaks_alone(name: str) -> np.ndarray:
    """The calculated pattern of a crystal, its highest point 1."""
    crystal = {"mono": monoclinic, "rutile": rutile}[name]()
    y = np.asarray(jn.PowderDiffraction(instrument=DOUBLET).simulate(crystal, TWO_THETA, values={"scale": 1.0}).y)
    return y / y.max()


def counted(y: np.ndarray, seed: int) -> Pattern:
    x = 10.0 + 0.02 * np.arange(len(y))
    return Pattern.create(x, np.random.default_rng(seed).poisson(y).astype(float), instrument=DOUBLET)


def reflections(crystal: jn.Crystal, highest: float) -> np.ndarray:
    """Angles of all reflections of a crystal, from its cell alone."""
    from jaxnmr.diffraction.reflections import list_reflections

    hkl = list_reflections(crystal.cell, crystal.group, DOUBLET.wavelengths[0] / 2.0 / np.sin(np.radians(highest / 2.0)))
    return hkl


def at_reflections(peaks: Peaks, lines: np.ndarray) -> np.ndarray:
    """How far each peak is from the nearest of the lines, in its uncertainties."""
    away = peaks.two_theta[:, None] - lines
    return away[np.arange(len(peaks)), np.abs(away).argmin(axis=1)] / peaks.sigma
