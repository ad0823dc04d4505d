"""Public names that are imported when they are first asked for (PEP 562)."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazy(
    package: str, *, names: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that imports its public names when they are first asked for.

    No name may be that of a subpackage: the import of the subpackage would replace what the name stands for.

    Args:
        package: its ``__name__``.
        names: the module each name is in, as seen from the package: ``{"read_pattern": "patterns.formats"}``.
        modules: modules and subpackages that are public themselves.
    """
    modules = frozenset(modules)

    def get(name: str) -> object:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{names[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *modules})

    return get, listed
