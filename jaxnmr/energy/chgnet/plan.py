"""Bonds and angles of a crystal, each once: what is equivalent by symmetry has the same features in a network of scalars.

Three graphs lie on top of each other:

- *bonds*: pairs of atoms within the cutoff, one for every class of equivalent ones, short ones (those that form angles) first.
- *atoms*: nodes are sites, edges are messages into a site. Equivalent bonds of a site bring the same message, so that there
  is one edge for all of them, with their ``count``.
- *arrows*: nodes are short bonds seen from one of their ends, edges are angles at that end, from the second arrow to the
  first. Only arrows that a class of bonds stands for receive; these come first.

In P1 this is the graph of the atoms, and in the space group of quartz a sixth of it. Positions enter nowhere else than in
lengths of bonds and directions of arrows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jraph
import numpy as np
from jaxtyping import Float, Int

from ..._struct import Struct, static
from ...crystal import Crystal, Expansion, element_of, lattice, metric, plan_expansion, positions, primitive_basis
from ...errors import ConventionError
from ...graph import plan_neighbours
from ...graph.structure import neighbour_list_margin
from ...typing import Array

# Å; closer atoms are outside of everything that a potential has learned (H2 has 0.74)
OVERLAP = 0.5
# sizes are those of a geometric series, so that a list made again has mostly the size of the one before
_GROWTH = 1.0 / 12.0
_SMALLEST = 16
# rows from which on arrays are calculated in pieces, and rows of a piece
WHOLE, PIECE = 2048, 256


class BondGraphPlan(Struct):
    """Bonds and angles of a crystal within a cutoff; see :func:`plan_bond_graph`. All are padded with what weighs nothing.

    Attributes:
        reference: all atoms and the lattice when bonds were listed: nodes ``positions`` (Å), global ``lattice``.
        atoms: nodes ``element`` (number in the table), ``multiplicity`` (atoms of the conventional cell); edges ``bond``, ``count``.
        arrows: nodes ``bond``, ``site`` (at the end that they are seen from), ``ends`` ``(arrows, 2)``, the atoms there and at
            the other end, ``shifts`` ``(arrows, 3)``, translations of the latter; edges are angles.
        ends, shifts: the same of bonds.
        pair: ``(short bonds, 2)``, the arrow that stands for a bond and the one from its other end.
        expansion: which images of which sites the atoms are.
        basis: rows, the vectors of the lattice in terms of those of the crystal.
        projector: of sites, the mean of the rotations that leave them where they are, on fractional vectors.
        table: elements that a model knows.
        cutoff, bond_cutoff, skin: Å; bonds are listed up to the cutoff and the skin, those with angles likewise.
        symmetric: whether symmetry was made use of.
    """

    reference: jraph.GraphsTuple
    atoms: jraph.GraphsTuple
    arrows: jraph.GraphsTuple
    ends: Int[Array, "bonds 2"]
    shifts: Int[Array, "bonds 3"]
    pair: Int[Array, "short 2"]
    expansion: Expansion
    basis: Float[Array, "3 3"]
    projector: Float[Array, "sites 3 3"]
    table: tuple[str, ...] = static(note=True)
    cutoff: float = static()
    bond_cutoff: float = static()
    skin: float = static()
    symmetric: bool = static()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of padded arrays: short bonds, long bonds, messages, arrows, angles."""
        short = len(self.pair)
        graphs = self.atoms.senders, self.arrows.nodes["bond"], self.arrows.senders
        return (short, len(self.ends) - short, *map(len, graphs))

    def placed(self, crystal: Crystal) -> tuple[Float[Array, "atoms 3"], Float[Array, "3 3"]]:
        """Positions of all atoms and the lattice, Å (traceable)."""
        return self.expansion.placed(crystal, self.basis)

    def margin(self, crystal: Crystal) -> Float[Array, ""]:
        """How much of the skin is left, Å (traceable); list bonds again when it is no longer positive.

        The longer cutoff decides: a strain takes less from the shorter one, a displacement as much.
        """
        points, vectors = self.placed(crystal)
        now = self.reference._replace(nodes={"positions": points}, globals={"lattice": vectors[None]})
        return neighbour_list_margin(now, self.reference, self.cutoff, self.cutoff + self.skin)

    def renewed(self, crystal: Crystal) -> "BondGraphPlan":
        """The plan with bonds listed again, of the same size where they fit (host)."""
        return plan_bond_graph(
            crystal, cutoff=self.cutoff, bond_cutoff=self.bond_cutoff, skin=self.skin, table=self.table,
            symmetric=self.symmetric, least=self.sizes,
        )  # fmt: skip


