"""Consistency of a CIF's stated formula, density and volume with its sites."""

import re
from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from ..._warn import warn
from ...crystal import Crystal
from ...errors import ParseError
from ._cif_block import column_of, line_of, text_of
from .cif_symmetry import HERMANN_MAUGUIN

_TOKEN = re.compile(r"([A-Z][a-z]?) *(\d*\.?\d*)(?:\(\d+\))?\s*")
# Occupancies are rounded, and so are formulae.
_RELATIVE, _ABSOLUTE = 0.02, 0.01
_DENSITY, _VOLUME = 0.05, 0.01
# grams per mol and Å³ in one g/cm³
AVOGADRO_PER_CUBIC_ANGSTROM = 0.602214076
_SHARES, _EQUAL = "their multiplicity over that of the general position", "the same share of the general position"
_FOLDED = (
    "They do when the multiplicity is taken out of the occupancies, as in SHELX and FullProf 1/12 stands for a full site with a "
    "twelfth of the general positions: write 1 for a full site"
)


def formula_of(block: cif.Block) -> dict[str, float]:
    """Return the atoms of the formula sum by element, deuterium as hydrogen; empty if there is no readable one."""
    text = text_of(block, ("_chemical_formula_sum",)) or ""
    if not re.fullmatch(f"(?:{_TOKEN.pattern})+", text):
        return {}
    found: dict[str, float] = {}
    for element, number in _TOKEN.findall(text):
        element = "H" if element in ("D", "T") else element
        found[element] = found.get(element, 0.0) + float(number or 1)
    return found


def contents_of(crystal: Crystal) -> dict[str, float]:
    """Return the atoms of the cell by element, weighted by occupancy, deuterium as hydrogen."""
    content: dict[str, float] = {}
    for element, occupancy, site in zip(crystal.elements, crystal.occupancy, crystal.sites(), strict=True):
        element = "H" if element == "D" else element
        content[element] = content.get(element, 0.0) + float(occupancy) * site.multiplicity
    return content


def fitting_formula(path: Path, block: cif.Block, crystals: list[Crystal]) -> Crystal:
    """Return the one of two origin choices whose cell content is Z formula units."""
    if len(crystals) == 1:
        return crystals[0]
    wanted = _wanted(block)
    if wanted:
        fitting = [c for c in crystals if not _differences(contents_of(c), wanted)]
        if len(fitting) == 1:
            return fitting[0]
    first, second = (c.group.name for c in crystals)
    raise ParseError(
        path,
        next((line for tag in HERMANN_MAUGUIN if (line := line_of(block, tag))), None),
        f"the symmetry of data_{block.name} is only a symbol that leaves the origin open: {first!r} and {second!r} both fit. "
        f'Give spacegroup = "{first}", or spacegroup = "{second}" with the origin at the centre of symmetry, or write that '
        "symbol into the file",
    )


def check_contents(path: Path, block: cif.Block, crystal: Crystal) -> None:
    """Warn if the sites do not add up to formula units, or if hydrogen is counted but not located."""
    content, formula, wanted = contents_of(crystal), formula_of(block), _wanted(block)
    if formula and not wanted:
        # Z from the element with most electrons in the cell that occurs in both
        known = [e for e in formula if content.get(e)]
        if known:
            units = max(content[e] / formula[e] for e in known)
            wanted = {e: n * units for e, n in formula.items()}
    # some programs write the cell content as the formula, together with their Z
    wrong = _differences(content, wanted) if wanted and _differences(content, formula) else []
    folded = _folded(crystal, wanted if wrong else {})
    attached = _attached_hydrogens(block)
    if attached and "H" not in content:
        said = ", ".join(f"{n:g} at {label}" for label, n in attached.items())
        warn(
            f"{path}: hydrogen atoms are counted (_atom_site_attached_hydrogens: {said}) but have no positions: they do not "
            "scatter here, and masses lack them",
        )
    if wrong:
        numbers = ", ".join(f"{e} {content.get(e, 0.0):.4g} instead of {wanted.get(e, 0.0):.4g}" for e in wrong)
        z = text_of(block, ("_cell_formula_units_Z",))
        what = f"{z} × {text_of(block, ('_chemical_formula_sum',))}" if z else "a multiple of the formula"
        warn(
            f"{path}: the sites of data_{block.name} do not add up to {what}: {numbers} in the cell. "
            + (_FOLDED if folded else "Sites may be missing or have another element, occupancy or multiplicity"),
        )
    elif folded and (not formula or folded == _EQUAL):
        warn(f"{path}: occupancies of data_{block.name} on special positions are all {folded}. {_FOLDED}")
    _check_numbers(path, block, crystal, known=bool(wrong))


