"""The reference pages that are generated hold everything that the code knows."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "site"))

import command_line_page  # noqa: E402
import notebook_pages  # noqa: E402
import room_pages  # noqa: E402
import run_file_page  # noqa: E402

from jaxnmr.runfile.keys import keys_of, known  # noqa: E402
from jaxnmr.runfile.run import HistogramSpec, PhaseSpec  # noqa: E402

RUN_FILE = run_file_page.page()
COMMANDS = command_line_page.page()


def section(anchor):
    """The rows of one table of the page of run files, without its head."""
    text = RUN_FILE.partition(f"{{ #{anchor} }}\n")[2]
    table = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in table.splitlines() if line.startswith("| `")]


def specs(*roots):
    """All Specs that are reached from some, each once."""
    found = dict.fromkeys(roots)
    for spec in roots:
        inner = [of for _, key in keys_of(spec) for of in run_file_page.specs_of(key)]
        found |= dict.fromkeys(specs(*inner)) if inner else {}
    return tuple(found)


@pytest.mark.parametrize("spec", [PhaseSpec, HistogramSpec])
def test_a_table_of_run_files_has_every_key_that_the_reader_knows_once(spec):
    shown = [row.split("`")[1] for row in section(run_file_page.anchor(spec))]
    assert shown == list(dict.fromkeys(shown)) and sorted(shown) == sorted(known(spec))


def test_every_table_of_run_files_is_on_the_page_once():
    roots = [spec for _, _, spec in run_file_page.FILES]
    flattened = {
        of
        for spec in specs(*roots)
        for _, key in keys_of(spec)
        for of in run_file_page.specs_of(key)
        if key.example is None
    }
    anchors = re.findall(r"\{ #([\w-]+) \}", RUN_FILE)
    assert len(anchors) == len(set(anchors))
    assert set(anchors) == {run_file_page.anchor(of) for of in specs(*roots) if of not in flattened and of not in roots}


def test_types_units_defaults_and_choices_are_those_of_the_code():
    (cell,) = (row for row in section(run_file_page.anchor(PhaseSpec)) if row.startswith("| `cell`"))
    assert "6 numbers" in cell and "Å and degrees" in cell and "**required**" in cell
    (geometry,) = (row for row in section(run_file_page.anchor(HistogramSpec)) if row.startswith("| `geometry`"))
    assert '`"bragg-brentano"`, `"debye-scherrer"`' in geometry
    name, key = next((n, k) for n, k in keys_of(HistogramSpec) if n == "cutoff")
    assert run_file_page.default(key, False) == f"`{key.default}`" and run_file_page.unit(name, key) == ""
    assert run_file_page.unit("shift_ppm", key) == "ppm"


def test_a_row_has_as_many_cells_as_its_head():
    cells = [len(re.split(r"(?<!\\)\|", line)) for line in RUN_FILE.splitlines() if line.startswith("| ")]
    assert set(cells) == {8}


def test_every_command_is_on_the_page_with_its_arguments(capsys):
    from jaxnmr.cli import main

    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z][a-z-]+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert len(listed) > 15
    for name in listed:
        assert re.search(rf"^## {name}\b", COMMANDS, re.MULTILINE), name
    refine = COMMANDS.partition("\n## refine\n")[2].partition("\n## ")[0]
    assert "`RUN.toml`" in refine and "`--resume`" in refine and "checkpoint.json" in refine
    assert "%(" not in COMMANDS


def test_notebooks_are_shown_with_their_pictures_and_without_colour_codes():
    for path in notebook_pages.FOLDER.glob("*.ipynb"):
        text, pictures = notebook_pages.page(path)
        assert text.startswith("# ") and "\x1b" not in text
        assert len(pictures) >= 3 and all(f"({name})" in text for name in pictures)
        assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_every_name_that_a_room_exports_is_on_its_page():
    import jaxnmr

    pages = room_pages.pages()
    for room in ("solve", "density", "plot", "nmr.echo"):
        text = pages[f"reference/rooms/{room}.md"]
        module = sys.modules.get(f"jaxnmr.{room}") or __import__(f"jaxnmr.{room}", fromlist=["x"])
        assert module.__all__ and jaxnmr
        assert [name for name in module.__all__ if not re.search(rf"jaxnmr\.(\w+\.)*{name}\b", text)] == []
