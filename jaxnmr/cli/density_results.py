"""Output of ``jaxnmr density predict`` and ``refine``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from ..crystal import Crystal, reciprocal_metric
from ..density import Density, write_density
from ..errors import JaxnmrError
from ..io import read_crystal
from ..report.density import DensityFindings, write_density_report
from ..solve import lebail
from ..solve.density import atoms_of_predicted, lines_of, measured_density, predicted_density
from ..solve.density.predicted import kind_of
from .codes import OK
from .folders import usable
from .solving import read_measured

if TYPE_CHECKING:
    from ..density.prior.model import DensityPrior, PredictedDensity
    from ..density.prior.pattern import LinePattern
    from ..solve.density import DensityAtoms
    from ..solve.extraction.records import Extraction

WORDS = {"valence": "valence electrons at rest", "all-electron": "all electrons"}
_MOST_POINTS = 200


def refine_model(arguments: argparse.Namespace, console: Console) -> int:
    """Refine with a measured pattern and a model, and write the results."""
    folder = usable(arguments.out or Path("out") / f"{arguments.files[0].stem}_density")
    pattern = read_measured(arguments, arguments.files[0])
    crystal = read_crystal(arguments.model)
    console.print(f"[bold]{escape(pattern.name)}[/]: {escape(crystal.name)}, {crystal.group.name}")
    fit = lebail(pattern, crystal.cell, crystal.group)
    console.print(f"  {escape(str(fit))}")
    found = measured_density(
        pattern, crystal, extraction=fit, position=arguments.position, symmetric=not arguments.free, rietveld=not arguments.no_rietveld,
        seed=arguments.seed,
    )  # fmt: skip
    refined, lines = found.refined, found.lines
    calculated = refined.scale * (lines.summing(found.known.waves) @ np.abs(refined.after.mean) ** 2)
    numbers: dict[str, Any] = {
        "lines": len(lines), "coefficients": found.known.size, "R(√I) of the density before": refined.r_before, "R(√I) of the density": refined.r,
        "rms residual before": refined.misfit_before, "rms residual": refined.misfit, "R(√I) of the model": found.before.r_lines,
        "R(√I) of the atoms of the density": found.after.r_lines,
    }  # fmt: skip
    if not arguments.no_rietveld:
        numbers |= {
            "Rwp of the model / %": found.before.rwp,
            "Rwp of the atoms / %": found.after.rwp,
            "Rwp of Le Bail / %": fit.rwp,
        }
    at = np.array([np.mean(_d_star(fit, lines.hkl[lines.members == g])) for g in range(len(lines))])
    findings = DensityFindings(
        title=f"Density of {crystal.name} from {pattern.name}", density=refined.density(found.known.waves.shape(4)), electrons=WORDS[lines.atoms], numbers=numbers,
        crystal=found.atoms.crystal, observed=lines.area, calculated=calculated, sigma=lines.sigma, where=at, curve=_curve(fit),
        notes=found.notes, details={"group": fit.group.name},
    )  # fmt: skip
    inputs = [arguments.files[0], arguments.model, *([arguments.instrument] if arguments.instrument else [])]
    return _written(findings, folder, inputs, console)


def refine_measured(
    arguments: argparse.Namespace,
    console: Console,
    prior: DensityPrior,
    composition: Mapping[str, int] | Sequence[str] | None,
) -> int:
    """Refine with a measured pattern of a cubic cell and a prior, and write the results."""
    folder = usable(arguments.out or Path("out") / f"{arguments.files[0].stem}_density")
    pattern = read_measured(arguments, arguments.files[0])
    fit = lebail(pattern, (arguments.edge,) * 3 + (90.0,) * 3, "P m -3 m")
    console.print(f"[bold]{escape(pattern.name)}[/]: {escape(str(fit))}")
    found = predicted_density(prior, fit, composition)
    return _of_prior(
        arguments, console, prior, found.refined, found.pattern, found.atoms, folder, (*fit.notes, *found.notes), [arguments.files[0]], _curve(fit),
    )  # fmt: skip


def write_prediction(
    arguments: argparse.Namespace,
    console: Console,
    prior: DensityPrior,
    predicted: PredictedDensity,
    refined: PredictedDensity | None,
    pattern: LinePattern | None,
    composition: Mapping[str, int] | Sequence[str] | None,
) -> int:
    """Write the prediction of a prior, with or without areas of lines."""
    folder = usable(arguments.out or Path("out") / "density")
    best = refined or predicted
    atoms = None
    if isinstance(composition, Mapping) and pattern is not None:
        tried = [predicted] if refined is None else [predicted, refined]
        atoms = atoms_of_predicted(tried, composition, lines_of(pattern, prior), atoms_per_cell=prior.atoms)
    notes = () if pattern is not None else ("No lines were given: this is what the composition says alone.",)
    inputs = [path for path in (arguments.lines,) if path is not None]
    return _of_prior(arguments, console, prior, best, pattern, atoms, folder, notes, inputs, None)


def _of_prior(
    arguments: argparse.Namespace, console: Console, prior: DensityPrior, best: PredictedDensity, pattern: LinePattern | None,
    atoms: DensityAtoms | None, folder: Path, notes: tuple[str, ...], inputs: list[Path], curve: Mapping[str, np.ndarray] | None,
) -> int:  # fmt: skip
    if not 8 <= arguments.points <= _MOST_POINTS:
        raise JaxnmrError(f"--points is {arguments.points}; expected 8 to {_MOST_POINTS}")
    density: Density = best.density((arguments.points,) * 3)
    points = np.random.default_rng(0).random((2000, 3))
    numbers: dict[str, Any] = {
        "edge / Å": best.edge, "functions": best.basis.size, "highest / (e/Å³)": float(np.max(density.values)),
        "half of the 68 % intervals of the density, rms / (e/Å³)": float(np.sqrt(np.mean(best.at(points)[1] ** 2))),
    }  # fmt: skip
    lines: dict[str, np.ndarray] = {}
    if pattern is not None:
        area, sigma = pattern.on(prior.lines)
        made = prior.line_model.areas(best.c)
        scale = float((np.sqrt(area * made).sum() / made.sum()) ** 2) if best.refined is None else best.refined.scale
        numbers["R(√I) of the density"] = float(
            np.abs(np.sqrt(area) - np.sqrt(scale * made)).sum() / np.sqrt(area).sum()
        )
        if best.refined is not None:
            numbers |= {"R(√I) of the prediction": best.refined.r_before, "rms residual of lines": best.refined.misfit}
        lines = {
            "observed": area,
            "calculated": scale * made,
            "sigma": sigma,
            "where": np.sqrt(prior.lines.squares) / best.edge,
        }
    if atoms is not None:
        numbers |= {
            "R(√I) of the atoms found": atoms.fitted.r_before,
            "R(√I) of the atoms after least squares": atoms.fitted.r,
        }
        notes = (*notes, *atoms.notes)
    findings = DensityFindings(
        title="Density of a cubic cell", density=density, electrons=WORDS[kind_of(prior)], numbers=numbers,
        crystal=None if atoms is None else atoms.crystal, placed=None if atoms is None else _placed(atoms, best), curve=curve, notes=notes, details={"card": dict(prior.card)}, **lines,
    )  # fmt: skip
    code = _written(findings, folder, inputs, console)
    for k, c in enumerate(best.draw(arguments.samples, arguments.seed), start=1):
        write_density(best.basis.on_grid(c, density.shape, best.cell), folder / f"sample_{k}.cube")
    return code


def _placed(atoms: DensityAtoms, best: PredictedDensity) -> Crystal:
    """Return the atoms as found, in the axes of the density: space groups use other axes."""
    found = atoms.found
    return Crystal.create(
        cell=best.cell, spacegroup=1, species=found.elements, xyz=found.xyz, u_iso=0.0, name=atoms.crystal.name
    )


def _written(findings: DensityFindings, folder: Path, inputs: list[Path], console: Console) -> int:
    written = write_density_report(findings, folder, inputs=inputs)
    for name, value in findings.numbers.items():
        console.print(f"  {escape(name)}: {f'{value:.4g}' if isinstance(value, float) else value}")
    if findings.crystal is not None:
        console.print(f"  atoms: {findings.crystal.group.name}, {', '.join(findings.crystal.labels)}")
    for note in findings.notes:
        console.print(f"  [yellow]note:[/] {escape(note)}")
    for what in ("cube", "report", "page"):
        if what in written:
            console.print(f"  {what}: {escape(str(written[what]))}")
    return OK


def _curve(fit: Extraction) -> dict[str, np.ndarray]:
    return {name: getattr(fit, name) for name in ("x", "observed", "calculated", "sigma", "background")}


def _d_star(fit: Extraction, hkl: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(fit.cell), hkl))
