"""`Struct`: frozen, keyword-only dataclasses that are JAX pytrees, and ``@compiled``: functions of them.

Unflattening bypasses ``__init__``: JAX rebuilds these objects with tracers, with tangents and with
stand-ins, none of which a validating constructor could accept. Validation lives in classmethods.
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
    """A field that is part of the tree structure (hashable, compared by ``jit``), not a leaf.

    Args:
        note: the field only describes (a name, a file, a starting value) and changes nothing that is calculated.
            :func:`compiled` functions do not see it, so that objects that differ in notes share compiled programs.
        kwargs: as of ``dataclasses.field``.

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
    """Fill the fields of a frozen object from its own ``__init__``."""
    for name, value in values.items():
        object.__setattr__(obj, name, value)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, eq_default=False, field_specifiers=(static, dataclasses.field)
)
class Struct:
    """Base class of frozen, keyword-only dataclasses that are JAX pytrees: ``class Sample(Struct)`` and its fields.

    A class may define its own ``__init__`` (and set its fields with :func:`set_fields`); it runs only when
    people build the object, never when JAX does. ``class Base(Struct, pytree=False)`` is no dataclass and no pytree, only
    the classes that inherit from it are.

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
        """A copy with some fields replaced; no validation, so it works on traced values."""
        names = (*self._leaves, *self._statics)
        if unknown := changes.keys() - set(names):
            raise TypeError(f"{type(self).__name__} has no field {sorted(unknown)}")
        obj = object.__new__(type(self))
        set_fields(obj, **{name: changes.get(name, getattr(self, name)) for name in names})
        return obj

    def _without_notes(self) -> Self:
        """A copy whose notes, and those of all it holds, are blank; see :func:`bare`."""
        values = ((name, getattr(self, name)) for name in self._leaves)
        held = {name: value if hasattr(value, "dtype") else bare(value) for name, value in values}
        return Struct.replace(self, **held, **dict.fromkeys(self._notes, BLANK))

    def __repr__(self) -> str:
        """Class and fields, with arrays by type and shape: plans hold thousands of numbers nobody wants to scroll past."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        shown = (f"{f.name}={_brief(getattr(self, f.name))}" for f in fields)
        return f"{type(self).__name__}({', '.join(shown)})"


def _make_pytree(cls: type) -> None:
    """Make a class a dataclass and tell JAX how to take it apart."""
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
    """A compiled calculation asked for a note, which it does not know."""


class _Blank:
    """What stands for a note in a compiled calculation; whoever looks at it learns so."""

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
    """Stands for a blank in tree structures, which are compared and hashed."""


BLANK = _Blank()


def bare(tree: T) -> T:
    """A copy of a pytree in which every note is blank: equal in structure to all that differ from it in notes only.

    Notes are blanked rather than kept out of comparisons: of objects that merely compare equal ``jit`` takes the first
    one's notes for all.
    """
    return jax.tree.map(lambda node: node._without_notes() if _is_struct(node) else node, tree, is_leaf=_is_struct)


def _is_struct(node: Any) -> bool:
    # of a pytree itself: a class that only inherits from one is a leaf to JAX
    return "_leaves" in vars(type(node))


class Compiled(Generic[P, T]):
    """A function as :func:`compiled` returns it."""

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
        """The program before it is compiled, as of ``jax.jit``."""
        return self._program.lower(*bare(arguments), **settings)


@overload
def compiled(function: Callable[P, T], **options: Any) -> Compiled[P, T]: ...
@overload
def compiled(**options: Any) -> Callable[[Callable[P, T]], Compiled[P, T]]: ...
def compiled(function: Any = None, **options: Any) -> Any:
    """``jax.jit`` of a function of structs, with programs that serve all arguments that differ in notes only.

    A function that does look at a note (to name it in an error, say) is traced with it and gets a program of its own.

    Args:
        function: of positional arguments, and of keywords that are static. What it returns has blank notes.
        kept: its executables are kept beside the cache of compiled programs, where one is switched on, and found there without
            tracing (`_kept`). For functions at the top level of modules of this package; what is static in their arguments
            must be plain values, or what is defined there.
        options: as of ``jax.jit``; of those that are kept ``static_argnums`` and ``static_argnames`` only.
    """
    return functools.partial(Compiled, **options) if function is None else Compiled(function, **options)
