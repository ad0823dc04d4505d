"""Keys of run files: the field of a `Spec` defines how a key is read, its default and its text in the manual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ..errors import ParseError
from .table import REQUIRED, Table

Reader = Callable[..., Any]
# default of tables whose keys all have defaults
EMPTY = REQUIRED


@dataclass(frozen=True)
class Spec:
    """Content of a table of a run file; fields of subclasses are made by :func:`key`."""

    def check(self, table: Table) -> None:
        """Refuse keys that are incompatible."""


Kind = TypeVar("Kind", bound=Spec)


@dataclass(frozen=True)
class Key:
    """Reading and documentation of the key of a field, see :func:`key`."""

    read: Reader
    default: Any
    example: str | None
    help: str
    name: str | None
    kinds: tuple[str, ...]
    shown: bool
    unit: str
    options: dict[str, Any]


def key(
    read: Reader,
    default: Any,
    example: str | None = None,
    help: str = "",
    *,
    name: str | None = None,
    kinds: tuple[str, ...] = (),
    shown: bool = False,
    unit: str = "",
    **options: Any,
) -> Any:
    """Make the field of a Spec for one key of a table.

    Args:
        read: called with the table, the name of the key, its default and ``options``: a method of `Table`, or one of the
            functions below.
        default: value if the key is left out; `REQUIRED` if it must be given.
        example: value in the manual, as TOML; the default if left out. A header, ``[[phase]]``, represents all keys of
            a table, and lines after it are shown unchanged.
        help: text in the manual.
        name: name of the key, if it differs from that of the field.
        kinds: values of the table's key ``kind`` that allow this key, by default all. A table of another kind yields a
            Spec without the field.
        shown: whether the manual shows it as part of the example rather than commented out.
        unit: of the value, where neither the name of the key (``shift_ppm``) nor its help gives it.
    """
    metadata = {"key": Key(read, default, example, help, name, kinds, shown, unit, options)}
    if kinds:
        return field(init=False, repr=False, metadata=metadata)
    return field(metadata=metadata) if default is REQUIRED else field(default=default, metadata=metadata)


def required(read: Reader, example: str | None = None, help: str = "", *, shown: bool = True, **options: Any) -> Any:
    """Make the field of a key without a default; see :func:`key`."""
    return key(read, REQUIRED, example, help, shown=shown, **options)


def keys_of(spec: type[Spec]) -> list[tuple[str, Key]]:
    """List the keys of a Spec with the names of their fields."""
    return [(f.name, f.metadata["key"]) for f in fields(spec) if "key" in f.metadata]


def known(spec: type[Spec]) -> list[str]:
    """List the names of all keys that a table of this Spec may have."""
    names: list[str] = []
    for field_name, told in keys_of(spec):
        inner = told.options.get("of", ())
        # without an example, its keys belong to the enclosing table
        flattened = (inner if isinstance(inner, tuple) else (inner,)) if told.example is None else ()
        names += [name for of in flattened for name in known(of)] or [told.name or field_name]
    return names


def values(table: Table, of: type[Spec], /, **defaults: Any) -> dict[str, Any]:
    """Read a table into values by field of a Spec; ``defaults`` override the Spec's, or fill fields without a key."""
    found = dict(defaults)
    for field_name, told in keys_of(of):
        name, default = told.name or field_name, defaults.get(field_name, told.default)
        if told.kinds and found["kind"] not in told.kinds:
            continue
        found[field_name] = told.read(table, name, default, **told.options)
    return found


def read(table: Table, of: type[Kind], /, **defaults: Any) -> Kind:
    """Read a table into a Spec; unknown keys are errors."""
    try:
        spec = flat(table, "", of=of, **defaults)
    except ParseError:
        # a missing key may be present under a misspelt name
        table.refuse_strangers(known(of))
        raise
    table.done()
    return spec


def flat(table: Table, name: str, default: Any = REQUIRED, /, *, of: type[Kind], **defaults: Any) -> Kind:
    """Read a Spec whose keys belong to the enclosing table."""
    found = values(table, of, **defaults)
    of_kind = {name: found.pop(name) for name, told in keys_of(of) if told.kinds and name in found}
    spec = of(**found)
    # bypasses the frozen dataclass, whose constructor does not accept these fields
    vars(spec).update(of_kind)
    spec.check(table)
    return spec


def part(table: Table, name: str, default: Any = REQUIRED, *, of: type[Kind]) -> Any:
    """Read a nested table; without a default a missing one is treated as empty."""
    return default if default is not REQUIRED and not table.has(name) else read(table.table(name), of)


def parts(table: Table, name: str, default: Any = REQUIRED, *, of: type[Kind]) -> tuple[Kind, ...]:
    """Read a list of tables."""
    return tuple(read(inner, of) for inner in table.tables(name))


def record(table: Table, name: str, default: Any = REQUIRED, *, of: type[Spec]) -> Any:
    """Read a nested table as :func:`part`, into a dict of the keys that its kind has."""
    return default if default is not REQUIRED and not table.has(name) else _record(table.table(name), of)


def records(table: Table, name: str, default: Any = REQUIRED, *, of: type[Spec]) -> tuple[dict[str, Any], ...]:
    """Read a list of tables into such dicts."""
    return tuple(_record(inner, of) for inner in table.tables(name))


def _record(table: Table, of: type[Spec]) -> dict[str, Any]:
    try:
        found = values(table, of)
    except ParseError:
        table.refuse_strangers(known(of))
        raise
    table.done()
    return found


def by_name(table: Table, name: str, default: Any = REQUIRED, *, each: Reader, **options: Any) -> Any:
    """Read a table of user-chosen names, each with a value."""
    if default is not REQUIRED and not table.has(name):
        return default
    inner = table.table(name)
    return {chosen: each(inner, chosen, **options) for chosen in inner.content}


def either(kind: type | tuple[type, ...], then: Reader, otherwise: Reader) -> Reader:
    """Make a reader that depends on the TOML type of the value; ``of`` is the Spec shown in the manual."""
    return lambda table, name, default=REQUIRED, of=None: (
        then if isinstance(table.content.get(name), kind) else otherwise
    )(table, name, default)


def scaled(factor: float, read: Reader = Table.number) -> Reader:
    """Make a reader of numbers in other units than those of the file, ``factor`` times the value there."""

    def reader(table: Table, name: str, default: Any = REQUIRED) -> Any:
        return factor * read(table, name, default) if table.has(name) or default is REQUIRED else default

    return reader


def given(spec: Spec) -> dict[str, Any]:
    """Return the keys of a Spec that are given, that is, not ``None``."""
    return {name: value for name, _ in keys_of(type(spec)) if (value := getattr(spec, name)) is not None}
