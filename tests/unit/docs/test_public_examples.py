"""Every public name has an example on the site, and the examples of docstrings do what they show."""

import doctest
import importlib
import inspect
import io
import re

import matplotlib.pyplot as plt
import pytest
from site_snippets import DOCS, blocks

import jaxnmr

NAMES = [name for name in jaxnmr.__all__ if name != "__version__"]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
# examples that stand on a page, below the description
ON_PAGES = {"EnergyModel": "models"}


def described():
    """Public names and their methods with their docstrings."""
    for name in NAMES:
        thing = getattr(jaxnmr, name)
        yield name, thing.__doc__ or ""
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if not attribute.startswith("_") and ">>>" in (getattr(value, "__doc__", None) or ""):
                    yield f"{name}.{attribute}", value.__doc__


DOCSTRINGS = dict(described())
WITH_EXAMPLES = [name for name, text in DOCSTRINGS.items() if ">>>" in text] + [
    f"{page}.md" for page in PAGES if ">>>" in PAGES[page]
]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example(name):
    if name in ON_PAGES:
        assert ">>>" in PAGES[ON_PAGES[name]].partition(f"::: jaxnmr.{name}\n")[2].partition(":::")[0]
    else:
        assert ">>> " in DOCSTRINGS[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_described_on_one_page(name):
    pages = [page for page, text in PAGES.items() if re.search(rf"^::: jaxnmr\.{name}$", text, re.MULTILINE)]
    if inspect.ismodule(getattr(jaxnmr, name)):
        assert pages == [] and f"(rooms/{name}.md)" in PAGES["rest"]
    else:
        assert len(pages) == 1


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that the examples share, as the page defines them."""
    found = {"Path": importlib.import_module("pathlib").Path}
    (prelude,) = (block.text for block in blocks("reference/python.md") if block.language == "python")
    exec(compile(prelude, "python.md", "exec"), found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_does_what_it_shows(name, names, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = PAGES[name.removesuffix(".md")] if name.endswith(".md") else inspect.cleandoc(DOCSTRINGS[name])
    example = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    said = io.StringIO()
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    doctest.DocTestRunner(optionflags=flags, verbose=False).run(example, out=said.write)
    plt.close("all")
    assert said.getvalue() == ""
