"""What a screening leaves on disk: one record and one structure per candidate, claimed by whoever refines it (host)."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from .._record import Kind, envelope, read_record, write_record
from ..crystal import Crystal
from ..errors import ConventionError
from ..io import write_crystal

# a claim of another machine is given up for dead after this; one of this machine as soon as its process is gone
_CLAIM_SECONDS = 24 * 3600.0
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(objective, params, stages, solver, settings: str = "") -> str:
    """Digest of everything a refinement depends on: data, structure, plans, values, bounds, stages and solver.

    Functions of one's own count by name, not by what they do; ``settings`` may say more.
    """
    digest = hashlib.sha256()
    leaves, tree = jax.tree.flatten((objective, params.flat))
    spec = params.spec
    for leaf in (*leaves, spec.free, spec.lower, spec.upper, spec.scale, spec.directions):
        array = np.ascontiguousarray(np.asarray(leaf))
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    words = (tree, spec.labels, spec.ties, tuple(stages or ()), solver, settings, metadata.version("jaxnmr"))
    digest.update(_ADDRESS.sub("", repr(words)).encode())
    return digest.hexdigest()


class ScreeningFolder:
    """A folder in which several processes, on one machine or many, meet over the same candidates.

    Records are written in one go, so that what is there is complete. A claim is a file only one process can make.
    """

    kind: ClassVar[Kind] = "candidate"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ConventionError(f"the folder {self.path} cannot be made ({err.strerror}); give another one") from None
        self._mine: set[str] = set()

    def stem(self, name: str, key: str) -> str:
        """File name of a candidate, without suffix."""
        return f"{safe(name)}-{key[:12]}"

    def read(self, stem: str) -> dict[str, Any] | None:
        """The result of a candidate that is done, else ``None``.

        Raises:
            ParseError: a file that is no record of a candidate.
        """
        try:
            return read_record(self.path / f"{stem}.json", self.kind)["result"]
        except FileNotFoundError:
            return None

    def write(self, stem: str, name: str, result: dict[str, Any]) -> None:
        """Put the result of a candidate in place, complete or not at all."""
        write_record(self.path / f"{stem}.json", envelope(self.kind, name, result))

    def write_structures(self, stem: str, name: str, crystals: Mapping[str, Crystal], esds: Mapping) -> None:
        """Put refined structures in place as CIF; the only one under the name of the candidate."""
        only = next(iter(crystals.values())).replace(name=name) if len(crystals) == 1 else None
        write_crystal(crystals if only is None else only, self.path / f"{stem}.cif", esds)

    def claim(self, stem: str) -> bool:
        """Whether this process may refine a candidate: nobody else who is alive has claimed it."""
        path = self.path / f"{stem}.claim"
        mine = json.dumps({"host": platform.node(), "process": os.getpid()})
        for _ in range(2):
            try:
                with open(path, "x", encoding="utf-8") as file:
                    file.write(mine)
                self._mine.add(path.name)
                return True
            except FileExistsError:
                if not self._abandoned(path):
                    return False
                # two that find it abandoned at once may both go on; they write the same record
                path.unlink(missing_ok=True)
        return False

    def release(self, stem: str) -> None:
        """Give a claim back."""
        (self.path / f"{stem}.claim").unlink(missing_ok=True)
        self._mine.discard(f"{stem}.claim")

    def _abandoned(self, path: Path) -> bool:
        try:
            age = time.time() - path.stat().st_mtime
            owner = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return True
        except ValueError:  # being written, or its process died while writing
            return age > 60.0
        if owner["host"] == platform.node():
            # an earlier call of this very process may have been interrupted
            here = int(owner["process"]) == os.getpid()
            return path.name not in self._mine if here else not _alive(int(owner["process"]))
        return age > _CLAIM_SECONDS


def safe(name: str) -> str:
    """A name as part of the name of a file."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name)[:80]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
