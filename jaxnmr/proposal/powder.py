"""Run-file section for powder patterns of known phases, derived from the data (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..crystal import Crystal
from ..diffraction import Pattern
from ..units import format_esd
from .alignment import Alignment, align
from .instrument import Chosen
from .survey import Survey
from .text import beside, comment, table

# Å: resolution limits of a first refinement and of the alignment of cells
_FINEST, _ALIGNED = 0.75, 1.4
# margin below the first line: this many widths, and this fraction of its angle
_MARGIN, _PART = 12.0, 0.03
# weight fraction above which the atoms of a phase are refined
_MINOR = 0.15
# Å²: typical displacements at room temperature
_U, _U_SIGMA = 0.012, 0.01
# steps of every stage but the last
_STEPS = 10
# correlation of lines and peaks below which a structure is probably wrong, and stages needed to show it
APART, TELL = 0.5, 2


@dataclass(frozen=True)
class Powder:
    """A pattern with everything derived from it.

    Attributes:
        name: name of the histogram.
        file: data file.
        pattern, chosen, survey: the pattern, its instrument, and its survey.
        phases: structures by name.
        alignment: positions of their lines.
        limits: refined range, degrees.
        excluded: excluded regions.
    """

    name: str
    file: Path
    pattern: Pattern
    chosen: Chosen
    survey: Survey
    phases: Mapping[str, Crystal]
    alignment: Alignment
    limits: tuple[float, float]
    excluded: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        file: Path,
        pattern: Pattern,
        chosen: Chosen,
        phases: Mapping[str, Crystal],
        *,
        limits: tuple[float, float] | None = None,
        excluded: Sequence[tuple[float, float]] = (),
    ) -> Powder:
        """Survey a pattern and align the lines of the phases with it."""
        pattern = pattern.limited(*limits) if limits else pattern
        pattern = pattern.excluding(*excluded) if excluded else pattern
        device = chosen.instrument.require_wavelength()
        survey = Survey.of(pattern, device)
        low, high = float(survey.x[0]), _reach(device.wavelengths[0], _FINEST, float(survey.x[-1]))
        alignment = align(survey, phases, device, max(low, 1.0), _reach(device.wavelengths[0], _ALIGNED, high))
        if limits is None:
            first = min([alignment.first, *survey.peaks[:1]])
            low = max(low, first - max(_MARGIN * survey.fwhm, _PART * first))
            low = float(survey.x[np.searchsorted(survey.x, low)])
        else:
            low, high = limits
        return cls(name, file, pattern, chosen, survey, phases, alignment, (low, high), tuple(excluded))

    @property
    def shift(self) -> tuple[str, float]:
        """Parameter that shifts all lines, and its starting value."""
        device = self.chosen.instrument
        if device.geometry == "debye-scherrer":
            return "zero", device.zero + self.alignment.shift
        return "displacement", -np.pi * device.radius_mm / 0.36 * self.alignment.shift

    @property
    def apart(self) -> bool:
        """Whether the lines of the structures miss the peaks."""
        return self.alignment.match < APART

    def major(self) -> list[str]:
        """List the phases abundant enough to refine their atoms."""
        found = [name for name, share in self.alignment.shares.items() if share >= _MINOR]
        return found or list(self.phases)[:1]

    def widths(self) -> tuple[bool, dict[str, float], dict[str, float], str]:
        """Return whether instrument widths are refined, their keys, starting values of parameters, and the reason."""
        low, high = self.limits
        if self.chosen.generic:
            return True, self.survey.generic_widths(low, high), {"size": 100.0, "strain": 0.0}, ""
        starts, misfit = self.survey.broadening(self.chosen.instrument, low, high)
        if self.survey.calibrated(misfit):
            return False, {}, dict(starts), ""
        return (
            True,
            self.survey.generic_widths(low, high),
            {"size": 100.0, "strain": 0.0},
            (
                f"The widths in {self.chosen.file.name if self.chosen.file else 'the file'} do not give those of the peaks, whatever size and "
                f"strain are (they are off by {100 * misfit:.0f} %): U, V, W, X, Y start from the peaks and are refined."
            ),
        )


def _reach(wavelength: float, d: float, end: float) -> float:
    """Return the angle of a d spacing, or the end of the data."""
    sine = wavelength / (2.0 * d)
    return min(end, 2.0 * float(np.degrees(np.arcsin(sine)))) if sine < 1.0 else end


def phase_lines(phases: Mapping[str, tuple[Path, str | None]], run: Path) -> list[str]:
    """Write the tables of the phases: files, and the number of the structure in them."""
    lines: list[str] = []
    for name, (file, entry) in phases.items():
        lines += [
            "",
            *table("[[phase]]", {"name": name, "file": beside(file, run)} | ({"entry": entry} if entry else {})),
        ]
    return lines


def histogram_lines(powder: Powder, run: Path) -> list[str]:
    """Write the table of a pattern."""
    chosen, survey = powder.chosen, powder.survey
    low, high = powder.limits
    fitted, keys, _, why = powder.widths()
    entries: dict[str, Any] = {"name": powder.name, "file": beside(powder.file, run)}
    notes: dict[str, str] = {"name": f'its parameters are called "{powder.name}/..."'}
    if chosen.file:
        entries["instrument"] = beside(chosen.file, run)
    entries |= chosen.keys
    if fitted:
        entries |= {name: round(of, 4) for name, of in keys.items()}
        notes["U"] = "Gaussian variance U tan² + V tan + W, in (0.01 degrees)²"
        notes["X"] = "Lorentzian width X/cos + Y tan, in 0.01 degrees"
    entries["shl"] = round(_axial(powder), 4)
    notes["shl"] = "axial divergence (S + H)/L, the asymmetry of peaks at low angles"
    entries["limits"] = [round(low, 4), round(high, 4)]
    notes["limits"] = (
        "degrees 2theta; nothing lies before the first line" if low > survey.x[0] + 0.5 else "degrees 2theta"
    )
    if powder.excluded:
        entries["excluded"] = [list(region) for region in powder.excluded]
    terms = survey.background_terms(low, high)
    entries["background"] = {"kind": "chebyshev", "terms": terms}
    notes["background"] = "more terms where it is too stiff"
    said = [s[0].upper() + s[1:] for s in (*chosen.said, why) if s]
    return ["", *comment(*said, *powder.pattern.notes, *survey.notes), *table("[[histogram]]", entries, notes)]


def _axial(powder: Powder) -> float:
    learnt, own = powder.survey.shape.shl, powder.chosen.instrument.shl
    return learnt if learnt > 0.0 else own


def start_lines(powders: Sequence[Powder]) -> list[str]:
    """Write starting values of cells, shifts and widths that match the peaks."""
    entries: dict[str, Any] = {}
    notes: dict[str, str] = {}
    several = len(powders[0].phases) > 1
    for phase, cell in powders[0].alignment.cells.items():
        name = f"{phase}/cell" if several else "cell"
        entries[name] = [round(float(v), 5) for v in cell]
        old = np.asarray(powders[0].phases[phase].cell, dtype=float)
        change = 100.0 * np.abs(cell / old - 1.0).max()
        notes[name] = f"moved by up to {change:.2g} % from that of the file, onto the peaks"
    for powder in powders:
        shift, start = powder.shift
        entries[f"{powder.name}/{shift}"] = round(start, 5 if shift == "zero" else 2)
        notes[f"{powder.name}/{shift}"] = "degrees" if shift == "zero" else "µm, of the specimen from the axis"
        _, _, starts, _ = powder.widths()
        count = len(powder.phases)
        for name, of in starts.items():
            entries[f"{powder.name}/{name}"] = [round(of, 4)] * count if count > 1 else round(of, 4)
        fixed = starts.get("strain") == 0.0
        notes[f"{powder.name}/size"] = (
            "µm; so large that it does nothing: X and Y stand for it" if fixed else "µm, crystallites"
        )
        notes[f"{powder.name}/strain"] = "10⁻⁶; as above" if fixed else "10⁻⁶"
    return ["", *comment("Where parameters start; all others start from the files."), *table("[start]", entries, notes)]


def stages(powders: Sequence[Powder]) -> list[tuple[str, list[str], str]]:
    """List names of stages, the parameters each frees, and their purpose in words."""
    several = len(powders[0].phases) > 1
    here = lambda *names: [f"{powder.name}/{name}" for powder in powders for name in names]
    prefix = [f"{name}/" for name in powders[0].major()] if several else [""]
    phases = powders[0].phases
    shifts = [f"{powder.name}/{powder.shift[0]}" for powder in powders]
    found = [
        ("scale and background", here("scale", "background"), "how much of each phase there is, and what lies below the peaks"),
        (
            "cell and shift",
            ["*/cell" if several else "cell", *shifts],
            "where the peaks are; displacement is the height of the specimen, zero the error of all angles",
        ),
    ]  # fmt: skip
    wide = [f"{p.name}/{name}" for p in powders if p.widths()[0] for name in ("U", "V", "W", "X", "Y")]
    broad = [f"{p.name}/{name}" for p in powders if not p.widths()[0] for name in ("size", "strain")]
    found.append(
        ("widths", wide + broad, "how wide the peaks are"
         + (": U, V, W, X, Y of the instrument, which no file tells; crystallite size and strain are part of them" if wide else "")
         + (": crystallite size and strain, with the instrument as its file says" if broad else ""))
    )  # fmt: skip
    found.append(
        ("axial divergence", here("shl"), "the asymmetry of peaks at low angles; leave it out where the instrument is calibrated")
    )  # fmt: skip
    moving, held = [], []
    for start, name in zip(prefix, powders[0].major() if several else list(phases), strict=True):
        crystal = phases[name]
        if any(site.xyz_basis().shape[1] for site in crystal.sites()):
            moving.append(f"{start}xyz")
        if not all(crystal.anisotropic):
            held.append(f"{start}u_iso")
        if any(crystal.anisotropic):
            held.append(f"{start}u_aniso")
    if moving:
        found.append(("atoms", moving, "coordinates that symmetry leaves free"))
    found.append(("displacements", held, "how much the atoms move: U in Å²"))
    return found


def stage_lines(found: Sequence[tuple[str, Sequence[str], str]], most: int | None = None) -> list[str]:
    """Write the tables of the stages, each with its purpose.

    Args:
        found: names, freed parameters and purposes.
        most: number of active stages; later ones are commented out.
    """
    lines: list[str] = [
        "",
        *comment(
            "Stages: each frees more, and keeps what is free already. Take a stage out by putting # before its lines; "
            'add names to free = [...] to refine more ("xyz[O*]" are the coordinates of all oxygens).'
        ),
    ]
    last = len(found) if most is None else most
    for k, (name, free, does) in enumerate(found, 1):
        if k == last + 1:
            lines += [
                "",
                *comment(
                    "The lines of the structures do not lie on the peaks: take the # away from the rest once they do."
                ),
            ]
        entries: dict[str, Any] = {"name": name, "free": list(free)}
        # only the last stage must converge tightly
        if k != len(found):
            entries["max_steps"] = _STEPS
        written = table("[[stage]]", entries)
        lines += ["", *comment(f"{k}. {does}"), *(written if k <= last else [f"# {line}" for line in written])]
    return lines


def prior_lines(powders: Sequence[Powder]) -> list[str]:
    """Write wide priors on displacements, which weak patterns do not determine."""
    phases = powders[0].phases
    several, known = len(phases) > 1, [name for name in powders[0].major() if not all(phases[name].anisotropic)]
    if not known:
        return []
    lines = ["", *comment(
        f"What is known of displacements beforehand, {format_esd(_U, _U_SIGMA)} Å², keeps those reasonable that the pattern hardly tells; "
        "without these lines only the pattern counts."
    )]  # fmt: skip
    for name in known:
        parameter = f"{name}/u_iso" if several else "u_iso"
        lines += table("[[restraint]]", {"kind": "prior", "parameter": parameter, "value": _U, "sigma": _U_SIGMA})
    return lines
