"""Phases of GSAS-I experiment files (``.EXP``): fixed columns, one record per line.

The first 12 columns are the key, such as ``CRS1  AT  1A``. The phase records used here are ``PNAM`` (name), ``ABC``
and ``ANGLES`` (cell), ``SG SYM`` (space group) and per atom a line ``A`` (type, x, y, z, occupancy, label,
multiplicity) and a line ``B`` (displacement).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...crystal import Crystal, SpaceGroup
from ...errors import JaxnmrError, ParseError, SymmetryError

_KEY = 12


def read_exp_phases(path: Path) -> dict[str, Crystal]:
    """Read all phases of a GSAS-I experiment file, by name.

    Raises:
        ParseError: no phases, a missing record or an unreadable number, with its line.
        SymmetryError, ConventionError, ShapeError: an inconsistent phase.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as err:
        raise ParseError(path, None, f"cannot open the file: {err.strerror or err}") from err
    records = {line[:_KEY]: (number, line.rstrip("\r\n")) for number, line in enumerate(text.splitlines(), start=1)}
    numbers = sorted({int(key[3]) for key in records if re.match(r"CRS[1-9]", key)})
    if not numbers:
        raise ParseError(path, None, "no phases: expected the CRS records of a GSAS experiment file ('CRS1  ABC ...')")
    phases = {}
    for number in numbers:
        crystal = _phase(path, records, number)
        name = crystal.name if crystal.name not in phases else f"{crystal.name}_{number}"
        phases[name] = crystal.replace(name=name)
    return phases


def _phase(path: Path, records: dict[str, tuple[int, str]], number: int) -> Crystal:
    prefix = f"CRS{number}"
    name = records.get(f"{prefix}    PNAM", (0, ""))[1][_KEY:].strip() or f"phase{number}"
    name = re.sub(r"[^\w.+-]+", "_", name).strip("_")
    cell = []
    for key in ("  ABC   ", "  ANGLES"):
        line, text = _record(path, records, prefix + key)
        # the three numbers are followed by refinement flags
        cell += [_number(path, line, text, _KEY + 10 * k, 10, key.strip()) for k in range(3)]
    line, symbol = _record(path, records, f"{prefix}  SG SYM")
    group = _space_group(path, line, symbol[_KEY:].strip(), cell)
    atoms = sorted(int(key[8:11]) for key in records if re.match(rf"{prefix}  AT *\d+A", key))
    if not atoms:
        raise ParseError(path, line, f"phase {number} ({name}) has no atoms: expected records '{prefix}  AT  1A'")
    multiplicity = []
    columns: dict[str, list[Any]] = {
        "species": [],
        "labels": [],
        "xyz": [],
        "occupancy": [],
        "u_iso": [],
        "u_aniso": [],
    }
    for atom in atoms:
        line, text = _record(path, records, f"{prefix}  AT{atom:3d}A")
        columns["species"].append(text[14:22].strip())
        columns["xyz"].append([_number(path, line, text, 22 + 10 * k, 10, "coordinate") for k in range(3)])
        columns["occupancy"].append(_number(path, line, text, 52, 10, "occupancy"))
        columns["labels"].append(re.sub(r"\s+", "_", text[62:70].strip()) or f"{text[14:22].strip()}{atom}")
        multiplicity.append(text[70:75].strip())
        line, text = _record(path, records, f"{prefix}  AT{atom:3d}B")
        anisotropic = text[72:].strip().startswith("A")
        u = [_number(path, line, text, _KEY + 10 * k, 10, "displacement") for k in range(6 if anisotropic else 1)]
        columns["u_aniso"].append(u if anisotropic else [np.nan] * 6)
        columns["u_iso"].append(0.0 if anisotropic else u[0])
    for k, label in enumerate(columns["labels"]):
        if label in columns["labels"][:k]:
            columns["labels"][k] = f"{label}_{atoms[k]}"
    try:
        crystal = Crystal.create(cell=cell, spacegroup=group, name=name, **columns)
        for label, site, stated in zip(crystal.labels, crystal.sites(), multiplicity, strict=True):
            if stated.isdigit() and int(stated) not in (0, site.multiplicity):
                raise SymmetryError(
                    f"{label} has multiplicity {stated} in the file and {site.multiplicity} in {group.name}: "
                    "the space group symbol means another setting here, or the coordinates were edited"
                )
        return crystal
    except JaxnmrError as err:
        raise type(err)(f"{path}, phase {number} ({name}): {err}") from err


def _space_group(path: Path, line: int, symbol: str, cell: list[float]) -> SpaceGroup:
    """Return the group, with the origin at the centre of symmetry and R groups hexagonal unless marked ``R``."""
    text = re.sub(r"\s+", " ", symbol).strip()
    text = text[:1].upper() + text[1:].lower()
    rhombohedral = text.startswith("R") and (text.endswith(" r") or abs(cell[5] - 120.0) > 0.5)
    text = re.sub(r"(?<=.) [rh]$", "", text) if text.startswith("R") else text
    for candidate in (f"{text}:R",) if rhombohedral else (f"{text}:2", text):
        try:
            return SpaceGroup.from_name(candidate)
        except SymmetryError:
            continue
    raise ParseError(path, line, f"space group {symbol!r}: expected a Hermann-Mauguin symbol such as 'P 63/m'")


def _record(path: Path, records: dict[str, tuple[int, str]], key: str) -> tuple[int, str]:
    if key not in records:
        raise ParseError(path, None, f"record {key.strip()!r} is missing: the file is incomplete")
    return records[key]


def _number(path: Path, line: int, text: str, start: int, width: int, what: str) -> float:
    field = text[start : start + width]
    try:
        return float(field)
    except ValueError:
        raise ParseError(
            path, line, f"{what} in columns {start + 1}-{start + width} is {field!r}, expected a number"
        ) from None
