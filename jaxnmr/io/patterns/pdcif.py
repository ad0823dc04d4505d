"""Powder patterns in CIF (pdCIF loops), read with gemmi."""

import re
from pathlib import Path

import gemmi
import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from .measured import Measured
from .uncertainty import counting_sigma

_INTENSITY = ("_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_proc_intensity_total")
_ANGLE = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_scan")
_RANGE = ("_pd_meas_2theta_range", "_pd_proc_2theta_range")
_WITH_ESD = re.compile(r"[+-]?(\d+\.?(\d*)|\.(\d+))\((\d+)\)")


def read_pdcif(path: str | Path, text: str, bank: int | None = None) -> Measured:
    """Read the measured pattern of a CIF.

    Uncertainties are those in parentheses, else ``_pd_proc_ls_weight`` (1/sigma²), else counting statistics. Points
    of weight zero or ``.`` are kept and excluded; points without an intensity are left out.

    Args:
        path: named in errors.
        text: the file.
        bank: number of the data block with a pattern (from 1), when there are several.

    Raises:
        ParseError: not a CIF, no pattern in it, several, or columns that do not fit.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        found = re.match(r"string:(\d+):(?:\d+)?", str(error))
        raise ParseError(path, int(found[1]) if found else None, f"broken CIF: {error}") from error
    blocks = [block for block in document if any(len(_column(block, tag)) > 1 for tag in _INTENSITY)]
    if not blocks:
        raise ParseError(
            path, None, f"no measured powder pattern in this CIF; expected a loop with one of {', '.join(_INTENSITY)}"
        )
    if bank is None and len(blocks) > 1:
        names = ", ".join(block.name for block in blocks)
        raise ParseError(
            path, None, f"holds {len(blocks)} patterns ({names}); choose one with bank=1 ... {len(blocks)}"
        )
    if bank is not None and not 1 <= bank <= len(blocks):
        raise ParseError(path, None, f"has no pattern {bank}; it holds {len(blocks)}")
    block = blocks[(bank or 1) - 1]
    tag = next(tag for tag in _INTENSITY if len(_column(block, tag)) > 1)
    words = _column(block, tag)
    y, esd = _values(path, tag, words), np.array([_esd(word) for word in words])
    x = _angles(path, block, tag, len(y))
    sigma = np.where(esd > 0, esd, counting_sigma(np.nan_to_num(y)))
    unmeasured = np.zeros(len(y), dtype=bool)
    weights = _column(block, "_pd_proc_ls_weight")
    if len(weights) == len(y):
        weight = np.nan_to_num(_values(path, "_pd_proc_ls_weight", weights))
        if (weight < 0).any():
            raise ParseError(path, None, f"_pd_proc_ls_weight is {weight.min():g}; expected 1/sigma², not negative")
        unmeasured = weight == 0
        if not (esd > 0).any():
            sigma = np.where(unmeasured, sigma, 1.0 / np.sqrt(np.where(unmeasured, 1.0, weight)))
    known = np.array([word not in (".", "?") for word in words])
    return Measured(
        x[known], y[known], sigma[known], unmeasured=unmeasured[known], instrument=_instrument(path, document, block)
    )


def _column(block, tag: str) -> list[str]:
    """Values of a tag, also in the dotted spelling of newer dictionaries."""
    values = list(block.find_values(tag))
    if not values:
        category = next(c for c in ("_pd_meas", "_pd_proc_ls", "_pd_proc", "_diffrn_radiation") if tag.startswith(c))
        values = list(block.find_values(category + "." + tag[len(category) + 1 :]))
    return values


def _values(path: str | Path, tag: str, words: list[str]) -> np.ndarray:
    values = np.array([gemmi.cif.as_number(word) for word in words])
    for value, word in zip(values, words, strict=True):
        if np.isnan(value) and word not in (".", "?"):
            raise ParseError(path, None, f"{tag} holds {word[:40]!r}; expected a number")
    return values


def _esd(word: str) -> float:
    """The uncertainty in parentheses, ``12.3(4)`` -> 0.4; 0 without one."""
    match = _WITH_ESD.fullmatch(word)
    if match is None:
        return 0.0
    decimals = len(match[2] or match[3] or "")
    return float(match[4]) * 10.0**-decimals


def _angles(path: str | Path, block, tag: str, count: int) -> np.ndarray:
    """2theta in degrees, ``(count,)``: listed angles, else a range."""
    for name in _ANGLE:
        words = _column(block, name)
        if len(words) == count:
            return _values(path, name, words)
        if len(words) > 1:
            raise ParseError(path, None, f"{name} has {len(words)} values and {tag} {count}; expected the same number")
    for name in _RANGE:
        ends = [_column(block, f"{name}_{end}") for end in ("min", "max", "inc")]
        if all(len(w) == 1 for w in ends):
            low, high, step = (float(_values(path, name, w)[0]) for w in ends)
            if not (step > 0 and abs((high - low) / step + 1 - count) < 0.5):
                raise ParseError(
                    path,
                    None,
                    f"{name} runs from {low:g} to {high:g} in steps of {step:g}, which is not {count} points",
                )
            return np.linspace(low, high, count)
    raise ParseError(
        path, None, f"no angles for {tag}; expected {_ANGLE[0]}, {_ANGLE[1]} or {_RANGE[0]}_min, _max, _inc"
    )


def _instrument(path: str | Path, document, block) -> Instrument | None:
    """Wavelengths and radiation, of this block or of the only other one that gives them."""
    holders = [b for b in (block, *document) if _column(b, "_diffrn_radiation_wavelength")]
    if not holders:
        return None
    holder = holders[0]
    lengths = [gemmi.cif.as_number(w) for w in _column(holder, "_diffrn_radiation_wavelength")]
    weights = [gemmi.cif.as_number(w) for w in _column(holder, "_diffrn_radiation_wavelength_wt")]
    pairs = [
        (length, weights[k] if k < len(weights) else np.nan) for k, length in enumerate(lengths) if np.isfinite(length)
    ][:2]
    if not pairs:
        return None
    doublet = len(pairs) == 2
    known = doublet and all(np.isfinite(w) and w > 0 for _, w in pairs)
    kind = " ".join(_column(holder, "_diffrn_radiation_probe") + _column(holder, "_diffrn_radiation_type")).lower()
    try:
        return Instrument(
            radiation="neutron" if "neutron" in kind else "xray",
            wavelengths=tuple(float(length) for length, _ in pairs),
            ratio=float(pairs[1][1] / pairs[0][1]) if known else 0.5,
            geometry="bragg-brentano" if doublet else "debye-scherrer",
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"_diffrn_radiation: {error}") from error
