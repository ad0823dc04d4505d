"""Public names that are imported when they are first asked for (PEP 562)."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazy(
    package: str, *, names: Mapping[str, str], modules: Iterable[str] = (), rooms: Iterable[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that imports its public names when they are first asked for.

    No name may be that of a subpackage: the import of the subpackage would replace what the name stands for.

    Args:
        package: its ``__name__``.
        names: the module each name is in, as seen from the package: ``{"read_pattern": "patterns.formats"}``.
        modules: modules and subpackages that are public themselves.
        rooms: subpackages that are attributes without being among the public names, so that ``import package`` is all that
            ``package.room.function`` needs.
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
        # what the package needs for itself, and private modules that happen to be imported, are nobody's choice
        special = (name for name in vars(sys.modules[package]) if name.startswith("__"))
        return sorted({*special, *names, *within})

    return get, listed
