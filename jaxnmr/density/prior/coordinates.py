"""Basis functions as a coordinate network with periodic features, an alternative way to a `Basis` (host)."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from ...errors import DataError
from ...typing import Array
from .basis import Basis
from .waves import WaveSet

# fraction of the mean square, added for functions that are nearly equal on the sampled points
_RIDGE = 1e-5


class CoordinateNetwork(nn.Module):
    """Network for ``phi_k(x)`` of fractional coordinates; periodic, with mirrors perpendicular to b and c by design.

    Attributes:
        size: number of functions.
        highest: highest frequency of the features along each axis.
        width, depth: size of the layers.
    """

    size: int
    highest: int = 6
    width: int = 128
    depth: int = 2

    @nn.compact
    def __call__(self, x: Float[Array, "*n 3"]) -> Float[Array, "*n k"]:
        angles = 2.0 * jnp.pi * x[..., None] * jnp.arange(1, self.highest + 1)
        # even along b and c, as the waves are
        waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles[..., :1, :])], axis=-2)
        h = waves.reshape(*x.shape[:-1], -1)
        for _ in range(self.depth):
            h = nn.gelu(nn.Dense(self.width)(h))
        return nn.Dense(self.size)(h)


def fit_coordinate_basis(
    vectors: Float[np.ndarray, "n m"],
    waves: WaveSet,
    size: int,
    *,
    network: CoordinateNetwork | None = None,
    steps: int = 400,
    points: int = 1024,
    crystals: int = 256,
    rate: float = 3e-3,
    seed: int = 0,
) -> Basis:
    """Train a coordinate network on the residual densities at random points after least-squares coefficients.

    Coefficients are solved by least squares at every step, so that only the functions are learned. The result are the
    orthonormalised waves of the functions: a basis for any grid, without the poses of principal components.

    Args:
        vectors: vectors of densities, see `WaveSet.vector`.
        waves: waves of the vectors.
        size: number of functions.
        network: network with as many functions.
        steps, points, crystals, rate: training settings; each step draws its points and crystals.
        seed: random seed.

    Raises:
        DataError: there are fewer crystals or points than functions, so that any functions would fit.
    """
    crystals = min(crystals, len(vectors))
    if crystals <= size or points <= size:
        raise DataError(f"{crystals} crystals at {points} points for {size} functions; give more of both")
    network = network or CoordinateNetwork(size)
    rng, mean = np.random.default_rng(seed), vectors.mean(axis=0)
    rho = waves.waves(vectors - mean)
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))
    variables: Any = jax.jit(network.init)(jax.random.key(seed), jnp.zeros((1, 3)))
    memory = jax.jit(optimiser.init)(variables)

    def left(variables: Any, x: Any, y: Any) -> Any:
        functions: Any = network.apply(variables, x)
        gram = functions.T @ functions / len(x)
        level = _RIDGE * jnp.trace(gram) / size
        c = jnp.linalg.solve(gram + level * jnp.eye(size), functions.T @ y / len(x))
        return ((y - functions @ c) ** 2).sum() / (y**2).sum()

    @jax.jit
    def step(variables: Any, memory: Any, x: Any, y: Any) -> Any:
        value, slope = jax.value_and_grad(left)(variables, x, y)
        change, memory = optimiser.update(slope, memory, variables)
        return optax.apply_updates(variables, change), memory, value

    for _ in range(steps):
        x = rng.random((points, 3))
        y = waves.at_points(rho[rng.permutation(len(rho))[:crystals]], x).T
        variables, memory, value = step(variables, memory, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    if not np.isfinite(float(value)):
        raise DataError(f"the training of the functions diverged: a lower rate than {rate:g} may do")
    functions = _waves_of(lambda x: np.asarray(network.apply(variables, jnp.asarray(x, jnp.float32))), waves)
    directions = np.linalg.qr(functions.T)[0]
    c = (vectors - mean) @ directions
    order = np.argsort(-c.var(axis=0), kind="stable")
    return Basis(
        waves=waves, mean=mean, vectors=directions[:, order], poses=np.ones((1, size)), scale=c.std(axis=0)[order],
        explained=float((c**2).sum() / ((vectors - mean) ** 2).sum()),
    )  # fmt: skip


def _waves_of(functions: Any, waves: WaveSet) -> Float[np.ndarray, "k m"]:
    """Return vectors of functions of coordinates, by a grid that holds the waves, averaged over the mirrors."""
    n = 2 * int(waves.hkl.max()) + 2
    axis = np.arange(n) / n
    values = []
    for x in axis:
        grid = np.stack(np.meshgrid([x], axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        values.append(functions(grid).reshape(n, n, -1))
    # F/V = mean of phi exp(2 pi i h·x)
    full = np.fft.ifftn(np.stack(values), axes=(0, 1, 2))
    h, k, l = waves.hkl.T
    mirrored = [full[h, a * k % n, b * l % n] for a in (1, -1) for b in (1, -1)]
    return waves.vector(np.mean(mirrored, axis=0).T)
