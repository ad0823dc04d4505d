"""SHELX ``.res`` and ``.ins`` files: cell, symmetry and atoms, with free variables, fixed values and riding displacements.

Format: G. M. Sheldrick, *The SHELX-97 Manual* (1997); *Acta Cryst.* **C71**, 3 (2015).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from ..._warn import warn
from ...crystal import Crystal, SpaceGroup
from ...errors import JaxnmrError, ParseError
from ..files import decode, read_bytes
from .cif_contents import contents_of

if TYPE_CHECKING:
    import ase

_INSTRUCTIONS = frozenset(
    "ABIN ACTA AFIX ANIS ANSC ANSR BASF BEDE BIND BLOC BOND BUMP CELL CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP "
    "EADP END EQIV EXTI EXYZ FEND FLAT FMAP FRAG FREE FVAR GRID HFIX HKLF HOPE HTAB ISOR LATT LAUE LIST L.S. LONE MERG "
    "MOLE MORE MOVE MPLA NCSY NEUT OMIT PART PLAN PRIG REM RESI RIGU RTAB SADI SAME SFAC SHEL SIMU SIZE SPEC STIR SUMP "
    "SWAT SYMM TEMP TIME TITL TWIN TWST UNIT WGHT WIGL WPDB XNPD ZERR".split()
)
_CENTRING = {
    1: (), 2: ("1/2,1/2,1/2",), 3: ("2/3,1/3,1/3", "1/3,2/3,2/3"), 4: ("0,1/2,1/2", "1/2,0,1/2", "1/2,1/2,0"),
    5: ("0,1/2,1/2",), 6: ("1/2,0,1/2",), 7: ("1/2,1/2,0",),
}  # fmt: skip
_DEFAULT_U = 0.05  # of the format


@dataclass
class _File:
    """Content of the instructions before and between the atoms."""

    path: Path
    cell: list[float] = field(default_factory=list)
    lattice: int = 1
    operations: list[str] = field(default_factory=lambda: ["x,y,z"])
    elements: list[str] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)
    variables: list[float] = field(default_factory=list)
    part_occupancy: float | None = None
    atoms: list[dict[str, Any]] = field(default_factory=list)
    refined: bool = False


def is_shelx(head: str) -> bool:
    """Return whether the first lines are those of a SHELX file: an optional title, then the cell after a wavelength."""
    return re.search(r"^\s*CELL(\s+[\d.()+-]+){7}\s*$", head, flags=re.MULTILINE | re.IGNORECASE) is not None


def read_shelx(path: Path, name: str | None = None, spacegroup=None) -> Crystal | ase.Atoms:
    """Read the structure of a SHELX file in its own setting.

    Args:
        path: the file.
        name: of the phase; from the file if ``None``.
        spacegroup: overrides the symmetry of the file.

    Returns:
        The crystal. If the file lists all atoms of a cell without symmetry, and with occupancies that are missing or
        not fixed (1.0, not 11.0), as structure-prediction programs do: ``ase.Atoms``, whose symmetry is yet to be
        found.

    Raises:
        ParseError: no cell, no atoms, or an unreadable entry, with its line.
        SymmetryError, ConventionError, ShapeError: an inconsistent structure.
    """
    file = _File(path)
    for number, words in _records(decode(path, read_bytes(path), "a SHELX file")):
        key = words[0].upper()[:4]
        if key in ("END", "HKLF"):
            break
        try:
            if key in _INSTRUCTIONS:
                _instruction(file, key, words[1:])
            elif "_" not in words[0] or len(words) >= 5:
                _atom(file, words)
        except (ValueError, IndexError, RuntimeError) as err:
            what = str(err) if isinstance(err, _Refused) else f"{' '.join(words)[:60]!r} cannot be read"
            raise ParseError(path, number, what) from err
    if not file.cell:
        raise ParseError(path, None, "no CELL instruction: expected the wavelength and six numbers")
    unknown = [symbol for symbol in file.elements if gemmi.Element(symbol).atomic_number == 0]
    if unknown:
        raise ParseError(path, None, f"SFAC lists {', '.join(unknown)}, which are no elements")
    if not file.atoms:
        raise ParseError(path, None, "no atoms: expected lines of name, number in SFAC, x, y, z, occupancy, U")
    if spacegroup is None and file.lattice == -1 and len(file.operations) == 1 and not file.refined:
        return _all_atoms(file)
    try:
        crystal = _crystal(file, name or path.stem, spacegroup)
    except JaxnmrError as err:
        raise type(err)(f"{path}: {err}") from err
    _check_unit(file, crystal)
    return crystal


class _Refused(ValueError):
    """A value whose message already states what is wrong."""


def _records(text: str) -> list[tuple[int, list[str]]]:
    """Split lines into words, with the number of the first line; a line ending in ``=`` continues on the next."""
    records: list[tuple[int, list[str]]] = []
    open_ = False
    for number, line in enumerate(text.splitlines(), start=1):
        comment = line[:4].strip().upper() in ("REM", "TITL") and not open_
        plain = line if comment else line.split("!", 1)[0]
        goes_on = not comment and plain.rstrip().endswith("=")
        words = plain.rstrip().rstrip("=").split() if goes_on else plain.split()
        if open_:
            records[-1][1].extend(words)
        elif words and (not line[:1].isspace() or words[0].upper() in _INSTRUCTIONS or len(words) >= 5):
            records.append((number, words))
        open_ = goes_on
    return records


def _instruction(file: _File, key: str, words: list[str]) -> None:
    if key == "CELL":
        file.cell = [float(word) for word in words[1:7]]
        if len(file.cell) != 6:
            raise _Refused("CELL needs the wavelength and six numbers")
    elif key == "LATT":
        file.lattice = int(words[0])
        if abs(file.lattice) not in _CENTRING:
            raise _Refused(f"LATT {file.lattice}: expected 1 to 7, negative without a centre of symmetry")
    elif key == "SYMM":
        file.operations.append("".join(words).lower())
    elif key == "SFAC":
        # the short form lists elements, the long one has one element followed by the numbers of its form factor
        long = len(words) > 1 and re.fullmatch(r"[-+.\d]+", words[1]) is not None
        file.elements += [word.lstrip("$").capitalize() for word in (words[:1] if long else words)]
    elif key == "UNIT":
        file.unit = [float(word) for word in words]
    elif key == "FVAR":
        file.variables += [float(word) for word in words]
    elif key == "PART":
        file.part_occupancy = float(words[1]) if len(words) > 1 and int(float(words[0])) else None


def _atom(file: _File, words: list[str]) -> None:
    if re.fullmatch(r"Q\d+", words[0].upper()):
        return  # a peak of a difference map
    kind = int(words[1])
    if not 1 <= kind <= len(file.elements):
        raise _Refused(f"atom {words[0]} is of element {kind}, but SFAC lists {len(file.elements)}")
    xyz = [_value(file, float(word)) for word in words[2:5]]
    if len(xyz) != 3:
        raise _Refused(f"atom {words[0]} has {len(xyz)} coordinates")
    numbers = [float(word) for word in words[5:12]]
    occupancy = file.part_occupancy if file.part_occupancy is not None else numbers[0] if numbers else 11.0
    u = numbers[1:]
    file.refined |= abs(occupancy) > 5.0 and bool(numbers)
    anisotropic = len(u) >= 6
    atom = {
        "label": words[0], "species": file.elements[kind - 1], "xyz": xyz, "factor": _value(file, occupancy),
        "u_iso": _DEFAULT_U, "u_aniso": [np.nan] * 6,
    }  # fmt: skip
    if anisotropic:
        u11, u22, u33, u23, u13, u12 = (_value(file, number) for number in u[:6])
        atom |= {"u_iso": 0.0, "u_aniso": [u11, u22, u33, u12, u13, u23], "equivalent": (u11 + u22 + u33) / 3.0}
    elif u:
        riding = -5.0 < u[0] < -0.5
        carrier = next((a for a in reversed(file.atoms) if not a["rides"]), None)
        if riding and carrier is None:
            raise _Refused(f"U of {words[0]} is {u[0]:g} times that of the atom before, and there is none")
        atom["u_iso"] = -u[0] * carrier["equivalent"] if riding and carrier else _value(file, u[0])
    file.atoms.append({"equivalent": atom["u_iso"], "rides": bool(u) and not anisotropic and u[0] < -0.5} | atom)


def _value(file: _File, number: float) -> float:
    """Return ``p`` of ``10 + p`` (fixed); with a free variable v, ``p v`` of ``10 m + p``, ``p (v - 1)`` for ``m < 0``."""
    m = int(np.trunc((abs(number) + 5.0) / 10.0)) * (1 if number >= 0 else -1)
    if abs(m) <= 1:
        return number - 10.0 * m
    if abs(m) > len(file.variables):
        raise _Refused(f"{number:g} refers to free variable {abs(m)}, but FVAR lists {len(file.variables)}")
    variable = file.variables[abs(m) - 1]
    return (number - 10.0 * m) * (variable if m > 0 else variable - 1.0)


def _crystal(file: _File, name: str, spacegroup) -> Crystal:
    cell = np.array(file.cell)
    group = SpaceGroup.from_operations(_all_operations(file)) if spacegroup is None else spacegroup
    if not isinstance(group, SpaceGroup):
        group = SpaceGroup.from_name(group, cell)
    column = lambda key: [atom[key] for atom in file.atoms]
    arguments: dict[str, Any] = {
        "cell": cell, "spacegroup": group, "species": column("species"), "labels": _distinct(column("label")),
        "xyz": column("xyz"), "u_iso": column("u_iso"), "u_aniso": column("u_aniso"), "name": name,
    }  # fmt: skip
    # occupancy factors include the share of a general position, so that multiplicities are needed first
    bare = Crystal.create(**arguments, occupancy=np.zeros(len(file.atoms)))
    special = np.array([group.order / site.multiplicity for site in bare.sites()])
    factor = np.array(column("factor"))
    # programs that ignore special positions write 1 for a fully occupied site
    occupancy = np.where((special > 1) & (np.abs(factor - 1.0) < 1e-3), 1.0, factor * special)
    occupancy = np.where((occupancy > 1.0) & (occupancy < 1.02), 1.0, occupancy)
    return Crystal.create(**arguments, occupancy=occupancy)


def _all_atoms(file: _File) -> ase.Atoms:
    import ase

    symbols = ["H" if atom["species"] == "D" else atom["species"] for atom in file.atoms]
    xyz = [atom["xyz"] for atom in file.atoms]
    return ase.Atoms(symbols=symbols, scaled_positions=xyz, cell=file.cell, pbc=True)


def _all_operations(file: _File) -> list[str]:
    operations = [gemmi.Op(text.replace(" ", "")) for text in file.operations]
    if file.lattice > 0:
        inversion = gemmi.Op("-x,-y,-z")
        operations += [inversion * op for op in operations]
    shifts = [gemmi.Op("x,y,z")]
    for text in _CENTRING[abs(file.lattice)]:
        shifts.append(gemmi.Op(",".join(f"{axis}+{t}" for axis, t in zip("xyz", text.split(","), strict=True))))
    triplets = [(shift * op).wrap().triplet() for shift in shifts for op in operations]
    return list(dict.fromkeys(triplets))


def _distinct(labels: list[str]) -> list[str]:
    """Make labels unique, as atoms of several residues may share theirs."""
    counts: dict[str, int] = {}
    out = []
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
        out.append(label if labels.count(label) == 1 else f"{label}_{counts[label]}")
    return out


def _check_unit(file: _File, crystal: Crystal) -> None:
    """Warn if the atoms are not those of UNIT."""
    if len(file.unit) != len(file.elements):
        return
    wanted: dict[str, float] = {}
    for symbol, number in zip(file.elements, file.unit, strict=True):
        element = "H" if symbol == "D" else symbol
        wanted[element] = wanted.get(element, 0.0) + number
    content = contents_of(crystal)
    wrong = [e for e, n in wanted.items() if abs(content.get(e, 0.0) - n) > 0.02 * n + 0.01]
    if wrong:
        numbers = ", ".join(f"{e} {content.get(e, 0.0):.4g} instead of {wanted[e]:.4g}" for e in wrong)
        warn(f"{file.path}: the atoms do not add up to UNIT: {numbers} in the cell")
