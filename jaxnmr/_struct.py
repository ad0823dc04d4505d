"""`Struct`: frozen, keyword-only dataclasses that are JAX pytrees, and ``@compiled`` for functions of them.

Unflattening bypasses ``__init__``: JAX rebuilds these objects with tracers, tangents and placeholders, none of which a
validating constructor could accept. Validation belongs in classmethods.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, ParamSpec, Self, TypeVar, dataclass_transform, overload

import jax

from ._kept import Keeper
from .errors import JaxnmrError

T = TypeVar("T")
P = ParamSpec("P")


def static(*, note: bool = False, **kwargs: Any) -> Any:
    """Declare a field that is part of the tree structure (hashable, compared by ``jit``), not a leaf.

    Args:
        note: the field is descriptive only (a name, a file, a starting value) and affects no calculation.
            :func:`compiled` functions do not see it, so that objects differing only in notes share compiled programs.
        kwargs: as for ``dataclasses.field``.

    Example:
        >>> class Data(jn.Struct):
        ...     values: jax.Array
        ...     file: str = jn.static(note=True, default="")
        >>> len(jax.tree.leaves(Data(values=jnp.zeros(3), file="a.txt")))
        1
    """
    return dataclasses.field(metadata={"static": True, "note": note}, **kwargs)


def _brief(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return repr(value)


def set_fields(obj: Any, **values: Any) -> None:
    """Set the fields of a frozen object from its own ``__init__``."""
    for name, value in values.items():
        object.__setattr__(obj, name, value)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, eq_default=False, field_specifiers=(static, dataclasses.field)
)
class Struct:
    """Base class of frozen, keyword-only dataclasses that are JAX pytrees; a subclass only declares its fields.

    A class may define its own ``__init__`` (and set its fields with :func:`set_fields`); it runs only when users
    construct the object, never when JAX rebuilds it. ``class Base(Struct, pytree=False)`` is neither a dataclass nor a
    pytree; only its subclasses are.

    Example:
        >>> class Line(jn.Struct):
        ...     slope: jax.Array
        ...     name: str = jn.static()
        >>> line = Line(slope=jnp.array(2.0), name="J")
        >>> jax.tree.leaves(line)
        [Array(2., dtype=float64, weak_type=True)]
        >>> line.replace(name="D").name
        'D'
    """

    _leaves: ClassVar[tuple[str, ...]]
    _statics: ClassVar[tuple[str, ...]]
    _notes: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, *, pytree: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if pytree:
            _make_pytree(cls)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields replaced, without validation, so that traced values are accepted."""
        names = (*self._leaves, *self._statics)
        if unknown := changes.keys() - set(names):
            raise TypeError(f"{type(self).__name__} has no field {sorted(unknown)}")
        obj = object.__new__(type(self))
        set_fields(obj, **{name: changes.get(name, getattr(self, name)) for name in names})
        return obj

    def _without_notes(self) -> Self:
        """Return a copy with all notes, including nested ones, blanked; see :func:`bare`."""
        values = ((name, getattr(self, name)) for name in self._leaves)
        held = {name: value if hasattr(value, "dtype") else bare(value) for name, value in values}
        return Struct.replace(self, **held, **dict.fromkeys(self._notes, BLANK))

    def __repr__(self) -> str:
        """Class and fields, with arrays by dtype and shape, since plans hold thousands of numbers."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        shown = (f"{f.name}={_brief(getattr(self, f.name))}" for f in fields)
        return f"{type(self).__name__}({', '.join(shown)})"


def _make_pytree(cls: type) -> None:
    """Make a class a dataclass and register it with JAX as a pytree."""
    dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False, init="__init__" not in cls.__dict__)(cls)
    fields = dataclasses.fields(cls)
    leaves = tuple(f.name for f in fields if not f.metadata.get("static"))
    statics = tuple(f.name for f in fields if f.metadata.get("static"))
    notes = tuple(f.name for f in fields if f.metadata.get("note"))
    for name, names in (("_leaves", leaves), ("_statics", statics), ("_notes", notes)):
        setattr(cls, name, names)

    def described(obj: Any) -> tuple[Any, ...]:
        values = (getattr(obj, name) for name in statics)
        return tuple(_Hidden if value is BLANK else value for value in values)

    def flatten_with_keys(obj: Any) -> tuple[tuple[tuple[jax.tree_util.GetAttrKey, Any], ...], tuple[Any, ...]]:
        keyed = tuple((jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in leaves)
        return keyed, described(obj)

    def flatten(obj: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(obj, name) for name in leaves), described(obj)

    def unflatten(aux: tuple[Any, ...], children: Iterable[Any]) -> Any:
        obj: Any = object.__new__(cls)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(obj, name, value)
        for name, value in zip(statics, aux, strict=True):
            object.__setattr__(obj, name, BLANK if value is _Hidden else value)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


class NoteRead(JaxnmrError):
    """A note read by a compiled calculation, where it has no value."""


class _Blank:
    """Placeholder for a note in a compiled calculation; reading it raises an error."""

    def _read(self, *_):
        raise NoteRead(
            "a calculation that is compiled depends on something that only describes: a name, a file, a starting value. "
            "Read it before and hand over what was read"
        )

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        self._read()

    def __repr__(self) -> str:
        return "(blank)"

    def __reduce__(self) -> str:
        return "BLANK"

    __str__ = __format__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = __getitem__ = __contains__ = _read


class _Hidden:
    """Placeholder for a blank in tree structures, which are compared and hashed."""


BLANK = _Blank()


def bare(tree: T) -> T:
    """Return a copy of a pytree with every note blanked: equal in structure to all that differ from it only in notes.

    Notes are blanked rather than excluded from comparisons, because ``jit`` would use the notes of the first of several
    objects that compare equal for all of them.
    """
    return jax.tree.map(lambda node: node._without_notes() if _is_struct(node) else node, tree, is_leaf=_is_struct)


def _is_struct(node: Any) -> bool:
    # only for classes that are pytrees themselves: JAX treats a mere subclass of one as a leaf
    return "_leaves" in vars(type(node))


class Compiled(Generic[P, T]):
    """A function compiled by :func:`compiled`."""

    def __init__(self, function: Callable[P, T], *, kept: bool = False, **options: Any) -> None:
        functools.update_wrapper(self, function)
        self._program = jax.jit(function, **options)
        self._keeper = Keeper(function, **options) if kept else None
        self._curious: set[jax.tree_util.PyTreeDef] = set()

    def __call__(self, *arguments: P.args, **settings: P.kwargs) -> T:
        blank = bare(arguments)
        if self._curious and jax.tree.structure(blank) in self._curious:
            return self._program(*arguments, **settings)
        try:
            ready = None if self._keeper is None else self._keeper.ready(blank, settings)
            return self._program(*blank, **settings) if ready is None else ready()
        except NoteRead:
            self._curious.add(jax.tree.structure(blank))
            return self._program(*arguments, **settings)

    def lower(self, *arguments: P.args, **settings: P.kwargs) -> jax.stages.Lowered:
        """Lower the program without compiling it, as ``jax.jit`` does."""
        return self._program.lower(*bare(arguments), **settings)


@overload
def compiled(function: Callable[P, T], **options: Any) -> Compiled[P, T]: ...
@overload
def compiled(**options: Any) -> Callable[[Callable[P, T]], Compiled[P, T]]: ...
def compiled(function: Any = None, **options: Any) -> Any:
    """Apply ``jax.jit`` to a function of structs; arguments that differ only in notes share a program.

    A function that reads a note (to name it in an error, say) is traced with it and gets a program of its own.

    Args:
        function: takes positional arguments, and static keywords. The notes of its results are blank.
        kept: keep its executables beside the cache of compiled programs, if one is enabled, and load them from there
            without tracing (`_kept`). For functions at the top level of modules of this package; static parts of the
            arguments must be plain values or defined there.
        options: as for ``jax.jit``; with ``kept`` only ``static_argnums`` and ``static_argnames``.
    """
    return functools.partial(Compiled, **options) if function is None else Compiled(function, **options)
