"""Tables as files: one LaTeX document for ``\\input``, and comma-separated values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from ..._files import write_atomically
from .tables import PaperTable, Symmetry

_SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
            "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$", "Å": r"\AA{}", "°": r"$^\circ$", "×": r"$\times$",
            "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "θ": r"$\theta$", "λ": r"$\lambda$", "ν": r"$\nu$", "ρ": r"$\rho$",
            "δ": r"$\delta$", "µ": r"$\mu$", "χ": r"$\chi$"}  # fmt: skip
_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "₀₁₂₃₄₅₆₇₈₉"
_PLAIN = str.maketrans(_RAISED + _LOWERED, "0123456789+-0123456789")
_NUMBER = re.compile(r"[-−]?\d[\d.]*(\(\d+\))?(e-?\d+)?$")
_LONG = 40


def write_latex(tables: Sequence[PaperTable], path: Path) -> Path:
    """Write tables for the package ``booktabs``, and those longer than a page for ``longtable``."""
    head = "% Written by jaxnmr. In the preamble: \\usepackage{booktabs,longtable}; where the tables stand: \\input{tables}\n\n"
    return write_atomically(path, head + "\n".join(_table(table) for table in tables))


def write_csv(table: PaperTable, path: Path) -> Path:
    """Write a table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    return write_atomically(path, text.getvalue())


def latex(text: str) -> str:
    """Format a cell or a caption in LaTeX."""
    if isinstance(text, Symmetry):
        return _symbol(text)
    if _NUMBER.match(text):
        # a minus sign, not a hyphen
        return f"${text}$" if text[0] in "-−" else text
    text = re.sub("R_(Bragg|F)", "R<\\1>", text)
    out = "".join(_SPECIAL.get(ch, ch) for ch in text)
    out = re.sub(f"[{_RAISED}]+", lambda m: f"$^{{{m[0].translate(_PLAIN)}}}$", out)
    out = re.sub(rf"[{_LOWERED}]+(?:\.[{_LOWERED}]+)?", lambda m: f"$_{{{m[0].translate(_PLAIN)}}}$", out)
    return re.sub(r"R<(\w+)>", r"$R_\\mathrm{\1}$", out)


def _symbol(text: str) -> str:
    """Format a Hermann-Mauguin symbol: ``P 63/m`` with subscript 3, ``R -3 m`` with a bar; a setting is appended."""
    symbol, _, choice = text.partition(":")
    letter, *axes = symbol.split()
    parts = []
    for axis in axes:
        axis = re.sub(r"^-(\d)", r"\\bar{\1}", axis)
        parts.append(re.sub(r"^(\d)(\d)", r"\1_{\2}", axis))
    joined = r"\,".join([letter, *parts])
    return f"${joined}$" + (f" (:{choice})" if choice else "")


def _table(table: PaperTable) -> str:
    columns = "l" * len(table.header)
    row = lambda cells: " & ".join(map(latex, cells)) + r" \\"
    caption, label = latex(table.caption), f"\\label{{tab:{table.key}}}"
    body = ["\\toprule", row(table.header), "\\midrule", *map(row, table.rows), "\\bottomrule"]
    if len(table.rows) > _LONG:
        body.insert(3, "\\endhead")
        return "\n".join(
            [f"\\begin{{longtable}}{{{columns}}}", f"\\caption{{{caption}}}{label}\\\\", *body, "\\end{longtable}", ""]
        )
    start = ["\\begin{table}", "\\centering", f"\\caption{{{caption}}}", label, f"\\begin{{tabular}}{{{columns}}}"]
    return "\n".join([*start, *body, "\\end{tabular}", "\\end{table}", ""])