def plan_bond_graph(
    crystal: Crystal,
    *,
    cutoff: float,
    bond_cutoff: float,
    skin: float = 0.3,
    table: Sequence[str],
    symmetric: bool = True,
    model: str = "this model",
    least: Sequence[int] = (0, 0, 0, 0, 0),
) -> BondGraphPlan:
    """List bonds and angles of a crystal (host).

    Args:
        crystal: without partial occupancies.
        cutoff: of bonds, Å.
        bond_cutoff: of bonds that form angles, Å.
        skin: both are listed up to this much more, so that atoms may move.
        table: the elements that a model knows, in the order of its rows; empty for rows without one.
        symmetric: one of the bonds that are equivalent; else all of the conventional cell, which may then be deformed in
            any way.
        model: its name, for errors.
        least: sizes of padded arrays, at least, as ``sizes`` of another plan, so that they share compiled programs.

    Raises:
        ConventionError: an element that is not in the table, a position that is not occupied by one atom, atoms on top of each
            other, an atom without neighbours, a skin out of range.
    """
    if not (np.isfinite(skin) and skin >= 0):
        raise ConventionError(f"the skin is {skin}; expected a distance in Å, 0 or more")
    elements = _elements(crystal, table, model)
    expansion = plan_expansion(crystal, primitive=symmetric)
    concrete = crystal.replace(cell=np.asarray(crystal.cell, dtype=float), xyz=np.asarray(crystal.xyz, dtype=float))
    vectors = np.asarray(lattice(concrete.cell))
    fractional = np.asarray(positions(concrete.xyz, crystal.group, expansion.atoms))
    basis = np.eye(3)
    if symmetric:
        basis = primitive_basis(crystal.group, metric(np.asarray(concrete.cell)))
    own = basis @ vectors
    points = fractional @ vectors
    cell = _images(concrete, expansion, fractional, basis) if symmetric else _alone(fractional)
    names = _names(expansion.labels)
    pairs = plan_neighbours(own, points, cutoff + skin, cell.first, names=names, closest=OVERLAP)
    length = np.linalg.norm(pairs.vectors(own, points), axis=1)
    lonely = np.setdiff1d(cell.first, pairs.receivers[length < cutoff])
    if lonely.size:
        raise ConventionError(
            f"{', '.join(expansion.labels[k] for k in lonely)}: no other atom within {cutoff:g} Å, further than {model} looks; "
            "check the cell (Å, not nm), or take atoms away from vacuum"
        )
    arrows = _Arrows(pairs.receivers, pairs.senders, pairs.shifts, cell)
    keep, back, bond = arrows.classes()
    receivers, senders, shifts, length = pairs.receivers[keep], pairs.senders[keep], pairs.shifts[keep], length[keep]
    site = cell.site

    # classes in order, short ones first, each block padded
    standing, bond = np.unique(bond, return_index=False, return_inverse=True)
    short = length[standing] < bond_cutoff + skin
    number = np.empty(len(standing), dtype=int)
    n_short, n_long = int(short.sum()), int((~short).sum())
    size_short, size_long = _size(n_short, least[0]), _size(n_long, least[1])
    number[short] = np.arange(n_short)
    number[~short] = size_short + np.arange(n_long)
    bond = number[bond]
    ends = np.zeros((size_short + size_long, 2), dtype=np.int32)
    bond_shifts = np.zeros((size_short + size_long, 3), dtype=np.int32)
    ends[number] = np.stack([receivers[standing], senders[standing]], axis=1)
    bond_shifts[number] = shifts[standing]
    nothing = size_short + size_long - 1

    # messages: the same bond between the same sites, once
    same = np.stack([site[receivers], site[senders], bond], axis=1)
    messages, count = np.unique(same, axis=0, return_counts=True)
    n_sites, n_messages = len(cell.first), _size(len(messages), least[2])
    atoms = jraph.GraphsTuple(
        nodes={
            "element": np.asarray([elements[expansion.atoms[k, 0]] for k in cell.first], dtype=np.int32),
            "multiplicity": np.asarray(cell.multiplicity, dtype=np.int32),
        },
        edges={
            "bond": _padded(messages[:, 2], n_messages, nothing),
            "count": _padded(count, n_messages, 0),
        },
        senders=_padded(messages[:, 1], n_messages, n_sites - 1),
        receivers=_padded(messages[:, 0], n_messages, n_sites - 1),
        globals=None,
        n_node=np.array([n_sites], dtype=np.int32),
        n_edge=np.array([n_messages], dtype=np.int32),
    )

    # arrows: those that bonds stand for and their other ends first
    is_short = bond < size_short
    standing_short = standing[short]
    receiving = np.unique(np.concatenate([standing_short, back[standing_short]])).astype(int)
    order = np.concatenate([receiving, np.setdiff1d(np.flatnonzero(is_short), receiving)]).astype(int)
    place = np.full(len(bond), -1)
    place[order] = np.arange(len(order))
    n_arrows = _size(len(order), least[3])
    first, second = _angles(receivers, order, len(receiving))
    n_angles = _size(len(first), least[4])
    graph = jraph.GraphsTuple(
        nodes={
            "bond": _padded(bond[order], n_arrows, size_short - 1),
            "site": _padded(site[receivers[order]], n_arrows, 0),
            "ends": _padded(np.stack([receivers[order], senders[order]], axis=1), n_arrows, 0),
            "shifts": _padded(shifts[order], n_arrows, 0),
        },
        edges={},
        senders=_padded(second, n_angles, n_arrows - 1),
        receivers=_padded(first, n_angles, n_arrows - 1),
        globals=None,
        n_node=np.array([n_arrows], dtype=np.int32),
        n_edge=np.array([n_angles], dtype=np.int32),
    )
    pair = np.full((size_short, 2), n_arrows - 1, dtype=np.int32)
    pair[:n_short] = np.stack([place[standing_short], place[back[standing_short]]], axis=1)
    empty = np.zeros(0, dtype=np.int32)
    reference = jraph.GraphsTuple(
        nodes={"positions": points}, edges=None, senders=empty, receivers=empty, globals={"lattice": own[None]},
        n_node=np.array([len(points)], dtype=np.int32), n_edge=np.zeros(1, dtype=np.int32),
    )  # fmt: skip
    return BondGraphPlan(
        reference=reference, atoms=atoms, arrows=graph, ends=ends, shifts=bond_shifts, pair=pair, expansion=expansion,
        basis=basis, projector=np.stack([s.mean(axis=0) for s in cell.stabiliser]), table=tuple(table), cutoff=float(cutoff), bond_cutoff=float(bond_cutoff), skin=float(skin),
        symmetric=bool(symmetric),
    )  # fmt: skip


