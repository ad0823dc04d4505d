"""Orders of two elements on the sites of a skeleton."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError

CUBE = dict(cell=[4, 4, 4, 90, 90, 90], spacegroup="P m -3 m", species=["Al"], xyz=[[0, 0, 0]])


def test_orders_on_the_corners_of_a_cube_are_the_six_that_polya_counts():
    found = jn.solve.orders_of(jn.Crystal.create(**CUBE), ("Al", "Si"), numbers=(4, 4), times=(2, 2, 2))
    assert sum(one.copies for one in found) == 70 and len(found) == 6
    assert found[-1].copies == 2  # as in rock salt
    assert all(one.crystal.elements.count("Si") == 4 for one in found)


def test_a_larger_cell_keeps_the_operations_that_it_allows():
    # of four sites in a layer two rows, along a or b, are one order, the chequered one is the other
    found = jn.solve.orders_of(jn.Crystal.create(**CUBE), ("Al", "Si"), numbers=(2, 2), times=(2, 2, 1))
    assert [one.copies for one in found] == [4, 2]
    # two by one: rows only
    assert [
        one.copies
        for one in jn.solve.orders_of(jn.Crystal.create(**CUBE), ("Al", "Si"), numbers=(1, 1), times=(2, 1, 1))
    ] == [2]


def test_other_elements_stay_and_large_numbers_are_sampled():
    crystal = jn.Crystal.create(**{**CUBE, "species": ["Al", "O"], "xyz": [[0, 0, 0], [0.5, 0, 0]]})
    found = jn.solve.orders_of(crystal, ("Al", "Si"), numbers=(18, 9), times=(3, 3, 3), most=5)
    assert 1 <= len(found) <= 5 and all(one.crystal.elements.count("O") == 81 for one in found)
    assert np.asarray(found[0].crystal.cell)[:3].tolist() == [12, 12, 12]


def test_numbers_that_do_not_add_up_are_named():
    with pytest.raises(ConventionError, match=r"8 atoms of Al or Si .* add up"):
        jn.solve.orders_of(jn.Crystal.create(**CUBE), ("Al", "Si"), numbers=(4, 3), times=(2, 2, 2))
    with pytest.raises(ConventionError, match="1 atoms of Al or Si"):
        jn.solve.orders_of(jn.Crystal.create(**CUBE), ("Al", "Si"))
