"""Pages of the notebooks, from their stored outputs; nothing is run."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
MOST_LINES = 60


def _fenced(text: str, language: str) -> str:
    marks = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"{marks}{language}\n{text.rstrip()}\n{marks}\n"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _shown(text: str) -> str:
    """The text of an output, without colours, its middle left out where it is long."""
    lines = ESCAPES.sub("", text).splitlines()
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} more lines ...", *lines[-half:]]
    return "\n".join(lines)


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The page of a notebook in Markdown, and its pictures by file name."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    lines: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            lines.append(source + "\n")
            continue
        lines.append(_fenced(source, "python"))
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(_joined(data["image/png"]))
                lines.append(f"![picture {len(pictures)} of this notebook]({name})\n")
            elif text := _joined(output.get("text", "")) or _joined(data.get("text/plain", "")):
                lines.append(_fenced(_shown(text), "text"))
    # the first heading is the title of the page: link it to the file
    lines.insert(1, f"*This page shows the stored outputs of `notebooks/{path.name}`; open that file to run it.*\n")
    return "\n".join(lines), pictures
