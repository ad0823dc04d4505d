"""Neighbours across periodic boundaries, against ASE, vesin and counting by hand."""

import numpy as np
import pytest
from ase.neighborlist import primitive_neighbor_list

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.graph import plan_neighbours


def rows(receivers, senders, shifts):
    table = np.column_stack([receivers, senders, shifts]).astype(int)
    return table[np.lexsort(table.T[::-1])]


def by_counting(lattice, positions, cutoff, most=9):
    """Every image of every atom, one after the other."""
    found = []
    for shift in np.ndindex(*[2 * most + 1] * 3):
        shift = np.array(shift) - most
        vectors = positions[None] + shift @ lattice - positions[:, None]
        close = np.linalg.norm(vectors, axis=-1) < cutoff
        found += [(i, j, *shift) for i, j in np.argwhere(close) if i != j or shift.any()]
    return np.array(sorted(found))


CELLS = {
    "one atom in a cell far smaller than the cutoff": (np.eye(3) * 1.9, 1, 5.0),
    "a needle": (np.diag([1.7, 9.0, 11.0]), 3, 4.0),
    "a skewed cell": (np.array([[3.0, 0, 0], [8.1, 2.9, 0], [-7.0, 3.3, 3.4]]), 2, 4.5),
    "a left-handed cell": (np.array([[0, 4.0, 0], [4.4, 0.3, 0], [0.5, 0, 5.1]]), 3, 5.0),
    "a plain cell": (np.array([[9.8, 0, 0], [-4.9, 8.5, 0], [0, 0.2, 10.9]]), 60, 5.5),
}


@pytest.mark.parametrize("name", CELLS)
def test_neighbours_are_those_of_ase(name):
    lattice, n, cutoff = CELLS[name]
    rng = np.random.default_rng(2)
    side = int(np.ceil(n ** (1 / 3)))
    grid = np.array(list(np.ndindex(side, side, side)))[:n] / side
    # atoms anywhere in space, not only within the cell
    positions = (grid + rng.uniform(-0.02, 0.02, (n, 3)) + rng.integers(-3, 4, (n, 3))) @ lattice
    mine = plan_neighbours(lattice, positions, cutoff)
    i, j, s = primitive_neighbor_list("ijS", [True] * 3, lattice, positions, cutoff)
    np.testing.assert_array_equal(rows(mine.receivers, mine.senders, mine.shifts), rows(i, j, s))
    lengths = np.linalg.norm(mine.vectors(lattice, positions), axis=1)
    assert lengths.max() < cutoff and lengths.min() > 0
    assert (np.diff(mine.receivers) >= 0).all()


def test_neighbours_are_those_of_vesin():
    vesin = pytest.importorskip("vesin")
    lattice, _, cutoff = CELLS["a skewed cell"]
    positions = np.array([[0.1, 0.2, 0.3], [2.0, 3.1, 1.0]])
    i, j, s = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(positions, lattice, True, "ijS")
    mine = plan_neighbours(lattice, positions, cutoff)
    np.testing.assert_array_equal(rows(mine.receivers, mine.senders, mine.shifts), rows(i, j, s))


def test_neighbours_are_those_found_by_counting_all_images():
    lattice, _, cutoff = CELLS["a skewed cell"]
    positions = np.array([[0.0, 0.0, 0.0], [2.0, 3.1, 1.0]])
    mine = plan_neighbours(lattice, positions, cutoff)
    np.testing.assert_array_equal(
        rows(mine.receivers, mine.senders, mine.shifts), by_counting(lattice, positions, cutoff)
    )


def test_a_simple_cubic_atom_has_six_and_then_eighteen_neighbours():
    for cutoff, count in ((2.1, 6), (2.9, 18), (3.5, 26)):
        assert len(plan_neighbours(2.0 * np.eye(3), [[0.3, 0.4, 0.5]], cutoff).senders) == count


def test_every_pair_is_listed_in_both_directions():
    lattice, _, cutoff = CELLS["a needle"]
    pairs = plan_neighbours(lattice, np.array([[0, 0, 0], [0.5, 3, 3], [0.9, 6, 6.0]]), cutoff)
    forward = rows(pairs.receivers, pairs.senders, pairs.shifts)
    np.testing.assert_array_equal(forward, rows(pairs.senders, pairs.receivers, -pairs.shifts))


def test_chosen_centres_get_the_edges_they_had_among_all():
    lattice, positions, cutoff = 4.0 * np.eye(3), np.array([[0, 0, 0], [2, 2, 1.8], [0.1, 2, 2.0]]), 4.5
    all_pairs, some = plan_neighbours(lattice, positions, cutoff), plan_neighbours(lattice, positions, cutoff, [2, 0])
    kept = np.isin(all_pairs.receivers, [0, 2])
    for mine, theirs in zip(some, all_pairs, strict=True):
        np.testing.assert_array_equal(mine, theirs[kept])


GOOD = np.eye(3) * 4.0, np.array([[0.0, 0, 0], [2.0, 2, 2]]), 3.0


@pytest.mark.parametrize(
    "lattice, positions, cutoff, error, words",
    [
        (np.ones((3, 3)), GOOD[1], 3.0, ConventionError, "no volume"),
        (np.diag([1.0, 1.0, 0.0]), GOOD[1], 3.0, ConventionError, "no volume"),
        (np.eye(2), GOOD[1], 3.0, ShapeError, "lattice"),
        (GOOD[0], np.zeros((0, 3)), 3.0, ShapeError, "positions"),
        (GOOD[0], np.zeros(3), 3.0, ShapeError, "positions"),
        (GOOD[0], np.array([[0, 0, np.nan]]), 3.0, ConventionError, "row 0 is not finite"),
        (np.full((3, 3), np.inf), GOOD[1], 3.0, ConventionError, "lattice"),
        (GOOD[0], GOOD[1], 0.0, ConventionError, "cutoff"),
        (GOOD[0], GOOD[1], np.nan, ConventionError, "cutoff"),
        (GOOD[0], np.array([[0, 0, 0.1], [0, 0, 3.9]]), 3.0, ConventionError, "0.200 Å apart"),
        (np.eye(3) * 0.3, np.zeros((1, 3)), 3.0, ConventionError, "0.300 Å apart"),
    ],
)
def test_what_is_no_structure_is_refused(lattice, positions, cutoff, error, words):
    with pytest.raises(error, match=words):
        plan_neighbours(lattice, positions, cutoff)
