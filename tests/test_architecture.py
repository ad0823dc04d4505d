"""The rooms of the package and their floors, read from its imports: a file imports only lower floors and its own room."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jaxnmr"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a room imports from lower floors and from itself, never from above or from beside it. A part of a room
# may have a floor of its own (nmr.powder). Rooms to come are listed where they will stand.
FLOORS = (
    ("ground",),
    ("crystal",),
    ("diffraction", "nmr", "graph"),
    ("nmr.powder",),
    ("nmr.echo",),
    ("objective", "io", "models.networks", "campaign"),
    ("terms", "models.data"),
    ("models.tensors", "models", "energy", "electronic", "density"),
    ("refinement", "density.prior", "electronic.scf"),
    ("search", "solve", "landscape", "dynamics", "inference"),
    ("plot",),
    ("report",),
    ("runfile",),
    ("proposal",),
    ("cli", "testing"),
    ("__main__", "facade"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {
    "_arguments", "_arrays", "_cache", "_compat", "_compilations", "_digest", "_files", "_functions", "_kept", "_lazy", "_local", "_model_file", "_precision", "_record", "_ridge", "_struct", "_tables",
    "_tuning", "_version", "_warn", "_words", "errors", "typing", "units",
}  # fmt: skip

# third-party packages each room may import
ALLOWED = {
    "ground": {"jax", "jaxlib", "numpy", "jaxtyping", "safetensors"},
    "crystal": {"jax", "numpy", "gemmi", "jaxtyping"},
    "diffraction": {"jax", "numpy", "gemmi", "jaxtyping", "scipy"},
    "nmr": {"jax", "numpy", "jaxtyping"},
    "nmr.powder": {"jax", "numpy", "jaxtyping"},
    "nmr.echo": {"jax", "numpy", "jaxtyping"},
    "graph": {"jax", "numpy", "jraph", "jaxtyping"},
    "io": {"numpy", "gemmi", "ase", "spglib", "nmrglue", "pyarrow"},
    "objective": {"jax", "numpy"},
    "terms": {"jax", "numpy", "scipy"},
    "models": set(),
    "models.networks": {"jax", "numpy", "flax", "optax", "safetensors", "e3nn_jax", "jraph"},
    "models.data": {"numpy", "ase", "e3nn_jax", "jraph"},
    "models.tensors": {"distributed", "jax", "numpy", "ase", "optax", "e3nn_jax", "jraph", "safetensors"},
    "energy": {"jax", "numpy", "ase", "jraph", "jaxtyping", "optax", "safetensors"},
    "electronic": {"jax", "numpy", "flax", "optax", "e3nn_jax", "safetensors", "jaxtyping"},
    "density": {"jax", "numpy", "gemmi", "jaxtyping", "scipy"},
    "density.prior": {"jax", "numpy", "flax", "optax", "safetensors", "jaxtyping"},
    "electronic.scf": {"numpy", "scipy", "pyscf"},
    "refinement": {"jax", "numpy", "jaxopt", "rich"},
    "search": {"jax", "numpy", "distributed"},
    "dynamics": {"jax", "numpy", "scipy", "jaxtyping"},
    "solve": {"jax", "numpy", "gemmi", "jaxtyping", "scipy", "distributed"},
    "inference": {"jax", "numpy", "flax", "optax", "safetensors", "jaxtyping"},
    "plot": {"numpy", "matplotlib", "ase"},
    "report": {"jax", "numpy", "matplotlib", "plotly"},
    "proposal": {"jax", "numpy", "scipy", "jaxtyping"},
    "runfile": {"jax", "numpy"},
    "campaign": {"dask", "distributed", "cloudpickle", "pyarrow"},
    "cli": {"jax", "numpy", "rich", "matplotlib", "distributed"},
    "testing": {"jax", "numpy"},
    "__main__": set(),
    "facade": set(),
}
PHYSICS = ("crystal", "diffraction", "nmr", "nmr.powder", "graph")
FILESYSTEM = {"os", "pathlib", "io", "shutil", "tempfile", "glob", "subprocess", "tomllib", "csv"}
MOST_LINES = 500


def room_of(module: str) -> str:
    """The room of a dotted name that begins with the package; that of the package itself is the facade."""
    parts = module.split(".")[1:]
    if not parts:
        return "facade"
    if parts[0] in GROUND:
        return "ground"
    part = ".".join(parts[:2])
    return part if part in FLOOR else parts[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Every import of a file as ``(line, absolute dotted name)``, lazy ones and those for type checkers included."""
    module = path.relative_to(ROOT).with_suffix("").parts
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(module[: len(module) - node.level]) if node.level else []
            base = ".".join(base + (node.module.split(".") if node.module else []))
            # "from . import crystal": where the names are modules, these are what is imported
            names = {f"{base}.{alias.name}" for alias in node.names}
            found += [(node.lineno, name) for name in sorted(names & MODULES.keys())]
            if names - MODULES.keys():
                found.append((node.lineno, base))
    return found


