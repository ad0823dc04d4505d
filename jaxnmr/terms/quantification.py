"""Quantification: weight fractions of phases, amorphous part and elements, with microabsorption (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._arguments import checked
from ..crystal import Crystal, element_of
from ..diffraction import Instrument
from ..diffraction.absorption import brindley, cross_sections
from ..errors import ConventionError
from ..objective.evidence import Derived, Table
from ..units import MOLAR_ATOMIC_DENSITY

# upper limits of mu D for fine, medium and coarse grains: Brindley, Phil. Mag. 36, 347 (1945)
CLASSES = ((0.01, "fine"), (0.1, "medium"), (1.0, "coarse"), (np.inf, "very coarse"))
# iterations until the mean absorption is consistent with the corrected mixture
_ROUNDS = 40
# size of complex steps
_STEP = 1e-30
AMORPHOUS = "amorphous"


@checked
@dataclass(frozen=True)
class Particles:
    """Grains of a phase, for the microabsorption correction.

    Attributes:
        diameter_um: diameter of the grains in µm, not of the crystallites.
        mu: linear absorption coefficient in 1/cm.
        mass_attenuation: mass attenuation coefficient in cm²/g, as an alternative to ``mu``. Without either, the
            photoelectric absorption of the atoms is calculated from f''.

    Example:
        >>> grains = {"corundum": jn.Particles(diameter_um=1.0), "quartz": jn.Particles(diameter_um=5.0)}
        >>> jn.Quantification("corundum", 0.2, particles=grains).standard
        'corundum'
    """

    diameter_um: float
    mu: float | None = None
    mass_attenuation: float | None = None

    def __post_init__(self) -> None:
        if not self.diameter_um > 0:
            raise ConventionError(f"diameter_um of particles is {self.diameter_um:g}; expected a positive length in µm")
        for name, value in (("mu", self.mu), ("mass_attenuation", self.mass_attenuation)):
            if value is not None and not value >= 0:
                raise ConventionError(f"{name} of particles is {value:g}; absorption cannot be negative")
        if self.mu is not None and self.mass_attenuation is not None:
            raise ConventionError("give mu (1/cm) or mass_attenuation (cm²/g) of particles, not both")


@checked
@dataclass(frozen=True)
class Quantification:
    """Information on a mixture other than its pattern.

    Attributes:
        standard: phase added as an internal standard; empty for none.
        weight_fraction: weight fraction of the standard in the specimen, between 0 and 1.
        particles: grains of every phase by name, for the microabsorption correction; empty for none.

    Example:
        >>> jn.Quantification("corundum", weight_fraction=0.2).weight_fraction
        0.2
    """

    standard: str = ""
    weight_fraction: float | None = None
    particles: Mapping[str, Particles] | Sequence[tuple[str, Particles]] = ()

    def __post_init__(self) -> None:
        fraction = self.weight_fraction
        if (fraction is None) == bool(self.standard):
            raise ConventionError("a standard and its weight_fraction belong together: give both, or neither")
        if fraction is not None and not 0.0 < fraction < 1.0:
            hint = f"; {fraction:g} % is {fraction / 100.0:g}" if 1.0 <= fraction < 100.0 else ""
            raise ConventionError(
                f"weight_fraction of the standard {self.standard!r} is {fraction:g}; expected a fraction between 0 and 1{hint}"
            )
        object.__setattr__(self, "particles", tuple(dict(self.particles).items()))

    def require(self, phases: Sequence[str], extracted: Sequence[str], instrument: Instrument) -> None:
        """Refuse information that does not match the phases of a pattern.

        Args:
            phases: names of the phases; ``extracted`` those without structure factors.
            instrument: instrument of the pattern.

        Raises:
            ConventionError: with the missing items.
        """
        if self.standard and self.standard not in phases:
            raise ConventionError(f"the standard {self.standard!r} is none of the phases {list(phases)}")
        if self.standard and len(phases) < 2:
            raise ConventionError(
                f"the standard {self.standard!r} is the only phase: there is nothing to compare with it"
            )
        if self.standard in extracted:
            raise ConventionError(
                f"the intensities of the standard {self.standard!r} are extracted (Le Bail), so that its scale says nothing of its amount: "
                "calculate them from its structure"
            )
        if not self.particles:
            return
        given = dict(self.particles)
        if set(given) != set(phases):
            unknown, missing = sorted(set(given) - set(phases)), sorted(set(phases) - set(given))
            what = f"names {unknown}, but the phases are {list(phases)}" if unknown else f"lacks {missing}"
            raise ConventionError(f"particles {what}: microabsorption needs those of every phase")
        open_ = [name for name, of in given.items() if of.mu is None and of.mass_attenuation is None]
        if open_ and instrument.radiation != "xray":
            raise ConventionError(
                f"absorption of neutrons is not tabulated here: give mu (1/cm) for the particles of {', '.join(open_)}"
            )


class Content(NamedTuple):
    """Composition of a phase.

    Attributes:
        scale: scale of the phase; ``volume`` of its cell in Å³.
        elements: elements of the sites; ``weights`` ``(sites,)`` in g/mol of all their positions in the cell at full
            occupancy.
        occupancy: ``(sites,)``; ``labels`` full names of the occupancy parameters.
        absorption: ``(sites,)`` cross sections in cm² of all their positions at full occupancy.
    """

    scale: float
    volume: float
    elements: tuple[str, ...]
    weights: np.ndarray
    occupancy: np.ndarray
    labels: tuple[str, ...]
    absorption: np.ndarray

    @classmethod
    def of(cls, crystal: Crystal, scale: float, prefix: str, instrument: Instrument) -> Content:
        """Return the composition of a crystal; ``prefix`` precedes the names of its parameters."""
        multiplicity = np.array([site.multiplicity for site in crystal.sites()], dtype=float)
        xray = instrument.radiation == "xray"
        section = cross_sections(crystal.species, instrument.wavelengths[0]) if xray else np.zeros(len(multiplicity))
        return cls(
            scale=float(scale),
            volume=float(crystal.volume()),
            elements=tuple("H" if (e := element_of(s)[0]) == "D" else e for s in crystal.species),
            weights=crystal.full_masses(),
            occupancy=np.asarray(crystal.occupancy, dtype=float),
            labels=tuple(f"{prefix}occupancy[{label}]" for label in crystal.labels),
            absorption=multiplicity * section,
        )


class _Mixture(NamedTuple):
    """A mixture: weight fractions of phases, ``mu`` in 1/cm and its ``mean``, Brindley's ``tau``, masses of cells."""

    part: np.ndarray
    mu: np.ndarray
    mean: complex
    tau: np.ndarray
    mass: np.ndarray


