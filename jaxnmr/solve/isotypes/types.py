"""Structure types: known crystals without their elements and cell size (host)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from ...crystal import Crystal, SpaceGroup, lattice, metric
from ...crystal.sites import minimum_image
from ...errors import ConventionError

# fractional coordinates of crystals of one type differ by less than this
_SAME = 0.03
# largest relative deviation of a cell from the metric of a group
_METRIC = 1e-3
# largest difference of log c/a and log b/a between isotypes
SHAPE = 0.15


@dataclass(frozen=True)
class StructureType:
    """Positions of one known crystal, with the elements observed on them.

    Attributes:
        name: name of the crystal.
        group: space group.
        cell: ``(6,)``; only its shape is used.
        xyz: ``(sites, 3)``.
        multiplicity: ``(sites,)`` atoms in the conventional cell.
        kind: ``(sites,)`` equal numbers for sites of one element.
        basis: ``(sites, 3, dof)`` changes of the sites with the free coordinates.
        site, rotations, translations: of every atom unique under lattice centring.
        known: elements of the sites in every observed crystal of the type.
    """

    name: str
    group: SpaceGroup
    cell: Float[np.ndarray, "6"]
    xyz: Float[np.ndarray, "sites 3"]
    multiplicity: Int[np.ndarray, " sites"]
    kind: Int[np.ndarray, " sites"]
    basis: Float[np.ndarray, "sites 3 dof"]
    site: Int[np.ndarray, " atoms"]
    rotations: Int[np.ndarray, "atoms 3 3"]
    translations: Float[np.ndarray, "atoms 3"]
    known: tuple[tuple[str, ...], ...]

    @property
    def dof(self) -> int:
        """Number of free coordinates."""
        return self.basis.shape[2]

    @property
    def atoms(self) -> int:
        """Number of atoms in the conventional cell."""
        return int(self.multiplicity.sum())

    @classmethod
    def of(cls, crystal: Crystal) -> "StructureType":
        """Return the type of an ordered crystal.

        Raises:
            ConventionError: positions are shared or partly occupied.
        """
        occupancy = np.asarray(crystal.occupancy, dtype=float)
        if occupancy.min() < 0.999:
            label = crystal.labels[int(occupancy.argmin())]
            raise ConventionError(
                f"{label} of {crystal.name} has an occupancy of {occupancy.min():g}: a structure type needs full positions; leave the "
                "crystal out, or give an ordered model of it"
            )
        sites = crystal.sites()
        blocks = [site.xyz_basis() for site in sites]
        dof = sum(block.shape[1] for block in blocks)
        basis, column = np.zeros((len(sites), 3, dof)), 0
        for k, block in enumerate(blocks):
            basis[k, :, column : column + block.shape[1]] = block
            column += block.shape[1]
        images = [(k, int(image)) for k, site in enumerate(sites) for image in site.primitive_images]
        operation = np.array([image for _, image in images])
        elements = list(dict.fromkeys(crystal.elements))
        return cls(
            name=crystal.name, group=crystal.group, cell=np.asarray(crystal.cell, dtype=float),
            xyz=np.asarray(crystal.xyz, dtype=float), multiplicity=np.array([site.multiplicity for site in sites]),
            kind=np.array([elements.index(e) for e in crystal.elements]), basis=basis, site=np.array([k for k, _ in images]),
            rotations=np.asarray(crystal.group.rotations)[operation],
            translations=np.asarray(crystal.group.translations)[operation], known=(crystal.elements,),
        )  # fmt: skip

    def decorated(
        self, elements: Sequence[str], cell: Float[np.ndarray, "6"], xyz: Float[np.ndarray, "sites 3"], u_iso: float
    ) -> Crystal:
        """Make a crystal of the type; raises as `Crystal.create`."""
        return Crystal.create(cell=cell, spacegroup=self.group, species=elements, xyz=xyz, u_iso=u_iso, name=self.name)

    def suits(self, cell: Float[np.ndarray, "6"]) -> bool:
        """Return whether a crystal in this cell may be of the type: the required metric and a similar shape.

        A group that leaves more cell parameters free than the lattice of the cell has is not that of an isotype.
        """
        g = metric(np.asarray(cell, dtype=float))
        if np.abs(self.group.metric_projector(g) - g).max() > _METRIC * g.max():
            return False
        if _freedom(self.cell) != _freedom(cell):
            return False
        shape = np.log(np.asarray(cell, dtype=float)[1:3] / cell[0]) - np.log(self.cell[1:3] / self.cell[0])
        return bool(np.abs(shape).max() < SHAPE and np.abs(np.asarray(cell)[3:] - self.cell[3:]).max() < 5.0)


def structure_types(crystals: Iterable[Crystal]) -> tuple[StructureType, ...]:
    """List the structure types of crystals, each once, with all observed decorations; disordered crystals are left out.

    Crystals of one type in different settings or with different origins are kept separate.
    """
    found: dict[tuple, list[StructureType]] = {}
    for crystal in crystals:
        if float(np.min(np.asarray(crystal.occupancy))) < 0.999:
            continue
        one = StructureType.of(crystal)
        key = (one.group, tuple(one.multiplicity.tolist()), one.dof)
        alike = found.setdefault(key, [])
        for k, other in enumerate(alike):
            if (
                np.array_equal(one.kind, other.kind)
                and np.abs(minimum_image(one.xyz - other.xyz)).max() < _SAME
                and np.abs(np.log(one.cell[1:3] / one.cell[0] * other.cell[0] / other.cell[1:3])).max() < SHAPE / 2.0
            ):
                if one.known[0] not in other.known:
                    alike[k] = _with(other, one.known[0])
                break
        else:
            alike.append(one)
    return tuple(one for alike in found.values() for one in alike)


def _with(of: StructureType, elements: tuple[str, ...]) -> StructureType:
    return replace(of, known=(*of.known, elements))


def _freedom(cell: Float[np.ndarray, "6"]) -> tuple[bool, bool, bool]:
    """Classify the lattice of a metric: whether b and c differ from a, and whether all angles are 90 degrees."""
    vectors = np.asarray(lattice(np.asarray(cell, dtype=float)))
    a, b, c = np.linalg.norm(vectors, axis=1)
    right = bool(np.abs(np.asarray(cell, dtype=float)[3:] - 90.0).max() < 0.01)
    return bool(abs(b / a - 1.0) > 1e-4), bool(abs(c / a - 1.0) > 1e-4), right
