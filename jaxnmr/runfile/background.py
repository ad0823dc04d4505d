"""The key ``background = { ... }`` of a histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..diffraction import Background
from ..errors import ConventionError
from ..io import read_pattern
from .keys import Spec, either, key, parts, required
from .table import REQUIRED, Table


def _chosen(table: Table, name: str, default: Any = REQUIRED) -> Literal["auto"]:
    return table.text(name, default, choices=("auto",))


def _number_of_terms(table: Table, name: str, default: Any = REQUIRED) -> int:
    return table.integer(name, default, minimum=1)


def _number_of_knots(table: Table, name: str, default: Any = REQUIRED) -> int:
    return table.integer(name, default, minimum=2)


def _points(table: Table, name: str, default: Any = REQUIRED) -> tuple[Any, ...]:
    """Read angles, or pairs of angle and counts."""
    table.has(name)  # mark the key as read, whatever its value
    value = table.content[name]
    if not any(isinstance(item, list) for item in value):
        return table.numbers(name)
    if not all(isinstance(item, list) and len(item) == 2 for item in value):
        raise table.error("expected angles, [15, 30, 60], or pairs of angle and counts, [[15, 220], [30, 140]]", name)
    return tuple(table.inner(table.where, {name: pair}).numbers(name, count=2) for pair in value)


@dataclass(frozen=True, kw_only=True)
class BroadPeakSpec(Spec):
    """One of the ``peaks``."""

    position: float = required(Table.number, "22.0", "2θ in degrees", unit="degrees 2θ")
    fwhm: float = required(Table.positive, "6.0", "full width at half maximum in degrees", unit="degrees 2θ")
    height: float | None = key(Table.number, None, "150.0", "counts; estimated when left out", unit="counts")
    mixing: float = key(Table.number, 0.0, help="0: Gaussian, 1: Lorentzian")


@dataclass(frozen=True, kw_only=True)
class HumpSpec(Spec):
    """One of the ``humps``."""

    radius: float = required(Table.positive, "1.62", "distance of atoms in Å", unit="Å")
    u: float = key(Table.number, 0.05, help="mean squared deviation of the distance, Å²", unit="Å²")
    amplitude: float | None = key(Table.number, None, "80.0", "counts; estimated when left out", unit="counts")


@dataclass(frozen=True, kw_only=True)
class BackgroundSpec(Spec):
    """``background = { ... }``."""

    kind: str = key(Table.text, "chebyshev", choices=("chebyshev", "interpolate", "points"))
    terms: int | str = key(
        either(str, _chosen, _number_of_terms),
        6,
        help='or "auto": as many as the data ask for (BIC)',
        kinds=("chebyshev",),
    )
    knots: int | tuple[float, ...] = key(
        either(list, Table.numbers, _number_of_knots), 9, help="or [15, 30, 60, 130]", kinds=("interpolate",)
    )
    spacing: str = key(Table.text, "linear", choices=("linear", "log"), kinds=("interpolate",))
    points: int | tuple[Any, ...] = key(
        either(list, _points, _number_of_knots), 12, kinds=("points",),
        help="how many to pick from the data; or their angles, [15, 30, 60]; or with counts, [[15, 220], [30, 140]]",
    )  # fmt: skip
    fixed: bool = key(Table.flag, False, help="the counts at points are not refined", kinds=("points",))
    peaks: tuple[BroadPeakSpec, ...] = key(
        parts, (), "[{ position = 22.0, fwhm = 6.0 }]", of=BroadPeakSpec,
        help="broad peaks, refinable as xrd/background_peak_position, _height, _fwhm, _mixing",
    )  # fmt: skip
    humps: tuple[HumpSpec, ...] = key(
        parts, (), "[{ radius = 1.62 }]", of=HumpSpec,
        help="A sin(QR)/(QR) exp(-U Q²/2), refinable as xrd/background_debye_amplitude, _radius, _u",
    )  # fmt: skip
    file: Path | None = key(
        Table.path,
        None,
        '"empty_holder.xye"',
        "a measured background over the same range, refinable as xrd/background_scale",
    )
    format: str | None = key(Table.text, None, '"gsas"', "of that file, when the content does not tell")
    bank: int | None = key(Table.integer, None, "1", "in that file", minimum=1)
    scale: float = key(
        Table.positive, 1.0, help="of the measured background, to begin with: the ratio of counting times"
    )


def background_of(spec: Mapping[str, Any], wavelengths: tuple[float, ...] | None = None) -> Background:
    """Make the background that a table describes; read a measured one.

    Args:
        spec: keys of a `BackgroundSpec`.
        wavelengths: wavelengths of the histogram, if the run file gives them.

    Raises:
        ConventionError: there is a scale without a measured background.
    """
    if spec["kind"] == "chebyshev":
        found = Background.chebyshev(spec["terms"])
    elif spec["kind"] == "points":
        found = Background.points(spec["points"], fixed=spec["fixed"])
    else:
        found = Background.interpolate(spec["knots"], spacing=spec["spacing"])
    for peak in spec["peaks"]:
        found = found.with_peak(peak.position, peak.fwhm, peak.height, peak.mixing)
    for hump in spec["humps"]:
        found = found.with_hump(hump.radius, hump.u, hump.amplitude)
    if spec["file"] is None:
        if spec["scale"] != 1.0:
            raise ConventionError(
                "scale of the background is that of a measured one: name its file, or leave scale out"
            )
        return found
    pattern = read_pattern(spec["file"], format=spec["format"], bank=spec["bank"], wavelength=wavelengths)
    return found.with_measured(pattern, spec["scale"])
