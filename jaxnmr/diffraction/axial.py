"""Axial-divergence asymmetry (Finger, Cox & Jephcoat 1994) as a weighted sum of shifted symmetric profiles.

The aberration spreads a reflection at 2theta over apparent angles between ``2 phi_min`` and 2theta. Here the two
half-heights are equal, ``S = H``, and ``shl = (S + H)/L``. The density is singular at 2theta; the substitution
``delta = 2theta - (2theta - 2phi_min) u²`` removes the singularity, so that Gauss-Legendre in ``u`` converges fast.

Source: Finger, Cox & Jephcoat, J. Appl. Cryst. 27, 892 (1994), eqs. 4 and 7a; van Laar & Yelon, ibid. 17, 47 (1984).
"""

import jax.numpy as jnp
import numpy as np

_DEG = np.pi / 180.0
_GSAS_TABLE_SIZES = np.array([*range(2, 31, 2), *range(40, 121, 10), *range(140, 301, 20), 400])


def lowest_angle(two_theta, shl, xp=jnp):
    """``2 phi_min`` in degrees: the far end of the asymmetric tail, beyond which nothing is seen."""
    return xp.arccos(xp.clip(xp.sqrt(1.0 + shl * shl) * xp.cos(_DEG * two_theta), -1 + 1e-12, 1 - 1e-12)) / _DEG


def axial_nodes(two_theta, shl, abscissa, weight, *, linear: bool):
    """Apparent positions and normalised weights of the shifted profiles.

    Args:
        two_theta: ``(n,)`` degrees.
        shl: ``(S + H)/L``; below 1e-6 every node sits at 2theta.
        abscissa, weight: quadrature on [0, 1], broadcastable to ``(n, nodes)``; zero weights switch nodes off.
        linear: nodes linear in 2theta (GSAS) instead of quadratic.

    Returns:
        ``position`` and ``share``, both ``(n, nodes)``; shares add up to 1.
    """
    active = shl > 1e-6
    safe = jnp.where(active, shl, 1e-2)
    two_theta = two_theta[:, None]
    spread = two_theta - lowest_angle(two_theta, safe)
    fraction, jacobian = (1.0 - abscissa, 1.0) if linear else (abscissa**2, abscissa)
    delta = two_theta - spread * fraction
    cos0, cos1 = jnp.cos(_DEG * two_theta), jnp.cos(_DEG * delta)
    gap = jnp.sin(_DEG * spread * fraction) * jnp.sin(_DEG * (2.0 * two_theta - spread * fraction))
    # cos²(delta) - cos²(2theta) = sin(2theta - delta) sin(2theta + delta), without cancellation
    inside = gap > 1e-18
    height = jnp.sqrt(jnp.where(inside, gap, 1.0))
    density = jnp.where(inside, safe * jnp.abs(cos0) / height - 1.0, 0.0)
    share = jnp.abs(weight * jacobian * density / cos1)
    total = jnp.sum(share, axis=1, keepdims=True)
    usable = total > 1e-12
    share = jnp.where(usable, share / jnp.where(usable, total, 1.0), weight / jnp.sum(weight, axis=-1, keepdims=True))
    return (
        jnp.where(active & usable, delta, two_theta * jnp.ones_like(delta)),
        jnp.where(active, share, jnp.broadcast_to(weight / jnp.sum(weight, axis=-1, keepdims=True), share.shape)),
    )


def quadrature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre on [0, 1], each ``(1, n)``."""
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * (x + 1.0)[None], 0.5 * w[None]


def gsas_quadrature(two_theta, shl, gamma_centideg) -> tuple[np.ndarray, np.ndarray]:
    """GSAS-II's nodes (host): the upper half of a rule whose size follows spread and Lorentzian width.

    They are too few for laboratory data (1 to 3), so this is for comparison with GSAS-II only.

    Returns:
        abscissa and weight, ``(n, nodes)``, unused nodes with weight 0.
    """
    spread = np.abs(two_theta - lowest_angle(two_theta, shl, np))
    wanted = np.where(gamma_centideg > 0, 300.0 * spread / np.maximum(gamma_centideg, 1e-9), 200.0 * spread).astype(int)
    index = np.minimum(np.searchsorted(_GSAS_TABLE_SIZES, wanted), len(_GSAS_TABLE_SIZES) - 1)
    half = _GSAS_TABLE_SIZES[index] // 2
    nodes = int(half.max())
    abscissa, weight = np.full((len(half), nodes), 0.5), np.zeros((len(half), nodes))
    for n in np.unique(half):
        x, w = np.polynomial.legendre.leggauss(2 * n)
        abscissa[half == n, :n], weight[half == n, :n] = x[n:], w[n:]
    return abscissa, weight


def nodes_needed(spread_over_fwhm: float) -> int:
    """Nodes for which the profile is converged to 1e-4 of its height, given spread over FWHM of the worst peak."""
    return int(np.clip(4 * np.ceil((4.0 + 3.0 * spread_over_fwhm) / 4.0), 4, 64))
