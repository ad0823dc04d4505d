"""Direction of lowest curvature of a function, from a few Hessian-vector products (host)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# number of products that distinguishes a negative curvature, if the guess is right to a constant factor
PRODUCTS = 14


def lowest_curvature(
    product: Callable[[np.ndarray], np.ndarray | None], guess: np.ndarray, *, products: int = PRODUCTS, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Return the lowest relative curvature and its direction (C. Lanczos, *J. Res. Natl. Bur. Stand.* **45**, 255, 1950).

    Args:
        product: returns the Hessian times a vector, or ``None`` if that is impossible, which ends the search.
        guess: ``(n, n)`` positive definite guess of the Hessian; relative curvatures are then of order 1, and negative
            ones stand out.
        products: maximum number of products; with n or more the result is exact.
        seed: seed of the first direction.

    Returns:
        The lowest ``p H p / p guess p`` found, an upper bound of the true minimum, and p with ``p guess p = 1``.
    """
    size = len(guess)
    inverse = np.linalg.inv(np.linalg.cholesky(guess))
    q = np.random.default_rng(seed).normal(size=size)
    basis, images = [q / np.linalg.norm(q)], []
    for _ in range(min(products, size)):
        image = product(inverse.T @ basis[-1])
        if image is None:
            break
        images.append(inverse @ image)
        # orthogonalise against all previous directions, twice because of rounding
        rest = images[-1].copy()
        for _ in range(2):
            rest -= np.array(basis).T @ (np.array(basis) @ rest)
        if np.linalg.norm(rest) < 1e-6 * np.linalg.norm(images[-1]):
            break
        basis.append(rest / np.linalg.norm(rest))
    if not images:
        return np.inf, np.zeros(size)
    known = np.array(basis[: len(images)])
    small = known @ np.array(images).T
    values, vectors = np.linalg.eigh(0.5 * (small + small.T))
    return float(values[0]), inverse.T @ (known.T @ vectors[:, 0])
