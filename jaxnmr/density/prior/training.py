"""Training of a prior: a basis, then a network with fresh noise and randomly masked compositions; resumable (host)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ...errors import DataError, ParameterError
from ..shapes import AtomKind
from .basis import Basis, principal_basis
from .data import LineNoise, LineSet, fractions_of
from .network import CoefficientNetwork, Normal, features
from .waves import Sample, WaveSet, in_batches

STATE, LOG = "training.safetensors", "log.jsonl"
_STATE_KEY = "jaxnmr-density-prior-training"
_NOISE = LineNoise()
# smallest weight of the newest step in the running mean of the network weights
_FORGET = 0.002
# weight of the covariance loss, and the fraction (one in so many) of crystals it is evaluated for: it costs more than
# the loss of the mean
_SPREAD_WEIGHT, _ONE_IN = 0.02, 4


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of a prior.

    Attributes:
        size: number of functions of the basis.
        waves, lines: largest ``h² + k² + l²`` of the density and of the pattern.
        rank, width, depth: size of the network.
        epochs, batch, rate, decay: settings of AdamW, with a cosine schedule of the learning rate.
        elements_only, no_composition, no_pattern: fractions of the training examples with such reduced input.
        noise: noise of the lines.
        atoms: electrons of the densities.
        basis_crystals: number of crystals used for the basis.
        seed: random seed.
    """

    size: int = 240
    waves: int = 196
    lines: int = 44
    rank: int = 24
    width: int = 384
    depth: int = 3
    epochs: int = 60
    batch: int = 128
    rate: float = 2e-3
    decay: float = 1e-3
    elements_only: float = 0.15
    no_composition: float = 0.15
    no_pattern: float = 0.1
    noise: LineNoise = _NOISE
    atoms: AtomKind = "valence"
    basis_crystals: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.elements_only + self.no_composition + self.no_pattern >= 1.0:
            raise ParameterError(
                "nothing is left of what is seen whole: elements_only, no_composition, no_pattern sum to 1"
            )
        if min(self.size, self.epochs, self.batch, self.width) < 1:
            raise ParameterError("size, epochs, batch and width are whole numbers above 0")


class Epoch(NamedTuple):
    """Losses of an epoch for training and held-out crystals: mean squared errors of coefficients, ``(e/Å³)²``."""

    epoch: int
    epochs: int
    train: float
    valid: float


class Prepared(NamedTuple):
    """Crystals as input of the network.

    Attributes:
        areas: ``(n, lines)`` noise-free areas.
        composition: ``(n, elements)`` atom fractions.
        edge: ``(n,)`` Å, the cube root of the volume.
        coefficients: ``(n, K)``.
    """

    areas: np.ndarray
    composition: np.ndarray
    edge: np.ndarray
    coefficients: np.ndarray


class Trained(NamedTuple):
    """A trained network with its basis and normalisation; see `DensityPrior`."""

    basis: Basis
    network: CoefficientNetwork
    variables: Any
    centre: np.ndarray
    spread: np.ndarray
    unit: float
    elements: tuple[str, ...]
    log: tuple[Epoch, ...]


def prepare(
    samples: Sequence[Sample], basis: Basis, lines: LineSet, elements: Sequence[str], atoms: AtomKind = "valence"
) -> Prepared:
    """Calculate lines, fractions and coefficients of crystals, without keeping their densities."""
    areas, coefficients = [], []
    # in batches: one by one, the functions would be read from memory for each crystal
    for vectors in in_batches(samples, basis.waves, atoms=atoms):
        areas.append(lines.areas(vectors, basis.waves))
        coefficients.append(basis.coefficients(vectors))
    edge = np.array([np.prod(np.asarray(s.cell[:3])) ** (1.0 / 3.0) for s in samples])
    return Prepared(np.concatenate(areas), fractions_of(samples, elements), edge, np.concatenate(coefficients))


