"""Batch sizes that depend on the type of device. They do not affect results, apart from rounding.

Plans choose them on the host when they are made and keep the choice; kernels read the plan. A plan for an accelerator
can therefore be made, and compiled for it, on a machine without one.
"""

import sys
from dataclasses import dataclass

import jax

from .errors import ConventionError

ALL = sys.maxsize
"""All of them, whatever their number."""


@dataclass(frozen=True)
class Tuning:
    """Amounts of work that a type of device handles at once.

    Attributes:
        tiles: tiles of a powder pattern, a divisor of 16 or `ALL`.
        room: minimum number of tiles laid out per tile in use, and the factor by which their number is rounded up.
        crystallites: crystallites whose sidebands are calculated at once.
        sites: sites of a spectrum; memory grows with them.
        derivative_bytes: memory for derivatives of a network.
        refinements: problems in a batch.
        members: ensemble members trained at once.
        shape_edges: edges of training batches whose processing takes as long as compiling one more batch size.
    """

    tiles: int
    room: tuple[float, float]
    crystallites: int
    sites: int
    derivative_bytes: int
    refinements: int
    members: int
    shape_edges: float


PROCESSOR = Tuning(
    # 16 tiles stay in a core's cache
    tiles=16,
    # empty places are skipped: peaks can become several times wider with the same program, and similar patterns share
    # one
    room=(2.5, 2.0),
    # the amplitudes of 256 crystallites, of some 64 bands, take a quarter of a megabyte; all at once take several times longer
    crystallites=256,
    sites=1,
    # 8 MiB: data beyond the cache is slower (36 columns one by one took a third of the time of all at once, for 36
    # atoms)
    derivative_bytes=2**23,
    # when vectorised, empty places of a pattern's layout could no longer be skipped: 2.5 times slower
    refinements=1,
    # three at once take 1.7 times as long as one after another: batches of a common size need more padding
    members=1,
    # 11 to 18 s for 9 to 14 µs each (silica-29si)
    shape_edges=1.3e6,
)
# wide devices: as much at once as memory allows
ACCELERATOR = Tuning(
    # all tiles at once, including empty ones
    tiles=ALL, room=(1.4, 1.1), crystallites=ALL, sites=16, derivative_bytes=2**30, refinements=64, members=ALL,
    # not measured: compilation takes as long, and small batches take no longer than launching their kernels
    shape_edges=3e7,
)  # fmt: skip
KINDS = {"cpu": PROCESSOR, "gpu": ACCELERATOR, "tpu": ACCELERATOR}


def tuning(device: str | None = None) -> Tuning:
    """Return the settings for a type of device (host).

    Args:
        device: ``"cpu"``, ``"gpu"`` or ``"tpu"``; by default the type JAX computes on, ``jax.default_backend()``.

    Raises:
        ConventionError: no such type.
    """
    if device is None:
        return of_platform(jax.default_backend())
    if device not in KINDS:
        raise ConventionError(f"device is {device!r}; expected one of {', '.join(map(repr, KINDS))}")
    return KINDS[device]


def of_platform(name: str) -> Tuning:
    """Return the settings for a platform as JAX names it; anything but a CPU counts as an accelerator."""
    return KINDS.get(name, ACCELERATOR)
