"""Training of network potentials: energies, forces and stresses of a teacher; deterministic and resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ConventionError, ConvergenceError, DataError
from ...models.networks.config import NetworkConfig
from ...models.networks.descent import Adam, Progress, read_progress, rise_and_fall, write_progress
from ...models.networks.novelty import environments_of
from .frames import Frames, Labelled, batches, labelled, steps_of
from .loss import errors, loss
from .potential import NetworkPotential
from .recipe import Epoch, Recipe

_SECONDS_BETWEEN_STATES = 120.0


_ADAM = Adam(b2=0.995)


def train(
    config: NetworkConfig,
    recipe: Recipe,
    training: Sequence[Frames],
    validation: Sequence[Frames] = (),
    *,
    start: NetworkPotential | None = None,
    state: str | Path | None = None,
    callback: Callable[[Epoch, NetworkPotential], None] | None = None,
) -> NetworkPotential:
    """Train a potential (host).

    Args:
        config: the network.
        recipe: how.
        training, validation: trajectories; those of the validation are only reported.
        start: a potential of the same configuration to go on from.
        state: file from which an interrupted training goes on, and which is written every two minutes, at the end, and
            where the training is interrupted.
        callback: told of every epoch, with the potential of the averaged weights.

    Returns:
        The potential with averaged weights.

    Raises:
        ConventionError: elements that the network does not know, or a start of another configuration.
        ConvergenceError: the loss is no number.
        DataError: no frames.
        ParseError: a state that is damaged or of another training.
    """
    if not sum(len(part) for part in training):
        raise DataError("the training has no frames")
    if start is not None and start.config != config:
        raise ConventionError("start has another network than the one that is to be trained")
    frames = labelled(training, cutoff=config.cutoff, species=config.species)
    judged = labelled(validation, cutoff=config.cutoff, species=config.species)
    model = _begun(config, training, recipe.seed) if start is None else start.replace(environments={})
    identity = _identity(config, recipe, training, start)
    # energies are told apart to a hundredth of an meV in single precision once those of the elements are taken away
    relative = model.replace(reference=np.zeros_like(model.reference))
    now, history = read_progress(state, _ADAM.begin(model.weights), identity, Epoch)
    per_epoch = steps_of(frames, recipe.batch)
    rate = rise_and_fall(recipe.learning_rate, recipe.warmup, recipe.epochs * per_epoch)
    sizes = {"energy": recipe.energy, "force": recipe.force, "stress": recipe.stress, "bend": recipe.bend}
    before, began, written = history[-1].cpu if history else 0.0, time.process_time(), time.monotonic()
    kept, done = (now, list(history)), len(history) * per_epoch
    try:
        for epoch in range(len(history), recipe.epochs):
            losses = []
            for batch in batches(frames, recipe.batch, np.random.default_rng((recipe.seed, epoch))):
                settings = {"rate": rate(done), "clip": recipe.clip, "ema": recipe.ema}
                now, value = _step(now, relative, _prepared(batch, model), settings, sizes)
                losses.append(value)
                done += 1
            mean = float(np.mean(jax.device_get(losses)))
            if not np.isfinite(mean):
                raise ConvergenceError(f"the loss of epoch {epoch + 1} is no number: lower the learning rate")
            energy = force = stress = None
            current = model.replace(weights=now.averaged)
            if judged and (epoch + 1 == recipe.epochs or (epoch + 1) % recipe.every == 0):
                energy, force, stress = root_mean_squares(current, judged, recipe.batch)
            cpu = before + time.process_time() - began
            history.append(Epoch(epoch + 1, recipe.epochs, mean, energy, force, stress, cpu))
            kept = (now, list(history))
            if callback is not None:
                callback(history[-1], current)
            if state is not None and time.monotonic() - written > _SECONDS_BETWEEN_STATES:
                write_progress(state, *kept, identity)
                written = time.monotonic()
    finally:
        # of an interrupted training the epochs that are whole
        if state is not None:
            write_progress(state, *kept, identity)
    card = dict(model.card)
    # of a training that goes on from another one, both
    card["recipes"] = [*card.get("recipes", []), dataclasses.asdict(recipe)]
    card["histories"] = [*card.get("histories", []), [list(info) for info in history]]
    return model.replace(weights=jax.tree.map(np.asarray, now.averaged)).with_card(card)


def with_novelty(
    potential: NetworkPotential, training: Sequence[Frames], held_out: Sequence[Frames], *, seed: int = 0
) -> NetworkPotential:
    """The potential with atoms of its training remembered, so that it can tell atoms unlike them (host).

    Raises:
        DataError: an element without atoms in one of the two.
    """
    known, fresh = (_scalars(potential, part) for part in (training, held_out))
    species = potential.config.species
    found = {element: environments_of(known[element], fresh[element], seed=seed) for element in species}
    single = lambda leaf: np.asarray(leaf, dtype=np.float32)
    return potential.replace(environments=jax.tree.map(single, found))


def _scalars(potential: NetworkPotential, frames: Sequence[Frames]) -> dict[str, np.ndarray]:
    config = potential.config
    parts: dict[str, list[np.ndarray]] = {element: [] for element in config.species}
    for batch in batches(labelled(frames, cutoff=config.cutoff, species=config.species), 4):
        graph = _single(batch["graph"])
        real = int(np.sum(batch["atoms"]))
        rows = np.asarray(_features(potential, graph))[:real]
        for k, element in enumerate(config.species):
            parts[element].append(rows[np.asarray(graph.nodes["species"])[:real] == k])
    empty = np.zeros((0, 1))
    return {element: np.concatenate(rows) if rows else empty for element, rows in parts.items()}


@jax.jit
def _features(potential, graph):
    return potential.scalars(graph)


def _begun(config: NetworkConfig, training: Sequence[Frames], seed: int) -> NetworkPotential:
    """Random weights; energies of the elements by least squares, the smallest ones where the composition never changes."""
    counts = np.array([[part.elements.count(e) for e in config.species] for part in training for _ in part.energies])
    energies = np.concatenate([part.energies for part in training])
    reference = np.linalg.lstsq(counts.astype(float), energies, rcond=None)[0]
    forces = np.concatenate([part.forces.ravel() for part in training])
    # half of a typical force over an Å
    return NetworkPotential.initial(config, scale=0.5 * float(np.std(forces)), reference=reference, seed=seed)


def _single(tree):
    return jax.tree.map(lambda a: np.asarray(a, dtype=np.float32) if np.asarray(a).dtype.kind == "f" else a, tree)


@partial(jax.jit, donate_argnums=0)
def _step(state: Progress, model: NetworkPotential, batch, settings, sizes):
    def of(weights):
        return loss(errors(model.replace(weights=weights), batch), batch["atoms"], **sizes)

    value, slope = jax.value_and_grad(of)(state.weights)
    return _ADAM.advance(state, slope, settings), value


def _prepared(batch, model: NetworkPotential):
    """In single precision, with the energies of the elements taken away."""
    graph = batch["graph"]
    owner = np.repeat(np.arange(len(graph.n_node)), graph.n_node)
    own = np.bincount(owner, np.asarray(model.reference)[graph.nodes["species"]], len(graph.n_node))
    # the padding is no frame
    return _single(batch | {"energy": np.where(batch["atoms"] > 0, batch["energy"] - own, 0.0)})


@jax.jit
def _sums(model, batch):
    return tuple(jnp.sum(error**2) for error in errors(model, batch))


def root_mean_squares(model: NetworkPotential, frames: Sequence[Labelled], size: int) -> tuple[float, float, float]:
    """Of energies per atom, forces and stresses times volume per atom: meV and meV/Å."""
    totals = np.zeros(3)
    relative = model.replace(reference=np.zeros_like(model.reference))
    for batch in batches(frames, size):
        totals += np.array(jax.device_get(_sums(relative, _prepared(batch, model))))
    atoms = sum(frame.atoms for frame in frames)
    energy, force, stress = 1000.0 * np.sqrt(totals / [len(frames), 3 * atoms, 9 * len(frames)])
    return float(energy), float(force), float(stress)


def _identity(config: NetworkConfig, recipe: Recipe, training: Sequence[Frames], start: NetworkPotential | None) -> str:
    digest = hashlib.sha256()
    for part in training:
        for array in (part.positions, part.energies, part.forces, part.stresses):
            digest.update(np.ascontiguousarray(array).tobytes())
    if start is not None:
        for leaf in jax.tree.leaves((start.weights, start.scale, start.reference)):
            digest.update(np.asarray(leaf).tobytes())
    return json.dumps([config.to_dict(), dataclasses.asdict(recipe), digest.hexdigest()], sort_keys=True)
