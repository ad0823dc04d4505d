"""Distributions of tensors in disordered solids, as quadratures with a refinable width.

Isotropic Gaussian noise on a traceless tensor, ``T = T0 + sigma/2 S(U)`` with five independent standard normal numbers U
in ``S``. With ``T0 = 0`` this is the Czjzek distribution ``p(V, eta) ~ V^4 eta (1 - eta^2/9) exp(-V^2 (1 + eta^2/3)/(2
sigma^2))`` of the largest principal value V (C_Q, zeta), otherwise the extended Czjzek model. The nodes U are fixed, so
that a spectrum is a smooth function of T0 and sigma. (mrsimulator's sigma is half of this one.)

Source: Czjzek et al., Phys. Rev. B 23, 2513 (1981); Le Caer, Bureau & Massiot, J. Phys.: Condens. Matter 22, 065402
(2010).
"""

from statistics import NormalDist

import numpy as np
from jaxtyping import Float


def czjzek_nodes(
    sizes: int = 40, asymmetries: int = 12
) -> tuple[Float[np.ndarray, "nodes 3 3"], Float[np.ndarray, " nodes"]]:
    """Return nodes for pure noise (``T0 = 0``), in principal axes.

    The size of the noise and its asymmetry are independent: a Gauss rule in eta, and evenly spaced nodes in the size,
    shifted from one eta to the next so that the edges of their patterns interleave.

    Returns:
        Tensors for sigma = 1, half of them with the opposite sign, and their weights.
    """
    x, weight = np.polynomial.legendre.leggauss(asymmetries)
    eta = (x + 1) / 2
    weight = weight * eta * (1 - eta**2 / 9) * (1 + eta**2 / 3) ** -2.5
    step = 6.0 / sizes
    shift = (np.arange(asymmetries) * (np.sqrt(5) - 1) / 2) % 1.0
    size = step * (np.arange(sizes)[None, :] + shift[:, None])
    weight = (weight[:, None] * size**4 * np.exp(-(size**2) / 2)).ravel()
    eta = np.repeat(eta, sizes)
    largest = size.ravel() / np.sqrt(1 + eta**2 / 3)
    shape = np.stack([-(1 + eta) / 2, -(1 - eta) / 2, np.ones_like(eta)], axis=1)
    tensors = (largest * np.where(np.arange(len(eta)) % 2, 1.0, -1.0))[:, None, None] * shape[:, :, None] * np.eye(3)
    keep = weight > 1e-7 * weight.max()
    return tensors[keep], weight[keep] / weight[keep].sum()


def gaussian_nodes(count: int = 512) -> tuple[Float[np.ndarray, "nodes 3 3"], Float[np.ndarray, " nodes"]]:
    """Return nodes for noise on a tensor: low-discrepancy normal numbers, made exact in mean and covariance.

    Returns:
        Tensors for sigma = 1 and their weights.
    """
    half = count // 2
    # additive recurrence on the generalised golden ratio of five dimensions (root of x^6 = x + 1)
    ratio = 1.1347241384015194
    uniform = (0.5 + np.outer(np.arange(1, half + 1), ratio ** -np.arange(1.0, 6.0))) % 1.0
    normal = np.vectorize(NormalDist().inv_cdf)(uniform)
    normal = np.concatenate([normal, -normal])
    normal = normal @ np.linalg.inv(np.linalg.cholesky(normal.T @ normal / len(normal))).T
    u1, u2, u3, u4, u5 = normal.T
    root = np.sqrt(3.0)
    rows = [
        [root * u5 - u1, root * u4, root * u2],
        [root * u4, -root * u5 - u1, root * u3],
        [root * u2, root * u3, 2 * u1],
    ]
    return np.moveaxis(np.array(rows), 2, 0) / 2, np.full(len(normal), 1 / len(normal))