class _Cell(NamedTuple):
    """How atoms follow from sites.

    Attributes:
        site: of every atom; ``first``: the atom that every site is; ``multiplicity``: of sites in the conventional cell.
        fractional: positions in the conventional cell; ``turn``: rotations that make atoms from the first of their site.
        stabiliser: per site, rotations about it that change nothing.
        basis: of the lattice.
    """

    site: np.ndarray
    first: np.ndarray
    multiplicity: np.ndarray
    fractional: np.ndarray
    turn: np.ndarray
    stabiliser: tuple[np.ndarray, ...]
    basis: np.ndarray


def _images(crystal: Crystal, expansion: Expansion, fractional: np.ndarray, basis: np.ndarray) -> _Cell:
    site, operation = np.asarray(expansion.atoms)[:, :2].T
    first = expansion.asymmetric
    turn = crystal.group.rotations.astype(float)[operation]
    turn = turn @ np.linalg.inv(turn[first][site])
    return _Cell(
        site=site,
        first=first,
        multiplicity=np.bincount(site) * len(crystal.group.centring),
        fractional=fractional,
        turn=turn,
        stabiliser=tuple(s.stabiliser.astype(float) for s in crystal.sites()),
        basis=basis,
    )


def _alone(fractional: np.ndarray) -> _Cell:
    n = len(fractional)
    one = np.eye(3)
    each = np.arange(n)
    turn = np.broadcast_to(one, (n, 3, 3))
    return _Cell(each, each, np.ones(n, dtype=int), fractional, turn, (one[None],) * n, one)


