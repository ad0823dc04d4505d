"""Assignment of peaks to points: the sparse layout of profile sums.

Points are divided into blocks of 32. A *tile* is one block with up to 16 of the peaks that reach it, so that work and
memory grow with points times overlapping peaks, and there is never a points x reflections array. Near its
centre a peak is summed over its axial-divergence nodes as a full pseudo-Voigt (*core* tiles). Further out the
Gaussian part has vanished and the nodes act as one Lorentzian at their centroid (*tail* tiles).
"""

from collections.abc import Sequence
from math import ceil, log
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from .._struct import Struct
from .._tuning import PROCESSOR
from ..typing import Array

POINTS = 32
PEAKS = 16


class Tiles(Struct):
    """A list of tiles, sorted by block; unused places hold the index of a dummy peak of zero area.

    Attributes:
        block: index of the block of points.
        peaks: indices of the peaks.
        used: number of tiles in use; the rest is room to grow and costs no time.
    """

    block: Int[Array, " tiles"]
    peaks: Int[Array, "tiles 16"]
    used: Int[Array, ""] | np.int32

    @classmethod
    def plan(
        cls,
        touches: Sequence[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]],
        n_blocks: int,
        dummy: int,
        capacity: int,
        room: tuple[float, float] = PROCESSOR.room,
    ) -> Self:
        """Pack ``(block, peak)`` pairs into tiles (host).

        Args:
            touches: lists of pairs ``(blocks, peaks)``, each pair once.
            n_blocks: number of blocks.
            dummy: index of the dummy peak.
            capacity: number of tiles to keep if they suffice, so that compiled programs survive a rebuild.
            room: as for :func:`roomy`, used if they do not suffice.
        """
        block = np.concatenate([t[0] for t in touches]) if touches else np.zeros(0, dtype=int)
        peak = np.concatenate([t[1] for t in touches]) if touches else np.zeros(0, dtype=int)
        order = np.lexsort((peak, block))
        block, peak = block[order], peak[order]
        per_block = np.bincount(block, minlength=n_blocks)
        tiles_per_block = -(-per_block // PEAKS)
        first_tile = np.concatenate([[0], np.cumsum(tiles_per_block)])
        rank = np.arange(len(block)) - np.concatenate([[0], np.cumsum(per_block)])[block]
        used = int(first_tile[-1])
        total = capacity if used <= capacity else roomy(used, room)
        peaks = np.full((total, PEAKS), dummy, dtype=np.int32)
        peaks[first_tile[block] + rank // PEAKS, rank % PEAKS] = peak
        blocks = np.full(total, n_blocks - 1, dtype=np.int32)
        blocks[:used] = np.repeat(np.arange(n_blocks), tiles_per_block)
        return cls(block=blocks, peaks=peaks, used=np.int32(used))

    @classmethod
    def empty(cls, capacity: int) -> Self:
        """Return room for this many tiles, none of them in use."""
        peaks = np.zeros((capacity, PEAKS), np.int32)
        return cls(block=np.zeros(capacity, np.int32), peaks=peaks, used=np.int32(0))

    @property
    def capacity(self) -> int:
        return self.block.shape[0]


def roomy(n: int, room: tuple[float, float]) -> int:
    """Return the number of tiles to lay out if ``n`` are in use; ``room`` as in `Tuning`.

    It is a multiple, so that peaks can broaden, rounded to sizes that similar patterns share.
    """
    return rounded_up(room[0] * n, first=64, factor=room[1])


def rounded_up(n: float, *, first: int, factor: float) -> int:
    """Return the smallest of ``first``, ``first factor``, ``first factor²`` ... that holds ``n``, as a multiple of 8.

    Similar structures and data need similar sizes; rounded in this way, they are mostly equal and share programs.
    """
    steps = max(ceil(log(max(n, 1.0) / first) / log(factor) - 1e-9), 0)
    return 8 * ceil(first * factor**steps / 8 - 1e-9)


def blocks_between(
    block_low: Float[np.ndarray, " blocks"],
    block_high: Float[np.ndarray, " blocks"],
    low: Float[np.ndarray, " n"],
    high: Float[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the first and one-past-last block that overlap each interval ``[low, high]``."""
    return np.searchsorted(block_high, low), np.searchsorted(block_low, high, side="right")


def expand_ranges(
    first: Int[np.ndarray, " peaks"], stop: Int[np.ndarray, " peaks"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """List all ``(block, peak)`` pairs of per-peak block ranges ``[first, stop)``."""
    count = np.maximum(stop - first, 0)
    peak = np.repeat(np.arange(len(first)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return first[peak] + offset, peak


def plan_tiles(
    block_low: Float[np.ndarray, " blocks"],
    block_high: Float[np.ndarray, " blocks"],
    position: Float[np.ndarray, "peaks lines"],
    fwhm: Float[np.ndarray, " peaks"],
    eta: Float[np.ndarray, " peaks"],
    spread: Float[np.ndarray, " peaks"],
    cutoff: float,
    *,
    core_only: bool,
    present: Bool[np.ndarray, " peaks"],
    capacity: tuple[int, int] = (0, 0),
    room: tuple[float, float] = PROCESSOR.room,
) -> tuple[Tiles, Tiles]:
    """Lay out the core and tail tiles of a list of peaks (host).

    Args:
        block_low, block_high: first and last 2theta of each block.
        position: 2theta of each line of each peak.
        fwhm, eta: width in degrees and Lorentzian fraction.
        spread: signed extent of the axial tail in degrees, ``2theta - 2phi_min``.
        cutoff: a peak is followed until it has fallen to this fraction of its height.
        core_only: sum the axial nodes all the way (exact, slower).
        present: false for padding.
        capacity: minimum numbers of core and tail tiles; ``room`` as for :func:`roomy` if more are needed.
    """
    lorentz = eta * 2.0 / (np.pi * fwhm)
    height = lorentz + (1.0 - eta) * 2.0 * np.sqrt(np.log(2.0) / np.pi) / fwhm
    reach_lorentz = 0.5 * fwhm * np.sqrt(np.maximum(lorentz / (cutoff * height) - 1.0, 0.0))
    reach_gauss = 0.5 * fwhm * np.sqrt(np.log(1.0 / cutoff) / np.log(2.0))
    # beyond 3.5 FWHM the Gaussian is below 1e-14; replacing the nodes by their centroid has an error of about
    # 3 variance/x² of a tail that has decayed as x⁻²: below 1e-5 of the height at the distance chosen here
    variance = (0.3 * spread) ** 2
    reach_core = np.maximum(3.5 * fwhm, (0.75e5 * fwhm**2 * variance) ** 0.25)
    reach_all = np.maximum(reach_lorentz, reach_gauss) * 1.05 + 0.1 * fwhm
    reach_core = reach_all if core_only else np.minimum(reach_core * 1.1, reach_all)
    left, right = position.min(axis=1), position.max(axis=1)
    low_tail, high_tail = np.minimum(left, left - spread), np.maximum(right, right - spread)
    all_first, all_stop = blocks_between(block_low, block_high, low_tail - reach_all, high_tail + reach_all)
    core_first, core_stop = blocks_between(block_low, block_high, low_tail - reach_core, high_tail + reach_core)
    gone = ~present
    core_first, core_stop, all_stop = (np.where(gone, all_first, edge) for edge in (core_first, core_stop, all_stop))
    n_blocks, dummy = len(block_low), len(position)
    core = Tiles.plan([expand_ranges(core_first, core_stop)], n_blocks, dummy, capacity[0], room)
    before, after = expand_ranges(all_first, core_first), expand_ranges(core_stop, all_stop)
    tail = Tiles.plan([before, after], n_blocks, dummy, capacity[1], room)
    return core, tail
