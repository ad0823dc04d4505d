"""Rendezvous of processes before JAX is initialised, since JAX would kill a process that waits in vain (host)."""

from __future__ import annotations

import socket
import time

from ...errors import ConventionError

_GREETING = "jaxnmr"


def roll_call(coordinator: str, processes: int, process: int, seconds: float) -> None:
    """Wait until all processes are present; if any is missing, all of them raise.

    Args:
        coordinator: ``"HOST:PORT"`` on which process 0 listens.
        processes, process: number of processes, and index of this one, from 0.
        seconds: time to wait.

    Raises:
        ConventionError: the port is taken, nobody listens, or processes are missing, have the same index or another
            number of processes.
    """
    host, _, port = coordinator.rpartition(":")
    last = time.monotonic() + seconds
    if process:
        _report(host.strip("[]"), int(port), processes, process, last)
    else:
        _listen(int(port), processes, last)


def _listen(port: int, processes: int, last: float) -> None:
    both = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        )
    except OSError as error:
        raise ConventionError(
            f"process 0 cannot listen at port {port} ({error.strerror}): name another one to all"
        ) from error
    there: dict[int, socket.socket] = {}
    problem = ""
    with server:
        while len(there) < processes - 1 and not problem:
            server.settimeout(max(0.01, last - time.monotonic()))
            try:
                caller, _ = server.accept()
                caller.settimeout(max(0.01, min(5.0, last - time.monotonic())))
                greeting, *numbers = caller.recv(64).decode("ascii", "replace").split()
                count, k = map(int, numbers)
            except TimeoutError:
                missing = [k for k in range(1, processes) if k not in there]
                problem = f"process {', '.join(map(str, missing))} of {processes} did not come in time: start all of them, numbered from 0"
                continue
            except (ValueError, OSError):  # another program
                caller.close()
                continue
            if greeting != _GREETING:
                caller.close()
                continue
            if count != processes:
                problem = (
                    f"process 0 was told of {processes} processes, process {k} of {count}: tell all of them the same"
                )
            elif k in there:
                problem = f"two processes have the number {k}: give each its own, from 0 to {processes - 1}"
            there[k if k not in there else -1] = caller
        for caller in there.values():
            try:
                caller.sendall((problem or "here").encode())
            except OSError:  # the process has given up
                pass
            caller.close()
    if problem:
        raise ConventionError(problem)


def _report(host: str, port: int, processes: int, process: int, last: float) -> None:
    while True:
        try:
            with socket.create_connection((host, port), timeout=max(0.01, last - time.monotonic())) as line:
                line.sendall(f"{_GREETING} {processes} {process}".encode())
                # a little longer than process 0, which can report who is missing
                line.settimeout(max(0.01, last - time.monotonic()) + 2.0)
                answer = b"".join(iter(lambda: line.recv(1024), b"")).decode()
        except OSError as error:
            if time.monotonic() > last:
                raise ConventionError(
                    f"process 0 does not answer at {host}:{port} ({error}): start it there, and see that the port is open to this "
                    "machine"
                ) from error
            time.sleep(0.1)
            continue
        if answer == "here":
            return
        if answer:
            raise ConventionError(answer)
