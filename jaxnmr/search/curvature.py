"""The direction along which a function curves least, from a few products with its second derivatives (host)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# how many products are worth it: of a guess that is right to a factor, so many tell a negative curvature from none
PRODUCTS = 14


def lowest_curvature(
    product: Callable[[np.ndarray], np.ndarray | None], guess: np.ndarray, *, products: int = PRODUCTS, seed: int = 0
) -> tuple[float, np.ndarray]:
    """The lowest curvature in units of a guess, and its direction (C. Lanczos, *J. Res. Natl. Bur. Stand.* **45**, 255, 1950).

    Args:
        product: second derivatives times a vector; ``None`` where it cannot be had, which ends the search.
        guess: ``(n, n)`` positive definite; relative to it curvatures are of the order of 1, so that negative ones stand out.
        products: at most; the answer is exact where n is not larger.
        seed: of the first direction.

    Returns:
        The lowest ``p H p / p guess p`` that was found, an upper bound of the lowest, and p with ``p guess p = 1``.
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
        # against all that came before, twice, so that rounding does not bring old directions back
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
