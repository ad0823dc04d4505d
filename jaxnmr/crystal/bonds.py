"""Bonds and angles of a crystal: neighbours with periodic images, unique under site symmetry (host)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float, Int

from .._arguments import checked
from ..errors import ConventionError, ShapeError
from . import cell as cells
from .expand import plan_expansion, positions
from .geometry import angles, distances
from .sites import SHORTEST_IMAGE_DISTANCE
from .unit import AsymmetricUnit

# Bonds are up to a fifth longer than the sum of covalent radii (Ca-O 2.9 Å against 2.42 Å).
_STRETCH = 1.2
# Metal to P in phosphates, to C in carbonates, to Si in silicates ...: only a real bond is this short.
_STRETCH_METAL_CATION = 1.05
_ANIONS = frozenset(("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"))

Cutoffs = float | Mapping[tuple[str, str], float] | None


@dataclass(frozen=True)
class BondRecord:
    """One line of a bond table.

    Attributes:
        labels: the two sites.
        symmetry: symmetry code of the second atom as in a CIF (``"3_665"``), ``"."`` for the site itself.
        distance: Å.
        multiplicity: number of symmetry-equivalent bonds of the first atom, this one included.
    """

    labels: tuple[str, str]
    symmetry: str
    distance: float
    multiplicity: int


@dataclass(frozen=True)
class AngleRecord:
    """One line of an angle table: ``labels`` with the middle atom second, ``symmetry`` of the first and third atom."""

    labels: tuple[str, str, str]
    symmetry: tuple[str, str]
    angle: float
    multiplicity: int


@dataclass(frozen=True)
class BondPlan:
    """Bonds around every site of the asymmetric unit, one per class under the site symmetry.

    Attributes:
        pairs: atoms for :func:`distances`; the first atom is the site itself.
        multiplicity: number of equivalent bonds around the first atom.
        orbit: equal for bonds related by the space group, such as A-B seen from A and from B.
    """

    pairs: Int[np.ndarray, "n 2 5"]
    multiplicity: Int[np.ndarray, " n"]
    orbit: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.pairs)

    def distinct(self) -> Int[np.ndarray, "k 2 5"]:
        """Return one pair for every symmetry-distinct distance of the crystal, for restraints."""
        return self.pairs[np.unique(self.orbit, return_index=True)[1]]

    def table(self, crystal: AsymmetricUnit) -> tuple[BondRecord, ...]:
        """Return the bonds with their lengths in a crystal (host)."""
        length = np.asarray(distances(crystal, self.pairs), dtype=float)
        return tuple(
            BondRecord(
                labels=(crystal.labels[first[0]], crystal.labels[second[0]]),
                symmetry=symmetry_code(second),
                distance=float(d),
                multiplicity=int(m),
            )
            for (first, second), d, m in zip(self.pairs, length, self.multiplicity, strict=True)
        )


@dataclass(frozen=True)
class AnglePlan:
    """Angles at every site of the asymmetric unit, one per class under the site symmetry.

    Attributes:
        triplets: atoms for :func:`angles`; the middle atom is the site itself.
        multiplicity: number of equivalent angles at the middle atom.
    """

    triplets: Int[np.ndarray, "n 3 5"]
    multiplicity: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.triplets)

    def table(self, crystal: AsymmetricUnit) -> tuple[AngleRecord, ...]:
        """Return the angles with their values in a crystal (host)."""
        value = np.asarray(angles(crystal, self.triplets), dtype=float)
        return tuple(
            AngleRecord(
                labels=(crystal.labels[first[0]], crystal.labels[middle[0]], crystal.labels[last[0]]),
                symmetry=(symmetry_code(first), symmetry_code(last)),
                angle=float(a),
                multiplicity=int(m),
            )
            for (first, middle, last), a, m in zip(self.triplets, value, self.multiplicity, strict=True)
        )


@checked
def plan_bonds(crystal: AsymmetricUnit, cutoffs: Cutoffs = None) -> BondPlan:
    """Find the bonds of every site, with periodic images of cells of any size and shape.

    Args:
        crystal: concrete crystal.
        cutoffs: longest bond in Å, one number for all or ``{("P", "O"): 1.8}`` for the element pairs wanted.
            By default 1.2 times the sum of the covalent radii; if anions (N, O, F, S, Cl, Se, Br, Te, I) are present,
            metal-metal bonds are excluded and the factor is 1.05 between a metal and another non-metal.

    Returns:
        Bonds ordered by first site and length. Atoms closer than 0.4 Å count as alternatives, not as bonded.
    """
    sites = crystal.sites()
    rows: list[np.ndarray] = []
    multiplicity: list[int] = []
    class_of, shells = [], []
    for index, (atoms, vectors, _) in enumerate(_neighbours(crystal, cutoffs)):
        permutation = _permutations(vectors, atoms, sites[index].stabiliser)
        leader = permutation.min(axis=0) if len(atoms) else np.zeros(0, dtype=int)
        leaders, inverse, counts = np.unique(leader, return_inverse=True, return_counts=True)
        class_of.append(inverse + len(rows))
        shells.append((atoms, vectors))
        rows.extend(np.stack([_itself(index), atoms[k]]) for k in leaders)
        multiplicity.extend(counts)
    pairs = np.array(rows, dtype=int).reshape(-1, 2, 5)
    orbit = np.arange(len(pairs))
    for k, (first, second) in enumerate(pairs):
        # seen from the second site, the first atom lies at -R^-1 v
        shell_atoms, shell_vectors = shells[first[0]]
        v = shell_vectors[np.flatnonzero((shell_atoms == second).all(axis=1))[0]]
        back = -np.linalg.solve(crystal.group.rotations[second[1]].astype(float), v)
        atoms, vectors = shells[second[0]]
        found = np.flatnonzero((atoms[:, 0] == first[0]) & (np.abs(vectors - back).max(axis=1) < 1e-4))
        if len(found):
            orbit[k] = min(k, orbit[class_of[second[0]][found[0]]])
    return BondPlan(pairs=pairs, multiplicity=np.array(multiplicity, dtype=int), orbit=orbit)


@checked
def plan_angles(crystal: AsymmetricUnit, cutoffs: Cutoffs = None) -> AnglePlan:
    """Find the angles between the bonds of every site; arguments as for :func:`plan_bonds`.

    Alternatives, such as O and F on a shared position or the parts of a split position, form no angles with each other.
    """
    sites = crystal.sites()
    triplets: list[np.ndarray] = []
    multiplicity: list[int] = []
    g = cells.metric(np.asarray(crystal.cell, dtype=float))
    for index, (atoms, vectors, _) in enumerate(_neighbours(crystal, cutoffs)):
        a, b = np.triu_indices(len(atoms), k=1)
        step = vectors[a] - vectors[b]
        apart = np.einsum("ni,ij,nj->n", step, g, step) > SHORTEST_IMAGE_DISTANCE**2
        a, b = a[apart], b[apart]
        if not len(a):
            continue
        permutation = _permutations(vectors, atoms, sites[index].stabiliser)
        images = np.sort(np.stack([permutation[:, a], permutation[:, b]], axis=-1), axis=-1)
        leader = (images[..., 0] * len(atoms) + images[..., 1]).min(axis=0)
        _, first, counts = np.unique(leader, return_index=True, return_counts=True)
        triplets.extend(np.stack([atoms[a[k]], _itself(index), atoms[b[k]]]) for k in first)
        multiplicity.extend(counts)
    return AnglePlan(
        triplets=np.array(triplets, dtype=int).reshape(-1, 3, 5), multiplicity=np.array(multiplicity, dtype=int)
    )


@checked
def plan_pairs(crystal: AsymmetricUnit, labels: Sequence[tuple[str, str]]) -> Int[np.ndarray, "n 2 5"]:
    """Find the atoms of named pairs: ``("P", "O1")`` is the shortest distance between the two sites.

    A symmetry code picks an image: ``("P", "O3 3_655")``.

    Raises:
        ConventionError: unknown label or code.
    """
    rows = []
    for first, second in labels:
        start, is_image = parse_atom(crystal, first)
        end, is_image_too = parse_atom(crystal, second)
        rows.append(np.stack([start, end if is_image or is_image_too else _nearest(crystal, start[0], end[0])[0]]))
    return np.array(rows, dtype=int).reshape(-1, 2, 5)


@checked
def plan_triplets(crystal: AsymmetricUnit, labels: Sequence[tuple[str, str, str]]) -> Int[np.ndarray, "n 3 5"]:
    """Find the atoms of named angles, the middle atom second, with its nearest atoms of the other two sites.

    If the outer labels are equal, the two nearest images are taken. Symmetry codes select images.

    Raises:
        ConventionError: unknown label or code, or a middle atom with a symmetry code but outer atoms without.
    """
    rows = []
    for first, middle, last in labels:
        centre, centre_moved = parse_atom(crystal, middle)
        ends = [parse_atom(crystal, first), parse_atom(crystal, last)]
        if centre_moved and not all(moved for _, moved in ends):
            raise ConventionError(f"angle {first}, {middle}, {last}: give symmetry codes for all three atoms, or none")
        rank, atoms = 0, []
        for atom, moved in ends:
            if not moved:
                atom = _nearest(crystal, centre[0], atom[0], count=2)[rank]
                rank = 1 if ends[0][0][0] == ends[1][0][0] and not ends[1][1] else 0
            atoms.append(atom)
        rows.append(np.stack([atoms[0], centre, atoms[1]]))
    return np.array(rows, dtype=int).reshape(-1, 3, 5)


def parse_atom(crystal: AsymmetricUnit, text: str) -> tuple[Int[np.ndarray, "5"], bool]:
    """Return the five integers of ``"O3"`` or ``"O3 3_655"``, and whether a symmetry code was given."""
    label, _, code = text.strip().partition(" ")
    if label not in crystal.labels:
        raise ConventionError(f"no site {label!r} in {crystal.name}; its sites are {', '.join(crystal.labels)}")
    site = crystal.labels.index(label)
    if not code.strip():
        return _itself(site), False
    match = re.fullmatch(r"(\d+)(?:_(\d)(\d)(\d))?", code.strip())
    if match is None or not 1 <= int(match[1]) <= crystal.group.order:
        raise ConventionError(
            f"symmetry code {code.strip()!r} of {label}: expected 'n_klm' with n from 1 to {crystal.group.order} and "
            "lattice translations k-5, l-5, m-5"
        )
    shift = [int(match[k]) - 5 if match[k] else 0 for k in (2, 3, 4)]
    return np.array([site, int(match[1]) - 1, *shift]), True


def symmetry_code(atom: Int[np.ndarray, "5"] | Sequence[int]) -> str:
    """Return the CIF symmetry code ``n_klm`` of an atom; ``"."`` for the site itself, ``"?"`` beyond four cells."""
    _, operation, *shift = (int(k) for k in atom)
    if max(abs(t) for t in shift) > 4:
        return "?"
    code = f"{operation + 1}_{''.join(str(5 + t) for t in shift)}"
    return "." if code == "1_555" else code


def atom_names(crystal: AsymmetricUnit, atoms: Int[np.ndarray, "atoms 5"]) -> str:
    """Join the labels of atoms ``(n, 5)``, with symmetry codes for images: ``"Si1–O2 3_655"``."""
    codes = [symmetry_code(atom) for atom in atoms]
    names = (crystal.labels[int(atom[0])] for atom in atoms)
    return "–".join(name if code == "." else f"{name} {code}" for name, code in zip(names, codes, strict=True))


def _itself(site: int | np.integer) -> Int[np.ndarray, "5"]:
    return np.array([site, 0, 0, 0, 0])


def _cutoff_matrix(crystal: AsymmetricUnit, cutoffs: Cutoffs) -> Float[np.ndarray, "sites sites"]:
    """Return the longest bond of each pair of sites in Å; 0 if they are not bonded."""
    elements = crystal.elements
    if cutoffs is None:
        info = [gemmi.Element(e) for e in elements]
        radius = np.array([e.covalent_r for e in info])
        anion = np.array([e in _ANIONS for e in elements])
        metal = np.array([e.is_metal for e in info])
        stretch = np.full((len(elements),) * 2, _STRETCH)
        if anion.any():
            stretch[metal[:, None] & ~anion] = stretch[~anion[:, None] & metal] = _STRETCH_METAL_CATION
            stretch[metal[:, None] & metal] = 0.0
        return stretch * (radius[:, None] + radius)
    if isinstance(cutoffs, Mapping):
        unknown = {e for pair in cutoffs for e in pair} - set(elements)
        if unknown:
            raise ConventionError(f"cutoffs for {sorted(unknown)}, which {crystal.name} does not contain")
        longest = {frozenset(pair): float(value) for pair, value in cutoffs.items()}
        matrix = np.array([[longest.get(frozenset((a, b)), 0.0) for b in elements] for a in elements])
    else:
        matrix = np.full((len(elements),) * 2, float(cutoffs))
    if not np.isfinite(matrix).all() or matrix.max() <= 0.0:
        raise ShapeError(f"cutoffs must be positive lengths in Å; got {cutoffs}")
    return matrix


def _neighbours(
    crystal: AsymmetricUnit, cutoffs: Cutoffs, sites: Sequence[int] | None = None
) -> Iterator[tuple[Int[np.ndarray, "n 5"], Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]]:
    """Yield per site its neighbours, the fractional vectors to them and their distances, nearest first."""
    limit = _cutoff_matrix(crystal, cutoffs)
    xyz = np.asarray(crystal.xyz, dtype=float)
    cell = np.asarray(crystal.cell, dtype=float)
    g, reach = cells.metric(cell), np.sqrt(np.diag(cells.reciprocal_metric(cell)))
    atoms = np.asarray(plan_expansion(crystal).atoms)
    points = np.asarray(positions(xyz, crystal.group, atoms))
    for index in range(crystal.n_sites) if sites is None else sites:
        cutoff = limit[index][atoms[:, 0]]
        wanted = cutoff > 0
        base = points[wanted] - xyz[index]
        home = np.round(base)
        m = np.floor(cutoff.max() * reach + 0.5 + 1e-9).astype(int)
        shifts = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in m), indexing="ij"), axis=-1).reshape(-1, 3)
        vectors = (base - home)[:, None] + shifts
        length = np.sqrt(np.maximum(np.einsum("abi,ij,abj->ab", vectors, g, vectors), 0.0))
        a, s = np.nonzero((length <= cutoff[wanted][:, None]) & (length >= SHORTEST_IMAGE_DISTANCE))
        found = atoms[wanted][a]
        found[:, 2:] += shifts[s] - home[a].astype(int)
        far = np.abs(found[:, 2:]).sum(axis=1)
        order = np.lexsort((found[:, 1], far, found[:, 0], np.round(length[a, s], 5)))
        yield found[order], vectors[a, s][order], length[a, s][order]


def _permutations(
    vectors: Float[np.ndarray, "n 3"], atoms: Int[np.ndarray, "n 5"], stabiliser: Int[np.ndarray, "operations 3 3"]
) -> Int[np.ndarray, "operations n"]:
    """Return the neighbour onto which each operation of the site symmetry maps each neighbour."""
    moved = np.einsum("sij,nj->sni", stabiliser, vectors)
    distance = np.abs(moved[:, :, None] - vectors[None, None]).max(axis=-1)
    distance = np.where(atoms[:, None, 0] == atoms[None, :, 0], distance, np.inf)
    return distance.argmin(axis=-1) if len(vectors) else np.zeros((len(stabiliser), 0), dtype=int)


def _nearest(crystal: AsymmetricUnit, first: int, second: int, count: int = 1) -> Int[np.ndarray, "count 5"]:
    """Return the ``count`` atoms of site ``second`` nearest to site ``first``."""
    cutoff = 2.0
    while True:
        atoms, _, _ = next(_neighbours(crystal, cutoff, sites=(first,)))
        atoms = atoms[atoms[:, 0] == second]
        if len(atoms) >= count:
            return atoms[:count]
        cutoff *= 1.5
