"""How many programs JAX compiled, and for how long, as it reports them itself (host)."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import jax

# JAX's name of what is reported whenever a traced program has been turned into an executable
_EVENT = "/jax/core/compile/backend_compile_duration"


@dataclass
class Compilations:
    """What was compiled while somebody watched.

    Attributes:
        seconds: spent by XLA, without tracing; of programs found in the cache of `jaxnmr.enable_cache`, loading them.
        programs: how many, by name of the compiled function.
    """

    seconds: float = 0.0
    programs: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many programs."""
        return self.programs.total()


@contextmanager
def watch_compilations() -> Iterator[Compilations]:
    """Count the programs that become executable in the body of the ``with``, in this thread.

    Counted is every program that was not in memory, whether XLA compiled it or it was loaded from the cache on disk: both take
    a first call that is longer than those that follow. Operations outside compiled functions are small programs of their own
    and count, too. Watches can be nested; each counts all.
    """
    _register()
    watch = Compilations()
    _here.watches = [*getattr(_here, "watches", ()), watch]
    try:
        yield watch
    finally:
        _here.watches = [other for other in _here.watches if other is not watch]


# compiling takes place in the thread that calls, which is told at once
_here = threading.local()
_registering = threading.Lock()
_registered = False


def _register() -> None:
    """Have JAX report compilations here: once per process, and not before somebody wants to know."""
    global _registered
    with _registering:
        if not _registered:
            jax.monitoring.register_event_duration_secs_listener(_report)
            _registered = True


def report_ready(name: str, seconds: float) -> None:
    """Tell who watches that a program became executable: compiled, found in the cache, or loaded as an executable (`_kept`)."""
    for watch in getattr(_here, "watches", ()):
        watch.seconds += seconds
        watch.programs[name] += 1


def _report(event: str, duration_secs: float, **details: str | int) -> None:
    if event == _EVENT:
        report_ready(str(details.get("fun_name", "unknown")).removeprefix("jit(").removesuffix(")"), duration_secs)