def _folded(crystal: Crystal, wanted: Mapping[str, float]) -> str:
    """Describe how occupancies include the multiplicity of special positions, as in SHELX and FullProf; empty if not."""
    sites, order = crystal.sites(), crystal.group.order
    share = np.array([site.multiplicity / order for site in sites])
    occupancy = np.asarray(crystal.occupancy, dtype=float)
    special = share < 0.999
    if not special.any() or (occupancy[special] > 1.02 * share[special] + 1e-3).any():
        return ""
    if wanted:
        unfolded: dict[str, float] = {}
        for element, occ, site, of in zip(crystal.elements, occupancy, sites, share, strict=True):
            element = "H" if element == "D" else element
            unfolded[element] = unfolded.get(element, 0.0) + float(occ / of) * site.multiplicity
        # formulae are known up to a factor, as Z may be wrong
        ratio = [unfolded.get(e, 0.0) / n for e, n in wanted.items() if n]
        return _SHARES if max(ratio) - min(ratio) < 0.03 * max(ratio) else ""
    if special.sum() < 2 or not (np.abs(occupancy - share) < 0.01 * share + 5e-4).all():
        return ""
    if share.min() > 0.2:
        return ""  # halves and quarters are also occupancies of disordered sites
    # with a formula alone, equal shares only change Z
    return _EQUAL if np.ptp(share) < 1e-6 else _SHARES


def _check_numbers(path: Path, block: cif.Block, crystal: Crystal, *, known: bool) -> None:
    """Warn if the stated density or volume is not that of the cell and its atoms."""
    number = lambda tag: cif.as_number(text_of(block, (tag,)) or "?")
    volume, stated_volume = float(crystal.volume()), number("_cell_volume")
    if stated_volume > 0 and abs(volume / stated_volume - 1.0) > _VOLUME:
        warn(
            f"{path}: the cell has a volume of {volume:.4g} Å³, and _cell_volume is {stated_volume:g}: one of its lengths and angles, "
            "or the setting, is wrong",
        )
    if known:
        return
    density, z = number("_exptl_crystal_density_diffrn"), number("_cell_formula_units_Z")
    mass, electrons = (
        crystal.cell_mass(),
        sum(n * gemmi.Element(e).atomic_number for e, n in contents_of(crystal).items()),
    )
    for tag, unit, found, stated in (
        (
            "_exptl_crystal_density_diffrn",
            "g/cm³",
            mass / volume / AVOGADRO_PER_CUBIC_ANGSTROM,
            density / (1e3 if density > 100 else 1),
        ),
        ("_chemical_formula_weight times Z", "g/mol", mass, number("_chemical_formula_weight") * z),
        # for neutrons it is in fm
        (
            "_exptl_crystal_F_000",
            "electrons",
            electrons,
            np.nan if _of_neutrons(block) else number("_exptl_crystal_F_000"),
        ),
    ):
        if stated > 0 and abs(found / stated - 1.0) > _DENSITY:
            warn(
                f"{path}: the atoms of the cell have {found:.4g} {unit}, and {tag} is {stated:.4g}: sites may be missing, or have another "
                "element or occupancy, or the cell or Z is wrong",
            )
            return


def _of_neutrons(block: cif.Block) -> bool:
    said = text_of(block, ("_diffrn_radiation_probe",)) or text_of(block, ("_diffrn_radiation_type",)) or ""
    return "neutron" in said.lower()


def _wanted(block: cif.Block) -> dict[str, float]:
    """Return the atoms of the cell by formula and Z; empty if the block does not state both."""
    z = cif.as_number(text_of(block, ("_cell_formula_units_Z",)) or "?")
    return {e: n * z for e, n in formula_of(block).items()} if np.isfinite(z) and z > 0 else {}


def _differences(content: Mapping[str, float], wanted: Mapping[str, float]) -> list[str]:
    return [
        element
        for element in dict.fromkeys((*wanted, *content))
        if abs(content.get(element, 0.0) - wanted.get(element, 0.0)) > _RELATIVE * wanted.get(element, 0.0) + _ABSOLUTE
    ]


def _attached_hydrogens(block: cif.Block) -> dict[str, float]:
    labels, numbers = column_of(block, "_atom_site_label"), column_of(block, "_atom_site_attached_hydrogens")
    counts = [cif.as_number(text) for text in numbers]
    return {label: n for label, n in zip(labels, counts, strict=False) if np.isfinite(n) and n > 0}
