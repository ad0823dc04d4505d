"""Gaussians of valence atoms: fits radial densities and writes ``jaxnmr/density/valence_atoms.json``.

    python tools/fit_valence_atoms.py RADIAL.npz [--write]

RADIAL.npz holds ``r_bohr`` and ``rho_<El>`` in e/bohr³, spherically averaged valence densities of free atoms, calculated with
PySCF (Apache-2.0) as spin-averaged Hartree-Fock atoms with GTH-PBE pseudopotentials (S. Goedecker, M. Teter & J. Hutter, Phys.
Rev. B 54, 1703, 1996; M. Krack, Theor. Chem. Acc. 114, 145, 2005) and the basis gth-dzvp-molopt-sr. They are numbers that were
calculated for this purpose, and come under the licence of the package.

The form factor ``f(q)`` of each is the integral of a spline in ln r, scaled to the whole number of its electrons (the scale is
printed as its deviation from 1). The fit is ``f = sum a_k exp(-b_k s²)``, with widths found by least squares and amplitudes by
linear least squares under ``sum a_k = f(0)``. Printed are the largest error of f in electrons, and the root mean square error of
the density, as a share of its root mean square.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares

TARGET = Path(__file__).resolve().parents[1] / "jaxnmr" / "density" / "valence_atoms.json"
BOHR = 0.529177210903
TERMS = 10
RIDGE = 1e-5
# 1/Å, q = 1/d; a grid of 0.08 Å reaches 6.2 along an axis and 11 along a diagonal
Q = np.concatenate(
    [np.linspace(0.0, 2.0, 120, endpoint=False), np.linspace(2.0, 8.0, 120, endpoint=False), np.linspace(8.0, 20.0, 60)]
)


def form_factor(r: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, float]:
    """``f`` at `Q` and by how much the integral differs from a whole number, as a share."""
    inner = r > 0.0
    spline = CubicSpline(np.log(r[inner]), rho[inner] * r[inner] ** 3)
    t = np.linspace(np.log(r[inner][0]), np.log(r[inner][-1]), 12001)
    x, weight = np.exp(t) * BOHR, 4.0 * np.pi * spline(t)
    values = np.array([np.trapezoid(weight * np.sinc(2.0 * q * x), t) for q in Q])
    whole = round(values[0])
    return values * whole / values[0], values[0] / whole - 1.0


def amplitudes(b: np.ndarray, f: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes with ``sum a = f(0)``, and what is left of the rows."""
    waves = np.exp(-np.outer(Q * Q / 4.0, b))
    # the last amplitude follows from the others
    free, target = waves[:, :-1] - waves[:, -1:], f - f[0] * waves[:, -1]
    ridge = RIDGE * np.eye(len(b) - 1)
    matrix, right = np.concatenate([rows[:, None] * free, ridge]), np.concatenate([rows * target, np.zeros(len(b) - 1)])
    a = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return np.append(a, f[0] - a.sum()), matrix @ a - right


def fit(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``a`` and ``b`` of the best of several starts."""
    spacing = np.gradient(Q)
    # errors of the density count with q² dq, those of the form factor itself with dq
    rows = np.sqrt(spacing * (0.3 + Q * Q))
    best = None
    for widest, narrowest in ((40.0, 0.3), (25.0, 0.1), (60.0, 0.5)):
        start = np.log(np.geomspace(narrowest, widest, TERMS))
        found = least_squares(
            lambda logs: amplitudes(np.exp(logs), f, rows)[1], start, bounds=(np.log(0.02), np.log(400.0)), max_nfev=80
        )
        if best is None or found.cost < best.cost:
            best = found
    b = np.sort(np.exp(best.x))
    return amplitudes(b, f, rows)[0], b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("radial", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    radial = np.load(options.radial)
    atoms, worst = {}, []
    for element in (name.removeprefix("rho_") for name in radial.files if name.startswith("rho_")):
        f, off = form_factor(radial["r_bohr"], radial[f"rho_{element}"])
        a, b = fit(f)
        a, b = np.round(a, 7), np.round(b, 7)
        a[-1] = round(f[0] - a[:-1].sum(), 7)
        error = f - np.exp(-np.outer(Q * Q / 4.0, b)) @ a
        rms = np.sqrt(np.trapezoid((error * Q) ** 2, Q) / np.trapezoid((f * Q) ** 2, Q))
        worst.append((np.abs(error).max(), rms))
        print(
            f"{element:2s} {round(f[0]):3d} e  scale {off:+.1e}  max |df| {worst[-1][0]:.1e} e  rms drho {rms:.1e}  sum|a| {np.abs(a).sum():.0f}",
            flush=True,
        )
        atoms[element] = {"electrons": round(f[0]), "a": a.tolist(), "b": b.tolist()}
    print(
        f"{len(atoms)} atoms: max |df| {max(w[0] for w in worst):.1e} e, rms drho median {np.median([w[1] for w in worst]):.1e}, worst {max(w[1] for w in worst):.1e}"
    )
    if options.write:
        source = "spin-averaged Hartree-Fock atoms, GTH-PBE pseudopotentials, gth-dzvp-molopt-sr, PySCF; tools/fit_valence_atoms.py"
        rows = ",\n".join(f' "{element}": {json.dumps(atom, separators=(",", ":"))}' for element, atom in atoms.items())
        TARGET.write_text(
            f'{{"source": "{source}",\n"unit": "a in electrons, b in square angstrom: f = sum a exp(-b sin2/lambda2)",\n"atoms": {{\n{rows}\n}}}}\n',
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
