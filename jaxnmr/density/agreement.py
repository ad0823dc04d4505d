"""Agreement of line areas on an unknown scale (host)."""

import numpy as np
from jaxtyping import Float

# standard deviation of the logarithm of the unknown scale: a nearly flat prior
SCALE_SPREAD = 3.0


def best_scale(area: Float[np.ndarray, " n"], calculated: Float[np.ndarray, " n"]) -> float:
    """Return the scale for which square roots of areas agree best."""
    return float((np.sqrt(area * calculated).sum() / calculated.sum()) ** 2)


def r_factor(area: Float[np.ndarray, " n"], calculated: Float[np.ndarray, " n"]) -> float:
    """Return ``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``."""
    return float(np.abs(np.sqrt(area) - np.sqrt(calculated)).sum() / np.sqrt(area).sum())


def root_mean_square(residual: Float[np.ndarray, " n"]) -> float:
    """Return the root mean square of whitened residuals."""
    return float(np.sqrt(np.mean(residual**2)))
