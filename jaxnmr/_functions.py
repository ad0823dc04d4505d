"""Pickling by name of functions wrapped by decorators: the name refers to the wrapper, which holds the function."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from .errors import ParameterError


def pickled_function(function: Callable, what: str) -> tuple[str, str] | Callable:
    """Return module and qualified name of a function, to be pickled in its place.

    Args:
        function: the function to be pickled.
        what: its owner in words, for the message.

    Raises:
        ParameterError: a lambda or a local function, which no other process could find.
    """
    name = getattr(function, "__qualname__", "")
    if not name:
        return function  # a callable object or a partial, which pickle handles itself
    place = (function.__module__, name)
    try:
        known = unpickled_function(place)
    except ParameterError:
        known = None
    if known is not function:
        raise ParameterError(
            f"the function of {what}, {name!r}, cannot be pickled: other processes find functions by their names in a module. "
            "Define it with def at the top level of a module"
        )
    return place


def unpickled_function(place: tuple[str, str] | Callable) -> Callable:
    """Return the function at a place, unwrapped if a decorator wrapped it.

    Raises:
        ParameterError: no such function in this process.
    """
    if callable(place):
        return place
    module, name = place
    try:
        held: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (AttributeError, ImportError) as err:
        raise ParameterError(
            f"a function of a term or source is looked for as {name!r} in {module!r}, where this process has none: define it "
            "in a module that both processes import"
        ) from err
    return getattr(held, "function", held)
