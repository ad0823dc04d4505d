"""Atoms of a CIF data block: species, positions, occupancies, displacements."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from ...crystal import element_of, reciprocal_metric
from ...crystal.sites import SNAP_DISTANCE
from ...errors import ConventionError, ParseError
from ...units import b_to_u
from ._cif_block import column_of, line_of, text_of

_UIJ = ("11", "22", "33", "12", "13", "23")
_INDICES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# Occupancies refined without bounds end a little above 1.
_OCCUPANCY_EXCESS = 0.05
_DEFAULT_U = 0.01


def site_arguments(path: Path, block: cif.Block, cell: np.ndarray) -> dict:
    """Keyword arguments of :meth:`Crystal.create` for the sites."""
    texts = [column_of(block, f"_atom_site_fract_{axis}") for axis in "xyz"]
    n = len(texts[0])
    for axis, column in zip("xyz", texts, strict=True):
        if len(column) != n:
            raise ParseError(path, line_of(block, "_atom_site_fract_x"), f"the atom loop lacks _atom_site_fract_{axis}")
    labels, symbols = column_of(block, "_atom_site_label"), column_of(block, "_atom_site_type_symbol")
    if len(labels) != n and len(symbols) != n:
        raise ParseError(
            path,
            line_of(block, "_atom_site_fract_x"),
            "the atom loop has neither _atom_site_label nor _atom_site_type_symbol",
        )
    labels = labels if len(labels) == n else [f"{symbol}{k + 1}" for k, symbol in enumerate(symbols)]
    symbols = symbols if len(symbols) == n else [""] * n
    flags = column_of(block, "_atom_site_calc_flag")
    flags = flags if len(flags) == n else [""] * n
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
        raise ParseError(path, line_of(block, "_atom_site_fract_x"), f"no atom of data_{block.name} has coordinates")
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
    column = column_of(block, tag)
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
            path, line_of(block, "_atom_site_fract_x"), f"coordinate {text!r} of {label} in the atom loop is no number"
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
        raise ParseError(path, line_of(block, "_atom_site_occupancy"), f"occupancy {text!r} of {label} is no number")
    return 1.0 if 1.0 < value <= 1.0 + _OCCUPANCY_EXCESS else value


def _species(path: Path, block: cif.Block, symbol: str, label: str) -> str:
    """Element and charge: the type symbol when it is one, else the letters the symbol or the label begins with."""
    formula = set(re.findall(r"[A-Z][a-z]?", text_of(block, ("_chemical_formula_sum",)) or ""))
    for text in (symbol.strip(), label.strip()):
        try:
            element_of(text)
            return text
        except ConventionError:
            letters = re.sub(r"[^A-Za-z].*", "", text, flags=re.DOTALL)
            if letters.lower().startswith("wat"):
                return "O"  # a water molecule whose hydrogen is not located
            # CA1 is calcium, OW1 oxygen, HOA hydrogen; HO1 holmium only where the formula has it
            guesses = [letters] if len(letters) < 3 else [letters[:2]] if letters[1:2].islower() else []
            guesses = [g.capitalize() for g in (*guesses, letters[:1]) if g and gemmi.Element(g).atomic_number > 0]
            if guesses:
                return next((g for g in guesses if g in formula), guesses[0])
    raise ParseError(
        path,
        line_of(block, "_atom_site_label"),
        f"site {label!r} with type {symbol!r} is no element; expected 'O', 'D', 'Ca2+' ...",
    )


def _distinct(labels: list[str]) -> list[str]:
    """Labels made unique and free of blanks: a repeated ``O1`` becomes ``O1_2``."""
    seen: set[str] = set()
    out = []
    for label in labels:
        base = re.sub(r"[\s\[\],/*?]+", "_", label.strip()) or "X"
        candidate, k = base, 1
        while candidate in seen:
            k += 1
            candidate = f"{base}_{k}"
        seen.add(candidate)
        out.append(candidate)
    return out


def _numbers(block: cif.Block, tag: str, n: int) -> np.ndarray:
    column = [cif.as_number(text) for text in column_of(block, tag)]
    return np.array(column) if len(column) == n else np.full(n, np.nan)


def _displacements(path: Path, block: cif.Block, labels: list[str], cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``u_iso`` ``(n,)`` and ``u_aniso`` ``(n, 6)`` (NaN where isotropic) in Å², from U or B or beta."""
    n = len(labels)
    u_iso = _numbers(block, "_atom_site_U_iso_or_equiv", n)
    u_iso = np.where(np.isnan(u_iso), b_to_u(_numbers(block, "_atom_site_B_iso_or_equiv", n)), u_iso)
    u_aniso = np.full((n, 6), np.nan)
    length = np.sqrt(np.diag(reciprocal_metric(cell)))
    beta = np.array([2.0 * np.pi**2 * length[i] * length[j] for i, j in _INDICES])
    names = column_of(block, "_atom_site_aniso_label")
    for kind, factor in (("U", 1.0), ("B", b_to_u(1.0)), ("beta", 1.0 / beta)):
        table = [_numbers(block, f"_atom_site_aniso_{kind}_{ij}", len(names)) for ij in _UIJ]
        values = np.stack(table, axis=-1) * factor
        for label in dict.fromkeys(names):
            # a label used for several sites has as many rows, in the same order
            sites = [k for k, other in enumerate(labels) if other == label]
            for site, row in zip(sites, [k for k, other in enumerate(names) if other == label], strict=False):
                if np.isfinite(values[row]).all():
                    u_aniso[site] = values[row]
    adp_types = column_of(block, "_atom_site_adp_type", "_atom_site_thermal_displace_type")
    for site, kind in enumerate(adp_types if len(adp_types) == n else ()):
        if kind in ("Uiso", "Biso"):
            u_aniso[site] = np.nan
    return np.where(np.isnan(u_iso), _DEFAULT_U, u_iso), u_aniso
