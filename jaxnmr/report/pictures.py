"""Figures of a refinement and their places in a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..plot import convergence, correlations, curve, echo_fit, energy, information, pattern, spectrum
from .asked import Asked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..refinement.result import RefinementResult

DATA, INFORMATION, CORRELATIONS, COURSE = "data", "information", "correlations", "course"
# plotting functions by kind of evidence
_DRAWN: dict[str, tuple[Callable[..., Figure], str]] = {
    "histogram": (pattern, "pattern"),
    "spectrum": (spectrum, "spectrum"),
    "curve": (curve, "curve"),
    "energy": (energy, "energy"),
    "echo": (echo_fit, "echo"),
}


@dataclass(frozen=True)
class Picture:
    """A figure on disk.

    Attributes:
        section: section of the report that shows it.
        caption: its caption.
        files: one per format, the one that reports embed first.
    """

    section: str
    caption: str
    files: tuple[Path, ...]

    def markdown(self) -> str:
        """Return the line that embeds it in a report; empty if no browser could show it."""
        shown = [file.name for file in self.files if file.suffix == ".png"]
        return f"![{self.caption}]({shown[0]})" if shown else ""

    def named(self) -> dict[str, Path]:
        """Return its files by description."""
        first, *others = self.files
        return {self.caption: first, **{f"{self.caption} ({file.suffix[1:]})": file for file in others}}


def write_pictures(fit: RefinementResult, folder: Path, asked: Asked) -> list[Picture]:
    """Write the figures in the requested formats."""
    return [
        Picture(section, caption, saved(figure, folder, stem, asked.pictures))
        for section, caption, stem, figure in _figures(fit, asked)
    ]


def _figures(fit: RefinementResult, asked: Asked) -> Iterator[tuple[str, str, str, Figure]]:
    """Iterate over section, caption, stem of the file name, and figure."""
    choices = asked.choices()
    for name, shown in fit.evidence.items():
        if shown.kind in _DRAWN:
            draw, stem = _DRAWN[shown.kind]
            # the figure of a single pattern or energy needs no name
            alone = shown.kind in ("histogram", "energy") and len(fit.of_kind(shown.kind)) == 1
            stem = stem if alone else f"{stem}_{file_name(name)}"
            yield DATA, f"picture of {name}", stem, draw(fit, name, **choices.get(name, {}))
    if len(fit.information.terms) > 1 and fit.information.names:
        yield INFORMATION, "picture of what fixes what", "information", information(fit)
    yield CORRELATIONS, "picture of correlations", "correlations", correlations(fit)
    yield COURSE, "picture of convergence", "convergence", convergence(fit)


def file_name(name: str) -> str:
    """Make a term name safe for file names."""
    return "".join(ch if ch.isalnum() or ch in "-_." else "_" for ch in name)


def saved(figure: Figure, folder: Path, stem: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Save a figure in each format, close it, and return the files."""
    import matplotlib.pyplot as plt

    paths = tuple(folder / f"{stem}.{suffix}" for suffix in formats)
    if (engine := figure.get_layout_engine()) is not None:
        # compute the layout once: matplotlib otherwise draws invisibly for every file to do so
        engine.execute(figure)
        figure.set_layout_engine("none")
    for path in paths:
        figure.savefig(path)
    plt.close(figure)
    return paths
