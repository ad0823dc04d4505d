"""Which of the files that somebody gives is what (host)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..crystal import Crystal
from ..errors import JaxnmrError, ParseError
from ..io import read_crystals

_STRUCTURES = {
    ".cif", ".mcif", ".exp", ".res", ".ins", ".vasp", ".poscar", ".xyz", ".extxyz", ".cell", ".castep", ".pdb", ".xsf", ".gen", ".cssr",
}  # fmt: skip
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Given:
    """Files by what they are.

    Attributes:
        patterns: powder patterns.
        structures: by name of the phase: the crystal, its file, and which structure of the file where it has several.
    """

    patterns: tuple[Path, ...]
    structures: dict[str, tuple[Crystal, Path, str | None]]

    @property
    def name(self) -> str:
        """Of what is measured."""
        return self.patterns[0].stem


def sort_files(files: Sequence[Path]) -> Given:
    """Tell patterns, spectra and structures apart.

    Raises:
        ParseError: a file that is not there, or cannot be read.
        JaxnmrError: no data, or no structure.
    """
    patterns: list[Path] = []
    structures: dict[str, tuple[Crystal, Path, str | None]] = {}
    for file in files:
        if not file.exists():
            raise ParseError(file, None, "no such file")
        if _is_structure(file):
            found = read_crystals(file)
            for entry, crystal in found.items():
                only = len(found) == 1
                name = _free(plain(file.stem if only else entry), structures)
                structures[name] = (crystal.replace(name=name), file, None if only else entry)
        else:
            patterns.append(file)
    if not patterns:
        raise JaxnmrError(
            f"{', '.join(map(str, files))}: structures, but no data: give the measured pattern or spectrum, too, as in jaxnmr new "
            "sample.xrdml structure.cif"
        )
    if not structures:
        raise JaxnmrError(
            f"{patterns[0]}: data, but no structure to refine: give a CIF (or EXP, res, POSCAR ...) file, too. Where none is known, jaxnmr "
            "solve finds one from the pattern and the composition"
        )
    return Given(tuple(patterns), structures)


def plain(name: str) -> str:
    """A name without characters that mean something in names of parameters."""
    return _NOT_PLAIN.sub("_", name).strip("_") or "phase"


def _free(name: str, taken) -> str:
    k, found = 1, name
    while found in taken:
        k += 1
        found = f"{name}_{k}"
    return found


def _is_structure(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in (".cif", ".mcif"):
        text = file.read_text(encoding="latin-1")
        pattern = re.search(r"^\s*_pd_(meas|proc|calc)_(2theta|counts|intensity|point)", text, re.MULTILINE)
        return "_atom_site_fract_x" in text or pattern is None
    return suffix in _STRUCTURES or file.name.upper() in ("POSCAR", "CONTCAR")
