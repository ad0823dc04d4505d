"""What a determination does now, and how much of its time is left (host)."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What a determination does now, for whoever waits.

    Attributes:
        name: ``"peaks"``, ``"cells"``, ``"intensities"``, ``"atoms"`` or ``"refinement"``.
        text: what was found or is being done.
        seconds_left: of processor time, at most, for the search of atoms.
        passing: whether this is only how far something is.
    """

    name: str
    text: str
    seconds_left: float
    passing: bool = False


class Clock:
    """Processor time since it was made, and who is told what was done in it.

    Args:
        seconds: after which no new search for atoms begins.
        told: receives every step.
    """

    def __init__(self, seconds: float, told: Callable[[Step], None] | None = None):
        self.seconds, self._told = seconds, told
        self._start = time.process_time()

    @property
    def spent(self) -> float:
        """Seconds of processor time."""
        return time.process_time() - self._start

    @property
    def left(self) -> float:
        """Seconds, not below zero."""
        return max(self.seconds - self.spent, 0.0)

    def say(self, name: str, text: str, *, passing: bool = False) -> None:
        """Tell a step."""
        if self._told is not None:
            self._told(Step(name, text, self.left, passing))
