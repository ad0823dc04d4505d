"""Work that stands for refinements in tests of clusters: items say what happens to them."""

import os
import signal
import time
from pathlib import Path

from jaxnmr.campaign.rows import Row
from jaxnmr.campaign.work import Item


class Stub:
    """Sleeps, and does what the content of an item says: ``"kill"``, ``"memory"``, ``"error"`` or nothing.

    Args:
        seconds: of every item.
        log: a file to which every item adds its name when it begins.
    """

    def __init__(self, seconds=0.0, log=None):
        self.seconds, self.log = seconds, log

    def begin(self):
        return None

    def rows(self, state, items):
        for item in items:
            if self.log is not None:
                with Path(self.log).open("a") as file:
                    file.write(f"{item.name}\n")
            if item.content == "kill":
                time.sleep(0.2)  # what was done before is known by now
                os.kill(os.getpid(), signal.SIGKILL)
            if item.content == "memory":
                held = []
                while True:
                    held.append(bytes(os.urandom(2**20)) * 16)
                    time.sleep(0.01)
            if item.content == "error":
                raise ValueError(f"{item.name} is not to my liking")
            time.sleep(self.seconds)
            yield Row(
                item.key,
                item.name,
                "converged",
                "",
                self.seconds,
                {"chi2": float(len(item.name))},
                {"pid": os.getpid()},
            )


class Unwilling(Stub):
    """Cannot begin anywhere."""

    def begin(self):
        raise FileNotFoundError("pattern.xye is not on this machine")


def items(count, kinds=3, **special):
    """Items ``n0``, ``n1`` ...; those named have another content."""
    return [Item(f"key {k}", f"n{k}", f"kind {k % kinds}", special.get(f"n{k}")) for k in range(count)]
