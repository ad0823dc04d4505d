"""CIF 1.1 documents, block by block: items, texts, loops and structures in ASCII, with a list of missing items."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gemmi import cif

from .._files import write_atomically
from ..errors import ShapeError
from .structures.cif_write import write_structure

if TYPE_CHECKING:
    from ..crystal import AnglePlan, BondPlan, Crystal

_WIDTH = 78
# CIF 1.1 codes for non-ASCII characters (International Tables G, 2.2.7.4.17)
_GREEK = dict(
    zip(
        "αβχδεφγηικλμνοπθρστυωξψζΑΒΧΔΕΦΓΗΙΚΛΜΝΟΠΘΡΣΤΥΩΞΨΖ",
        "abcdefghiklmnopqrstuwxyzABCDEFGHIKLMNOPQRSTUWXYZ",
        strict=True,
    )
)
_SIGNS = {"Å": r"\%A", "°": r"\%", "µ": r"\m", "×": r"\\times", "±": r"+-", "−": "-", "–": "--", "—": "---", "↔": "<->", "·": ".",
          "ø": r"\/o", "Ø": r"\/O", "ł": r"\/l", "Ł": r"\/L", "ß": r"\&s", "æ": r"\ae", "≥": ">=", "≤": "<=", "∞": "infinity", "√": "sqrt",
          "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "\u2009": " ", "\u00a0": " "}  # fmt: skip
_ACCENTS = {"\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=", "\u0306": r"\(", "\u0307": r"\.",
            "\u0308": r"\"", "\u030a": r"\%", "\u030b": r"\>", "\u030c": r"\<", "\u0327": r"\,", "\u0328": r"\;"}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


class CifBlock:
    """A data block being written.

    Attributes:
        name: without ``data_``.
        unknown: items left to be filled in.
    """

    def __init__(self, document: cif.Document, name: str):
        document.add_new_block(name)
        self.name = name
        self.unknown: list[str] = []
        # blocks move in memory when the document grows, so no reference is kept
        self._document, self._place = document, len(document) - 1

    @property
    def _block(self) -> cif.Block:
        return self._document[self._place]

    def items(self, values: Mapping[str, Any]) -> None:
        """Add items: texts, numbers, or ``None`` for items to be filled in. Long texts are split into several lines."""
        for tag, value in values.items():
            if value is None:
                self.unknown.append(tag)
            self._block.set_pair(tag, "?" if value is None else _quoted(value))

    def loop(self, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
        """Add a loop of equally long columns; numbers given as text are unchanged. A loop without rows is omitted."""
        lists = [[_quoted(v) for v in column] for column in columns.values()]
        if len({len(column) for column in lists}) > 1:
            raise ShapeError(
                f"columns {list(columns)} have {[len(column) for column in lists]} rows; expected the same number"
            )
        if lists and lists[0]:
            self._block.init_loop("", list(columns)).set_all_values(lists)

    def structure(
        self,
        crystal: Crystal,
        esds: Mapping[str, np.ndarray],
        bonds: BondPlan | None = None,
        angles: AnglePlan | None = None,
    ) -> None:
        """Add cell, symmetry, sites, displacements, bonds and angles, in the format of :func:`jaxnmr.io.write_crystal`."""
        write_structure(self._block, crystal, esds, bonds, angles)


class CifDocument:
    """A CIF being written."""

    def __init__(self) -> None:
        self._document = cif.Document()
        self.blocks: list[CifBlock] = []

    def block(self, name: str) -> CifBlock:
        """Add a data block; characters not allowed in names are replaced."""
        plain = "".join(ch if ch.isascii() and (ch.isalnum() or ch in "_-+.") else "_" for ch in name)[:70] or "block"
        taken = {block.name.lower() for block in self.blocks}
        name = next(n for n in (plain, *(f"{plain}_{k}" for k in range(2, len(taken) + 3))) if n.lower() not in taken)
        self.blocks.append(CifBlock(self._document, name))
        return self.blocks[-1]

    def write(self, path: Path, comments: Sequence[str] = ()) -> Path:
        """Write the document, with comments before the first block."""
        head = ["#\\#CIF_1.1", *(f"# {line}".rstrip() for line in comments)]
        text = "\n".join(head) + "\n\n" + self._document.as_string()
        return write_atomically(path, in_ascii(text))


def in_ascii(text: str) -> str:
    """Encode Greek letters, accents, symbols and super- or subscript digits with the codes of CIF."""
    if text.isascii():
        return text
    out: list[str] = []
    for ch in unicodedata.normalize("NFC", text):
        if ch.isascii():
            out.append(ch)
        elif ch in _GREEK:
            out.append(f"\\{_GREEK[ch]}")
        elif ch in _SIGNS:
            out.append(_SIGNS[ch])
        elif (number := ch.translate(_RAISED)).isascii():
            out.append(f"^{number}^")
        elif (number := ch.translate(_LOWERED)).isascii():
            out.append(f"~{number}~")
        else:
            apart = unicodedata.normalize("NFD", ch)
            out.append("".join(_ACCENTS.get(m, "") for m in apart[1:]) + apart[0] if apart[0].isascii() else "?")
    return "".join(out).replace("^^", "").replace("~~", "")


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        if value in ("?", "."):
            return value
        if "\n" in value or len(value) > _WIDTH - 2:
            lines = [
                wrapped for line in value.split("\n") for wrapped in (textwrap.wrap(in_ascii(line), _WIDTH) or [""])
            ]
            # a line that begins with a semicolon would end the text field
            return ";\n" + "\n".join(f" {line}" if line.startswith(";") else line for line in lines) + "\n;"
        return cif.quote(in_ascii(value)) if value else "."
    if isinstance(value, float | np.floating):
        return f"{value:.10g}" if np.isfinite(value) else "?"
    return cif.quote(str(value))