def _mixture(
    contents: Sequence[Content], particles: Sequence[Particles], scale: np.ndarray, occupancy: Sequence[np.ndarray]
) -> _Mixture:
    mass = np.array([c.weights @ o for c, o in zip(contents, occupancy, strict=True)])
    cells = scale * mass
    tau, nothing = np.ones(len(mass)), np.zeros(len(mass))
    if not particles:
        return _Mixture(cells / cells.sum(), nothing, 0.0, tau, mass)
    volume = np.array([c.volume for c in contents])
    density = MOLAR_ATOMIC_DENSITY * mass / volume
    photo = np.array([c.absorption @ o for c, o in zip(contents, occupancy, strict=True)]) / (volume * 1e-24)
    mu = np.array([
        p.mu if p.mu is not None else p.mass_attenuation * rho if p.mass_attenuation is not None else own
        for p, rho, own in zip(particles, density, photo, strict=True)
    ])  # fmt: skip
    diameter = 1e-4 * np.array([p.diameter_um for p in particles])
    mean = 0.0
    for _ in range(_ROUNDS):
        room = cells / tau / density
        mean = (room @ mu) / room.sum()
        change = np.asarray(brindley((mu - mean) * diameter)) - tau
        tau = tau + change
        if np.abs(change.real).max() < 1e-13 and np.abs(change.imag).max() < 1e-11 * _STEP:
            break
    corrected = cells / tau
    return _Mixture(corrected / corrected.sum(), mu, mean, tau, mass)


def amounts(name: str, contents: Mapping[str, Content], given: Quantification) -> tuple[Derived, ...]:
    """Return weight fractions of phases, of the amorphous part and of elements in per cent, with derivatives.

    Args:
        name: name of the histogram.
        contents: composition by phase.
        given: standard and grains.

    Source: Hill & Howard, J. Appl. Cryst. 20, 467 (1987); internal standard: Gualtieri, J. Appl. Cryst. 33, 267 (2000).
    Derivatives by scales and occupancies are complex-step derivatives: Squire & Trapp, SIAM Rev. 40, 110 (1998).
    """
    phases, of = list(contents), list(contents.values())
    scale = np.array([c.scale for c in of])
    if len(of) < 2 or not np.sum(scale * np.array([c.weights @ c.occupancy for c in of])) > 0:
        return ()
    if given.standard and not scale[phases.index(given.standard)] > 0:
        return ()
    elements = list(dict.fromkeys(e for phase, c in contents.items() if phase != given.standard for e in c.elements))
    ends = np.cumsum([len(of), *(len(c.occupancy) for c in of)])
    start = np.concatenate([scale, *(c.occupancy for c in of)])
    labels = [f"{name}/scale[{phase}]" for phase in phases] + [label for c in of for label in c.labels]

    def numbers(p: np.ndarray) -> np.ndarray:
        occupancy = [p[a:b] for a, b in pairwise(ends)]
        mixture = _mixture(
            of, [dict(given.particles)[phase] for phase in phases] if given.particles else [], p[: ends[0]], occupancy
        )
        part, out = mixture.part, [mixture.part]
        share = part
        if given.standard and given.weight_fraction is not None:
            k, weighed = phases.index(given.standard), given.weight_fraction
            whole = part * (weighed / part[k])
            amorphous = 1.0 - whole.sum()
            others = np.arange(len(of)) != k
            share = np.where(others, whole, 0.0) / (1.0 - weighed)
            out += [whole, amorphous[None], share[others], amorphous[None] / (1.0 - weighed)]
        of_element = [
            sum(
                share[i] * (c.weights * o * (np.array(c.elements) == element)).sum() / mixture.mass[i]
                for i, (c, o) in enumerate(zip(of, occupancy, strict=True))
            )
            for element in elements
        ]
        return 100.0 * np.concatenate([*out, np.array(of_element)])

    titles = [(phase, "weight") for phase in phases]
    if given.standard:
        others_ = [*(phase for phase in phases if phase != given.standard), AMORPHOUS]
        titles = [(phase, "weight among the crystalline phases") for phase in phases]
        titles += [(part, "weight in the specimen") for part in (*phases, AMORPHOUS)]
        titles += [(part, "weight without the standard") for part in others_]
    titles += [(element, "weight of the element") for element in elements]
    values = numbers(start)
    steps = start + 1j * _STEP * np.eye(len(start))
    slopes = np.array([numbers(p).imag for p in steps]).T / _STEP
    # the weighed amount does not depend on the data, not even through rounding
    slopes[[title == (given.standard, "weight in the specimen") for title in titles]] = 0.0
    return tuple(
        Derived(
            part,
            what,
            "%",
            float(value),
            dict(zip(labels, row.tolist(), strict=True)),
            _doubt(given, part, what, value),
        )
        for (part, what), value, row in zip(titles, values, slopes, strict=True)
    )


