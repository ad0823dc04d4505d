"""Observables to be inverted, and banks of their simulations: files that can be extended and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from .._arguments import checked
from .._files import write_atomically
from ..errors import DataError, ParameterError, ShapeError
from ..typing import Array
from .prior import BoxPrior

MANIFEST = "bank.json"
_CHUNK = 1024
_PORTION = 64
_TOGETHER = 8


def _nothing(theta: np.ndarray) -> np.ndarray:
    return np.zeros((len(theta), 0))


@dataclass(frozen=True)
class Problem:
    """Parameters of an experiment with their prior, and a simulator of its observable.

    Attributes:
        name: name of the problem, a single word.
        prior: prior of the parameters.
        simulate: ``(key, θ (k,)) -> (numbers,)``, traceable; all randomness comes from the key.
        numbers: number of values in an observation.
        derived: names of functions of θ that an observation determines better than any single parameter, such as a
            product of two.
        derive: ``θ (n, k) -> (n, derived)``, these functions (host).
    """

    name: str
    prior: BoxPrior
    simulate: Callable[[Key[Array, ""], Float[Array, " k"]], Float[Array, " numbers"]]
    numbers: int
    derived: tuple[str, ...] = ()
    derive: Callable[[np.ndarray], np.ndarray] = _nothing


@dataclass(frozen=True)
class Bank:
    """A set of simulations.

    Attributes:
        curves: ``(n, numbers)`` observations without measurement noise, in single precision.
        parameters: ``(n, k)`` their parameters θ.
    """

    curves: np.ndarray
    parameters: np.ndarray

    def __post_init__(self) -> None:
        if self.curves.ndim != 2 or self.parameters.ndim != 2 or len(self.curves) != len(self.parameters):
            raise ShapeError(
                f"curves have the shape {self.curves.shape} and parameters {self.parameters.shape}; expected (n, numbers) and (n, k)"
            )

    def __len__(self) -> int:
        return len(self.curves)

    def part(self, first: int, last: int | None = None) -> Bank:
        """Return a range of the simulations."""
        return Bank(self.curves[first:last], self.parameters[first:last])


@checked
def simulate_bank(
    problem: Problem,
    count: int,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    parameters: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bank:
    """Make ``count`` simulations with parameters from the prior (host).

    The i-th simulation depends only on the seed and i: a longer bank begins with the shorter one, whatever the batch size.

    Args:
        problem: problem to simulate.
        count: number of simulations.
        seed: seed of parameters and of all randomness of the observable.
        folder: folder for files of 1,024 simulations; existing ones are read instead of simulated.
        parameters: ``(count, k)`` parameters instead of draws from the prior.
        progress: called with the current and the final number of simulations.

    Raises:
        DataError: the folder holds another bank, or simulations are not finite.
        ShapeError: parameters have the wrong shape.
    """
    k = len(problem.prior.parameters)
    if count < 1:
        raise ParameterError(f"a bank of {count} simulations; expected one or more")
    if parameters is not None and np.shape(parameters) != (count, k):
        raise ShapeError(f"parameters have the shape {np.shape(parameters)}; expected ({count}, {k})")
    given = None if parameters is None else np.asarray(parameters, dtype=np.float32)
    if folder is not None:
        folder = Path(folder)
        _agree(folder, problem, seed, given is not None)

    program, key = _program(problem, given is not None), jax.random.key(seed)
    curves, thetas = [], []
    for first in range(0, count, _CHUNK):
        file = None if folder is None else folder / f"{first:07d}.npz"
        wanted = min(_CHUNK, count - first)
        found = _read(file) if file is not None and file.is_file() else None
        if found is None or len(found[0]) < wanted:
            found = _some(program, key, first, wanted, k, given)
            if not np.isfinite(found[0]).all():
                bad = int(np.flatnonzero(~np.isfinite(found[0]).all(axis=1))[0])
                raise DataError(f"simulation {first + bad} of {problem.name} is not finite, at θ = {found[1][bad]}")
            if file is not None:
                temporary = file.with_suffix(".part.npz")
                np.savez(temporary, curves=found[0], parameters=found[1])
                temporary.replace(file)
        curves.append(found[0][:wanted])
        thetas.append(found[1][:wanted])
        if progress is not None:
            progress(first + wanted, count)
    return Bank(np.concatenate(curves), np.concatenate(thetas))


@lru_cache(maxsize=8)
def _program(problem: Problem, given: bool) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    @jax.jit
    def some(key: Array, indices: Array, theirs: Array) -> tuple[Array, Array]:
        def one(of: tuple[Array, Array]) -> tuple[Array, Array]:
            index, theta = of
            drawn, noise = jax.random.split(jax.random.fold_in(key, index))
            theta = theta if given else problem.prior.draw(drawn)
            return problem.simulate(noise, theta).astype(jnp.float32), theta

        return jax.lax.map(one, (indices, theirs), batch_size=_TOGETHER)

    return some


def _some(
    program: Callable, key: Array, first: int, wanted: int, k: int, given: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate in batches of a fixed size, compiled once."""
    curves, thetas = [], []
    for begin in range(first, first + wanted, _PORTION):
        indices = begin + np.arange(_PORTION)
        theirs = np.zeros((_PORTION, k), np.float32) if given is None else given[np.minimum(indices, len(given) - 1)]
        made, theta = program(key, jnp.asarray(indices), jnp.asarray(theirs))
        curves.append(np.asarray(made))
        thetas.append(np.asarray(theta))
    return np.concatenate(curves)[:wanted], np.concatenate(thetas)[:wanted]


def _agree(folder: Path, problem: Problem, seed: int, given: bool) -> None:
    """Make the folder, or check that it holds this bank."""
    said = {
        "problem": problem.name,
        "numbers": problem.numbers,
        "prior": problem.prior.to_dict(),
        "seed": seed,
        "given": given,
    }
    file = folder / MANIFEST
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        if there != said:
            other = sorted(key for key in said if there.get(key) != said[key])
            raise DataError(f"{folder} holds another bank ({', '.join(other)} differ): give another folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(said, indent=1))


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(file) as read:
            return read["curves"], read["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file} is damaged: remove it, and it is simulated again ({error})") from error
