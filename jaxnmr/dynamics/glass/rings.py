"""Primitive rings of a network: those that no shorter way across divides.

A ring is primitive where, for every two of its members, no way through the network is shorter than that along the ring: the
shortest-path rings of D. S. Franzblau, *Phys. Rev. B* **44**, 4925 (1991). They are looked for in the network without end, not
in the cell that repeats: a ring closes at the very atom where it began.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int

from ...errors import ParameterError
from .network import Network

MOST = 12


@dataclass(frozen=True, repr=False)
class Rings:
    """Rings of a network, by their number of centres.

    Attributes:
        through: ``(centres, most + 1)`` how many rings of each size pass through each centre.
        shortest: of every centre, the size of the smallest ring and the number of these at each of its pairs of links, sorted: its
            vertex symbol. Pairs that no ring passes have ``(0, 0)``.
    """

    through: Int[np.ndarray, "centres sizes"]
    shortest: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def counts(self) -> dict[int, int]:
        """Number of rings in the cell, by size."""
        total = self.through.sum(axis=0)
        return {size: int(total[size]) // size for size in range(1, len(total)) if total[size]}

    @property
    def per_centre(self) -> dict[int, float]:
        """Number of rings per centre, by size."""
        return {size: count / len(self.through) for size, count in self.counts.items()}

    def share(self, size: int) -> float:
        """Share of centres that are in a ring of this size."""
        return float(np.mean(self.through[:, size] > 0))

    @property
    def mean_size(self) -> float:
        """Mean over the rings."""
        counts = self.counts
        return sum(size * count for size, count in counts.items()) / max(sum(counts.values()), 1)

    def __repr__(self) -> str:
        return f"Rings({', '.join(f'{size}: {count}' for size, count in self.counts.items())})"


def primitive_rings(network: Network, *, most: int = MOST) -> Rings:
    """All primitive rings up to a size (host).

    Args:
        network: its centres are the corners, its ligands the edges.
        most: centres in a ring.

    Raises:
        ParameterError: ``most`` below 3 or above 20.
    """
    if not 3 <= most <= 20:
        raise ParameterError(f"most is {most}; expected a number of centres in a ring from 3 to 20")
    neighbours = _neighbours(network)
    balls = [_ball(neighbours, atom, most // 2) for atom in range(len(neighbours))]
    through = np.zeros((len(neighbours), most + 1), dtype=int)
    symbols = []
    for atom in range(len(neighbours)):
        smallest: dict[frozenset, list[int]] = defaultdict(lambda: [0, 0])
        for ring in _rings_at(neighbours, balls, atom, most):
            size = len(ring)
            through[atom, size] += 1
            best = smallest[frozenset((ring[1], ring[-1]))]
            if not best[0] or size < best[0]:
                best[:] = [size, 1]
            elif size == best[0]:
                best[1] += 1
        pairs = combinations(neighbours[atom], 2)
        found = [smallest.get(frozenset(pair), [0, 0]) for pair in pairs]
        symbols.append(tuple(sorted((size, count) for size, count in found)))
    return Rings(through=through, shortest=tuple(symbols))


# a node of the network without end: number of the centre and the cell that it is in
_Node = tuple[int, int, int, int]


def _neighbours(network: Network) -> list[list[_Node]]:
    """Of every centre in the cell."""
    ends, shifts = network.links
    found: list[set[_Node]] = [set() for _ in network.places]
    for (first, second), (x, y, z) in zip(ends.tolist(), shifts.tolist(), strict=True):
        if first == second and not (x or y or z):
            continue
        found[first].add((second, x, y, z))
        found[second].add((first, -x, -y, -z))
    return [sorted(nodes) for nodes in found]


def _around(neighbours: list[list[_Node]], node: _Node) -> list[_Node]:
    atom, x, y, z = node
    return [(other, x + i, y + j, z + k) for other, i, j, k in neighbours[atom]]


def _ball(neighbours: list[list[_Node]], atom: int, radius: int) -> dict[_Node, int]:
    """How many links away nodes are, as far as a radius."""
    begin = (atom, 0, 0, 0)
    distance, shell = {begin: 0}, [begin]
    for step in range(1, radius + 1):
        shell = [
            node for at in shell for node in _around(neighbours, at)
            if distance.setdefault(node, step) == step
        ]  # fmt: skip
        shell = list(dict.fromkeys(shell))
    return distance


def _rings_at(neighbours, balls, atom: int, most: int):
    """Primitive rings through a centre, each once, beginning with it."""
    ball = balls[atom]
    ways: dict[_Node, list[tuple[_Node, ...]]] = {(atom, 0, 0, 0): [((atom, 0, 0, 0),)]}
    shell = [(atom, 0, 0, 0)]
    for step in range(1, most // 2 + 1):
        following: dict[_Node, list[tuple[_Node, ...]]] = defaultdict(list)
        for node in shell:
            for other in _around(neighbours, node):
                if ball.get(other) == step:
                    following[other] += [(*way, other) for way in ways[node]]
        ways, shell = dict(following), list(following)
        for node in shell:
            # an even ring: two ways to the opposite node
            for one, two in combinations(ways[node], 2):
                if _apart(one[1:-1], two[1:-1]):
                    ring = (*one, *two[-2:0:-1])
                    if _primitive(balls, ring):
                        yield ring
        if 2 * step + 1 > most:
            return
        for node in shell:
            # an odd ring: ways to two nodes that are linked
            for other in _around(neighbours, node):
                if other > node and other in ways:
                    for one in ways[node]:
                        for two in ways[other]:
                            if _apart(one[1:], two[1:]):
                                ring = (*one, *two[:0:-1])
                                if _primitive(balls, ring):
                                    yield ring


def _apart(one: tuple[_Node, ...], two: tuple[_Node, ...]) -> bool:
    return not set(one) & set(two)


def _primitive(balls: list[dict[_Node, int]], ring: tuple[_Node, ...]) -> bool:
    """Whether opposite members are as far apart in the network as in the ring; then all others are."""
    size = len(ring)
    half = size // 2
    for k in range(size if size % 2 else half):
        (first, x, y, z), (second, u, v, w) = ring[k], ring[(k + half) % size]
        if balls[first].get((second, u - x, v - y, w - z), half) < half:
            return False
    return True
