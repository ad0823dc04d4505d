"""The command ``jaxnmr hamiltonian``: data for learned Kohn-Sham matrices, training, errors, and what they save."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..errors import DataError, JaxnmrError
from .codes import INTERRUPTED, NOT_CONVERGED, OK
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    import numpy as np

    from ..electronic.scf.calculation import Settings
    from ..electronic.scf.ridge import RidgeModel
    from ..electronic.scf.starts import Start

# what is allowed of novelty and of shapes beyond the training; 1 is where a hundredth of what was held out lies
_NOVEL = 3.0
# those of jaxnmr.electronic.scf.starts; all are compared with minao
_STARTS = ("minao", "SAP", "Hückel", "hcore", "minao Fock")


def add_hamiltonian(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    sub = command(
        "hamiltonian", _hamiltonian,
        "make data for learned Kohn-Sham matrices of molecules, train on them, judge models, and start self-consistent fields from them",
        "jaxnmr hamiltonian data ethanol --count 650 --out out/ethanol; jaxnmr hamiltonian train out/ethanol.npz",
    )  # fmt: skip
    sub.add_argument("action", choices=tuple(ACTIONS), help="what to do")
    sub.add_argument(
        "files", nargs="+", metavar="FILE",
        help="data: the name of a molecule or an xyz file; train: data files; evaluate, scf: a data file (scf: or an xyz file)",
    )  # fmt: skip
    data = sub.add_argument_group("data")
    data.add_argument("--count", type=int, default=600, metavar="N", help="geometries (default: 600)")
    data.add_argument(
        "--sampling", choices=("modes", "quantum", "md"), default="modes",
        help="classical or quantum normal modes, or short trajectories (default: modes)",
    )  # fmt: skip
    data.add_argument(
        "--temperatures",
        type=float,
        nargs=2,
        default=(300.0, 1000.0),
        metavar=("LOW", "HIGH"),
        help="kelvin (default: 300 1000)",
    )
    data.add_argument("--functional", default="pbe", help="in the words of pyscf (default: pbe)")
    data.add_argument("--basis", default="def2-svp", help="in the words of pyscf (default: def2-svp)")
    split = sub.add_argument_group(
        "train, evaluate, scf: the first geometries of a file are for training, the next for tests"
    )
    split.add_argument("--train", type=int, default=500, metavar="N", help="default: 500")
    split.add_argument("--test", type=int, default=100, metavar="N", help="default: 100")
    split.add_argument("--model", type=Path, metavar="MODEL.safetensors", help="evaluate, scf: a trained network")
    split.add_argument("--epochs", type=int, default=200, help="train: passes over the data (default: 200)")
    split.add_argument(
        "--energies", type=float, default=0.0, help="train: weight of orbital energies in the loss (default: 0)"
    )
    split.add_argument(
        "--occupied", type=float, default=0.0, help="train: weight of the projector in the loss (default: 0)"
    )
    split.add_argument(
        "--no-ridge", action="store_true", help="evaluate, scf: without the regression in the molecular frame"
    )
    split.add_argument(
        "--geometries", type=int, default=50, metavar="N", help="scf: those after the tests (default: 50)"
    )
    split.add_argument(
        "--solver", choices=("DIIS", "Newton"), action="append", help="scf: may be given twice (default: both)"
    )
    split.add_argument(
        "--start", choices=_STARTS, action="append",
        help="scf: besides minao, a regression and the network; may be given several times (default: all)",
    )  # fmt: skip
    split.add_argument(
        "--stability", type=int, default=0, metavar="N", help="scf: test every Nth geometry's solutions (default: none)"
    )
    split.add_argument("--beyond", action="store_true", help="scf: go on where a geometry is outside the training")
    sub.add_argument("--seed", type=int, default=0, help="of the data or the training (default: 0)")


def _hamiltonian(arguments: argparse.Namespace, console: Console) -> int:
    for name in ("count", "train", "test", "geometries", "epochs"):
        if getattr(arguments, name) < 1:
            raise JaxnmrError(f"--{name} is {getattr(arguments, name)}; expected at least 1")
    return ACTIONS[arguments.action](arguments, console)


def _data(arguments: argparse.Namespace, console: Console) -> int:
    from ..electronic.data import HamiltonianData
    from ..electronic.scf.calculation import Settings
    from ..electronic.scf.generate import Plan, collect, generate
    from ..electronic.scf.molecules import known, read_xyz
    from ..report.hamiltonians import write_hamiltonian_data

    given = _only(arguments, "molecule")
    low, high = arguments.temperatures
    if not 0 < low <= high:
        raise JaxnmrError(
            f"--temperatures are {low:g} and {high:g}; expected two of which the first is positive and not the higher"
        )
    if given.endswith(".xyz"):
        numbers, frames = read_xyz(Path(given))
        name, start = Path(given).stem, frames[0]
    else:
        name, (numbers, start) = given, known(given)
    folder = usable(arguments.out or Path("out") / name)
    settings = Settings(arguments.functional, arguments.basis)
    plan = Plan(
        name,
        numbers,
        tuple((float(x), float(y), float(z)) for x, y, z in start),
        arguments.sampling,
        (low, high),
        arguments.seed,
        settings=settings,
    )
    console.print(f"[bold]{escape(name)}[/]: {arguments.count} geometries, {settings.functional}/{settings.basis}")

    def say(index: int, found: dict[str, Any]) -> None:
        stable = ", stable" if "stable" in found else ""
        console.print(
            f"{index + 1:6d}/{arguments.count}  E {float(found['e_tot']):.6f} Eh  {float(found['cpu']):.1f} s{stable}"
        )

    try:
        generate(plan, arguments.count, folder, say)
    except KeyboardInterrupt:
        console.print("[bold red]interrupted[/]: the same command goes on from the last geometry")
        return INTERRUPTED
    file = collect(folder)
    written = write_hamiltonian_data(HamiltonianData.read(file), file, folder, name)
    console.print(f"  data:   {escape(str(file))}")
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def _train(arguments: argparse.Namespace, console: Console) -> int:
    _prepare(arguments)
    from .hamiltonian_training import train

    return train(arguments, console)


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    _prepare(arguments)
    from .hamiltonian_training import evaluate

    return evaluate(arguments, console)


def _scf(arguments: argparse.Namespace, console: Console) -> int:
    _prepare(arguments)
    from ..electronic.scf.calculation import Settings
    from ..electronic.scf.molecules import read_xyz
    from ..electronic.scf.packages import pyscf
    from ..electronic.scf.restart import SOLVERS, Trial, compare
    from ..electronic.scf.starts import STARTS, settings_of
    from ..report.hamiltonians import write_comparison
    from .hamiltonian_data import best_ridge, parts_of, read_data

    pyscf()
    path = Path(_only(arguments, "file"))
    wanted = ("minao", *(arguments.start or STARTS))
    starts: dict[str, Start] = {name: start for name, start in STARTS.items() if name in wanted}
    energies = None
    if path.suffix == ".xyz":
        numbers, xyz = read_xyz(path)
        xyz = xyz[: arguments.geometries]
        settings = Settings()
    else:
        data = read_data(path)
        training, _, asked = parts_of(data, arguments, ("train", "test", "geometries"))
        numbers, xyz, energies, settings = (
            tuple(int(z) for z in data.numbers),
            asked.xyz,
            asked.e_tot,
            settings_of(data),
        )
        if not arguments.no_ridge:
            model = best_ridge(training, console)
            _inside(arguments, console, lambda: model.require_inside(xyz))
            starts |= _ridge_start(model)
    if arguments.model is not None:
        starts |= _network_start(arguments, numbers, xyz, settings, console)
    folder = usable(arguments.out or Path("out") / f"{path.stem}-scf")
    solvers = tuple(dict.fromkeys(arguments.solver or SOLVERS))
    console.print(f"{len(xyz)} geometries, from {', '.join(starts)}, by {' and '.join(solvers)}")

    def say(trial: Trial) -> None:
        console.print(
            f"{trial.geometry + 1:4d}/{len(xyz)}  {trial.solver:6s} {trial.start:24s} {trial.macro:3d} macro  {trial.fock:3d} Fock"
            f"  {trial.response:3d} response  {trial.cpu:6.2f} s"
            + ("" if trial.converged else "  [red]not converged[/]")
        )

    found = compare(
        numbers,
        xyz,
        starts,
        solvers=solvers,
        settings=settings,
        energies=energies,
        stability_every=arguments.stability,
        callback=say,
    )
    done = len({trial.geometry for trial in found.trials})
    if done < len(xyz):
        console.print(f"[bold red]interrupted[/]: the table is of the first {done} geometries")
    inputs = [path, *([arguments.model] if arguments.model else [])]
    written = write_comparison(
        found,
        folder,
        f"Starts of self-consistent fields: {path.stem}",
        inputs=inputs,
        more={"settings": settings.as_dict()},
    )
    console.print(escape(found.table()))
    console.print(f"  report: {escape(str(written['report']))}")
    if done < len(xyz):
        return INTERRUPTED
    return OK if any(trial.state == "ground" for trial in found.trials) else NOT_CONVERGED


def _ridge_start(model: RidgeModel) -> dict[str, Start]:
    from ..electronic.scf.starts import Predicted

    return {model.name: Predicted(model, model.delta)}


def _network_start(
    arguments: argparse.Namespace, numbers: tuple[int, ...], xyz: np.ndarray, settings: Settings, console: Console
) -> dict[str, Start]:  # fmt: skip
    import numpy as np

    from ..electronic.model import HamiltonianModel
    from ..electronic.scf.starts import model_start

    model = HamiltonianModel.load(arguments.model)
    start = model_start(model, settings)

    def check() -> None:
        if not model.environments:
            return
        novel = model.novelty(numbers, xyz)
        if novel.max() > _NOVEL:
            geometry, atom = (int(k) for k in divmod(int(novel.argmax()), novel.shape[-1]))
            raise DataError(
                f"geometry {geometry}, atom {atom + 1}: unlike all of the training of {arguments.model.name} (novelty {novel.max():.1f}, usual is "
                f"up to 1): train with geometries of this kind"
            )
        beyond = np.nan_to_num(model.beyond(numbers, xyz)) if model.ranges else np.zeros(1)
        if beyond.max() > _NOVEL:
            raise DataError(
                f"geometry {int(beyond.argmax())}: distances between its atoms are {beyond.max():.1f} times as far beyond those of the training of "
                f"{arguments.model.name} as is usual: train with geometries of this kind"
            )

    _inside(arguments, console, check)
    # compiled before anything is timed
    model.hamiltonian(numbers, xyz[0], _nothing(numbers, settings) if start.delta else None)
    return {"network": start}


def _nothing(numbers: tuple[int, ...], settings: Settings) -> np.ndarray:
    import numpy as np

    from ..electronic.basis import Orbitals

    size = Orbitals.of(numbers, settings.basis).size
    return np.zeros((size, size))


def _inside(arguments: argparse.Namespace, console: Console, check: Callable[[], None]) -> None:
    """Refuse geometries outside a training, or only say so where the user wants to go on."""
    try:
        check()
    except DataError as err:
        if not arguments.beyond:
            raise DataError(f"{err}; or go on with --beyond") from err
        console.print(f"  [yellow]warning:[/] {escape(str(err))}")


def _only(arguments: argparse.Namespace, what: str) -> str:
    if len(arguments.files) != 1:
        raise JaxnmrError(f"jaxnmr hamiltonian {arguments.action} takes one {what}, not {len(arguments.files)}")
    return arguments.files[0]


ACTIONS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "data": _data,
    "train": _train,
    "evaluate": _evaluate,
    "scf": _scf,
}
