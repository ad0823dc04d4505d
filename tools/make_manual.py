"""Writes the TOML blocks of ``jaxnmr/runfile/manual.md`` from the Specs of run files: ``python tools/make_manual.py``.

The prose is written in the manual itself; blocks under other headings than those below are left alone.
"""

import json
import re
import textwrap
import tomllib
from pathlib import Path

from jaxnmr.runfile.average import AverageRun
from jaxnmr.runfile.echo import EchoRun
from jaxnmr.runfile.keys import Key, Spec, keys_of
from jaxnmr.runfile.run import Run
from jaxnmr.runfile.training import TrainingRun

MANUAL = Path(__file__).parents[1] / "jaxnmr" / "runfile" / "manual.md"
COLUMN, WIDTH = 41, 125
HEADER = re.compile(r"\[\[?[a-z]\S*\]")
# by heading: the Spec, and which of its keys the block is about
SECTIONS: dict[str, tuple[type[Spec], str]] = {
    "Refinements": (
        Run,
        "title phase histogram quantification spectrum start bounds tie constraint restraint stage solver output",
    ),
    "Models, peaks and tensors": (Run, "model peaks tensors"),
    "Couplings": (Run, "couplings"),
    "Energies": (Run, "energy"),
    "Echo curves": (Run, "echo"),
    "Trainings": (TrainingRun, "title data checks split network training references"),
    "Thermal averages": (
        AverageRun,
        "title models temperature back repeats trajectory crystal energy dynamics references order spectrum",
    ),
    "Spin echoes": (EchoRun, "title preset ensemble sequence parameters family simulate train infer"),
}


def beside(code: str, comment: str) -> list[str]:
    """TOML with a comment beside it, in as many lines as that needs."""
    lines = textwrap.wrap(comment, WIDTH - COLUMN - 2, break_long_words=False, break_on_hyphens=False)
    below = [f"#{'':<{COLUMN - 1}}# {line}" for line in lines]
    if lines and len(first := f"{code:<{COLUMN - 2}}  # {lines[0]}") <= WIDTH:
        return [first, *below[1:]]
    return [code, *below]


def comment(key: Key, value: object) -> str:
    """With which kinds of the table a key goes, what else it may be, and its help."""
    others = [json.dumps(choice) for choice in key.options.get("choices", ()) if choice != value and [choice] != value]
    known = "; ".join(filter(None, (f"or {', '.join(others)}" if others else "", key.help)))
    return ": ".join(filter(None, (f"of {', '.join(key.kinds)}" if key.kinds else "", known)))


def block(*specs: type[Spec], off: str = "", only: str = "") -> list[str]:
    """The keys of a table, with ``off`` before them when they are not part of the example, and the tables inside it."""
    lines: list[str] = []
    tables: list[str] = []
    kind = None
    for field, key in (pair for spec in specs for pair in keys_of(spec)):
        name, inner = key.name or field, key.options.get("of", ())
        inner = inner if isinstance(inner, tuple) else (inner,)
        if only and name not in only.split():
            continue
        example = key.example if inner or key.example is not None else json.dumps(key.default)
        if example is None:
            # its keys stand in this table
            lines += block(*inner, off=off if key.shown else "# ")
        elif HEADER.match(example):
            mark = off if key.shown else "# "
            head, *rest = example.splitlines()
            tables += ["" for _ in only[:1]] + beside(mark + head, key.help) + [mark + line for line in rest]
            tables += block(*inner, off=off)
        else:
            value = tomllib.loads(f"x = {example}")["x"]
            kind = value if name == "kind" else kind
            mark = off if key.shown and (not key.kinds or kind in key.kinds) else off or "# "
            lines += beside(f"{mark}{name} = {example}", comment(key, value))
            lines += block(*inner, off=off + "  " if off.startswith("#  ") else "#   ")
    return lines + tables


def manual(text: str) -> str:
    """A manual with the blocks of the Specs."""
    for heading, (spec, only) in SECTIONS.items():
        start = text.index("```toml\n", text.index(f"## {heading}\n")) + len("```toml\n")
        toml = "\n".join(block(spec, only=only)).strip()
        text = f"{text[:start]}{toml}\n{text[text.index('```', start) :]}"
    return text


if __name__ == "__main__":
    MANUAL.write_text(manual(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")
