"""Public functions of the physics say which arrays they take and return, and tests check what they say."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from annotations import CHECKED
from jaxtyping import TypeCheckError

from jaxnmr.crystal import metric

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in CHECKED for path in ROOT.joinpath(*package.split(".")).rglob("*.py"))
# arrays of many shapes by name
TABLES = re.compile(r"\b(Mapping|dict)\[str, Array\]")


def signatures(path: Path) -> list[tuple[str, str]]:
    """What public functions and methods take and return, as ``(place, annotation)``; empty without an annotation."""
    found = []

    def look(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                look(node.body)
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                hints = {a.arg: a.annotation for a in arguments if a.arg not in ("self", "cls")} | {
                    "return": node.returns
                }
                for name, hint in hints.items():
                    found.append((f"{node.name}, {name}", ast.unparse(hint) if hint else ""))

    look(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrays_have_shapes(path):
    shapeless = re.compile(r"(?<!\[)\b(Array|np\.ndarray|jax\.Array)\b(?!, ')")
    bad = [(place, hint) for place, hint in signatures(path) if not hint or shapeless.search(TABLES.sub("", hint))]
    assert not bad


def test_the_reader_of_signatures_sees_methods_and_shapes():
    seen = dict(signatures(ROOT / "jaxnmr" / "diffraction" / "background.py"))
    assert seen["basis, x"] == "Float[np.ndarray, ' points']" and seen["with_peak, position"] == "float"


@pytest.mark.parametrize("cell", [np.ones(5), np.ones((6, 1)), np.ones(6, dtype=complex)])
def test_an_array_of_another_shape_or_kind_is_an_error(cell):
    with pytest.raises(TypeCheckError, match="parameter 'cell'"):
        metric(cell)
