"""``@struct``: frozen, keyword-only dataclasses that are JAX pytrees, and ``@compiled``: functions of them.

Unflattening bypasses ``__init__``: JAX rebuilds these objects with tracers, with tangents and with
stand-ins, none of which a validating constructor could accept. Validation lives in classmethods.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, dataclass_transform

import jax

from .errors import JaxnmrError


def static(*, note: bool = False, **kwargs: Any) -> Any:
    """A field that is part of the tree structure (hashable, compared by ``jit``), not a leaf.

    Args:
        note: the field only describes (a name, a file, a starting value) and changes nothing that is calculated.
            :func:`compiled` functions do not see it, so that objects that differ in notes share compiled programs.
        kwargs: as of ``dataclasses.field``.
    """
    return dataclasses.field(metadata={"static": True, "note": note}, **kwargs)


def _brief(self: Any) -> str:
    """Class and fields, with arrays by type and shape: plans hold thousands of numbers nobody wants to scroll past."""
    fields = (f"{f.name}={_brief_value(getattr(self, f.name))}" for f in dataclasses.fields(self))
    return f"{type(self).__name__}({', '.join(fields)})"


def _brief_value(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return repr(value)


def set_fields(obj: Any, **values: Any) -> None:
    """Fill the fields of a frozen object from its own ``__init__``."""
    for name, value in values.items():
        object.__setattr__(obj, name, value)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(static, dataclasses.field))
def struct(cls: type) -> type:
    """Turn a class with annotations into a frozen, keyword-only dataclass registered as a pytree.

    A class may define its own ``__init__`` (and set its fields with :func:`set_fields`); it runs only when
    people build the object, never when JAX does.
    """
    own = cls.__dict__
    cls = dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False, init="__init__" not in own)(cls)
    if "__repr__" not in own:
        cls.__repr__ = _brief
    fields = dataclasses.fields(cls)
    leaves = tuple(f.name for f in fields if not f.metadata.get("static"))
    statics = tuple(f.name for f in fields if f.metadata.get("static"))
    blanks = {f.name: BLANK for f in fields if f.metadata.get("note")}

    def described(obj):
        values = (getattr(obj, name) for name in statics)
        return tuple(_Hidden if value is BLANK else value for value in values)

    def flatten_with_keys(obj):
        keyed = tuple((jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in leaves)
        return keyed, described(obj)

    def flatten(obj):
        return tuple(getattr(obj, name) for name in leaves), described(obj)

    def unflatten(aux, children):
        obj = object.__new__(cls)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(obj, name, value)
        for name, value in zip(statics, aux, strict=True):
            object.__setattr__(obj, name, BLANK if value is _Hidden else value)
        return obj

    def replace(self, **changes):
        """A copy with some fields replaced; no validation, so it works on traced values."""
        unknown = changes.keys() - set(leaves) - set(statics)
        if unknown:
            raise TypeError(f"{cls.__name__} has no field {sorted(unknown)}")
        obj = object.__new__(cls)
        for name in leaves + statics:
            object.__setattr__(obj, name, changes.get(name, getattr(self, name)))
        return obj

    def without_notes(self):
        """A copy whose notes, and those of all it holds, are blank; see :func:`bare`."""
        values = ((name, getattr(self, name)) for name in leaves)
        return replace(self, **{name: v if hasattr(v, "dtype") else bare(v) for name, v in values}, **blanks)

    cls.replace, cls._without_notes = replace, without_notes
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


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

    __str__ = __format__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = __getitem__ = __contains__ = _read


class _Hidden:
    """Stands for a blank in tree structures, which are compared and hashed."""


BLANK = _Blank()


def bare(tree: Any) -> Any:
    """A copy of a pytree in which every note is blank: equal in structure to all that differ from it in notes only.

    Notes are blanked rather than kept out of comparisons: of objects that merely compare equal ``jit`` takes the first
    one's notes for all.
    """
    return jax.tree.map(lambda node: node._without_notes() if _is_struct(node) else node, tree, is_leaf=_is_struct)


def _is_struct(node: Any) -> bool:
    return hasattr(type(node), "_without_notes")


def compiled(function: Callable | None = None, **options: Any) -> Callable:
    """``jax.jit`` of a function of structs, with programs that serve all arguments that differ in notes only.

    A function that does look at a note (to name it in an error, say) is traced with it and gets a program of its own.

    Args:
        function: of positional arguments, and of keywords that are static. What it returns has blank notes.
        options: as of ``jax.jit``.
    """
    if function is None:
        return functools.partial(compiled, **options)
    program = jax.jit(function, **options)
    curious = set()

    @functools.wraps(function)
    def call(*arguments: Any, **settings: Any) -> Any:
        blank = bare(arguments)
        if curious and jax.tree.structure(blank) in curious:
            return program(*arguments, **settings)
        try:
            return program(*blank, **settings)
        except NoteRead:
            curious.add(jax.tree.structure(blank))
            return program(*arguments, **settings)

    call.lower = lambda *arguments: program.lower(*bare(arguments))
    return call
