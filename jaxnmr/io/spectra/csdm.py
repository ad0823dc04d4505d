"""CSDM files (.csdf, .csdfe): data on a grid of dimensions, as JSON with text, base64 or external binary values.

Source: Srivastava, Vosegaard, Massiot & Grandinetti (2020), PLoS ONE 15, e0225953, version 1.0 of the model.
"""

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._warn import warn
from ...errors import ConventionError, DataError, JaxnmrError, ParseError, ShapeError
from ...nmr.records import Fid, Spectrum
from ..files import read_bytes

# unit -> (stored unit, factor)
_UNITS = {"": ("", 1.0), "ppm": ("ppm", 1.0), "%": ("", 0.01), "T": ("T", 1.0), "K": ("K", 1.0), "m": ("m", 1.0)}
_UNITS |= {"deg": ("deg", 1.0), "°": ("deg", 1.0), "rad": ("deg", 180.0 / math.pi), "min": ("s", 60.0)}
_PREFIXES = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS |= {prefix + unit: (unit, factor) for prefix, factor in _PREFIXES.items() for unit in ("Hz", "s")}
_UNITS |= {"1/s": ("Hz", 1.0), "s^-1": ("Hz", 1.0)}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
_QUANTITY_NAMES = {"Hz": "frequency", "s": "time", "T": "magnetic flux density", "K": "temperature", "m": "length"}
_NUMERIC = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_NUMERIC |= {"float32", "float64", "complex64", "complex128"}
_ISOTOPE = re.compile(r"\d+[A-Z][a-z]?")


@dataclass(frozen=True)
class CsdmDimension:
    """One axis of the grid.

    Attributes:
        coordinates: ``(points,)`` in ``unit``, in the order of the values (increasing or not).
        unit: ``"Hz"``, ``"s"``, ``"ppm"``, ``"T"``, ``"K"``, ``"m"``, ``"deg"`` or ``""``.
        origin_offset: added for absolute coordinates; for a frequency axis the reference frequency, so that
            ``ppm = 1e6 * coordinates / origin_offset``.
        label: human-readable name.
        reciprocal_offset: for a time axis, the frequency of the carrier in 1/unit.
        reciprocal_origin: for a time axis, the reference frequency in 1/unit.
    """

    coordinates: np.ndarray
    unit: str = ""
    origin_offset: float = 0.0
    label: str = ""
    reciprocal_offset: float = 0.0
    reciprocal_origin: float = 0.0


@dataclass(frozen=True)
class CsdmData:
    """The content of a CSDM file.

    Attributes:
        dimensions: the axes.
        values: one array per dependent variable, ``(components, points of dimension 0, points of dimension 1,
            ...)``, in the numeric type of the file.
        names: name of each dependent variable.
        units: unit of each dependent variable, as written in the file.
        description: text.
        tags: keywords.
    """

    dimensions: tuple[CsdmDimension, ...]
    values: tuple[np.ndarray, ...]
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()


