"""The public names: adding or removing one is a decision, and shows here."""

import inspect
import tomllib
from pathlib import Path

import pytest

import jaxnmr

PUBLIC = [
    "Background",
    "CouplingCalibration",
    "CouplingLaw",
    "CouplingTerm",
    "Crystal",
    "EchoTerm",
    "EnergyModel",
    "EnergyTerm",
    "GaussNewton",
    "Instrument",
    "LevenbergMarquardt",
    "ModelErrors",
    "Objective",
    "Parameters",
    "Particles",
    "Pattern",
    "PatternTerm",
    "PeakListTerm",
    "PowderDiffraction",
    "PredictedSpectrumTerm",
    "Prior",
    "Quantification",
    "Quantity",
    "RefinementResult",
    "Restraint",
    "ShiftReference",
    "Site",
    "Source",
    "Spectrum",
    "SpectrumMAS",
    "SpectrumStatic",
    "SpectrumTerm",
    "Stage",
    "State",
    "Struct",
    "TensorCalculator",
    "TensorModel",
    "TensorTerm",
    "Term",
    "__version__",
    "build_graph",
    "crystal",
    "displaced",
    "enable_cache",
    "enable_x64",
    "errors",
    "perturb",
    "plot",
    "progress",
    "read_crystal",
    "read_echo",
    "read_instrument",
    "read_magres",
    "read_pattern",
    "read_spectrum",
    "refine",
    "refine_series",
    "refine_starts",
    "relax",
    "screen",
    "source",
    "static",
    "term",
    "testing",
    "units",
    "write_crystal",
    "write_echo",
    "write_pattern",
    "write_spectrum",
]
DOCUMENTED = [name for name in PUBLIC if name != "__version__"]


def test_the_public_names_are_these():
    assert sorted(jaxnmr.__all__) == PUBLIC
    assert len(set(jaxnmr.__all__)) == len(jaxnmr.__all__)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_says_what_it_is(name):
    text = getattr(jaxnmr, name).__doc__
    # a dataclass without a docstring of its own gets its signature as one
    assert text and len(text) > 20 and not text.startswith(f"{name}(")


def public_methods():
    for name in DOCUMENTED:
        cls = getattr(jaxnmr, name)
        if inspect.isclass(cls):
            for attribute, value in vars(cls).items():
                value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{attribute}"


def described(cls, attribute) -> bool:
    """A method may leave its words to the base class that defines the contract."""
    return any(getattr(vars(base).get(attribute), "__doc__", None) for base in cls.__mro__)


@pytest.mark.parametrize("path", list(public_methods()))
def test_every_public_method_says_what_it_does(path):
    name, attribute = path.split(".")
    assert described(getattr(jaxnmr, name), attribute)


def test_the_installed_package_is_the_version_of_the_sources():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert jaxnmr.__version__ == project["version"]


def test_every_file_that_is_no_code_is_installed_with_the_package():
    root = Path(__file__).parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    installed = set()
    for package, patterns in settings["package-data"].items():
        # the examples stand beside the package
        folder = root.joinpath(*package.replace("jaxnmr.examples", "examples").split("."))
        installed |= {path for pattern in patterns for path in folder.glob(pattern)}
    there = {path for path in (root / "jaxnmr").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    there |= {path for path in (root / "examples").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert there == installed