def ours(name: str) -> bool:
    return name.split(".")[0] == "jaxnmr"


def third_party(path: Path) -> list[tuple[int, str]]:
    roots = [(line, name.split(".")[0]) for line, name in imports(path) if not ours(name)]
    return [(line, root) for line, root in roots if root not in sys.stdlib_module_names]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_file_belongs_to_a_room():
    strangers = [relative(path) for name, path in MODULES.items() if room_of(name) not in FLOOR]
    assert not strangers, f"give these a floor in FLOORS: {strangers}"


def test_the_import_reader_sees_relative_and_lazy_imports():
    seen = {name for _, name in imports(PACKAGE / "refinement" / "descent.py")}
    assert {"jaxnmr.errors", "jaxnmr.objective", "jaxnmr.refinement.loop", "jax.numpy"} <= seen
    assert "jaxopt" in {name for _, name in third_party(PACKAGE / "refinement" / "solvers.py")}
    assert "jaxnmr.crystal" in {name for _, name in imports(PACKAGE / "__init__.py")}
    assert "jaxnmr.diffraction.corrections" in {name for _, name in imports(PACKAGE / "diffraction" / "phases.py")}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_lower_floors_and_its_own_room(path):
    module = module_of(path)
    room = room_of(module)
    wrong = []
    for line, name in imports(path):
        # the face of a package, its __init__, shows what is in it
        face = path.name == "__init__.py" and name.startswith(f"{module}.")
        if ours(name) and name != "jaxnmr" and not face:
            other = room_of(name)
            if other != room and FLOOR[other] >= FLOOR[room]:
                wrong.append(f"{relative(path)}:{line} ({room}) imports {name} ({other})")
    assert not wrong, "\n".join(wrong)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """One circle for every module that is reached again from itself, as the modules on the way."""
    found, done = [], set()

    def follow(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                follow(other, [*way, module])
            done.add(module)

    for module in graph:
        follow(module, [])
    return found


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c", "b"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_imports_itself_on_a_roundabout_way():
    """Neither through imports inside functions nor through those for type checkers."""
    graph = {module: {name for _, name in imports(path) if ours(name)} for module, path in MODULES.items()}
    assert circles(graph) == []


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_the_libraries_its_room_may_use(path):
    allowed = ALLOWED[room_of(module_of(path))]
    wrong = [f"{relative(path)}:{line} imports {root}" for line, root in third_party(path) if root not in allowed]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [f for f in FILES if room_of(module_of(f)) in PHYSICS], ids=relative)
def test_physics_never_touches_the_filesystem(path):
    wrong = [f"{relative(path)}:{line} imports {n}" for line, n in imports(path) if n.split(".")[0] in FILESYSTEM]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not wrong and "open" not in calls and "print" not in calls


def test_every_library_imported_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["html"], *extras["parquet"], *extras["cluster"], *extras["electronic"]]
    declared = {re.split(r"[<>=!\[; ]", text)[0].replace("-", "_") for text in named}
    used = {root for path in FILES for _, root in third_party(path)}
    assert used <= declared, f"not in pyproject.toml: {sorted(used - declared)}"


