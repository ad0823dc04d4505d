"""The network of a glass: who is bound to whom, Q^n species, angles, and distances between elements (host)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ...crystal import Crystal, element_of
from ...errors import ConventionError, ParameterError
from ...graph import plan_neighbours


@dataclass(frozen=True, repr=False)
class Network:
    """Centres such as Si, and ligands such as O that link them; made by :meth:`create`.

    Attributes:
        centres, ligands: names of the elements.
        atoms: in the cell; bonds refer to their numbers.
        centre, ligand: ``(bonds,)`` the two ends.
        vectors: ``(bonds, 3)`` from centre to ligand, Å.
        shifts: ``(bonds, 3)`` the cell in which the ligand of a centre in the cell is.
        places: numbers of the centres among all atoms.
        bridges: numbers of the ligands among all atoms.
        cutoff: Å.
    """

    centres: str
    ligands: str
    atoms: int
    centre: Int[np.ndarray, " bonds"]
    ligand: Int[np.ndarray, " bonds"]
    vectors: Float[np.ndarray, "bonds 3"]
    shifts: Int[np.ndarray, "bonds 3"]
    places: Int[np.ndarray, " centres"]
    bridges: Int[np.ndarray, " ligands"]
    cutoff: float

    @classmethod
    def create(cls, crystal: Crystal, centre: str = "Si", ligand: str = "O", *, cutoff: float | None = None) -> Network:
        """Bonds of all atoms of the conventional cell.

        Args:
            crystal: any symmetry.
            centre, ligand: elements.
            cutoff: of a bond, Å; by default the first minimum of their distances.

        Raises:
            ConventionError: a crystal without one of the elements, or without a gap between bonds and other distances.
            ParameterError: a cutoff that is not positive.
        """
        elements, lattice, points = _cell(crystal)
        for element in (centre, ligand):
            if element not in elements:
                raise ConventionError(
                    f"{crystal.name} has no {element}; it is made of {', '.join(sorted(set(elements)))}"
                )
        if cutoff is None:
            cutoff = first_minimum(crystal, centre, ligand)
        if not (np.isfinite(cutoff) and cutoff > 0):
            raise ParameterError(f"cutoff is {cutoff}; expected the longest bond in Å, such as 2.1 for Si-O")
        pairs = plan_neighbours(lattice, points, float(cutoff), np.flatnonzero(elements == centre))
        bound = elements[pairs.senders] == ligand
        return cls(
            centres=centre,
            ligands=ligand,
            atoms=len(elements),
            centre=pairs.receivers[bound],
            ligand=pairs.senders[bound],
            vectors=pairs.vectors(lattice, points)[bound],
            shifts=pairs.shifts[bound],
            places=np.flatnonzero(elements == centre),
            bridges=np.flatnonzero(elements == ligand),
            cutoff=float(cutoff),
        )

    @cached_property
    def coordination(self) -> Int[np.ndarray, " centres"]:
        """Ligands of every centre."""
        return np.bincount(self.centre, minlength=self.atoms)[self.places]

    @cached_property
    def linkage(self) -> Int[np.ndarray, " ligands"]:
        """Centres of every ligand."""
        return np.bincount(self.ligand, minlength=self.atoms)[self.bridges]

    @cached_property
    def q(self) -> Int[np.ndarray, " centres"]:
        """n of Q^n: ligands of every centre that have another centre besides."""
        shared = np.bincount(self.ligand, minlength=self.atoms) > 1
        return np.bincount(self.centre, weights=shared[self.ligand], minlength=self.atoms).astype(int)[self.places]

    @property
    def q4(self) -> float:
        """Share of centres with four ligands, all of them shared."""
        return float(np.mean((self.q == 4) & (self.coordination == 4)))

    @cached_property
    def angles_at_centres(self) -> Float[np.ndarray, " angles"]:
        """Ligand-centre-ligand, degrees."""
        return self._angles(self.centre, self.vectors)[2]

    @cached_property
    def angles_at_ligands(self) -> Float[np.ndarray, " angles"]:
        """Centre-ligand-centre, degrees."""
        return self._angles(self.ligand, -self.vectors)[2]

    @cached_property
    def angle_of_ligand(self) -> Float[np.ndarray, " ligands"]:
        """The angle at every ligand, degrees; not a number for those that do not have exactly two centres."""
        first, _, angles = self._angles(self.ligand, -self.vectors)
        of = np.full(self.atoms, np.nan)
        of[self.ligand[first]] = angles
        return np.where(self.linkage == 2, of[self.bridges], np.nan)

    @cached_property
    def links(self) -> tuple[Int[np.ndarray, "links 2"], Int[np.ndarray, "links 3"]]:
        """Centres that share a ligand, as places in ``places``, and the cell in which the second one is; each pair once."""
        first, second, _ = self._angles(self.ligand, -self.vectors)
        number = np.full(self.atoms, -1)
        number[self.places] = np.arange(len(self.places))
        ends = np.stack([number[self.centre[first]], number[self.centre[second]]], axis=1)
        return ends, self.shifts[first] - self.shifts[second]

    def _angles(self, at: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of bonds that share an atom, and the angles between them."""
        order = np.argsort(at, kind="stable")
        counts = np.bincount(at, minlength=self.atoms)
        starts = np.cumsum(counts) - counts
        pairs = [starts[k] + np.stack(np.triu_indices(n, 1)) for k, n in enumerate(counts) if n > 1]
        if not pairs:
            return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
        first, second = order[np.concatenate(pairs, axis=1)]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine = np.clip(np.sum(unit[first] * unit[second], axis=1), -1.0, 1.0)
        return first, second, np.degrees(np.arccos(cosine))