def _doubt(given: Quantification, part: str, what: str, value: float) -> str:
    """Warn about a negative amorphous part; braces mark the place of its value with uncertainty."""
    if part != AMORPHOUS or what != "weight in the specimen" or value >= 0:
        return ""
    return (
        f"The crystalline phases are more than there is: {AMORPHOUS} {{}} % of the specimen, with "
        f"{100.0 * (given.weight_fraction or 0.0):g} % of the standard {given.standard!r}. Within a few standard uncertainties that is none; "
        "else look at what was weighed, microabsorption, texture, and the phases' displacements."
    )


def absorption_table(contents: Mapping[str, Content], given: Quantification) -> tuple[Table, ...]:
    """Tabulate grains and their absorption, one row per phase."""
    if not given.particles:
        return ()
    particles = [dict(given.particles)[phase] for phase in contents]
    of = list(contents.values())
    found = _mixture(of, particles, np.array([c.scale for c in of]), [c.occupancy for c in of])
    rows = []
    for phase, grain, mu, tau in zip(contents, particles, found.mu, found.tau, strict=True):
        thick = 1e-4 * float(mu) * grain.diameter_um
        how = "given" if grain.mu is not None or grain.mass_attenuation is not None else "from f″"
        rows.append(
            (phase, f"{grain.diameter_um:g}", f"{mu:.4g} ({how})", f"{thick:.3g}", size_class(thick), f"{tau:.4f}")
        )
    tail = f"Mean µ of the crystalline mixture {float(np.real(found.mean)):.4g} cm⁻¹. Scales were divided by τ (Brindley, 1945)."
    header = ("phase", "diameter / µm", "µ / cm⁻¹", "µD", "grains are", "τ")
    return (Table("microabsorption", header, tuple(rows), tail=tail),)


def size_class(thick: float) -> str:
    """Return Brindley's class for grains with this ``mu D``."""
    return next(word for limit, word in CLASSES if thick < limit or limit == np.inf)


def coarse_grains(contents: Mapping[str, Content], given: Quantification) -> tuple[str, ...]:
    """Warn if grains are too coarse for the correction to be reliable."""
    tables = absorption_table(contents, given)
    coarse = [f"{row[0]} (µD = {row[3]}, {row[4]})" for table in tables for row in table.rows if "coarse" in row[4]]
    if not coarse:
        return ()
    return (
        f"Grains of {', '.join(coarse)} are coarse for this radiation: Brindley's correction of microabsorption is one of equal spheres, and "
        "weight fractions are uncertain beyond their esds. Grind finer, or measure with a harder radiation.",
    )


def remarks(given: Quantification, several: bool) -> tuple[str, ...]:
    """Explain the meaning of weight fractions, for a report."""
    if not several:
        return ()
    if not given.standard:
        return (
            "Weight fractions are those among the crystalline phases, S M / Σ S M (Hill & Howard, 1987), and elements those in them: "
            "what is amorphous is in neither. A weighed standard would tell how much that is.",
        )
    return (
        f"Weight fractions in the specimen follow from {100.0 * (given.weight_fraction or 0.0):g} % of the standard '{given.standard}'. What is "
        "not crystalline is one number, whatever it consists of: elements are per cent of the sample without the standard as its crystalline "
        "phases contain them, so that they lack what is amorphous and add up to 100 % less that.",
    )
