"""Perov-5 (I. E. Castelli et al., Energy Environ. Sci. 5, 5814, 2012; split of T. Xie et al., CDVAE, ICLR 2022) from the folder of data.

The file is a zipped JSON of ``{"train" | "val" | "test": {id: POSCAR}}`` with lines separated by a backslash and an n: the split comes
with the data. Every cell is cubic, with y and z on 0 or 1/2 in all but rare crystals: only x moves.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnmr.crystal import Crystal
from jaxnmr.density import valence_elements

FILE = Path("crystals_jarvis") / "perov5_heat_ref.json.zip"


class Entry(NamedTuple):
    """A crystal: edge of its cube in Å, elements ``(5,)``, fractional coordinates ``(5, 3)``."""

    name: str
    a: float
    elements: tuple[str, ...]
    xyz: np.ndarray

    def crystal(self, u_iso: float = 0.0) -> Crystal:
        """All atoms in P1."""
        return Crystal.create(
            cell=[self.a] * 3 + [90.0] * 3,
            spacegroup=1,
            species=self.elements,
            xyz=self.xyz,
            u_iso=u_iso,
            name=self.name,
        )


def read(folder: str | Path | None = None) -> dict[str, list[Entry]]:
    """Entries of train, val and test, without those of elements that have no valence atom (lanthanides)."""
    path = Path(folder or os.environ["JAXNMR_DATA"]) / FILE
    with zipfile.ZipFile(path) as archive:
        parts = json.loads(archive.read(archive.namelist()[0]))
    known = set(valence_elements())
    found = {part: [_entry(name, text) for name, text in texts.items()] for part, texts in parts.items()}
    return {part: [e for e in entries if set(e.elements) <= known] for part, entries in found.items()}


def drawn(entries: list[Entry], count: int, seed: int) -> list[Entry]:
    """So many of some entries, drawn by seed."""
    return [entries[k] for k in np.random.default_rng(seed).permutation(len(entries))[:count]]


def _entry(name: str, text: str) -> Entry:
    lines = text.replace("\\n", "\n").split("\n")
    vectors = np.array([line.split() for line in lines[2:5]], dtype=float) * float(lines[1])
    edges = np.linalg.norm(vectors, axis=1)
    if np.abs(vectors @ vectors.T - np.diag(edges**2)).max() > 1e-3 or np.ptp(edges) > 1e-3:
        raise ValueError(f"{name} is not cubic: {vectors.tolist()}")
    elements = [e for e, n in zip(lines[5].split(), lines[6].split(), strict=True) for _ in range(int(n))]
    xyz = np.array([line.split()[:3] for line in lines[8 : 8 + len(elements)]], dtype=float) % 1.0
    return Entry(name, float(edges.mean()), tuple(elements), xyz)
