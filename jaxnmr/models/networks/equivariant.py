"""Products, linear maps and gates of equivariant features, in a layout chosen for speed.

Features are ``{irrep: (rows, 2l+1, multiplicity)}``. The multiplicity, tens of contiguous numbers, is the last axis:
loops over it are vectorised, and a linear map is one matrix product for all components. Coefficients, their
normalisation ("component"), the order of paths and the names of parameters are those of e3nn, M. Geiger, T. Smidt,
arXiv:2207.09453.
"""

import math
from typing import NamedTuple

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array

Features = dict[e3nn.Irrep, Array]
Blocks = list[tuple[e3nn.Irrep, Array]]

EVEN = e3nn.Irrep("0e")

# root mean square of silu and tanh for standard normal input
SILU_RMS = 0.59647
TANH_RMS = 0.62793


def irreps_of(features: Features) -> e3nn.Irreps:
    """Return the irreps of features, sorted as in e3nn."""
    return e3nn.Irreps([(array.shape[-1], ir) for ir, array in features.items()]).regroup()


class Path(NamedTuple):
    """One product: features times harmonics of rank ``rank`` to the irrep ``out``."""

    ir: e3nn.Irrep
    rank: int
    out: e3nn.Irrep

    @property
    def ranks(self) -> tuple[int, int, int]:
        """Ranks of the features, the harmonics and the product."""
        return self.ir.l, self.rank, self.out.l


def paths_to(target: e3nn.Irreps, features: e3nn.Irreps, lmax: int) -> dict[e3nn.Irrep, list[Path]]:
    """List all products of features with harmonics up to ``lmax`` that give one of the target irreps, sorted by it."""
    wanted = {ir for _, ir in target}
    paths = [
        Path(ir, l, out)
        for _, ir in features.regroup()
        for l in range(lmax + 1)
        for out in ir * e3nn.Irrep(l, (-1) ** l)
        if out in wanted
    ]
    return {out: [p for p in paths if p.out == out] for out in sorted({p.out for p in paths})}


def harmonics(directions: Array, lmax: int) -> list[Array]:
    """Return real spherical harmonics of unit vectors ``(edges, 3)``, each ``(edges, 2l+1)`` with norm sqrt(2l+1)."""
    out: list[Array] = [jnp.ones_like(directions[:, :1])]
    for l in range(1, lmax + 1):
        step = e3nn.clebsch_gordan(l - 1, 1, l) * (2 * l + 1) / math.sqrt(l)
        outer = out[-1][:, :, None] * directions[:, None, :]
        out.append(_flat(outer) @ jnp.asarray(step.reshape(-1, 2 * l + 1), dtype=directions.dtype))
    return out


def couplings(harmonics: list[Array], triples: set[tuple[int, int, int]]) -> dict[tuple[int, int, int], Array]:
    """Contract Clebsch-Gordan coefficients with harmonics, ``(edges, 2l1+1, 2l3+1)`` for ranks ``(l1, l2, l3)``."""
    coupled = sorted(t for t in triples if t[0] and t[1])
    if not coupled:
        return {}
    start = np.cumsum([0] + [h.shape[-1] for h in harmonics])
    blocks = []
    for l1, l2, l3 in coupled:
        block = np.zeros((start[-1], (2 * l1 + 1) * (2 * l3 + 1)))
        cg = e3nn.clebsch_gordan(l1, l2, l3) * math.sqrt(2 * l3 + 1)
        block[start[l2] : start[l2 + 1]] = np.moveaxis(cg, 1, 0).reshape(2 * l2 + 1, -1)
        blocks.append(block)
    table = jnp.concatenate(harmonics, axis=1) @ jnp.asarray(np.concatenate(blocks, axis=1), harmonics[0].dtype)
    parts = jnp.split(table, np.cumsum([b.shape[1] for b in blocks])[:-1], axis=1)
    return {t: p.reshape(-1, 2 * t[0] + 1, 2 * t[2] + 1) for t, p in zip(coupled, parts, strict=True)}


def product(features: Array, path: Path, harmonics: list[Array], couplings: dict[tuple[int, int, int], Array]) -> Array:
    """Return one path of a tensor product, ``(edges, 2l3+1, multiplicity)``, from ``(edges, 2l1+1, multiplicity)``."""
    l1, l2, _ = path.ranks
    if l2 == 0:
        return features
    if l1 == 0:
        return features * harmonics[l2][:, :, None]
    return contract(features, couplings[path.ranks])


def _contract(x: Array, matrices: Array) -> Array:
    return jnp.sum(x[:, :, None, :] * matrices[:, :, :, None], axis=1)


@jax.custom_jvp
def contract(x: Array, matrices: Array) -> Array:
    """Return ``x_iu m_ik`` of every row, ``(rows, k, u)``."""
    return _contract(x, matrices)


def _contract_jvp(primals, tangents):
    # two separate sums: by default, JAX would write the sum of two products for all i, k and u before reducing it
    (x, matrices), (dx, dm) = primals, tangents
    zero = lambda tangent: isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    terms = [] if zero(dx) else [_contract(dx, matrices)]
    terms += [] if zero(dm) else [_contract(x, dm)]
    value = _contract(x, matrices)
    return value, sum(terms) if terms else jnp.zeros_like(value)


contract.defjvp(_contract_jvp, symbolic_zeros=True)


