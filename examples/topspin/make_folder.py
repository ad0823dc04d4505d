"""Makes a TopSpin folder of a simulated 27Al MAS spectrum: ``python make_folder.py 27al``.

A tetrahedral site and a weaker one under it, at 11.7 T and spun so fast that there are no sidebands, with white noise and a
slightly tilted baseline. It stands in for a measured folder in a tutorial; the true parameters are those of ``SITES``.
"""

import sys
from pathlib import Path

import numpy as np

import jaxnmr as jn

SITES = (
    jn.Site(isotope="27Al", label="Al1", shift_ppm=62.0, cq_hz=3.30e6, eta_q=0.40, gaussian_hz=250.0, amplitude=1.0),
    jn.Site(isotope="27Al", label="Al2", shift_ppm=57.0, cq_hz=1.90e6, eta_q=0.60, gaussian_hz=250.0, amplitude=0.15),
)
SF, CENTRE, POINTS, WIDTH = 130.3e6, 40.0, 1024, 40e3
SIGNAL_TO_NOISE, SEED = 150.0, 3


def spectrum():
    """Intensity of every point, highest shift first, as TopSpin stores it, and their frequencies in Hz."""
    mas = jn.SpectrumMAS("27Al", larmor_hz=SF, mas_hz=float("inf"))
    simulated = mas.simulate(SITES, points=POINTS, width_hz=WIDTH, centre_ppm=CENTRE)
    values = np.asarray(simulated.values).real
    values = values / values.max() + 0.004 + 0.003 * np.linspace(-1.0, 1.0, POINTS)
    values += np.random.default_rng(SEED).normal(0.0, 1.0 / SIGNAL_TO_NOISE, POINTS)
    return values[::-1], np.asarray(simulated.frequency_hz)[::-1]


def write(folder):
    """Write the files of an experiment and of its processing number 1."""
    values, frequency = spectrum()
    processed = Path(folder) / "pdata" / "1"
    processed.mkdir(parents=True)
    acqus = {
        "BF1": SF * 1e-6, "BYTORDA": 0, "DTYPA": 0, "MASR": 0, "NS": 1024, "NUC1": "<27Al>", "PULPROG": "<zg>",
        "SFO1": SF * 1e-6 * (1.0 + CENTRE * 1e-6), "SW_h": WIDTH, "TD": 2 * POINTS, "TE": 298.0,
    }  # fmt: skip
    procs = {
        "AXNUC": "<27Al>", "BYTORDP": 0, "DTYPP": 0, "NC_proc": 0, "OFFSET": frequency[0] / SF * 1e6, "SF": SF * 1e-6,
        "SI": POINTS, "SW_p": WIDTH,
    }  # fmt: skip
    for path, content in ((Path(folder) / "acqus", acqus), (processed / "procs", procs)):
        lines = ["##TITLE= simulated by make_folder.py", "##JCAMPDX= 5.0"]
        lines += [f"##${key}= {value}" for key, value in content.items()]
        path.write_text("\n".join([*lines, "##END=", ""]), encoding="latin-1")
    (processed / "1r").write_bytes(np.round(1e6 * values).astype("<i4").tobytes())


if __name__ == "__main__":
    jn.enable_x64()
    write(sys.argv[1] if len(sys.argv) > 1 else "27al")
