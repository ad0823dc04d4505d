"""Results saved to disk, from which reports, figures and result files can be made again.

``result.npz`` holds arrays, and one text that assigns them: a JSON tree of plain values and records, each named after
its class. Reading calls no constructor and executes nothing from the file: it fills records of known classes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from .._struct import set_fields
from ..crystal import SpaceGroup
from ..errors import ParseError
from ..objective import ParameterRow
from ..refinement.result import RefinementResult
from .asked import Asked

KEPT = "result.npz"
_TREE, _VERSION = "tree", 1


@dataclasses.dataclass(frozen=True)
class KeptParameters:
    """Part of `Parameters` that reports read.

    Attributes:
        elements: all physical values.
        free_names: names of the refined numbers.
    """

    elements: tuple[ParameterRow, ...]
    free_names: tuple[str, ...]

    def rows(self) -> list[ParameterRow]:
        """List all physical values."""
        return list(self.elements)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all values."""
        return tuple(row.name for row in self.elements)

    @property
    def n_free(self) -> int:
        """Number of refined numbers."""
        return len(self.free_names)


def write_kept(path: Path, fit: RefinementResult, asked: Asked) -> Path:
    """Write a result, without the objective, and the report settings of the run."""
    rows = (
        ParameterRow(**{f.name: getattr(row, f.name) for f in dataclasses.fields(ParameterRow)})
        for row in fit.parameters.rows()
    )
    parameters = KeptParameters(tuple(rows), tuple(fit.parameters.free_names))
    values = {f.name: getattr(fit, f.name) for f in dataclasses.fields(fit)}
    arrays: list[np.ndarray] = []
    fields = {
        name: _packed(value, arrays) for name, value in (values | {"objective": None, "parameters": parameters}).items()
    }
    text = json.dumps({"version": _VERSION, "fit": fields, "asked": _packed(asked, arrays)}, ensure_ascii=False)
    named: dict[str, Any] = {str(k): array for k, array in enumerate(arrays)}
    named[_TREE] = np.frombuffer(text.encode(), dtype=np.uint8)
    held = io.BytesIO()
    np.savez_compressed(held, **named)
    return write_atomically(path, held.getvalue())


def read_kept(path: Path) -> tuple[RefinementResult, Asked]:
    """Read a result, whose ``objective`` is ``None``, and the report settings of the run.

    Raises:
        ParseError: the file does not exist, is damaged, or contains unknown records.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            tree = json.loads(file[_TREE].tobytes().decode())
            arrays = {name: file[name] for name in file.files if name != _TREE}
        if tree["version"] != _VERSION:
            raise ParseError(path, None, f"has the version {tree['version']}, expected {_VERSION}: refine again")
        fields = {name: _unpacked(value, arrays, path) for name, value in tree["fit"].items()}
        asked = _unpacked(tree["asked"], arrays, path)
        known = {f.name for f in dataclasses.fields(RefinementResult)}
        if set(fields) != known:
            raise ParseError(path, None, "was written by another version of jaxnmr, with other fields: refine again")
    except FileNotFoundError:
        raise ParseError(
            path, None, "no such file, and reports are made from it: it stands beside the result.json of refinements by this "
            "version of jaxnmr; refine again"
        ) from None  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as err:
        raise ParseError(path, None, f"is damaged, or no result of jaxnmr ({err}): refine again") from err
    return RefinementResult(**fields), asked


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """Encode a value as JSON: types that JSON lacks become a dictionary with one key that names the type."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, SpaceGroup):
        return {"group": [value.name, list(value.triplets)]}
    kind = type(value)
    name = [kind.__module__, kind.__qualname__]
    if _is_record(kind):
        return {"record": [*name, {field: _packed(getattr(value, field), arrays) for field in _fields(kind)}]}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {"map": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(v, arrays) for v in value]}
    if isinstance(value, frozenset):
        return {"set": [_packed(v, arrays) for v in sorted(value)]}
    return [_packed(v, arrays) for v in value] if isinstance(value, list) else str(value)


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray], path: Path) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, arrays, path) for v in value]
    if not isinstance(value, dict):
        return value
    ((what, held),) = value.items()
    if what == "array":
        return arrays[str(held)]
    if what == "group":
        return SpaceGroup._restore(*held)
    if what == "map":
        return {_unpacked(k, arrays, path): _unpacked(v, arrays, path) for k, v in held}
    if what == "record":
        module, name, fields = held
        kind = _class(module, name, path)
        # fields added in later versions may be missing
        values = _defaults(kind) | {k: _unpacked(v, arrays, path) for k, v in fields.items()}
        if set(values) != set(_fields(kind)):
            raise ParseError(path, None, f"holds a {name} of another version of jaxnmr: refine again")
        if not dataclasses.is_dataclass(kind):
            return kind(**values)
        record: Any = object.__new__(kind)
        set_fields(record, **values)
        return record
    return {"tuple": tuple, "set": frozenset}[what](_unpacked(v, arrays, path) for v in held)


def _is_record(kind: type) -> bool:
    """Return whether values have named fields: dataclasses and named tuples."""
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else kind._fields


def _defaults(kind: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(kind):
        return dict(kind._field_defaults)
    known = dataclasses.fields(kind)
    values = {f.name: f.default for f in known if f.default is not dataclasses.MISSING}
    return values | {f.name: f.default_factory() for f in known if f.default_factory is not dataclasses.MISSING}


def _class(module: str, name: str, path: Path) -> type:
    """Return a class of this package, or of a module that is already imported."""
    if module not in sys.modules and module.split(".")[0] == "jaxnmr":
        import_module(module)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and _is_record(found)):
        raise ParseError(
            path, None, f"holds a record {module}.{name} of a term that is not part of jaxnmr; import the module that defines it, "
            "and call jaxnmr.report.rewrite_report"
        )  # fmt: skip
    return found
