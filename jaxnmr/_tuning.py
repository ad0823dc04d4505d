"""What depends on the kind of device: how much is calculated at once. The results do not, apart from rounding.

Plans choose on the host, when they are made, and keep what they chose; kernels read the plan. So a plan for an accelerator can be
made, and compiled for it, on a machine without one.
"""

import sys
from dataclasses import dataclass

import jax

from .errors import ConventionError

ALL = sys.maxsize
"""However many there are."""


@dataclass(frozen=True)
class Tuning:
    """How much a kind of device calculates at once.

    Attributes:
        tiles: of a powder pattern, a divisor of 16 or `ALL`.
        room: tiles to lay out for each that is in use, at least, and by what factor their numbers are rounded up.
        crystallites: whose sidebands are calculated at once.
        sites: of a spectrum; memory grows with them.
        derivative_bytes: memory for derivatives of a network.
        refinements: problems of a batch.
        members: of an ensemble that are trained at once.
        shape_edges: edges of training batches that take as long as compiling the step for batches of one more size.
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
    # empty places are skipped: peaks can become several times as wide without another program, and similar patterns share one
    room=(2.5, 2.0),
    # the amplitudes of 256 crystallites, of some 64 bands, take a quarter of a megabyte; all at once take several times longer
    crystallites=256,
    sites=1,
    # 8 MiB: what leaves the cache is slower (36 columns one by one took a third of the time of all at once, for 36 atoms)
    derivative_bytes=2**23,
    # vectorised, empty places of a pattern's layout could no longer be skipped: 2.5 times slower
    refinements=1,
    # three at once take 1.7 times as long as one after the other: batches of one size for all are padded more
    members=1,
    # 11 to 18 s for 9 to 14 µs each (silica-29si)
    shape_edges=1.3e6,
)
# wide devices: as much at once as memory allows
ACCELERATOR = Tuning(
    # all tiles at once, and so the empty ones as well
    tiles=ALL, room=(1.4, 1.1), crystallites=ALL, sites=16, derivative_bytes=2**30, refinements=64, members=ALL,
    # not measured: as long to compile, and small batches take no longer than their kernels to start
    shape_edges=3e7,
)  # fmt: skip
KINDS = {"cpu": PROCESSOR, "gpu": ACCELERATOR, "tpu": ACCELERATOR}


def tuning(device: str | None = None) -> Tuning:
    """What suits a kind of device (host).

    Args:
        device: ``"cpu"``, ``"gpu"`` or ``"tpu"``; by default the kind that JAX computes on, ``jax.default_backend()``.

    Raises:
        ConventionError: no such kind.
    """
    if device is None:
        return of_platform(jax.default_backend())
    if device not in KINDS:
        raise ConventionError(f"device is {device!r}; expected one of {', '.join(map(repr, KINDS))}")
    return KINDS[device]


def of_platform(name: str) -> Tuning:
    """What suits a platform as JAX names it; whatever is no processor is taken for an accelerator."""
    return KINDS.get(name, ACCELERATOR)
