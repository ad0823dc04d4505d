"""``@struct``: frozen, keyword-only dataclasses that are JAX pytrees.

Unflattening bypasses ``__init__``: JAX rebuilds these objects with tracers, with tangents and with
stand-ins, none of which a validating constructor could accept. Validation lives in classmethods.
"""

import dataclasses
from typing import Any, dataclass_transform

import jax


def static(**kwargs: Any) -> Any:
    """A field that is part of the tree structure (hashable, compared by ``jit``), not a leaf."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


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

    def flatten_with_keys(obj):
        keyed = tuple((jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in leaves)
        return keyed, tuple(getattr(obj, name) for name in statics)

    def flatten(obj):
        return tuple(getattr(obj, name) for name in leaves), tuple(getattr(obj, name) for name in statics)

    def unflatten(aux, children):
        obj = object.__new__(cls)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(obj, name, value)
        for name, value in zip(statics, aux, strict=True):
            object.__setattr__(obj, name, value)
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

    cls.replace = replace
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
