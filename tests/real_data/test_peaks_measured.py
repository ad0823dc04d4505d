"""Peaks of measured patterns are the reflections of the cells that are known, within their uncertainties."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.crystal.cell import d_spacing
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.solve import Peaks, find_peaks

# as many as an indexing takes
MOST = 24


class Case(NamedTuple):
    """A pattern, the group and cell of its main phase, and angles of lines that are not of it but are real."""

    pattern: str
    instrument: str | None
    group: str
    cell: tuple[float, ...]
    others: tuple[float, ...] = ()
    hidden: tuple[tuple[int, int, int], ...] = ()


CASES = {
    "FAP": Case("FAP/FAP.XRA", "FAP/INST_XRY.PRM", "P 63/m", (9.3719, 9.3719, 6.8859, 90, 90, 120)),
    # 122 and 113, 0.03 degrees apart, are one peak
    "PbSO4": Case("PbSO4/PBSO4.XRA", "PbSO4/INST_XRY.PRM", "P n m a", (8.482, 5.398, 6.959, 90, 90, 90), (), ((1, 2, 2), (1, 1, 3))),
    "LaB6": Case("LaB6_lab/LaB6_Jan2018.raw", None, "P m -3 m", (4.1568, 4.1568, 4.1568, 90, 90, 90)),
    # CaF2, and a line of 0.05 % that is neither
    "NAC": Case(
        "NAC_11BM/11BM_NAC.fxye", "NAC_11BM/11bm_gsas.prm", "I 21 3", (10.2515, 10.2515, 10.2515, 90, 90, 90),
        (5.180, 7.523, 12.298, 14.432),
    ),
    # sharp lines of an impurity, between 14 and 18 degrees excluded by those who measured it; 112 and 020 are one peak
    "NaNbO2F2": Case(
        "NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", None, "P 1 21/c 1", (8.0026, 5.4072, 7.6243, 90, 101.916, 90),
        (13.78, 14.60, 16.88, 29.89, 34.06), ((1, 1, 2), (0, 2, 0)),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(data: Path) -> dict[str, Peaks]:
    result = {}
    for name, case in CASES.items():
        if not (data / case.pattern).exists():
            pytest.skip(f"{data / case.pattern} is not part of this data folder")
        pattern = jn.read_pattern(data / case.pattern)
        instrument = jn.read_instrument(data / case.instrument) if case.instrument else pattern.instrument
        result[name] = find_peaks(pattern, instrument, most=MOST)
    return result


def lines(case: Case, wavelength: float, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """hkl and angles of the cell."""
    group = SpaceGroup.from_name(case.group)
    hkl, _ = plan_reflections(group, case.cell, wavelength / 2.0 / np.sin(np.radians(0.5 * highest + 0.1)))
    return hkl, np.degrees(2.0 * np.arcsin(wavelength / 2.0 / np.asarray(d_spacing(np.array(case.cell), hkl))))


def metric_columns(hkl: np.ndarray, cell: tuple[float, ...]) -> np.ndarray:
    """What multiplies the free numbers of the reciprocal metric of this lattice."""
    h, k, l = hkl.T.astype(float)
    a, b, c, _, beta, gamma = cell
    if a == b == c:
        return np.stack([h * h + k * k + l * l], axis=1)
    if gamma == 120:
        return np.stack([h * h + k * k + h * k, l * l], axis=1)
    return np.stack([h * h, k * k, l * l, *([h * l] if beta != 90 else [])], axis=1)


def deviations(peaks: Peaks, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each peak from the nearest line of the cell, refined to the peaks with zero and displacement, degrees; hkl; which are real lines."""
    hkl, angle = lines(case, peaks.wavelength, peaks.two_theta[-1])
    own = np.abs(peaks.two_theta[:, None] - np.array([*case.others, -99.0])).min(axis=1) > 0.02
    cos = np.cos(np.radians(peaks.two_theta / 2.0))
    shift = np.zeros(len(peaks))
    for _ in range(3):
        apart = (peaks.two_theta - shift)[:, None] - angle
        nearest = np.abs(apart).argmin(axis=1)
        near = apart[np.arange(len(peaks)), nearest]
        close = own & (np.abs(near) < 0.6 * np.median(peaks.fwhm) + np.abs(near).min())
        offset = np.stack([np.ones(close.sum()), cos[close]], axis=1)
        shift = (
            np.stack([np.ones_like(cos), cos], axis=1)
            @ np.linalg.lstsq(offset, (peaks.two_theta - angle[nearest])[close], rcond=1e-6)[0]
        )
    # 4 sin²(theta) / wavelength² is linear in the metric, and in small shifts
    sine = np.sin(np.radians(peaks.two_theta / 2.0))
    slope = np.radians(1.0) * sine * cos * 4.0 / peaks.wavelength**2
    columns = np.hstack([metric_columns(hkl[nearest], case.cell), slope[:, None], (slope * cos)[:, None]])
    weight = own / (slope * peaks.sigma)
    for _ in range(10):
        numbers = np.linalg.lstsq(columns * weight[:, None], 4.0 * sine**2 / peaks.wavelength**2 * weight, rcond=1e-10)[
            0
        ]
        away = (4.0 * sine**2 / peaks.wavelength**2 - columns @ numbers) / slope
        weight = own / (slope * peaks.sigma) / np.maximum(np.abs(away) / peaks.sigma / 2.5, 1.0)
    return away, hkl[nearest], own


@pytest.mark.parametrize("name", CASES)
def test_every_peak_is_a_reflection_within_its_uncertainty(found, name):
    peaks, case = found[name], CASES[name]
    assert len(peaks) == (8 if name == "LaB6" else MOST)
    away, hkl, own = deviations(peaks, case)
    assert own.sum() >= len(peaks) - len(case.others)
    single = own & ~(np.abs(hkl)[:, None] == np.abs(np.array([*case.hidden, (99, 99, 99)]))).all(axis=2).any(axis=1)
    deviation = (away / peaks.sigma)[single]
    assert np.abs(deviation).max() < 3.5
    assert np.sqrt(np.mean(deviation**2)) < 1.5
    # and it is not said to be large
    assert np.median(peaks.sigma / peaks.fwhm) < 0.1


@pytest.mark.parametrize(
    ("name", "strong"),
    [
        ("LaB6", [21.37, 30.40, 37.45, 43.52, 48.97, 54.00, 63.23, 67.56]),
        ("NaNbO2F2", [11.354, 19.996, 22.754, 23.894, 24.255, 28.171, 29.114, 33.139, 33.931]),
        ("PbSO4", [20.79, 20.90, 23.30, 24.55, 25.56, 26.69, 27.67, 29.67, 32.33, 33.14, 44.52, 44.62]),
    ],
)
def test_no_strong_reflection_is_missed(found, name, strong):
    """100 of NaNbO2F2, and the doublets 011 and 200, 312 and 401 of PbSO4 are among them."""
    assert np.abs(found[name].two_theta[:, None] - strong).min(axis=0).max() < 0.02


def test_other_radiation_of_the_tube_is_no_peak_of_lanthanum_hexaboride(found):
    """At 27.40 degrees is Kβ of 110."""
    assert np.abs(found["LaB6"].two_theta - 27.40).min() > 1.0
    assert any("27.40 (Kβ)" in note for note in found["LaB6"].notes)