def read_csdm(path: str | Path) -> CsdmData:
    """Read a CSDM file of any number of dimensions and dependent variables.

    Supported are the encodings none, base64 and raw (an external file beside it), all numeric types, and linear and
    monotonic dimensions.

    Raises:
        ParseError: not JSON (with the line), missing keys, wrong lengths, unknown units, labelled dimensions, sparse
            sampling, or external files that are not local.
    """
    path = Path(path)
    try:
        document = json.loads(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ParseError(path, None, f"no UTF-8 text at byte {error.start}; a CSDM file is JSON") from None
    except json.JSONDecodeError as error:
        raise ParseError(path, error.lineno, f"no valid JSON: {error.msg} (column {error.colno}); truncated?") from None
    except RecursionError:
        raise ParseError(path, None, "JSON nested too deeply; expected a CSDM file") from None
    root = _get(path, document, "csdm", dict, "the file")
    dimensions = tuple(
        _read_dimension(path, f"dimension {k}", item)
        for k, item in enumerate(_get(path, root, "dimensions", list, "csdm", []))
    )
    variables = _get(path, root, "dependent_variables", list, "csdm")
    shape = tuple(len(d.coordinates) for d in dimensions)
    read = [_read_variable(path, f"dependent variable {k}", item, shape) for k, item in enumerate(variables)]
    return CsdmData(
        dimensions,
        tuple(array for array, _, _ in read),
        tuple(name for _, name, _ in read),
        tuple(unit for _, _, unit in read),
        _get(path, root, "description", str, "csdm", ""),
        tuple(str(tag) for tag in _get(path, root, "tags", list, "csdm", [])),
    )


def write_csdm(data: CsdmData, path: str | Path) -> Path:
    """Write a CSDM file: ``.csdf`` with base64 values, ``.csdfe`` with the values in binary files beside it.

    Evenly spaced dimensions are written as linear, others as monotonic; coordinates are reproduced to within rounding,
    values exactly.

    Raises:
        ConventionError: another extension, or coordinates that are neither evenly spaced nor monotonic.
        ShapeError: values that do not match the dimensions.
        DataError: a numeric type that CSDM does not have, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csdf", ".csdfe"):
        raise ConventionError(f"{path}: the extension of a CSDM file is .csdf, or .csdfe with external values")
    shape = tuple(len(d.coordinates) for d in data.dimensions)
    variables, blobs = [], {}
    for k, array in enumerate(data.values):
        array = np.asarray(array)
        if array.ndim != len(shape) + 1 or array.shape[1:] != shape or len(array) == 0:
            raise ShapeError(f"dependent variable {k} is {array.shape}; expected (components, {str(shape)[1:-1]})")
        if array.dtype.name not in _NUMERIC:
            raise DataError(f"dependent variable {k} is {array.dtype}; CSDM has {', '.join(sorted(_NUMERIC))}")
        # the first dimension varies fastest in the file
        rows = [np.ravel(part, order="F").astype(array.dtype.newbyteorder("<")).tobytes() for part in array]
        item: dict[str, Any] = {
            "name": data.names[k] if data.names else "",
            "unit": data.units[k] if data.units else "",
            "numeric_type": array.dtype.name,
            "quantity_type": "scalar" if len(rows) == 1 else f"vector_{len(rows)}",
        }
        if path.suffix.lower() == ".csdf":
            item |= {"type": "internal", "encoding": "base64"}
            item["components"] = [base64.b64encode(row).decode("ascii") for row in rows]
        else:
            blob = path.with_name(f"{path.stem}_{k}.dat")
            blobs[blob] = b"".join(rows)
            item |= {"type": "external", "components_url": f"file:./{blob.name}"}
        variables.append({key: value for key, value in item.items() if value != ""})
    root = {
        "version": "1.0",
        "description": data.description,
        "tags": list(data.tags),
        "dimensions": [_dimension_json(k, d) for k, d in enumerate(data.dimensions)],
        "dependent_variables": variables,
    }
    root = {key: value for key, value in root.items() if value not in ("", [])} | {"dimensions": root["dimensions"]}
    try:
        path.write_text(json.dumps({"csdm": root}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for blob, content in blobs.items():
            blob.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error
    return path


def from_csdm(
    path: str | Path, data: CsdmData, *, variable: int = 0, component: int = 0, larmor_hz: float | None = None
) -> Spectrum | Fid:
    """Convert a one-dimensional CSDM data set to a `Spectrum` (axis in Hz or ppm) or `Fid` (axis in time).

    Args:
        path: for error messages and the record.
        data: content of the file.
        variable: index of the dependent variable.
        component: index of its component.
        larmor_hz: frequency of 0 ppm; replaces the reference frequency of the file (``origin_offset``). A negative one
            (frequencies with the sign of the precession) reverses an axis in Hz, since shifts are coordinates
            divided by it.

    Raises:
        ConventionError: no reference frequency in the file or as argument, or a missing variable or component.
        ParseError: more than one dimension of more than one point, another kind of axis, or data invalid for a record.
    """
    path = Path(path)
    long = [k for k, d in enumerate(data.dimensions) if len(d.coordinates) > 1]
    if len(long) != 1:
        raise ParseError(path, None, f"{len(long)} dimensions; a spectrum has one: use read_csdm and select a slice")
    if not 0 <= variable < len(data.values) or not 0 <= component < len(data.values[variable]):
        counts = [len(v) for v in data.values]
        raise ConventionError(f"{path}: no dependent variable {variable}, component {component}; components: {counts}")
    axis = data.dimensions[long[0]]
    values = data.values[variable][component].reshape(-1)
    isotope = next((tag for tag in data.tags if _ISOTOPE.fullmatch(tag)), "")
    reference = larmor_hz or (axis.origin_offset if axis.unit == "Hz" else axis.reciprocal_origin)
    if axis.unit not in ("Hz", "ppm", "s"):
        raise ParseError(path, None, f"an axis in {axis.unit or 'pure numbers'}; expected Hz or ppm, or s for a decay")
    scale = 1.0 if axis.unit == "Hz" else 1e-6 * reference
    if axis.unit == "Hz" and reference < 0:
        warn(
            f"{path.name}: the reference frequency (origin_offset) is {reference:g} Hz; shifts are coordinates divided by it, "
            "so that the axis was turned round: give larmor_hz to take the coordinates as they are",
        )
        scale, reference = -1.0, -reference
    if reference < 0:
        raise ConventionError(
            f"{path}: the reference frequency (origin_offset) is {reference:g} Hz, and an axis in {axis.unit} leaves open what its sign "
            "turns round; give larmor_hz to take the coordinates as they are"
        )
    if not reference > 0:
        raise ConventionError(f"{path}: no reference frequency (origin_offset) in the file; give larmor_hz")
    try:
        if axis.unit == "s":
            dwell_s = (axis.coordinates[-1] - axis.coordinates[0]) / (len(values) - 1)
            if np.abs(np.diff(axis.coordinates) - dwell_s).max() > 1e-3 * abs(dwell_s):
                raise DataError("the times are not evenly spaced")
            delay = -axis.coordinates[0] / dwell_s
            return Fid.create(
                values,
                dwell_s=dwell_s,
                larmor_hz=reference,
                carrier_hz=axis.reciprocal_offset,
                group_delay=delay if delay > 1e-9 else 0.0,
                isotope=isotope,
                name=path.name,
            )
        sigma = None
        if "sigma" in data.names and (k := data.names.index("sigma")) != variable:
            sigma = np.real(data.values[k][0].reshape(-1))
            sigma = sigma[0] if (sigma == sigma[0]).all() else sigma
        return Spectrum.create(
            scale * axis.coordinates, values, sigma, larmor_hz=reference, isotope=isotope, name=path.name
        )
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error


def to_csdm(record: Spectrum | Fid) -> CsdmData:
    """Convert a spectrum (axis in Hz) or decay (axis in s) to CSDM; the isotope becomes a tag, sigma a second variable."""
    tags = (record.isotope,) if record.isotope else ()
    if isinstance(record, Fid):
        times = (np.arange(len(record.values)) - record.group_delay) * record.dwell_s
        axis = CsdmDimension(
            times, "s", reciprocal_offset=record.carrier_hz, reciprocal_origin=record.larmor_hz, label="time"
        )
        return CsdmData((axis,), (np.asarray(record.values)[None],), description=record.name, tags=tags)
    axis = CsdmDimension(np.asarray(record.frequency_hz), "Hz", record.larmor_hz, "frequency")
    values: tuple[np.ndarray, ...] = (np.asarray(record.values)[None],)
    names: tuple[str, ...] = ("intensity",)
    if record.sigma is not None:
        sigma = np.broadcast_to(np.asarray(record.sigma, dtype=float), axis.coordinates.shape)
        values, names = (*values, sigma[None]), (*names, "sigma")
    return CsdmData((axis,), values, names, description=record.name, tags=tags)


def _read_dimension(path: Path, where: str, item: Any) -> CsdmDimension:
    kind = _get(path, item, "type", str, where)
    base, origin = None, 0.0
    if kind == "linear":
        count = _get(path, item, "count", int, where)
        if not 0 < count < 2**40:
            raise ParseError(path, None, f"{where}: count is {count}; expected a positive number of points")
        step, base = _quantity(path, where, _get(path, item, "increment", str, where))
        index = np.arange(count, dtype=float) - (count // 2 if item.get("complex_fft", False) else 0)
        coordinates = index * step
    elif kind == "monotonic":
        texts = _get(path, item, "coordinates", list, where)
        pairs = [_quantity(path, where, text) for text in texts]
        if not pairs or len({unit for _, unit in pairs}) > 1:
            raise ParseError(path, None, f"{where}: expected coordinates of one kind of unit")
        coordinates, base = np.array([value for value, _ in pairs]), pairs[0][1]
    else:
        raise ParseError(path, None, f"{where} is {kind!r}; only linear and monotonic dimensions are read")

    def offset(source: dict, key: str, unit: str) -> float:
        value, found = _quantity(path, f"{where}, {key}", _get(path, source, key, str, where, f"0 {unit}"))
        if found != unit:
            raise ParseError(path, None, f"{where}: {key} is in {found or 'pure numbers'}, the coordinates in {unit}")
        return value

    coordinates = coordinates + offset(item, "coordinates_offset", base)
    origin = offset(item, "origin_offset", base)
    reciprocal = _get(path, item, "reciprocal", dict, where, {})
    back = {"s": "Hz", "Hz": "s"}.get(base)
    ends = [offset(reciprocal, key, back) if back else 0.0 for key in ("coordinates_offset", "origin_offset")]
    return CsdmDimension(coordinates, base, origin, _get(path, item, "label", str, where, ""), *ends)


def _read_variable(path: Path, where: str, item: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, str, str]:
    if isinstance(item, dict) and "sparse_sampling" in item:
        raise ParseError(path, None, f"{where}: sparse sampling is not read; write the full grid")
    name = _get(path, item, "numeric_type", str, where)
    if name not in _NUMERIC:
        raise ParseError(path, None, f"{where}: numeric_type {name!r}; expected one of {', '.join(sorted(_NUMERIC))}")
    dtype, count = np.dtype(name).newbyteorder("<"), math.prod(shape)
    if _get(path, item, "type", str, where, "internal") == "external":
        rows = [read_bytes(_local(path, where, _get(path, item, "components_url", str, where)))]
        size = count * dtype.itemsize
        if len(rows[0]) == 0 or size == 0 or len(rows[0]) % size:
            raise ParseError(path, None, f"{where}: {len(rows[0])} bytes in the external file; expected {size} each")
        parts = list(np.frombuffer(rows[0], dtype).reshape(-1, count))
    else:
        encoding = _get(path, item, "encoding", str, where, "base64")
        components = _get(path, item, "components", list, where)
        parts = [_decode(path, f"{where}, component {k}", part, encoding, dtype) for k, part in enumerate(components)]
    expected = _components(path, where, _get(path, item, "quantity_type", str, where))
    if len(parts) != expected:
        raise ParseError(path, None, f"{where}: {len(parts)} components, and {item['quantity_type']} needs {expected}")
    for k, part in enumerate(parts):
        if len(part) != count:
            raise ParseError(path, None, f"{where}, component {k}: {len(part)} values; the dimensions make {count}")
    array = np.stack([part.reshape(shape, order="F") for part in parts]).astype(np.dtype(name))
    return array, _get(path, item, "name", str, where, ""), _get(path, item, "unit", str, where, "")


def _decode(path: Path, where: str, part: Any, encoding: str, dtype: np.dtype) -> np.ndarray:
    """Decode one component of an internal variable."""
    if encoding == "base64" and isinstance(part, str):
        try:
            content = base64.b64decode(part, validate=True)
        except binascii.Error as error:
            raise ParseError(path, None, f"{where}: no valid base64: {error}") from None
        if len(content) % dtype.itemsize:
            raise ParseError(path, None, f"{where}: {len(content)} bytes are no whole number of {dtype.name}")
        return np.frombuffer(content, dtype)
    if encoding == "none" and isinstance(part, list):
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in part):
            raise ParseError(path, None, f"{where}: a value is no number")
        if dtype.kind == "c":
            if len(part) % 2:
                raise ParseError(path, None, f"{where}: {len(part)} numbers; complex values are pairs")
            return np.array(part, dtype=float).view(complex).astype(dtype)
        try:
            return np.array(part, dtype=dtype)
        except (OverflowError, ValueError) as error:
            raise ParseError(path, None, f"{where}: {error}") from None
    raise ParseError(path, None, f"{where}: encoding {encoding!r} with {type(part).__name__}; expected none or base64")


def _components(path: Path, where: str, quantity: str) -> int:
    """Return the number of components of ``scalar``, ``vector_n``, ``pixel_n``, ``matrix_n_m``, ``symmetric_matrix_n``."""
    found = re.fullmatch(r"([a-z_]+?)_?(\d+)?(?:_(\d+))?", quantity, re.ASCII)
    word, *numbers = found.groups() if found else ("",)
    sizes = [int(n) for n in numbers if n]
    known = {("scalar", 0): 1, ("matrix", 2): math.prod(sizes)}
    if len(sizes) == 1:
        known |= {("vector", 1): sizes[0], ("pixel", 1): sizes[0]}
        known |= {("symmetric_matrix", 1): sizes[0] * (sizes[0] + 1) // 2}
    if (word, len(sizes)) not in known:
        raise ParseError(path, None, f"{where}: quantity_type {quantity!r} is not known")
    return known[word, len(sizes)]


def _local(path: Path, where: str, url: str) -> Path:
    """Return the external file beside the .csdfe file; nothing is downloaded."""
    if "://" in url and not url.startswith("file:///"):
        raise ParseError(path, None, f"{where}: values at {url}; only local files are read: fetch it first")
    return path.parent / url.removeprefix("file://").removeprefix("file:")


def _quantity(path: Path, where: str, text: Any) -> tuple[float, str]:
    """Parse number and unit of ``"2.5 kHz"``, converted to a stored unit."""
    found = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if not found or found[2] not in _UNITS or not math.isfinite(float(found[1])):
        known = ", ".join(unit for unit in _UNITS if unit)
        raise ParseError(path, None, f"{where}: {text!r} is no number with a known unit ({known})")
    unit, factor = _UNITS[found[2]]
    return float(found[1]) * factor, unit


def _dimension_json(k: int, axis: CsdmDimension) -> dict[str, Any]:
    x = np.asarray(axis.coordinates, dtype=float)
    text = lambda value, unit=axis.unit: f"{float(value)!r} {unit}".strip()
    steps = np.diff(x)
    step = float(x[-1] - x[0]) / (len(x) - 1) if len(x) > 1 else 1.0
    if len(x) == 1 or (step and np.abs(steps - step).max() <= 1e-9 * abs(step) + 4e-16 * np.abs(x).max()):
        item = {"type": "linear", "count": len(x), "increment": text(step), "coordinates_offset": text(x[0])}
    elif (np.sign(steps) == np.sign(step)).all() and step:
        item = {"type": "monotonic", "coordinates": [text(value) for value in x]}
    else:
        raise ConventionError(f"dimension {k}: the coordinates neither rise nor fall throughout")
    if axis.origin_offset:
        item["origin_offset"] = text(axis.origin_offset)
    if axis.unit in _QUANTITY_NAMES:
        item["quantity_name"] = _QUANTITY_NAMES[axis.unit]
    if axis.label:
        item["label"] = axis.label
    back = {"s": "Hz", "Hz": "s"}.get(axis.unit)
    if back and (axis.reciprocal_offset or axis.reciprocal_origin):
        item["reciprocal"] = {
            "coordinates_offset": text(axis.reciprocal_offset, back),
            "origin_offset": text(axis.reciprocal_origin, back),
        }
    return item


def _get(path: Path, source: Any, key: str, kind: type, where: str, *default: Any) -> Any:
    """Return ``source[key]`` after checking its type, or the default."""
    if not isinstance(source, dict):
        raise ParseError(path, None, f"{where} is {type(source).__name__}; expected an object with {key!r}")
    if key not in source and default:
        return default[0]
    value = source.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        found = "missing" if key not in source else repr(value)[:40]
        raise ParseError(path, None, f"{where}: {key!r} is {found}; expected {kind.__name__}")
    return value
