"""Interpretation of the lines above columns of numbers: the meaning of the columns and of the angles."""

import contextlib
import re

from .axis import Axis, Refusal, axis_of, plain_title
from .axis_formula import formula_of

_ROLES = {
    "percent": re.compile(
        r"(?:[yi]?_?(?:sig|esd|std|err|unc)|rel)[^%]*(?:%|percent|prozent)|rel\w*\W*(?:err|unc|sig|esd)"
    ),
    "variance": re.compile(
        r"var|(?:[yi]?_?(?:sig\w*|σ|esd|std\w*|err\w*|s\.?u)|e|s)\W*(?:\^|\*\*)?\s*(?:2|²|squared)(?!\d)"
    ),
    "sigma": re.compile(r"[yi]?_?(sig|σ|esd|e\.s\.d|s\.?u\b|std|err|unc)|d[yi]\b|e\b"),
    "weight": re.compile(r"weight|wt?\b"),
    "factor": re.compile(r"att(?:en|\b)|absorber"),
    "y": re.compile(
        r"[yi]?_?(obs|meas|exp)|intens[iaä]\w*(?!.*calc)|int\b|counts?\b|y\b|i\b|impulse?\b|coups\b|z[äa]e?hl\w*|cps\b|signal\b"
    ),
}
_INTENSITY = re.compile(
    r"intens|counts?|\b[gsf]\([qr]\)|impuls(?!\s?(?:ü|ue)ber)|coups|cps|signal|\bint\b|\b[yi]_?(obs|meas|exp|raw|net)?\b|(obs|meas)",
    re.IGNORECASE,
)
_NOT_LINEAR = re.compile(
    r"(?:log(?:10)?|ln|lg|sqrt|√|arcsinh)\s*_?[(\[\s]?\s*(?:i|y|int\w*|counts?|cps)(?![a-z])"
    r"|(?<![a-z])i(?:nt\w*)?(?:\([sq]\))?\s*\*?\s*(?:[|]?[qs][|]?|d|theta)\s*\^?[1-4](?!\d)|[qs]\s*\^?[1-4]\s*\*\s*i|(?:i|int\w*)\s*\^\s*(?:1/2|0?\.5|2)"
)
_CERTAIN = re.compile(r"theta|q|tof|d[ _-]?spacing|channel", re.IGNORECASE)
_UNIT = re.compile(r"\W*(?:deg\w*|m?rad|(?:1/)?(?:a|nm)|(?:a|nm)\^?-1|counts|cts|cps|arb\W*units?|a\W*u)?\W*")
_BARE_UNIT = r"(?:1/)?(?:Å|A|Ang|nm)\s?(?:\^?\(?[-⁻][1¹]\)?)|1/(?:Å|A|nm)"
# an axis with its unit only
_NAMED = re.compile(
    r"(?:[|]?q[|]?|d|1\s*/\s*d|d[\s_-]*spacing|(?:scattering|diffraction)[\s_-]*vector|momentum[\s_-]*transfer|2?[\s_*-]*theta|2[\s_-]?th)"
    r"[\s_,/]*[(\[]?\s*(?:deg\w*|m?rad\w*|(?:1\s*/\s*)?(?:a|nm|pm|ang\w*)\s*(?:\^?\s*\(?-?[12]\)?)?)\s*[)\]]?"
)
_LABEL = re.compile(
    r"(?:(?P<x>x)[\s_-]*(?:axis|label|unit|title)|unit|axis|abscissa)\w*\W*[:=]\s*(?P<what>\S.*)", re.IGNORECASE
)


def roles_of(titles: list[str], width: int) -> tuple[dict[str, int] | None, Axis | None, tuple[str, ...]]:
    """Return the columns by role, if one of the last two titles names angle and intensity; the axis; a doubt to note.

    The names may be followed by a row of units.
    """
    rows = [_title_fields(title, width) for title in titles[-3:]]
    for k in range(len(rows) - 1, max(len(rows) - 3, -1), -1):
        names = rows[k]
        above = rows[k - 1] if k > 0 else None
        if names is None or (above is not None and all(_UNIT.fullmatch(plain_title(name)) for name in names)):
            continue
        units = rows[k + 1] if k + 1 < len(rows) else None
        for name in names[1:2] if width < 4 else names:
            if _NOT_LINEAR.search(plain_title(name)):
                raise Refusal(name, "a function of the intensity; give the intensity itself", column="intensity")
        column, axis = _angle_column(names, units)
        roles: dict[str, int] = {}
        for other, name in enumerate(names):
            role = next((r for r, pattern in _ROLES.items() if r not in roles and pattern.match(name.lower())), None)
            if role is not None and other != column:
                roles[role] = other
        if column is None:
            if roles.get("y") == 1 and width < 4 and not _INTENSITY.search(names[0]):
                return None, None, (f"The first column is named {names[0]!r}; it was read as 2theta in degrees.",)
            continue
        if "y" in roles:
            return {"x": column} | roles, axis, ()
        if axis is not None and (axis.united or _CERTAIN.fullmatch(names[0])) and width < 4 and column == 0:
            return None, axis, ()
    return None, _alone(titles, width), ()


