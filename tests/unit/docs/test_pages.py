"""Pages of the site: links that lead somewhere, and messages that the program has."""

import re
from pathlib import Path

import pytest
from site_snippets import DOCS, ROOT

PAGES = sorted(DOCS.rglob("*.md"))
GENERATED = re.compile(
    r"^(notebooks/\d\d_\w+|reference/(run_file|manual|command_line)|reference/rooms/[\w.]+|background/(contributing|changes))\.md$"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as Markdown makes them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w\s-]", "", head.lower(), flags=re.ASCII).strip() for head in heads]
    return {re.sub(r"[-\s]+", "-", slug) for slug in slugs}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links_lead_to_pages_and_headings_that_exist(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lost = []
    for target in LINK.findall(text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if GENERATED.match(str(path.relative_to(DOCS))):
            continue
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            lost.append(target)
    assert lost == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"([\w/.]+\.md)", navigation)
    assert len(listed) == len(set(listed))
    written = {str(path.relative_to(DOCS)) for path in PAGES}
    assert written - set(listed) == set()
    assert [name for name in listed if name not in written and not GENERATED.match(name)] == []


def test_the_site_loads_nothing_from_other_hosts():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings and "://" not in settings


def test_messages_on_the_page_about_failures_are_those_of_the_program():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "jaxnmr").rglob("*.py"))
    # texts that continue in the next line of the code
    sources = re.sub(r"\"\s*\n\s*f?\"", "", sources)
    rows = re.findall(r"^\| (\"[^|]+) \|", (DOCS / "howto" / "failures.md").read_text(encoding="utf-8"), re.MULTILINE)
    quoted = [part for row in rows for text in re.findall(r"\"([^\"]+)\"", row) for part in re.split(r"\s*…\s*", text)]
    assert len(quoted) > 20
    assert [text for text in quoted if text and text not in sources] == []
