"""Suggestions for common mistakes in run files: units in values and key names, TOML syntax."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# by suffix of a key: kind of quantity, and size of the unit in the first of its kind
_UNITS = {
    "hz": ("frequency", 1.0), "khz": ("frequency", 1e3), "mhz": ("frequency", 1e6), "ghz": ("frequency", 1e9),
    "s": ("time", 1.0), "ms": ("time", 1e-3), "us": ("time", 1e-6), "ns": ("time", 1e-9),
    "m": ("length", 1.0), "cm": ("length", 1e-2), "mm": ("length", 1e-3), "um": ("length", 1e-6), "nm": ("length", 1e-9),
    "deg": ("angle", 1.0), "rad": ("angle", 57.29577951308232), "ppm": ("ppm", 1.0), "tesla": ("field", 1.0), "t": ("field", 1.0),
    "barn": ("quadrupole", 1.0),
}  # fmt: skip
_SAME = {
    "µs": "us",
    "μs": "us",
    "µm": "um",
    "μm": "um",
    "°": "deg",
    "degrees": "deg",
    "degree": "deg",
    "gauss": "",
    "mt": "",
    "å": "",
}
_WORDS = {"hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz", "us": "µs", "um": "µm", "deg": "degrees"}
_TYPED = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s]*)\s*")


def _split(key: str) -> tuple[str, str]:
    """Split a key into name and unit: ``("mas", "hz")``; the unit is empty if there is none."""
    stem, _, end = key.lower().rpartition("_")
    return (stem, end) if stem and end in _UNITS else (key.lower(), "")


def _converted(value: float, unit: str, wanted: str) -> float | None:
    """Convert a number to the wanted unit; ``None`` if the units measure different quantities."""
    (kind, size), (other, target) = _UNITS[unit], _UNITS[wanted]
    return float(f"{value * size / target:.12g}") if kind == other else None


def as_number(key: str, value: Any) -> str:
    """Return the end of a message about a text in place of a number: the probable intention."""
    typed = _TYPED.fullmatch(value) if isinstance(value, str) else None
    if typed is None:
        return ""
    number, word = float(typed[1]), typed[2].lower()
    unit, wanted = _SAME.get(word, word), _split(key)[1]
    if not word:
        return f": write {key} = {typed[1]}, without quotes"
    if wanted and unit in _UNITS:
        found = _converted(number, unit, wanted)
        if found is not None:
            return f": {key} is in {_WORDS.get(wanted, wanted)}, write {key} = {found:g}"
    return f": write {key} = {typed[1]}, without quotes and unit" + (
        f"; it is in {_WORDS.get(wanted, wanted)}" if wanted else ""
    )


def of_another_unit(key: str, value: Any, known: Iterable[str]) -> str:
    """Return the end of a message about a known key with another unit; empty for any other key."""
    stem, unit = _split(key)
    for other in known:
        name, wanted = _split(other)
        if name != stem or other.lower() == key.lower() or not (unit or wanted):
            continue
        if not wanted or not unit:
            return f"; did you mean {other!r}?" + (f" It is in {_WORDS.get(wanted, wanted)}" if wanted else "")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found = _converted(float(value), unit, wanted) if number else None
        if found is not None:
            return f"; the key is {other!r}, in {_WORDS.get(wanted, wanted)}: write {other} = {found:g}"
        if _UNITS[unit][0] == _UNITS[wanted][0]:
            return f"; the key is {other!r}, in {_WORDS.get(wanted, wanted)}"
    return ""


def slip(line: str, reason: str) -> str:
    """Return the end of a message about a line that is not TOML: usual mistakes."""
    key, equals, value = (part.strip() for part in line.partition("="))
    value = value.split("#")[0].strip()
    if "overwrite" in reason or "already" in reason.lower():
        what = f"the key {key!r} stands twice in its table" if equals else f"the table {line.strip()} stands twice"
        return f"; {what}" + ("" if equals else ": several of one kind are written [[...]]")
    if not equals:
        return ""
    if "\\" in value and value.startswith('"'):
        return f"; write paths with /, or in single quotes: {key} = '{value.strip(chr(34))}'"
    if value in ("True", "False", "TRUE", "FALSE", "yes", "no", "Yes", "No", "on", "off"):
        return f"; write {key} = {'true' if value.lower() in ('true', 'yes', 'on') else 'false'}"
    if value in ("None", "none", "null", ""):
        return "; leave the key out instead"
    if re.fullmatch(r"[-+]?\d+,\d+", value):
        return f"; decimals have a point: {key} = {value.replace(',', '.')}"
    if (typed := _TYPED.fullmatch(value)) and typed[2] and not re.fullmatch(r"[eE]", typed[2]):
        hint = as_number(key, value)
        wanted = _split(key)[1]
        return hint if wanted else f'; a text stands in quotes: {key} = "{value}"'
    if re.fullmatch(r"[A-Za-z~./$_\d][^\"'\[{]*", value):
        return f'; a text stands in quotes: {key} = "{value}"'
    return ""
