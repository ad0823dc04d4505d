"""Powder patterns in CIF (pdCIF loops), read with gemmi."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import gemmi
import numpy as np

from ...errors import ParseError
from .archive import choose
from .axis import Axis
from .measured import Measured
from .pdcif_instrument import instrument_of

_INTENSITY = ("_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_proc_intensity_total", "_pd_proc_intensity_net")
_ANGLE = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_scan")
_RANGE = ("_pd_meas_2theta_range", "_pd_proc_2theta_range")
_OTHER_AXES = (
    ("_pd_proc_d_spacing", Axis("d (A)", "d", united=True)),
    ("_pd_proc_recip_len_q", Axis("Q (1/A)", "Q", united=True)),
)
_NO_ANGLE = ("_pd_meas_time_of_flight", "_pd_proc_energy_incident", "_pd_meas_position", "_pd_proc_wavelength")
_OFFSET = "_pd_calib_2theta_offset"
_EQUATION = "_pd_calib_conversion_eqn"
_WEIGHT = "_pd_proc_ls_weight"
_WITH_ESD = re.compile(r"[+-]?(\d+\.?(\d*)|\.(\d+))\((\d+)\)")
# window length in points for comparing weights at the highest and the lowest point; windows count if their
# intensity rises by this fraction of the largest rise
_WINDOW, _STRONG = 40, 0.1


class Block:
    """Items of a data block under the names of the first dictionaries: lower case, dots as underscores."""

    def __init__(self, block: gemmi.cif.Block):
        self.name = block.name
        self._columns: dict[str, list[str]] = {}
        for item in block:
            if item.pair is not None:
                tag, value = cast(tuple[str, str], item.pair)
                self._keep(tag, [value])
            elif (loop := item.loop) is not None:
                for tag in loop.tags:
                    self._keep(tag, list(block.find_loop(tag)))

    def _keep(self, tag: str, values: list[str]) -> None:
        self._columns.setdefault(tag.lower().replace(".", "_"), values)

    def column(self, tag: str) -> list[str]:
        """Return the values of a tag, none if it is missing."""
        return self._columns.get(tag.lower(), [])

    def text(self, tags: Iterable[str]) -> str:
        """Return the text stated under some tags, as one line in lower case."""
        words = (gemmi.cif.as_string(w) for tag in tags for w in self.column(tag) if w not in ("?", "."))
        return " ".join(words).lower()


def read_pdcif(path: str | Path, text: str, bank: int | None = None) -> Measured:
    """Read the measured pattern of a CIF.

    Uncertainties are those in parentheses or of ``_su`` and ``_esd`` items, else ``_pd_proc_ls_weight``, else those of
    counts. The weight is 1/sigma² by definition; if it grows with the intensity it contains uncertainties and is
    read as such, with a note. Points of weight zero or ``.`` are kept and excluded; points without an intensity are
    dropped. The offset ``_pd_calib_2theta_offset`` is added to angles as scanned, not to corrected ones.

    Args:
        path: for error messages.
        text: the file.
        bank: number of the data block with a pattern (from 1), if there are several.

    Raises:
        ParseError: not a CIF, no pattern or several, inconsistent columns, or time-of-flight or energy axes.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        place = re.match(r"string:(\d+):(?:\d+)?", str(error))
        raise ParseError(path, int(place[1]) if place else None, f"broken CIF: {error}") from error
    every = [Block(block) for block in document]
    blocks = [block for block in every if any(len(block.column(tag)) > 1 for tag in _INTENSITY)]
    block = blocks[_choose(path, blocks, bank)]
    tag = next(tag for tag in _INTENSITY if len(block.column(tag)) > 1)
    words = block.column(tag)
    y = _values(path, tag, words)
    sigma, unmeasured, notes = _uncertainties(path, block, tag, y)
    found = _over_angles(path, block, tag, Measured(np.zeros(len(y)), y, sigma, unmeasured=unmeasured, notes=notes))
    known = np.array([word not in (".", "?") for word in words])
    units = block.text(["_pd_meas_units_of_intensity", "_pd_proc_units_of_intensity"])
    rate = bool(re.search(r"cps|per second|counts?\s*/\s*s", units))
    seconds = [gemmi.cif.as_number(w) for w in block.column("_pd_meas_step_count_time")]
    return replace(
        found,
        x=found.x[known],
        y=y[known],
        sigma=None if sigma is None else sigma[known],
        unmeasured=unmeasured[known],
        instrument=instrument_of(path, [block, *every]),
        per_second=rate,
        seconds=seconds[0] if rate and len(seconds) == 1 and seconds[0] > 0 else None,
    )


def _choose(path: str | Path, blocks: list[Block], bank: int | None) -> int:
    if not blocks:
        raise ParseError(
            path, None, f"no measured powder pattern in this CIF; expected a loop with one of {', '.join(_INTENSITY)}"
        )
    if bank is None and len(blocks) > 1:
        names = ", ".join(block.name for block in blocks)
        raise ParseError(
            path, None, f"holds {len(blocks)} patterns ({names}); choose one with bank=1 ... {len(blocks)}"
        )
    return choose(path, len(blocks), bank, "pattern")


