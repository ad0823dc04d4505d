"""Standard errors of means of correlated series."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class MeanError(NamedTuple):
    """Standard error of a mean, and the autocorrelation time in frames."""

    error: Float[np.ndarray, "..."]
    tau: Float[np.ndarray, "..."]


def mean_error(series: Float[np.ndarray, "frames ..."]) -> MeanError:
    """Of every column of a series, by its integrated autocorrelation time with Sokal's window."""
    x = np.asarray(series) - np.mean(series, axis=0)
    n = len(x)
    spectrum = np.fft.rfft(x, 2 * n, axis=0)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n]
    rho = correlation / np.maximum(correlation[:1], 1e-300)
    times = 0.5 + np.cumsum(rho[1:], axis=0)
    lags = np.arange(1, n).reshape(-1, *[1] * (x.ndim - 1))
    enough = lags > 5 * times
    first = np.where(enough.any(axis=0), enough.argmax(axis=0), n - 2)
    tau = np.maximum(np.take_along_axis(times, first[None], axis=0)[0], 0.5)
    return MeanError(np.sqrt(2 * tau * x.var(axis=0) / n), tau)
