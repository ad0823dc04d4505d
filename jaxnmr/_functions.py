"""Functions that decorators wrapped, pickled by their name: the name refers to the wrapper, which holds the function."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from .errors import ParameterError


def pickled_function(function: Callable, what: str) -> tuple[str, str] | Callable:
    """The module and qualified name of a function, to be pickled in its place.

    Args:
        function: to be pickled.
        what: whose function it is, for the message.

    Raises:
        ParameterError: a lambda or a local function, which no other process could find.
    """
    name = getattr(function, "__qualname__", "")
    if not name:
        return function  # a callable object or a partial: pickle knows what to do
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
    """The function at a place; what a decorator made of it is opened.

    Raises:
        ParameterError: this process has none there.
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
