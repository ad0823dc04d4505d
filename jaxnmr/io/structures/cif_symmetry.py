"""The space group of a CIF data block: operations, Hall and Hermann-Mauguin symbols and number, cross-checked."""

import re
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from gemmi import cif

from ..._warn import warn
from ...crystal import SpaceGroup, lattice
from ...errors import ParseError, SymmetryError
from ._cif_block import column_of, line_of, text_of
from .symmetry import group_number

OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
HERMANN_MAUGUIN = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_full",
    "_space_group_name_H-M_ref",
)
NUMBER = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_CODE = ("_space_group_IT_coordinate_system_code",)


class _Witness(NamedTuple):
    """One statement of symmetry in a block: its text, and the groups it may mean."""

    kind: str
    text: str
    groups: tuple[SpaceGroup, ...]
    advice: str

    def says(self) -> str:
        group = self.groups[0]
        known = f"No. {group.number}, " if group.number else ""
        return f"the {self.kind} {self.text}".rstrip() + f" ({known}{group.order} operations)"


def groups_of(path: Path, block: cif.Block, cell: np.ndarray) -> list[SpaceGroup]:
    """Return the space groups the block may mean: one, or two if only a symbol is given that leaves the origin open.

    The loop of operations takes precedence over the Hall symbol, which takes precedence over the Hermann-Mauguin symbol
    and the number; but all of them must be of one space-group type and, without operations, of one setting.

    Raises:
        ParseError: no symmetry at all, or an operation that cannot be read.
        SymmetryError: unknown symbols, or two that contradict each other.
    """
    symbol, number = text_of(block, HERMANN_MAUGUIN), text_of(block, NUMBER)
    operations, hall = _operations(path, block, symbol), _hall(block)
    named = _meanings(symbol, cell, text_of(block, _CODE))
    numbered = () if number in (None, "0") else _meanings(number, cell, text_of(block, _CODE))
    if not (operations or hall or named or numbered):
        unreadable = text_of(block, HALL)
        if stated := symbol or number:
            return [SpaceGroup.from_name(stated)]
        if unreadable:
            return [SpaceGroup.from_hall(unreadable)]
        raise ParseError(
            path, None, f"data_{block.name} states no symmetry: expected a loop of {OPERATIONS[0]}, "
            f"{HALL[0]}, {HERMANN_MAUGUIN[0]} or {NUMBER[0]}; or give spacegroup = \"P 63/m\", say"
        )  # fmt: skip
    witnesses = [
        _Witness("loop of symmetry operations,", operations[0].name if operations else "", operations, ""),
        _Witness("Hall symbol", repr(text_of(block, HALL)), hall, _quoted(f"hall: {text_of(block, HALL)}")),
        _Witness("Hermann-Mauguin symbol", repr(symbol), named, " or ".join(_quoted(group.name) for group in named)),
        _Witness("number", str(number), numbered, str(number)),
    ]
    first, *others = [witness for witness in witnesses if witness.groups]
    if first.kind == "number" and symbol:
        warn(
            f"{path}: data_{block.name} has the space-group symbol {symbol!r}, which is unknown, and the number {number}: the "
            f"usual setting {first.groups[0].name} is taken",
        )
    for other in others:
        _compare(path, block, cell, first, other)
    return list(first.groups)


def say_what_is_overruled(path: Path, block: cif.Block, cell: np.ndarray, chosen: SpaceGroup) -> None:
    """Warn if a given space group is of another type than everything the block states."""
    try:
        stated = groups_of(path, block, cell)
    except (ParseError, SymmetryError):
        # presumably the reason why one was given
        return
    if all(_type(group, cell) != _type(chosen, cell) or group.order != chosen.order for group in stated):
        warn(
            f"{path}: data_{block.name} is of {stated[0].name} ({stated[0].order} operations) and is read as {chosen.name} "
            f"({chosen.order}), as spacegroup says: leave that out unless the file is wrong"
        )


def _operations(path: Path, block: cif.Block, symbol: str | None) -> tuple[SpaceGroup, ...]:
    texts = column_of(block, *OPERATIONS)
    # a loop that repeats an operation means the same group
    triplets = list(dict.fromkeys(_triplet(path, block, text) for text in texts))
    return (SpaceGroup.from_operations(triplets, symbol),) if triplets else ()


def _hall(block: cif.Block) -> tuple[SpaceGroup, ...]:
    """Return the group of a readable Hall symbol; programs write all kinds of text there."""
    text = text_of(block, HALL)
    try:
        return (SpaceGroup.from_hall(text),) if text else ()
    except SymmetryError:
        return ()


def _meanings(name: str | None, cell: np.ndarray, code: str | None) -> tuple[SpaceGroup, ...]:
    """Return the groups of a known symbol or number, in the setting of the coordinate-system code."""
    if name is None:
        return ()
    try:
        found = SpaceGroup.meanings(name, cell)
    except SymmetryError:
        return ()
    choice = (code or "")[:1].upper()
    if len(found) > 1 and choice in ("1", "2"):
        return (found[int(choice) - 1],)
    if choice in ("H", "R") and re.search(r":[HR]$", found[0].name):
        return (SpaceGroup.from_name(f"{found[0].name[:-2]}:{choice}"),)
    return found


def _compare(path: Path, block: cif.Block, cell: np.ndarray, first: _Witness, other: _Witness) -> None:
    """Refuse another space-group type, and another setting unless operations determine which is meant."""
    if any(group == first.groups[0] for group in other.groups):
        return
    same_type = _type(first.groups[0], cell) in (_type(other.groups[0], cell), None)
    same_type &= first.groups[0].order == other.groups[0].order or other.kind == "number"
    what = f"data_{block.name}: {first.says()} and {other.says()}"
    if not same_type:
        fewer = not first.advice and first.groups[0].order < other.groups[0].order
        complete = "The loop may lack operations. " if fewer else ""
        choice = " or ".join(w.advice for w in (first, other) if w.advice)
        raise SymmetryError(
            f"the symmetry contradicts itself in {what}. {complete}Correct the file, or say which is right beside it: "
            f"spacegroup = {choice}"
        )
    if other.kind == "number" or len(other.groups) > 1:
        return
    if len(first.groups) == 1 and not first.advice:
        if first.groups[0].number:  # outside the tables no symbol could match
            warn(f"{path}: {what} are two settings of one space group; the operations are used")
        return
    raise SymmetryError(
        f"two settings of one space group in {what}: atoms have other positions in the other one. Correct the file, or say "
        f"which is right beside it: spacegroup = {first.advice} or {other.advice}"
    )


def _quoted(symbol: str) -> str:
    """Quote a symbol as Python and run files do; Hall symbols may end in a prime or two."""
    return f"'{symbol}'" if '"' in symbol else f'"{symbol}"'


def _type(group: SpaceGroup, cell: np.ndarray) -> int | None:
    return group.number or group_number(group.rotations, group.translations, lattice(cell))


def _triplet(path: Path, block: cif.Block, text: str) -> str:
    """Return an operation in gemmi's notation, modulo lattice translations."""
    try:
        return gemmi.Op(text.strip().replace(" ", "")).wrap().triplet()
    except (RuntimeError, ValueError) as err:
        tag = next(t for t in OPERATIONS if column_of(block, t))
        raise ParseError(
            path,
            line_of(block, tag),
            f"symmetry operation {text!r} in the loop of {tag}: expected a triplet such as '-x,y+1/2,-z'",
        ) from err
