"""The manual says what the Specs say, and what it says can be read."""

import importlib.util
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from jaxnmr.diffraction import Instrument
from jaxnmr.models.data.training_data import DataSource
from jaxnmr.models.tensors.recipe import Recipe
from jaxnmr.runfile.echo import EchoRun
from jaxnmr.runfile.keys import keys_of
from jaxnmr.runfile.run import InstrumentSpec, Run
from jaxnmr.runfile.table import REQUIRED, Table
from jaxnmr.runfile.training import RecipeSpec, SourceSpec, TrainingRun


def _tool():
    place = Path(__file__).parents[3] / "tools" / "make_manual.py"
    spec = importlib.util.spec_from_file_location("make_manual", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _tool()


def parts(of):
    return of if isinstance(of, tuple) else (of,)


def specs(*roots):
    """Those that are reached from the roots, each once."""
    found = dict.fromkeys(roots)
    for spec in roots:
        inner = [of for _, key in keys_of(spec) for of in parts(key.options.get("of", ()))]
        found |= dict.fromkeys(specs(*inner)) if inner else {}
    return tuple(found)


def example(key):
    return tomllib.loads(f"x = {key.example}")["x"]


CASES = [
    pytest.param(spec, name, key, id=f"{spec.__name__}.{name}")
    for spec in specs(Run, TrainingRun, EchoRun)
    for name, key in ((key.name or field, key) for field, key in keys_of(spec))
    if key.example is not None and not tool.HEADER.match(key.example)
]


def test_the_manual_is_that_of_the_specs():
    text = tool.MANUAL.read_text(encoding="utf-8")
    assert tool.manual(text) == text, "run python tools/make_manual.py"


@pytest.mark.parametrize(("spec", "name", "key"), CASES)
def test_every_example_of_the_manual_can_be_read(spec, name, key, monkeypatch):
    monkeypatch.setenv("JAXNMR_DATA", "data")
    shown = {other: example(k) for _, other, k in (c.values for c in CASES if c.values[0] is spec) if k.shown}
    content = shown | {"site": [{"cq_mhz": 5.2}]} | {name: example(key)}
    if key.kinds:
        content["kind"] = key.kinds[0]
    table = Table(Path("run.toml"), "", content, ("FAP", "quartz"))
    assert key.read(table, name, key.default, **key.options) is not REQUIRED


@pytest.mark.parametrize(
    ("spec", "made", "others"),
    [(InstrumentSpec, Instrument, {"name", "optics"}), (RecipeSpec, Recipe, set()), (SourceSpec, DataSource, set())],
)
def test_every_field_of_what_is_made_has_a_key(spec, made, others):
    assert {name for name, _ in keys_of(spec)} == {f.name for f in fields(made)} - others