def train(
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    *,
    basis: Basis | None = None,
    folder: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    stop_after: int | None = None,
) -> Trained:
    """Train on crystals, each in its standard pose.

    Args:
        samples, held_out: training crystals, and held-out crystals that select the best epoch.
        recipe: settings.
        basis: a basis made before; by default principal components of the samples.
        folder: folder for checkpoints after every epoch; an existing one is resumed, with the same results as an
            uninterrupted training.
        progress: callback after each epoch.
        stop_after: number of epochs after which to stop early.

    Raises:
        DataError: the training diverges, or the folder holds a different one.
    """
    rng = np.random.default_rng(recipe.seed)
    waves, lines = WaveSet.within(recipe.waves), LineSet.within(recipe.lines)
    if basis is None:
        chosen = [samples[k] for k in rng.permutation(len(samples))[: recipe.basis_crystals]]
        basis = principal_basis(in_batches(chosen, waves, atoms=recipe.atoms), waves, recipe.size)
    elements = tuple(sorted({e for sample in samples for e in sample.elements}))
    data = prepare(samples, basis, lines, elements, recipe.atoms)
    known = [s for s in held_out if set(s.elements) <= set(elements)]
    valid = prepare(known, basis, lines, elements, recipe.atoms)
    return fit_network(data, valid, basis, elements, recipe, folder=folder, progress=progress, stop_after=stop_after)


