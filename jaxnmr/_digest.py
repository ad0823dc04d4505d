"""Digests of everything that determines a compiled program besides its arrays, equal across processes."""

import dataclasses
import functools
import hashlib
import importlib
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import jax
import numpy as np

# libraries whose versions are part of every key (`_kept`), so that a name in them identifies its definition
_KNOWN = ("jaxnmr", "jax", "jaxlib", "numpy", "jraph", "e3nn_jax", "builtins", "collections")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class Unstable(Exception):
    """Something whose meaning may differ in another process, such as user-defined code or a stateful object."""


def digest(*values: Any) -> str:
    """Return a digest of plain values, containers, arrays, tree structures, frozen dataclasses, classes and functions.

    Classes and functions count by name; only those of this package and of libraries of known version have a digest.

    Raises:
        Unstable: a value has no digest.
    """
    made = hashlib.sha256()
    for value in values:
        _feed(made.update, value)
    return made.hexdigest()


def _feed(update: Callable[[bytes], None], value: Any) -> None:
    kind = type(value)

    def say(*words: Any) -> None:
        # lengths keep adjacent texts separate
        for text in map(str, words):
            update(f"{len(text)}:{text};".encode())

    def each(values: Any) -> None:
        values = tuple(values)
        say(len(values))
        for of in values:
            _feed(update, of)

    if kind in _PLAIN:
        say(kind.__name__, repr(value))
    elif kind in (tuple, list):
        say(kind.__name__)
        each(value)
    elif kind is dict:
        say("dict")
        each(value.items())
    elif kind in (set, frozenset):
        say(kind.__name__, *sorted(digest(of) for of in value))
    elif kind is jax.tree_util.PyTreeDef:
        node = value.node_data()
        say("tree")
        _feed(update, node)
        each(value.children())
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        say("array", value.dtype.str, value.shape)
        update(value.tobytes())
    elif isinstance(value, np.dtype):
        say("dtype", value.str)
    elif isinstance(value, Enum):
        say("enum", _place(kind), value.name)
    elif isinstance(value, type | FunctionType | BuiltinFunctionType):
        say("named", _place(value))
    elif kind is functools.partial:
        say("partial")
        each((value.func, value.args, value.keywords))
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        say("named tuple", _place(kind), *kind._fields)
        each(value)
    elif dataclasses.is_dataclass(value):
        say("dataclass", _place(kind))
        for field in dataclasses.fields(value):
            say(field.name)
            _feed(update, getattr(value, field.name))
    elif isinstance(getattr(value, "_key", None), tuple):
        # objects with a key are compared by it
        say("keyed", _place(kind))
        each(value._key)
    else:
        raise Unstable(f"{kind.__module__}.{kind.__qualname__}")


def _place(named: Any) -> str:
    """Module and qualified name of a class or function that can be imported from there."""
    module, name = named.__module__ or "", named.__qualname__
    if named is type(None):  # a node of pytrees that no module exports
        return "None"
    if module.partition(".")[0] in _KNOWN and "<" not in name:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is named or getattr(found, "__wrapped__", None) is named:
            return f"{module}:{name}"
    raise Unstable(f"{module}.{name}")
