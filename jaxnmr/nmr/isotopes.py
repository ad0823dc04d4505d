"""Spins, gyromagnetic ratios, quadrupole moments and abundances of the nuclei of NMR.

The table is package data (``data/isotopes.csv``); ``tools/make_isotopes.py`` made it and names the sources.
"""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Int

from .._arguments import is_number, shown
from ..errors import ConventionError, ParameterError

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
# CODATA 2018: nuclear magneton / h in Hz/T
NUCLEAR_MAGNETON_HZ_PER_TESLA = 7.6225932291e6
# CODATA 2018, protons in water 42.57638474 MHz/T; those of TMS are 4.8 ppm more shielded
TMS_PROTONS_HZ_PER_TESLA = 42.57638474e6 * (1 - 4.8e-6)


@dataclass(frozen=True)
class Isotope:
    """A nucleus with spin.

    Attributes:
        symbol: mass number and element, ``"27Al"``.
        protons: atomic number.
        spin: spin quantum number I, 0.5, 1.0, 1.5 ...
        gamma_hz_per_tesla: gyromagnetic ratio over 2 pi of the bare nucleus, signed (29Si, 15N and 17O are negative).
        quadrupole_barn: quadrupole moment, signed; 0 for spin 1/2, nan where it was never measured.
        abundance: natural abundance as a fraction; 0 for radioactive nuclei.
        frequency_ratio: Xi of the IUPAC, the frequency of the reference compound over that of the protons of TMS,
            in percent; nan where none is defined.
    """

    symbol: str
    protons: int
    spin: float
    gamma_hz_per_tesla: float
    quadrupole_barn: float
    abundance: float
    frequency_ratio: float

    @property
    def element(self) -> str:
        """Symbol of the chemical element."""
        return self.symbol.lstrip("0123456789")

    @property
    def is_quadrupolar(self) -> bool:
        """Whether the spin is above one half."""
        return self.spin > 0.5

    def stands_on(self, element: str) -> bool:
        """Whether a site of this element can hold the nucleus: one of its own, and for 2H one written as D too."""
        return element == self.element or (self.symbol == "2H" and element == "D")


def isotope(symbol: "str | Isotope") -> Isotope:
    """The nucleus of that symbol: ``"27Al"``, ``"27al"`` and ``"Al-27"`` are the same; ``"D"`` is 2H.

    Raises:
        ConventionError: no such nucleus in the table of nuclei with spin.

    Example:
        >>> isotope("27Al").spin
        2.5
    """
    if isinstance(symbol, Isotope):
        return symbol
    if not isinstance(symbol, str):
        raise ConventionError(f"a nucleus is given as {shown(symbol)}; expected mass number and element, as '27Al'")
    name = _canonical(symbol)
    if name not in _table():
        raise ConventionError(f"{symbol!r} is no nucleus with spin in the table; {_suggestion(symbol)}")
    return _table()[name]


def symbol_of(isotope: str) -> str:
    """The symbol of the table, ``"23Na"`` for ``"Na23"``; what is not in the table is left as it is."""
    name = _canonical(isotope)
    return name if name in _table() else isotope


def contradict(one: str, other: str) -> bool:
    """Whether both are nuclei of the table, and not the same one."""
    return {_canonical(one), _canonical(other)} <= _table().keys() and _canonical(one) != _canonical(other)


def isotopes_of(element: str) -> tuple[Isotope, ...]:
    """The nuclei with spin of an element, the most abundant first.

    Raises:
        ConventionError: no nucleus of that element has a spin and a known magnetic moment.

    Example:
        >>> [nucleus.symbol for nucleus in isotopes_of("Si")]
        ['29Si']
    """
    found = [nucleus for nucleus in _table().values() if nucleus.element == element]
    if not found:
        raise ConventionError(
            f"no nucleus with spin is known of {element!r}; expected the symbol of an element, as 'Si'"
        )
    return tuple(sorted(found, key=lambda nucleus: -nucleus.abundance))


