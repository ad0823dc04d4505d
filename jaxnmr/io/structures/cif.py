"""Crystal structures from CIF, parsed by gemmi."""

import re
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from ...crystal import Crystal, SpaceGroup
from ...errors import JaxnmrError, ParseError, SymmetryError
from ._cif_block import column_of, line_of, text_of
from .cif_sites import site_arguments

_SYMOPS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz")
_HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall")
_HERMANN_MAUGUIN = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_full",
    "_space_group.name_H-M_alt",
    "_space_group_name_H-M_ref",
)
_NUMBER = ("_space_group_IT_number", "_symmetry_Int_Tables_number", "_space_group.IT_number")
_PHASE_NAME = ("_pd_phase_name", "_chemical_name_mineral")


def read_cif_document(path: Path) -> cif.Document:
    """Parse a CIF; a :class:`ParseError` names the line gemmi stopped at."""
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise ParseError(path, None, f"cannot open the file: {err.strerror or err}") from err
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # accents and degree signs of older files
    try:
        return cif.read_string(text)
    except (ValueError, RuntimeError) as err:
        found = re.match(r"(?:string)?:?(\d+)(?::\d+)?(?:\(\d+\))?:? *", str(err))
        line = int(found[1]) if found else None
        reason = (str(err)[found.end() :] if found else str(err)).strip()
        lines = text.splitlines()
        got = f" at {lines[line - 1].strip()[:60]!r}" if line is not None and 0 < line <= len(lines) else ""
        raise ParseError(path, line, f"not CIF: {reason}{got}; expected 'data_...' blocks of tags and loops") from err


def structure_blocks(path: Path) -> list[cif.Block]:
    """The data blocks of a CIF that list atoms."""
    document = read_cif_document(path)
    blocks = [block for block in document if column_of(block, "_atom_site_fract_x")]
    if not blocks:
        names = ", ".join(f"data_{block.name}" for block in document) or "none"
        cartesian = any(column_of(block, "_atom_site_Cartn_x", "_atom_site.Cartn_x") for block in document)
        hint = "; Cartesian _atom_site_Cartn_x alone is not read" if cartesian else ""
        raise ParseError(
            path,
            None,
            f"no atoms: expected a data block with _atom_site_fract_x, _y and _z; found blocks {names}{hint}",
        )
    return blocks


def crystal_from_block(path: Path, block: cif.Block, name: str | None, spacegroup=None) -> Crystal:
    """One data block as a crystal.

    Args:
        path: for messages and as a last resort for the name.
        block: a data block with atoms.
        name: name of the phase; from the block when ``None``.
        spacegroup: overrides the symmetry the block states.

    Raises:
        ParseError: something is missing or cannot be read.
        SymmetryError, ConventionError, ShapeError: the content contradicts itself; the message starts with the path.
    """
    cell = _cell(path, block)
    atoms = site_arguments(path, block, cell)
    try:
        groups = [_as_group(spacegroup)] if spacegroup is not None else _groups(path, block, cell)
        crystals, failures = [], []
        for group in groups:
            try:
                crystals.append(
                    Crystal.create(cell=cell, spacegroup=group, name=name or _phase_name(path, block), **atoms)
                )
            except SymmetryError as err:
                failures.append(err)
        if not crystals:
            raise failures[0]
        return _fitting_formula(path, block, crystals)
    except ParseError:
        raise
    except JaxnmrError as err:
        raise type(err)(f"{path}, data_{block.name}: {err}") from err


def _as_group(spacegroup) -> SpaceGroup:
    return spacegroup if isinstance(spacegroup, SpaceGroup) else SpaceGroup.from_name(spacegroup)


def _cell(path: Path, block: cif.Block) -> np.ndarray:
    cell = []
    for tag in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        full = f"_cell_{tag}"
        raw = block.find_value(full)
        if (raw is None or cif.is_null(raw)) and tag.startswith("angle"):
            cell.append(90.0)  # the CIF dictionary's default
            continue
        value = cif.as_number(raw) if raw is not None else np.nan
        if not np.isfinite(value):
            got = f"is {raw!r}" if raw is not None else "is missing"
            raise ParseError(
                path, line_of(block, full), f"{full} of data_{block.name} {got}, expected a number such as 9.3719(2)"
            )
        cell.append(value)
    return np.array(cell)


