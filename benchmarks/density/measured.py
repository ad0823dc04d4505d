"""Three laboratory patterns: from a model that is off to the most probable density, its atoms, and a Rietveld refinement.

    JAXNMR_DATA=... python benchmarks/density/measured.py [PbSO4 NaNbO2F2 FAP] [--position 0.15] [--out FOLDER]

The model is the known structure with every free coordinate moved by a normal number of 0.15 Å (seed 0), isotropic displacements. The pattern
gives areas by a Le Bail fit; superposed atoms of all electrons at uncertain places, with 3 % of every wave uncertain by itself, are what is
known before. Printed are R of roots of areas of the density and of atoms, Rwp, and how far atoms are off the known structure.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr._precision import enable_x64
from jaxnmr._tables import plain
from jaxnmr.crystal import Crystal, lattice, reciprocal_metric
from jaxnmr.density.linear.expected import moved
from jaxnmr.report.density import DensityFindings, write_density_report
from jaxnmr.solve import lebail
from jaxnmr.solve.density import measured_density

CASES = {
    "PbSO4": ("PbSO4/PBSO4.XRA", "PbSO4/INST_XRY.PRM", "PbSO4/PbSO4-Wyckoff.cif", (16.0, 110.0), ()),
    "NaNbO2F2": (
        "NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", "NaMO2F2/CuKa_generic.instprm", "NaMO2F2/NaNbO2F2_start.cif", (10.0, 100.0), ((14.0, 18.0),),
    ),
    "FAP": ("FAP/FAP.XRA", "FAP/INST_XRY.PRM", "FAP/FAP.EXP", (15.0, 110.0), ()),
}  # fmt: skip


def isotropic(crystal: Crystal) -> Crystal:
    return Crystal.create(
        cell=crystal.cell, spacegroup=crystal.group, species=crystal.species, xyz=crystal.xyz,
        u_iso=np.clip(np.asarray(crystal.u_equivalent()), 0.004, 0.03), name=crystal.name,
    )  # fmt: skip


def off(found: Crystal, truth: Crystal) -> tuple[float, float]:
    """Root mean square and largest distance of atoms of the truth to the nearest of their element, Å."""
    vectors = np.asarray(lattice(np.asarray(truth.cell)))
    (a, b), distances = (one.expand() for one in (found, truth)), []
    elements = [found.elements[k] for k in np.asarray(a.site)]
    for site, place in zip(np.asarray(b.site), np.asarray(b.fractional), strict=True):
        rows = [k for k, e in enumerate(elements) if e == truth.elements[site]]
        delta = np.asarray(a.fractional)[rows] - place
        distances.append(np.linalg.norm((delta - np.round(delta)) @ vectors, axis=1).min())
    return float(np.sqrt(np.mean(np.square(distances)))), float(max(distances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--position", type=float, default=0.15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    enable_x64()
    rows, folder = [], Path(os.environ["JAXNMR_DATA"])
    for name in options.names:
        file, device, model, limits, excluded = CASES[name]
        pattern = jn.read_pattern(folder / file, instrument=folder / device).limited(*limits)
        if excluded:
            pattern = pattern.excluding(*excluded)
        truth = isotropic(jn.read_crystal(folder / model))
        start = moved(truth, np.random.default_rng(0), options.position, 0.0)
        begun = time.process_time()
        fit = lebail(pattern, truth.cell, truth.group)
        found = measured_density(pattern, start, extraction=fit, position=options.position)
        seconds = time.process_time() - begun
        refined = found.refined
        rows.append([
            name, len(found.lines), found.known.size, f"{refined.r_before:.3f} -> {refined.r:.3f}",
            f"{found.before.r_lines:.3f} -> {found.after.r_lines:.3f}", f"{found.before.rwp:.1f} -> {found.after.rwp:.2f}", f"{fit.rwp:.2f}",
            "{:.2f}/{:.2f}".format(*off(start, truth)), "{:.3f}/{:.3f}".format(*off(found.fits[1].crystals[start.name], truth)), f"{seconds:.0f}",
        ])  # fmt: skip
        print(name, *found.notes, f"find_atoms R {found.atoms.found.r:.3f}", sep="\n  ", flush=True)
        header = [
            "",
            "lines",
            "c",
            "R density",
            "R atoms",
            "Rwp / %",
            "Le Bail",
            "off before / Å",
            "after / Å",
            "CPU / s",
        ]
        print(plain(header, rows), flush=True)
        if options.out:
            lines = found.lines
            made = refined.scale * (lines.summing(found.known.waves) @ np.abs(refined.after.mean) ** 2)
            d_star = np.sqrt(np.einsum("ni,ij,nj->n", lines.hkl, reciprocal_metric(fit.cell), lines.hkl))
            findings = DensityFindings(
                title=f"{name}: density from a measured pattern", density=refined.density(found.known.waves.shape(4)), electrons="all electrons",
                numbers={"R": refined.r}, crystal=found.atoms.crystal, observed=lines.area, calculated=made, sigma=lines.sigma,
                where=np.array([d_star[lines.members == g].mean() for g in range(len(lines))]), notes=found.notes,
            )  # fmt: skip
            write_density_report(findings, options.out / name)


if __name__ == "__main__":
    main()
