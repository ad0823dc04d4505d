"""Line-by-line reading of ``.magres`` files, with line numbers in errors and content that ASE drops or fails on.

Format: S. Sturniolo et al., https://www.ccpnc.ac.uk/docs/magres, version 1.0.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import ParseError

ATOM_TENSORS = ("ms", "efg", "efg_local", "efg_nonlocal")
COUPLINGS = ("isc", "isc_fc", "isc_spin", "isc_orbital_p", "isc_orbital_d")
UNITS = {
    "lattice": "Angstrom",
    "atom": "Angstrom",
    "sus": "10^-6.cm^3.mol^-1",
    "ms": "ppm",
    **dict.fromkeys(ATOM_TENSORS[1:], "au"),
    **dict.fromkeys(COUPLINGS, "10^19.T^2.J^-1"),
}
HEADER = "#$magres-abinitio-v1.0"
_BLOCK = re.compile(r"\s*[\[<](/?)(\w+)[\]>]\s*$")


@dataclass
class Scan:
    """Content of the lines of a file.

    Attributes:
        labels: ``(label, index)`` of the atoms, in the order of the file.
        atoms: records of the atoms block in the standard form.
        tensors: per kind, atom number to nine numbers as text.
        couplings: per kind, ``(first atom, second atom, nine numbers)``.
        susceptibility: nine numbers, or ``None``.
        calculation: records of the calculation block, in the order of the file.
        units: as the file states them.
    """

    labels: list[tuple[str, int]] = field(default_factory=list)
    atoms: list[str] = field(default_factory=list)
    tensors: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    couplings: dict[str, list[tuple[int, int, np.ndarray]]] = field(default_factory=dict)
    susceptibility: np.ndarray | None = None
    calculation: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def standard_text(self) -> str:
        """Return atoms and one-atom tensors as ASE reads them; missing tensors are NaN."""
        lines = [
            HEADER,
            "[atoms]",
            "units lattice Angstrom",
            "units atom Angstrom",
            *self.atoms,
            "[/atoms]",
            "[magres]",
        ]
        for kind, rows in self.tensors.items():
            lines.append(f"units {kind} {UNITS[kind]}")
            lines += [
                f"{kind} {label} {index} " + " ".join(rows.get(k, ["nan"] * 9))
                for k, (label, index) in enumerate(self.labels)
            ]
        return "\n".join([*lines, "[/magres]"]) + "\n"


def scan_magres(path: Path, text: str, assume_units: bool) -> Scan:
    """Check every line and sort the records.

    Raises:
        ParseError: with the line, for anything that is not magres 1.0.
    """
    lines = text.splitlines()
    if not re.match(r"#\$magres-abinitio-v1\.", lines[0] if lines else "") and not assume_units:
        raise ParseError(
            path,
            1,
            f"starts with {(lines[0] if lines else '')[:40]!r}, not {HEADER!r}: no .magres file, or one written before the "
            "format stated its units. If they are Å, ppm, atomic units and 10^19 T^2/J, rewrite it in Python: "
            "jaxnmr.io.write_magres(jaxnmr.io.read_magres('old.magres', assume_units=True), 'new.magres')",
        )
    reader = _Reader(path, assume_units)
    for number, line in enumerate(lines, start=1):
        reader.line(number, line)
    reader.finish(len(lines))
    return reader.scan


class _Reader:
    def __init__(self, path: Path, assume_units: bool):
        self.path, self.assume_units = path, assume_units
        self.scan = Scan()
        self.block: str | None = None
        self.opened = 0
        self.number = 0
        self.seen: set[str] = set()
        self.found: dict[tuple[str, int], int] = {}
        self.joined: dict[str, list[int]] = {}

    def error(self, message: str) -> ParseError:
        return ParseError(self.path, self.number, message)

    def line(self, number: int, line: str) -> None:
        self.number = number
        tag = _BLOCK.match(line)
        if tag and (self.block is None or tag[1]):
            self.switch(bool(tag[1]), tag[2])
            return
        words = line.split("#", 1)[0].split()
        if not words:
            return
        if self.block is None:
            raise self.error(
                f"{line.strip()[:40]!r} stands outside any block; expected [atoms], [magres] or [calculation]"
            )
        if self.block == "calculation":
            self.scan.calculation.setdefault(words[0], []).append(" ".join(words[1:]))
        elif self.block in ("atoms", "magres"):
            self.record(words[0], words[1:])

    def switch(self, closing: bool, name: str) -> None:
        if closing:
            if name == self.block:
                self.block = None
            elif self.block in (None, "atoms", "magres", "calculation"):
                raise self.error(f"[/{name}] closes a block that is not open")
            return
        if name in self.seen:
            raise self.error(f"a second [{name}] block; a file has one of each")
        if name == "magres" and "atoms" not in self.seen:
            raise self.error("the [magres] block comes before the [atoms] block")
        self.block, self.opened = name, self.number
        self.seen.add(name)

    def finish(self, last: int) -> None:
        self.number = last
        if self.block is not None:
            raise self.error(f"the file ends inside [{self.block}], opened in line {self.opened}: it is truncated")
        if not self.scan.labels:
            raise ParseError(self.path, None, "has no atoms; expected an [atoms] block with atom records")

    def record(self, tag: str, words: list[str]) -> None:
        if tag == "units":
            self.unit(words)
            return
        allowed = ("lattice", "atom", "symmetry") if self.block == "atoms" else ("sus", *ATOM_TENSORS, *COUPLINGS)
        if tag not in allowed:
            raise self.error(f"unknown record {tag!r} in [{self.block}]; expected one of {', '.join(allowed)}")
        if tag == "symmetry":
            return
        # CASTEP 6 and 7 state the unit of efg but not that of its parts
        if not {tag, tag.split("_")[0]} & self.scan.units.keys() and not self.assume_units:
            raise self.error(f"{tag} before its unit is stated; expected 'units {tag} {UNITS[tag]}' further up")
        if tag == "lattice":
            self.lattice(words)
        elif tag == "atom":
            self.atom(words)
        elif tag == "sus":
            self.scan.susceptibility = self.tensor(tag, words)
        elif tag in ATOM_TENSORS:
            atom, rest = self.which(tag, words)
            if [word.lower() for word in rest] == ["nan"] * 9:
                return  # as ASE writes an atom without a tensor
            self.tensor(tag, rest)
            rows = self.scan.tensors.setdefault(tag, {})
            if atom in rows:
                raise self.error(f"a second {tag} tensor of {self.name(atom)}")
            rows[atom] = rest
        else:
            first, rest = self.which(tag, words)
            second, rest = self.which(tag, rest)
            self.scan.couplings.setdefault(tag, []).append((first, second, self.tensor(tag, rest)))

    def unit(self, words: list[str]) -> None:
        if len(words) != 2 or words[0] not in UNITS:
            raise self.error(f"'units {' '.join(words)}': expected a quantity of {', '.join(UNITS)} and its unit")
        tag, unit = words
        if unit != UNITS[tag]:
            raise self.error(f"{tag} is in {unit!r}; magres 1.0 knows {UNITS[tag]!r} only: convert the numbers")
        self.scan.units[tag] = unit

    def lattice(self, words: list[str]) -> None:
        vectors = self.tensor("lattice", words)
        if abs(np.linalg.det(vectors)) < 1e-3:
            raise self.error(f"lattice vectors {vectors.tolist()} span no volume")
        if any(text.startswith("lattice") for text in self.scan.atoms):
            raise self.error("a second lattice")
        self.scan.atoms.append(f"lattice {' '.join(words)}")

    def atom(self, words: list[str]) -> None:
        if len(words) != 6 or not words[2].isdigit():
            raise self.error(f"an atom record has {len(words)} entries; expected species, label, index, x, y, z")
        self.numbers("atom", words[3:], 3)
        key = (words[1], int(words[2]))
        if key in self.found:
            raise self.error(f"a second atom {words[1]} {words[2]}")
        self.found[key] = len(self.scan.labels)
        self.joined.setdefault(f"{words[1]}{words[2]}", []).append(len(self.scan.labels))
        self.scan.labels.append(key)
        self.scan.atoms.append(f"atom {' '.join(words)}")

    def which(self, tag: str, words: list[str]) -> tuple[int, list[str]]:
        """Return the atom of a tensor, and the words after it. CASTEP before version 23 joins label and index."""
        if len(words) >= 2 and words[1].isdigit() and (words[0], int(words[1])) in self.found:
            return self.found[words[0], int(words[1])], words[2:]
        if words and len(self.joined.get(words[0], ())) == 1:
            return self.joined[words[0]][0], words[1:]
        raise self.error(f"{tag} of {' '.join(words[:2])!r}, which is no atom of the file (label and index)")

    def name(self, atom: int) -> str:
        return " ".join(map(str, self.scan.labels[atom]))

    def tensor(self, tag: str, words: list[str]) -> np.ndarray:
        return self.numbers(tag, words, 9).reshape(3, 3)

    def numbers(self, tag: str, words: list[str], count: int) -> np.ndarray:
        if len(words) != count:
            raise self.error(f"{tag} has {len(words)} numbers; expected {count}")
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.error(
                f"{tag} has {next(w for w in words if not _is_number(w))!r} where a number is expected"
            ) from None
        if not all(map(math.isfinite, values)):
            raise self.error(f"{tag} has a number that is not finite")
        return np.array(values)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
