"""The notebooks run from top to bottom, end with an assertion, and are stored with their pictures."""

import ast
import gc
import importlib.util
import os
from pathlib import Path

import jax
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 1_000_000


@pytest.fixture(scope="module")
def execute():
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.execute


def code(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def pictures(cells):
    return sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(path, execute, monkeypatch, tmp_path):
    # the kernel inherits this: programs compiled by other tests or the run before need no compiling
    if jax.config.jax_compilation_cache_dir:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.03")
    # a notebook says what it shows, and how long that took on a machine of its author's: here it is compiled once and left
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1"))
    # kernels read this before the first cell: Python looks for cycles as seldom as in all tests
    startup = tmp_path / "startup.py"
    startup.write_text(f"import gc\ngc.set_threshold(*{gc.get_threshold()})\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONSTARTUP", str(startup))
    monkeypatch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", "default"))
    before = nbformat.read(path, as_version=4)
    notebook = execute(path)
    assert [c.source for c in notebook.cells] == [c.source for c in before.cells]
    assert pictures(c for c in notebook.cells if c.cell_type == "code") == pictures(code(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_ends_with_an_assertion(path):
    last = ast.parse(code(path)[-1].source)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(last))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_stored_notebook_is_the_result_of_one_run_in_order(path):
    cells = code(path)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert pictures(cells) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_stored_notebook_is_small(path):
    assert path.stat().st_size < LARGEST
