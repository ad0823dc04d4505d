"""The tutorials, followed word for word: files are written, commands run, and what they print compared with the page."""

import runpy
import shlex
import shutil

import jax
import matplotlib.pyplot as plt
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from site_snippets import ROOT, blocks, missing, patched

from jaxnmr import cli


@pytest.fixture(autouse=True)
def settings():
    """Keep what commands switch on inside the test; programs are kept where the tests keep theirs."""
    names = ("jax_enable_x64", "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()
    plt.close("all")


def command(line, capsys):
    """Run one line of a shell block, and return what it printed."""
    words = shlex.split(line, comments=True)
    capsys.readouterr()
    match words:
        case []:
            return ""
        case ["cp", source, target]:
            shutil.copy(ROOT / source, target)
        case ["python", script, *arguments]:
            script = ROOT / script if (ROOT / script).is_file() else script
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.argv", [str(script), *arguments])
                runpy.run_path(str(script), run_name="__main__")
        case ["jaxnmr", *arguments]:
            assert cli.main(arguments) == 0
        case _:
            raise AssertionError(f"the page has a command that the test does not know: {line}")
    out, err = capsys.readouterr()
    return out + err


@pytest.mark.parametrize("page", ["paper", "quadrupolar", "objective"])
def test_a_tutorial_does_what_it_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if jax.config.jax_compilation_cache_dir:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    said, names = "", {}
    for block in blocks(f"tutorials/{page}.md"):
        if block.language == "diff":
            path = tmp_path / block.title
            path.write_text(patched(path.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.language == "text" and block.title.startswith("after "):
            continue  # needs what a test has not: a GPU
        elif block.language == "text" and not block.title:
            assert missing(block.text, said) == []
        elif block.title and (tmp_path / block.title).is_file():
            assert missing(block.text, (tmp_path / block.title).read_text(encoding="utf-8")) == []
        elif block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            said = "".join(command(line, capsys) for line in block.text.splitlines())
        elif block.language == "python":
            capsys.readouterr()
            exec(compile(block.text, f"{page}.md", "exec"), names)
            said = "".join(capsys.readouterr())
        else:
            raise AssertionError(f"the page has a block that the test does not know: {block}")
