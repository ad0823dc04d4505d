"""CrystalNet's architecture (G. Guo et al., npj Comput. Mater., 2024) in flax, from its description, with its widths as numbers that can be made smaller.

A pattern on a grid of angles goes through two densely connected convolutional networks, the atom fractions through two of layers: mean and
standard deviation of a latent vector each. Random Fourier features of a fractional coordinate go through layers, are scaled and shifted
by what is made of the latent vector, and become the density at that point in four blocks that see them again at the start of each.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Widths:
    """Sizes of the network; ``PUBLISHED`` has the paper's.

    Attributes:
        latent: numbers that stand for the pattern, and as many for the fractions.
        growth, stem: channels that a convolution adds, and that the first one makes.
        formula: width of the layers that see the fractions.
        frequencies: of the Fourier features.
        point: width of the layers that see points.
        blocks, layers: of the regressor, and of each block.
    """

    latent: int = 128
    growth: int = 8
    stem: int = 8
    formula: int = 128
    frequencies: int = 64
    point: int = 64
    blocks: int = 4
    layers: int = 4


PUBLISHED = Widths(latent=512, growth=8, stem=8, formula=512, frequencies=128, point=512)
# standard deviation of the frequencies, in waves per cell
SIGMA = 3.0


class Pattern1D(nn.Module):
    """Two groups of four densely connected convolutions, with a pooling between, to ``size`` numbers."""

    size: int
    growth: int
    stem: int

    @nn.compact
    def __call__(self, pattern: Any) -> Any:
        h = nn.Conv(self.stem, (7,), strides=(2,))(pattern[..., None])
        for group in range(2):
            for _ in range(4):
                h = jnp.concatenate([h, nn.Conv(self.growth, (3,))(nn.relu(nn.LayerNorm()(h)))], axis=-1)
            if group == 0:
                h = nn.avg_pool(nn.Conv(h.shape[-1] // 2, (1,))(nn.relu(h)), (4,), (4,))
        h = nn.avg_pool(h, (4,), (4,))
        return nn.Dense(self.size)(nn.relu(h.reshape(*h.shape[:-2], -1)))


class Formula(nn.Module):
    """Three layers with batch normalisation."""

    size: int
    width: int

    @nn.compact
    def __call__(self, fractions: Any, training: bool) -> Any:
        h = fractions
        for _ in range(3):
            h = nn.relu(nn.BatchNorm(use_running_average=not training)(nn.Dense(self.width)(h)))
        return nn.Dense(self.size)(h)


class Latent(NamedTuple):
    """Mean and standard deviation (of either sign) of the two halves of the latent vector, ``(crystals, latent)`` each."""

    mean: tuple[Any, Any]
    spread: tuple[Any, Any]


class CrystalNet(nn.Module):
    """See the module."""

    widths: Widths

    def setup(self) -> None:
        w = self.widths
        self.patterns = [Pattern1D(w.latent, w.growth, w.stem) for _ in range(2)]
        self.formulas = [Formula(w.latent, w.formula) for _ in range(2)]
        drawn = SIGMA * np.random.default_rng(0).normal(size=(3, w.frequencies))
        self.waves = 2.0 * np.pi * drawn.astype(np.float32)
        self.enter, self.norm, self.place = nn.Dense(w.point), nn.BatchNorm(), nn.Dense(w.point)
        self.film = [[nn.Dense(2 * w.latent), nn.Dense(2 * w.latent), nn.Dense(w.point)] for _ in range(2)]
        self.block = [[nn.Dense(w.point) for _ in range(w.layers)] for _ in range(w.blocks)]
        self.out = nn.Dense(1)

    def __call__(self, pattern: Any, fractions: Any, points: Any, key: Any, training: bool) -> tuple[Any, Latent]:
        """Densities ``(crystals, points)`` at fractional coordinates ``(crystals, points, 3)``, and the latent distribution."""
        latent = self.encode(pattern, fractions, training)
        return self.decode(sample(latent, key), points, training), latent

    def encode(self, pattern: Any, fractions: Any, training: bool = False) -> Latent:
        """The distribution of the latent vector."""
        pairs = [(p(pattern), f(fractions, training)) for p, f in zip(self.patterns, self.formulas, strict=True)]
        return Latent(*pairs)

    def decode(self, z: Any, points: Any, training: bool = False) -> Any:
        """Densities at points, for one latent vector of each crystal."""
        angles = points @ self.waves
        h = self.enter(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1))
        h = self.place(nn.relu(self.norm(h, use_running_average=not training)))
        scale, shift = (_layers(of, z)[..., None, :] for of in self.film)
        seen = h = h * (1.0 + scale) + shift
        for block in self.block:
            h = _layers(block, h + seen, last=True)
        return self.out(h)[..., 0]


def sample(latent: Latent, key: Any) -> Any:
    """A latent vector of each crystal."""
    mean, spread = (jnp.concatenate(pair, axis=-1) for pair in latent)
    return mean + spread * jax.random.normal(key, mean.shape)


def loss(found: Any, density: Any, latent: Latent, weight: float = 0.05) -> tuple[Any, Any]:
    """Mean absolute error with the two Kullback-Leibler terms as the paper has them, and that error alone."""
    terms = [
        -jnp.mean(1.0 + jnp.log(s**2 + 1e-4) - mu**2 - s**2) for mu, s in zip(latent.mean, latent.spread, strict=True)
    ]
    error = jnp.abs(found - density).mean()
    return error + weight * sum(terms), error


def _layers(layers: list[nn.Dense], h: Any, last: bool = False) -> Any:
    for k, layer in enumerate(layers):
        h = layer(h)
        if last or k + 1 < len(layers):
            h = nn.relu(h)
    return h
