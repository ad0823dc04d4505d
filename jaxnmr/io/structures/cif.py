"""Crystal structures from CIF, parsed by gemmi."""

import re
from pathlib import Path

import numpy as np
from gemmi import cif

from ...crystal import Crystal, SpaceGroup, metric
from ...errors import JaxnmrError, ParseError, SymmetryError
from ._cif_block import column_of, line_of, parse_cif, text_of
from .cif_contents import check_contents, fitting_formula
from .cif_sites import site_arguments
from .cif_symmetry import groups_of, say_what_is_overruled

_PHASE_NAME = ("_pd_phase_name", "_chemical_name_mineral")


def read_cif_document(path: Path) -> cif.Document:
    """Parse a CIF; a :class:`ParseError` names the line at which gemmi stopped."""
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise ParseError(path, None, f"cannot open the file: {err.strerror or err}") from err
    return parse_cif(path, raw)


def structure_blocks(path: Path, document: cif.Document | None = None) -> list[cif.Block]:
    """Return the data blocks of a CIF that list atoms; if the document is given, the path is only used in messages."""
    document = read_cif_document(path) if document is None else document
    blocks = [block for block in document if column_of(block, "_atom_site_fract_x")]
    if not blocks:
        names = ", ".join(f"data_{block.name}" for block in document) or "none"
        cartesian = any(column_of(block, "_atom_site_Cartn_x") for block in document)
        hint = "; Cartesian _atom_site_Cartn_x alone is not read" if cartesian else ""
        raise ParseError(
            path,
            None,
            f"no atoms: expected a data block with _atom_site_fract_x, _y and _z; found blocks {names}{hint}",
        )
    return blocks


def crystal_from_block(path: Path, block: cif.Block, name: str | None, spacegroup=None) -> Crystal:
    """Convert one data block to a crystal.

    Args:
        path: for messages, and as a last resort for the name.
        block: a data block with atoms.
        name: name of the phase; from the block if ``None``.
        spacegroup: overrides the symmetry stated in the block.

    Raises:
        ParseError: something is missing or cannot be read.
        SymmetryError, ConventionError, ShapeError: the content is inconsistent; the message starts with the path.
    """
    cell = _cell(path, block)
    atoms = site_arguments(path, block, cell)
    try:
        groups = groups_of(path, block, cell) if spacegroup is None else [_as_group(spacegroup, cell)]
        if spacegroup is not None:
            say_what_is_overruled(path, block, cell, groups[0])
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
        crystal = fitting_formula(path, block, crystals)
        check_contents(path, block, crystal)
        return crystal
    except ParseError:
        raise
    except JaxnmrError as err:
        raise type(err)(f"{path}, data_{block.name}: {err}") from err


def _as_group(spacegroup, cell: np.ndarray) -> SpaceGroup:
    return spacegroup if isinstance(spacegroup, SpaceGroup) else SpaceGroup.from_name(spacegroup, cell)


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
        if value <= 0.0 or (value >= 180.0 and tag.startswith("angle")):
            limit = " and less than 180 degrees" if tag.startswith("angle") else ""
            raise ParseError(
                path, line_of(block, full), f"{full} of data_{block.name} is {raw}, expected more than 0{limit}"
            )
        cell.append(value)
    if not np.linalg.det(metric(np.array(cell))) > 0.0:
        raise ParseError(
            path,
            line_of(block, "_cell_angle_alpha"),
            f"the cell of data_{block.name} has no volume: angles {cell[3:]} cannot meet in a corner",
        )
    return np.array(cell)


def _phase_name(path: Path, block: cif.Block) -> str:
    candidates = [text_of(block, (tag,)) for tag in _PHASE_NAME]
    candidates += [block.name if re.match(r"[A-Za-z]", block.name) and block.name.lower() != "global" else None]
    for text in candidates:
        name = re.sub(r"[^\w.+-]+", "_", text or "").strip("_")
        if name:
            return name
    return path.stem
