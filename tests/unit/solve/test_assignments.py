"""Wyckoff assignments: complete, each once, the likely ones first."""

from itertools import islice, pairwise, product

import numpy as np
import pytest

from jaxnmr.crystal import SpaceGroup
from jaxnmr.errors import SymmetryError
from jaxnmr.solve.direct.assignments import Assignments
from jaxnmr.solve.direct.prior import features, fitted, kinds, options
from jaxnmr.solve.direct.wyckoff import wyckoff_positions

ANGLESITE = [8.478, 5.397, 6.958, 90, 90, 90]
NATRITE = [8.905, 5.239, 6.045, 90, 101.35, 90]
APATITE = [9.3719, 9.3719, 6.8859, 90, 90, 120]


def by_hand(positions, atoms):
    """All multisets of positions of so many atoms, fixed ones at most once, by trying everything."""
    most = [min(atoms // p.multiplicity, 1 if p.dof == 0 else 99) for p in positions.every]
    for counts in product(*(range(m + 1) for m in most)):
        if sum(n * p.multiplicity for n, p in zip(counts, positions.every, strict=True)) == atoms:
            yield tuple(k for k, n in enumerate(counts) for _ in range(n))


def test_every_assignment_comes_once_but_for_shifts_of_the_origin():
    group, contents = SpaceGroup.from_name("P n m a"), {"Pb": 4, "S": 4, "O": 16}
    positions = wyckoff_positions(group)
    every = Assignments(group, [40.0, 50.0, 60.0, 90, 90, 90], contents)  # a cell without overlaps
    listed = list(every)
    expected = set()
    for sites in product(*(list(by_hand(positions, n)) for n in contents.values())):
        fixed = [k for s in sites for k in s if positions[k].dof == 0]
        if len(fixed) == len(set(fixed)):
            expected.add(every.canonical(sites))
    assert len(listed) == len(set(listed)) and set(listed) == expected
    # 4a and 4b are the same but for a shift
    assert ((0,), (2,), (2, 2, 3)) in expected and ((1,), (2,), (2, 2, 3)) not in expected


def test_the_prior_puts_the_true_assignments_of_difficult_minerals_first():
    # the design study, by the number of sites, had natrite at 4,011 of 14,443 and fluorapatite beyond 400 of 7,208
    cases = [
        ("C 1 2/m 1", NATRITE, {"Na": 8, "C": 4, "O": 12}, {"Na": [(2, 0)] * 2 + [(4, 2)], "C": [(4, 2)], "O": [(4, 2), (8, 3)]}),
        ("P 63/m", APATITE, {"Ca": 10, "P": 6, "O": 24, "F": 2},
         {"Ca": [(4, 1), (6, 2)], "P": [(6, 2)], "O": [(6, 2), (6, 2), (12, 3)], "F": [(2, 0)]}),
        ("P n m a", ANGLESITE, {"Pb": 4, "S": 4, "O": 16}, {"Pb": [(4, 2)], "S": [(4, 2)], "O": [(4, 2), (4, 2), (8, 3)]}),
    ]  # fmt: skip
    for name, cell, contents, true in cases:
        found = Assignments(SpaceGroup.from_name(name), cell, contents)
        kind = lambda k, found=found: (found.positions[k].multiplicity, found.positions[k].dof)
        rank = next(
            n for n, a in enumerate(islice(found, 1000), start=1)
            if all(sorted(map(kind, s)) == sorted(true[e]) for e, s in zip(found.elements, a, strict=True))
        )  # fmt: skip
        assert rank <= 500, (name, rank)


def test_scores_never_rise():
    group = SpaceGroup.from_name("P 63/m")
    found = Assignments(group, APATITE, {"Ca": 10, "P": 6, "O": 24, "F": 2})
    listed = kinds(wyckoff_positions(group))

    def score(assignment):
        total = 0.0
        for element, sites in zip(found.elements, assignment, strict=True):
            every = list(options(listed, {"Ca": 10, "P": 6, "O": 24, "F": 2}[element]))
            counts = tuple(sum(k in kind.members for k in sites) for kind in listed)
            total += float((features(listed, np.array(every), element) @ fitted())[every.index(counts)])
        return total

    scores = [score(a) for a in islice(found, 40)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(scores))
    assert scores[0] - scores[-1] > 0.5


def test_nothing_is_listed_before_it_is_asked_for():
    # 96 oxygen atoms among the 27 positions of Pmmm: more than anyone could list
    found = iter(Assignments(SpaceGroup.from_name("P m m m"), [12, 13, 14, 90, 90, 90], {"Si": 48, "O": 96}))
    assert len(list(islice(found, 50))) == 50


def test_positions_whose_atoms_would_touch_are_left_out():
    # 4a of the small cell of NaCl: chlorine on 24d and more would overlap
    found = list(Assignments(SpaceGroup.from_name("F m -3 m"), [5.64] * 3 + [90.0] * 3, {"Na": 4, "Cl": 4}))
    assert len(found) == 1
    with pytest.raises(SymmetryError, match="3 Na in the cell"):
        Assignments(SpaceGroup.from_name("F m -3 m"), [5.64] * 3 + [90.0] * 3, {"Na": 3, "Cl": 4})
