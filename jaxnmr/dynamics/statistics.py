"""Means of correlated series and their errors (host).

Frames of a simulation remember those before. With the normalised autocorrelation rho(t), the variance of a mean over n frames is

    var(mean) = 2 tau var(x) / n,     tau = 1/2 + rho(1) + rho(2) + ...

tau is the integrated autocorrelation time in frames, 1/2 where frames are independent. The sum ends at the first W of at least 4
tau(W), the automatic window of A. Sokal, *Monte Carlo Methods in Statistical Mechanics*, Lausanne (1989). Atoms swing, and rho
with them: its sums look complete while it still goes back and forth. W is therefore at least 4 times the sum of those
abs(rho) that stand out from noise, too. Deviations from a mean of few frames are too small; that of the sum over the
window is made good by 1 - (2 W + 1)/n (U. Wolff, *Comput. Phys. Commun.* **156**, 143, 2004, eq. 49). The variance of a mean is
then itself known to 2 (2 W + 1)/n, relative and squared (eq. 42), as from n/(2 W + 1) degrees of freedom, which is what
Student's distribution asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from ..errors import DataError, ParameterError

# lags of the window over tau; frames over tau, and degrees of freedom, below which errors themselves are hardly known
_WINDOW, _SHORT, _FREEDOM = 4.0, 50.0, 6.0
_FEWEST = 4
# columns at once: bounds the memory of the transforms
_COLUMNS = 512
# shares of a series that may be dropped, and the gain in independent frames that makes it worth while
_DROPPED, _GAIN = np.arange(11) / 20.0, 1.25


@dataclass(frozen=True, repr=False)
class MeanError:
    """The mean of a series and how well it is known; arrays have the shape of one frame.

    Attributes:
        mean: over the frames that count.
        error: its standard error, from the autocorrelation time.
        blocked: the same by blocks, for comparison.
        tau: integrated autocorrelation time in frames, at least 1/2.
        effective: number of independent frames, ``frames / (2 tau)``.
        freedom: degrees of freedom that ``error`` is known from.
        frames: how many count.
        discarded: how many were left out at the beginning.
    """

    mean: Float[np.ndarray, ...]
    error: Float[np.ndarray, ...]
    blocked: Float[np.ndarray, ...]
    tau: Float[np.ndarray, ...]
    effective: Float[np.ndarray, ...]
    freedom: Float[np.ndarray, ...]
    frames: int
    discarded: int

    @property
    def short(self) -> Bool[np.ndarray, ...]:
        """Where the series is shorter than 50 tau, or its error known from fewer than 6 degrees of freedom.

        Intervals are then wide and may yet be too narrow: what is remembered longer than the series goes unseen.
        """
        return (self.frames < _SHORT * self.tau) | (self.freedom < _FREEDOM)

    def width(self, probability: float = 0.95) -> Float[np.ndarray, ...]:
        """Half of the width of an interval about the mean, by Student's distribution.

        Args:
            probability: that the interval contains what an endless series would say.

        Raises:
            ParameterError: a probability that is none.
        """
        if not 0 < probability < 1:
            raise ParameterError(f"probability is {probability}; expected a number between 0 and 1, such as 0.95")
        return self.error * stdtrit(self.freedom, 0.5 + 0.5 * probability)

    def __repr__(self) -> str:
        count, shape = int(np.sum(self.short)), np.shape(self.mean)
        what = f"{float(self.mean):.6g} ± {float(self.error):.2g}" if not shape else f"shape {shape}"
        return f"MeanError({what}, {self.frames} frames, {count} of {self.mean.size} too short)"


def mean_error(series: Float[np.ndarray, "frames ..."], *, discard: int | None = 0) -> MeanError:
    """Mean and error of every column of a series.

    Args:
        series: one row per frame, equally spaced in time.
        discard: frames to leave out at the beginning; ``None`` for those of :func:`settling`.

    Raises:
        DataError: fewer than four frames, or numbers that are not finite.
        ParameterError: a number of frames to leave out that makes no sense.
    """
    values = _checked(series)
    skipped = settling(values) if discard is None else discard
    if not (isinstance(skipped, int | np.integer) and 0 <= skipped <= len(values) - _FEWEST):
        raise ParameterError(
            f"discard is {discard!r}; expected a number of frames that leaves {_FEWEST} of {len(values)} or more"
        )
    kept, shape = values[skipped:], values.shape[1:]
    columns, count = kept.reshape(len(kept), -1), len(kept)
    parts = [_columns(columns[:, k : k + _COLUMNS]) for k in range(0, columns.shape[1], _COLUMNS)]
    joined = [np.concatenate([part[k] for part in parts]) if parts else np.zeros(0) for k in range(4)]
    error, blocked, tau, freedom = (each.reshape(shape) for each in joined)
    return MeanError(
        mean=kept.mean(axis=0), error=error, blocked=blocked, tau=tau, effective=count / (2.0 * tau), freedom=freedom,
        frames=count, discarded=int(skipped),
    )  # fmt: skip


def settling(series: Float[np.ndarray, "frames ..."]) -> int:
    """How many frames at the beginning are not yet in equilibrium.

    What a start leaves behind looks like a long memory: without it there are more independent frames (J. D. Chodera, *J. Chem.
    Theory Comput.* **12**, 1799, 2016). Of twentieths of the series, up to a half, that is found which leaves most of them; with
    several columns, by the geometric mean of their numbers. A gain below a quarter is no reason to drop anything: series
    that happen to look short would be preferred. Otherwise twice as much is dropped, because where the number is
    largest the rest of the start still moves the mean by about its error.

    Args:
        series: one row per frame.

    Raises:
        DataError: fewer than four frames, or numbers that are not finite.
    """
    values = _checked(series).reshape(len(series), -1)
    starts = np.unique((_DROPPED * len(values)).astype(int))
    starts = starts[starts <= len(values) - _FEWEST]
    scores = []
    for first in starts:
        taus = [_window(values[first:, k : k + _COLUMNS])[0] for k in range(0, values.shape[1], _COLUMNS)]
        scores.append(np.log(len(values) - first) - np.mean(np.log(np.concatenate(taus))) if taus else 0.0)
    best = int(np.argmax(scores))
    if scores[best] < scores[0] + np.log(_GAIN):
        return 0
    return min(2 * int(starts[best]), int(starts[-1]))


def _checked(series: np.ndarray) -> np.ndarray:
    try:
        if np.iscomplexobj(series):
            raise TypeError("these are complex")
        values = np.asarray(series, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected one row of real numbers per frame, all of one shape: {error}") from error
    if values.ndim < 1 or len(values) < _FEWEST:
        found = len(values) if values.ndim else 0
        raise DataError(
            f"a series of {found} frames says nothing of its error; expected {_FEWEST}, better 100, or more"
        )
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        raise DataError(f"frame {bad[0]} (of {len(bad)} such) holds numbers that are not finite; leave them out")
    return values


def _columns(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Error by tau, error by blocks, tau, degrees of freedom."""
    count = len(columns)
    tau, window = _window(columns)
    seen = 1.0 - (2.0 * window + 1.0) / count
    variance = 2.0 * tau * columns.var(axis=0) / count / np.maximum(seen, 0.2)
    return np.sqrt(variance), _blocked(columns), tau, np.maximum(count / (2.0 * window + 1.0), 1.0)


