"""Data files of Kohn-Sham matrices for ``jaxnmr hamiltonian``, their parts, and the regression that is fitted to them."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from ..electronic.data import HamiltonianData
from ..electronic.evaluation import errors_of
from ..electronic.scf.ridge import RidgeModel, fit_ridge, predict_all
from ..errors import DataError, ParseError


def best_ridge(training: HamiltonianData, console: Console) -> RidgeModel:
    """The regression of the degree that does best on a fifth of the training, fitted to all of it."""
    cut = len(training) - max(1, len(training) // 5)
    first, rest = training.subset(slice(0, cut)), training.subset(slice(cut, None))
    scores = {degree: errors_of(predict_all(fit_ridge(first, degree=degree), rest), rest).h_mae for degree in (1, 2, 3)}
    degree = min(scores, key=scores.__getitem__)
    console.print(
        "ridge regression, H MAE on held-out training geometries: "
        + ", ".join(f"degree {k} {v:.2f} meV" for k, v in scores.items())
    )
    return fit_ridge(training, degree=degree)


def read_data(path: Path) -> HamiltonianData:
    """Data of a file.

    Raises:
        ParseError: no such file, or one of another kind.
    """

    if not path.is_file():
        raise ParseError(path, None, "no such file; jaxnmr hamiltonian data makes data files")
    return HamiltonianData.read(path)


def parts_of(data: HamiltonianData, arguments: argparse.Namespace, names: tuple[str, ...]) -> list[HamiltonianData]:
    """Parts of the sizes that were asked for, one after the other; geometries were drawn at random, and those of a trajectory stay together.

    Raises:
        DataError: there are not so many geometries.
    """
    counts = [getattr(arguments, name) for name in names]
    if sum(counts) > len(data):
        asked = ", ".join(f"--{name} {count}" for name, count in zip(names, counts, strict=True))
        raise DataError(f"{asked} are {sum(counts)} geometries, there are {len(data)}: ask for fewer or make more")
    ends = [sum(counts[:k]) for k in range(len(counts) + 1)]
    return [data.subset(slice(a, b)) for a, b in pairwise(ends)]
