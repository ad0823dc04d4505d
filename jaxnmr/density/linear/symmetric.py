"""Assignment of the atoms of a cell to sites of a known space group (host)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...crystal import Crystal, SpaceGroup, lattice
from ...errors import SymmetryError

# Å, largest deviation of atoms from positions of the group
_OFF = 0.6


def in_group(
    cell: Float[np.ndarray, "6"], group: SpaceGroup, elements: Sequence[str], xyz: Float[np.ndarray, "n 3"], u_iso: float, name: str
) -> Crystal:  # fmt: skip
    """Return the crystal of a group closest to the atoms of a cell in P1; each site is the mean over its equivalents.

    Raises:
        SymmetryError: a position equivalent to an atom is not occupied by an atom of its element.
    """
    vectors = np.asarray(lattice(np.asarray(cell, dtype=float)))
    places, left = np.asarray(xyz, dtype=float) % 1.0, list(range(len(xyz)))
    species, found = [], []
    while left:
        here = places[left[0]]
        mean, taken = np.zeros(3), set()
        for rotation, translation in zip(group.rotations, group.translations, strict=True):
            image = rotation @ here + translation
            same = [k for k in left if elements[k] == elements[left[0]]]
            apart = places[same] - image
            apart -= np.round(apart)
            far = np.linalg.norm(apart @ vectors, axis=1)
            nearest = int(far.argmin())
            if far[nearest] > _OFF:
                raise SymmetryError(
                    f"{elements[left[0]]} at {np.round(here, 3).tolist()} has no equivalent at {np.round(image % 1.0, 3).tolist()} in "
                    f"{group.name}: the atoms found do not have this symmetry"
                )
            taken.add(same[nearest])
            # back to the first position, which it must be close to
            back = np.linalg.solve(rotation, image + apart[nearest] - translation)
            mean += here + (back - here - np.round(back - here))
        species.append(elements[left[0]])
        found.append(mean / len(group.rotations))
        left = [k for k in left if k not in taken]
    return Crystal.create(
        cell=cell, spacegroup=group, species=species, xyz=np.array(found) % 1.0, u_iso=u_iso, name=name
    )
