"""Several processes that train one model together, on one machine or many (host)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np

from ...errors import ConventionError, DataError
from .roll_call import roll_call

T = TypeVar("T")


def join(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, seconds: int = 300
) -> None:
    """Make this process one of several that train together; must be called before any calculation.

    Args:
        coordinator: ``"HOST:PORT"`` on which process 0 listens.
        processes: number of processes.
        process: index of this process, from 0.
        seconds: time to wait for the others.

    Missing arguments are taken from the scheduler (SLURM, Open MPI and others that ``jax.distributed.initialize``
    supports).

    Raises:
        ConventionError: numbers are inconsistent, the scheduler provides none, the coordinator does not answer,
            processes are missing, or something was calculated before.
    """
    if processes is not None and processes < 1:
        raise ConventionError(f"there are {processes} processes; expected one at least")
    if process is not None and (process < 0 or (processes is not None and process >= processes)):
        raise ConventionError(
            f"this is process {process} of {processes}: processes are numbered from 0"
            + ("" if processes is None else f" to {processes - 1}")
        )
    if coordinator is not None:
        _, colon, port = coordinator.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConventionError(f"the coordinator is {coordinator!r}; expected HOST:PORT, such as node17:12345")
        if processes is not None and process is not None:
            roll_call(coordinator, processes, process, seconds)
    try:
        jax.distributed.initialize(coordinator, processes, process, initialization_timeout=seconds)
    except ValueError as error:
        raise ConventionError(
            f"no scheduler says how many processes there are and where ({error}): start them with srun or mpirun, or give "
            "coordinator, number of processes and number of this process"
        ) from error
    except RuntimeError as error:
        raise ConventionError(
            f"this process cannot join others, which is done once and before anything is calculated ({error})"
        ) from error


def count_processes() -> int:
    """Return the number of processes that train together; 1 if none were joined."""
    return jax.process_count()


def is_first() -> bool:
    """Return whether this process is the first, the only one that writes files."""
    return jax.process_index() == 0


def in_all(function: Callable[[], T]) -> T:
    """Return the result of a function in this process, unless it fails in any of the processes.

    Raises:
        DataError: it failed in another process; if it fails here, its own exception is raised.
    """
    if jax.process_count() == 1:
        return function()
    from jax.experimental.multihost_utils import process_allgather

    problem: Exception | None = None
    try:
        found = function()
    except Exception as error:  # the others are waiting for the outcome
        problem = error
    failed = np.flatnonzero(process_allgather(np.bool_(problem is not None)))
    if problem is not None:
        raise problem
    if len(failed):
        raise DataError(f"process {', '.join(map(str, failed))} cannot go on, and says why")
    return found


def from_first(content: Callable[[], bytes | None]) -> bytes | None:
    """Return the result of a function in the first process, on all of them; errors as for :func:`in_all`."""
    if jax.process_count() == 1:
        return content()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    mine = in_all(lambda: content() if is_first() else None)
    size = int(broadcast_one_to_all(np.int32(-1 if mine is None else len(mine))))
    if size < 0:
        return None
    sent = np.zeros(size, np.uint8) if mine is None else np.frombuffer(mine, np.uint8)
    return np.asarray(broadcast_one_to_all(sent)).tobytes()


def require_same(contents: Mapping[str, bytes]) -> None:
    """Refuse to train together if inputs differ between processes.

    Args:
        contents: contents by description.

    Raises:
        DataError: an input of some process differs; raised in all of them.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental.multihost_utils import process_allgather

    mine = np.stack([np.frombuffer(hashlib.sha256(content).digest(), np.uint8) for content in contents.values()])
    everywhere = np.asarray(process_allgather(mine))
    for k, what in enumerate(contents):
        others = [p for p in range(len(everywhere)) if not np.array_equal(everywhere[p, k], everywhere[0, k])]
        if others:
            raise DataError(
                f"process {', '.join(map(str, others))} of {len(everywhere)} has another {what} than process 0: give all of "
                "them the same files and the same version of jaxnmr"
            )


def step_devices(devices: Sequence[jax.Device] | None, batch: int) -> tuple[jax.Device, ...]:
    """Return the devices that take part in a step.

    Args:
        devices: all of them; by default all devices of all processes, or for a single process at most one per structure
            of a step.
        batch: largest number of structures in a step.

    Raises:
        ConventionError: there are more devices than structures, one is named twice, or none belongs to this process.
    """
    if devices is None:
        devices = jax.devices() if jax.process_count() > 1 else jax.devices()[:batch]
    devices = tuple(devices)
    if not devices or not all(hasattr(device, "platform") for device in devices):
        raise ConventionError(f"devices is {devices!r}; expected some of jax.devices()")
    if len(set(devices)) < len(devices):
        raise ConventionError("a device is named twice")
    if len(devices) > batch:
        raise ConventionError(
            f"a step has {batch} structures (batch), too few for {len(devices)} devices: raise batch, and with it the learning "
            "rate, or take fewer devices"
        )
    if {device.process_index for device in devices} != set(range(jax.process_count())):
        raise ConventionError("every process must have one of the devices that train, and start no other one")
    return devices
