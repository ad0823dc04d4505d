"""Several processes that train one model together, on one machine or many (host)."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from ...errors import ConventionError, DataError, JaxnmrError


def join(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, seconds: int = 300
) -> None:
    """Make this process one of several that train together; before anything is calculated.

    Args:
        coordinator: ``"HOST:PORT"`` of process 0, which listens there.
        processes: how many there are.
        process: which of them this one is, from 0.
        seconds: how long to wait for the others.

    What is not given is what a scheduler says (SLURM, Open MPI and whatever else ``jax.distributed.initialize`` knows).

    Raises:
        ConventionError: numbers that do not fit each other, a scheduler that says nothing, a coordinator that does not answer,
            processes that do not come, or too late in this one.
    """
    if processes is not None and processes < 1:
        raise ConventionError(f"there are {processes} processes; expected one at least")
    if process is not None and not 0 <= process < (process + 1 if processes is None else processes):
        raise ConventionError(
            f"this is process {process} of {processes}: processes are numbered from 0"
            + ("" if processes is None else f" to {processes - 1}")
        )
    if coordinator is not None:
        _, colon, port = coordinator.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConventionError(f"the coordinator is {coordinator!r}; expected HOST:PORT, such as node17:12345")
        if process:
            _reach(coordinator, seconds)
    try:
        jax.distributed.initialize(coordinator, processes, process, initialization_timeout=seconds)
    except ValueError as error:
        raise ConventionError(
            f"no scheduler says how many processes there are and where ({error}): start them with srun or mpirun, or give "
            "coordinator, number of processes and number of this process"
        ) from error
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        if "must be called before" in text:
            raise ConventionError(
                "something was calculated already: a process joins others before it calculates"
            ) from error
        raise ConventionError(
            f"the processes did not come together within {seconds} s: start as many as there are said to be, each with a "
            f"number of its own, and all with the address of the first one ({text})"
        ) from error


def _reach(coordinator: str, seconds: float) -> None:
    """Wait until somebody listens; JAX would end the process where nobody does."""
    host, _, port = coordinator.rpartition(":")
    last = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, last - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() > last:
                raise ConventionError(
                    f"nobody listens at {coordinator} ({error}): start process 0 there, and see that the port is open to this "
                    "machine"
                ) from error
        time.sleep(0.2)


def is_first() -> bool:
    """Whether this process writes files; the only one does."""
    return jax.process_index() == 0


def from_first(content: Callable[[], bytes | None]) -> bytes | None:
    """What the first process gets from a function, on all of them."""
    if jax.process_count() == 1:
        return content()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    problem: Exception | None = None
    mine: bytes | None = None
    if is_first():
        try:
            mine = content()
        except Exception as error:  # the others wait
            problem = error
    size = -2 if problem else -1 if mine is None else len(mine)
    size = int(broadcast_one_to_all(np.int32(size)))
    if problem is not None:
        raise problem
    if size == -2:
        raise DataError("the first process cannot go on; what it says is the reason")
    if size == -1:
        return None
    bytes_here = np.zeros(size, np.uint8) if mine is None else np.frombuffer(mine, np.uint8)
    return np.asarray(broadcast_one_to_all(bytes_here)).tobytes()


def require_same(contents: Mapping[str, bytes]) -> None:
    """Refuse to train together what is not the same in all processes.

    Args:
        contents: by what it is, in words.

    Raises:
        DataError: a process has something else; the same in all of them.
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
    """The devices that take part in a step.

    Args:
        devices: all of them; by default all devices of all processes, of a single process no more than a step has structures.
        batch: most structures of a step.

    Raises:
        ConventionError: more devices than structures, one named twice, or none of this process.
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
