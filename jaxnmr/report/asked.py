"""What a run file asks of a report: its title, and choices of pictures."""

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
        name: of the term.
        file: what was measured, without the folders above it; empty where there is no file.
        zoom, scale: of its picture.
    """

    name: str
    file: str = ""
    zoom: Zoom = None
    scale: Literal["linear", "sqrt"] = "linear"

    @classmethod
    def create(cls, spec: Any) -> AskedCurve:
        """From a table of a run file."""
        file: Path | None = spec.file
        name = "" if file is None else telling_name(file)
        return cls(spec.name, name, spec.zoom, getattr(spec, "scale", "linear"))


@dataclass(frozen=True)
class Asked:
    """What reports read of a run file, or what holds without one.

    Attributes:
        pictures: their formats.
        histograms, spectra: what was measured.
    """

    pictures: tuple[str, ...] = ("png",)
    histograms: tuple[AskedCurve, ...] = ()
    spectra: tuple[AskedCurve, ...] = ()

    @classmethod
    def of(cls, run: Any = None) -> Asked:
        """Of a :class:`~jaxnmr.runfile.Run`, or of nothing."""
        curves = lambda kind: tuple(map(AskedCurve.create, getattr(run, kind, ())))
        return cls(tuple(getattr(run, "pictures", ("png",))), curves("histograms"), curves("spectra"))

    @property
    def curves(self) -> Iterator[AskedCurve]:
        """Patterns, and spectra."""
        yield from (*self.histograms, *self.spectra)

    def choices(self) -> dict[str, dict[str, Any]]:
        """Arguments of the pictures of patterns and spectra, by name."""
        of_patterns = {h.name: {"zoom": h.zoom, "scale": h.scale} for h in self.histograms}
        return of_patterns | {s.name: {"zoom": s.zoom} for s in self.spectra}
