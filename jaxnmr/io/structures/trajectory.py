"""Trajectories in extended xyz, written frame by frame, for programs that show atoms moving."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..._files import write_atomically
from ...crystal import Crystal
from ...errors import ParseError

_TIME = "time_fs"


class TrajectoryFile:
    """A file to which frames are added.

    Args:
        path: its name; what was written before stays, up to where `rewind` goes back.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def rewind(self, time_fs: float) -> int:
        """Leave the frames up to a moment and remove those that come later; how many are left.

        A simulation that goes on from a state repeats the frames after it.

        Raises:
            ParseError: the file is no such trajectory.
        """
        if not self.path.exists():
            return 0
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        at, count = 0, 0
        while at < len(lines):
            try:
                atoms, words = int(lines[at]), lines[at + 1].split()
                time = next(float(word.partition("=")[2]) for word in words if word.startswith(f"{_TIME}="))
            except (ValueError, IndexError, StopIteration):
                raise ParseError(self.path, at + 1, "is not a trajectory of jaxnmr, or damaged: move it away") from None
            # the last frame may have been cut off
            if time > time_fs + 1e-6 or at + 2 + atoms > len(lines):
                break
            at, count = at + 2 + atoms, count + 1
        if at < len(lines):
            write_atomically(self.path, "".join(lines[:at]))
        return count

    def add(self, crystal: Crystal, time_fs: float, **more: float) -> None:
        """One more frame of a crystal in P1, with numbers by name beside its time; atoms are where they are, in the cell or not.

        Raises:
            OSError: it cannot be written.
        """
        from ase import Atoms
        from ase.io import write

        vectors = np.asarray(crystal.lattice(), dtype=float)
        elements = ["H" if element == "D" else element for element in crystal.elements]
        atoms = Atoms(elements, positions=np.asarray(crystal.xyz, dtype=float) @ vectors, cell=vectors, pbc=True)
        atoms.info = {_TIME: float(time_fs), **more}
        text = io.StringIO()
        write(text, atoms, format="extxyz")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())