def _uncertainties(
    path: str | Path, block: Block, tag: str, y: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray, tuple[str, ...]]:
    """Return uncertainties if the file has them, the mask of points without weight, and notes."""
    esd = np.array([_esd(word) for word in block.column(tag)])
    for suffix in ("_su", "_esd"):
        words = block.column(tag + suffix)
        if len(words) == len(y) and not (esd > 0).any():
            esd = np.nan_to_num(_values(path, tag + suffix, words))
    unmeasured = np.zeros(len(y), dtype=bool)
    given = esd
    notes: tuple[str, ...] = ()
    weights = block.column(_WEIGHT)
    if len(weights) == len(y):
        weight = np.nan_to_num(_values(path, _WEIGHT, weights))
        if (weight < 0).any():
            raise ParseError(path, None, f"{_WEIGHT} is {weight.min():g}; expected 1/sigma², not negative")
        unmeasured = weight == 0
        if not (esd > 0).any():
            given, notes = _from_weights(weight, y)
    if not (given > 0).any():
        return None, unmeasured, notes
    # points without their own get counting statistics; negative values of such points cannot be used
    lacking = (given <= 0) & ~unmeasured
    sigma = np.where(given > 0, given, np.sqrt(np.maximum(np.nan_to_num(y), 1.0)))
    return np.where(lacking & (y < 0), np.nan, sigma), unmeasured, notes


def _from_weights(weight: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Derive uncertainties from ``_pd_proc_ls_weight``, 0 where there is none.

    1/sigma² is smallest at the tops of peaks, sigma is largest there. The highest and the lowest point of windows too
    narrow for the background to change distinguish them; sigma² grows in proportion to the intensity.
    """
    with np.errstate(divide="ignore"):
        by_definition = np.where(weight > 0, 1.0 / np.sqrt(weight), 0.0)
    used = np.flatnonzero((weight > 0) & np.isfinite(y))
    found = []
    for part in np.array_split(used, max(len(used) // _WINDOW, 1)):
        if len(part) > 2:
            top, foot = part[np.argmax(y[part])], part[np.argmin(y[part])]
            found.append((y[top] - y[foot], np.log(weight[top] / weight[foot]), y[top], y[foot]))
    largest = max((rise for rise, *_ in found), default=0.0)
    strongest = [one for one in found if one[0] >= _STRONG * largest > 0]
    if not strongest or float(np.median([growth for _, growth, _, _ in strongest])) < np.log(1.2):
        return by_definition, ()
    rises = [growth / np.log(top / foot) for _, growth, top, foot in strongest if top > foot > 0]
    variance = bool(rises) and float(np.median(rises)) > 0.8
    what = "a variance" if variance else "a standard uncertainty"
    note = f"{_WEIGHT} grows with the intensity, as {what} does and 1/sigma² does not: it was read as that."
    return (np.sqrt(weight) if variance else weight), (note,)


def _values(path: str | Path, tag: str, words: list[str]) -> np.ndarray:
    values = np.array([gemmi.cif.as_number(word) for word in words])
    for value, word in zip(values, words, strict=True):
        if np.isnan(value) and word not in (".", "?"):
            raise ParseError(path, None, f"{tag} holds {word[:40]!r}; expected a number")
    return values


def _esd(word: str) -> float:
    """Return the uncertainty in parentheses, 0.4 for ``12.3(4)``; 0 without one."""
    match = _WITH_ESD.fullmatch(word)
    if match is None:
        return 0.0
    decimals = len(match[2] or match[3] or "")
    return float(match[4]) * 10.0**-decimals


def _over_angles(path: str | Path, block: Block, tag: str, found: Measured) -> Measured:
    """Return the pattern with 2theta in degrees: listed angles, else a range, else an axis that is converted later."""
    count = len(found.y)
    for name, axis in (*((name, None) for name in _ANGLE), *((name, None) for name in _RANGE), *_OTHER_AXES):
        if name in _RANGE:
            x = _range(path, block, name, count)
        else:
            words = block.column(name)
            if axis is None and 1 < len(words) != count:
                raise ParseError(
                    path, None, f"{name} has {len(words)} values and {tag} {count}; expected the same number"
                )
            x = _values(path, name, words) if len(words) == count else None
        if x is None:
            continue
        notes: tuple[str, ...] = ()
        if name.startswith("_pd_meas"):
            if offset := _offset(path, block):
                x, notes = x + offset, (f"{_OFFSET} = {offset:g}° was added to the angles, as that item says.",)
            if equation := block.text([_EQUATION]):
                notes += (
                    f"{_EQUATION} is stated and was not applied to the angles as scanned ({equation[:80]!r}): give corrected angles, "
                    "or refine what it corrects.",
                )
        return replace(found, x=x, axis=axis, notes=(*found.notes, *notes))
    for name in _NO_ANGLE:
        if len(block.column(name)) == count:
            raise ParseError(
                path,
                None,
                f"the pattern is over {name}; only constant-wavelength data over 2theta, d or Q are supported",
            )
    raise ParseError(
        path, None, f"no angles for {tag}; expected {_ANGLE[0]}, {_ANGLE[1]} or {_RANGE[0]}_min, _max, _inc"
    )


def _range(path: str | Path, block: Block, name: str, count: int) -> np.ndarray | None:
    ends = [block.column(f"{name}_{end}") for end in ("min", "max", "inc")]
    if not all(len(w) == 1 for w in ends):
        return None
    low, high, step = (float(_values(path, name, w)[0]) for w in ends)
    if not (step > 0 and abs((high - low) / step + 1 - count) < 0.5):
        raise ParseError(
            path, None, f"{name} runs from {low:g} to {high:g} in steps of {step:g}, which is not {count} points"
        )
    return np.linspace(low, high, count)


def _offset(path: str | Path, block: Block) -> float:
    """Return the offset in degrees from scanned to true angles; 0 if none is given."""
    offsets = {float(value) for value in _values(path, _OFFSET, block.column(_OFFSET)) if np.isfinite(value)}
    if len(offsets) > 1:
        raise ParseError(path, None, f"{_OFFSET} has {len(offsets)} values; apply them to the angles, and leave it out")
    return offsets.pop() if offsets else 0.0
