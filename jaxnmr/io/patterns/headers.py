"""What the lines above columns of numbers say of them: which column is what, and what the angles are."""

import contextlib
import re

from .axis import Axis, Refusal, axis_of, plain_title

_ROLES = {
    "sigma": re.compile(r"[yi]?_?(sig|σ|esd|e\.s\.d|s\.?u\b|std|err|unc)|d[yi]\b|e\b"),
    "weight": re.compile(r"weight|wt?\b"),
    "factor": re.compile(r"att(?:en|\b)|absorber"),
    "y": re.compile(r"[yi]?_?(obs|meas|exp)|intensity\b(?!.*calc)|int\b|counts?\b|y\b|i\b"),
}
_INTENSITY = re.compile(
    r"intens|counts?|\b[gsf]\([qr]\)|impuls|cps|signal|\bint\b|\b[yi]_?(obs|meas|exp|raw|net)?\b|(obs|meas)",
    re.IGNORECASE,
)
_CERTAIN = re.compile(r"theta|q|tof|d[ _-]?spacing|channel", re.IGNORECASE)
_UNIT = re.compile(r"\W*(?:deg\w*|m?rad|(?:1/)?(?:a|nm)|(?:a|nm)\^?-1|counts|cts|cps|arb\W*units?|a\W*u)?\W*")
_LABEL = re.compile(
    r"(?:(?P<x>x)[\s_-]*(?:axis|label|unit|title)|unit|axis|abscissa)\w*\W*[:=]\s*(?P<what>\S.*)", re.IGNORECASE
)


def roles_of(titles: list[str], width: int) -> tuple[dict[str, int] | None, Axis | None, tuple[str, ...]]:
    """Which column is what, by the titles when one of the last two names angle and intensity; the axis; a doubt to note.

    A row of units may stand below that of the names.
    """
    rows = [_title_fields(title, width) for title in titles[-3:]]
    for k in range(len(rows) - 1, max(len(rows) - 3, -1), -1):
        names = rows[k]
        above = rows[k - 1] if k > 0 else None
        if names is None or (above is not None and all(_UNIT.fullmatch(plain_title(name)) for name in names)):
            continue
        units = rows[k + 1] if k + 1 < len(rows) else None
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
    return None, None, ()


def _angle_column(names: list[str], units: list[str] | None) -> tuple[int | None, Axis | None]:
    """The column of the angles, 2theta before all others, and what it holds.

    Raises:
        Refusal: the only candidate, the first column, is named as something that does not become an angle.
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
    """What a name stands for, with the unit below it where it has none of its own."""
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
    """The axis of labels that are no header of columns: fit2d's .chi (title, x label, y label, points) and x-label: Q.

    Raises:
        Refusal: a label of something that does not become an angle.
    """
    count = re.fullmatch(r"(\d+)[\s,]*\d*", titles[-1].strip()) if len(titles) >= 4 else None
    if count is not None and (int(count[1]) == points or _INTENSITY.search(titles[-2])):
        return axis_of(titles[-3])
    # what only looks like a label must be quite clear
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
    """The names of ``width`` columns in a line, or ``None`` when it cannot be divided into so many."""
    for separator in (";", "\t", ",", "|"):
        if title.count(separator) == width - 1:
            return [name.strip().strip("\"'") for name in title.split(separator)]
    for names in (re.split(r"\s{2,}", title.strip()), title.split(), _words_with_units(title)):
        if len(names) == width and not any(name.startswith(("(", "[")) for name in names):
            return [name.strip(" \"',;") for name in names]
    return None


def _words_with_units(title: str) -> list[str]:
    """The words of a line; a unit in brackets or behind a slash, and theta behind 2, belong to the word before."""
    title = re.sub(r"\s*([(\[][^)\]]*[)\]])", lambda found: found[1].replace(" ", "_"), title)
    title = re.sub(r"\s*/\s*", "/", title)
    title = re.sub(r"(?<!\S)(2|two)\s+(?=th|θ)", r"\1", title, flags=re.IGNORECASE)
    return re.sub(
        r"(?<=\w)\s+(?=(?:space|spacing|vector|transfer|of|flight|angle|number)\b)", "_", title, flags=re.IGNORECASE
    ).split()
