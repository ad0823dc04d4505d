"""Frames with energies, forces and stresses to learn from, and how they are put together for a step (host)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jraph
import numpy as np

from ...crystal.cell import lattice
from ...errors import DataError, ParseError, ShapeError
from ...graph import batch_graphs, bucket, structure_graph

# sizes of a step; fewer of them cost more padding and less compilation
_GROWTH = 1.3


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of one trajectory, which is trained on or held out as a whole.

    Attributes:
        elements: of the atoms, the same in all frames.
        lattices: ``(frames, 3, 3)``, cell vectors in rows, Å.
        positions: ``(frames, atoms, 3)``, Å.
        energies: ``(frames,)``, of the cell, eV.
        forces: ``(frames, atoms, 3)``, eV/Å.
        stresses: ``(frames, 3, 3)``, derivative of the energy by strain per volume, eV/Å³.
        about: what else is known: ``name``, ``kind``, ``split`` ...
    """

    elements: tuple[str, ...]
    lattices: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stresses: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        frames, atoms = len(self.lattices), len(self.elements)
        expected = {
            "lattices": (frames, 3, 3), "positions": (frames, atoms, 3), "energies": (frames,),
            "forces": (frames, atoms, 3), "stresses": (frames, 3, 3),
        }  # fmt: skip
        for name, shape in expected.items():
            array = getattr(self, name)
            if np.shape(array) != shape:
                raise ShapeError(f"{name} have the shape {np.shape(array)}; expected {shape}")
            if not np.isfinite(array).all():
                raise DataError(
                    f"{name} of {self.about.get('name', 'the frames')} hold what is no number: leave it out"
                )

    def __len__(self) -> int:
        return len(self.lattices)

    @classmethod
    def read(cls, path: str | Path) -> Frames:
        """The file of a trajectory: ``cell`` (lengths and angles), ``xyz`` (fractional), ``energy``, ``forces``, ``stress`` and
        ``about``, JSON with ``elements``.

        Raises:
            ParseError: not such a file.
        """
        try:
            with np.load(path) as held:
                about = json.loads(str(held["about"]))
                elements = tuple(about.pop("elements"))
                cells, xyz = held["cell"].astype(float), held["xyz"].astype(float)
                energies, forces, stresses = (held[name].astype(float) for name in ("energy", "forces", "stress"))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ParseError(path, None, f"is no trajectory with labels: {type(error).__name__} {error}") from error
        lattices = np.array([np.asarray(lattice(cell)) for cell in cells])
        return cls(elements, lattices, xyz @ lattices, energies, forces, stresses, about)


@dataclass(frozen=True, eq=False)
class Labelled:
    """One frame as a graph, with its labels."""

    graph: jraph.GraphsTuple
    energy: float
    stress: np.ndarray

    @property
    def atoms(self) -> int:
        """Their number."""
        return int(self.graph.n_node[0])


def labelled(frames: Iterable[Frames], *, cutoff: float, species: Sequence[str]) -> list[Labelled]:
    """Graphs of frames, forces among the arrays of their nodes.

    Raises:
        ConventionError: an element that is not among the species, atoms on top of each other.
    """
    out = []
    for part in frames:
        for k in range(len(part)):
            graph = structure_graph(part.lattices[k], part.positions[k], part.elements, cutoff=cutoff, species=species)
            graph = graph._replace(nodes=graph.nodes | {"forces": part.forces[k]})
            out.append(Labelled(graph, float(part.energies[k]), part.stresses[k]))
    return out


def batches(frames: Sequence[Labelled], size: int, order: np.random.Generator | None = None) -> Iterator[dict]:
    """Frames of equal numbers of atoms side by side, ``size`` at a time, padded; shuffled where there is a generator.

    Yields:
        ``graph``, ``energy`` ``(graphs,)``, ``stress`` ``(graphs, 3, 3)`` and ``atoms`` ``(graphs,)``, the number of atoms, 0 for
        the padding.
    """
    by_size: dict[int, list[int]] = {}
    for k in range(len(frames)) if order is None else order.permutation(len(frames)):
        by_size.setdefault(frames[k].atoms, []).append(int(k))
    groups = [rows[k : k + size] for rows in by_size.values() for k in range(0, len(rows), size)]
    for number in range(len(groups)) if order is None else order.permutation(len(groups)):
        chosen = [frames[k] for k in groups[number]]
        # one frame of padding and one node for it, and what is missing at the end of a group
        nodes = size * chosen[0].atoms + 1
        edges = sum(len(frame.graph.senders) for frame in chosen) * size // len(chosen)
        graph = batch_graphs(
            [frame.graph for frame in chosen], n_node=nodes, n_edge=bucket(edges, growth=_GROWTH), n_graph=size + 1
        )
        rest = size + 1 - len(chosen)
        yield {
            "graph": graph,
            "energy": np.array([frame.energy for frame in chosen] + [0.0] * rest),
            "stress": np.concatenate([[frame.stress for frame in chosen], np.zeros((rest, 3, 3))]),
            "atoms": np.array([frame.atoms for frame in chosen] + [0] * rest),
        }


def steps_of(frames: Sequence[Labelled], size: int) -> int:
    """How many batches :func:`batches` makes."""
    counts: dict[int, int] = {}
    for frame in frames:
        counts[frame.atoms] = counts.get(frame.atoms, 0) + 1
    return sum(-(-count // size) for count in counts.values())
