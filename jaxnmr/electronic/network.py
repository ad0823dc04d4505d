"""The equivariant network: positions of a molecule in, components of all blocks of its Hamiltonian out.

Rounds of messages between all pairs of atoms within a cutoff, each followed by a product of the atom's features with
themselves; then features of pairs from those of both atoms and the vector between them. Every parameter starts as a standard
normal number; norms are part of the network. Sources of the ingredients: K. T. Schütt et al., Nat. Commun. 10, 5024 (2019);
S. Batzner et al., Nat. Commun. 13, 2453 (2022); I. Batatia et al., NeurIPS 35, 11423 (2022).
"""

import math
from functools import lru_cache

import e3nn_jax as e3nn
import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from ..errors import ConventionError
from ..models.networks.equivariant import (
    EVEN,
    Features,
    Linear,
    Path,
    RadialLayers,
    couplings,
    gate,
    harmonics,
    irreps_of,
    paths_to,
    product,
    rows_of_irreps,
    take,
)
from ..models.networks.network import envelope, radial_basis
from ..typing import Array
from .basis import BasisSet, Orbitals
from .blocks import block_irreps, block_layout
from .config import HamiltonianConfig

_HIGHEST_OF_BLOCKS = 4


class HamiltonianNetwork(nn.Module):
    """Maps positions ``(molecules, n, 3)`` of molecules of the same atoms to components of blocks, by kind.

    Components are in units of the scales of a model. Calculations are in the precision of the positions.
    """

    config: HamiltonianConfig

    @nn.compact
    def __call__(self, xyz: Array, elements: tuple[str, ...]) -> dict[str, Array]:
        """Components ``{kind: (molecules, blocks, dim)}``; the pairs of :func:`block_layout` are in both directions."""
        config = self.config
        basis = BasisSet.load(config.basis)
        layout = block_layout(Orbitals(elements, basis))
        molecules, count = xyz.shape[:2]
        species = np.array([config.elements.index(element) for element in elements])
        rows = np.tile(species, molecules)
        edges = _Edges(config, species, xyz)

        hidden = e3nn.Irreps(config.hidden)
        kinds = len(config.elements)
        embedding = self.param("embedding", nn.initializers.normal(1.0), (kinds, hidden.count("0e")), xyz.dtype)
        features: Features = {EVEN: take(embedding, rows)[:, None, :]}
        for k in range(config.layers):
            features = _Layer(config, name=f"layer_{k}")(features, rows, edges)
        # what the novelty of a geometry is judged by
        self.sow("intermediates", "scalars", features[EVEN][:, 0].reshape(molecules, count, -1))
        pair = _Pair(config, name="pair")(features, rows, edges)

        out: dict[str, Array] = {}
        for kind in layout.kinds:
            place = kind.rows if kind.onsite else kind.rows * (count - 1) + kind.columns - (kind.columns > kind.rows)
            total = count if kind.onsite else len(edges.senders)
            index = (np.arange(molecules)[:, None] * total + place).ravel()
            found = _head(config, basis, kind.elements, kind.onsite, features if kind.onsite else pair, index)
            out[kind.name] = found.reshape(molecules, len(place), -1)
        if self.is_initializing():
            # parameters of what this molecule lacks
            none = np.zeros(1, dtype=int)
            for one in config.elements:
                if one not in out:
                    _head(config, basis, (one, one), True, features, none)
                for other in config.elements:
                    if f"{one}-{other}" not in out:
                        _head(config, basis, (one, other), False, pair, none)
        return out


def _head(config, basis: BasisSet, elements: tuple[str, str], onsite: bool, features: Features, index: np.ndarray):
    """Components ``(rows, dim)`` of the blocks of one kind."""
    irreps = str(block_irreps(basis, *elements).irreps)
    missing = [str(ir) for _, ir in e3nn.Irreps(irreps) if ir not in features]
    if missing:
        where = "hidden" if onsite else "pair"
        raise ConventionError(
            f"blocks of {'-'.join(elements)} need {', '.join(missing)}, which the features of {where} do not contain: add them "
            f"to {where}, and ranks that lead there to sent, left, right and ends"
        )
    name = f"onsite_{elements[0]}" if onsite else f"pair_{elements[0]}_{elements[1]}"
    return rows_of_irreps(Linear(irreps, name=name)({ir: take(x, index) for ir, x in features.items()}))


