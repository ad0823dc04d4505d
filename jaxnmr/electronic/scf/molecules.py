"""Molecules that are known by name: how their atoms are placed, from bond lengths, angles and dihedrals of textbooks.

They are where the search for a minimum starts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import ConventionError, ParseError
from .internal import Tree

# symbol, then number of an atom and distance, number and angle, number and dihedral; angstrom, degrees
_TABLES = {
    "water": """O
H 1 0.96
H 1 0.96 2 104.5""",
    "formaldehyde": """C
O 1 1.21
H 1 1.10 2 121
H 1 1.10 2 121 3 180""",
    "methanol": """C
O 1 1.42
H 2 0.96 1 108
H 1 1.10 2 107 3 180
H 1 1.10 2 112 4 119
H 1 1.10 2 112 4 -119""",
    "ethanol": """C
C 1 1.51
O 2 1.43 1 108
H 3 0.96 2 108 1 180
H 2 1.10 1 110 3 121
H 2 1.10 1 110 3 -121
H 1 1.10 2 111 3 180
H 1 1.10 2 110 7 120
H 1 1.10 2 110 7 -120""",
    "1-propanol": """C
C 1 1.53
C 2 1.52 1 112
O 3 1.43 2 108 1 180
H 4 0.96 3 108 2 180
H 3 1.10 2 110 4 121
H 3 1.10 2 110 4 -121
H 2 1.10 3 109 1 122
H 2 1.10 3 109 1 -122
H 1 1.10 2 111 3 180
H 1 1.10 2 111 10 120
H 1 1.10 2 111 10 -120""",
    "benzene": """C
C 1 1.395
C 2 1.395 1 120
C 3 1.395 2 120 1 0
C 4 1.395 3 120 2 0
C 5 1.395 4 120 3 0
H 1 1.09 2 120 3 180
H 2 1.09 1 120 3 180
H 3 1.09 2 120 1 180
H 4 1.09 3 120 2 180
H 5 1.09 4 120 3 180
H 6 1.09 1 120 5 180""",
}
NAMES = tuple(_TABLES)
_NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8}


def known(name: str) -> tuple[tuple[int, ...], np.ndarray]:
    """Atomic numbers and a first geometry in angstrom of a molecule by its name.

    Raises:
        ConventionError: a name that is not among ``NAMES``.
    """
    if name not in _TABLES:
        raise ConventionError(
            f"no molecule is known as {name!r}; {', '.join(NAMES)} are. Others are read from an xyz file"
        )
    numbers, references, values = [], [], []
    for line in _TABLES[name].splitlines():
        symbol, *rest = line.split()
        numbers.append(_NUMBERS[symbol])
        references.append(tuple(int(word) - 1 for word in rest[::2]))
        values += [float(word) if k == 0 else np.radians(float(word)) for k, word in enumerate(rest[1::2])]
    tree = Tree(tuple(range(len(numbers))), tuple(references))
    return tuple(numbers), tree.place(np.array(values))


def read_xyz(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Atomic numbers, and geometries in angstrom, shape ``(g, n, 3)``, of an xyz file with one or more frames of the same atoms.

    Raises:
        ParseError: with the line that cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    numbers: tuple[int, ...] = ()
    frames, at = [], 0
    while at < len(lines):
        if not lines[at].strip().isdigit() or int(lines[at]) < 1:
            raise ParseError(path, at + 1, f"expected the number of atoms, found {lines[at]!r}")
        count = int(lines[at])
        body = lines[at + 2 : at + 2 + count]
        if len(body) < count:
            raise ParseError(path, len(lines), f"ends after {len(body)} of {count} atoms")
        found, positions = [], []
        for k, line in enumerate(body, start=at + 3):
            symbol, *rest = line.split() or [""]
            if symbol not in _NUMBERS:
                raise ParseError(path, k, f"unknown element {symbol!r}; known are {', '.join(_NUMBERS)}")
            try:
                positions.append([float(word) for word in rest[:3]])
            except ValueError:
                raise ParseError(path, k, f"expected three coordinates after the symbol, found {line!r}") from None
            if len(positions[-1]) != 3 or not np.isfinite(positions[-1]).all():
                raise ParseError(path, k, f"expected three coordinates after the symbol, found {line!r}")
            found.append(_NUMBERS[symbol])
        if numbers and tuple(found) != numbers:
            raise ParseError(path, at + 1, "this frame has other atoms, or in another order, than the first")
        numbers = tuple(found)
        frames.append(positions)
        at += 2 + count
    if not frames:
        raise ParseError(path, None, "holds no geometry")
    return numbers, np.array(frames)
