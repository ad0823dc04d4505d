"""Training of Hamiltonian models: resumable, one compiled program for each composition."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import ConventionError, DataError, ParseError
from ..models.networks.descent import Adam, Progress, read_progress, rise_and_fall, write_progress
from .config import HamiltonianConfig
from .data import HamiltonianData, require_alike, require_own_functions
from .evaluation import evaluate
from .losses import Labels, labels_of, loss
from .model import HamiltonianModel
from .recipe import EpochOfHamiltonian, HamiltonianRecipe

_ADAM = Adam(b2=0.99)

_SECONDS_BETWEEN_STATES = 120.0


def train(
    config: HamiltonianConfig,
    recipe: HamiltonianRecipe,
    training: Sequence[HamiltonianData],
    validation: Sequence[HamiltonianData] = (),
    *,
    start: HamiltonianModel | None = None,
    state: str | Path | None = None,
    callback: Callable[[EpochOfHamiltonian], None] | None = None,
) -> HamiltonianModel:
    """Train a model (host).

    Args:
        config: what is trained.
        recipe: how.
        training, validation: labels of any number of molecules; those of the validation are only reported.
        start: a model to go on from, of the same configuration.
        state: file from which an interrupted training goes on, and which is written every two minutes, at the end, and
            where the training is interrupted.
        callback: told of every epoch.

    Returns:
        The model with averaged weights; its card holds the recipe, the data and the history.

    Raises:
        ConventionError: labels of another basis, functional or start than those of the configuration.
        DataError: no labels, functions in another order than this package's, or a loss that is not finite.
        ParseError: a state that is damaged or of another training.
    """
    parts = [part.sorted_by_element() for part in training]
    if not parts or not all(len(part) for part in parts):
        raise DataError("the training has no labels")
    for part in (*parts, *validation):
        require_alike(part, basis=config.basis, functional=config.functional, start=config.start)
        require_own_functions(part)
    if start is not None and start.config != config:
        raise ConventionError("start has another configuration than the one that is to be trained")
    model = HamiltonianModel.initial(config, parts, seed=recipe.seed) if start is None else start
    with_orbitals = bool(recipe.energies or recipe.occupied)
    labels = [labels_of(part, whole=not config.start, orbitals=with_orbitals) for part in parts]
    sizes = [min(recipe.batch, len(part)) for part in parts]
    steps = recipe.epochs * sum(-(-len(part) // size) for part, size in zip(parts, sizes, strict=True))
    rate = rise_and_fall(recipe.learning_rate, recipe.warmup, steps)
    now = _ADAM.begin(model.weights)
    identity = _identity(config, recipe, parts, start)
    now, history = read_progress(state, now, identity, EpochOfHamiltonian)
    done = int(now.steps)
    before, began, written = history[-1].cpu if history else 0.0, time.process_time(), time.monotonic()
    kept = (now, list(history))
    try:
        for epoch in range(len(history), recipe.epochs):
            late = epoch >= recipe.orbitals_from * recipe.epochs
            weights = {"energies": recipe.energies if late else 0.0, "occupied": recipe.occupied if late else 0.0}
            losses = []
            for which, rows in _batches(sizes, parts, np.random.default_rng((recipe.seed, epoch))):
                elements = parts[which].orbitals.elements
                settings = {"rate": rate(done), "clip": recipe.clip, "ema": recipe.ema}
                now, value = _step(now, model, labels[which].rows(rows), settings, elements=elements, **weights)
                done += 1
                losses.append(value)
            mean = float(np.mean(jax.device_get(losses)))
            if not np.isfinite(mean):
                raise DataError(f"the loss of epoch {epoch + 1} is not finite: take a smaller learning rate or clip")
            h_mae = eps_mae = None
            last = epoch + 1 == recipe.epochs
            if validation and (last or (epoch + 1) % recipe.every == 0):
                current = model.replace(weights=now.averaged)
                errors = [evaluate(current, part) for part in validation]
                h_mae, eps_mae = (float(np.mean([getattr(e, name) for e in errors])) for name in ("h_mae", "eps_mae"))
            history.append(
                EpochOfHamiltonian(epoch + 1, recipe.epochs, mean, h_mae, eps_mae, before + time.process_time() - began)
            )
            kept = (now, list(history))
            if callback is not None:
                callback(history[-1])
            if state is not None and time.monotonic() - written > _SECONDS_BETWEEN_STATES:
                write_progress(state, *kept, identity)
                written = time.monotonic()
    finally:
        # of an interrupted training the epochs that are whole
        if state is not None:
            write_progress(state, *kept, identity)
    card = {
        "recipe": dataclasses.asdict(recipe),
        "training": [_described(part) for part in training],
        "validation": [_described(part) for part in validation],
        "history": [list(info) for info in history],
    }
    return model.replace(weights=now.averaged, card=card)


def read_trained(
    state: str | Path, config: HamiltonianConfig, recipe: HamiltonianRecipe, training: Sequence[HamiltonianData]
) -> tuple[HamiltonianModel, list[EpochOfHamiltonian]]:
    """The model of a training that is not finished, with averaged weights, and the history so far (host).

    Raises:
        ParseError: no state, a damaged one, or one of another training.
    """
    parts = [part.sorted_by_element() for part in training]
    model = HamiltonianModel.initial(config, parts, seed=recipe.seed)
    if not Path(state).is_file():
        raise ParseError(state, None, "no such file; expected the state of a training")
    found, history = read_progress(
        state, _ADAM.begin(model.weights), _identity(config, recipe, parts, None), EpochOfHamiltonian
    )
    return model.replace(weights=found.averaged), history


@partial(jax.jit, static_argnames=("elements", "energies", "occupied"))
def _step(
    state: Progress,
    model: HamiltonianModel,
    labels: Labels,
    settings: dict[str, float],
    *,
    elements: tuple[str, ...],
    energies: float,
    occupied: float,
):
    def of(weights):
        found = model.replace(weights=weights).correction(labels.xyz, elements)
        return loss(found, labels, energies=energies, occupied=occupied)

    value, slope = jax.value_and_grad(of)(state.weights)
    return _ADAM.advance(state, slope, settings), value


def _batches(sizes, parts, generator) -> list[tuple[int, np.ndarray]]:
    """``(molecule, geometries)`` of an epoch: all of them, the last batch filled up with some that were there before."""
    out = []
    for which, (size, part) in enumerate(zip(sizes, parts, strict=True)):
        order = generator.permutation(len(part))
        order = np.concatenate([order, order[: -len(order) % size]])
        out += [(which, rows) for rows in order.reshape(-1, size)]
    return [out[k] for k in generator.permutation(len(out))]


def _described(data: HamiltonianData) -> dict[str, Any]:
    return {"elements": "".join(data.orbitals.elements), "geometries": len(data), "metadata": dict(data.metadata)}


def _identity(config, recipe, parts, start) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.xyz.tobytes() + part.h.tobytes())
    if start is not None:
        for leaf in jax.tree.leaves(start.weights):
            digest.update(np.asarray(leaf).tobytes())
    entries = [config.to_dict(), dataclasses.asdict(recipe), digest.hexdigest()]
    return json.dumps(entries, sort_keys=True)
