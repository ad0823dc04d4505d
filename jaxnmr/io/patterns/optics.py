"""Monochromators in file headers: from names of crystals to the angle that determines the polarisation."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# lattice parameter in Å and usual plane of cubic crystals; interplanar spacing of others
_CUBIC = {
    "ge": (5.6579, (1, 1, 1)),
    "si": (5.43102, (1, 1, 1)),
    "lif": (4.0262, (2, 0, 0)),
    "insb": (6.4794, (1, 1, 1)),
}
_OTHERS = {"graphite": 3.354, "quartz": 3.3434}
_NAMES = {
    "germanium": "ge",
    "silicon": "si",
    "hopg": "graphite",
    "pg": "graphite",
    "c": "graphite",
    "lithium fluoride": "lif",
}
_CRYSTAL = re.compile(
    r"(?:(\d)\s*x\s*)?\b(germanium|silicon|graphite|hopg|pg|quartz|insb|lif|ge|si|c(?=[\s(]*002))\b[\s(]*(?:(\d)\s*(\d)\s*(\d)\b)?",
    re.IGNORECASE,
)


# names of variable slits, by Bruker for one that irradiates 20 mm and by others; ADS of Rigaku and PANalytical
_VARIABLE = re.compile(
    r"(?im:^(?=.*(?:slit|diverg|blende|optic)).*?(?<![a-z0-9])(?-i:V ?(?:6|10|12|15|18|20)(?:\.0)?(?: ?mm)?(?![A-Za-z0-9.])|ADS(?![A-Za-z])))"
    r"|(?i:(?:variable|automatic|auto|programmable|motori[sz]ed)\W{1,3}(?:\w+\W)?(?:divergence\W{1,3})?slits?"
    r"|(?:divergence\W{0,3}slits?|(?<![a-z])slits?)\W{1,4}(?:variable|auto\w*|v ?\d+)|(?:fixed|constant)\W{1,3}(?:sample\W{1,3}illumination|irradiated|illuminated)"
    r"|irradiated\W{0,3}length)"
)
_ATTENUATED = re.compile(r"(?:attenuat\w*|absorber)(?:\W{1,3}factor)?\W{1,4}(?:x\s*)?(\d+\.?\d*)", re.IGNORECASE)


def doubts_of_header(text: str) -> tuple[str, ...]:
    """Note features of the beam in a header that are not applied: a slit that opens with the angle, an attenuator."""
    notes: tuple[str, ...] = ()
    if found := _VARIABLE.search(text):
        notes += (
            f"The header speaks of a slit that opens with the angle ({found[0].strip()!r}), and it was not taken into account: if "
            "it is one that keeps the irradiated length constant, give divergence_slit = 'automatic'.",
        )
    factors = [value for value in _ATTENUATED.findall(text) if float(value) not in (0.0, 1.0)]
    if factors:
        notes += (
            f"The header speaks of an attenuator with the factor {factors[0]}, and no column says where it was in the beam: intensities "
            "and their uncertainties were taken as they stand.",
        )
    return notes


class Monochromator(NamedTuple):
    """A crystal in the beam.

    Attributes:
        name: its name in the file.
        spacing: interplanar spacing in Å, ``None`` if the crystal is unknown.
        bounces: number of reflections.
    """

    name: str
    spacing: float | None
    bounces: int = 1


def monochromator(*names: str | None, hkl: tuple[int, int, int] | None = None) -> Monochromator:
    """Identify a monochromator by its names in a file (``"Inc. Beam 4xGe220 Cu"``) and its plane, if given."""
    texts = [name.strip() for name in names if name and name.strip()]
    shown = ", ".join(dict.fromkeys(texts)) or "monochromator"
    for text in texts:
        # "4xGe220" -> "4x Ge 220"
        spaced = re.sub(r"(?<=[A-Za-z])(?=\d)|(?<=\dx)(?=[A-Za-z])", " ", text)
        for found in _CRYSTAL.finditer(spaced):
            crystal = _NAMES.get(found[2].lower(), found[2].lower())
            bounces = max(int(found[1] or 1), 1)
            if crystal in _OTHERS:
                return Monochromator(shown, _OTHERS[crystal], bounces)
            edge, usual = _CUBIC[crystal]
            plane = hkl or ((int(found[3]), int(found[4]), int(found[5])) if found[5] else usual)
            return Monochromator(shown, edge / float(np.linalg.norm(plane)), bounces)
    return Monochromator(shown, None)


def monochromator_deg(crystals: Iterable[Monochromator], wavelength: float) -> float | None:
    """Return 2theta of one crystal that polarises like these in series; ``None`` if none of them is known.

    Every reflection multiplies the component polarised in its plane by ``cos(2 theta_m)``.
    """
    cosine, known = 1.0, False
    for crystal in crystals:
        if crystal.spacing is not None and wavelength < 2.0 * crystal.spacing:
            cosine *= (1.0 - 0.5 * (wavelength / crystal.spacing) ** 2) ** crystal.bounces
            known = True
    return float(np.rad2deg(np.arccos(min(abs(cosine), 1.0)))) if known else None
