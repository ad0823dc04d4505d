"""Files of densities: Gaussian cubes and XCrySDen's XSF, written and read.

Cubes hold bohr and e/bohr³, by definition. XSF defines no unit of a density: ours is e/Å³, as stated in the name of the
block, and a reader can be passed another one. The first point of a cube is the origin, its last one step before the end
of the cell; XSF repeats the first point of every axis at the end.
"""

from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from .._files import write_atomically
from ..crystal import Crystal, lattice
from ..crystal.cell import cell_from_metric
from ..errors import ConventionError, ParameterError, ParseError, require_kind, require_path
from .grid import Density

BOHR = 0.529177210903  # Å, CODATA 2018
Unit = Literal["e/Å3", "e/bohr3"]
_XSF_NAME = "electron_density_e_per_cubic_angstrom"


def write_density(density: Density, path: str | Path, crystal: Crystal | None = None) -> Path:
    """Write a density for other programs, with the atoms of a crystal if given.

    Args:
        density: density to write.
        path: ``.cube`` or ``.cub`` for a cube, ``.xsf`` for XSF.
        crystal: structure whose atoms are listed; its cell must be that of the density.

    Raises:
        ParameterError: the file name has another suffix.
        ConventionError: the crystal has another cell.
        OSError: the file is not writable.
    """
    require_kind(density, Density, "what write_density(density, path) writes", "make one with Density.create")
    require_path(path, "write_density(density, path)")
    path = Path(path)
    writers = {".cube": _cube_text, ".cub": _cube_text, ".xsf": _xsf_text}
    if path.suffix.lower() not in writers:
        raise ParameterError(f"{path.name!r} has the ending {path.suffix!r}; expected one of {', '.join(writers)}")
    cell = np.asarray(density.cell, dtype=float)
    numbers, places = np.zeros(0, dtype=int), np.zeros((0, 3))
    if crystal is not None:
        if not np.allclose(np.asarray(crystal.cell, dtype=float), cell, atol=1e-3):
            raise ConventionError(
                f"the cell of the crystal is {np.round(np.asarray(crystal.cell, dtype=float), 4).tolist()}, that of the density "
                f"{np.round(cell, 4).tolist()}: give the atoms in the cell of the density"
            )
        full = crystal.expand()
        elements = [crystal.elements[k] for k in np.asarray(full.site)]
        numbers = np.array([gemmi.Element(e).atomic_number for e in elements])
        places = np.asarray(full.fractional, dtype=float) @ lattice(cell)
    return write_atomically(path, writers[path.suffix.lower()](density, numbers, places))


