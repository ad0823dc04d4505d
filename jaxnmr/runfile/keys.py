"""Keys of run files: the field of a `Spec` says how a key is read, what it is when left out, and what the manual says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ..errors import ParseError
from .table import REQUIRED, Table

Reader = Callable[..., Any]
# the default of tables whose keys all have defaults
EMPTY = REQUIRED


@dataclass(frozen=True)
class Spec:
    """What a table of a run file says; the fields of its kinds are made by :func:`key`."""

    def check(self, table: Table) -> None:
        """Refuse keys that do not go together."""


Kind = TypeVar("Kind", bound=Spec)


@dataclass(frozen=True)
class Key:
    """How the key of a field is read and shown, see :func:`key`."""

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
    """The field of a Spec that one key of a table fills.

    Args:
        read: called with the table, the name of the key, its default and ``options``: a method of `Table`, or one of the
            functions below.
        default: when the key is left out; `REQUIRED` when it must not be.
        example: value in the manual, as TOML; the default when left out. A header, ``[[phase]]``, stands for all keys of a
            table, and lines after it are shown as they are.
        help: what the manual says.
        name: of the key, where it is not that of the field.
        kinds: values of the key ``kind`` of the table with which this one is possible, when not with all. What is made of
            a table of another kind does not have the field.
        shown: in the manual as part of the example, not commented out.
        unit: of the value, where neither the name of the key (``shift_ppm``) nor its help gives it.
    """
    metadata = {"key": Key(read, default, example, help, name, kinds, shown, unit, options)}
    if kinds:
        return field(init=False, repr=False, metadata=metadata)
    return field(metadata=metadata) if default is REQUIRED else field(default=default, metadata=metadata)


def required(read: Reader, example: str | None = None, help: str = "", *, shown: bool = True, **options: Any) -> Any:
    """As :func:`key`, of a key without a default."""
    return key(read, REQUIRED, example, help, shown=shown, **options)


def keys_of(spec: type[Spec]) -> list[tuple[str, Key]]:
    """The keys of a Spec with the names of their fields."""
    return [(f.name, f.metadata["key"]) for f in fields(spec) if "key" in f.metadata]


def known(spec: type[Spec]) -> list[str]:
    """Names of all keys that a table of this Spec may have."""
    names: list[str] = []
    for field_name, told in keys_of(spec):
        inner = told.options.get("of", ())
        # without an example, its keys stand in the table itself
        flattened = (inner if isinstance(inner, tuple) else (inner,)) if told.example is None else ()
        names += [name for of in flattened for name in known(of)] or [told.name or field_name]
    return names


def values(table: Table, of: type[Spec], /, **defaults: Any) -> dict[str, Any]:
    """What a table says, by the fields of a Spec; ``defaults`` replace those of the Spec, or fill fields without a key."""
    found = dict(defaults)
    for field_name, told in keys_of(of):
        name, default = told.name or field_name, defaults.get(field_name, told.default)
        if told.kinds and found["kind"] not in told.kinds:
            continue
        found[field_name] = told.read(table, name, default, **told.options)
    return found


def read(table: Table, of: type[Kind], /, **defaults: Any) -> Kind:
    """What a table says; keys that its Spec does not have are errors."""
    try:
        spec = flat(table, "", of=of, **defaults)
    except ParseError:
        # what is missing may be there under a misspelt name
        table.refuse_strangers(known(of))
        raise
    table.done()
    return spec


def flat(table: Table, name: str, default: Any = REQUIRED, /, *, of: type[Kind], **defaults: Any) -> Kind:
    """A Spec whose keys stand in the table itself."""
    found = values(table, of, **defaults)
    of_kind = {name: found.pop(name) for name, told in keys_of(of) if told.kinds and name in found}
    spec = of(**found)
    # past the frozen dataclass, for whose constructor these are not
    vars(spec).update(of_kind)
    spec.check(table)
    return spec


def part(table: Table, name: str, default: Any = REQUIRED, *, of: type[Kind]) -> Any:
    """A table inside the table; without a default a missing one is like an empty one."""
    return default if default is not REQUIRED and not table.has(name) else read(table.table(name), of)


def parts(table: Table, name: str, default: Any = REQUIRED, *, of: type[Kind]) -> tuple[Kind, ...]:
    """A list of tables."""
    return tuple(read(inner, of) for inner in table.tables(name))


def record(table: Table, name: str, default: Any = REQUIRED, *, of: type[Spec]) -> Any:
    """As :func:`part`, but a dict of the keys that its kind has."""
    return default if default is not REQUIRED and not table.has(name) else _record(table.table(name), of)


def records(table: Table, name: str, default: Any = REQUIRED, *, of: type[Spec]) -> tuple[dict[str, Any], ...]:
    """A list of tables as such dicts."""
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
    """A table of names that the user chooses, each with a value."""
    if default is not REQUIRED and not table.has(name):
        return default
    inner = table.table(name)
    return {chosen: each(inner, chosen, **options) for chosen in inner.content}


def either(kind: type | tuple[type, ...], then: Reader, otherwise: Reader) -> Reader:
    """A reader for values of a TOML type, and another one for those of all other types; ``of`` is what the manual shows."""
    return lambda table, name, default=REQUIRED, of=None: (
        then if isinstance(table.content.get(name), kind) else otherwise
    )(table, name, default)


def scaled(factor: float, read: Reader = Table.number) -> Reader:
    """A number in other units than those of the file, ``factor`` times the one there."""

    def reader(table: Table, name: str, default: Any = REQUIRED) -> Any:
        return factor * read(table, name, default) if table.has(name) or default is REQUIRED else default

    return reader


def given(spec: Spec) -> dict[str, Any]:
    """The keys of a Spec that are there, where ``None`` stands for those that are not."""
    return {name: value for name, _ in keys_of(type(spec)) if (value := getattr(spec, name)) is not None}