def _alone(titles: list[str], width: int) -> Axis | None:
    """Return the axis of a last line that names only it, or that cannot be divided into columns: ``1/d^2``, ``Q (1/A)``."""
    if not titles or width > 3:
        return None
    words = titles[-1].strip(" \"'").split()
    names = []
    for known in range(len(words), 0, -1):
        names.append(" ".join(words[:known]).strip(" \"',;"))
        # what follows are names of intensities and uncertainties
        if not (_INTENSITY.search(words[known - 1]) or _is_role(words[known - 1])):
            break
    for name in names:
        plain = plain_title(name)
        if formula_of(plain) is not None or _NAMED.fullmatch(plain):
            return axis_of(name)
    # more or fewer names than columns
    first, *others = re.split(r"[;,\t|]|\s{2,}", titles[-1].strip())
    if others and all(_INTENSITY.search(word) or _is_role(word.strip(" \"'")) for word in others):
        names.append(first.strip(" \"'"))
    for name in names[1:]:
        if len(name.split()) <= 4:
            with contextlib.suppress(Refusal):
                if (axis := axis_of(name)) is not None:
                    return axis
    return axis_of(names[-1]) if names and re.search(r"sin\W*\d?\W*th\w*\W.*/", plain_title(names[-1])) else None


def _is_role(name: str) -> bool:
    return any(pattern.match(name.lower()) for pattern in _ROLES.values())


def _angle_column(names: list[str], units: list[str] | None) -> tuple[int | None, Axis | None]:
    """Return the column of the angles, preferably 2theta, and its axis.

    Raises:
        Refusal: the only candidate, the first column, is named as something that cannot be converted to an angle.
    """
    found: dict[int, Axis] = {}
    refused: Refusal | None = None
    certain = any(_INTENSITY.search(name) for name in names[1:]) or _CERTAIN.fullmatch(names[0])
    for column, name in enumerate(names):
        if _INTENSITY.search(name) or (column > 0 and any(p.match(name.lower()) for p in _ROLES.values())):
            continue
        try:
            axis = _with_unit(name, None if units is None else units[column])
        except Refusal as error:
            if column == 0 and certain:
                refused = error
            continue
        if axis is not None:
            found[column] = axis
    best = next((c for c, axis in found.items() if axis.quantity == "2theta"), next(iter(found), None))
    if best is None and refused is not None:
        raise refused
    return best, None if best is None else found[best]


def _with_unit(name: str, unit: str | None) -> Axis | None:
    """Return the axis of a name, with the unit from the row below if the name has none."""
    if unit is not None:
        with contextlib.suppress(Refusal):
            axis = axis_of(name)
            if axis is None or axis.united:
                return axis
        with contextlib.suppress(Refusal):
            axis = axis_of(f"{name} ({unit})")
            if axis is not None:
                return axis
    return axis_of(name)


def labelled_axis(titles: list[str], points: int) -> Axis | None:
    """Return the axis from labels other than column headers: fit2d's .chi (title, x label, y label, points) and x-label: Q.

    Raises:
        Refusal: a label of something that cannot be converted to an angle.
    """
    count = re.fullmatch(r"(\d+)[\s,]*\d*", titles[-1].strip()) if len(titles) >= 4 else None
    if count is not None and (int(count[1]) == points or _INTENSITY.search(titles[-2])):
        return axis_of(titles[-3])
    # anything that only resembles a label must be unambiguous
    for title in titles:
        label = _LABEL.match(title)
        if label is None:
            continue
        try:
            axis = axis_of(label["what"])
        except Refusal:
            if label["x"]:
                raise
        else:
            if axis is not None and (label["x"] or axis.united):
                return axis
    if len(titles) >= 2 and len(titles[-2].split()) <= 4 and _INTENSITY.match(titles[-1]):
        with contextlib.suppress(Refusal):
            axis = axis_of(titles[-2])
            return axis if axis is not None and axis.united else None
    return None


def _title_fields(title: str, width: int) -> list[str] | None:
    """Return the names of ``width`` columns in a line, or ``None`` if it cannot be divided into that many."""
    quoted = re.findall(r"\"[^\"]*\"|[^\"\s,;|]+", title)
    if '"' in title and len(quoted) == width:
        return [name.strip(' "') for name in quoted]
    for separator in (";", "\t", ",", "|"):
        if title.count(separator) == width - 1:
            return [name.strip().strip("\"'") for name in title.split(separator)]
    for names in (re.split(r"\s{2,}", title.strip()), title.split(), _words_with_units(title)):
        if len(names) == width and not any(re.match(r"[(\[][^)\]]*[)\]]?$", name) for name in names):
            return [name.strip(" \"',;") for name in names]
    return None


def _words_with_units(title: str) -> list[str]:
    """Split a line into words, keeping units in brackets or after a slash, and theta after 2, with the word before."""
    title = re.sub(r"\s*([(\[][^)\]]*[)\]])", lambda found: found[1].replace(" ", "_"), title)
    title = re.sub(r"\s*/\s*", "/", title)
    title = re.sub(rf"\s+(?={_BARE_UNIT}(?:\s|$))", "_", title)
    title = re.sub(r"(?<!\S)(2|two)\s+(?=th|θ)", r"\1", title, flags=re.IGNORECASE)
    return re.sub(
        r"(?<=\w)\s+(?=(?:space|spacing|vector|transfer|of|flight|angle|number)\b)", "_", title, flags=re.IGNORECASE
    ).split()