class Linear(nn.Module):
    """Linear map between features of the same irrep; as `e3nn.flax.Linear`, with the same names and shapes of parameters.

    Attributes:
        irreps: irreps of the result; those missing in the features are left out.
        kinds: number of matrices, selected for every row by its species; one for all rows by default.
    """

    irreps: str
    kinds: int | None = None

    @nn.compact
    def __call__(self, features: Features, species: Array | None = None) -> Blocks:
        """Return blocks in the order of the irreps."""
        given = irreps_of(features)
        place = {ir: k for k, (_, ir) in enumerate(given)}
        leading, out = () if self.kinds is None else (self.kinds,), []
        for k, (mul, ir) in enumerate(e3nn.Irreps(self.irreps).simplify()):
            if ir not in place:
                continue
            x = features[ir]
            name = f"w[{place[ir]},{k}] {given[place[ir]]},{mul}x{ir}"
            w = self.param(name, nn.initializers.normal(1.0), (*leading, x.shape[-1], mul), x.dtype)
            w = w / math.sqrt(x.shape[-1])
            out.append((ir, _rows(x, w) if self.kinds is None else _by_species(x, w, jnp.asarray(species))))
        return out


def _rows(x: Array, w: Array) -> Array:
    return (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], w.shape[-1])


def _by_species(x: Array, w: Array, species: Array) -> Array:
    kinds, mul, wide = w.shape
    if kinds > 4:
        return jnp.sum(x[:, :, :, None] * take(w, species)[:, None, :, :], axis=2)
    # few enough to multiply by all matrices, all but one of them with zeros
    mine = (species[:, None] == jnp.arange(kinds)).astype(x.dtype)
    spread = mine[:, None, :, None] * x[:, :, None, :]
    return _rows(spread.reshape(*x.shape[:2], kinds * mul), w.reshape(kinds * mul, wide))


def take(x: Array, rows: Array) -> Array:
    """Return ``x[rows]`` for indices known to be in range, without checks."""
    return jnp.asarray(x).at[rows].get(mode="promise_in_bounds")


def add(own: Blocks, received: Blocks) -> Blocks:
    """Add blocks ``own``, some of which may be missing, to the complete blocks ``received``."""
    own = list(own)
    return [
        (ir, x + own.pop(0)[1]) if own and own[0][0] == ir and own[0][1].shape == x.shape else (ir, x)
        for ir, x in received
    ]


def gate(blocks: Blocks, gated: int) -> Features:
    """Apply activation functions to scalars, and multiply other blocks by the activated last ``gated`` scalars."""
    scalars, others = [(ir, x) for ir, x in blocks if not ir.l], [(ir, x) for ir, x in blocks if ir.l]
    ir, last = scalars.pop()
    own, gates = jnp.split(last, [last.shape[-1] - gated], axis=-1)
    if own.shape[-1]:
        scalars.append((ir, own))
    opened, start = _even(gates), 0
    out: Features = {}
    for ir, x in scalars:
        out[ir] = _even(x) if ir.p == 1 else jnp.tanh(x) / TANH_RMS
    for ir, x in others:
        out[ir] = x * opened[:, :, start : start + x.shape[-1]]
        start += x.shape[-1]
    return out


def rows_of_irreps(blocks: Blocks) -> Array:
    """Return components ``(rows, dim)`` in the order of e3nn: multiplicity first."""
    return jnp.concatenate([_flat(jnp.swapaxes(x, 1, 2)) for _, x in blocks], axis=1)


def rotations(matrices: Array, highest: int) -> list[Array]:
    """Return rotation matrices ``(nodes, 2l+1, 2l+1)`` of features of rank 0, 1, ... for rotations ``(nodes, 3, 3)``.

    Matrices of rank l follow from those of l - 1 by Clebsch-Gordan products: polynomials in the matrix, which are
    differentiable where Euler angles are not.
    """
    ranks = [jnp.ones_like(matrices[:, :1, :1]), matrices]
    for l in range(2, highest + 1):
        cg = e3nn.clebsch_gordan(1, l - 1, l)
        step = (2 * l + 1) * np.einsum("ijk,abc->iajbkc", cg, cg).reshape(9 * (2 * l - 1) ** 2, (2 * l + 1) ** 2)
        outer = matrices.reshape(-1, 9)[:, :, None] * ranks[-1].reshape(len(matrices), 1, -1)
        ranks.append((_flat(outer) @ jnp.asarray(step, dtype=matrices.dtype)).reshape(-1, 2 * l + 1, 2 * l + 1))
    return ranks


def turned(features: Features, rotations: list[Array], parity: Array) -> Features:
    """Rotate features, and reflect them where the parity ``(nodes,)`` is -1."""
    out = {}
    for ir, x in features.items():
        x = contract(x, jnp.swapaxes(rotations[ir.l], 1, 2)) if ir.l else x
        out[ir] = x if ir.p == 1 else x * parity[:, None, None]
    return out


def _even(x: Array) -> Array:
    return nn.silu(x) / SILU_RMS


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


class RadialLayers(nn.Module):
    """Dense layers without biases: the output vanishes with the input, as radial functions do with their envelope."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for k, width in enumerate(self.widths):
            matrix = self.param(f"w{k}", nn.initializers.normal(1.0), (x.shape[-1], width), x.dtype)
            x = x @ (matrix / math.sqrt(x.shape[-1]))
            x = nn.silu(x) / SILU_RMS if k < len(self.widths) - 1 else x
        return x
