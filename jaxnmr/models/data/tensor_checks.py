"""Consistency checks of computed tensors against their structures: frame, sign and unit."""

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

# the symmetry violation of a tensor in a random frame is about its own size, in the right frame a few hundredths of it
FRAME_VIOLATION = 0.3
# Å; coordinates of data sets have 5 or 6 decimals
SYMPREC = 1e-2
# largest |Vzz| of elements up to argon in atomic units (Cl2 has 5.6); values in V/Å^2 are 97 times larger
LARGEST_EFG_AU = 10.0
# fewer sites are not enough for a trend
_FEWEST = 20


class Symmetry(NamedTuple):
    """Symmetry operations of a structure.

    Attributes:
        turns: ``(operations, 3, 3)`` Cartesian matrices.
        images: ``(operations, atoms)``, the image of each atom under each operation.
    """

    turns: np.ndarray
    images: np.ndarray

    def representatives(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first equivalent atom ``(atoms,)`` of every atom, and the matrix ``(atoms, 3, 3)`` from that to it."""
        first = self.images.min(axis=0)
        atoms = np.arange(self.images.shape[1])
        operation = np.argmax(self.images[:, first] == atoms, axis=0)
        return first, self.turns[operation]


def structure_symmetry(structure: Magres, symprec: float = SYMPREC) -> Symmetry:
    """Return the symmetry operations of a structure in its own cell and frame (spglib), at least the identity.

    Raises:
        DataError: spglib finds overlapping atoms.
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
        # spglib's tolerance is not exactly an interatomic distance: keep only permutations
        if len(set(image)) == len(image) and apart[np.arange(len(image)), image].max() < 5.0 * symprec:
            images.append(image)
            kept.append(k)
    turns = np.einsum("ji,njk,lk->nil", lattice, found.rotations[kept].astype(float), np.linalg.inv(lattice))
    return Symmetry(turns, np.array(images))


@dataclass(frozen=True)
class FrameCheck:
    """Compliance of the tensors of a structure with its symmetry.

    Attributes:
        name: name of the structure.
        operations: number of symmetry operations.
        pairs: number of comparisons of a rotated tensor with that of the image; 0 if symmetry implies nothing.
        violation: root mean square difference divided by that of the anisotropy: 0 for perfect symmetry, 1 and more for
            a random frame.
        largest: largest difference (Frobenius norm) in the unit of the tensors. A tiny value with a large violation
            indicates tensors that are isotropic by symmetry, with numerical noise.
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

    Only the symmetric traceless part is used: it depends on the frame, and every tensor has one.

    Args:
        structure: positions and cell.
        tensors: ``(atoms, 3, 3)``, NaN without a label.
        symprec: symmetry tolerance, Å.
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
    """Return `check_frame` for all structures, worst first."""
    checks = [check_frame(s, data.tensors(k), symprec) for k, s in enumerate(data.structures)]
    return tuple(sorted(checks, key=lambda check: -check.violation))


@dataclass(frozen=True)
class SignCheck:
    """A trend that determines the sign of labels.

    Attributes:
        trend: description of the trend.
        sites: number of sites in the trend.
        value: correlation, or (fraction less one half) doubled: 1 for the correct sign, -1 for the opposite sign.
    """

    trend: str
    sites: int
    value: float

    @property
    def is_wrong(self) -> bool:
        """Return whether enough sites agree on the other sign."""
        return self.sites >= _FEWEST and self.value < -0.3


def check_sign(data: TensorData) -> SignCheck | None:
    """Check the sign of labels by a trend known from experiment; ``None`` if the data have too few sites for it.

    Shieldings: the shielding of silicon linked to four silicon atoms increases with its Si-O-Si angles (J. V. Smith, C. S.
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
    """Refuse numbers that must be in another unit.

    Raises:
        DataError: field gradients far exceed those of any light element, or shieldings are below a hundredth of a ppm.
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
    """List oxygen atoms with two network-forming neighbours: ``((atom, atom), angle in degrees, oxygen)``."""
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
