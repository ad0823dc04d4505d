"""What the project says it needs: the pinned versions, the supported Pythons, and options that no jaxlib chokes on."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [f"3.{minor}" for minor in range(8, 30) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]
RUNNING = "{}.{}".format(*sys.version_info[:2])
FILES = {path.stem.removeprefix("python-"): path for path in (ROOT / "constraints").glob("python-*.txt")}


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(python):
    lines = [line for line in FILES[python].read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def required(python):
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["test"], *extras["dev"]]
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    found = [Requirement(line) for line in lines]
    return [r for r in found if r.marker is None or r.marker.evaluate(environment)]


def test_every_supported_python_has_pinned_versions_and_no_other_has():
    assert sorted(FILES) == sorted(PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_pinned_versions_are_what_the_project_asks_for(python):
    pinned = pins(python)
    for requirement in required(python):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned: run tools/make_constraints.py"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} against {version}"


def test_the_extra_for_gpus_has_the_bounds_of_jax_and_is_not_pinned():
    (jax,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "jax")
    (cuda,) = map(Requirement, PROJECT["optional-dependencies"]["cuda"])
    assert (cuda.name, cuda.extras, cuda.specifier) == ("jax", {"cuda12"}, jax.specifier)
    assert "cuda12" in metadata.metadata("jax").get_all("Provides-Extra")
    assert not [name for python in PYTHONS for name in pins(python) if "cuda" in name or name.startswith("nvidia")]


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_name_versions_and_no_address(python):
    site = ROOT / "constraints" / f"docs-{python}.txt"
    lines = [line for path in (FILES[python], site) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if not re.fullmatch(r"#.*|[a-z0-9-]+==[0-9][0-9a-z.+!]*", line)] == []
    assert not [line for line in lines if "://" in line]


@pytest.mark.parametrize("python", PYTHONS)
def test_what_builds_the_site_is_pinned_beside_the_versions_that_are_tested(python):
    lines = (ROOT / "constraints" / f"docs-{python}.txt").read_text(encoding="utf-8").splitlines()
    site = {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line[0] != "#")
    }
    assert site.keys() & pins(python).keys() == set()
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["docs"]):
        assert requirement.specifier.contains(site[canonicalize_name(requirement.name)]), requirement


def test_pinned_versions_are_all_that_this_python_needs_and_nothing_else():
    """Follows the requirements of what is installed; catches pins left over from packages that went."""
    waiting = [(r.name, tuple(r.extras)) for r in required(RUNNING)]
    found = {}
    while waiting:
        name, extras = waiting.pop()
        if extras in found.setdefault(canonicalize_name(name), set()):
            continue
        found[canonicalize_name(name)].add(extras)
        for line in metadata.requires(name) or ():
            r = Requirement(line)
            if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append((r.name, tuple(r.extras)))
    assert set(pins(RUNNING)) == set(found)


def test_the_selection_for_other_interpreters_covers_every_package():
    selected = [ROOT / line for line in (ROOT / "tests" / "selection.txt").read_text(encoding="utf-8").split()]
    assert [path for path in selected if not path.exists()] == []
    packages = {path.parent.name for path in (ROOT / "jaxnmr").glob("*/__init__.py")}
    covered = {path.relative_to(ROOT / "tests" / "unit").parts[0] for path in selected if "unit" in path.parts}
    assert packages - covered == set()


@pytest.mark.parametrize(("version", "refused"), [((3, 10, 4), True), ((3, 11, 0), False), ((3, 14, 0), True)])
def test_an_unsupported_python_is_refused_with_the_way_out(version, refused):
    sentence = tool("install").refusal(version)
    assert bool(sentence) is refused
    if refused:
        assert (
            "3.11, 3.12 or 3.13" in sentence and "make PYTHON=" in sentence and ".".join(map(str, version)) in sentence
        )


def test_the_classifier_of_supported_pythons_is_what_the_readme_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}" in readme


def test_an_environment_of_another_python_is_not_mixed_with_this_one(tmp_path):
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")  # answers "no" when asked whether it is this version
    python.chmod(0o755)
    command = [sys.executable, str(ROOT / "tools" / "install.py"), str(tmp_path / "env")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "another Python" in done.stderr and "VENV=" in done.stderr


@pytest.mark.parametrize(
    ("log", "package", "hint"),
    [
        ("ERROR: Could not find a version that satisfies the requirement jaxlib==9.9 (from versions: 0.1)\n"
         "ERROR: No matching distribution found for jaxlib==9.9", "jaxlib==9.9", "another interpreter"),
        ("Collecting scipy==1.18.1\n  ReadTimeoutError", "scipy==1.18.1", "network"),
        ("Collecting a\nCollecting b\n  Building wheel for b (pyproject.toml)\nerror: subprocess-exited-with-error", "b", "compiler"),
        ("Collecting jax==0.12\nOSError: [Errno 28] No space left on device", "jax==0.12", "disk"),
    ],
)  # fmt: skip
def test_a_failed_installation_names_the_package_and_what_to_try(log, package, hint):
    lines = tool("install").remedy(log, "constraints/python-3.12.txt")
    assert package in lines[0] and hint in "\n".join(lines)


def test_a_failed_installation_ends_make_with_its_reason(tmp_path):
    """A real pip, an index that is empty: the message names a package that it could not get."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
    command = [sys.executable, str(ROOT / "tools" / "install.py"), str(tmp_path / "env")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "could not install" in done.stderr and "install.log" in done.stderr
    assert f"constraints/python-{RUNNING}.txt" in done.stdout
