"""Strict reading of TOML tables: values are checked, and unknown keys are errors with a suggestion."""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ParseError
from .unit_words import as_number, of_another_unit, slip

REQUIRED: Any = object()
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def read_toml(path: str | Path) -> Table:
    """Read the top-level table of a TOML file.

    Raises:
        ParseError: the file does not exist, or is not TOML (with the line).
    """
    path = Path(path)
    try:
        # editors on Windows may write a byte-order mark, which is not valid TOML
        text = path.read_text(encoding="utf-8-sig")
        if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            raise ParseError(path, None, "this file says nothing; jaxnmr help-run shows what a run file can say")
        return Table(path, "", tomllib.loads(text))
    except FileNotFoundError:
        raise ParseError(path, None, "no such file") from None
    except UnicodeDecodeError as err:
        wide = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        what = (
            "a text in UTF-16: save it as UTF-8"
            if wide
            else f"not a text file in UTF-8 ({err.reason} at byte {err.start})"
        )
        raise ParseError(path, None, what) from None
    except PermissionError:
        raise ParseError(path, None, "this file may not be read by you") from None
    except (NotADirectoryError, OSError) as err:
        if isinstance(err, IsADirectoryError):
            raise ParseError(path, None, "this is a folder; give the run file in it") from None
        raise ParseError(path, None, f"cannot be read: {err.strerror or err}") from None
    except tomllib.TOMLDecodeError as err:
        found = re.search(r"\s*\(at line (\d+), column (\d+)\)", str(err))
        if found is None:
            raise ParseError(path, None, f"not valid TOML: {err}") from None
        reason = str(err)[: found.start()]
        lines = text.splitlines()
        line = lines[int(found[1]) - 1] if int(found[1]) <= len(lines) else ""
        shown = f" in {line.strip()!r}" if line.strip() else ""
        raise ParseError(
            path, int(found[1]), f"not valid TOML at column {found[2]}{shown}: {reason}{slip(line, reason)}"
        ) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` and the list of known words, for the end of an error message."""
    known = list(known)
    matches = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.55)
    close = next((k for k in known if matches and k.lower() == matches[0]), None)
    listing = ", ".join(known) if known else "nothing"
    return f"; did you mean {close!r}? Known: {listing}" if close else f"; known: {listing}"


class Table:
    """One table of a TOML file. Read keys with the typed methods, then call :meth:`done`.

    Args:
        file: the TOML file, for messages and for resolving relative paths.
        where: path of this table inside the file, ``""`` for the top-level table.
        content: content of the table.
        phases: names of the phases of the run.
    """

    def __init__(self, file: Path, where: str, content: dict[str, Any], phases: tuple[str, ...] = ()):
        self.file, self.where, self.content, self.phases = file, where, content, phases
        self._asked: list[str] = []

    def inner(self, where: str, content: dict[str, Any]) -> Table:
        """Return a table of the same run."""
        return Table(self.file, where, content, self.phases)

    def error(self, message: str, key: str | None = None) -> ParseError:
        """Make a `ParseError` that names the file and the place in it."""
        place = self.where if key is None else f"{self.where}.{key}" if self.where else key
        return ParseError(self.file, None, f"{place}: {message}" if place else message)

    def done(self) -> None:
        """Refuse keys that were not read."""
        self.refuse_strangers(self._asked)

    def refuse_strangers(self, known: Iterable[str]) -> None:
        """Refuse keys with names other than these."""
        known = list(known)
        for key in self.content:
            if key not in known:
                place = f" in {self.where}" if self.where else ""
                hint = of_another_unit(key, self.content[key], known) or nearest(key, known)
                raise ParseError(self.file, None, f"unknown key {key!r}{place}{hint}")

    def has(self, key: str) -> bool:
        self._note(key)
        return key in self.content

    def text(self, key: str, default: Any = REQUIRED, *, choices: Iterable[str] | None = None) -> Any:
        """Read a string, one of ``choices`` if given."""
        value = self._get(key, default)
        if key not in self.content:
            return value
        if not isinstance(value, str):
            raise self.error(f"expected text in quotes, got {value!r}", key)
        if choices is not None and value not in (options := list(choices)):
            raise self.error(f"{value!r} is not possible here{nearest(value, options)}", key)
        return value

    def number(self, key: str, default: Any = REQUIRED) -> Any:
        """Read a number, possibly an integer."""
        value = self._get(key, default)
        if key not in self.content:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise self.error(f"expected a number, got {value!r}{as_number(key, value)}", key)
        return float(value)

    def positive(self, key: str, default: Any = REQUIRED) -> Any:
        """Read a positive number."""
        value = self.number(key, default)
        if key in self.content and not value > 0:
            raise self.error(f"expected a positive number, got {self.content[key]!r}", key)
        return value

    def integer(self, key: str, default: Any = REQUIRED, *, minimum: int = 0) -> Any:
        value = self._get(key, default)
        if key not in self.content:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self.error(f"expected a whole number from {minimum} on, got {value!r}{as_number(key, value)}", key)
        return value

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(f"expected true or false, got {value!r}", key)
        return value

    def numbers(self, key: str, default: Any = REQUIRED, *, count: int | tuple[int, ...] | None = None) -> Any:
        """Read a list of numbers of the given length (or one of several lengths), as a tuple."""
        value = self._get(key, default)
        if key not in self.content:
            return value
        return self._numbers(key, value, count)

    def ranges(self, key: str, default: Any = ()) -> tuple[tuple[float, float], ...]:
        """Read a list of ``[low, high]`` pairs; empty if the key is missing."""
        if not self.has(key):
            return default
        value = self.content[key]
        if not isinstance(value, list) or any(not isinstance(pair, list) for pair in value):
            raise self.error(f"expected a list of [low, high] pairs such as [[14, 18]], got {value!r}", key)
        lists = [self._numbers(f"{key}[{k}]", pair, 2) for k, pair in enumerate(value)]
        pairs = tuple((low, high) for low, high in lists)
        for k, (low, high) in enumerate(pairs):
            if not low < high:
                raise self.error(f"expected [low, high], got [{low:g}, {high:g}]", f"{key}[{k}]")
        return pairs

    def texts(self, key: str, default: Any = REQUIRED, *, choices: Iterable[str] | None = None) -> Any:
        """Read a list of strings, as a tuple."""
        value = self._get(key, default)
        if key not in self.content:
            return value
        if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
            raise self.error(f'expected a list of texts such as ["cell", "xyz"], got {value!r}', key)
        if choices is not None:
            options = list(choices)
            for item in value:
                if item not in options:
                    raise self.error(f"{item!r} is not possible here{nearest(item, options)}", key)
        return tuple(value)

    def path(self, key: str, default: Any = REQUIRED) -> Any:
        """Read a file name: environment variables as ``${NAME}``, relative to the folder of the TOML file."""
        value = self.text(key, default)
        if key not in self.content:
            return value

        def variable(match: re.Match[str]) -> str:
            found = os.environ.get(match[1])
            if not found:
                raise self.error(
                    f"{value!r} needs the environment variable {match[1]}, which is not set: "
                    f"export {match[1]}=/path/to/the/folder",
                    key,
                )
            return found

        expanded = Path(_VARIABLE.sub(variable, value)).expanduser()
        return expanded if expanded.is_absolute() else self.file.parent / expanded

    def table(self, key: str) -> Table:
        """Return a sub-table; an empty one if missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"expected a table such as [{key}] or {{...}}, got {value!r}", key)
        return self.inner(f"{self.where}.{key}" if self.where else f"[{key}]", value)

    def tables(self, key: str) -> list[Table]:
        """Return a list of tables, ``[[key]]``; empty if missing. Their ``name`` is used in messages."""
        value = self._get(key, [])
        if not isinstance(value, list) or any(not isinstance(item, dict) for item in value):
            inner = f"{self.where.split(']]')[0].removeprefix('[[')}.{key}" if self.where else key
            found = f"[{inner}], a single table: double the brackets" if isinstance(value, dict) else f"{value!r}"
            raise self.error(f"expected tables written as [[{inner}]], got {found}", key)
        out = []
        for k, item in enumerate(value):
            name = item.get("name", item.get("label"))
            inner = f"{self.where}.{key}[{k}]" if self.where else f"[[{key}]] number {k + 1}"
            out.append(self.inner(f"{inner} ({name})" if isinstance(name, str) else inner, item))
        return out

    def _note(self, key: str) -> None:
        if key not in self._asked:
            self._asked.append(key)

    def _get(self, key: str, default: Any) -> Any:
        self._note(key)
        if key in self.content:
            return self.content[key]
        if default is REQUIRED:
            raise self.error(f"the key {key!r} is missing")
        return default

    def _numbers(self, key: str, value: Any, count: int | tuple[int, ...] | None) -> tuple[float, ...]:
        lengths = (count,) if isinstance(count, int) else count
        bad = not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value)
        if bad or (lengths is not None and len(value) not in lengths) or any(math.isnan(v) for v in value):
            how_many = "" if lengths is None else " or ".join(str(n) for n in lengths) + " "
            raise self.error(f"expected a list of {how_many}numbers, got {value!r}", key)
        return tuple(float(v) for v in value)
