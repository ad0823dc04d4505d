"""`TensorData`: structures with computed tensors as training data, and their readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from ...errors import ConventionError, DataError, JaxnmrError, ParseError, ShapeError
from ...io.structures.ase import read_ase_frames
from ...io.structures.magres import Magres, magres_from_ase, read_magres
from ...nmr.quadrupolar import ROUNDING_AU
from ...nmr.tensors import check_efg
from .near_duplicates import merged_groups

# name of the array in files, unit, and sign
QUANTITIES = {
    "shielding": ("ms", "ppm", "shielding"),
    "efg": ("efg", "au", "second derivative of the potential"),
}
# shift from valence-only shieldings of the si_nmr set to all-electron ones: makes alpha quartz 439.8 ppm, as calculated by
# GIPAW with norm-conserving pseudopotentials
SI_CORE_PPM = 838.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorData:
    """Labelled structures of one quantity at one level of theory.

    Attributes:
        structures: periodic, each with the tensors of the quantity, NaN for atoms without a label.
        quantity: ``"shielding"`` (ppm, positive where the nucleus is shielded) or ``"efg"`` (atomic units).
        groups: group name per structure; structures of one group are similar and belong on one side of a split.
        source: origin of the data.
        level_of_theory: functional, pseudopotentials, program.
    """

    structures: tuple[Magres, ...] = field(repr=False)
    quantity: str
    groups: tuple[str, ...] = field(repr=False)
    source: str = ""
    level_of_theory: str = ""

    @classmethod
    def create(
        cls,
        structures: Sequence[Magres],
        quantity: str,
        *,
        groups: Sequence[str] | None = None,
        source: str = "",
        level_of_theory: str = "",
    ) -> Self:
        """Build and check the data; every structure is its own group by default.

        Raises:
            DataError: there is no structure, a structure lacks a cell or labels, or a label is incomplete.
            ConventionError: the quantity is unknown, or field gradients are not symmetric and traceless.
            ShapeError: the numbers of groups and structures differ.
        """
        if quantity not in QUANTITIES:
            raise ConventionError(f"quantity is {quantity!r}; expected one of {', '.join(QUANTITIES)}")
        structures = tuple(structures)
        if not structures:
            raise DataError(f"no structures in {source or 'the data'}")
        groups = tuple(s.name for s in structures) if groups is None else tuple(str(g) for g in groups)
        if len(groups) != len(structures):
            raise ShapeError(f"{len(structures)} structures and {len(groups)} groups; expected one group each")
        out = cls(
            structures=structures, quantity=quantity, groups=groups, source=source, level_of_theory=level_of_theory
        )
        for k, structure in enumerate(structures):
            _check_structure(structure, out.tensors(k) if out.key in structure.tensors else None, quantity)
        return out

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def key(self) -> str:
        """Name of the array in files, ``"ms"`` or ``"efg"``."""
        return QUANTITIES[self.quantity][0]

    @property
    def unit(self) -> str:
        """Unit of the tensors."""
        return QUANTITIES[self.quantity][1]

    @property
    def species(self) -> tuple[str, ...]:
        """All elements, in alphabetical order."""
        return tuple(sorted({e for s in self.structures for e in s.elements}))

    @property
    def labelled_elements(self) -> tuple[str, ...]:
        """Elements with labels, in alphabetical order."""
        found = {e for k, s in enumerate(self.structures) for e, m in zip(s.elements, self.mask(k), strict=True) if m}
        return tuple(sorted(found))

    def tensors(self, index: int) -> np.ndarray:
        """Return the labels of one structure ``(atoms, 3, 3)``, NaN where there is none."""
        return self.structures[index].tensors[self.key]

    def mask(self, index: int) -> np.ndarray:
        """Return which atoms of a structure have a label, ``(atoms,)``."""
        return np.isfinite(self.tensors(index)).all(axis=(1, 2))

    def take(self, indices: Iterable[int]) -> Self:
        """Select structures by index."""
        indices = [int(k) for k in indices]
        return replace(
            self,
            structures=tuple(self.structures[k] for k in indices),
            groups=tuple(self.groups[k] for k in indices),
        )

    def without(self, names: Sequence[str]) -> Self:
        """Return all structures except those with these names."""
        return self.take([k for k, s in enumerate(self.structures) if s.name not in set(names)])

    def joined(self, other: Self) -> Self:
        """Join two data sets.

        Raises:
            ConventionError: quantity or level of theory differ: codes differ by several ppm at unusual sites.
        """
        if (self.quantity, self.level_of_theory) != (other.quantity, other.level_of_theory):
            raise ConventionError(
                f"{self.quantity} of {self.level_of_theory or 'an unknown level'} and {other.quantity} of "
                f"{other.level_of_theory or 'an unknown level'} are not the same numbers: re-reference one of them first"
            )
        return replace(
            self,
            structures=self.structures + other.structures,
            groups=self.groups + other.groups,
            source=f"{self.source}, {other.source}",
        )

    def split(self, fractions: Sequence[float], *, seed: int, by_group: bool = True) -> tuple[np.ndarray, ...]:
        """Split the indices of structures, for example into training, validation and test.

        Args:
            fractions: fractions of the structures, summing to 1; each group goes to the part most short of its share.
            seed: seed of the shuffling.
            by_group: keep groups together. Otherwise near-duplicates leak from training to test.

        Raises:
            ConventionError: fractions are not positive or do not sum to 1.
            DataError: there are fewer groups than parts.
        """
        shares = np.asarray(fractions, dtype=float)
        if (shares <= 0).any() or abs(shares.sum() - 1.0) > 1e-6:
            raise ConventionError(f"fractions are {shares.tolist()}; expected positive numbers that sum to 1")
        names = self.groups if by_group else [str(k) for k in range(len(self))]
        members: dict[str, list[int]] = {}
        for k, name in enumerate(names):
            members.setdefault(name, []).append(k)
        if len(members) < len(shares):
            raise DataError(f"{len(members)} groups cannot be split in {len(shares)} parts")
        order = np.random.default_rng(seed).permutation(len(members))
        keys = list(members)
        parts: list[list[int]] = [[] for _ in shares]
        for k in order:
            # empty parts first, or a large group could leave one empty
            need = [np.inf if not part else f * len(self) - len(part) for f, part in zip(shares, parts, strict=True)]
            parts[int(np.argmax(need))] += members[keys[k]]
        return tuple(np.array(sorted(part)) for part in parts)


def read_si_nmr(folder: str | Path, *, core_ppm: float = SI_CORE_PPM) -> TensorData:
    """Read 29Si shieldings of silicon oxides (VASP, PBE), ``si_nmr_data.json`` with ``duplicate_groups.json``.

    The file contains ``dB_induced/dB``, minus the shielding, of valence electrons; here ``sigma = core - T``. Its
    groups miss some identical crystals, which are merged here, see :func:`merged_groups`.

    Source: M. C. Venetos, M. Wen, K. A. Persson, J. Phys. Chem. A 127, 2388 (2023).

    Raises:
        ParseError: files cannot be read, or entries are inconsistent; the message names them.
    """
    path = Path(folder) / "si_nmr_data.json"
    columns, groups = _json(path), _json(Path(folder) / "duplicate_groups.json")
    group_of = {str(member): f"group-{k}" for k, group in enumerate(groups) for member in group}
    structures = []
    try:
        for key, record in columns["structure"].items():
            sites = record["sites"]
            if any(len(site["species"]) != 1 or site["species"][0]["occu"] != 1 for site in sites):
                raise ParseError(path, None, f"entry {key} is disordered; expected one atom on every site")
            elements = [site["species"][0]["element"] for site in sites]
            chosen = np.asarray(columns["atom_selector"][key], dtype=bool)
            labels = np.asarray(columns["nmr_tensor"][key], dtype=float)
            if chosen.shape != (len(sites),) or labels.shape != (chosen.sum(), 3, 3):
                raise ParseError(
                    path, None, f"entry {key}: {labels.shape} tensors for {chosen.sum()} chosen of {len(sites)} atoms"
                )
            trace = np.trace(labels, axis1=1, axis2=2) / 3.0
            if np.abs(trace - np.asarray(columns["sigma_iso"][key])).max() > 1e-3:
                raise ParseError(path, None, f"entry {key}: isotropic values differ from a third of the traces")
            shielding = np.full((len(sites), 3, 3), np.nan)
            shielding[chosen] = core_ppm * np.eye(3) - labels
            lattice = np.asarray(record["lattice"]["matrix"], dtype=float)
            fractional = np.asarray([site["abc"] for site in sites], dtype=float)
            structures.append(_structure(key, elements, fractional @ lattice, lattice, {"ms": shielding}))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ParseError(path, None, f"not the columns of this data set: {type(error).__name__} {error}") from error
    return TensorData.create(
        structures,
        "shielding",
        groups=merged_groups(structures, [group_of.get(s.name, s.name) for s in structures]),
        source="si_nmr (Venetos 2023)",
        level_of_theory="PBE, GIPAW, VASP",
    )


def read_magres_folder(
    folder: str | Path,
    quantity: str,
    *,
    group: Callable[[Path], str] = lambda path: path.stem,
    level_of_theory: str = "",
) -> TensorData:
    """Read all ``.magres`` files below a folder, in alphabetical order; names are relative paths.

    Args:
        folder: folder with files or folders of files.
        quantity: ``"shielding"`` or ``"efg"``.
        group: returns the group of a file from its path; files of the same name form a group by default.
        level_of_theory: level of theory of the calculation.

    Raises:
        DataError: there are no files, or a file lacks the quantity.
        ParseError: a file cannot be read.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob("*.magres"))
    if not paths:
        raise DataError(f"no .magres file in {folder}")
    named = [replace(read_magres(path), name=str(path.relative_to(folder).with_suffix(""))) for path in paths]
    return TensorData.create(
        named, quantity, groups=[group(p) for p in paths], source=str(folder.name), level_of_theory=level_of_theory
    )


