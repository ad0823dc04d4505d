"""The network CHGNet: energies of sites from lengths of bonds and cosines of angles (traceable).

B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023). Features of atoms, bonds and angles are 64 numbers each, invariant to rotations.
Four times atoms hear from their neighbours through bonds; in between, bonds hear from the bonds that they form angles with, and
angles from their bonds. Every message is a gated perceptron, ``silu(norm(core)) * sigmoid(norm(gate))``, times a weight that
ends with the cutoff: it and two derivatives are 0 there, for messages along bonds (6 Å) as for those across angles (3 Å, both
bonds). So nothing jumps when a bond comes or goes.

What the authors' first layers apply to concatenated features of a message's ends is applied to atoms and bonds before they are
gathered: the same numbers, and the products of 192 or 256 columns are of as many rows as there are atoms and bonds.

Angles enter as ``sin`` and ``cos`` of learned multiples of θ, with cos θ held within 1 - 10⁻⁶ as by the authors: a straight
angle is a rounded kink of 1.4 mrad, where first and second derivatives exist. The second one says nothing of vibrations: the slope
over the displacement of one oxygen across a straight Ti-O-Ti or Si-O-Si, in cubic SrTiO3 and ideal cristobalite with r2scan, is 8.0
and -16.7 eV/Å² at 0.0001 Å, and 3.3 and 2.1 at 0.1 Å.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import jraph
from jaxtyping import Float

from ...typing import Array
from .plan import PIECE, WHOLE, BondGraphPlan

# of normalisations over features; PyTorch's default
_EPSILON = 1e-5
_STRAIGHT = 1.0 - 1e-6
# columns of core and gate
_HALVES = (slice(0, 64), slice(64, 128))

Weights = Mapping[str, Array]


def site_energies(
    weights: Weights,
    plan: BondGraphPlan,
    positions: Float[Array, "atoms 3"],
    vectors: Float[Array, "3 3"],
    *,
    envelope: int,
) -> Float[Array, " sites"]:
    """Energy of one atom of every site, eV.

    Args:
        weights: by name, as `tools/convert_chgnet.py` writes them.
        plan: bonds and angles.
        positions: of its atoms, Å.
        vectors: of its lattice, rows, Å.
        envelope: exponent of the polynomial that ends at the cutoff.
    """
    dtype = positions.dtype
    w = {name: jnp.asarray(array).astype(dtype) for name, array in weights.items()}
    atoms, arrows = plan.atoms, plan.arrows
    short = plan.pair.shape[0]
    far = 2.0 * plan.cutoff

    length = _lengths(_vectors(positions, vectors, plan.ends, plan.shifts), far)
    long_basis = _radial(length, w["radial.long"], plan.cutoff, envelope)
    bonds = long_basis @ w["bond"]
    count = jnp.asarray(atoms.edges["count"]).astype(dtype)[:, None]
    along = (long_basis @ w["weight.long"])[atoms.edges["bond"]] * count
    short_basis = _radial(length[:short], w["radial.short"], plan.bond_cutoff, envelope)
    around = (short_basis @ w["weight.short"])[arrows.nodes["bond"]]
    second = around[arrows.senders]

    across = _vectors(positions, vectors, arrows.nodes["ends"], arrows.nodes["shifts"])
    direction = across / _lengths(across, far)[:, None]
    cosine = jnp.sum(direction[arrows.receivers] * direction[arrows.senders], axis=1)
    angles = _fourier(cosine, w["angular"]) @ w["angle"]

    features: Array = w["atom"][atoms.nodes["element"]]
    bonds, beyond = bonds[:short], bonds[short:]
    blocks = len(w["atoms.bias"])
    for k in range(blocks):
        features = _to_atoms(_block(w, "atoms", k), atoms, features, jnp.concatenate([bonds, beyond]), along)
        if k < blocks - 1:
            bonds = _to_bonds(_block(w, "bonds", k), plan, features, bonds, angles, (around, second))
        # the last angles enter nothing
        if k < blocks - 2:
            layer = _block(w, "angles", k)
            halves = _at_angles(layer, arrows, features, bonds, angles)
            angles = angles + _in_pieces(lambda core, gate, layer=layer: _gated(layer, core, gate), *halves)

    x = _normalised(features, w["readout.scale"], w["readout.offset"])
    for matrix, bias in zip(w["readout.hidden"], w["readout.hidden_bias"], strict=True):
        x = jax.nn.silu(x @ matrix + bias)
    return x @ w["readout.last"] + w["readout.last_bias"] + w["reference"][atoms.nodes["element"]]


def _block(w: Weights, piece: str, k: int) -> Weights:
    """Weights of a layer. What is normalised next loses its mean, which is done here, to matrices and not to their products."""
    block = {name.partition(".")[2]: array[k] for name, array in w.items() if name.startswith(f"{piece}.")}
    if "second" in block:
        return block | {name: _centred(block[name]) for name in ("second", "second_bias")}
    halved = {
        name: block[name].reshape(*block[name].shape[:-1], 2, -1)
        for name in ("first", "second_bond", "angle", "centre", "bias")
    }
    return block | {name: _centred(array).reshape(block[name].shape) for name, array in halved.items()}


def _vectors(positions: Array, vectors: Array, ends: Array, shifts: Array) -> Array:
    """From the first end to the second; 0 for padding."""
    return positions[ends[:, 1]] - positions[ends[:, 0]] + jnp.asarray(shifts).astype(positions.dtype) @ vectors


def _lengths(vectors: Array, far: float) -> Array:
    """Lengths with derivatives everywhere; padding is far away."""
    squared = jnp.sum(vectors**2, axis=1)
    return jnp.sqrt(jnp.where(squared > 0.0, squared, far**2))


def _radial(length: Array, frequencies: Array, cutoff: float, p: int) -> Array:
    """Spherical Bessel functions of order 0 with learned frequencies, times a polynomial that ends with two derivatives."""
    x = length[:, None] / cutoff
    tail = 1.0 - x**p * ((p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * (p * (p + 1) / 2)))
    ending = jnp.where(x < 1.0, tail, 0.0)
    return (2.0 / cutoff) ** 0.5 * ending * jnp.sin(frequencies * x) / length[:, None]


def _fourier(cosine: Array, frequencies: Array) -> Array:
    """1, sines and cosines of multiples of the angle, normalised on the circle."""
    theta = jnp.arccos(cosine * _STRAIGHT)[:, None] * frequencies
    constant = jnp.full((len(cosine), 1), 0.5**0.5, dtype=cosine.dtype)
    return jnp.concatenate([constant, jnp.sin(theta), jnp.cos(theta)], axis=1) / jnp.pi**0.5


def _to_atoms(w: Weights, graph: jraph.GraphsTuple, features: Array, bonds: Array, weight: Array) -> Array:
    """Atoms after they heard from their neighbours; weights are those of messages."""
    bond, receivers, senders = graph.edges["bond"], graph.receivers, graph.senders
    core, gate = (
        (features @ w["centre"][:, half] + w["bias"][half])[receivers]
        + (features @ w["neighbour"][:, half])[senders]
        + (bonds @ w["bond"][:, half])[bond]
        for half in _HALVES
    )
    message = _messages(w, core, gate, weight)
    heard = jraph.segment_sum(message, receivers, len(features), indices_are_sorted=True)
    return features + heard @ w["out"]


def _to_bonds(
    w: Weights, plan: BondGraphPlan, features: Array, bonds: Array, angles: Array, weights: tuple[Array, Array]
) -> Array:
    """Bonds after they heard from those that they form angles with, at both ends; weights of arrows, and of second ones."""
    arrows, (weight, second_weight) = plan.arrows, weights
    core, gate = _at_angles(w, arrows, features, bonds, angles)
    message = _messages(w, core, gate, second_weight)
    heard = jraph.segment_sum(message, arrows.receivers, len(weight), indices_are_sorted=True) * weight
    return bonds + (heard[plan.pair[:, 0]] + heard[plan.pair[:, 1]]) @ w["out"]


def _at_angles(w: Weights, arrows: jraph.GraphsTuple, features: Array, bonds: Array, angles: Array) -> list[Array]:
    """First layer of core and gate of both bonds of an angle, the angle and the atom at its vertex."""
    bond, site = arrows.nodes["bond"], arrows.nodes["site"]
    halves = []
    for half in _HALVES:
        first = (bonds @ w["first"][:, half])[bond] + (features @ w["centre"][:, half] + w["bias"][half])[site]
        second = (bonds @ w["second_bond"][:, half])[bond]
        halves.append(first[arrows.receivers] + second[arrows.senders] + angles @ w["angle"][:, half])
    return halves


def _messages(w: Weights, core: Array, gate: Array, weight: Array) -> Array:
    """Messages from their first layers."""
    return _in_pieces(lambda core, gate, weight: _gated(w, *_second(w, core, gate)) * weight, core, gate, weight)


def _in_pieces(function: Callable[..., Array], *arrays: Array) -> Array:
    """A function of rows; many rows in pieces that stay in a processor's cache, and again for derivatives.

    Kept whole, what lies between is 150 MB in a cell of 72 atoms, and half of the time goes into fresh pages of memory.
    """
    rows = len(arrays[0])
    if rows < WHOLE or rows % PIECE:
        return function(*arrays)
    cut = [x.reshape(-1, PIECE, x.shape[1]) for x in arrays]
    return jax.lax.map(jax.checkpoint(lambda parts: function(*parts)), cut).reshape(rows, -1)


def _second(w: Weights, core: Array, gate: Array) -> tuple[Array, Array]:
    """Second layers of core and gate, without their mean over features."""
    core, gate = (jax.nn.silu(x) @ m + b for x, m, b in zip((core, gate), w["second"], w["second_bias"], strict=True))
    return core, gate


def _gated(w: Weights, core: Array, gate: Array) -> Array:
    """Of core and gate without their mean."""
    core, gate = (_scaled(x, s, o) for x, s, o in zip((core, gate), w["scale"], w["offset"], strict=True))
    return jax.nn.silu(core) * jax.nn.sigmoid(gate)


def _normalised(x: Array, scale: Array, offset: Array) -> Array:
    return _scaled(_centred(x), scale, offset)


def _centred(x: Array) -> Array:
    return x - jnp.mean(x, axis=-1, keepdims=True)


def _scaled(centred: Array, scale: Array, offset: Array) -> Array:
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + _EPSILON) * scale + offset
