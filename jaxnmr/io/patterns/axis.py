"""The quantity on the horizontal axis of a pattern, from its title, and its conversion to 2theta in degrees."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .axis_formula import formula_of

Quantity = Literal["2theta", "theta", "Q", "d", "d^2", "1/d", "1/d^2", "sin(theta)/lambda"]
ANGLES = ("2theta", "theta")

_SPELLINGS = (
    (r"[\\${}\"']|\\?mathrm|\\?text", ""),
    (r"[‐‑‒–—−]", "-"),
    (r"[·×∙•⋅]|\bcdot\b|\btimes\b", "*"),
    (r"θ|ϑ|ɵ|ө|(?<=2)\s?te(?:tha|ta)\b", "theta"),
    (r"λ", "lambda"),
    (r"å|\baa\b", "a"),
    (r"\^?circ\b|°", " deg "),
    (r"[\s_-]*(?:squared|sq(?![a-z]))", "^2"),
    (r"\^\s+", "^"),
    (r"(?<![a-z])(?:deux|zwei)[\s_-]?(?=th)", "2"),
    (r"π", "pi"),
)
# superscript digits and signs, converted to plain ones
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁽⁾", "0123456789-+()")
_TWO_THETA = re.compile(
    r"(?<![a-z0-9.])(?:2|two)[\s_*x.-]*(?:theta|(?:thet|tht|th|t)(?![a-su-z]))|(?<![a-z])t[\s_-]?th(?:eta)?(?![a-z])"
    r"|(?<![a-z])th(?:eta)?[\s/_-]*2\s?th|scattering angle|diffraction angle|beugungswinkel"
)
_THETA = re.compile(r"theta|^th(?![a-z])")
_ANY_ANGLE = re.compile(
    r"^(?:pos(?:ition|\.)?\W*)?(?:angle|winkel|deg(?:ree)?s?(?![a-z])|m?rad(?:ians?)?(?![a-z]))|^x(?![a-z])"
)
_Q = re.compile(
    r"^[|]?q(?![a-z0-9])|^q(?=nm|inv)|q[\s_-]?(?:space|range|vector|axis|value)|(?:scattering|diffraction)[\s_-]*vector"
    r"|momentum[\s_-]*transfer|^(?:modul\w*|magnitude|length|betrag)\W+(?:of\W+|von\W+|de\W+)?q(?![a-z0-9])"
    r"|(?:streu|beugungs)[\s_-]*vektor|(?:impuls|wellenvektor)\s?[uü]e?bertrag|vecteur d[e\W]*(?:diffusion|diffraction|onde)"
)
_RECIPROCAL = re.compile(
    r"^1\s*/\s*d(?![a-z]|\s*[*/])|^d\s*(?:\^?-1|\*)|^d[\s_-]*star|^inv(?:erse)?[\s_-]*d(?![a-z])|reciprocal (?:d|spacing)|reziproke[rn]? (?:d|netz)"
)
_SQUARED = re.compile(r"^d\s*(?:\*|[\s_-]*star)\s*\^?2|^(?:1\s*/|inv(?:erse)?[\s_-]*)\s*d\s*\^?2")
_D = re.compile(
    r"^d(?![a-z0-9])|d[\s_-]*(?:spac|value|wert)|^d[\s_-]*hkl|interplanar|(?<![a-z])spacing|interr[eé]ticul|netzebenen[\s_-]*abst"
)
_SINE = re.compile(r"sin\W*theta\W*(?:/|over)\W*(?:lambda|wavelength)|^sthl|^stol|^sintl")
_LENGTHS = (
    (re.compile(r"(?<![a-z])(?:inv|per)?[\s_]*(?:nm|nanomet(?:er|re)s?)(?![a-z])"), 10.0),
    (re.compile(r"(?<![a-z])(?:inv|per)?[\s_]*(?:pm|picomet(?:er|re)s?)(?![a-z])"), 0.01),
    (re.compile(r"(?<![a-z])(?:inv|per)?[\s_]*(?:(?:ang|angstr(?:o|oe|ö)ms?|angs?)(?![a-z])|a(?![a-z.]))"), 1.0),
)
_INVERSE = re.compile(r"1\s*/|-1|inv|per|recipr")
_TURNS = (
    (re.compile(r"(?<![a-z])m(?:illi)?[\s_-]?rad(?:ians?)?(?![a-z])"), 180.0e-3 / np.pi),
    (re.compile(r"(?<![a-z])rad(?:ians?)?(?![a-z])"), 180.0 / np.pi),
    (re.compile(r"(?<![a-z])c(?:enti)?[\s_-]?deg"), 0.01),
    (re.compile(r"(?<![a-z])m(?:illi)?[\s_-]?deg"), 0.001),
    (re.compile(r"(?<![a-z])gon(?![a-z])|gradians?"), 0.9),
    (re.compile(r"arc[\s_-]?min"), 1.0 / 60.0),
    (re.compile(r"arc[\s_-]?sec"), 1.0 / 3600.0),
)
# quantities that cannot be converted, and advice
_REFUSED = (
    (r"^(?:log|ln\W|arcsinh|sinh|sqrt)|^[|]?q[|]?\s*\^?[2-9]", "a function of the scattering vector", "write Q itself"),
    (r"(?<![a-z])(?:sin|cos|tan)(?:(?![a-z])|\W*theta)", "a function of theta", "give 2theta"),
    (r"^[0-9pi.\s*]*/\s*[|]?q(?![a-z])", "a reciprocal of the scattering vector", "write Q itself"),
    (r"^q[xyz](?![a-z])", "a component of the scattering vector", "give its length Q"),
    (r"^s(?![a-z0-9])", "either 2 sin(theta)/lambda or 4 pi sin(theta)/lambda", "name it 1/d or Q, with its unit"),
    (r"bragg[\s_-]*(?:angle|winkel)", "either theta or 2theta", "name it theta or 2theta"),
    (r"temp(?:erature)?(?![a-z])|^t\s*[(\[/_]\s*(?:k|c|deg c)[)\]]?$|pressure|(?<![a-z])(?:gpa|kbar)(?![a-z])", "no angle of diffraction", "give 2theta"),
    (r"wave[\s_-]*length|raman|cm\s*\^?-1|wave[\s_-]*number|wellenl|^lambda", "wavelength or wavenumber", "only constant-wavelength data over 2theta are supported"),
    (r"tof|flight|flugzeit|^t(?![a-z0-9])|^time|^zeit|(?<![a-z])(?:us|μs|ms|micro[\s_-]?s\w*|s|secs?|seconds?|min|minutes?|hours?)(?![a-z])",
     "time", "only constant-wavelength data over 2theta are supported"),
    (r"energ|^e(?![a-z0-9])|(?<![a-z])[kmn]?ev(?![a-z])", "energy", "energy-dispersive data are not supported"),
    (r"chan|kanal|(?<![a-z])mca(?![a-z])|(?<![a-z])pix|^ch(?![a-z])|pixel|^col(?:umn)?s?(?![a-z])|(?<![a-z])(?:px|bins?|points?|index|idx|no\.?|nr\.?|number|step|frame|rows?|pt)(?![a-z])",
     "a number of a channel or point", "give 2theta, or a line 'start step end' above the intensities"),
    (r"^r(?![a-z0-9])|radius|radial|(?<![a-z])(?:mm|cm|m|um|μm|mils?)(?![a-z])",
     "a distance on the detector", "integrate over 2theta, or convert it: 2theta = atan(r / distance of the detector)"),
    (r"omega|^om(?![a-z])|(?<![a-z])(?:chi|phi|psi|eta|kappa)(?![a-z])|azim|tilt", "another angle than 2theta", "give a scan over 2theta"),
    (r"^(?:1\s*/\s*|inv\w*\s*)?(?:a|nm|ang\w*)(?:\s*\^?-1)?$", "a unit without a quantity", "name it d or Q, with its unit"),
)  # fmt: skip
_REFUSED_PATTERNS = tuple((re.compile(pattern), what, remedy) for pattern, what, remedy in _REFUSED)
_STATED = re.compile(
    r"(?:wave[\s_-]*length|lambda)\w*\W{0,3}(?P<before>[a-z^-]+)?\W*?[:=\s]\W{0,3}?"
    r"(?P<value>\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*[(\[]?(?P<after>[a-z]+)?"
)
_METRES = {"m": 1e10, "nm": 10.0, "pm": 0.01, "a": 1.0, "ang": 1.0, "angstrom": 1.0, "angstroms": 1.0}


@dataclass(frozen=True)
class Axis:
    """The quantity on the horizontal axis of a pattern.

    Attributes:
        title: as written in the file.
        quantity: the physical quantity; Q is 4π sin θ/λ.
        factor: from the unit of the file to degrees, Å, 1/Å, Å² or 1/Å².
        united: whether the title states the unit.
    """

    title: str
    quantity: Quantity
    factor: float = 1.0
    united: bool = False

    @property
    def plain(self) -> bool:
        """True for 2theta in degrees, as expected everywhere else."""
        return self.quantity == "2theta" and self.factor == 1.0

    def sine_over_wavelength(self, x: np.ndarray) -> np.ndarray:
        """Convert values ``(points,)`` in the unit of the file to sin(θ)/λ in 1/Å; not for angles."""
        x = self.factor * np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.quantity == "Q":
                return x / (4.0 * np.pi)
            if self.quantity == "sin(theta)/lambda":
                return x
            return 0.5 * {"d": 1.0 / x, "d^2": 1.0 / np.sqrt(x), "1/d": x, "1/d^2": np.sqrt(x)}[self.quantity]


class Refusal(Exception):
    """A column title that cannot be used; states what it is and how to proceed."""

    def __init__(self, title: str, message: str, *, column: str = "angle"):
        super().__init__(f"the {column} column is {title.strip()!r}, {message}")


def axis_of(title: str) -> Axis | None:
    """Return the axis named by a title, or ``None`` if it is not recognised.

    Args:
        title: of a column, or a label, with its unit: ``2theta (deg)``, ``q_nm^-1``, ``d-spacing [Å]``, ``θ/mrad``.

    Raises:
        Refusal: an axis that cannot be converted to 2theta (time, energy, length, channel, other angles), or Q without
            unit.
    """
    name = plain_title(title)
    if (axis := _formula(title, name)) is not None:
        return axis
    if re.search(
        r"sin.*(?:lambda|wavelength)|(?:lambda|wavelength).*sin|(?<![a-z])pi\W", name
    ) and not _TWO_THETA.match(name):
        raise Refusal(title, "a formula that is not understood; name it Q, 1/d or sin(theta)/lambda, with its unit")
    if _SINE.search(name):
        return _per_length(title, name, "sin(theta)/lambda", default=1.0)
    if not re.search(r"(?:sin|cos|tan)\W*(?:2|theta)", name):
        if found := _TWO_THETA.search(name):
            return _angle(title, name[: found.start()] + " " + name[found.end() :], "2theta")
        if found := _THETA.search(name):
            return _angle(title, name[: found.start()] + " " + name[found.end() :], "theta")
    if found := _SQUARED.match(name):
        return _per_length(title, name[found.end() :], "1/d^2", power=2, default=1.0)
    if found := _RECIPROCAL.match(name):
        return _per_length(title, name[found.end() :], "1/d", default=1.0)
    if found := _Q.search(name):
        rest = name[: found.start()] + " " + name[found.end() :]
        if not re.match(r"\s*\^?[2-9]", rest):
            return _per_length(title, rest, "Q")
    if found := _D.search(name):
        rest = name[found.end() :]
        if _INVERSE.search(rest) and _length(rest) is not None:
            return _per_length(title, rest, "1/d")
        length = _length(rest)
        return Axis(title, "d", length or 1.0, length is not None)
    if _ANY_ANGLE.match(name) and not re.search(r"omega|chi|phi|psi|azimut", name):
        if not re.search(r"(?<![a-z])(?:mm|cm|k?ev|us|ms|nm|a)(?![a-z])", name):
            return _angle(title, name, "2theta")
    for pattern, what, remedy in _REFUSED_PATTERNS:
        if pattern.search(name):
            raise Refusal(title, f"{what}; {remedy}")
    unit = re.search(r"[(\[/]\s*(.+)$", name)
    if unit is not None and _length(unit[1]) is not None:
        raise Refusal(title, "a length or its reciprocal; name it d or Q, with its unit")
    return None


def plain_title(title: str) -> str:
    """Return a title in lower case, with Greek letters and typeset symbols spelt out: ``Q (Å⁻¹)`` -> ``q (a^-1)``."""
    title = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁽⁾]+", lambda found: "^" + found[0].translate(_RAISED), title)
    name = unicodedata.normalize("NFKC", title).lower()
    for pattern, word in _SPELLINGS:
        name = re.sub(pattern, word, name)
    return name.strip(" \t#!;%,:=")


def _formula(title: str, name: str) -> Axis | None:
    """Return the axis of a title that is a formula, ``4 pi sin(theta)/lambda (1/nm)``."""
    found = formula_of(name)
    if found is None:
        return None
    length = _length(re.sub(r"sin|theta|lambda|wavelength", " ", name))
    # (quantity, factor) by its power of sin(theta)/lambda
    known: dict[float, tuple[Quantity, float]] = {
        1.0: ("sin(theta)/lambda", 1.0), 2.0: ("1/d^2", 4.0), -1.0: ("d", 0.5), -2.0: ("d^2", 0.25),
    }  # fmt: skip
    if found.power not in known:
        raise Refusal(title, "another power of sin(theta)/lambda than 1, 2, -1 and -2; give Q or d")
    quantity, factor = known[found.power]
    return Axis(title, quantity, factor / found.factor * (length or 1.0) ** -found.power, length is not None)


def _angle(title: str, rest: str, quantity: Quantity) -> Axis:
    for pattern, factor in _TURNS:
        if pattern.search(rest):
            return Axis(title, quantity, float(factor), True)
    if found := re.search(
        r"\d\s*[*/]\s*$|^[\s)]*[*/]\s*\d|(?:lambda|wavelength)\s*/|/\s*(?:lambda|wavelength)", f"{rest} "
    ):
        raise Refusal(title, f"the angle in a formula ({found[0].strip()}); give the angle itself, in degrees")
    if re.search(r"(?<![a-z])(?:mm|pixels?|channels?)(?![a-z])", rest):
        raise Refusal(title, "a distance on the detector; give degrees")
    return Axis(title, quantity, 1.0, bool(re.search(r"deg|grad(?![a-z])", rest)))


def _per_length(title: str, rest: str, quantity: Quantity, power: int = 1, default: float | None = None) -> Axis:
    length = _length(rest)
    if length is None and default is None:
        raise Refusal(title, f"{quantity} without a unit; write {quantity} (1/A) or {quantity} (1/nm)")
    return Axis(title, quantity, (length or default or 1.0) ** -power, length is not None)


def _length(text: str) -> float | None:
    """Return the unit of length named in a text, in Å."""
    return next((factor for pattern, factor in _LENGTHS if pattern.search(text)), None)


def stated_wavelength(titles: list[str]) -> tuple[float | None, bool]:
    """Return the wavelength in Å stated above the numbers, and whether it is given in metres (pyFAI)."""
    for title in titles:
        found = _STATED.search(plain_title(title))
        if found is None:
            continue
        unit = _METRES.get(found["after"] or "") or _METRES.get((found["before"] or "").strip("^-"))
        value = float(found["value"])
        if unit is None:
            unit = 1e10 if value < 1e-7 else 1.0
        if 0.05 < value * unit < 20.0:
            return value * unit, unit == 1e10
    return None, False
