"""Bonds and distances across atoms: found, told apart, counted, measured."""

from itertools import combinations

import numpy as np
import pytest
from small_problems import monoclinic, rutile, trigonal
from small_tensor_models import quartz

from jaxnmr.crystal import (
    Crystal,
    distances,
    distinct_pairs,
    measure_angles,
    measure_distances,
    plan_bonds,
    plan_distances,
    primitive,
    select_angles,
    transformed,
)
from jaxnmr.errors import ParameterError


def found(crystal, kind):
    """Lengths of a kind and how often each occurs in the cell, shortest first."""
    plan = plan_distances(crystal)
    (chosen,) = plan.select([kind])
    length = distances(crystal, plan.pairs[chosen])
    order = np.argsort(length)
    return length[order], plan.multiplicity[chosen][order]


def peroxide() -> Crystal:
    """O-Si-O, with a second O bonded to each of them."""
    return Crystal.create(
        cell=[12, 8, 8, 90, 90, 90], spacegroup="P 1", species=["Si", "O", "O", "O", "O"], name="peroxide",
        xyz=[[0.5, 0.5, 0.5], [0.6325, 0.5, 0.5], [0.3675, 0.5, 0.5], [0.7, 0.65, 0.5], [0.3, 0.65, 0.5]],
    )  # fmt: skip


def test_rutile_has_these_distances():
    # the octahedron of Ti has two long and four short bonds, ...
    length, number = found(rutile(), ("Ti", "O"))
    expected = [np.hypot((0.5 - 0.305) * 4.594 * np.sqrt(2), 2.959 / 2), 0.305 * 4.594 * np.sqrt(2)]
    np.testing.assert_allclose(length, expected)
    assert number.tolist() == [8, 4]
    # ... shares two edges along c and all corners
    length, number = found(rutile(), ("Ti", "Ti"))
    np.testing.assert_allclose(length, [2.959, np.hypot(4.594 / np.sqrt(2), 2.959 / 2)])
    assert number.tolist() == [2, 8]
    # the shared edge belongs to two octahedra and is still one distance
    length, number = found(rutile(), ("O", "Ti", "O"))
    assert length[0] == pytest.approx((1 - 2 * 0.305) * 4.594 * np.sqrt(2)) and number[0] == 2


def test_silicon_in_quartz_has_four_bonds_and_six_edges():
    assert found(quartz(), ("O", "Si"))[1].tolist() == [6, 6]
    assert sorted(found(quartz(), ("O", "O"))[1]) == [3, 3, 6, 6]
    assert found(quartz(), ("Si", "O", "Si"))[1].tolist() == [6]
    triplets, number = select_angles(quartz(), [("O", "Si", "O")])[0]
    assert triplets.shape == (4, 3, 5) and number.sum() == 18


def test_pairs_are_those_of_a_search_among_all_atoms():
    """Two atoms are 1-3 when a third is bonded to both: from all bonds of the cell, without symmetry."""
    crystal = transformed(trigonal(), np.eye(3), spacegroup="P 1")
    bonds = {}
    for (first, second), _ in zip(plan_bonds(crystal).pairs, plan_bonds(crystal).multiplicity, strict=True):
        bonds.setdefault(int(first[0]), []).append((int(second[0]), *second[2:].tolist()))
    expected = {(a, *b) for a, neighbours in bonds.items() for b in neighbours}
    across = set()
    for ends in bonds.values():
        for one, two in combinations(ends, 2):
            for a, b in ((one, two), (two, one)):
                across.add((a[0], b[0], *(np.array(b[1:]) - a[1:]).tolist()))
    across -= expected
    plan = plan_distances(trigonal())
    bonded = np.array([not between for between in plan.across])
    # each was found from both ends
    assert (2 * plan.multiplicity[bonded].sum(), 2 * plan.multiplicity[~bonded].sum()) == (len(expected), len(across))
    total = sum(
        2 * np.sum(plan.multiplicity[~bonded] * distances(trigonal(), plan.pairs[~bonded]) ** power) for power in (1, 2)
    )
    atoms = np.array([[[a, 0, 0, 0, 0], [b, 0, *shift]] for a, b, *shift in sorted(across)])
    length = distances(crystal, atoms)
    assert total == pytest.approx(length.sum() + (length**2).sum())


