"""Space-group symbols: their meanings, ambiguous origins, and suggestions for misspelt ones."""

import re
from difflib import get_close_matches

import gemmi

from ..errors import SymmetryError

# "F d -3 m O2", "F d -3 m Z", "P 4/n m m (origin choice 2)": spellings of ":2" in various programs
_ORIGIN = re.compile(r"(.+?) ?(?:\(?origin (?:choice )?([12])\)?|O([12])|([SZ]))", re.IGNORECASE)
_CHOICE = re.compile(r"(?::[12HR]| ?[HR])$", re.IGNORECASE)
# every direction with its axis and mirror; the unique axis of tetragonal and hexagonal groups stays in the short symbol
_FULL = re.compile(
    r"(?P<unique>[A-Z] (?:4|41|42|6|63)/[a-z](?! -3)|[A-Z])"
    r"(?:(?: 21?/[a-z]){2,3}|(?: 4[12]?/[a-z])? -3 21?/[a-z]| 21?/[a-z] -3)(?: 1)?"
)
_HALL = re.compile(r"hall *: *", re.IGNORECASE)


def hall_part(text: str) -> str | None:
    """Return the Hall symbol of ``"hall: P 31 2"``, or of a symbol with a leading minus, which only Hall symbols have."""
    named = _HALL.match(text)
    return text[named.end() :] if named else text if text.startswith("-") else None


def tabulated(name: str | int, cell: tuple[float, float] | None = None) -> tuple[gemmi.SpaceGroup, ...]:
    """Look up the tabulated settings that a Hermann-Mauguin symbol or a number may mean.

    Args:
        name: the symbol, with or without blanks, or the number.
        cell: alpha and gamma in degrees, which distinguish rhombohedral from hexagonal axes if the symbol does not;
            hexagonal if not given.

    Returns:
        One setting; both origins if the symbol leaves the origin open; none for an unknown symbol.
    """
    text = " ".join(str(name).split())
    # "227:2": a number with its setting
    number, _, setting = (part.strip() for part in text.partition(":"))
    if number.isdigit():
        if not 1 <= int(number) <= 230:
            return ()
        text = gemmi.find_spacegroup_by_number(int(number)).hm + (f":{setting}" if setting else "")
    alpha, gamma = (0.0, 0.0) if cell is None else cell
    known = gemmi.find_spacegroup_by_name(text, alpha, gamma) or gemmi.find_spacegroup_by_name(
        _short(text), alpha, gamma
    )
    if known is None:
        stated = _ORIGIN.fullmatch(text)
        choice = stated and (stated[2] or stated[3] or {"S": "1", "Z": "2"}[stated[4].upper()])
        known = gemmi.find_spacegroup_by_name(f"{stated[1]}:{choice}") if stated else None
        return (known,) if known else ()
    if known.ext in "12" and not _CHOICE.search(text):
        return known, gemmi.find_spacegroup_by_name(f"{known.hm}:2")
    return (known,)


def _short(symbol: str) -> str:
    """Return the short symbol of a full one, ``"F m -3 m"`` for ``"F 4/m -3 2/m"``; other symbols unchanged."""
    full = _FULL.fullmatch(re.sub(r"(:[12HR])$", "", symbol))
    if not full:
        return symbol
    mirrors = re.sub(r" \d+/", " ", symbol[full.end("unique") :])
    return full["unique"] + mirrors


def unknown_symbol(name: object) -> SymmetryError:
    """Return the error for an unknown symbol, with the most similar known ones."""
    text = str(name).strip()
    near = near_misses(text)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    if _is_hall(text):
        hint += f"It reads as a Hall symbol; if that is meant, write {f'hall: {text}'!r}. "
    return SymmetryError(
        f"unknown space group {name!r}: {hint}{'Else give' if hint else 'give'} a Hermann-Mauguin symbol such as 'P 21/c' or "
        "'F d -3 m:2', a number from 1 to 230, a Hall symbol as 'hall: -P 2ybc', or the operations as x,y,z triplets"
    )


def open_origin(settings: tuple[gemmi.SpaceGroup, ...]) -> SymmetryError:
    """Return the error for a symbol that leaves the origin open."""
    first, second = (setting.xhm() for setting in settings)
    return SymmetryError(
        f"the space group {settings[0].hm} has two origins, and the symbol does not say which: give {first!r}, or {second!r} "
        "with the origin at the centre of symmetry. A wrong one puts atoms on other positions: compare multiplicities "
        "or distances with the source of the coordinates"
    )


def near_misses(text: str) -> list[str]:
    """Return up to three tabulated symbols that a misspelt one may mean, the most similar first."""
    plain = _plain(_CHOICE.sub("", text))
    names: dict[str, str] = {}
    for setting in gemmi.spacegroup_table():
        for symbol in (setting.short_name(), setting.hm):
            names.setdefault(_plain(symbol), setting.xhm())
    typed = [name for name in names if len(name) == len(plain) > 2 and _differing(name, plain) == 1]
    unusual = lambda name: not gemmi.find_spacegroup_by_name(names[name]).is_reference_setting()
    close = get_close_matches(plain, names, n=3, cutoff=0.75)
    return list(dict.fromkeys(names[name] for name in (*sorted(typed, key=unusual), *close)))[:3]


def _plain(symbol: str) -> str:
    return re.sub(r"[\s_:]", "", symbol).lower()


def _differing(first: str, second: str) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def _is_hall(text: str) -> bool:
    try:
        gemmi.symops_from_hall(text.replace("_", " "))
    except (RuntimeError, ValueError):
        return False
    return " " in text