def fit_network(
    data: Prepared,
    valid: Prepared,
    basis: Basis,
    elements: tuple[str, ...],
    recipe: Recipe,
    *,
    folder: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    stop_after: int | None = None,
) -> Trained:
    """Train only the network; arguments as of :func:`train`."""
    network = CoefficientNetwork(basis.size, min(recipe.rank, basis.size), recipe.width, recipe.depth)
    unit = float(basis.scale[0]) / 4.0
    areas, composition, edge, target = (
        jnp.asarray(a, jnp.float32) for a in data._replace(coefficients=data.coefficients / unit)
    )
    signs = jnp.asarray(basis.poses, jnp.float32)
    given = jnp.ones(len(edge), jnp.float32)
    plain = np.asarray(features(areas, given, composition, np.zeros(len(edge), np.int32), edge))
    centre, spread = plain.mean(axis=0), plain.std(axis=0) + 1e-3
    # flags and masked values must be distinguishable from rare ones
    spread = np.maximum(spread, 0.05)
    per_epoch = max(len(edge) // recipe.batch, 1)
    batch = min(recipe.batch, len(edge))
    optimiser = optax.chain(
        optax.clip_by_global_norm(20.0),
        optax.adamw(optax.cosine_decay_schedule(recipe.rate, recipe.epochs * per_epoch), weight_decay=recipe.decay),
    )
    shares = np.cumsum([recipe.no_pattern, recipe.elements_only, recipe.no_composition])
    floor, relative = recipe.noise.floor, recipe.noise.relative

    def error(found: Normal, c: Any) -> tuple[Any, Any]:
        """Return the squared distance of the nearest pose, and that pose."""
        posed = signs[:, None] * c
        distance = ((found.mean - posed) ** 2).sum(-1)
        nearest = distance.argmin(0)
        return distance.min(0), jnp.take_along_axis(posed, nearest[None, :, None], axis=0)[0]

    def loss(variables: Any, x: Any, c: Any) -> Any:
        found: Any = network.apply(variables, x)
        distance, posed = error(found, c)
        few = slice(0, max(len(c) // _ONE_IN, 1))
        fixed = Normal(jax.lax.stop_gradient(found.mean[few]), found.low[few], found.own[few], found.directions)
        return distance.mean() + _SPREAD_WEIGHT * fixed.negative_log_likelihood(posed[few]).mean(), distance.mean()

    def seen(indices: Any, key: Any) -> Any:
        noise_key, kind_key = jax.random.split(key)
        clean = areas[indices]
        sigma = jnp.sqrt((relative * clean) ** 2 + (floor * clean.max(-1, keepdims=True)) ** 2)
        noisy = jnp.maximum(clean + sigma * jax.random.normal(noise_key, clean.shape), 0.0)
        u = jax.random.uniform(kind_key, indices.shape)
        pattern = (u >= shares[0]).astype(jnp.float32)
        known = jnp.where((u >= shares[0]) & (u < shares[1]), 1, jnp.where((u >= shares[1]) & (u < shares[2]), 2, 0))
        return (features(noisy, pattern, composition[indices], known, edge[indices]) - centre) / spread

    @jax.jit
    def epoch_of(state: Any, order: Any, keys: Any, steps: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            (variables, memory, mean), (indices, key, count) = carry, now
            (_, value), slope = jax.value_and_grad(loss, has_aux=True)(variables, seen(indices, key), target[indices])
            change, memory = optimiser.update(slope, memory, variables)
            variables = optax.apply_updates(variables, change)
            forget = jnp.maximum(_FORGET, 4.0 / (4.0 + count))
            mean = jax.tree.map(lambda a, b: a + (b - a) * forget, mean, variables)
            return (variables, memory, mean), value

        return jax.lax.scan(step, state, (order, keys, steps))

    noisy = recipe.noise.applied(valid.areas, np.random.default_rng((recipe.seed, 3)))
    seen_all = (np.ones(len(noisy), np.float32), valid.composition.astype(np.float32), np.zeros(len(noisy), np.int32))
    x_valid = (
        np.asarray(features(noisy.astype(np.float32), *seen_all, valid.edge.astype(np.float32))) - centre
    ) / spread
    x_valid, c_valid = jnp.asarray(x_valid, jnp.float32), jnp.asarray(valid.coefficients / unit, jnp.float32)
    judged = jax.jit(lambda variables: error(network.apply(variables, x_valid), c_valid)[0].mean())  # type: ignore[arg-type]
    variables = jax.jit(network.init)(jax.random.key(recipe.seed), x_valid[:2])
    state = (variables, jax.jit(optimiser.init)(variables), variables)
    digest = _digest(recipe, data, basis)
    file = None if folder is None else Path(folder) / STATE
    done = 0
    log: list[Epoch] = []
    if file is not None and file.is_file():
        state, done, log = _read(file, state, digest)
    until = recipe.epochs if stop_after is None else min(stop_after, recipe.epochs)
    for epoch in range(done, until):
        order = np.random.default_rng((recipe.seed, 2, epoch)).permutation(len(edge))[: per_epoch * batch]
        keys = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed + 1), epoch), per_epoch)
        state, losses = epoch_of(
            state, order.reshape(per_epoch, batch), keys, epoch * per_epoch + jnp.arange(per_epoch)
        )
        told = Epoch(epoch + 1, recipe.epochs, float(losses.mean()) * unit**2, float(judged(state[2])) * unit**2)
        if not np.isfinite(told.train):
            raise DataError(f"the training diverged in epoch {epoch + 1}: a lower rate than {recipe.rate:g} may do")
        log.append(told)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(file, state, log, digest)
        if progress is not None:
            progress(told)
    return Trained(basis, network, state[2], centre, spread, unit, elements, tuple(log))


def _digest(recipe: Recipe, data: Prepared, basis: Basis) -> str:
    made = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    for array in (*data, basis.vectors):
        made.update(np.ascontiguousarray(array, np.float32).tobytes())
    return made.hexdigest()


def _write(file: Path, state: Any, log: list[Epoch], digest: str) -> None:
    arrays = {f"{k:04d}": np.ascontiguousarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    said = json.dumps({"log": log, "digest": digest})
    write_atomically(file, safetensors.numpy.save(arrays, metadata={_STATE_KEY: said}))


def _read(file: Path, like: Any, digest: str) -> tuple[Any, int, list[Epoch]]:
    with safetensors.safe_open(file, framework="numpy") as read:
        said = json.loads(read.metadata()[_STATE_KEY])
        leaves = [jnp.asarray(read.get_tensor(name)) for name in sorted(read.keys())]
    if said["digest"] != digest:
        raise DataError(f"{file} holds the training of other crystals or another recipe: give another folder")
    log = [Epoch(*of) for of in said["log"]]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), len(log), log