class _Edges:
    """Vectors from every atom (receiver) to every other one (sender), and what is made of them.

    Attributes:
        senders: ``(edges,)`` atoms of one molecule; those of a receiver follow each other.
        from_, to: ``(molecules x edges,)`` rows of senders and receivers.
        radial: ``(molecules x edges, pairs of elements x Bessel functions)``: zero but for the pair of the edge.
        envelope: ``(molecules x edges,)``.
        angular: spherical harmonics.
    """

    def __init__(self, config: HamiltonianConfig, species: np.ndarray, xyz: Array):
        molecules, count = xyz.shape[:2]
        receivers, self.senders = np.nonzero(~np.eye(count, dtype=bool))
        offset = count * np.arange(molecules)[:, None]
        self.from_, self.to = (offset + self.senders).ravel(), (offset + receivers).ravel()
        vectors = (xyz[:, self.senders] - xyz[:, receivers]).reshape(-1, 3)
        squared = jnp.sum(vectors**2, axis=1)
        inside = (squared > 0.0) & (squared < config.cutoff**2)
        # replaced before any root or quotient is taken, so that derivatives outside are exact zeros
        length = jnp.where(inside, jnp.sqrt(jnp.where(inside, squared, 1.0)), config.cutoff)
        axis = jnp.array([0.0, 0.0, 1.0], dtype=xyz.dtype)
        directions = jnp.where(inside[:, None], vectors, axis) / jnp.where(inside, length, 1.0)[:, None]
        self.angular = harmonics(directions, _HIGHEST_OF_BLOCKS)
        x = length / config.cutoff
        kinds = len(config.elements)
        # times the root of how many there are, since all but one are zero
        mine = kinds * np.eye(kinds**2)[species[receivers] * kinds + species[self.senders]]
        spread = jnp.asarray(np.tile(mine, (molecules, 1)), dtype=xyz.dtype)[:, :, None]
        self.radial = (spread * radial_basis(x, config.radial)[:, None, :]).reshape(len(x), -1)
        self.envelope = envelope(x)
        self.per_atom = count - 1

    def products(self, features: Features, paths: dict[e3nn.Irrep, list[Path]], lmax: int, weights: Array) -> Features:
        """Products of features of edges with harmonics, weighted, the paths to an irrep side by side."""
        angular = self.angular[: lmax + 1]
        coupled = couplings(angular, {p.ranks for found in paths.values() for p in found})
        out: Features = {}
        start = 0
        for ir, found in paths.items():
            parts = [product(features[p.ir], p, angular, coupled) for p in found]
            joined = jnp.concatenate(parts, axis=-1)
            out[ir] = joined * weights[:, None, start : start + joined.shape[-1]]
            start += joined.shape[-1]
        return out

    def summed(self, x: Array) -> Array:
        """Sums over the edges of every receiver."""
        return jnp.sum(x.reshape(-1, self.per_atom, *x.shape[1:]), axis=1)


class _Layer(nn.Module):
    """One round: messages, their sum, its product with itself, mixing with what the atom had, gate."""

    config: HamiltonianConfig

    @nn.compact
    def __call__(self, features: Features, rows: np.ndarray, edges: _Edges) -> Features:
        config, kinds = self.config, len(self.config.elements)
        hidden = e3nn.Irreps(config.hidden)
        given = dict(Linear(config.sent, name="sent")(features))
        sent = {ir: take(x, edges.from_) for ir, x in given.items()}
        paths = paths_to(hidden, irreps_of(sent), config.lmax)
        count = sum(sent[p.ir].shape[-1] for found in paths.values() for p in found)
        weights = RadialLayers((config.width, count), name="radial")(edges.radial)
        received = edges.products(sent, paths, config.lmax, weights)
        scale = 1.0 / math.sqrt(config.neighbours)
        received = {ir: edges.summed(x) * scale for ir, x in received.items()}
        mixed = dict(Linear(str(hidden), kinds, name="received")(received, rows))
        squared = _Product(config, name="product")(mixed)
        joined = _joined(mixed, squared, features)
        return _gated(str(hidden), joined, rows, kinds, "out")


