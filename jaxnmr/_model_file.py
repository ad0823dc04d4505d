"""Models on disk: arrays as safetensors, everything else as JSON in the header of the same file (host)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ._files import write_atomically
from .errors import ConventionError, DataError, ParseError

SUFFIX = ".safetensors"


def shipped_names(folder: Path) -> tuple[str, ...]:
    """List the names of the models in a folder of the package, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")))


def find_shipped(source: str | Path, folder: Path, what: str, hint: str = "") -> Path:
    """Return the file of a model, given as a path or as the name of one shipped with the package.

    A plain word without a suffix is a name, unless there is a file with that name.

    Args:
        source: path or name.
        folder: of the package, with the models of one kind.
        what: the kind, for the message.
        hint: sentence at the end of the message.

    Raises:
        ConventionError: no model of that name is shipped.
    """
    path = Path(source)
    if path.is_file() or path.suffix or path.name != str(source):
        return path
    names = shipped_names(folder)
    if path.name not in names:
        raise ConventionError(
            f"no {what} {path.name!r} comes with jaxnmr; there are {', '.join(names) or 'none'}. Give one of these names, or "
            f"the path of a file ({path.name}{SUFFIX}){hint}"
        )
    return folder / f"{path.name}{SUFFIX}"


def write_described(
    path: str | Path, key: str, version: int, description: Mapping[str, Any], arrays: Mapping[str, Any]
) -> Path:
    """Write arrays with a description; the file is replaced atomically.

    Args:
        path: the file.
        key: header key that identifies files of this kind.
        version: of the format.
        description: written as JSON.
        arrays: by name.

    Raises:
        DataError: numbers that are not finite, a description JSON cannot hold, or a file that cannot be written.
    """
    path = Path(path)
    kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in kept.items():
        if not np.isfinite(array).all():
            raise DataError(f"parameter {name} is not finite: the training has diverged")
    whole = {"format": version, **description, "sha256": _digest(kept)}
    try:
        text = json.dumps(whole, allow_nan=False, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the description of the model does not fit in JSON: {error}") from error
    try:
        write_atomically(path, safetensors.numpy.save(kept, metadata={key: text}))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_described(
    path: str | Path, key: str, version: int, *, what: str, written_by: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the description and the arrays of such a file.

    Args:
        path, key, version: as for :func:`write_described`.
        what: the kind of object in words, for error messages: ``"a model"``.
        written_by: the function that writes such files, for error messages.

    Raises:
        ParseError: no such file, not a model, corrupted numbers, or another version.
    """
    path = Path(path)
    if not path.is_file():
        raise ParseError(path, None, f"no such file; expected a model written by {written_by}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise ParseError(path, None, f"is damaged or no safetensors file: {error}") from error
    if key not in metadata:
        raise ParseError(path, None, f"holds arrays, but no description of {what} by jaxnmr")
    try:
        description = json.loads(metadata[key])
        found, digest = description["format"], description["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParseError(path, None, f"the description of the model cannot be read: {error}") from error
    if found != version:
        raise ParseError(path, None, f"is of format {found}; this version of jaxnmr reads format {version}")
    if _digest(arrays) != digest:
        raise ParseError(path, None, "numbers differ from those that were saved: the file is damaged; get it again")
    return description, arrays


def require_shapes(
    path: str | Path, found: Mapping[str, tuple[int, ...]], needed: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise if parameters do not have the shapes of an architecture.

    Raises:
        ParseError: names the first parameter that differs.
    """
    if found != needed:
        name = sorted(n for n in found.keys() | needed.keys() if found.get(n) != needed.get(n))[0]
        raise ParseError(
            Path(path),
            None,
            f"parameter {name!r} has the shape {found.get(name)}; its architecture needs {needed.get(name)}",
        )


def flat(tree: Any, prefix: str) -> dict[str, Any]:
    """Leaves of a tree of dictionaries by their ways, ``"prefix/a/b"``."""
    if isinstance(tree, Mapping):
        return {name: leaf for key, part in tree.items() for name, leaf in flat(part, f"{prefix}/{key}").items()}
    return {prefix: tree}


def nested(leaves: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The inverse of :func:`flat`."""
    out: dict[str, Any] = {}
    for name, leaf in leaves.items():
        head, *way = name.split("/")
        if head != prefix:
            continue
        place = out
        for key in way[:-1]:
            place = place.setdefault(key, {})
        place[way[-1]] = leaf
    return out


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
