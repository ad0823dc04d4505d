"""Element of a site in a CIF, from its type symbol, or from the letters of type or label if these are unambiguous."""

import re
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from ..._warn import warn
from ...crystal import element_of
from ...errors import ConventionError, ParseError
from ._cif_block import line_of
from .cif_contents import formula_of
from .cif_labels import chosen, nearest, two_readings

_NO_ATOM = re.compile(
    r"(va|vac|vacan\w*|void|du|dum|dummy|cen|cent\w*|ce?nt|ctr|lp|none|null)(?![a-z])|(?-i:Cg\d*$|Bq)", re.IGNORECASE
)
# Fe3+M1 is an ion on M1, Fe+Mg denotes two elements
_MIXED = re.compile(r"[A-Z][a-z]?([\d.()]*(\d[+-]|[+-]\d|[+-])?\s*[/,&|;:]|\s*\+|\d?[+-] *\+)\s*[\d.()]*[A-Z]")
_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻−–", "0123456789+---")
_SEVERAL = "a site of several elements is listed once for each, with the same coordinates and their occupancies"
# first two atoms of molecules and ions that are sometimes placed on one site
_GROUP = re.compile(
    r"(H)2(O)|(H)3(O)|(O)H2()|(N)(O)[23]|(N)H[34]()|(C)(O)3|(S)(O)4|(P)(O)4|(Cl)(O)4|(B)H4()|(B)(F)4|(P)(F)6|(C)H[34]()"
)
# heavier elements are guessed only if the formula contains them
_HEAVIEST_GUESS = 96


def species_of(
    path: Path, block: cif.Block, symbols: list[str], labels: list[str], cell: np.ndarray, xyz: np.ndarray
) -> list[str]:
    """Return the type symbols ``"Ca2+"``, ``"O"`` of all sites.

    Args:
        path: for error messages.
        block: for the formula.
        symbols, labels: of the sites, empty where missing.
        cell: ``(6,)``, and ``xyz`` ``(sites, 3)``: distances distinguish CA1, calcium, from CA1, carbon.

    Raises:
        ParseError: a site whose element would have to be guessed, identified by its label.
    """
    formula = set(formula_of(block))
    symbols = [_plain(symbol) for symbol in symbols]
    known = [_stated(symbol, formula, is_label=False) for symbol in symbols]
    doubts = []
    for k, (species, symbol, label) in enumerate(zip(known, symbols, labels, strict=True)):
        readings = two_readings(label) if not species and symbol in ("", "?", ".") else None
        if readings is None:
            known[k] = species or _stated(label, formula, is_label=True)
        elif not formula or all(_in(e, formula) for e in readings):
            known[k], doubt = chosen(readings, label, nearest(k, cell, xyz, labels), labels)
            doubts += [doubt] if doubt else []
        elif _in(readings[0], formula):
            known[k] = readings[0]
    _say_hydroxide(path, symbols, labels)
    if doubts:
        warn(
            f"{path}: without type symbols, and a formula that tells, elements were read from labels: {'; '.join(doubts)}. If one is "
            "wrong, write _atom_site_type_symbol",
        )
    placed = {element_of(species)[0] for species in known if species}
    water = [
        label
        for species, symbol, label in zip(known, symbols, labels, strict=True)
        if not species and any(_is_water(text) for text in (symbol, label))
    ]
    if water:
        warn(f"{path}: water molecules {', '.join(water)} are read as their oxygen atoms")
    return [
        species or _from_letters(path, block, symbol.strip(), label.strip(), formula, placed)
        for species, symbol, label in zip(known, symbols, labels, strict=True)
    ]


def _plain(symbol: str) -> str:
    """Normalise ``Fe+++``, ``Fe³⁺``, ``Fe(III)``, ``Fe(3+)``, ``Fe3+M1`` to ``Fe3+``, and ``natNi`` to ``Ni``."""
    text = re.sub(r"nat(?:ural)?[-_ ]*(?=[A-Z][a-z]?(?![a-z]))", "", symbol.strip().translate(_RAISED))
    if _MIXED.search(text):
        return text
    if found := re.fullmatch(
        r"(\d{0,3}[A-Z][a-z])(I{1,3}|IV|VI{0,3})|(\d{0,3}[A-Z][a-z]?) ?\((I{1,3}|IV|VI{0,3})\)", text
    ):
        return f"{found[1] or found[3]}{_ROMAN[found[2] or found[4]]}+"
    if found := re.fullmatch(r"(\d{0,3}[A-Z][a-z]?)(\+{2,8}|-{2,4})", text):
        return f"{found[1]}{len(found[2])}{found[2][0]}"
    found = re.fullmatch(r"(\d{0,3}[A-Z][a-z]?) ?\((\d[+-]|[+-]\d)\)|(\d{0,3}[A-Z][a-z]?)(\d[+-])[A-Z_*].*", text)
    return f"{found[1] or found[3]}{found[2] or found[4]}" if found else text


