"""Settings of a report taken from the run file: title and choices for figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._record import telling_name

Zoom = tuple[float, float] | str | None


@dataclass(frozen=True)
class AskedCurve:
    """One pattern or spectrum.

    Attributes:
        name: name of the term.
        file: name of the data file without its folders; empty without a file.
        zoom, scale: settings of its figure.
    """

    name: str
    file: str = ""
    zoom: Zoom = None
    scale: Literal["linear", "sqrt"] = "linear"

    @classmethod
    def create(cls, spec: Any) -> AskedCurve:
        """Make it from a table of a run file."""
        file: Path | None = spec.file
        name = "" if file is None else telling_name(file)
        return cls(spec.name, name, spec.zoom, getattr(spec, "scale", "linear"))


@dataclass(frozen=True)
class Asked:
    """Settings that reports read from a run file, or their defaults without one.

    Attributes:
        pictures: formats of figures.
        histograms, spectra: measured curves.
    """

    pictures: tuple[str, ...] = ("png",)
    histograms: tuple[AskedCurve, ...] = ()
    spectra: tuple[AskedCurve, ...] = ()

    @classmethod
    def of(cls, run: Any = None) -> Asked:
        """Read a :class:`~jaxnmr.runfile.Run`, or use the defaults."""
        curves = lambda kind: tuple(map(AskedCurve.create, getattr(run, kind, ())))
        return cls(tuple(getattr(run, "pictures", ("png",))), curves("histograms"), curves("spectra"))

    @property
    def curves(self) -> Iterator[AskedCurve]:
        """Patterns, then spectra."""
        yield from (*self.histograms, *self.spectra)

    def choices(self) -> dict[str, dict[str, Any]]:
        """Return arguments of the figures of patterns and spectra, by name."""
        of_patterns = {h.name: {"zoom": h.zoom, "scale": h.scale} for h in self.histograms}
        return of_patterns | {s.name: {"zoom": s.zoom} for s in self.spectra}
