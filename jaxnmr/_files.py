"""Atomic writing of files: complete or absent, never partial."""

import os
import platform
from pathlib import Path


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Write a file atomically, so that no reader ever sees part of it; text is UTF-8.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    # several processes may write the same file at the same time
    temporary = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