def _say_hydroxide(path: Path, symbols: list[str], labels: list[str]) -> None:
    """Warn that type symbols of hydroxide are read as oxygen."""
    named = [label for label, symbol in zip(labels, symbols, strict=True) if re.fullmatch(r"OH\d?[+-]?\d?|O-H", symbol)]
    if named:
        warn(
            f"{path}: hydroxide {', '.join(named)} is read as its oxygen atom; hydrogen needs a site of its own",
        )


def _stated(text: str, formula: set[str], *, is_label: bool) -> str:
    """Return a text that is only an element, charged or not; empty for others.

    A label is accepted only for an element of the formula (CO may be carbonyl); NO is never nobelium.
    """
    if is_label:
        text = re.sub(r"^([A-Za-z]{1,2})-\d+$", r"\1", text)  # the first oxygen, not an ion
    try:
        element = element_of(text)[0]
    except ConventionError:
        return ""
    known = _in(element, formula)
    if is_label and formula and not known:
        return ""
    if gemmi.Element(element).atomic_number > _HEAVIEST_GUESS and not known and (is_label or text[:2].isupper()):
        return ""
    return text.strip()


def _from_letters(path: Path, block: cif.Block, symbol: str, label: str, formula: set[str], placed: set[str]) -> str:
    refuse = lambda why: ParseError(
        path,
        line_of(block, "_atom_site_label") or line_of(block, "_atom_site_type_symbol"),
        f"site {label!r} with type {symbol!r} is no element: {why}. Expected a type symbol such as 'O', 'D', 'Ca2+'",
    )
    for text in (symbol, label):
        if text in ("", "?", "."):
            continue
        if re.match(r"nat(ural)?(?![a-z])", text):
            raise refuse("it says natural, and not of what")
        if _NO_ATOM.match(text) and not _in_formula(text, formula):
            raise refuse("a vacancy or dummy scatters nothing and is left out of the list of sites")
        if _MIXED.search(text):
            raise refuse(_SEVERAL + _parts(text))
        pair = re.match(r"([A-Z][a-z])([A-Z][a-z])", text)
        if pair and all(gemmi.Element(element).atomic_number > 0 for element in pair.groups()):
            raise refuse(_SEVERAL)
        letters = re.sub(r"[^A-Za-z].*", "", text, flags=re.DOTALL)
        if _is_water(text):
            return "O"  # the hydrogen is not located
        group = _GROUP.match(text)
        if group and not {part for part in group.groups() if part} <= placed | {"H"} - formula:
            raise refuse(f"{group[0]} is a group of atoms, each of which needs a site of its own")
        # CA1 is calcium, OW1 oxygen, HOA hydrogen; HO1 is holmium only if the formula contains it
        guesses = [letters] if len(letters) < 3 else [letters[:2]] if letters[1:2].islower() else []
        guesses = [g.capitalize() for g in (*guesses, letters[:1]) if g and gemmi.Element(g).atomic_number > 0]
        guesses = [g for g in guesses if g in formula or gemmi.Element(g).atomic_number <= _HEAVIEST_GUESS]
        if guesses:
            found = next((g for g in guesses if _in(g, formula)), None)
            if formula and found is None:
                raise refuse(
                    f"its letters may mean {' or '.join(guesses)}, which the formula {sorted(formula)} does not have"
                )
            return found or guesses[0]
    raise refuse("its letters begin with none")


def _parts(text: str) -> str:
    """Describe the elements of ``0.8Nb + 0.2Zr`` or ``Nb0.8/Zr0.2`` with their occupancies, if all have one."""
    before = re.findall(r"(\d*\.\d+|\d+)\s*\*?\s*([A-Z][a-z]?(?![a-z]))", text)
    behind = [(n, e) for e, n in re.findall(r"([A-Z][a-z]?)\s*\(?(\d*\.\d+)", text)]
    found = max(before, behind, key=len)
    if len(found) < 2 or abs(sum(float(n) for n, _ in found) - 1.0) > 0.02:
        return ""
    return ": here " + " and ".join(f"{e} with {float(n):g}" for n, e in found)


def _is_water(text: str) -> bool:
    return text.strip().lower().startswith("wat")


def _in(element: str, formula: set[str]) -> bool:
    return ("H" if element == "D" else element) in formula


def _in_formula(text: str, formula: set[str]) -> bool:
    """Return whether an apparent vacancy symbol may be an element label: Du1 with deuterium, Va with vanadium."""
    return text[1:2].isupper() and _in(text[:1], formula)