@pytest.mark.parametrize("crystal", [quartz(), rutile(), trigonal(), monoclinic()], ids=lambda c: c.name)
def test_the_cell_has_as_many_distances_with_symmetry_as_without(crystal):
    plan, all_ = plan_distances(crystal), plan_distances(transformed(crystal, np.eye(3), spacegroup="P 1"))
    assert (all_.multiplicity == 1).all()
    for ends in set(plan.ends):
        of = [np.array([e == ends for e in p.ends]) for p in (plan, all_)]
        assert plan.multiplicity[of[0]].sum() == of[1].sum()
    leader, _ = distinct_pairs(crystal, plan.pairs)
    assert (leader == np.arange(len(leader))).all()


def test_a_centred_cell_has_a_multiple_of_the_distances_of_its_primitive_cell():
    crystal = transformed(rutile(), np.diag([1, 1, 2]))
    plan, smaller = plan_distances(crystal), plan_distances(primitive(crystal))
    assert len(plan.pairs) == len(smaller.pairs)
    np.testing.assert_array_equal(plan.multiplicity, 2 * smaller.multiplicity)


def test_a_kind_that_is_two_things_must_be_spelled_out():
    plan = plan_distances(peroxide())
    with pytest.raises(ParameterError, match=r"bonds and also distances across Si: ask for \('O', 'Si', 'O'\)"):
        plan.select([("O", "O")])
    across, bonds = plan.select([("O", "Si", "O"), ("O", "O")])
    np.testing.assert_allclose(distances(peroxide(), plan.pairs[across]), [0.265 * 12])
    np.testing.assert_allclose(distances(peroxide(), plan.pairs[bonds]), [np.hypot(0.0675 * 12, 0.15 * 8)] * 2)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([("Si", "Al")], "quartz has no distances of the kind Si-Al; there are O-Si, O-Si-O, Si-O-Si"),
        ([("Si", "Si", "Si")], "no distances of the kind Si-Si-Si"),
        ([("Si", "O"), ("O", "Si")], "Si-O and O-Si have distances in common"),
        ([("O", "O"), ("O", "Si", "O")], "in common"),
        (["SiO"], "elements such as"),
        ([("Si",)], "elements such as"),
    ],
)
def test_kinds_that_make_no_sense_are_refused(kinds, message):
    with pytest.raises(ParameterError, match=message):
        plan_distances(quartz()).select(kinds)


def test_angles_that_do_not_occur_or_occur_twice_are_refused():
    with pytest.raises(ParameterError, match="quartz has no angles of the kind O-O-O; there are O-Si-O, Si-O-Si"):
        select_angles(quartz(), [("O", "O", "O")])
    with pytest.raises(ParameterError, match="given twice"):
        select_angles(trigonal(), [("O", "La", "F"), ("F", "La", "O")])
    with pytest.raises(ParameterError, match="3 elements"):
        select_angles(quartz(), [("Si", "O")])


def test_spreads_are_those_of_the_distances_of_all_structures():
    larger = quartz().replace(cell=quartz().cell * np.array([1.02, 1.02, 1.02, 1, 1, 1]))
    kinds = [("Si", "O"), ("Si", "O", "Si")]
    measured = measure_distances([quartz(), larger], kinds)
    bonds = np.concatenate([s * found(quartz(), ("Si", "O"))[0] for s in (1, 1.02)])
    assert measured["Si", "O"] == pytest.approx((bonds.mean(), bonds.std(ddof=1), 4))
    (apart,) = found(quartz(), ("Si", "Si"))[0]
    assert measured["Si", "O", "Si"] == pytest.approx((1.01 * apart, 0.01 * apart * np.sqrt(2), 2))
    angles = measure_angles([quartz(), larger], [("O", "Si", "O")])["O", "Si", "O"]
    assert angles.mean == pytest.approx(109.47, abs=0.1) and angles.number == 8
    with pytest.raises(ParameterError, match="1 values of Si-O-Si have no spread"):
        measure_distances([quartz()], kinds)
    with pytest.raises(ParameterError, match="rutile has no distances"):
        measure_distances([quartz(), rutile()], kinds)