class _Product(nn.Module):
    """Products of two linear maps of the same features, by one dense table of Clebsch-Gordan coefficients."""

    config: HamiltonianConfig

    @nn.compact
    def __call__(self, features: Features) -> Features:
        config = self.config
        left = dict(Linear(config.left, name="left")(features))
        right = dict(Linear(config.right, name="right")(features))
        table, found = _product_table(str(irreps_of(left)), str(irreps_of(right)), config.hidden)
        # multiplicity before components
        a, b = (jnp.concatenate([jnp.swapaxes(x, 1, 2) for x in side.values()], axis=2) for side in (left, right))
        outer = (a[:, :, :, None] * b[:, :, None, :]).reshape(a.shape[0] * a.shape[1], -1)
        flat = (outer @ jnp.asarray(table, dtype=a.dtype)).reshape(*a.shape[:2], -1)
        out: Features = {}
        start = 0
        for ir, paths in found:
            part = flat[:, :, start : start + paths * ir.dim].reshape(*a.shape[:2], paths, ir.dim)
            out[ir] = jnp.moveaxis(part, 3, 1).reshape(a.shape[0], ir.dim, -1)
            start += paths * ir.dim
        return out


@lru_cache
def _product_table(left: str, right: str, target: str) -> tuple[np.ndarray, tuple[tuple[e3nn.Irrep, int], ...]]:
    """``(components of the left x of the right, components of all paths)``, and the number of paths by irrep."""
    sides = [[ir for _, ir in e3nn.Irreps(irreps)] for irreps in (left, right)]
    starts = [np.cumsum([0] + [ir.dim for ir in side]) for side in sides]
    columns, found = [], []
    for _, out in e3nn.Irreps(target):
        paths = [(i, j) for i, a in enumerate(sides[0]) for j, b in enumerate(sides[1]) if out in a * b]
        for i, j in paths:
            a, b = sides[0][i], sides[1][j]
            table = np.zeros((starts[0][-1], starts[1][-1], out.dim))
            cg = np.asarray(e3nn.clebsch_gordan(a.l, b.l, out.l)) * math.sqrt(out.dim)
            table[starts[0][i] : starts[0][i + 1], starts[1][j] : starts[1][j + 1]] = cg
            columns.append(table.reshape(-1, out.dim))
        if paths:
            found.append((out, len(paths)))
    return np.concatenate(columns, axis=1), tuple(found)


class _Pair(nn.Module):
    """Features of pairs of atoms; they vanish at the cutoff."""

    config: HamiltonianConfig

    @nn.compact
    def __call__(self, features: Features, rows: np.ndarray, edges: _Edges) -> Features:
        config = self.config
        kinds = len(config.elements)
        ends = [dict(Linear(config.ends, kinds, name=name)(features, rows)) for name in ("receiver", "sender")]
        at = (edges.to, edges.from_)
        both: Features = {
            ir: jnp.concatenate([take(end[ir], k) for end, k in zip(ends, at, strict=True)], axis=-1) for ir in ends[0]
        }
        paths = paths_to(e3nn.Irreps(config.pair), irreps_of(both), _HIGHEST_OF_BLOCKS)
        count = sum(both[p.ir].shape[-1] for found in paths.values() for p in found)
        weights = RadialLayers((config.width, count), name="radial")(edges.radial)
        made = edges.products(both, paths, _HIGHEST_OF_BLOCKS, weights)
        first = _gated(config.pair, made, None, None, "first")
        # once more, with factors that know the invariants of the pair
        invariants = jnp.concatenate([first[EVEN][:, 0], edges.radial], axis=1)
        factors = RadialLayers((config.width, sum(x.shape[-1] for x in first.values())), name="factors")(invariants)
        second, start = {}, 0
        for ir, x in first.items():
            second[ir] = x * factors[:, None, start : start + x.shape[-1]]
            start += x.shape[-1]
        return _joined(first, second)


def _joined(*parts: Features) -> Features:
    """Features side by side."""
    return {
        ir: jnp.concatenate([p[ir] for p in parts if ir in p], axis=-1)
        for ir in dict.fromkeys(i for p in parts for i in p)
    }


def _gated(irreps: str, features: Features, rows, kinds, name: str) -> Features:
    """A linear map and a gate."""
    target = e3nn.Irreps(irreps).filter(keep=list(features))
    scalars = target.filter(keep=["0e", "0o"])
    others = target.filter(drop=["0e", "0o"])
    out = scalars + e3nn.Irreps([(others.num_irreps, "0e")]) + others
    linear = Linear(str(out), kinds, name=name)
    return gate(linear(features) if rows is None else linear(features, rows), others.num_irreps)
