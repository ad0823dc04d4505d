"""The run files that the manual shows, by the heading they stand under."""

import re
from importlib import resources


def documented(heading: str) -> str:
    """The TOML text of one section of the manual."""
    text = (resources.files("jaxnmr") / "runfile" / "manual.md").read_text(encoding="utf-8")
    return re.search(rf"^## {heading}\n.*?^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
