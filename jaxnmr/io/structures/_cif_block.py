"""CIF parsing, and access to the tags of a data block."""

import re
from pathlib import Path

from gemmi import cif

from ...errors import ParseError

# newer dictionaries write _cell.length_a for _cell_length_a
_DOTTED = re.compile(
    r"_(?<![^\s]_)([A-Za-z]\w*)\.(?=[A-Za-z])"
)  # matching the underscore first is several times faster


def parse_cif(path: Path, raw: bytes) -> cif.Document:
    """Parse the bytes of a CIF; a :class:`ParseError` with that path names the line at which gemmi stopped."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # accents and degree signs of older files
    try:
        try:
            return cif.read_string(_DOTTED.sub(r"_\1_", text))
        except (ValueError, RuntimeError):
            return cif.read_string(text)
    except (ValueError, RuntimeError) as err:
        found = re.match(r"(?:string)?:?(\d+)(?::\d+)?(?:\(\d+\))?:? *", str(err))
        line = int(found[1]) if found else None
        reason = (str(err)[found.end() :] if found else str(err)).strip()
        lines = text.splitlines()
        got = f" at {lines[line - 1].strip()[:60]!r}" if line is not None and 0 < line <= len(lines) else ""
        raise ParseError(path, line, f"not CIF: {reason}{got}; expected 'data_...' blocks of tags and loops") from err


def column_of(block: cif.Block, *tags: str) -> list[str]:
    """Return the values of the first of the tags present in the block, unquoted; empty if there is none."""
    for tag in tags:
        values = [cif.as_string(v) for v in block.find_values(tag)]
        if values:
            return values
    return []


def text_of(block: cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and not cif.is_null(value) and cif.as_string(value).strip():
            return " ".join(cif.as_string(value).split())
    return None


def line_of(block: cif.Block, tag: str) -> int | None:
    item = block.find_pair_item(tag) or block.find_loop_item(tag)
    return item.line_number if item is not None else None
