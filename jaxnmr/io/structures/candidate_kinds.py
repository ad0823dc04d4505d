"""Quick guess at which candidates share compiled programs.

Programs are compiled for a number of sites, operations and reflections. A guess takes microseconds, whereas reading
takes milliseconds, and a wrong guess costs only a compilation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import gemmi
from gemmi import cif

from ...errors import ParseError
from ._cif_block import column_of, parse_cif, text_of

UNKNOWN = "?"
_PAIR = re.compile(r"""([^\s="']+)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]|\S+)""")
_ELEMENT = re.compile(r"[A-Z][a-z]?")
_CELL = tuple(
    f"_cell_{tag}" for tag in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
)
_GROUP = (
    "_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_Hall",
    "_symmetry_space_group_name_Hall", "_space_group_IT_number", "_symmetry_Int_Tables_number",
)  # fmt: skip
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")


def kind_of(elements: Iterable[str], group: str, volume: float) -> str:
    """Combine composition, number of atoms, space group and volume class in one word.

    Args:
        elements: one symbol per listed atom.
        group: the space group as written.
        volume: of the cell, Å³; classes are a factor of 2 wide. Zero if unknown.
    """
    counts = Counter(elements)
    formula = "".join(f"{element}{counts[element]}" for element in sorted(counts)) or UNKNOWN
    size = f"V{round(math.log2(volume))}" if volume > 0.0 and math.isfinite(volume) else "V?"
    return f"{formula}/{sum(counts.values())}/{''.join(group.split()) or UNKNOWN}/{size}"


def kind_of_cif(content: bytes) -> str:
    """Return the kind of a single-structure CIF; ``"?"`` if it cannot be read."""
    try:
        document = parse_cif(Path(), content)
    except ParseError:
        return UNKNOWN
    for block in document:
        labels = column_of(block, "_atom_site_type_symbol", "_atom_site_label")
        if labels:
            break
    else:
        return UNKNOWN
    group = text_of(block, _GROUP) or f"{len(column_of(block, *_OPERATIONS))}operations"
    numbers = [cif.as_number(block.find_value(tag) or "?") for tag in _CELL]
    return kind_of(map(_element, labels), group, _volume(numbers))


def kind_of_frame(pairs: dict[str, str], atoms: Sequence[bytes]) -> str:
    """Return the kind of a frame of extxyz.

    Args:
        pairs: of its second line, as returned by :func:`pairs_of`.
        atoms: its other lines.
    """
    column, is_number = _species_column(pairs.get("Properties", "species:S:1:pos:R:3"))
    try:
        words = [line.split(None, column + 1)[column].decode("latin-1") for line in atoms]
        elements = [gemmi.Element(int(word)).name for word in words] if is_number else words
        a, b, c, d, e, f, g, h, i = map(float, pairs["Lattice"].split())
        volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    except (KeyError, ValueError, IndexError):
        return UNKNOWN
    return kind_of(elements, pairs.get("spacegroup", ""), volume)


def kind_of_text(content: bytes, suffix: str) -> str:
    """Return the kind of a file in another format: from SHELX records, else from format and size within a factor of 2."""
    if suffix in (".res", ".ins"):
        lines = content.decode("latin-1").upper().split("\n")
        cell = next((line.split()[2:8] for line in lines if line.startswith("CELL")), [])
        symbols = next((line.split()[1:] for line in lines if line.startswith("SFAC")), [])
        # an atom line: label, number of the scattering factor, three coordinates
        atoms = [words for words in map(str.split, lines) if len(words) >= 5 and words[1].isdigit()]
        elements = [symbols[k - 1] for k in (int(words[1]) for words in atoms) if 0 < k <= len(symbols)]
        latt = next(("".join(line.split()) for line in lines if line.startswith("LATT")), "")
        symmetry = sum(line.startswith("SYMM") for line in lines)
        if cell and elements:
            return kind_of(
                map(_element, elements), f"{latt}+{symmetry}", _volume([cif.as_number(word) for word in cell])
            )
    return f"{suffix}/{round(math.log2(max(len(content), 1)))}"


def pairs_of(comment: bytes) -> dict[str, str]:
    """Parse the pairs ``key=value`` in the second line of an extxyz frame, without quotes and escapes."""
    text = comment.decode("utf-8", errors="replace")
    return {key: _unquoted(value) for key, value in _PAIR.findall(text)}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in "\"'{[":
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value) if "\\" in value else value


def _species_column(properties: str) -> tuple[int, bool]:
    """Return the column of the element, and whether it is an atomic number."""
    fields, column = properties.split(":"), 0
    for name, width in zip(fields[::3], fields[2::3], strict=False):
        if name in ("species", "Z"):
            return column, name == "Z"
        column += int(width) if width.isdigit() else 1
    return 0, False


def _element(label: str) -> str:
    found = _ELEMENT.search(label.capitalize())
    return found[0] if found else UNKNOWN


def _volume(cell: Sequence[float]) -> float:
    """Volume from lengths in Å and angles in degrees; zero if one is missing or the angles are impossible."""
    if len(cell) < 6:
        return 0.0
    a, b, c = cell[:3]
    x, y, z = (math.cos(math.radians(90.0 if math.isnan(angle) else angle)) for angle in cell[3:6])
    square = 1.0 + 2.0 * x * y * z - x * x - y * y - z * z
    return a * b * c * math.sqrt(square) if square > 0.0 else 0.0
