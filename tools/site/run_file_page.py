"""Reference page of run files: one table for every Spec, with each of its keys."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from jaxnmr.runfile.echo import EchoRun
from jaxnmr.runfile.keys import Key, Spec, by_name, keys_of
from jaxnmr.runfile.run import Run
from jaxnmr.runfile.table import REQUIRED, Table
from jaxnmr.runfile.training import TrainingRun

HEADER = re.compile(r"\[\[?[a-z]\S*\]")
INTRODUCTION = """\
# Run files, key by key

Every key of a run file, with its type, unit, default and an example. This page is generated from the code that reads run
files. [The manual](manual.md) shows the same keys as commented run files and explains how they work together; `jaxnmr help-run`
prints it in a terminal.

Keys without a default have to be given. A default of *none* means that the key has no effect unless it is given. Units
stand in the name of a key where there is one (`shift_ppm`, `cq_mhz`); TOML writes infinity as `inf`.
"""
# the kinds of run files, and the commands that read them
FILES: tuple[tuple[str, str, type[Spec]], ...] = (
    ("Refinements", "Read by `jaxnmr refine`, `fit-spectrum`, `simulate`, `screen` and `series`.", Run),
    ("Trainings", "Read by `jaxnmr train`, `evaluate` and `cross-validate`.", TrainingRun),
    ("Spin echoes", "Read by `jaxnmr echo`.", EchoRun),
)
# units by the last part of a key's name
UNITS = {
    "ppm": "ppm", "hz": "Hz", "khz": "kHz", "mhz": "MHz", "tesla": "T", "deg": "degrees", "mm": "mm", "um": "µm", "us": "µs",
    "ev": "eV", "barn": "barn",
}  # fmt: skip
_READERS = {
    Table.text: "text", Table.number: "number", Table.positive: "number > 0", Table.flag: "true or false",
    Table.path: "file name", Table.texts: "list of texts",
}  # fmt: skip


def specs_of(key: Key) -> tuple[type[Spec], ...]:
    """The Specs of the tables that a key holds."""
    inner = key.options.get("of", ())
    return inner if isinstance(inner, tuple) else (inner,)


def unit(name: str, key: Key) -> str:
    """The unit of a value, from the key or from its name."""
    return key.unit or (UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else "")


def _of_value(value: Any) -> str:
    """The type of a TOML value."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "whole number"
        case float():
            return "number"
        case [dict(), *_]:
            return "list of tables"
        case [[*_], *_]:
            return "list of lists"
        case [str(), *_]:
            return "list of texts"
        case [*_]:
            return "list of numbers"
    return "table"


def kind_of(key: Key, value: Any) -> str:
    """The type of a key in words: from its reader where that says it, otherwise from an example."""
    if key.read is Table.integer:
        least = key.options.get("minimum", 0)
        return f"whole number ≥ {least}"
    if key.read is Table.numbers:
        count = key.options.get("count")
        return f"{count} numbers" if isinstance(count, int) else "list of numbers"
    if key.read is Table.ranges:
        return "list of [low, high]"
    return _READERS.get(key.read) or _of_value(value)


def code(text: str) -> str:
    """Code in a cell of a table."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def default(key: Key, of_tables: bool) -> str:
    """The default in words."""
    if key.default is REQUIRED:
        # a missing table is read as an empty one
        return "empty" if key.read is by_name else "" if of_tables else "**required**"
    if key.default is None:
        return "none"
    if isinstance(key.default, tuple) and not key.default:
        return "empty"
    try:
        return code(json.dumps(list(key.default) if isinstance(key.default, tuple) else key.default))
    except TypeError:
        # an object: its table says what each of its keys is by default
        return "see below"


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a formula."""
    return text if text.split(" ", 2)[1:2] == ["="] else text[0].upper() + text[1:]


def meaning(key: Key, value: Any) -> str:
    """The choices and the help of a key."""
    choices = key.options.get("choices", ())
    parts = [
        f"With `kind` {', '.join(code(json.dumps(kind)) for kind in key.kinds)}." if key.kinds else "",
        f"One of {', '.join(code(json.dumps(choice)) for choice in choices)}." if choices else "",
        f"{_sentence(key.help)}." if key.help else "",
    ]
    return " ".join(filter(None, parts)).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def rows(spec: type[Spec]) -> Iterator[tuple[str, Key, tuple[type[Spec], ...]]]:
    """Name and key of everything that may stand in a table, keys of Specs that share the table included."""
    for field, key in keys_of(spec):
        inner = specs_of(key)
        if inner and key.example is None:
            for of in inner:
                yield from rows(of)
        else:
            yield key.name or field, key, inner


def anchor(spec: type[Spec]) -> str:
    """The anchor of the table of a Spec: two modules may have one of the same name."""
    return f"{spec.__module__.rsplit('.', 1)[-1]}-{spec.__name__.removesuffix('Spec')}".lower().replace("_", "-")


def table(spec: type[Spec], where: str, seen: dict[type[Spec], str]) -> list[str]:
    """The table of a Spec, and behind it those of the tables inside it that have not been shown yet."""
    lines = ["| key | type | unit | default | example | meaning |", "|---|---|---|---|---|---|"]
    inside: list[tuple[type[Spec], str]] = []
    for name, key, inner in rows(spec):
        headed = bool(key.example and HEADER.match(key.example))
        example = key.example if key.example is not None else json.dumps(key.default)
        value = {} if headed else tomllib.loads(f"x = {example}")["x"]
        for of in inner:
            if of not in seen:
                written = key.example.splitlines()[0] if headed and key.example else f"{where} {name}".strip()
                seen[of] = written
                inside.append((of, written))
        links = "".join(f" [Keys](#{anchor(of)})." for of in inner)
        kind = "list of tables" if headed and example.startswith("[[") else "table" if headed else kind_of(key, value)
        shown = "" if len(example) > 80 else code(example.splitlines()[0])
        cells = (code(name), kind, unit(name, key), default(key, bool(inner)), shown, meaning(key, value) + links)
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for of, written in inside:
        lines += [f"### `{written}` {{ #{anchor(of)} }}", "", *table(of, written, seen)]
    return lines


def page() -> str:
    """The page in Markdown."""
    seen: dict[type[Spec], str] = {}
    lines = [INTRODUCTION]
    for title, text, spec in FILES:
        lines += [f"## {title}", "", text, "", *table(spec, "", seen)]
    return "\n".join(lines)
