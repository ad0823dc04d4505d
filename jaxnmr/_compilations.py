"""Number and duration of JAX compilations, as JAX itself reports them (host)."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import jax

# JAX's name for the event reported whenever a traced program has been turned into an executable
_EVENT = "/jax/core/compile/backend_compile_duration"


@dataclass
class Compilations:
    """Programs compiled while being watched.

    Attributes:
        seconds: time spent by XLA, without tracing; for programs found in the cache of `jaxnmr.enable_cache`, loading
            time.
        programs: number of programs, by name of the compiled function.
    """

    seconds: float = 0.0
    programs: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Number of programs."""
        return self.programs.total()


@contextmanager
def watch_compilations() -> Iterator[Compilations]:
    """Count the programs that become executable in the body of the ``with``, in this thread.

    Every program that was not in memory counts, whether XLA compiled it or it was loaded from the cache on disk: in
    both cases the first call takes longer than those that follow. Operations outside compiled functions are small
    programs of their own and count, too. Watches can be nested; each counts everything inside it.
    """
    _register()
    watch = Compilations()
    _here.watches = [*getattr(_here, "watches", ()), watch]
    try:
        yield watch
    finally:
        _here.watches = [other for other in _here.watches if other is not watch]


# compilation takes place in the calling thread, which is notified immediately
_here = threading.local()
_registering = threading.Lock()
_registered = False


def _register() -> None:
    """Register a listener for compilations with JAX, once per process and only on first use."""
    global _registered
    with _registering:
        if not _registered:
            jax.monitoring.register_event_duration_secs_listener(_report)
            _registered = True


def report_ready(name: str, seconds: float) -> None:
    """Notify all watches that a program became executable: compiled, found in the cache, or loaded (`_kept`)."""
    for watch in getattr(_here, "watches", ()):
        watch.seconds += seconds
        watch.programs[name] += 1


def _report(event: str, duration_secs: float, **details: str | int) -> None:
    if event == _EVENT:
        report_ready(str(details.get("fun_name", "unknown")).removeprefix("jit(").removesuffix(")"), duration_secs)
