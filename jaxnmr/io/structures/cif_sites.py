"""Atoms of a CIF data block: species, positions, occupancies, displacements."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gemmi import cif

from ..._warn import warn
from ...crystal import reciprocal_metric
from ...crystal.doubts import question_b_values
from ...crystal.sites import SNAP_DISTANCE
from ...errors import ParseError
from ...units import b_to_u
from ._cif_block import column_of, line_of
from .cif_species import species_of

_UIJ = ("11", "22", "33", "12", "13", "23")
_INDICES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# Occupancies refined without bounds may slightly exceed 1.
_OCCUPANCY_EXCESS = 0.05
_DEFAULT_U = 0.01


def site_arguments(path: Path, block: cif.Block, cell: np.ndarray) -> dict:
    """Return the keyword arguments of :meth:`Crystal.create` for the sites."""
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
        warn(f"{path}: no coordinates for {', '.join(missing)}; these sites are left out")
    if not kept:
        raise ParseError(path, line_of(block, "_atom_site_fract_x"), f"no atom of data_{block.name} has coordinates")
    _require_fractions(path, block, [labels[k] for k in kept], np.array(positions), cell)
    species = species_of(path, block, [symbols[k] for k in kept], [labels[k] for k in kept], cell, np.array(positions))
    u_iso, u_aniso = _displacements(path, block, labels, cell, kept)
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


def _require_fractions(path: Path, block: cif.Block, labels: list[str], xyz: np.ndarray, cell: np.ndarray) -> None:
    """Refuse coordinates in Å, or multiplied by 1000; warn of single ones far from the cell."""
    far = (np.abs(xyz) > 2.0).any(axis=1)
    if not far.any():
        return
    largest, span = float(np.abs(xyz).max()), float(np.ptp(xyz, axis=0).max())
    few = ", ".join(label for label, is_far in zip(labels, far, strict=True) if is_far)
    if 3 * far.sum() > len(xyz) and (span > 2.0 or len(xyz) == 1):
        unit = (
            "Cartesian, in Å? Divide by the axes"
            if largest <= 1.5 * cell[:3].max()
            else "in per cent, or times 1000 or 10000? Divide"
        )
        raise ParseError(
            path,
            line_of(block, "_atom_site_fract_x"),
            f"fractional coordinates of {few} run up to {largest:g}, and the sites are spread over {max(span, largest):.3g} cells. "
            f"Are these {unit}",
        )
    warn(f"{path}: {few} lie more than two cells from the origin: are these coordinates fractional?")


def _rounding_distance(texts: Sequence[str], cell: np.ndarray) -> float:
    """Return how far (Å) symmetry moves a site only because thirds and sixths were printed as 0.333 or 0.17."""
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


def _distinct(labels: list[str]) -> list[str]:
    """Make labels unique and free of blanks: a repeated ``O1`` becomes ``O1_2``."""
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


def _displacements(
    path: Path, block: cif.Block, labels: list[str], cell: np.ndarray, kept: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``u_iso`` ``(n,)`` and ``u_aniso`` ``(n, 6)`` (NaN where isotropic) in Å², from U or B or beta."""
    n = len(labels)
    u_iso, of_b = (
        _numbers(block, "_atom_site_U_iso_or_equiv", n),
        b_to_u(_numbers(block, "_atom_site_B_iso_or_equiv", n)),
    )
    adp_types = column_of(block, "_atom_site_adp_type", "_atom_site_thermal_displace_type")
    adp_types = adp_types if len(adp_types) == n else [""] * n
    _question_columns(path, labels, u_iso, of_b, adp_types)
    u_iso = np.where(np.isnan(u_iso), of_b, u_iso)
    u_aniso = np.full((n, 6), np.nan)
    length = np.sqrt(np.diag(reciprocal_metric(cell)))
    beta = np.array([2.0 * np.pi**2 * length[i] * length[j] for i, j in _INDICES])
    names = column_of(block, "_atom_site_aniso_label")
    rows_of = _rows_of(path, names, labels)
    for kind, factor in (("U", 1.0), ("B", b_to_u(1.0)), ("beta", 1.0 / beta)):
        table = [_numbers(block, f"_atom_site_aniso_{kind}_{ij}", len(names)) for ij in _UIJ]
        values = np.stack(table, axis=-1) * factor
        for site, row in rows_of:
            if np.isfinite(values[row]).all():
                u_aniso[site] = values[row]
    for site, kind in enumerate(adp_types):
        if kind in ("Uiso", "Biso"):
            u_aniso[site] = np.nan
    without = [labels[k] for k in kept if np.isnan(u_iso[k]) and np.isnan(u_aniso[k]).any()]
    if without:
        which = "all sites" if len(without) == len(kept) else ", ".join(without)
        warn(f"{path}: no displacement of {which}; U_iso = {_DEFAULT_U} Å² is taken")
    return np.where(np.isnan(u_iso), _DEFAULT_U, u_iso), u_aniso


def _question_columns(path: Path, labels: list[str], u: np.ndarray, of_b: np.ndarray, kinds: list[str]) -> None:
    """Warn if a column of U is declared as B, or if columns of U and B contradict each other."""
    called = [
        label
        for label, kind, value, b in zip(labels, kinds, u, of_b, strict=True)
        if kind == "Biso" and value > 0 and np.isnan(b)
    ]
    if called:
        warn(
            f"{path}: the displacement type of {', '.join(called[:6])} is Biso, and the values stand in a column of U, as which they were "
            "read: if they are B, name the column _atom_site_B_iso_or_equiv",
        )
    question_b_values(str(path), np.where(np.isnan(u), of_b, np.nan), tuple(labels))
    both = np.isfinite(u) & np.isfinite(of_b) & (u > 0)
    off = [
        label for label, wrong in zip(labels, both & (np.abs(of_b - u) > 0.2 * np.abs(u) + 1e-3), strict=True) if wrong
    ]
    if off:
        warn(f"{path}: U and B = 8π²U of {', '.join(off[:6])} contradict each other; U was taken")


def _rows_of(path: Path, names: list[str], labels: list[str]) -> list[tuple[int, int]]:
    """Pair sites with rows of the table of anisotropic displacements; case is ignored unless it distinguishes labels."""
    pairs: list[tuple[int, int]] = []
    strangers = []
    for name in dict.fromkeys(names):
        sites = [k for k, label in enumerate(labels) if label == name]
        if not sites and sum(other.lower() == name.lower() for other in dict.fromkeys(names)) == 1:
            alike = dict.fromkeys(label for label in labels if label.lower() == name.lower())
            sites = [k for k, label in enumerate(labels) if label in alike] if len(alike) == 1 else []
        if not sites and name.strip(" ?."):
            strangers.append(name)
        # a label used for several sites has as many rows, in the same order
        pairs += zip(sites, [k for k, other in enumerate(names) if other == name], strict=False)
    if strangers:
        warn(
            f"{path}: the table of anisotropic displacements has {', '.join(strangers)}, which are no sites; these are not used",
        )
    return pairs
