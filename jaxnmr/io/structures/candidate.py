"""A candidate structure for screening: its unread content and the way to read it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import JaxnmrError, ParseError
from ._cif_block import parse_cif

if TYPE_CHECKING:
    from ...crystal import Crystal

# suffix of content that could not be extracted from its file; the content then states the reason
UNREADABLE = ".unreadable"


class Candidate(NamedTuple):
    """A structure as stored in a file, not yet read.

    Attributes:
        name: unique within a campaign.
        content: source of the structure: a CIF of one block, a frame of extxyz (also for a row of a database), or
            the bytes of another single-structure file. It depends only on the structure, not on the location of the
            file, the row number or the time.
        suffix: format of the content: ``".cif"``, ``".extxyz"``, ``".res"`` ..., or the file name if
            that determines it; ``".unreadable"`` if nothing could be extracted and the content is the reason.
        kind: a quick guess from the content at which candidates share compiled programs: composition, number of atoms,
            space group as written, and volume within a factor of 2.
        origin: for messages: ``"forms.extxyz, frame 17"``.
        line: line of the file where the content begins, from 1.
    """

    name: str
    content: bytes
    suffix: str
    kind: str
    origin: str
    line: int = 1

    def crystal(self) -> Crystal:
        """Read the structure, named after the candidate, as :func:`jaxnmr.read_crystal` reads a separate file.

        Raises:
            ParseError: it cannot be read; the message begins with the origin, and the line is that in the original
                file.
            SymmetryError, ConventionError, ShapeError: the structure is inconsistent; the message begins with the
                origin.
        """
        try:
            if self.suffix == UNREADABLE:
                raise ParseError(self.origin, None, self.content.decode())
            if not self.content.strip():
                raise ParseError(self.origin, None, f"is empty ({len(self.content)} bytes, none of them data)")
            if self.suffix in (".cif", ".mcif"):
                return self._from_cif()
            if self.suffix == ".extxyz":
                return self._from_frame()
            return self._from_file()
        except ParseError as err:
            line = None if err.line is None else err.line + self.line - 1
            raise ParseError(self.origin, line, err.reason) from err

    def _from_cif(self) -> Crystal:
        from .cif import crystal_from_block, structure_blocks

        origin = Path(self.origin)
        blocks = structure_blocks(origin, parse_cif(origin, self.content))
        if len(blocks) > 1:
            names = ", ".join(block.name for block in blocks)
            raise ParseError(self.origin, None, f"{len(blocks)} data blocks with atoms ({names}); expected one")
        return crystal_from_block(origin, blocks[0], self.name)

    def _from_frame(self) -> Crystal:
        from .ase import from_ase, read_ase_frames

        text = text_of_frame(self.content)
        first, *others = text.rstrip().split("\n")
        if not first.strip().isdigit():
            raise ParseError(
                self.origin, 1, f"{first.strip()[:60]!r} stands where the number of atoms of a frame is expected"
            )
        stated, found = int(first), len(others) - 1
        if stated != found:
            cut = "the frame is cut short or the number wrong" if found < stated else "the number is wrong"
            raise ParseError(self.origin, 1, f"the frame states {stated} atoms and lists {max(found, 0)}: {cut}")
        frames = read_ase_frames(Path(self.origin), text=text)
        try:
            return from_ase(frames[0], name=self.name)
        except JaxnmrError as err:
            raise type(err)(f"{self.origin}: {err}") from err

    def _from_file(self) -> Crystal:
        from .formats import read_crystal

        with tempfile.TemporaryDirectory() as folder:
            # ASE recognises VASP files only by their name
            named = "POSCAR" if self.suffix == ".vasp" else self.suffix
            path = Path(folder) / (f"structure{named}" if named.startswith(".") else named)
            path.write_bytes(self.content)
            try:
                return read_crystal(path, name=self.name)
            except ParseError as err:
                raise ParseError(self.origin, err.line, err.reason.replace(str(path), self.origin)) from err
            except JaxnmrError as err:
                raise type(err)(str(err).replace(str(path), self.origin)) from err


def text_of_frame(content: bytes) -> str:
    """Decode a frame as UTF-8 if possible, else as Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
