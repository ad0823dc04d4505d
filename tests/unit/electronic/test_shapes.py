"""Shapes of molecules: what leaves the distances of a training, whatever the numbering."""

import numpy as np
import pytest

from jaxnmr.electronic.scf.internal import tree_of
from jaxnmr.electronic.scf.molecules import known
from jaxnmr.electronic.shapes import beyond, composition, ordered_distances, ranges_of
from jaxnmr.errors import DataError

NUMBERS, TRANS = known("ethanol")
ELEMENTS = tuple({1: "H", 6: "C", 8: "O"}[z] for z in NUMBERS)
TREE = tree_of(NUMBERS, TRANS)
RNG = np.random.default_rng(2)


def turned(degrees, count=1):
    """Ethanol with its hydroxyl group turned from trans, all other coordinates shaken a little, in any orientation."""
    hydroxyl = 3
    which = [TREE.order.index(k) for k in range(9)][hydroxyl]
    coordinate = sum(len(refs) for refs in TREE.references[:which]) + 2
    assert TREE.torsions[coordinate]
    found = []
    for _ in range(count):
        q = TREE.measure(TRANS) + 0.03 * RNG.normal(size=len(TREE.kinds))
        q[coordinate] += np.radians(degrees)
        found.append(TREE.place(q) @ np.linalg.qr(RNG.normal(size=(3, 3)))[0].T)
    return np.array(found)


@pytest.fixture(scope="module")
def ranges():
    return {"C2H6O": ranges_of(ELEMENTS, turned(0.0, 200), turned(0.0, 100))}


def test_shapes_like_those_of_the_training_are_inside_and_a_turned_group_is_not(ranges):
    fresh = beyond(ELEMENTS, turned(0.0, 200), ranges)
    assert np.mean(fresh <= 1.0) > 0.95 and np.mean(fresh == 0.0) > 0.4
    growing = [float(beyond(ELEMENTS, turned(angle, 20), ranges).mean()) for angle in (0.0, 60.0, 120.0, 180.0)]
    assert growing == sorted(growing) and growing[1] > 3.0


def test_numbering_and_orientation_do_not_matter(ranges):
    xyz = turned(100.0, 3)
    order = RNG.permutation(9)
    same = beyond([ELEMENTS[k] for k in order], xyz[:, order] @ np.diag([1.0, 1.0, -1.0]) + 5.0, ranges)
    np.testing.assert_allclose(same, beyond(ELEMENTS, xyz, ranges), rtol=1e-10)
    assert ordered_distances(ELEMENTS, xyz).shape == (3, 36)


def test_the_measure_is_the_part_of_the_range_beyond_in_units_of_what_is_usual():
    two = lambda *lengths: np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, r]] for r in lengths])
    kept = {"H2": ranges_of(("H", "H"), two(0.8, 1.0, 0.9), two(0.9, 1.02))}
    room = np.quantile([0.0, 0.1], 0.99)
    np.testing.assert_allclose(
        beyond(("H", "H"), two(0.95, 1.1, 0.7), kept), np.array([0.0, 0.5, 0.5]) / room, atol=1e-5
    )
    assert np.isnan(beyond(("H", "H", "O"), np.zeros((1, 3, 3)), kept)).all()
    assert composition(("O", "H", "C", "H")) == "CH2O"
    with pytest.raises(DataError, match="shapes of H2 need"):
        ranges_of(("H", "H"), two(0.8), two(0.9))