def sites_of(elements: Sequence[str], nucleus: str | Isotope, where: str = "the crystal") -> Int[np.ndarray, " sites"]:
    """Numbers of the sites that hold a nucleus, in ascending order (host); see :meth:`Isotope.stands_on`.

    Args:
        elements: one per site.
        nucleus: isotope, ``"29Si"``.
        where: for the message.

    Raises:
        ParameterError: no site holds it.
    """
    atom = isotope(nucleus)
    chosen = [k for k, element in enumerate(elements) if atom.stands_on(element)]
    if not chosen:
        raise ParameterError(f"{where} has no {atom.symbol} site; it has {', '.join(sorted(set(elements)))}")
    return np.array(chosen)


def all_isotopes() -> tuple[Isotope, ...]:
    """Every nucleus of the table, in the order of the periodic table."""
    return tuple(_table().values())


def larmor_hz(nucleus: str | Isotope, b0_tesla: float) -> float:
    """Larmor frequency ``|gamma| B0 / 2 pi`` of the bare nucleus in Hz, positive.

    Raises:
        ConventionError: an unknown nucleus, or a field that is not between 0 and 100 T.
    """
    return abs(isotope(nucleus).gamma_hz_per_tesla) * _field(b0_tesla)


def reference_hz(nucleus: str | Isotope, b0_tesla: float) -> float:
    """Frequency of 0 ppm in Hz: that of the IUPAC's reference compound, or of the bare nucleus where none is defined.

    Raises:
        ConventionError: an unknown nucleus, or a field that is not between 0 and 100 T.
    """
    ratio = isotope(nucleus).frequency_ratio
    if not math.isfinite(ratio):
        return larmor_hz(nucleus, b0_tesla)
    return ratio / 100.0 * TMS_PROTONS_HZ_PER_TESLA * _field(b0_tesla)


def _field(b0_tesla: float) -> float:
    if not is_number(b0_tesla) or not 0 < b0_tesla <= 100:  # refuses infinity and NaN as well
        raise ConventionError(
            f"b0_tesla is {b0_tesla}; expected the magnetic field in tesla, between 0 and 100 (a 500 MHz magnet has 11.74)"
        )
    return float(b0_tesla)


@cache
def _table() -> dict[str, Isotope]:
    text = resources.files(__package__).joinpath("data", "isotopes.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    table = {}
    for line in lines[1:]:
        symbol, protons, twice_spin, moment, quadrupole, abundance, ratio, *_ = line.split(",")
        spin = int(twice_spin) / 2
        table[symbol] = Isotope(
            symbol=symbol,
            protons=int(protons),
            spin=spin,
            gamma_hz_per_tesla=float(moment) / spin * NUCLEAR_MAGNETON_HZ_PER_TESLA,
            quadrupole_barn=float(quadrupole),
            abundance=float(abundance) / 100.0,
            frequency_ratio=float(ratio),
        )
    return table


def _canonical(symbol: str) -> str:
    """``27AL``, ``al27``, ``Al-27``, ``27 Al`` and ``²⁷Al`` as ``27Al``; anything else unchanged."""
    text = str(symbol).strip().translate(_SUPERSCRIPTS)
    if text.upper() in ("D", "T"):
        return {"D": "2H", "T": "3H"}[text.upper()]
    match = re.fullmatch(r"\^?(\d+)[\s_-]?([A-Za-z]{1,2})|([A-Za-z]{1,2})[\s_-]?(\d+)", text)
    if match is None:
        return text
    return f"{match[1] or match[4]}{(match[2] or match[3]).capitalize()}"


def _suggestion(symbol: str) -> str:
    element = _canonical(symbol).lstrip("0123456789").capitalize()
    same = [nucleus.symbol for nucleus in _table().values() if nucleus.element == element]
    near = same or difflib.get_close_matches(_canonical(symbol), list(_table()), n=4, cutoff=0.3)
    return f"did you mean {', '.join(near)}?" if near else "expected mass number and element, as '27Al'"
