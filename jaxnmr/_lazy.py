"""Public names imported on first access (PEP 562)."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazy(
    package: str, *, names: Mapping[str, str], modules: Iterable[str] = (), rooms: Iterable[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that imports its public names on first access.

    No public name may equal that of a subpackage: importing the subpackage would overwrite it.

    Args:
        package: its ``__name__``.
        names: the module of each name, relative to the package: ``{"read_pattern": "patterns.formats"}``.
        modules: modules and subpackages that are public themselves.
        rooms: subpackages reachable as attributes without being public names, so that ``import package`` suffices for
            ``package.room.function``.
    """
    within = frozenset((*modules, *rooms))

    def get(name: str) -> object:
        if name in within:
            return import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{names[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        # internals of the package, and private modules that happen to be imported, are not listed
        special = (name for name in vars(sys.modules[package]) if name.startswith("__"))
        return sorted({*special, *names, *within})

    return get, listed
