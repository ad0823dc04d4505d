"""Result files: a common envelope around the results of any command, in strict JSON.

``{"schema": 2, "kind", "title", "created", "versions", "device", "inputs", "result"}``; ``result`` depends on the kind.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from ._files import write_atomically
from .errors import ParseError

SCHEMA = 2
Kind = Literal[
    "refinement",
    "screening",
    "series",
    "relaxation",
    "average",
    "indexing",
    "determination",
    "training",
    "evaluation",
    "cross-validation",
    "echo-simulation",
    "echo-training",
    "echo-inference",
    "density-training",
    "density",
    "hamiltonian-data",
    "hamiltonian-training",
    "hamiltonian-evaluation",
    "hamiltonian-scf",
]
# file and folder names common to all TopSpin spectra
_MUTE = ("pdata", "1r", "1i", "fid", "ser", "acqus", "procs")
_PACKAGES = ("jaxnmr", "jax", "jaxlib", "numpy", "scipy", "gemmi")


def envelope(
    kind: Kind, title: str, result: Mapping[str, Any], *, inputs: Sequence[Path] = (), packages: Sequence[str] = ()
) -> dict[str, Any]:
    """Wrap a result with its provenance; values are plain, and numbers that are not finite become ``None``.

    Args:
        kind: the kind of result.
        title: human-readable title.
        result: dictionaries, sequences, arrays, strings and numbers.
        inputs: input files; recorded by name, size and SHA-256.
        packages: packages whose versions are recorded besides the usual ones.
    """
    return plain(
        {
            "schema": SCHEMA,
            "kind": kind,
            "title": title,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(packages),
            "device": device(),
            "inputs": [fingerprint(path) for path in inputs],
            "result": result,
        }
    )


def write_record(path: str | Path, record: Mapping[str, Any]) -> Path:
    """Write an :func:`envelope` atomically."""
    return write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_record(path: str | Path, kind: Kind) -> dict[str, Any]:
    """Read an envelope of this kind from a file.

    Raises:
        FileNotFoundError: no such file.
        ParseError: not a record, or one of another schema or kind.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as err:
        raise ParseError(path, None, f"is no record of jaxnmr: {err}; remove it") from err
    schema, found = (record.get(key) if isinstance(record, dict) else None for key in ("schema", "kind"))
    if schema != SCHEMA or found != kind:
        raise ParseError(
            path, None, f"has the schema {schema} and the kind {found!r}; expected {SCHEMA} and {kind!r}: remove it, or write "
            "it again"
        )  # fmt: skip
    return record


def versions(packages: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of the packages that determine the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    return found | {package: _version(package) for package in (*_PACKAGES, *packages)}


@cache
def _version(package: str) -> str:
    # called for every row of a series; reading it takes some milliseconds
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def device() -> str:
    """Return the device JAX computes on, for example ``"cpu: cpu"`` or ``"gpu: NVIDIA H200"``."""
    first = jax.devices()[0]
    return f"{first.platform}: {first.device_kind}"


def fingerprint(path: Path) -> dict[str, Any]:
    """Return name, size and SHA-256 of an input; parent folders, meaningless on another machine, are left out.

    For a folder, such as one of TopSpin: the total size of its files, and the SHA-256 of the lines
    ``<SHA-256>  <name>``, sorted by name, as ``sha256sum`` prints them.
    """
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            lines = [f"{_sha256(p.read_bytes())}  {p.relative_to(path).as_posix()}\n" for p in files]
            size, digest = sum(p.stat().st_size for p in files), _sha256("".join(lines).encode())
        else:
            data = path.read_bytes()
            size, digest = len(data), _sha256(data)
    except OSError:
        return {"file": telling_name(path), "bytes": None, "sha256": None}
    return {"file": telling_name(path), "bytes": size, "sha256": digest}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def telling_name(path: Path) -> str:
    """Return the name of a file with parent folders added while names are uninformative: ``sample/10/pdata/1/1r``."""
    parts = path.absolute().parts
    first = len(parts) - 1
    while first > 1 and (parts[first].isdigit() or parts[first] in _MUTE):
        first -= 1
    return "/".join(parts[first:])


def plain(value: Any) -> Any:
    """Convert to plain Python values; non-finite numbers become ``None``, unsupported objects their ``str``."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | jax.Array):
        return plain(np.asarray(value).tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)
