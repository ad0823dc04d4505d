"""Curves of a page: patterns with reflections, spectra with sites, others; numbers as plotted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...objective.evidence import Evidence, Profile
from ...objective.statistics import Statistics
from ...plot.style import BACKGROUND, PHASES, isotope_text
from ..asked import Asked

if TYPE_CHECKING:
    from ...terms import PatternEvidence, SpectrumEvidence
    from ...terms.echo_evidence import EchoEvidence

# significant digits of abscissae, ordinates and uncertainties
_X, _Y, _SIGMA = 8, 6, 4


def page_curves(
    evidence: Mapping[str, Evidence], statistics: Mapping[str, Statistics], asked: Asked
) -> list[dict[str, Any]]:
    """Return every curve of a result as plain values; ``statistics`` may lack some of them."""
    files = {curve.name: curve.file for curve in asked.curves}
    out = []
    for name, shown in evidence.items():
        heading = ", ".join(filter(None, (name, files.get(name, ""))))
        agreement = statistics[name].brief() if name in statistics else ""
        if shown.kind in ("histogram", "spectrum", "curve"):
            out.append(_profile(cast(Profile, shown)) | {"heading": heading, "agreement": agreement})
        elif shown.kind == "echo":
            out += [
                of | {"heading": f"{heading}: {of['name']}", "agreement": agreement}
                for of in _echo(cast("EchoEvidence", shown))
            ]
    return out


def rounded(values: Any, digits: int = _Y) -> list[float | None]:
    """Round to this number of significant digits; ``None`` for values that are not finite."""
    array = np.asarray(values, dtype=float)
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in array.tolist()]


def _profile(shown: Profile) -> dict[str, Any]:
    label = f"{shown.axis.label} / {shown.axis.unit}" if shown.axis.unit else shown.axis.label
    of: dict[str, Any] = {
        "name": shown.name,
        "kind": shown.kind,
        "axis": label,
        "unit": shown.axis.unit,
        "left": shown.axis.to_the_left,
        "x": rounded(shown.axis.values, _X),
        "observed": rounded(shown.observed),
        "calculated": rounded(shown.calculated),
        "sigma": rounded(shown.sigma, _SIGMA),
        "baseline": rounded(shown.baseline) if np.any(shown.baseline) else None,
        "baseline_name": shown.baseline_name,
        "parts": [
            {"name": part, "y": rounded(values), "colour": PHASES[k % len(PHASES)]}
            for k, (part, values) in enumerate(shown.parts.items())
        ],
        "excluded": [list(region) for region in shown.excluded],
        "breaks": _breaks(shown),
        "phases": [],
    }
    if shown.kind == "histogram":
        of["ordinate"] = "intensity / counts"
        of["phases"] = _phases(cast("PatternEvidence", shown))
        of["parts"] += _background_parts(cast("PatternEvidence", shown))
    elif shown.kind == "spectrum":
        of["ordinate"], of["left"] = "intensity", True
        of["axis"] = f"δ({isotope_text(cast('SpectrumEvidence', shown).isotope)}) / ppm"
    return of


def _breaks(shown: Profile) -> list[int]:
    """Return indices of points before which the line is interrupted: after excluded regions."""
    x, regions = shown.axis.values, shown.regions
    gaps = [*shown.excluded, *((a[1], b[0]) for a, b in pairwise(regions) if b[0] > a[1])]
    places = (int(np.searchsorted(x, 0.5 * (low + high))) for low, high in gaps)
    return sorted({p for p in places if 0 < p < len(x)})


def _background_parts(shown: PatternEvidence) -> list[dict[str, Any]]:
    """Return the contributions added to the polynomial background, each alone; the page adds the polynomial itself."""
    others = -sum(shown.background_parts.values(), np.zeros_like(shown.background))
    return [
        {"name": name, "y": rounded(others + part), "colour": BACKGROUND}
        for name, part in shown.background_parts.items()
    ]


def _phases(shown: PatternEvidence) -> list[dict[str, Any]]:
    return [
        {
            "name": phase,
            "colour": PHASES[k % len(PHASES)],
            "x": rounded(r.two_theta, _X),
            "hkl": [" ".join(map(str, hkl)) for hkl in np.asarray(r.hkl, dtype=int).tolist()],
            "d": rounded(r.d, 6),
            "m": np.asarray(r.multiplicity, dtype=int).tolist(),
            "observed": rounded(r.f2_obs, 5),
            "calculated": rounded(r.f2_calc, 5),
        }
        for k, (phase, r) in enumerate(shown.reflections.items())
    ]


def _echo(shown: EchoEvidence) -> list[dict[str, Any]]:
    parts = []
    for part, name in (("real", "Re M"), ("imag", "Im M")):
        spread = getattr(shown.scatter, part)
        parts.append({
            "name": name, "kind": "curve", "axis": "time / µs", "unit": "µs", "left": False, "ordinate": name,
            "x": rounded(shown.time_us, _X), "observed": rounded(getattr(shown.observed, part)),
            "calculated": rounded(getattr(shown.calculated, part)), "sigma": rounded(np.maximum(spread, 1e-12), _SIGMA),
            "baseline": None, "baseline_name": "", "parts": [], "excluded": [], "breaks": [], "phases": [],
        })  # fmt: skip
    return parts
