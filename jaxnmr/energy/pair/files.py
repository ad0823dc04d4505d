"""Files of pair potentials: parameters with their citation, units and cutoff, as JSON.

::

    {"format": "jaxnmr pair potential 1", "name": "bks", "citation": "...",
     "units": {"energy": "eV", "length": "Å", "charge": "e"},
     "charges": {"Si": 2.4, "O": -1.2},
     "pairs": {"Si-O": {"A": 18003.7572, "b": 4.87318, "C": 133.5381, "D": 20.0}, ...},
     "cutoff": {"form": "switch", "start": 8.0, "radius": 10.0, "tail": true}, "notes": "..."}

Every pair of elements is there once, in either order. Forms of the cutoff: ``switch`` (start, radius), ``smooth`` (radius,
width), ``sharp`` (radius); each may be shifted, or have a tail.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from ...crystal import element_of
from ...errors import ConventionError, ParameterError, ParseError
from .form import Cutoff

FORMAT = "jaxnmr pair potential 1"
_UNITS = {"energy": "eV", "length": "Å", "charge": "e"}
_KEYS = ("A", "b", "C", "D")
_FORMS = {"switch": ("start", "radius"), "smooth": ("radius", "width"), "sharp": ("radius",)}


@dataclass(frozen=True)
class PairFile:
    """What a file says, checked.

    Attributes:
        elements: in the order of the file.
        charges: e, of every element.
        pairs: A, b, C, D for every two elements in the order of ``elements``.
        cutoff: of the short-range part.
        name, citation, notes: what it is and where it comes from.
    """

    elements: tuple[str, ...]
    charges: tuple[float, ...]
    pairs: dict[tuple[str, str], dict[str, float]]
    cutoff: Cutoff
    name: str
    citation: str
    notes: str


def shipped() -> tuple[str, ...]:
    """Names of the potentials that come with the package."""
    files = (resources.files(__package__) / "parameters").iterdir()
    return tuple(sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json")))


def read_pair_file(source: str | Path) -> PairFile:
    """Read and check a file of parameters.

    Args:
        source: the name of a shipped potential, or a path.

    Raises:
        ParameterError: no such name or file.
        ParseError: no JSON, or not of this format: which entry, and what was expected.
    """
    name = str(source)
    if name in shipped():
        file = resources.files(__package__) / "parameters" / f"{name}.json"
        return _checked(Path(f"{name}.json"), file.read_text(encoding="utf-8"))
    path = Path(source)
    if not path.is_file():
        raise ParameterError(
            f"there is no pair potential {name!r}: give a path to a file, or one of {', '.join(shipped())}"
        )
    return _checked(path, path.read_text(encoding="utf-8"))


def _checked(path: Path, text: str) -> PairFile:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParseError(path, error.lineno, f"this is no JSON: {error.msg}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ParseError(path, None, f'expected an object with "format": "{FORMAT}"')
    missing = [key for key in ("name", "citation", "units", "charges", "pairs", "cutoff") if not content.get(key)]
    if missing:
        raise ParseError(path, None, f"{missing[0]!r} is missing; numbers without a source and units are no potential")
    if content["units"] != _UNITS:
        raise ParseError(
            path,
            None,
            f"the units are {content['units']}; expected {_UNITS}: 1 kJ/mol is 0.0103643 eV, 1 kcal/mol 0.0433641 eV",
        )
    charges = {
        _element(path, key): _number(path, f"charge of {key}", q) for key, q in _table(path, content, "charges").items()
    }
    return PairFile(
        elements=tuple(charges),
        charges=tuple(charges.values()),
        pairs=_pairs(path, tuple(charges), _table(path, content, "pairs")),
        cutoff=_cutoff(path, _table(path, content, "cutoff")),
        name=str(content["name"]),
        citation=str(content["citation"]),
        notes=str(content.get("notes", "")),
    )


def _pairs(path: Path, elements: tuple[str, ...], table: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, float]]:
    """Parameters of every two elements; nothing is assumed of a pair that is not there."""
    found = {}
    for key, values in table.items():
        ends = tuple(key.split("-"))
        if len(ends) != 2 or not set(ends) <= set(elements):
            raise ParseError(path, None, f"pairs: {key!r} are not two of {', '.join(elements)}; write 'Si-O'")
        if frozenset(ends) in found:
            raise ParseError(path, None, f"pairs: {key!r} is there twice")
        if not isinstance(values, dict) or set(values) != set(_KEYS):
            raise ParseError(
                path, None, f"pairs, {key}: expected the numbers A (eV), b (1/Å), C (eV Å⁶) and D (eV Å²⁴)"
            )
        numbers = {name: _number(path, f"pairs, {key}, {name}", values[name]) for name in _KEYS}
        if min(numbers.values()) < 0:
            raise ParseError(
                path, None, f"pairs, {key}: A, b, C and D are not negative; the signs are in A e^-br - C/r⁶ + D/r²⁴"
            )
        found[frozenset(ends)] = numbers
    wanted = {pair: frozenset(pair) for pair in combinations_with_replacement(elements, 2)}
    for pair, both in wanted.items():
        if both not in found:
            raise ParseError(path, None, f"pairs: {'-'.join(pair)} is missing; give zeros where only the charges act")
    return {pair: found[both] for pair, both in wanted.items()}


def _cutoff(path: Path, table: Mapping[str, Any]) -> Cutoff:
    form = table.get("form")
    if form not in _FORMS:
        raise ParseError(path, None, f"cutoff: the form is {form!r}; expected one of {', '.join(_FORMS)}")
    given = {"form", "shift", "tail", *_FORMS[form]}
    if set(table) - given or set(_FORMS[form]) - set(table):
        raise ParseError(
            path, None, f"cutoff: {form} takes {', '.join(_FORMS[form])}, and shift or tail; it has {sorted(table)}"
        )
    lengths = {key: _number(path, f"cutoff, {key}", table[key]) for key in _FORMS[form]}
    if min(lengths.values()) <= 0 or lengths.get("start", 0.0) >= lengths["radius"]:
        raise ParseError(path, None, f"cutoff: {lengths} are not positive lengths in Å with the start below the radius")
    shift, tail = bool(table.get("shift", False)), bool(table.get("tail", False))
    if tail and (shift or form == "smooth"):
        raise ParseError(
            path, None, "cutoff: a tail continues what is not shifted and not smoothed everywhere; take one of them"
        )
    return Cutoff(**lengths, shift=shift, tail=tail)


def _table(path: Path, content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if not isinstance(content[key], dict):
        raise ParseError(path, None, f"{key!r} is {content[key]!r}; expected an object")
    return content[key]


def _element(path: Path, symbol: str) -> str:
    try:
        element, charge = element_of(symbol)
    except ConventionError as error:
        raise ParseError(path, None, f"charges: {error}") from None
    if element != symbol or charge:
        raise ParseError(path, None, f"charges: {symbol!r} is no plain element; write {element!r}")
    return element


def _number(path: Path, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParseError(path, None, f"{what} is {value!r}; expected a finite number")
    return float(value)