def test_no_file_has_grown_beyond_what_one_can_read_at_once():
    lines = {relative(f): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_the_documents_name_files_that_exist():
    named = {
        (document.name, file)
        for document in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
        for file in re.findall(r"`([\w/]+/[\w/]*(?:\.py)?)`", document.read_text(encoding="utf-8"))
        if file.endswith(".py") or (PACKAGE / file.split("/")[0]).is_dir() or file.startswith("jaxnmr/")
    }
    assert len(named) > 30
    assert [(d, file) for d, file in sorted(named) if not ((PACKAGE / file).exists() or (ROOT / file).exists())] == []


def run_script(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_changes_no_setting_and_starts_no_device():
    script = """
import json, sys, warnings
warnings.simplefilter("error")
import jax
settings = dict(jax.config.values)
import jaxnmr
for name in set(jaxnmr.__all__) - {"TensorModel", "TensorCalculator"}:
    getattr(jaxnmr, name)
changed = [name for name, value in jax.config.values.items() if settings.get(name) != value]
libraries = ("matplotlib", "jaxopt", "rich", "flax", "optax", "e3nn_jax", "ase", "spglib", "scipy")
heavy = [name for name in libraries if name in sys.modules]
# refused once a device has been started
jax.config.update("jax_num_cpu_devices", 3)
print(json.dumps([changed, len(jax.devices("cpu")), heavy]))
"""
    changed, devices, heavy = json.loads(run_script(script))
    assert changed == []
    assert devices == 3
    assert heavy == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["help-run"], ["examples"], ["refine", "--help"]])
def test_the_command_line_answers_questions_without_jax(arguments):
    script = f"""
import contextlib, io, sys
from jaxnmr.cli import main
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    main({arguments!r})
print(len(said.getvalue()) > 5, [name for name in ("jax", "numpy", "matplotlib") if name in sys.modules])
"""
    assert run_script(script).strip() == "True []"


def faces() -> dict[str, tuple[dict[str, str], dict]]:
    """Packages that import their public names when asked for: what type checkers see, and what is said to `lazy`."""
    found = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and "__getattr__" in ast.unparse(node.targets[0]):
                (block,) = [other for other in tree.body if isinstance(other, ast.If)]
                imported = {alias.name: line.module or "" for line in block.body for alias in line.names}
                found[name] = imported, {k.arg: ast.literal_eval(k.value) for k in node.value.keywords}
    return found


FACES = faces()


@pytest.mark.parametrize("package", FACES)
def test_a_lazy_name_is_the_same_to_type_checkers_and_at_run_time(package):
    imported, said = FACES[package]
    modules, rooms = said.get("modules", ()), said.get("rooms", ())
    assert imported == said["names"] | dict.fromkeys((*modules, *rooms), "")
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(imported.keys() - set(rooms))
    assert {name for name in dir(module) if not name.startswith("__")} == imported.keys() - {"__version__"}


def test_every_room_is_an_attribute_of_the_package_that_alone_was_imported():
    """Each in a fresh process would be the proof; `__getattr__` is what that process would ask."""
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    said = FACES["jaxnmr"][1]
    assert rooms | {"typing"} <= {*said["modules"], *said["rooms"]}
    script = "import jaxnmr as jn; print(jn.nmr.reference_hz('27Al', 9.4) > 1e8, callable(jn.diffraction.PatternPlan), jn.plot.models)"
    assert run_script(script).startswith("True True <module")


@pytest.mark.parametrize("package", FACES)
def test_no_lazy_name_is_that_of_a_module_beside_it(package):
    """Importing that module would put it in the place of what the name stands for."""
    modules = {name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == package}
    assert modules & FACES[package][1]["names"].keys() == set()


def test_a_name_that_no_face_shows_is_an_attribute_error():
    assert {
        "jaxnmr",
        "jaxnmr.dynamics",
        "jaxnmr.electronic",
        "jaxnmr.energy",
        "jaxnmr.inference",
        "jaxnmr.io",
        "jaxnmr.models",
        "jaxnmr.terms",
        "jaxnmr.search",
        "jaxnmr.solve",
    } == FACES.keys()
    for package in FACES:
        with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'objectives'"):
            getattr(importlib.import_module(package), "objectives")  # noqa: B009


def test_public_names_are_what_they_are_in_whatever_order_modules_are_imported():
    script = f"""
import importlib
for module in {sorted(MODULES.keys() - {"jaxnmr", "jaxnmr.__main__"})!r}:
    importlib.import_module(module)
import jaxnmr as jn
from types import ModuleType
names = {{name: getattr(jn, name) for name in jn.__all__}}
modules = sorted(name for name, value in names.items() if isinstance(value, ModuleType))
functions = (
    jn.refine, jn.progress, jn.term, jn.plot.pattern, jn.plot.information, jn.crystal.distances, jn.screen, jn.io.read_crystal,
    jn.runfile.build, jn.cli.main,
)
print(modules, [f.__name__ for f in functions if isinstance(f, ModuleType) or not callable(f)])
"""
    assert run_script(script).strip() == "['crystal', 'errors', 'plot', 'testing', 'units'] []"
