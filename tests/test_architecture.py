"""The layers of the package, read from its imports: a file imports only lower layers and its own package."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jaxnmr"
FILES = sorted(PACKAGE.rglob("*.py"))

# layer and members of every part of the package; a part is a folder, or files that belong together
PARTS = {
    "foundations": (
        0,
        ("_cache", "_compat", "_compilations", "_precision", "_struct", "_tuning", "errors", "typing", "units"),
    ),
    "crystal": (1, ("crystal",)),
    "diffraction": (2, ("diffraction",)),
    "nmr": (2, ("nmr",)),
    "graph": (2, ("graph",)),
    "io": (3, ("io",)),
    "models": (4, ("models",)),
    "objectives": (5, ("objectives",)),
    "refine": (6, ("refine",)),
    "search": (7, ("search",)),
    "results": (8, ("plot", "report")),
    "command": (9, ("cli", "cli_screening", "cli_training", "__main__", "runfile")),
    "testing": (9, ("testing",)),
    "facade": (10, ("__init__",)),
}
PART_OF = {member: part for part, (_, members) in PARTS.items() for member in members}

# third-party packages each part may import
ALLOWED = {
    "foundations": {"jax", "jaxlib", "numpy"},
    "crystal": {"jax", "numpy", "gemmi"},
    "diffraction": {"jax", "numpy", "gemmi"},
    "nmr": {"jax", "numpy"},
    "graph": {"jax", "numpy", "jraph"},
    "io": {"numpy", "gemmi", "ase", "spglib", "nmrglue"},
    "models": {"jax", "numpy", "ase", "flax", "optax", "e3nn_jax", "jraph", "safetensors"},
    "objectives": {"jax", "numpy", "scipy"},
    "refine": {"jax", "numpy", "jaxopt", "rich"},
    "search": {"jax", "numpy"},
    "results": {"jax", "numpy", "matplotlib"},
    "command": {"jax", "numpy", "rich", "matplotlib"},
    "testing": {"jax", "numpy"},
    "facade": set(),
}
PHYSICS = ("crystal", "diffraction", "nmr", "graph")
FILESYSTEM = {"os", "pathlib", "io", "shutil", "tempfile", "glob", "subprocess", "tomllib", "csv"}
MOST_LINES = 500


def part_of(path: Path) -> str:
    return PART_OF[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]


def imports(path: Path) -> list[tuple[int, str]]:
    """Every import of a file as ``(line, absolute dotted name)``, lazy ones included."""
    module = path.relative_to(ROOT).with_suffix("").parts
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(module[: len(module) - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            # "from . import crystal": the names are the modules
            names = [".".join([*base, alias.name]) for alias in node.names] if base == ["jaxnmr"] else [".".join(base)]
            found += [(node.lineno, name) for name in names]
    return found


def ours(name: str) -> bool:
    return name.split(".")[0] == "jaxnmr"


def third_party(path: Path) -> list[tuple[int, str]]:
    roots = [(line, name.split(".")[0]) for line, name in imports(path) if not ours(name)]
    return [(line, root) for line, root in roots if root not in sys.stdlib_module_names]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_file_belongs_to_a_part():
    strangers = [relative(f) for f in FILES if f.relative_to(PACKAGE).parts[0].removesuffix(".py") not in PART_OF]
    assert not strangers, f"give these a layer in PARTS: {strangers}"


def test_the_import_reader_sees_relative_and_lazy_imports():
    seen = {name for _, name in imports(PACKAGE / "refine" / "loop.py")}
    assert {"jaxnmr.errors", "jaxnmr.objectives", "jaxnmr.refine.linearised", "jax.numpy"} <= seen
    assert "jaxopt" in {name for _, name in third_party(PACKAGE / "refine" / "solvers.py")}
    assert "jaxnmr.crystal" in {name for _, name in imports(PACKAGE / "__init__.py")}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_lower_layers_and_its_own_package(path):
    part = part_of(path)
    layer = PARTS[part][0]
    wrong = []
    for line, name in imports(path):
        if ours(name) and name != "jaxnmr":
            other = PART_OF.get(name.split(".")[1], "facade")
            if other != part and PARTS[other][0] >= layer:
                wrong.append(f"{relative(path)}:{line} ({part}) imports {name} ({other})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_the_libraries_its_part_may_use(path):
    allowed = ALLOWED[part_of(path)]
    wrong = [f"{relative(path)}:{line} imports {root}" for line, root in third_party(path) if root not in allowed]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [f for f in FILES if part_of(f) in PHYSICS], ids=relative)
def test_physics_never_touches_the_filesystem(path):
    wrong = [f"{relative(path)}:{line} imports {n}" for line, n in imports(path) if n.split(".")[0] in FILESYSTEM]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not wrong and "open" not in calls and "print" not in calls


def test_every_library_imported_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=!\[; ]", text)[0].replace("-", "_") for text in project["dependencies"]}
    used = {root for path in FILES for _, root in third_party(path)}
    assert used <= declared, f"not in pyproject.toml: {sorted(used - declared)}"


def test_no_file_has_grown_beyond_what_one_can_read_at_once():
    lines = {relative(f): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_importing_changes_no_setting_and_starts_no_device():
    script = """
import json, sys, warnings
warnings.simplefilter("error")
import jax
settings = dict(jax.config.values)
import jaxnmr
changed = [name for name, value in jax.config.values.items() if settings.get(name) != value]
heavy = [name for name in ("matplotlib", "jaxopt", "rich", "flax", "optax") if name in sys.modules]
# refused once a device has been started
jax.config.update("jax_num_cpu_devices", 3)
print(json.dumps([changed, len(jax.devices("cpu")), heavy]))
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    changed, devices, heavy = json.loads(out.stdout)
    assert changed == []
    assert devices == 3
    assert heavy == []
