"""Classification of given files: patterns, spectra, structures, lists of peaks (host)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..crystal import Crystal
from ..errors import JaxnmrError, ParseError
from ..io import read_crystals
from ..io.files import decode, read_bytes

_STRUCTURES = {
    ".cif", ".mcif", ".exp", ".res", ".ins", ".vasp", ".poscar", ".xyz", ".extxyz", ".cell", ".castep", ".pdb", ".xsf", ".gen", ".cssr",
}  # fmt: skip
_SPECTRA = {".csdf", ".csdfe", ".spe", ".jdx", ".dx", ".jcamp", ".ft", ".fid"}
_COLUMNS = {".txt", ".csv", ".dat", ".xy", ".asc", ".tsv", ".peaks", ".list"}
# file names that identify the folder of a spectrometer
_IN_FOLDERS = ("acqus", "procs", "fid", "1r", "pdata", "procpar")
# most rows of a list of peaks; a spectrum has more
_MOST_PEAKS = 48
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Given:
    """Files by kind.

    Attributes:
        patterns, spectra: measured data.
        structures: by phase name: the crystal, its file, and the number of the structure if the file has several.
        magres, peaks, dmfit: sources of sites for spectra.
    """

    patterns: tuple[Path, ...]
    spectra: tuple[Path, ...]
    structures: dict[str, tuple[Crystal, Path, str | None]]
    magres: tuple[Path, ...] = ()
    peaks: tuple[Path, ...] = ()
    dmfit: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Name of the first data file."""
        return plain((*self.patterns, *self.spectra)[0].stem)


def sort_files(files: Sequence[Path], *, nmr: bool = False) -> Given:
    """Classify files as patterns, spectra, structures and lists of peaks.

    Args:
        files: in any order.
        nmr: take columns of text as spectra if possible.

    Raises:
        ParseError: a file does not exist or cannot be read.
        JaxnmrError: there are no data, nothing describes them, or a file is given twice.
    """
    found: dict[str, list[Path]] = {}
    places = [file.resolve() for file in files]
    for file in files:
        if not file.exists():
            raise ParseError(file, None, "no such file")
        if places.count(file.resolve()) > 1:
            raise JaxnmrError(f"{file} was given twice; give every file once")
        found.setdefault(_kind(file, nmr), []).append(file)
    of = lambda kind: tuple(found.get(kind, ()))
    wanted = (*of("structure"), *(of("magres") if of("pattern") and not of("structure") else ()))
    structures: dict[str, tuple[Crystal, Path, str | None]] = {}
    for file in wanted:
        inside = read_crystals(file)
        for entry, crystal in inside.items():
            only = len(inside) == 1
            name = _free(plain(file.stem if only else entry), structures)
            structures[name] = (crystal.replace(name=name), file, None if only else entry)
    given = Given(of("pattern"), of("spectrum"), structures, of("magres"), of("peaks"), of("dmfit"))
    if not (given.patterns or given.spectra):
        raise JaxnmrError(
            f"{', '.join(map(str, files))}: no data among these: give the measured pattern or spectrum, too, as in jaxnmr new sample.xrdml "
            "structure.cif"
        )
    if given.patterns and not structures:
        raise JaxnmrError(
            f"{given.patterns[0]} is a powder pattern, and there is no structure to refine: give a CIF (or EXP, res, POSCAR ...) file, too. "
            "Where none is known, jaxnmr solve finds one from the pattern and the composition. (A spectrum in columns: give --isotope, too)"
        )
    if given.spectra and not (given.magres or given.peaks or given.dmfit):
        raise JaxnmrError(
            f"{given.spectra[0]} is a spectrum, and nothing says its sites: give a magres file of a calculation, a DMFit fit (fxml), or a "
            "list of peaks, a text with a label, a shift in ppm and a relative area in each line"
        )
    return given


def plain(name: str) -> str:
    """Return a name without characters that are special in parameter names."""
    return _NOT_PLAIN.sub("_", name).strip("_") or "phase"


def _free(name: str, taken: Collection[str]) -> str:
    k, found = 1, name
    while found in taken:
        k += 1
        found = f"{name}_{k}"
    return found


def _kind(file: Path, nmr: bool) -> str:
    suffix = file.suffix.lower()
    if file.is_dir() and not any((file / name).exists() for name in _IN_FOLDERS):
        raise ParseError(
            file,
            None,
            "is a folder, and neither one of TopSpin (acqus, procs or pdata) nor of Varian (procpar): name the files in it",
        )
    if file.is_dir() or suffix in _SPECTRA:
        return "spectrum"
    if suffix == ".magres":
        return "magres"
    if suffix == ".fxml":
        return "dmfit"
    if suffix in (".cif", ".mcif"):
        text = file.read_text(encoding="latin-1")
        measured = re.search(r"^\s*_pd_(meas|proc|calc)_(2theta|counts|intensity|point)", text, re.MULTILINE)
        return "structure" if "_atom_site_fract_x" in text or measured is None else "pattern"
    if suffix in _STRUCTURES or file.name.upper() in ("POSCAR", "CONTCAR"):
        return "structure"
    if suffix in _COLUMNS:
        rows = _rows(file)
        if len(rows) <= _MOST_PEAKS:
            return "peaks"
        if nmr and (rows[0] > rows[-1] or min(rows) < 0.0):
            return "spectrum"
    return "pattern"


def _rows(file: Path) -> list[float]:
    """Return the first number of every line that has one."""
    found = []
    for line in decode(file, read_bytes(file), "columns of text").splitlines():
        for word in re.split(r"[\s,;]+", line.strip())[:2]:
            try:
                found.append(float(word))
                break
            except ValueError:
                continue
    return found