def _window(columns: np.ndarray) -> tuple[Float[np.ndarray, " columns"], Int[np.ndarray, " columns"]]:
    """Autocorrelation time and the window it was summed over."""
    count = len(columns)
    size = 1 << int(2 * count - 1).bit_length()
    spectrum = np.fft.rfft(columns - columns.mean(axis=0), size, axis=0)
    product = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=0)[: count // 2 + 1]
    product /= (count - np.arange(len(product)))[:, None]
    # a column that does not move has no memory; what rounding leaves of it is none either
    still = product[0] <= 1e-26 * np.mean(columns**2, axis=0)
    rho = np.where(still, 0.0, product / np.where(still, 1.0, product[0]))
    sums = 0.5 + np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(rho[1:], axis=0)])
    sums = np.maximum(sums, 0.5)
    # atoms swing: sums of what changes its sign look complete too early, those of sizes that stand out from noise do not
    noise = 1.0 / np.sqrt(count)
    sizes = np.where(np.abs(rho) > 2.0 * noise, np.abs(rho), 0.0)
    sizes[0] = 0.5
    enough = np.arange(len(sums))[:, None] >= _WINDOW * np.maximum(sums, np.cumsum(sizes, axis=0))
    # frames that do not resemble the next ones at all are taken for independent
    enough[0] |= (rho[1] <= 0.5 * noise) & (np.max(rho[2:5], axis=0, initial=-1.0) < 2.0 * noise)
    enough[-1] = True
    window = np.argmax(enough, axis=0)
    return np.take_along_axis(sums, window[None], axis=0)[0], window


def _blocked(columns: np.ndarray) -> Float[np.ndarray, " columns"]:
    """Standard error by blocks (H. Flyvbjerg and H. G. Petersen, *J. Chem. Phys.* **91**, 461, 1989).

    Of blocks of 1, 2, 4, ... frames those are taken that are long enough by R. M. Lee et al., *Phys. Rev. E* **83**, 066706
    (2011): B³ > 2 n (s_B/s_1)⁴, with s_B the error that blocks of B give.
    """
    count, blocks, length = len(columns), columns, 1
    first: np.ndarray | None = None
    chosen = np.zeros(columns.shape[1])
    open_ = np.ones(columns.shape[1], dtype=bool)
    while len(blocks) >= _FEWEST:
        error = np.sqrt(blocks.var(axis=0, ddof=1) / len(blocks))
        first = error if first is None else first
        chosen = np.where(open_, error, chosen)
        ratio = np.divide(error, first, out=np.zeros_like(error), where=first > 0)
        open_ &= length**3 <= 2.0 * count * ratio**4
        half = len(blocks) // 2
        blocks, length = 0.5 * (blocks[0 : 2 * half : 2] + blocks[1 : 2 * half : 2]), 2 * length
    return chosen
