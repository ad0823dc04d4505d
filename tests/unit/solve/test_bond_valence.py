"""Bond valences tell oxygen from fluorine where X-rays do not."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.solve.checks.bond_valence import _parameters, bond_length, orders_by_bond_valences


def test_lengths_of_bonds_of_valence_one_are_near_those_of_the_table_for_pairs():
    # N. E. Brese & M. O'Keeffe, Acta Cryst. B47, 192 (1991), fitted to bonds of each pair by itself: 0.1 Å is 30 % of a valence
    table = _parameters()
    for one, other, known in (
        ("Si", "O", 1.624),
        ("Nb", "O", 1.911),
        ("Na", "O", 1.803),
        ("Ca", "F", 1.842),
        ("Pb", "O", 2.112),
    ):
        assert bond_length(table[one], table[other]) == pytest.approx(known, abs=0.1)


def test_fluorine_of_an_oxide_fluoride_is_where_bonds_are_weak():
    # LaOF, P4/nmm, ordered (W. H. Zachariasen, Acta Cryst. 4, 231 (1951)): oxygen at 2a, fluorine at 2b, lanthanum nearer to oxygen
    wrong = jn.Crystal.create(
        cell=(4.091, 4.091, 5.852, 90, 90, 90), spacegroup="P 4/n m m:1", species=("La", "F", "O"), xyz=((0, 0.5, 0.222), (0, 0, 0), (0, 0, 0.5)),
    )  # fmt: skip
    first, second = orders_by_bond_valences(wrong, ("O", "F"))
    assert first.crystal.species == ("La", "O", "F") and second.crystal.species == wrong.species
    assert first.misfit < 0.5 * second.misfit
    assert first.sums["O1"] > first.sums["F1"]
    assert np.asarray(first.crystal.xyz) == pytest.approx(np.asarray(wrong.xyz))


def test_what_valences_cannot_tell_is_left_alone():
    crystal = jn.Crystal.create(
        cell=(4.0,) * 3 + (90,) * 3, spacegroup="P m -3 m", species=("Fe", "Co"), xyz=((0, 0, 0), (0.5, 0.5, 0.5))
    )
    assert orders_by_bond_valences(crystal, ("Fe", "Co")) == ()