def read_density(path: str | Path, unit: Unit = "e/Å3") -> Density:
    """Read the density of a periodic cell from a cube or an XSF file; atoms in it are ignored.

    The lattice becomes ``a, b, c, alpha, beta, gamma``; vectors that form a left-handed system are inverted, with their
    values.

    Args:
        path: ``.cube``, ``.cub`` or ``.xsf``.
        unit: unit of the values of an XSF file, ``"e/bohr3"`` for Quantum ESPRESSO. Those of a cube are e/bohr³.

    Raises:
        ParseError: the file cannot be read, or holds no density of a periodic cell; the message names the line.
        ParameterError: the suffix of the file name or the unit is unknown.
    """
    require_path(path, "read_density(path)")
    path = Path(path)
    if unit not in ("e/Å3", "e/bohr3"):
        raise ParameterError(f"unit is {unit!r}; expected 'e/Å3' or 'e/bohr3'")
    readers = {".cube": _read_cube, ".cub": _read_cube, ".xsf": _read_xsf}
    if path.suffix.lower() not in readers:
        raise ParameterError(f"{path.name!r} has the ending {path.suffix!r}; expected one of {', '.join(readers)}")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as err:
        raise ParseError(path, None, f"cannot open the file: {err.strerror or err}") from err
    values, vectors = readers[path.suffix.lower()](path, text.splitlines())
    if path.suffix.lower() == ".xsf" and unit == "e/bohr3":
        values = values / BOHR**3
    volume = np.linalg.det(vectors)
    if abs(volume) < 1e-3:
        raise ParseError(path, None, f"the vectors {np.round(vectors, 4).tolist()} Å span no volume")
    if min(values.shape) < 2:
        raise ParseError(path, None, f"a grid of {values.shape} points; expected two along every axis at least")
    if volume < 0.0:
        values = np.roll(values[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    if not np.isfinite(values).all():
        raise ParseError(path, None, f"{int((~np.isfinite(values)).sum())} of {values.size} values are not finite")
    return Density.create(values, cell_from_metric(vectors @ vectors.T))


def _rows(values: np.ndarray, per_line: int) -> str:
    """Format the numbers of a table, the last axis fastest, each of its rows on separate lines."""
    lines = []
    for row in values.reshape(-1, values.shape[-1]):
        lines += ["".join(f" {v: .8E}" for v in row[k : k + per_line]) for k in range(0, len(row), per_line)]
    return "\n".join(lines)


def _cube_text(density: Density, numbers: np.ndarray, places: np.ndarray) -> str:
    steps = lattice(np.asarray(density.cell, dtype=float)) / np.array(density.shape)[:, None] / BOHR
    head = [
        "electron density, e/bohr3",
        "OUTER LOOP: X, MIDDLE LOOP: Y, INNER LOOP: Z",
        f"{len(numbers):5d} {0:12.6f} {0:12.6f} {0:12.6f}",
    ]
    head += [f"{n:5d} " + " ".join(f"{x:14.9f}" for x in row) for n, row in zip(density.shape, steps, strict=True)]
    head += [
        f"{z:5d} {z:12.6f} " + " ".join(f"{x:14.9f}" for x in row / BOHR)
        for z, row in zip(numbers, places, strict=True)
    ]
    return "\n".join(head) + "\n" + _rows(np.asarray(density.values, dtype=float) * BOHR**3, 6) + "\n"


def _read_cube(path: Path, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    if len(lines) < 6:
        raise ParseError(
            path, len(lines), "a cube begins with two titles, the origin, and three axes; the file ends before"
        )
    atoms = int(_numbers(path, lines, 2, 4)[0])
    shape, vectors = [], []
    for k in range(3, 6):
        row = _numbers(path, lines, k, 4)
        count = int(row[0])
        if count == 0:
            raise ParseError(path, k + 1, f"{lines[k].strip()!r} is an axis without points")
        # a negative number of points indicates Å
        shape.append(abs(count))
        vectors.append(row[1:4] * abs(count) * (1.0 if count < 0 else BOHR))
    start = 6 + abs(atoms)
    if atoms < 0:
        counted = _numbers(path, lines, start, 1)
        if int(counted[0]) != 1:
            raise ParseError(path, start + 1, f"the cube holds {int(counted[0])} orbitals, not one density")
        start += 1
    values = _table(path, lines, start, len(lines), int(np.prod(shape)))
    return values.reshape(shape) / BOHR**3, np.array(vectors)


def _xsf_text(density: Density, numbers: np.ndarray, places: np.ndarray) -> str:
    vectors = lattice(np.asarray(density.cell, dtype=float))
    rows = ["  " + " ".join(f"{x:14.9f}" for x in row) for row in vectors]
    head = ["CRYSTAL", "PRIMVEC", *rows]
    if len(numbers):
        head += ["PRIMCOORD", f"{len(numbers)} 1"]
        head += [f"{z:4d} " + " ".join(f"{x:14.9f}" for x in row) for z, row in zip(numbers, places, strict=True)]
    general = np.pad(np.asarray(density.values, dtype=float), ((0, 1), (0, 1), (0, 1)), mode="wrap")
    head += ["BEGIN_BLOCK_DATAGRID_3D", _XSF_NAME, f"BEGIN_DATAGRID_3D_{_XSF_NAME}"]
    head += ["  " + " ".join(str(n) for n in general.shape), "  0.0 0.0 0.0", *rows]
    # the first axis varies fastest
    return "\n".join(head) + "\n" + _rows(general.transpose(2, 1, 0), 6) + "\nEND_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n"


def _read_xsf(path: Path, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    begins = [
        k for k, line in enumerate(lines) if line.strip().upper().startswith(("BEGIN_DATAGRID_3D", "DATAGRID_3D"))
    ]
    if not begins:
        raise ParseError(path, None, "no DATAGRID_3D block: the file holds no density, or one of a plane only")
    if len(begins) > 1:
        raise ParseError(path, begins[1] + 1, f"{len(begins)} grids; keep the one that is the density")
    at = begins[0] + 1
    shape = _numbers(path, lines, at, 3).astype(int)
    if (shape < 2).any():
        raise ParseError(path, at + 1, f"a grid of {shape.tolist()} points; expected two along every axis at least")
    vectors = np.array([_numbers(path, lines, at + 2 + k, 3) for k in range(3)])
    ends = [k for k in range(at, len(lines)) if lines[k].strip().upper().startswith("END_DATAGRID")]
    values = _table(path, lines, at + 5, ends[0] if ends else len(lines), int(shape.prod()))
    general = values.reshape(shape[::-1]).transpose(2, 1, 0)
    largest = np.abs(general).max(initial=1e-12)
    for axis in range(3):
        if np.abs(np.take(general, 0, axis) - np.take(general, -1, axis)).max() > 1e-4 * largest:
            raise ParseError(
                path,
                at,
                f"the last points along {'abc'[axis]} do not repeat the first ones: this is no grid of a periodic cell",
            )
    return general[:-1, :-1, :-1], vectors


def _numbers(path: Path, lines: list[str], k: int, least: int) -> np.ndarray:
    """Read the numbers of line ``k``, counted from 0."""
    if k >= len(lines):
        raise ParseError(path, len(lines), f"the file ends where {least} numbers were expected")
    try:
        row = np.array([float(word) for word in lines[k].split()])
    except ValueError:
        row = np.zeros(0)
    if len(row) < least or not np.isfinite(row).all():
        raise ParseError(path, k + 1, f"{lines[k].strip()!r} where {least} numbers were expected")
    return row


def _table(path: Path, lines: list[str], start: int, end: int, count: int) -> np.ndarray:
    words: list[str] = " ".join(lines[start:end]).split()
    try:
        values = np.array(words, dtype=float)
    except ValueError:
        bad = next(k for k in range(start, end) if not _all_numbers(lines[k]))
        raise ParseError(path, bad + 1, f"{lines[bad].strip()!r} where values of the density were expected") from None
    if len(values) != count:
        raise ParseError(
            path, end, f"{len(values)} values of a grid of {count} points: the file is cut off, or holds something else"
        )
    return values


def _all_numbers(line: str) -> bool:
    try:
        [float(word) for word in line.split()]
    except ValueError:
        return False
    return True