def read_tensor_file(
    path: str | Path, quantity: str, *, group: str | None = None, level_of_theory: str = ""
) -> TensorData:
    """Read the frames of an extxyz file with the arrays ``ms`` (ppm) or ``efg`` (atomic units).

    Args:
        path: the file.
        quantity: ``"shielding"`` or ``"efg"``.
        group: info entry whose value is the group of a frame, such as ``"prototype"``; by default every frame is its
            own group.
        level_of_theory: level of theory of the calculation.

    Raises:
        ParseError: the file cannot be read, or a frame lacks the entry.
        DataError, ShapeError: frames without tensors, or of the wrong shape.
    """
    path = Path(path)
    structures, groups = [], []
    for k, atoms in enumerate(read_ase_frames(path), start=1):
        name = str(atoms.info.get("tag", f"{path.stem}-{k}"))
        if group is not None and group not in atoms.info:
            raise ParseError(path, None, f"frame {k} has no {group!r}; it has {', '.join(atoms.info) or 'nothing'}")
        structures.append(magres_from_ase(atoms, name=name))
        groups.append(str(atoms.info[group]) if group is not None else name)
    return TensorData.create(structures, quantity, groups=groups, source=path.name, level_of_theory=level_of_theory)


def _structure(name, elements, positions, lattice, tensors) -> Magres:
    labels = tuple(f"{e}_{elements[: k + 1].count(e)}" for k, e in enumerate(elements))
    return Magres(
        elements=tuple(elements),
        positions=positions,
        lattice=lattice,
        labels=labels,
        species=tuple(elements),
        tensors=tensors,
        name=name,
    )


def _json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParseError(path, None, f"cannot be opened: {error.strerror or error}") from error
    except ValueError as error:
        raise ParseError(path, getattr(error, "lineno", None), f"is no JSON: {error}") from error


def _check_structure(structure: Magres, tensors: np.ndarray | None, quantity: str) -> None:
    name = structure.name or "a structure"
    if structure.lattice is None:
        raise DataError(f"{name} has no cell; a molecule needs a box around it, wider than twice the cutoff")
    if tensors is None:
        raise DataError(f"{name} has no {quantity} tensors; it has {', '.join(structure.tensors) or 'none'}")
    finite = np.isfinite(tensors)
    partly = finite.any(axis=(1, 2)) & ~finite.all(axis=(1, 2))
    if partly.any():
        raise DataError(
            f"{name}: the tensor of {structure.labels[int(np.argmax(partly))]} has numbers that are not finite; give all "
            "nine, or nan for an atom without a label"
        )
    if not finite.any():
        raise DataError(f"{name} has no labelled atom: leave it out")
    if quantity == "efg":
        try:
            check_efg(tensors[finite.all(axis=(1, 2))], f"EFG of {name}", slack=ROUNDING_AU)
        except JaxnmrError as error:
            raise ConventionError(str(error)) from error