class _Arrows:
    """Directed bonds, and which are equivalent."""

    def __init__(self, receivers: np.ndarray, senders: np.ndarray, shifts: np.ndarray, cell: _Cell) -> None:
        self.receivers, self.senders, self.shifts, self.cell = receivers, senders, shifts, cell
        self.far = cell.fractional[senders] + shifts @ cell.basis
        self.most = int(np.abs(shifts).max(initial=0)) + 1
        keys = self._key(receivers, senders, shifts)
        self.order = np.argsort(keys)
        self.keys = keys[self.order]
        counts = np.bincount(cell.site)
        members = np.full((len(counts), counts.max()), -1)
        rank = np.arange(len(cell.site)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[cell.site]
        members[cell.site, rank] = np.arange(len(cell.site))
        self.members = members

    def _key(self, receivers: np.ndarray, senders: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        wide = 2 * self.most + 1
        key = receivers.astype(np.int64) * len(self.cell.site) + senders
        for k in range(3):
            key = key * wide + (shifts[:, k] + self.most)
        return key

    def _find(self, receivers: np.ndarray, site: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Numbers of the arrows that point from receivers to the images of sites at these points; -1 for none."""
        candidates = self.members[site]
        inverse = np.linalg.inv(self.cell.basis)
        away = (points[:, None] - self.cell.fractional[candidates]) @ inverse
        whole = np.round(away)
        miss = np.abs(away - whole).max(axis=-1) + (candidates < 0)
        best = np.argmin(miss, axis=1)
        rows = np.arange(len(points))
        shifts = whole[rows, best].astype(int)
        known = (miss[rows, best] < 0.5) & (np.abs(shifts).max(axis=1, initial=0) <= self.most)
        wanted = self._key(receivers, candidates[rows, best], np.where(known[:, None], shifts, 0))
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(known & (self.keys[at] == wanted), self.order[at], -1)

    def classes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arrows that are kept (all but those at the very edge whose other half was not listed), and of these the other halves
        and the arrow that stands for each one's class."""
        cell, site = self.cell, self.cell.site
        start = cell.first[site[self.senders]]
        unturn = np.linalg.inv(cell.turn[self.senders])
        seen = np.einsum("eij,ej->ei", unturn, cell.fractional[self.receivers] - self.far) + cell.fractional[start]
        back = self._find(start, site[self.receivers], seen)
        whole = back >= 0
        links = [back]
        for k, operations in enumerate(cell.stabiliser):
            mine = np.flatnonzero(self.receivers == cell.first[k])
            centre = cell.fractional[cell.first[k]]
            for rotation in operations:
                if np.array_equal(rotation, np.eye(3)):
                    continue
                link = np.arange(len(back))
                found = self._find(
                    self.receivers[mine], site[self.senders[mine]], (self.far[mine] - centre) @ rotation.T + centre
                )
                link[mine] = np.where(found >= 0, found, mine)
                whole[mine] &= found >= 0
                links.append(link)
        # the other half of one that is left out is left out
        whole &= np.where(back >= 0, whole[back], False)
        label = np.arange(len(back))
        while True:
            before = label.copy()
            for link in links:
                use = np.flatnonzero(link >= 0)
                np.minimum.at(label, link[use], label[use])
                label[use] = np.minimum(label[use], label[link[use]])
            if np.array_equal(before, label):
                break
        # a class is kept or left out as a whole
        whole &= ~np.isin(label, label[~whole])
        keep = np.flatnonzero(whole)
        place = np.full(len(back), -1)
        place[keep] = np.arange(len(keep))
        return keep, place[back[keep]], place[label[keep]]


def _angles(receivers: np.ndarray, order: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of different arrows at the same atom of which the first is among the first ``count``; sorted by the first."""
    at = receivers[order]
    by_atom = np.argsort(at, kind="stable")
    begin, end = (np.searchsorted(at[by_atom], at[:count], side) for side in ("left", "right"))
    size = end - begin
    first = np.repeat(np.arange(count), size)
    offset = np.arange(size.sum()) - np.repeat(np.concatenate([[0], np.cumsum(size)[:-1]])[: len(size)], size)
    second = by_atom[np.repeat(begin, size) + offset]
    other = first != second
    return first[other], second[other]


def _elements(crystal: Crystal, table: Sequence[str], model: str) -> list[int]:
    """Numbers in the table, of every site."""
    occupancy = np.asarray(crystal.occupancy, dtype=float)
    partial = [
        f"{label} ({occupied:g})"
        for label, occupied in zip(crystal.labels, occupancy, strict=True)
        if occupied < 1.0 - 1e-6
    ]
    if partial:
        raise ConventionError(
            f"partly occupied: {', '.join(partial)}; an energy is one of atoms that are there: order the structure (a supercell, "
            "or the main alternative at occupancy 1)"
        )
    # a deuteron moves in the same electrons as a proton
    plain = ["H" if symbol == "D" else symbol for symbol in (element_of(s)[0] for s in crystal.species)]
    unknown = [
        f"{label} ({symbol})" for label, symbol in zip(crystal.labels, plain, strict=True) if symbol not in table
    ]
    if unknown:
        raise ConventionError(
            f"{model} has not seen the elements of {', '.join(unknown)}: it knows {sum(map(bool, table))} elements; use a model that "
            "was trained on these, or leave the energy of this phase away"
        )
    return [list(table).index(symbol) for symbol in plain]


def _names(labels: Sequence[str]) -> list[str]:
    """Atoms by site and number: ``O1``, the second atom of it ``O1 (2)``."""
    seen: dict[str, int] = {}
    names = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        names.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return names


def _size(count: int, least: int) -> int:
    """The next size up that leaves room for one that is nothing."""
    size = max(_SMALLEST, least)
    while size <= count:
        size += max(8, 8 * round(size * _GROWTH / 8))
    return size if size < WHOLE else -(-size // PIECE) * PIECE


def _padded(values: np.ndarray, size: int, fill: int) -> np.ndarray:
    out = np.full((size, *values.shape[1:]), fill, dtype=np.int32)
    out[: len(values)] = values
    return out
