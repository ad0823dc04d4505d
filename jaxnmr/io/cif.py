"""Crystal structures from CIF, parsed by gemmi."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from ..crystal import Crystal, SpaceGroup, element_of, reciprocal_metric
from ..crystal.sites import SNAP_DISTANCE
from ..errors import ConventionError, JaxnmrError, ParseError, SymmetryError
from ..units import b_to_u

_UIJ = ("11", "22", "33", "12", "13", "23")
_INDICES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
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
# Occupancies refined without bounds end a little above 1.
_OCCUPANCY_EXCESS = 0.05
_DEFAULT_U = 0.01


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
    blocks = [block for block in document if _column(block, "_atom_site_fract_x")]
    if not blocks:
        names = ", ".join(f"data_{block.name}" for block in document) or "none"
        cartesian = any(_column(block, "_atom_site_Cartn_x", "_atom_site.Cartn_x") for block in document)
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
    atoms = _atoms(path, block, cell)
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


def _column(block: cif.Block, *tags: str) -> list[str]:
    """Values of the first of the tags that the block has, unquoted; empty when it has none."""
    for tag in tags:
        values = [cif.as_string(v) for v in block.find_values(tag)]
        if values:
            return values
    return []


def _text(block: cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and not cif.is_null(value) and cif.as_string(value).strip():
            return " ".join(cif.as_string(value).split())
    return None


def _line(block: cif.Block, tag: str) -> int | None:
    item = block.find_pair_item(tag) or block.find_loop_item(tag)
    return item.line_number if item is not None else None


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
                path, _line(block, full), f"{full} of data_{block.name} {got}, expected a number such as 9.3719(2)"
            )
        cell.append(value)
    return np.array(cell)


def _groups(path: Path, block: cif.Block, cell: np.ndarray) -> list[SpaceGroup]:
    """The space groups the block may mean: one, or two for a symbol that leaves the origin open."""
    operations = _column(block, *_SYMOPS)
    symbol, hall, number = _text(block, _HERMANN_MAUGUIN), _text(block, _HALL), _text(block, _NUMBER)
    if operations:
        # a loop that repeats an operation means the same group
        operations = list(dict.fromkeys(gemmi_triplet(path, block, text) for text in operations))
        return [SpaceGroup.from_operations(operations, symbol)]
    if hall:
        try:
            return [SpaceGroup.from_hall(hall)]
        except SymmetryError:
            if not (symbol or number):
                raise
    if not (symbol or number):
        raise ParseError(
            path, None, f"data_{block.name} states no symmetry: expected a loop of {_SYMOPS[0]}, "
            f"{_HALL[0]}, {_HERMANN_MAUGUIN[0]} or {_NUMBER[0]}; or give spacegroup="
        )  # fmt: skip
    known = gemmi.find_spacegroup_by_name(symbol, cell[3], cell[5]) if symbol else None
    chosen = SpaceGroup(known.xhm(), known.operations()) if known else None
    if chosen is None:
        try:
            chosen = SpaceGroup.from_name(symbol or number)
        except SymmetryError:
            if not (symbol and number):
                raise
            chosen = SpaceGroup.from_name(number)
    stated = symbol and re.search(r"(:[12HR]| [SZHR])$", symbol, flags=re.IGNORECASE)
    if not stated and chosen.name.endswith(":1"):
        return [chosen, SpaceGroup.from_name(chosen.name[:-1] + "2")]
    return [chosen]


def gemmi_triplet(path: Path, block: cif.Block, text: str) -> str:
    """An operation in gemmi's spelling, modulo lattice translations."""
    try:
        return gemmi.Op(text.strip().replace(" ", "")).wrap().triplet()
    except (RuntimeError, ValueError) as err:
        tag = next(t for t in _SYMOPS if _column(block, t))
        raise ParseError(
            path,
            _line(block, tag),
            f"symmetry operation {text!r} in the loop of {tag}: expected a triplet such as '-x,y+1/2,-z'",
        ) from err


