"""Members of zip archives that contain patterns: Rigaku .rasx and Bruker .brml."""

import io
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from ...errors import ParseError

# a larger member is not a powder pattern
_LARGEST = 2**28


class Archive:
    """An open zip archive; errors name the file and the member."""

    def __init__(self, path: str | Path, data: bytes):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise ParseError(
                path, None, f"a zip archive that cannot be opened ({error}); it is damaged or truncated: get it again"
            ) from error
        self.names = self._zip.namelist()

    def read(self, name: str) -> bytes:
        """Read the bytes of a member."""
        try:
            if self._zip.getinfo(name).file_size > _LARGEST:
                raise ParseError(
                    self.path, None, f"{name} is larger than {_LARGEST} bytes unpacked; no powder pattern is"
                )
            return self._zip.read(name)
        except (
            KeyError,
            RuntimeError,
            NotImplementedError,
            EOFError,
            OSError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ParseError(self.path, None, f"{name} cannot be unpacked ({error}); the archive is damaged") from error

    def xml(self, name: str) -> ElementTree.Element:
        """Parse an XML member and return its root element."""
        data = self.read(name)
        try:
            return ElementTree.fromstring(data)
        except ElementTree.ParseError as error:
            raise ParseError(self.path, error.position[0], f"broken XML in {name} ({error})") from error
        except (ValueError, LookupError) as error:
            raise ParseError(self.path, None, f"{name} is XML in an unknown encoding ({error})") from error


def choose(path: str | Path, count: int, bank: int | None, what: str) -> int:
    """Return the index of part number ``bank`` (from 1) among ``count``; ``bank`` may be omitted if there is only one."""
    if not count:
        raise ParseError(path, None, f"holds no {what}; the measurement was not run or not saved")
    if bank is None and count > 1:
        raise ParseError(path, None, f"holds {count} {what}s; choose one with bank=1 ... bank={count}")
    if bank is not None and not 1 <= bank <= count:
        raise ParseError(path, None, f"has no {what} {bank}; it holds {count}")
    return (bank or 1) - 1
