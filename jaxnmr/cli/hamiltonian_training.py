"""Training of networks of Kohn-Sham matrices and their errors, as ``jaxnmr hamiltonian train`` and ``evaluate`` print them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from .._tables import plain
from ..electronic import errors_of, with_novelty
from ..electronic import evaluate as evaluated
from ..electronic import train as trained
from ..electronic.config import HamiltonianConfig
from ..electronic.data import HamiltonianData, require_alike
from ..electronic.evaluation import HamiltonianErrors
from ..electronic.model import HamiltonianModel
from ..electronic.recipe import EpochOfHamiltonian, HamiltonianRecipe
from ..electronic.scf.ridge import fit_ridge, predict_all
from ..errors import JaxnmrError
from ..report.hamiltonians import ERROR_COLUMNS, error_rows, write_hamiltonian_errors
from .codes import INTERRUPTED, OK
from .folders import usable
from .hamiltonian_data import best_ridge, parts_of, read_data


def train(arguments: argparse.Namespace, console: Console) -> int:
    """Train a network on files of data and judge it on the first file's tests, beside ridge regression; the exit code."""
    paths = [Path(file) for file in arguments.files]
    data = [read_data(path) for path in paths]
    parts = [parts_of(one, arguments, ("train", "test")) for one in data]
    training, tests = [part[0] for part in parts], [part[1] for part in parts]
    elements = tuple(sorted({element for one in data for element in one.orbitals.elements}))
    functional = data[0].functional
    if not functional:
        raise JaxnmrError(
            f"{paths[0]}: its metadata do not say which functional the data are of; make them by jaxnmr hamiltonian data"
        )
    config = HamiltonianConfig(elements=elements, basis=data[0].basis, functional=functional)
    recipe = HamiltonianRecipe(
        epochs=arguments.epochs, energies=arguments.energies, occupied=arguments.occupied, seed=arguments.seed
    )
    folder = usable(arguments.out or Path("out") / f"{paths[0].stem}-network")
    folder.mkdir(parents=True, exist_ok=True)
    console.print(
        f"[bold]{escape(', '.join(path.stem for path in paths))}[/]: {sum(map(len, training))} geometries for training, "
        f"{sum(map(len, tests))} for tests, {arguments.epochs} epochs"
    )

    def say(info: EpochOfHamiltonian) -> None:
        scores = "" if info.h_mae is None else f"  test H {info.h_mae:8.3f} meV  occupied {info.eps_mae:8.3f} meV"
        console.print(f"{info.epoch:5d}/{info.epochs}  loss {info.loss:9.5f}{scores}  {info.cpu:8.0f} s")

    try:
        model = trained(config, recipe, training, tests, state=folder / "state.safetensors", callback=say)
    except KeyboardInterrupt:
        console.print(
            f"[bold red]interrupted[/]: the same command goes on from {escape(str(folder / 'state.safetensors'))}"
        )
        return INTERRUPTED
    model = with_novelty(model, training, tests)
    errors, ladder = _judged(model, training[0], tests[0], console)
    model = model.replace(card={**model.card, "scores": errors["network"]._asdict()})
    file = model.save(folder / "model.safetensors")
    title = f"Kohn-Sham matrices of {paths[0].stem}"
    written = write_hamiltonian_errors(
        errors, ladder, tests[0].pairs, folder, title, kind="hamiltonian-training", inputs=paths,
        more={"train": arguments.train, "test": arguments.test, "history": [list(info) for info in model.card["history"]]},
    )  # fmt: skip
    console.print(f"  model:  {escape(str(file))}")
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def evaluate(arguments: argparse.Namespace, console: Console) -> int:
    """Judge a network, ridge regressions and the start on the tests of a data file; the exit code."""
    if len(arguments.files) != 1:
        raise JaxnmrError(
            f"jaxnmr hamiltonian evaluate takes one data file, not {len(arguments.files)}; the model is named by --model"
        )
    if arguments.model is None and arguments.no_ridge:
        raise JaxnmrError("nothing to judge: name a model by --model, or leave --no-ridge out")
    path = Path(arguments.files[0])
    training, test = parts_of(read_data(path), arguments, ("train", "test"))
    model = None if arguments.model is None else HamiltonianModel.load(arguments.model)
    if model is not None:
        require_alike(
            test, basis=model.config.basis, functional=model.config.functional, start=model.config.start or "minao"
        )
    errors, ladder = _judged(model, None if arguments.no_ridge else training, test, console)
    folder = usable(arguments.out or Path("out") / f"{path.stem}-errors")
    inputs = [path, *([arguments.model] if arguments.model else [])]
    written = write_hamiltonian_errors(
        errors, ladder, test.pairs, folder, f"Errors of Kohn-Sham matrices: {path.stem}", inputs=inputs,
        more={"train": arguments.train, "test": arguments.test},
    )  # fmt: skip
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def _judged(
    model: HamiltonianModel | None, training: HamiltonianData | None, test: HamiltonianData, console: Console
) -> tuple[dict[str, HamiltonianErrors], dict[str, np.ndarray]]:  # fmt: skip
    """Errors by name, and orbital energies of the first test geometry."""
    errors, first = {}, {"calculated": test.h[0]}
    if model is not None:
        errors["network"] = evaluated(model, test)
        first["network"] = model.hamiltonian(test.numbers, test.xyz[0], test.h0[0] if model.config.start else None)
    if training is not None:
        best = best_ridge(training, console)
        for ridge in (best, fit_ridge(training, degree=1), fit_ridge(training, delta=False, degree=best.degree)):
            if ridge.name not in errors:
                predicted = predict_all(ridge, test)
                errors[ridge.name] = errors_of(predicted, test)
                if ridge is best:
                    first["ridge"] = predicted[0]
    errors["minao Fock"] = errors_of(test.h0, test)
    console.print(plain(ERROR_COLUMNS, error_rows(errors)))
    return errors, {name: _energies(h, test.s[0]) for name, h in first.items()}


def _energies(h: np.ndarray, s: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(s)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return np.linalg.eigvalsh(root @ h @ root)
