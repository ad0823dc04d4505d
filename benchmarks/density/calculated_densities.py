"""How far superposed valence atoms are from densities of density functional theory, for small cells.

    JAXNMR_DATA=... python benchmarks/density/calculated_densities.py FOLDER [--perovskites 16] [--only NAME ...] [--json FILE] [--no-runs | --inputs]

Calculates the density of each cell of `small_cells` with CP2K (`cp2k`), keeps it in FOLDER as NAME.npz on 50³ points of fractional
coordinates, and goes on where it stopped; a cell that did not converge is tried again only when NAME.failed and the folder NAME are removed.
With ``--no-runs`` it prints what there is, and with ``--inputs`` it only writes FOLDER/NAME/run.sh, which may be run elsewhere: what
has been run is read when the script is called again. ``--cutoff``, ``--reach`` and ``--eps`` are
to be changed in another FOLDER.

Both densities have the same electrons and the same grid, and no pose is sought. Columns: SSIM and PSNR, and the same for the
superposed atoms after their F were multiplied by the best isotropic factor ``exp(-B s²)``; the root mean square difference
as a share of that of the superposed density about its mean; R(√I) of the lines to d = 0.6 Å, with the best scale; electrons
that have moved, half the integral of the absolute difference; and whether `find_atoms` gets every atom from the
calculated density, and how far its worst is from where the atom is.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from cp2k import Calculated, Settings, calculate, mesh, write_run
from scipy.optimize import minimize_scalar
from small_cells import perovskites, simple_cells

from jaxnmr._tables import plain
from jaxnmr.crystal import Crystal, lattice, reciprocal_metric
from jaxnmr.density import Density, PowderLines, compare, find_atoms, superposed
from jaxnmr.density.grid import frequencies

SHAPE, D_MIN = (50, 50, 50), 0.6
# lines are listed to d_min at any wavelength; Lorentz and polarisation factors are divided out
WAVELENGTH = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--perovskites", type=int, default=16)
    parser.add_argument("--only", nargs="+", help="names of cells")
    parser.add_argument("--cutoff", type=float, default=Settings.cutoff)
    parser.add_argument("--reach", type=float, default=Settings.reach)
    parser.add_argument(
        "--eps", type=float, default=Settings.eps, help="largest change of the density matrix at the end"
    )
    parser.add_argument("--no-runs", action="store_true")
    parser.add_argument("--inputs", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = Settings(options.cutoff, options.reach, options.eps, 2e-5 * options.eps)
    rows = []
    for crystal in [*simple_cells(), *perovskites(options.perovskites)]:
        if options.only and crystal.name not in options.only:
            continue
        if options.inputs:
            print(write_run(crystal, options.folder / crystal.name, settings))
            continue
        kept = options.folder / f"{crystal.name}.npz"
        if not kept.is_file() and not (options.no_runs or kept.with_suffix(".failed").is_file()):
            _calculated(crystal, kept, settings)
        if kept.is_file():
            with np.load(kept) as file:
                about = {
                    "k_points": file["mesh"].tolist(),
                    "seconds": float(file["seconds"]),
                    "steps": int(file["steps"]),
                }
                calculated = Density.create(file["values"], np.asarray(crystal.cell, dtype=float))
            rows.append({"name": crystal.name, "cell": formula(crystal), **about, **compared(crystal, calculated)})
            print(f"{rows[-1]['name']} {rows[-1]['cell']}: SSIM {rows[-1]['ssim']:.4f}", flush=True)
    if options.inputs:
        return
    if not rows:
        raise SystemExit(f"no densities in {options.folder}")
    print(table(rows))
    if options.json:
        record = {"cutoff_ry": settings.cutoff, "reach": settings.reach, "points": SHAPE[0], "cells": rows}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _calculated(crystal: Crystal, kept: Path, settings: Settings) -> None:
    try:
        found: Calculated = calculate(crystal, kept.with_suffix(""), settings)
    except RuntimeError as err:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".failed").write_text(f"{err}\n", encoding="utf-8")
        print(err, flush=True)
        return
    values = np.asarray(found.density.resampled(SHAPE).values, dtype=np.float32)
    about = {"seconds": found.seconds, "steps": found.steps, "mesh": mesh(crystal, settings.reach), "eps": settings.eps}
    np.savez_compressed(kept, values=values, **about)


def formula(crystal: Crystal) -> str:
    """Elements of the cell and their numbers, as the sites have them."""
    names = [crystal.elements[k] for k in np.asarray(crystal.expand().site)]
    return "".join(e + (str(names.count(e)) if names.count(e) > 1 else "") for e in dict.fromkeys(names))


def compared(crystal: Crystal, calculated: Density) -> dict:
    """What stands in a row of the table."""
    atoms = superposed(crystal, SHAPE, at_rest=True)
    truth, guess = np.asarray(calculated.values), np.asarray(atoms.values)
    plainly, (b, softer) = compare(truth, guess, poses="one"), softened(atoms, calculated)
    softly, apart = compare(truth, np.asarray(softer.values), poses="one"), truth - guess
    volume = float(calculated.volume())
    atoms_found, furthest = found_atoms(crystal, calculated)
    return {
        "electrons": float(atoms.electrons()),
        "electrons_calculated": float(calculated.electrons()),
        "ssim": plainly.ssim,
        "psnr": plainly.psnr,
        "b_iso": b,
        "ssim_softened": softly.ssim,
        "psnr_softened": softly.psnr,
        "rms_share": float(np.sqrt((apart**2).mean()) / guess.std()),
        "r_sqrt_i": r_of_lines(atoms, calculated),
        "moved": float(0.5 * np.abs(apart).mean() * volume),
        "atoms": len(np.asarray(crystal.expand().site)),
        "atoms_found": atoms_found,
        "furthest": furthest,
    }


def softened(atoms: Density, calculated: Density) -> tuple[float, Density]:
    """Superposed atoms with the isotropic B, of either sign, that brings them nearest to the calculation."""
    h = np.stack(np.meshgrid(*map(frequencies, SHAPE), indexing="ij"), axis=-1)
    metric = np.asarray(reciprocal_metric(np.asarray(atoms.cell, dtype=float)))
    s_sq = np.einsum("...i,ij,...j->...", h, metric, h) / 4.0
    waves, target = np.asarray(atoms.waves()), np.asarray(calculated.waves())
    off = lambda b: float((np.abs(waves * np.exp(-b * s_sq) - target) ** 2).sum())
    b = float(minimize_scalar(off, bounds=(-1.0, 3.0), method="bounded").x)
    values = np.fft.fftn(waves * np.exp(-b * s_sq)).real / float(atoms.volume())
    return b, atoms.replace(values=values)


def r_of_lines(atoms: Density, calculated: Density) -> float:
    """``sum |√I - k √I'| / sum √I`` over powder lines, k by least squares."""
    lines = PowderLines.plan(atoms.cell, WAVELENGTH, 2.0 * np.degrees(np.arcsin(WAVELENGTH / (2.0 * D_MIN))))
    roots = [
        np.sqrt(np.bincount(lines.line, weights=lines.multiplicity * np.asarray(of.intensities(lines.hkl))))
        for of in (calculated, atoms)
    ]
    scale = (roots[0] @ roots[1]) / (roots[1] @ roots[1])
    return float(np.abs(roots[0] - scale * roots[1]).sum() / roots[0].sum())


