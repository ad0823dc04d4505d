"""Extension of griffe: docstrings as the package writes them, for a parser of Google style and Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:func|meth|class|mod|attr|data):`~?\.?([^`]+)`")
EXAMPLE = re.compile(r"^(\s*)Example:\s*$", re.MULTILINE)
# a sentence at the end of a list of attributes
OTHERS = re.compile(r"^ +(The others? .*)$", re.MULTILINE)
LITERAL = re.compile(r"::\s*$", re.MULTILINE)


def in_markdown(text: str) -> str:
    """A docstring without the marks of reStructuredText: roles, and ``::`` before a block."""
    text = ROLE.sub(r"`\1`", text)
    text = EXAMPLE.sub(r"\1Examples:", text)
    text = OTHERS.sub(r"\n\1", text)
    return LITERAL.sub(":", text)


class Docstrings(Extension):
    """Rewrites the docstring of every object before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one."""
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)
