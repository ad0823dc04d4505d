"""Axial-divergence asymmetry (Finger, Cox & Jephcoat 1994) as a weighted sum of shifted symmetric profiles.

The aberration spreads a reflection at 2theta over apparent angles between ``2 phi_min`` and 2theta. Specimen and
slit have the half-heights S and H and are a distance L apart; ``shl = (S + H)/L`` and
``imbalance = |S - H|/(S + H)``. The density is singular at 2theta; the substitution
``delta = 2theta - (2theta - 2phi_min) u²`` removes the singularity, so that Gauss-Legendre quadrature in ``u``
converges fast. Unequal heights cause a kink at ``u = imbalance`` (up to terms of higher order in shl), where the
quadrature is split.

Source: Finger, Cox & Jephcoat, J. Appl. Cryst. 27, 892 (1994), eqs. 4 and 7; van Laar & Yelon, ibid. 17, 47 (1984).
"""

import math
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arrays import namespace
from ..typing import Array, ArrayT, Scalar, Values

_DEG = np.pi / 180.0
_GSAS_TABLE_SIZES = np.array([*range(2, 31, 2), *range(40, 121, 10), *range(140, 301, 20), 400])


def lowest_angle(two_theta: Values, shl: Scalar, xp: ModuleType = jnp) -> Values:
    """Return ``2 phi_min`` in degrees: the far end of the asymmetric tail, beyond which there is no intensity."""
    return xp.arccos(xp.clip(xp.sqrt(1.0 + shl * shl) * xp.cos(_DEG * two_theta), -1 + 1e-12, 1 - 1e-12)) / _DEG


def axial_spread(two_theta: Float[ArrayT, " n"], shl: Scalar) -> Float[ArrayT, " n"]:
    """Return the signed extent of the asymmetric tails in degrees, ``2theta - 2phi_min``."""
    xp = namespace(two_theta)
    return xp.where(shl > 1e-6, two_theta - lowest_angle(two_theta, shl, xp), 0.0)


def _lowest_angle_in_single_precision(two_theta: Float[Array, "*n"], shl: Scalar) -> Float[Array, "*n"]:
    # GSAS-II evaluates this in single precision. On sharp synchrotron peaks the rounding of the arc cosine (up to
    # 3e-5 degree) is the largest difference between two otherwise equal patterns, so the comparison mode rounds too
    # (each step separately: a compiler that fuses them rounds differently).
    single = lambda v: jax.lax.reduce_precision(v, exponent_bits=8, mantissa_bits=23)
    degree = float(np.float32(_DEG))
    rounded = single(float(np.float32(0.01)) * single(two_theta * 100.0))
    widening = single(jnp.sqrt(single(1.0 + single(single(shl) ** 2))))
    cosine = single(widening * single(jnp.cos(single(rounded * degree))))
    return single(single(jnp.arccos(cosine)) / degree) + (two_theta - rounded)


def axial_nodes(
    two_theta: Float[ArrayT, " n"],
    shl: Scalar,
    abscissa: Float[Array, "#n nodes"],
    weight: Float[Array, "#n nodes"],
    *,
    gsas: bool,
    imbalance: float = 0.0,
) -> tuple[Float[Array, "n nodes"], Float[Array, "n nodes"]]:
    """Return apparent positions and normalised weights of the shifted profiles (NumPy or JAX, like the angles).

    Args:
        two_theta: degrees.
        shl: ``(S + H)/L``; below 1e-6 every node sits at 2theta.
        abscissa, weight: quadrature on [0, 1], the same for all or one for each; zero weights switch nodes off.
        imbalance: ``|S - H|/(S + H)``, 0 for equal half-heights.
        gsas: nodes linear in 2theta and single-precision limits as in GSAS-II, for comparison with it only.

    Returns:
        ``position`` and ``share``; shares add up to 1.
    """
    xp = namespace(two_theta, shl)
    active = shl > 1e-6
    safe = xp.where(active, shl, 1e-2)
    column = two_theta[:, None]
    spread = column - (_lowest_angle_in_single_precision(column, safe) if gsas else lowest_angle(column, safe, xp))
    fraction, jacobian = (1.0 - abscissa, 1.0) if gsas else (abscissa**2, abscissa)
    delta = column - spread * fraction
    cos0, cos1 = xp.cos(_DEG * column), xp.cos(_DEG * delta)
    gap = xp.sin(_DEG * spread * fraction) * xp.sin(_DEG * (2.0 * column - spread * fraction))
    # cos²(delta) - cos²(2theta) = sin(2theta - delta) sin(2theta + delta), without cancellation
    inside = gap > 1e-18
    height = xp.sqrt(xp.where(inside, gap, 1.0))
    # (overlap of specimen and slit) / h, where h is the height that the ray gains on its way to the slit
    reach = safe * xp.abs(cos0) / height
    density = xp.where(inside, reach - xp.maximum(1.0, imbalance * reach), 0.0)
    share = xp.abs(weight * jacobian * density / cos1)
    total = xp.sum(share, axis=1, keepdims=True)
    usable = total > 1e-12
    share = xp.where(usable, share / xp.where(usable, total, 1.0), weight / xp.sum(weight, axis=-1, keepdims=True))
    return (
        xp.where(active & usable, delta, column * xp.ones_like(delta)),
        xp.where(active, share, xp.broadcast_to(weight / xp.sum(weight, axis=-1, keepdims=True), share.shape)),
    )