def found_atoms(crystal: Crystal, calculated: Density) -> tuple[int, float | None]:
    """Atoms that are found with their element within 0.3 Å, and the largest distance of these in Å."""
    full = crystal.expand()
    names = [crystal.elements[k] for k in np.asarray(full.site)]
    found = find_atoms(calculated, {e: names.count(e) for e in set(names)}, u_iso=0.0, symprec=None)
    there, kinds = found.xyz, np.array(found.elements)
    right, distances = 0, []
    for name, place in zip(names, np.asarray(full.fractional, dtype=float), strict=True):
        apart = there[kinds == name] - place
        distance = np.linalg.norm(
            (apart - np.round(apart)) @ lattice(np.asarray(crystal.cell, dtype=float)), axis=1
        ).min()
        right += int(distance < 0.3)
        distances += [float(distance)] if distance < 0.3 else []
    return right, max(distances, default=None)


def table(rows: list[dict]) -> str:
    """All cells, and the means and medians."""
    number = lambda row: [
        f"{row['ssim']:.4f}", f"{row['psnr']:.1f}", f"{row['b_iso']:.2f}", f"{row['ssim_softened']:.4f}", f"{row['psnr_softened']:.1f}",
        f"{row['rms_share']:.3f}", f"{row['r_sqrt_i']:.3f}", f"{row['moved']:.2f}", f"{row['moved'] / row['atoms']:.3f}",
    ]  # fmt: skip
    lines = [
        [row["name"], row["cell"], f"{row['electrons']:.0f}", *number(row), f"{row['atoms_found']}/{row['atoms']}",
         "" if row["furthest"] is None else f"{row['furthest']:.3f}", f"{row['seconds']:.0f}"]
        for row in rows
    ]  # fmt: skip
    for name, of in (("mean", np.mean), ("median", np.median)):
        whole = {
            key: of([row[key] for row in rows])
            for key in rows[0]
            if isinstance(rows[0][key], float) and key != "furthest"
        }
        lines.append(
            [
                name,
                f"{len(rows)} cells",
                "",
                *number({**whole, "atoms": np.mean([r["atoms"] for r in rows])}),
                "",
                "",
                "",
            ]
        )
    header = [
        "",
        "cell",
        "electrons",
        "SSIM",
        "PSNR",
        "B",
        "SSIM, B",
        "PSNR, B",
        "rms",
        "R(√I)",
        "moved",
        "per atom",
        "found",
        "Å",
        "CPU s",
    ]
    return plain(header, lines)


if __name__ == "__main__":
    main()
