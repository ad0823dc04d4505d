"""Bytes and text of a file, with errors that explain what is wrong with it: shared by all readers."""

import re
from pathlib import Path

from ..errors import ParseError

_CONTROL = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f]")
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
}


def read_bytes(path: str | Path) -> bytes:
    """Read the bytes of a file.

    Raises:
        ParseError: missing, unreadable, a directory, or empty.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ParseError(path, None, "is a directory; give the file inside it")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ParseError(path, None, "no such file; check the name and the working directory") from None
    except (OSError, ValueError) as error:
        raise ParseError(path, None, f"cannot be opened: {error}") from error
    if not data.strip(b" \t\r\n\x00\x1a"):
        raise ParseError(path, None, f"is empty ({len(data)} bytes, none of them data)")
    return data


def decode(path: str | Path, data: bytes, expected: str = "a powder pattern in two or three columns (xy, xye)") -> str:
    """Decode the text of a file: UTF-8 or UTF-16 with a byte-order mark, else UTF-8, else Latin-1.

    Args:
        path: for error messages.
        data: the complete content.
        expected: expected content, for the message.

    Raises:
        ParseError: binary data.
    """
    for magic, what in _ARCHIVES.items():
        if data.startswith(magic):
            raise ParseError(path, None, f"is {what}; expected {expected}: unpack it or export it as text")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    text = text.rstrip("\x1a\x00")
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ParseError(
            path,
            line,
            f"binary data (byte 0x{ord(found[0]):02x}); expected {expected}: export it as text with the software that "
            "wrote it",
        )
    return text


def split_lines(text: str) -> list[str]:
    """Split into lines as an editor counts them (LF, CR LF or CR)."""
    return re.split(r"\r\n|\r|\n", text)
