"""Formulae in axis titles, ``4 pi sin(theta)/lambda`` or ``1/d^2``, as a number times a power of sin(θ)/λ."""

import re
from typing import NamedTuple

import numpy as np

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)|(?P<word>pi|π|sin|theta|th(?![a-z])|lambda|wavelength|wl(?![a-z])|d(?:_?hkl)?(?![a-z]))"
    r"|(?P<sign>\*\*|[*/^()\[\]-]|\bover\b))",
)


class Monomial(NamedTuple):
    """``factor sin(theta)^sine theta^angle lambda^wavelength d^spacing``."""

    factor: float = 1.0
    sine: float = 0.0
    angle: float = 0.0
    wavelength: float = 0.0
    spacing: float = 0.0

    def times(self, other: "Monomial", power: float = 1.0) -> "Monomial":
        """Return the product with a power of another monomial."""
        exponents = (a + power * b for a, b in zip(self[1:], other[1:], strict=True))
        return Monomial(self.factor * other.factor**power, *exponents)


class Formula(NamedTuple):
    """``factor (sin(theta)/lambda)^power``, in Å."""

    factor: float
    power: float


class _NoFormulaError(Exception):
    pass


def formula_of(name: str) -> Formula | None:
    """Return the formula in a plain title, or ``None`` if it contains no power of sin(θ)/λ.

    It is searched after ``=``, before a unit and in brackets: ``s = 1/d (1/a)``, ``s [2 sin(theta)/lambda]``.
    """
    name = re.sub(r"(?:np|numpy|math)\.", "", re.sub(r"(?<![a-z])t(?:wo)?[\s_-]?th(?:eta)?(?![a-z])", "2theta", name))
    for part in reversed(name.split("=")):
        before = re.sub(r"[\s_,]*[(\[](?![^)\]]*(?:sin|theta|lambda|wavelength))[^)\]]*[)\]]\s*$", "", part)
        unit = re.sub(r"(?:\s*,\s*|\s+/\s+|\s+)(?:1\s*/\s*)?(?:a|ang\w*|nm|pm)(?:\s*\^?\(?-?\d\)?)?\s*$", "", part)
        inside = re.findall(r"[(\[]([^()\[\]]*(?:\([^()]*\)[^()\[\]]*)*)[)\]]", part)
        for text in (part, before, unit, *inside):
            found = _power(text.strip(" _,;:\"'"))
            if found is not None:
                return found
    return None


def _power(text: str) -> Formula | None:
    if not re.search(r"[/^*-]|pi|π", text) or re.match(r"d\s*\*(?!\*)", text):
        return None  # a name such as d2, or the star of a reciprocal length
    try:
        one = _Parser(text).formula()
    except (_NoFormulaError, OverflowError, ZeroDivisionError):
        return None
    if one.angle or (one.sine and one.sine != -one.wavelength) or (one.wavelength and not one.sine):
        return None
    # 2 d sin(theta) = lambda
    power = one.sine - one.spacing
    return None if power == 0.0 or not one.factor > 0.0 else Formula(one.factor * 2.0**-one.spacing, power)


class _Parser:
    """Parser of products, quotients and powers: ``4pi sinθ/λ``, ``(4π/λ) sin(2θ/2)``, ``1/d2``, ``sin^2θ/λ^2``."""

    def __init__(self, text: str):
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise _NoFormulaError
            self.tokens.append(found[0].strip().replace("[", "(").replace("]", ")"))
            at = found.end()
        self.at = 0

    def formula(self) -> Monomial:
        found = self._product()
        if self.at < len(self.tokens):
            raise _NoFormulaError
        return found

    def _next(self, *expected: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] in expected:
            self.at += 1
            return True
        return False

    def _product(self) -> Monomial:
        found = self._atom()
        while self.at < len(self.tokens) and self.tokens[self.at] != ")":
            if self._next("*"):
                found = found.times(self._atom())
            elif self._next("/", "over"):
                # lambda/2sin(theta) is read as in typeset formulae: everything that follows a number is in the
                # denominator
                below = self._atom()
                while below[1:] == Monomial()[1:] and self._follows():
                    below = below.times(self._atom())
                found = found.times(below, -1.0)
            else:
                found = found.times(self._atom())
        return found

    def _follows(self) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] not in ("*", "/", ")", "over")

    def _atom(self) -> Monomial:
        if self.at >= len(self.tokens):
            raise _NoFormulaError
        token = self.tokens[self.at]
        self.at += 1
        if token == "(":
            found = self._product()
            if not self._next(")"):
                raise _NoFormulaError
        elif token == "sin":
            return self._sine()
        elif token in ("pi", "π"):
            found = Monomial(np.pi)
        elif token.startswith("th"):
            found = Monomial(angle=1.0)
        elif token in ("lambda", "wavelength", "wl"):
            found = Monomial(wavelength=1.0)
        elif token.startswith("d"):
            found = Monomial(spacing=1.0)
        elif token[0].isdigit() or token[0] == ".":
            number = float(token)
            # 12.566 and 6.2832 are 4 pi and 2 pi
            number = next((n * np.pi for n in (2, 4) if abs(number / (n * np.pi) - 1.0) < 2e-4), number)
            return Monomial(number ** self._exponent(bare=False))
        else:
            raise _NoFormulaError
        return Monomial().times(found, self._exponent())

    def _sine(self) -> Monomial:
        power = self._exponent(bare=False)
        if self.at < len(self.tokens) and self.tokens[self.at] == "(":
            of = self._atom()
        else:
            of = self._atom()
            if of[1:] == Monomial()[1:]:  # sin 2 theta
                of = of.times(self._atom())
        if not (of[1:] == Monomial(angle=1.0)[1:] and abs(of.factor - 1.0) < 1e-9):
            raise _NoFormulaError
        return Monomial(sine=power)

    def _exponent(self, *, bare: bool = True) -> float:
        """Parse a power after ``^`` or ``**``, or without these after a letter or a bracket, ``d2``."""
        marked = self._next("^", "**")
        if not marked and not bare:
            return 1.0
        start = self.at
        bracket = marked and self._next("(")
        sign = -1.0 if self._next("-") else 1.0
        if self.at < len(self.tokens) and re.fullmatch(r"\d", self.tokens[self.at]):
            value = sign * float(self.tokens[self.at])
            self.at += 1
            if bracket and not self._next(")"):
                raise _NoFormulaError
            return value
        if marked:
            raise _NoFormulaError
        self.at = start
        return 1.0
