"""Pages of the rooms: every name in the ``__all__`` of a package, read from its source."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "jaxnmr"
# public modules that are one file, and show all that they define
MODULES = ("errors", "testing", "units")
INDEX = """\
# Rooms

The package is divided into rooms of one subject each; [Architecture](../../background/architecture.md) shows which may import
which. The names that most people need are in `jaxnmr` itself and are described [by subject](../python.md); the rooms hold the rest.

| room | contents |
|---|---|
"""


def exported(init: Path) -> list[str]:
    """The names in ``__all__`` of a file; none where there is no such file."""
    for node in ast.parse(init.read_text(encoding="utf-8") if init.exists() else "").body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return sorted(ast.literal_eval(node.value))
    return []


def rooms() -> dict[str, list[str]]:
    """Exported names by the dotted name of a room below ``jaxnmr``."""
    found = {}
    for init in sorted(PACKAGE.rglob("__init__.py")):
        room = ".".join(init.parent.relative_to(PACKAGE).parts)
        if room and (names := exported(init)):
            found[room] = names
    return found | {module: [] for module in MODULES}


def _file(room: str) -> Path:
    place = PACKAGE.joinpath(*room.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _docstring(room: str) -> str:
    return (ast.get_docstring(ast.parse(_file(room).read_text(encoding="utf-8"))) or "").replace("::\n", ":\n")


def page(room: str, names: list[str], elsewhere: dict[str, str]) -> str:
    """The page of a room; names that another page describes, by the room it is of, are links to it."""
    if not names:
        return f"# jaxnmr.{room}\n\n::: jaxnmr.{room}\n    options:\n      show_root_heading: false\n      show_if_no_docstring: true\n"
    lines = [f"# jaxnmr.{room}", "", _docstring(room), ""]
    linked = [name for name in names if name in elsewhere]
    if linked:
        dotted = [".".join(filter(None, ("jaxnmr", elsewhere[name], name))) for name in linked]
        lines += ["On other pages: " + ", ".join(f"[`{name}`][{name}]" for name in dotted) + ".", ""]
    for name in names:
        if exported(PACKAGE.joinpath(*room.split("."), name, "__init__.py")):
            lines += [f"The module [`jaxnmr.{room}.{name}`]({room}.{name}.md) has a page of its own.", ""]
        elif name not in elsewhere:
            lines += [f"::: jaxnmr.{room}.{name}", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """All pages by their place below ``docs``."""
    found = rooms()
    main = exported(PACKAGE / "__init__.py")
    index = INDEX + "".join(
        f"| [`jaxnmr.{room}`]({room}.md) | {_docstring(room).splitlines()[0].replace('|', ' ')} |\n"
        for room in sorted(found)
    )
    made = {}
    for room, names in found.items():
        # a room may export names of a room inside another one: the outermost describes them
        above = {name: outer for outer in found if room.startswith(f"{outer}.") for name in found[outer]}
        elsewhere = above | dict.fromkeys(main, "")
        made[f"reference/rooms/{room}.md"] = page(room, names, elsewhere)
    return {"reference/rooms/index.md": index, **made}
