"""Expansion of the asymmetric unit to the atoms of the cell.

An atom of the crystal is five integers ``(site, operation, ta, tb, tc)``: an operation of the space group applied
to the site, followed by a lattice translation. They are determined once on the host; positions follow from them
traceably.
"""

import numpy as np
from jaxtyping import Float, Int

from .._arrays import namespace
from .._struct import Struct, static
from ..typing import Array
from .cell import lattice
from .symmetry import SpaceGroup
from .unit import AsymmetricUnit


class FullCell(Struct):
    """All atoms of the conventional cell.

    Attributes:
        lattice: vectors as rows, Å.
        fractional: coordinates in the cell.
        occupancy: of every atom.
        site: index of the site of which each atom is an image.
        species: per atom, the type symbol.
        labels: per atom, the label of its site.
    """

    lattice: Float[Array, "3 3"]
    fractional: Float[Array, "atoms 3"]
    occupancy: Float[Array, " atoms"]
    site: Int[Array, " atoms"]
    species: tuple[str, ...] = static()
    labels: tuple[str, ...] = static()

    @property
    def cartesian(self) -> Float[Array, "atoms 3"]:
        """Positions in Å."""
        return self.fractional @ self.lattice


class Expansion(Struct):
    """Images of the sites that fill the cell, conventional or primitive; made by :func:`plan_expansion`.

    Attributes:
        atoms: site, operation, lattice translation.
        species: per atom, the type symbol.
        labels: per atom, the label of its site.
    """

    atoms: Int[Array, "atoms 5"]
    species: tuple[str, ...] = static()
    labels: tuple[str, ...] = static()

    @property
    def asymmetric(self) -> Int[np.ndarray, " sites"]:
        """Index of the first atom of every site: the site itself up to a lattice translation (host)."""
        return np.unique(np.asarray(self.atoms)[:, 0], return_index=True)[1]

    def cell_of(self, crystal: AsymmetricUnit) -> FullCell:
        """Return the atoms of a crystal with the same group and sites (traceable)."""
        site = self.atoms[:, 0]
        return FullCell(
            lattice=lattice(crystal.cell),
            fractional=positions(crystal.xyz, crystal.group, self.atoms),
            occupancy=crystal.occupancy[site],
            site=site,
            species=self.species,
            labels=self.labels,
        )

    def placed(
        self, crystal: AsymmetricUnit, basis: Float[Array, "3 3"]
    ) -> tuple[Float[Array, "atoms 3"], Float[Array, "3 3"]]:
        """Return the positions of the atoms and the vectors of their cell, Å (traceable).

        Args:
            crystal: with the same group and sites.
            basis: the vectors of that cell as rows, in terms of those of the crystal.
        """
        xp = namespace(crystal.cell, crystal.xyz)
        vectors = lattice(xp.asarray(crystal.cell))
        fractional = positions(xp.asarray(crystal.xyz), crystal.group, xp.asarray(self.atoms))
        return fractional @ vectors, xp.asarray(basis, dtype=vectors.dtype) @ vectors


def plan_expansion(crystal: AsymmetricUnit, *, primitive: bool = False) -> Expansion:
    """List the atoms of the conventional cell, site by site, each once (host).

    Lattice translations bring every atom into [0, 1) at the present coordinates. They stay fixed when the
    coordinates change, so that positions are continuous.

    Args:
        crystal: concrete crystal.
        primitive: keep only one of the atoms related by centring translations, as in a primitive cell.
    """
    xyz = np.asarray(crystal.xyz, dtype=float)
    rows = []
    for index, site in enumerate(crystal.sites()):
        images = site.primitive_images if primitive else site.images
        moved = crystal.group.rotations[images] @ xyz[index] + crystal.group.translations[images]
        shift = -np.floor(moved + 1e-9).astype(int)
        rows.append(np.column_stack([np.full(len(moved), index), images, shift]))
    atoms = np.concatenate(rows)
    return Expansion(
        atoms=atoms,
        species=tuple(crystal.species[k] for k in atoms[:, 0]),
        labels=tuple(crystal.labels[k] for k in atoms[:, 0]),
    )


def positions(xyz: Float[Array, "sites 3"], group: SpaceGroup, atoms: Int[Array, "*n 5"]) -> Float[Array, "*n 3"]:
    """Return the fractional positions of atoms, traceable in ``xyz``."""
    xp = namespace(xyz, atoms)
    rotations = xp.asarray(group.rotations, dtype=xyz.dtype)[atoms[..., 1]]
    translations = xp.asarray(group.translations, dtype=xyz.dtype)[atoms[..., 1]] + atoms[..., 2:]
    return xp.einsum("...ij,...j->...i", rotations, xp.asarray(xyz)[atoms[..., 0]]) + translations