def pair_distribution(
    crystal: Crystal, first: str, second: str, *, reach: float = 8.0, width: float = 0.05
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Distances in Å and g(r) of two elements, 1 at random (host).

    Args:
        crystal: any symmetry.
        first, second: elements.
        reach: up to where, Å.
        width: of a bin, Å.
    """
    elements, lattice, points = _cell(crystal)
    edges = np.arange(0.0, reach + 0.5 * width, width)
    pairs = plan_neighbours(lattice, points, float(edges[-1]), np.flatnonzero(elements == first))
    lengths = np.linalg.norm(pairs.vectors(lattice, points), axis=1)[elements[pairs.senders] == second]
    counts = np.histogram(lengths, edges)[0]
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    density = np.sum(elements == second) / abs(np.linalg.det(lattice))
    return 0.5 * (edges[1:] + edges[:-1]), counts / (np.sum(elements == first) * density * shells)


def first_minimum(crystal: Crystal, first: str, second: str) -> float:
    """Where bonds of two elements end, Å: in the middle of the emptiest 0.1 Å beyond the first maximum of g(r) (host).

    Raises:
        ConventionError: no maximum within 4 Å.
    """
    r, g = pair_distribution(crystal, first, second, reach=5.0, width=0.02)
    near = r < 4.0
    if not g[near].any():
        raise ConventionError(
            f"no {first} and {second} of {crystal.name} are closer than 4 Å: there are no bonds; give a cutoff"
        )
    smooth = np.convolve(g, np.ones(5) / 5.0, mode="same")
    begun = np.flatnonzero(smooth > 1.0)
    top = int(begun[0]) + int(np.argmax(smooth[begun[0] : begun[0] + 25]))
    beyond = smooth[top : top + 60]
    lowest = np.flatnonzero(beyond <= beyond.min() + 1e-12)
    # of a gap without any distances the first fifth of an ångström: bonds may lengthen, others will not shorten as much
    lowest = lowest[lowest < lowest[0] + 40]
    return float(r[top + int(lowest[len(lowest) // 2])])


def _cell(crystal: Crystal) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cell = crystal.expand()
    lattice = np.asarray(cell.lattice, dtype=float)
    elements = np.array([element_of(species)[0] for species in cell.species])
    return elements, lattice, np.asarray(cell.fractional, dtype=float) @ lattice