def quadrature(n: int, imbalance: float = 0.0) -> tuple[Float[np.ndarray, "1 nodes"], Float[np.ndarray, "1 nodes"]]:
    """Gauss-Legendre quadrature on [0, 1] with ``n`` nodes; with a nonzero imbalance, ``n`` above it and ``n`` below."""
    x, w = np.polynomial.legendre.leggauss(n)
    x, w = 0.5 * (x + 1.0)[None], 0.5 * w[None]
    if imbalance == 0.0:
        return x, w
    above = 1.0 - imbalance
    return np.hstack([imbalance * x, imbalance + above * x]), np.hstack([imbalance * w, above * w])


def gsas_quadrature(
    two_theta: Float[np.ndarray, " n"], shl: float, gamma_centideg: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n nodes"], Float[np.ndarray, "n nodes"]]:
    """Return GSAS-II's nodes (host): the upper half of a rule whose size depends on spread and Lorentzian width.

    They are too few for laboratory data (1 to 3), so they only serve comparison with GSAS-II.

    Returns:
        Abscissa and weight; unused nodes have weight 0.
    """
    spread = np.abs(two_theta - np.asarray(lowest_angle(two_theta, shl, np)))
    wanted = np.where(gamma_centideg > 0, 300.0 * spread / np.maximum(gamma_centideg, 1e-9), 200.0 * spread).astype(int)
    index = np.minimum(np.searchsorted(_GSAS_TABLE_SIZES, wanted), len(_GSAS_TABLE_SIZES) - 1)
    half = _GSAS_TABLE_SIZES[index] // 2
    nodes = int(half.max())
    abscissa, weight = np.full((len(half), nodes), 0.5), np.zeros((len(half), nodes))
    for n in np.unique(half):
        x, w = np.polynomial.legendre.leggauss(2 * n)
        abscissa[half == n, :n], weight[half == n, :n] = x[n:], w[n:]
    return abscissa, weight


# extent of the axial tail over the peak width, and the number of nodes that brings the profile within 1e-4 of its
# height of the converged one: measured for Gaussian and Lorentzian profiles at 2theta from 3 to 150 degrees
_NODES = ((0.3, 4), (0.6, 6), (1.0, 8), (2.0, 14), (4.0, 24), (8.0, 48), (12.0, 80), (16.0, 96), (20.0, 128))
_MOST_NODES = 320


def nodes_needed(spread_over_fwhm: float) -> int:
    """Return the number of nodes for the most asymmetric peak, at most 320 for tails of more than 50 widths (host)."""
    found = next((n for limit, n in _NODES if spread_over_fwhm <= limit), 0)
    return found or min(64 * math.ceil(spread_over_fwhm / 10.0), _MOST_NODES)


def spread_served(nodes: int) -> float:
    """Return the largest extent of the axial tail, over the peak width, for which this many nodes suffice (host)."""
    if nodes >= _MOST_NODES:
        return math.inf
    return max([limit for limit, n in _NODES if n <= nodes] + [10.0 * (nodes // 64) if nodes > 128 else 0.0])
