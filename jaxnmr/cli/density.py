"""The commands ``jaxnmr density train``, ``predict`` and ``refine``: arguments, output, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ..errors import JaxnmrError
from .codes import OK
from .commands import _prepare
from .folders import usable
from .solving import add_region

if TYPE_CHECKING:
    from ..density.prior.model import DensityPrior
    from ..density.prior.pattern import LinePattern
    from ..density.prior.training import Epoch


def add_density(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    density = command(
        "density", _density, "train a prior of electron densities, predict a density from lines and a composition, refine one on a powder pattern",
        "jaxnmr density refine sample.xye --model start.cif --out out/density",
    )  # fmt: skip
    density.add_argument(
        "action",
        choices=tuple(ACTIONS),
        help="train: from crystals; predict: by a prior; refine: on a measured pattern, from a model or a prior",
    )
    density.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="train: folders and files of crystals; refine: the measured pattern, or with --lines none; predict: none",
    )
    density.add_argument(
        "--prior", metavar="PRIOR", help="file of a trained prior, or the name of one that comes along"
    )
    density.add_argument(
        "--model", type=Path, metavar="FILE.cif", help="refine: a structure to start from, in any lattice"
    )
    density.add_argument(
        "--lines",
        type=Path,
        metavar="FILE",
        help="areas of all lines of a cubic cell: 2theta, area, and perhaps its standard deviation",
    )
    density.add_argument("--edge", type=_positive, metavar="A", help="of the cubic cell of a prior, Å")
    density.add_argument("--composition", metavar="FORMULA", help="of the cell, such as BaTiO3")
    density.add_argument("--elements", nargs="+", metavar="ELEMENT", help="where their amounts are not known")
    density.add_argument(
        "--wavelength", nargs="+", type=_positive, metavar="A", help="in Å, one or two, where no file says it"
    )
    density.add_argument("--instrument", type=Path, metavar="FILE", help="parameter file of the diffractometer")
    add_region(density)
    density.add_argument(
        "--position",
        type=_positive,
        default=0.15,
        metavar="A",
        help="refine: how far atoms of the model may be off, Å (default: 0.15)",
    )
    density.add_argument("--free", action="store_true", help="refine: do not impose the space group of the model")
    density.add_argument("--no-rietveld", action="store_true", help="refine: leave Rwp before and after out")
    density.add_argument("--points", type=int, default=48, help="of grids of a prior along each axis (default: 48)")
    density.add_argument(
        "--samples", type=int, default=0, help="predict: so many densities drawn, as sample_1.cube ..."
    )
    density.add_argument("--size", type=int, default=160, help="train: functions of the density (default: 160)")
    density.add_argument("--waves", type=int, default=196, help="train: largest h²+k²+l² of the density (default: 196)")
    density.add_argument(
        "--largest-line", type=int, default=44, help="train: largest h²+k²+l² of the pattern (default: 44)"
    )
    density.add_argument("--width", type=int, default=384, help="train: of the network (default: 384)")
    density.add_argument("--epochs", type=int, default=60, help="train (default: 60)")
    density.add_argument(
        "--held-out", type=int, default=0, metavar="N", help="train: crystals that judge it (default: one in ten)"
    )
    density.add_argument(
        "--electrons",
        choices=("valence", "all-electron"),
        default="valence",
        help="train: of the densities (default: valence)",
    )
    density.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")


def _density(arguments: argparse.Namespace, console: Console) -> int:
    return ACTIONS[arguments.action](arguments, console)


def _train(arguments: argparse.Namespace, console: Console) -> int:
    if not arguments.files:
        raise JaxnmrError("density train needs crystals: name folders or files of structures")
    if min(arguments.size, arguments.waves, arguments.largest_line, arguments.width, arguments.epochs) < 1:
        raise JaxnmrError("--size, --waves, --largest-line, --width and --epochs must be 1 or more")
    _prepare(arguments)
    from ..density.prior.training import Recipe
    from ..io import read_candidates
    from ..report.density_training import write_density_training
    from ..solve.density.training import samples_of, trained_prior

    folder = usable(arguments.out or Path("out") / "density_prior")
    samples, left_out = samples_of(read_candidates(arguments.files))
    for reason, count in left_out.items():
        console.print(f"  [yellow]left out:[/] {count} ({escape(reason)})")
    recipe = Recipe(
        size=arguments.size, waves=arguments.waves, lines=arguments.largest_line, width=arguments.width, epochs=arguments.epochs,
        batch=min(128, max(8, len(samples) // 8)), atoms=arguments.electrons, seed=arguments.seed,
    )  # fmt: skip
    console.print(
        f"[bold]prior of densities[/]: {len(samples)} crystals, {recipe.size} functions, {recipe.epochs} epochs"
    )
    folder.mkdir(parents=True, exist_ok=True)

    def tell(at: Epoch) -> None:
        console.print(f"{at.epoch:5d}/{at.epochs}  train {at.train:.6f}  held out {at.valid:.6f} (e/Å³)²")

    prior, log, held_out = trained_prior(samples, recipe, held_out=arguments.held_out, folder=folder, progress=tell)
    written = write_density_training(prior, log, folder, held_out=held_out, left_out=left_out, inputs=arguments.files)
    console.print(f"  prior: {escape(str(written['prior']))}, report: {escape(str(written['report']))}")
    return OK


def _predict(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.files:
        raise JaxnmrError("density predict takes no pattern: give --lines FILE, or use density refine")
    prior = _prior(arguments)
    if arguments.edge is None:
        raise JaxnmrError("density predict needs the edge of the cubic cell: --edge 4.0")
    _prepare(arguments)
    from .density_results import write_prediction

    pattern = None if arguments.lines is None else _lines(arguments, prior)
    composition = _composition(arguments)
    predicted = prior.predict(arguments.edge, pattern, composition)
    return write_prediction(arguments, console, prior, predicted, None, pattern, composition)


def _refine(arguments: argparse.Namespace, console: Console) -> int:
    if (arguments.model is None) == (arguments.prior is None):
        raise JaxnmrError("density refine starts from --model FILE.cif or from --prior PRIOR: give one of them")
    if arguments.lines is not None and arguments.files:
        raise JaxnmrError("areas of --lines and a measured pattern at once: give one of them")
    if arguments.lines is None and len(arguments.files) != 1:
        raise JaxnmrError(f"density refine takes one measured pattern; got {len(arguments.files)}")
    from .density_results import refine_measured, refine_model, write_prediction

    if arguments.model is not None:
        if arguments.lines is not None:
            raise JaxnmrError("--lines are of a cubic cell and go with --prior; from a model give the measured pattern")
        _prepare(arguments)
        return refine_model(arguments, console)
    prior = _prior(arguments)
    composition = _composition(arguments)
    _prepare(arguments)
    if arguments.edge is None:
        raise JaxnmrError("a prior needs the edge of the cubic cell: --edge 4.0")
    if arguments.lines is None:
        return refine_measured(arguments, console, prior, composition)
    pattern = _lines(arguments, prior)
    predicted = prior.predict(arguments.edge, pattern, composition)
    refined = prior.refine(predicted, pattern)
    return write_prediction(arguments, console, prior, predicted, refined, pattern, composition)


def _prior(arguments: argparse.Namespace) -> DensityPrior:
    from ..density.prior.files import load_prior

    if arguments.prior is None:
        raise JaxnmrError("no prior: give --prior FILE, as jaxnmr density train writes it")
    return load_prior(arguments.prior)


def _composition(arguments: argparse.Namespace) -> dict[str, int] | list[str] | None:
    from ..solve.direct.formula import parse_composition

    if arguments.composition and arguments.elements:
        raise JaxnmrError("--composition says the elements already: leave --elements out")
    if arguments.composition:
        return parse_composition(arguments.composition)
    return arguments.elements


def _lines(arguments: argparse.Namespace, prior: DensityPrior) -> LinePattern:
    from ..density.prior.pattern import LinePattern
    from ..io.patterns.lines import read_lines

    if not arguments.wavelength or len(arguments.wavelength) != 1 or arguments.edge is None:
        raise JaxnmrError(
            "--lines needs the wavelength of its angles and the edge of the cell: --wavelength 1.5406 --edge 4.0"
        )
    two_theta, areas, sigma = read_lines(arguments.lines)
    pattern = LinePattern.from_angles(arguments.edge, two_theta, areas, arguments.wavelength[0], sigma=sigma)
    pattern.on(prior.lines)
    return pattern


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value


ACTIONS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "train": _train,
    "predict": _predict,
    "refine": _refine,
}