def _groups(path: Path, block: cif.Block, cell: np.ndarray) -> list[SpaceGroup]:
    """The space groups the block may mean: one, or two for a symbol that leaves the origin open."""
    operations = column_of(block, *_SYMOPS)
    symbol, hall, number = text_of(block, _HERMANN_MAUGUIN), text_of(block, _HALL), text_of(block, _NUMBER)
    stated = symbol or number
    known = gemmi.find_spacegroup_by_name(symbol, cell[3], cell[5]) if symbol else None
    if operations:
        # a loop that repeats an operation means the same group
        operations = list(dict.fromkeys(_triplet(path, block, text) for text in operations))
        group = SpaceGroup.from_operations(operations, symbol)
        if known is not None and len(known.operations()) != group.order:
            raise SymmetryError(
                f"the loop of symmetry operations has {group.order}, but {symbol!r} has {len(known.operations())}: "
                f"complete the loop, or say which is right with spacegroup={symbol!r} or {group.name!r}"
            )
        return [group]
    if hall:
        try:
            return [SpaceGroup.from_hall(hall)]
        except SymmetryError:
            if not stated:
                raise
    if not stated:
        raise ParseError(
            path, None, f"data_{block.name} states no symmetry: expected a loop of {_SYMOPS[0]}, "
            f"{_HALL[0]}, {_HERMANN_MAUGUIN[0]} or {_NUMBER[0]}; or give spacegroup="
        )  # fmt: skip
    chosen = SpaceGroup(known.xhm(), known.operations()) if known else None
    if chosen is None:
        try:
            chosen = SpaceGroup.from_name(stated)
        except SymmetryError:
            if not (symbol and number):
                raise
            chosen = SpaceGroup.from_name(number)
    setting = symbol and re.search(r"(:[12HR]| [SZHR])$", symbol, flags=re.IGNORECASE)
    if not setting and chosen.name.endswith(":1"):
        return [chosen, SpaceGroup.from_name(chosen.name[:-1] + "2")]
    return [chosen]


def _triplet(path: Path, block: cif.Block, text: str) -> str:
    """An operation in gemmi's spelling, modulo lattice translations."""
    try:
        return gemmi.Op(text.strip().replace(" ", "")).wrap().triplet()
    except (RuntimeError, ValueError) as err:
        tag = next(t for t in _SYMOPS if column_of(block, t))
        raise ParseError(
            path,
            line_of(block, tag),
            f"symmetry operation {text!r} in the loop of {tag}: expected a triplet such as '-x,y+1/2,-z'",
        ) from err


def _fitting_formula(path: Path, block: cif.Block, crystals: list[Crystal]) -> Crystal:
    """Of two origin choices the one whose cell content is Z formula units."""
    if len(crystals) == 1:
        return crystals[0]
    formula, z = text_of(block, ("_chemical_formula_sum",)), text_of(block, ("_cell_formula_units_Z",))
    if formula and z and z.isdigit():
        wanted = {e: float(n or 1) * int(z) for e, n in re.findall(r"([A-Z][a-z]?) *(\d*\.?\d*)", formula)}
        fitting = [c for c in crystals if _contents_match(c, wanted)]
        if len(fitting) == 1:
            return fitting[0]
    names = " and ".join(repr(c.group.name) for c in crystals)
    raise ParseError(
        path,
        line_of(block, _HERMANN_MAUGUIN[0]) or line_of(block, _HERMANN_MAUGUIN[1]),
        f"the symmetry of data_{block.name} is only a symbol that leaves the origin open: {names} both fit. "
        f"Give spacegroup={crystals[0].group.name!r} or {crystals[1].group.name!r}",
    )


def _contents_match(crystal: Crystal, wanted: dict[str, float]) -> bool:
    content: dict[str, float] = {}
    for element, occupancy, site in zip(crystal.elements, crystal.occupancy, crystal.sites(), strict=True):
        content[element] = content.get(element, 0.0) + occupancy * site.multiplicity
    return content.keys() == wanted.keys() and all(
        abs(content[e] - wanted[e]) < 0.02 * wanted[e] + 0.01 for e in wanted
    )


def _phase_name(path: Path, block: cif.Block) -> str:
    candidates = [text_of(block, (tag,)) for tag in _PHASE_NAME]
    candidates += [block.name if re.match(r"[A-Za-z]", block.name) and block.name.lower() != "global" else None]
    for text in candidates:
        name = re.sub(r"[^\w.+-]+", "_", text or "").strip("_")
        if name:
            return name
    return path.stem
