"""Hooks of MkDocs: pages that are generated from the code, the manual, the notebooks and the files beside ``docs``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# MkDocs loads this file by its path
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import command_line_page  # noqa: E402
import notebook_pages  # noqa: E402
import room_pages  # noqa: E402
import run_file_page  # noqa: E402

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")


def _read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def generated() -> dict[str, str | bytes]:
    """Content of every generated file by its place below ``docs``."""
    pages: dict[str, str | bytes] = {
        "reference/run_file.md": run_file_page.page(),
        "reference/manual.md": _read("jaxnmr", "runfile", "manual.md"),
        "reference/command_line.md": command_line_page.page(),
        "background/contributing.md": _read("CONTRIBUTING.md"),
        "background/changes.md": _read("CHANGELOG.md"),
        **room_pages.pages(),
    }
    for path in sorted(notebook_pages.FOLDER.glob("*.ipynb")):
        text, pictures = notebook_pages.page(path)
        pages[f"notebooks/{path.stem}.md"] = text
        pages |= {f"notebooks/{name}": picture for name, picture in pictures.items()}
    return pages


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated files."""
    for place, content in generated().items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name files of the repository that are no pages, where the text links to them."""

    def plain(link: re.Match[str]) -> str:
        words, target = link[1], link[2]
        outside = (Path(config.docs_dir) / page.file.src_uri).parent / target
        if "://" in target or (target.endswith(".md") and not target.startswith("..")):
            return link[0]
        inside = outside.resolve()
        return link[0] if inside.is_relative_to(config.docs_dir) else f"{words} (`{inside.relative_to(ROOT)}`)"

    return LINK.sub(plain, markdown)