def _fitting_formula(path: Path, block: cif.Block, crystals: list[Crystal]) -> Crystal:
    """Of two origin choices the one whose cell content is Z formula units."""
    if len(crystals) == 1:
        return crystals[0]
    formula, z = _text(block, ("_chemical_formula_sum",)), _text(block, ("_cell_formula_units_Z",))
    if formula and z and z.isdigit():
        wanted = {e: float(n or 1) * int(z) for e, n in re.findall(r"([A-Z][a-z]?) *(\d*\.?\d*)", formula)}
        fitting = [c for c in crystals if _contents_match(c, wanted)]
        if len(fitting) == 1:
            return fitting[0]
    names = " and ".join(repr(c.group.name) for c in crystals)
    raise ParseError(
        path,
        _line(block, _HERMANN_MAUGUIN[0]) or _line(block, _HERMANN_MAUGUIN[1]),
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
    candidates = [_text(block, (tag,)) for tag in _PHASE_NAME]
    candidates += [block.name if re.match(r"[A-Za-z]\w", block.name) and block.name.lower() != "global" else None]
    for text in candidates:
        name = re.sub(r"[^\w.+-]+", "_", text or "").strip("_")
        if name:
            return name
    return path.stem


def _atoms(path: Path, block: cif.Block, cell: np.ndarray) -> dict:
    """Keyword arguments of :meth:`Crystal.create` for the sites."""
    texts = [_column(block, f"_atom_site_fract_{axis}") for axis in "xyz"]
    n = len(texts[0])
    for axis, column in zip("xyz", texts, strict=True):
        if len(column) != n:
            raise ParseError(path, _line(block, "_atom_site_fract_x"), f"the atom loop lacks _atom_site_fract_{axis}")
    labels, symbols = _column(block, "_atom_site_label"), _column(block, "_atom_site_type_symbol")
    if len(labels) != n and len(symbols) != n:
        raise ParseError(
            path,
            _line(block, "_atom_site_fract_x"),
            "the atom loop has neither _atom_site_label nor _atom_site_type_symbol",
        )
    labels = labels if len(labels) == n else [f"{symbol}{k + 1}" for k, symbol in enumerate(symbols)]
    symbols = symbols if len(symbols) == n else [""] * n
    flags = _column(block, "_atom_site_calc_flag") or [""] * n
    kept, positions, snap, missing = [], [], [], []
    for k, row in enumerate(zip(*texts, strict=True)):
        if flags[k].lower().startswith("dum"):
            continue
        if all(text.strip() in ("?", ".", "") for text in row):
            missing.append(labels[k])
            continue
        kept.append(k)
        positions.append([_coordinate(path, block, labels[k], text) for text in row])
        snap.append(_rounding_distance(row, cell))
    if missing:
        warnings.warn(f"{path}: no coordinates for {', '.join(missing)}; these sites are left out", stacklevel=4)
    if not kept:
        raise ParseError(path, _line(block, "_atom_site_fract_x"), f"no atom of data_{block.name} has coordinates")
    species = [_species(path, block, symbols[k], labels[k]) for k in kept]
    u_iso, u_aniso = _displacements(path, block, labels, cell)
    return {
        "species": species,
        "labels": _distinct([labels[k] for k in kept]),
        "xyz": positions,
        "occupancy": [
            _occupancy(path, block, labels[k], text) for k, text in _rows(block, "_atom_site_occupancy", kept, "1")
        ],
        "u_iso": u_iso[kept],
        "u_aniso": u_aniso[kept],
        "snap_distance": snap,
    }


def _rows(block: cif.Block, tag: str, kept: list[int], default: str) -> list[tuple[int, str]]:
    column = _column(block, tag)
    return [(k, column[k] if k < len(column) else default) for k in kept]


def _coordinate(path: Path, block: cif.Block, label: str, text: str) -> float:
    value = cif.as_number(text)
    if np.isfinite(value):
        return value
    try:
        numerator, denominator = (int(t) for t in text.split("/"))
        return numerator / denominator
    except (ValueError, ZeroDivisionError):
        raise ParseError(
            path, _line(block, "_atom_site_fract_x"), f"coordinate {text!r} of {label} in the atom loop is no number"
        ) from None


def _rounding_distance(texts: Sequence[str], cell: np.ndarray) -> float:
    """How far (Å) symmetry moves a site only because thirds and sixths were printed as 0.333 or 0.17."""
    off = 0.0
    for text, edge in zip(texts, cell[:3], strict=True):
        decimals = len(text.strip().partition(".")[2])
        value = cif.as_number(text)
        twelfth = round(value * 12.0) / 12.0 if np.isfinite(value) else 0.0
        recurring = round(twelfth * 12.0) % 3 != 0
        if decimals >= 2 and "(" not in text and recurring and abs(value - twelfth) < 1.01 * 10.0**-decimals:
            off += abs(value - twelfth) * edge
    return max(SNAP_DISTANCE, 2.2 * off)  # an n-fold rotation moves a point by at most twice its distance from the axis


def _occupancy(path: Path, block: cif.Block, label: str, text: str) -> float:
    if text.strip() in ("?", ".", ""):
        return 1.0
    value = cif.as_number(text)
    if not np.isfinite(value):
        raise ParseError(path, _line(block, "_atom_site_occupancy"), f"occupancy {text!r} of {label} is no number")
    return 1.0 if 1.0 < value <= 1.0 + _OCCUPANCY_EXCESS else value


def _species(path: Path, block: cif.Block, symbol: str, label: str) -> str:
    """Element and charge: the type symbol when it is one, else the letters the symbol or the label begins with."""
    formula = set(re.findall(r"[A-Z][a-z]?", _text(block, ("_chemical_formula_sum",)) or ""))
    for text in (symbol.strip(), label.strip()):
        try:
            element_of(text)
            return text
        except ConventionError:
            letters = re.match(r"[A-Za-z]*", text)[0]
            if letters.lower().startswith("wat"):
                return "O"  # a water molecule whose hydrogen is not located
            # CA1 is calcium, OW1 oxygen, HOA hydrogen; HO1 holmium only where the formula has it
            guesses = [letters] if len(letters) < 3 else [letters[:2]] if letters[1:2].islower() else []
            guesses = [g.capitalize() for g in (*guesses, letters[:1]) if g and gemmi.Element(g).atomic_number > 0]
            if guesses:
                return next((g for g in guesses if g in formula), guesses[0])
    raise ParseError(
        path,
        _line(block, "_atom_site_label"),
        f"site {label!r} with type {symbol!r} is no element; expected 'O', 'D', 'Ca2+' ...",
    )


def _distinct(labels: list[str]) -> list[str]:
    """Labels made unique and free of blanks: a repeated ``O1`` becomes ``O1_2``."""
    seen: set[str] = set()
    out = []
    for label in labels:
        base = re.sub(r"[\s\[\],/]+", "_", label.strip()) or "X"
        candidate, k = base, 1
        while candidate in seen:
            k += 1
            candidate = f"{base}_{k}"
        seen.add(candidate)
        out.append(candidate)
    return out


def _numbers(block: cif.Block, tag: str, n: int) -> np.ndarray:
    column = [cif.as_number(text) for text in _column(block, tag)]
    return np.array(column) if len(column) == n else np.full(n, np.nan)


def _displacements(path: Path, block: cif.Block, labels: list[str], cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``u_iso`` ``(n,)`` and ``u_aniso`` ``(n, 6)`` (NaN where isotropic) in Å², from U or B or beta."""
    n = len(labels)
    u_iso = _numbers(block, "_atom_site_U_iso_or_equiv", n)
    u_iso = np.where(np.isnan(u_iso), b_to_u(_numbers(block, "_atom_site_B_iso_or_equiv", n)), u_iso)
    u_aniso = np.full((n, 6), np.nan)
    length = np.sqrt(np.diag(reciprocal_metric(cell)))
    beta = np.array([2.0 * np.pi**2 * length[i] * length[j] for i, j in _INDICES])
    names = _column(block, "_atom_site_aniso_label")
    for kind, factor in (("U", 1.0), ("B", b_to_u(1.0)), ("beta", 1.0 / beta)):
        table = [_numbers(block, f"_atom_site_aniso_{kind}_{ij}", len(names)) for ij in _UIJ]
        values = np.stack(table, axis=-1) * factor
        for label in dict.fromkeys(names):
            # a label used for several sites has as many rows, in the same order
            sites = [k for k, other in enumerate(labels) if other == label]
            for site, row in zip(sites, [k for k, other in enumerate(names) if other == label], strict=False):
                if np.isfinite(values[row]).all():
                    u_aniso[site] = values[row]
    adp_types = _column(block, "_atom_site_adp_type", "_atom_site_thermal_displace_type")
    for site, kind in enumerate(adp_types):
        if kind in ("Uiso", "Biso"):
            u_aniso[site] = np.nan
    return np.where(np.isnan(u_iso), _DEFAULT_U, u_iso), u_aniso
