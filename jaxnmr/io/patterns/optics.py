"""What files say of monochromators, from names of crystals to the angle that polarises."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# lattice parameter in Å and usual plane of cubic crystals; distance of the planes of others
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


class Monochromator(NamedTuple):
    """A crystal in the beam.

    Attributes:
        name: what the file calls it.
        spacing: distance of its planes in Å, ``None`` when the crystal is not known.
        bounces: how many times the beam is reflected.
    """

    name: str
    spacing: float | None
    bounces: int = 1


def monochromator(*names: str | None, hkl: tuple[int, int, int] | None = None) -> Monochromator:
    """A monochromator by its names in a file (``"Graphite"``, ``"Inc. Beam 4xGe220 Cu"``), and its plane where that is given."""
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
    """2theta of the one crystal that polarises as these do one after the other; ``None`` without any that is known.

    Every reflection multiplies what is polarised in its plane by ``cos(2 theta_m)``.
    """
    cosine, known = 1.0, False
    for crystal in crystals:
        if crystal.spacing is not None and wavelength < 2.0 * crystal.spacing:
            cosine *= (1.0 - 0.5 * (wavelength / crystal.spacing) ** 2) ** crystal.bounces
            known = True
    return float(np.rad2deg(np.arccos(min(abs(cosine), 1.0)))) if known else None
