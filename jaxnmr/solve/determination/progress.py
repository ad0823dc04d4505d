"""Progress of a determination: current step and time left (host)."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Current step of a determination, for display.

    Attributes:
        name: ``"peaks"``, ``"cells"``, ``"intensities"``, ``"atoms"`` or ``"refinement"``.
        text: result or current activity.
        seconds_left: CPU time left for the search for atoms, at most.
        passing: whether this is only a progress message.
    """

    name: str
    text: str
    seconds_left: float
    passing: bool = False


class Clock:
    """CPU time since its creation, and the receiver of progress messages.

    Args:
        seconds: CPU time after which no new search for atoms begins.
        told: receives every step.
    """

    def __init__(self, seconds: float, told: Callable[[Step], None] | None = None):
        self.seconds, self._told = seconds, told
        self._start = time.process_time()

    @property
    def spent(self) -> float:
        """CPU time spent, seconds."""
        return time.process_time() - self._start

    @property
    def left(self) -> float:
        """CPU time left, seconds, at least zero."""
        return max(self.seconds - self.spent, 0.0)

    def say(self, name: str, text: str, *, passing: bool = False) -> None:
        """Report a step."""
        if self._told is not None:
            self._told(Step(name, text, self.left, passing))
