"""Prints the numbers of scikit-image that `tests/unit/density/test_density_metrics.py` compares with.

    python -m venv ref && ref/bin/pip install scikit-image && ref/bin/python tools/ssim_reference.py

Runs in an environment of its own: scikit-image is no dependency of the package.
"""

import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def pair(shape: tuple[int, int, int], seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Positive densities of a few blobs around the cell, and one that differs from it."""
    rng = np.random.default_rng(seed)
    x = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1)
    truth = sum(
        rng.uniform(0.5, 3.0)
        * np.exp(np.sum(np.cos(2 * np.pi * (x - rng.uniform(size=3))) - 1.0, axis=-1) * rng.uniform(3, 12))
        for _ in range(5)
    )
    return truth, np.maximum(truth * rng.uniform(0.8, 1.2) + noise * rng.normal(size=shape), 0.0)


def main() -> None:
    print(f"scikit-image {skimage.__version__}")
    for shape, seed, noise in (
        ((16, 16, 16), 1, 0.02),
        ((20, 24, 18), 2, 0.2),
        ((9, 8, 7), 3, 0.5),
        ((50, 50, 50), 4, 0.05),
    ):
        truth, other = pair(shape, seed, noise)
        span = truth.max() - truth.min()
        print(
            f"({shape}, {seed}, {noise}, {structural_similarity(truth, other, data_range=span):.12f}, {peak_signal_noise_ratio(truth, other, data_range=span):.12f}),"
        )


if __name__ == "__main__":
    main()
