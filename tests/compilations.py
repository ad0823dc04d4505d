"""Counts compiled programs, by what JAX itself reports of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations() -> Iterator[Counter]:
    """The programs that are compiled (or read from disk) meanwhile, by name::

    with compilations() as programs:
        refine(...)
    assert programs["residuals"] == 1
    """
    programs = Counter()

    def listen(event: str, duration: float, *, fun_name: str = "", **_) -> None:
        if event == _EVENT:
            programs[fun_name.removeprefix("jit(").removesuffix(")")] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield programs
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
