"""Are computed tensors what they claim to be? Their frame, their sign and their unit, judged by the structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import ase.data
import numpy as np

from ...errors import DataError
from ...graph import plan_neighbours
from ...io.structures.magres import Magres
from ...io.structures.symmetry import find_symmetry
from ...nmr.tensors import principal_frame
from .tensor_data import TensorData

# A tensor in a random frame violates its symmetry by about its own size, one in the right frame by a few hundredths
FRAME_VIOLATION = 0.3
# Å; coordinates of data sets have 5 or 6 decimals
SYMPREC = 1e-2
# largest |Vzz| of elements up to argon in atomic units (Cl2 has 5.6); in V/Å^2 numbers are 97 times as large
LARGEST_EFG_AU = 10.0
# fewer sites do not show a trend
_FEWEST = 20


class Symmetry(NamedTuple):
    """Operations of a structure.

    Attributes:
        turns: ``(operations, 3, 3)`` Cartesian matrices.
        images: ``(operations, atoms)``, the atom that each operation takes each atom to.
    """

    turns: np.ndarray
    images: np.ndarray

    def representatives(self) -> tuple[np.ndarray, np.ndarray]:
        """For every atom the first equivalent one ``(atoms,)`` and the matrix ``(atoms, 3, 3)`` that takes it there."""
        first = self.images.min(axis=0)
        atoms = np.arange(self.images.shape[1])
        operation = np.argmax(self.images[:, first] == atoms, axis=0)
        return first, self.turns[operation]


def structure_symmetry(structure: Magres, symprec: float = SYMPREC) -> Symmetry:
    """Symmetry operations of a structure in its own cell and frame (spglib); the identity where there is no other.

    Raises:
        DataError: spglib finds atoms on top of each other.
    """
    lattice = structure.vectors
    fractional = np.linalg.solve(lattice.T, structure.positions.T).T
    kinds = sorted(set(structure.elements))
    types = np.array([kinds.index(e) for e in structure.elements])
    found = find_symmetry(lattice, fractional, types.tolist(), symprec)
    if found is None:
        raise DataError(f"spglib finds no symmetry in {structure.name}: atoms on top of each other?")
    images, kept = [], []
    for k, (rotation, translation) in enumerate(zip(found.rotations, found.translations, strict=True)):
        apart = (fractional @ rotation.T + translation)[:, None] - fractional
        apart = np.linalg.norm((apart - np.round(apart)) @ lattice, axis=-1)
        apart[types[:, None] != types] = np.inf
        image = apart.argmin(axis=1)
        # spglib's tolerance is not quite a distance between atoms: keep what is a permutation
        if len(set(image)) == len(image) and apart[np.arange(len(image)), image].max() < 5.0 * symprec:
            images.append(image)
            kept.append(k)
    turns = np.einsum("ji,njk,lk->nil", lattice, found.rotations[kept].astype(float), np.linalg.inv(lattice))
    return Symmetry(turns, np.array(images))


@dataclass(frozen=True)
class FrameCheck:
    """How well the tensors of a structure obey its symmetry.

    Attributes:
        name: of the structure.
        operations: symmetry operations.
        pairs: comparisons of a turned tensor with that of the image; 0 where symmetry says nothing.
        violation: root mean square difference over that of the anisotropy: 0 obeys, 1 and more a random frame.
        largest: difference (Frobenius norm) in the unit of the tensors. A tiny one with a large violation belongs to
            tensors that are isotropic by symmetry: numerical noise.
    """

    name: str
    operations: int
    pairs: int
    violation: float
    largest: float

    @property
    def is_wrong(self) -> bool:
        """Return whether the frame of the tensors cannot be that of the structure."""
        return self.violation > FRAME_VIOLATION


def check_frame(structure: Magres, tensors: np.ndarray, symprec: float = SYMPREC) -> FrameCheck:
    """Compare ``R T R^T`` with the tensor of the atom that R leads to, for every operation and labelled atom.

    Only the symmetric traceless part is looked at: it knows the frame, and every tensor has one.

    Args:
        structure: positions and cell.
        tensors: ``(atoms, 3, 3)``, nan where there is no label.
        symprec: tolerance of symmetry, Å.
    """
    symmetry = structure_symmetry(structure, symprec)
    part = 0.5 * (tensors + tensors.swapaxes(1, 2))
    part = part - np.trace(part, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    turned = np.einsum("nij,ajk,nlk->nail", symmetry.turns, part, symmetry.turns)
    image = part[symmetry.images]
    difference = np.sum((turned - image) ** 2, axis=(2, 3))
    size = 0.5 * (np.sum(part**2, axis=(1, 2)) + np.sum(image**2, axis=(2, 3)))
    trivial = (np.abs(symmetry.turns - np.eye(3)).max(axis=(1, 2)) < 1e-9)[:, None]
    same = symmetry.images == np.arange(len(part))
    compared = np.isfinite(difference) & ~(trivial & same)
    difference, size = difference[compared], size[compared]
    total = size.sum()
    return FrameCheck(
        name=structure.name,
        operations=len(symmetry.turns),
        pairs=int(compared.sum()),
        violation=float(np.sqrt(difference.sum() / total)) if total > 0 else 0.0,
        largest=float(np.sqrt(difference.max(initial=0.0))),
    )


def check_frames(data: TensorData, symprec: float = SYMPREC) -> tuple[FrameCheck, ...]:
    """`check_frame` of all structures, the worst first."""
    checks = [check_frame(s, data.tensors(k), symprec) for k, s in enumerate(data.structures)]
    return tuple(sorted(checks, key=lambda check: -check.violation))


@dataclass(frozen=True)
class SignCheck:
    """A trend that fixes the sign of labels.

    Attributes:
        trend: what was looked at, in words.
        sites: how many sites show it.
        value: correlation, or fraction less one half, doubled: 1 is as it should be, -1 the other sign.
    """

    trend: str
    sites: int
    value: float

    @property
    def is_wrong(self) -> bool:
        """Return whether enough sites agree on the other sign."""
        return self.sites >= _FEWEST and self.value < -0.3


def check_sign(data: TensorData) -> SignCheck | None:
    """The sign of labels by a trend known from experiment, where the data have the sites for it; else ``None``.

    Shieldings: silicon linked to four silicon atoms is the more shielded the wider its Si-O-Si angles (J. V. Smith, C. S.
    Blackwell, Nature 303, 223 (1983)). Field gradients: the largest principal value of an oxygen atom that bridges two
    atoms of Si, Al, P or B is positive.
    """
    values, angles = [], []
    for k, structure in enumerate(data.structures):
        labelled, tensors = data.mask(k), data.tensors(k)
        linked = _bridges(structure)
        if data.quantity == "shielding":
            for atom in np.flatnonzero(labelled):
                mine = [angle for ends, angle, _ in linked if atom in ends and structure.elements[atom] == "Si"]
                if len(mine) == 4:
                    angles.append(np.mean(mine))
                    values.append(np.trace(tensors[atom]) / 3.0)
        else:
            oxygen = sorted({o for _, _, o in linked if labelled[o]})
            if oxygen:
                values += np.sign(np.asarray(principal_frame(tensors[oxygen], "efg").values)[:, 2]).tolist()
    if data.quantity == "shielding" and len(values) >= _FEWEST and np.ptp(angles) > 1.0:
        value = float(np.corrcoef(angles, values)[0, 1])
        return SignCheck("shielding of Si with its mean Si-O-Si angle", len(values), value)
    if data.quantity == "efg" and len(values) >= _FEWEST:
        return SignCheck("Vzz of bridging oxygen is positive", len(values), float(np.mean(values)))
    return None


def check_unit(data: TensorData) -> None:
    """Refuse numbers that can only be of another unit.

    Raises:
        DataError: field gradients far above those of any light element, or shieldings below a hundredth of a ppm.
    """
    for k, structure in enumerate(data.structures):
        mask = data.mask(k)
        size = np.abs(data.tensors(k)).max(axis=(1, 2))
        light = np.array([ase.data.atomic_numbers[e] <= 18 for e in structure.elements])
        if data.quantity == "efg" and (size[mask & light] > LARGEST_EFG_AU).any():
            raise DataError(
                f"{structure.name} has an EFG of {size[mask & light].max():.1f} on a light element; expected below "
                f"{LARGEST_EFG_AU:g} atomic units. V/Å^2 are 97.174 times as large: divide"
            )
        if data.quantity == "shielding" and (size[mask] < 0.01).all():
            raise DataError(f"{structure.name} has shieldings below 0.01; expected ppm, not fractions: multiply by 1e6")


def _bridges(structure: Magres) -> list[tuple[tuple[int, int], float, int]]:
    """Oxygen atoms with two neighbours that make networks: ``((atom, atom), angle in degrees, oxygen)``."""
    elements = np.array(structure.elements)
    former, oxygen = np.isin(elements, ("Si", "Al", "P", "B")), elements == "O"
    pairs = plan_neighbours(structure.vectors, structure.positions, 2.2, np.flatnonzero(oxygen))
    vectors = pairs.vectors(structure.vectors, structure.positions)
    out = []
    for atom in np.flatnonzero(oxygen):
        mine = np.flatnonzero((pairs.receivers == atom) & former[pairs.senders])
        if len(mine) == 2:
            u, v = vectors[mine]
            cosine = u @ v / np.sqrt((u @ u) * (v @ v))
            ends = (int(pairs.senders[mine[0]]), int(pairs.senders[mine[1]]))
            out.append((ends, float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))), int(atom)))
    return out
