"""Reflection lists against gemmi and against counting; Stephens' quartic forms."""

import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import SpaceGroup, cell_from_metric, d_spacing, metric
from jaxnmr.diffraction.reflections import laue_rotations, plan_reflections, stephens_basis
from jaxnmr.errors import DataError

GENERIC = np.array([5.1, 6.3, 7.4, 83, 97, 104.0])
# every Laue class, centring and several settings each
SYMBOLS = (
    "P 1", "P -1", "P 1 21/c 1", "P 1 1 21/b", "C 1 2/c 1", "A 1 2/a 1", "I 1 a 1", "P n m a", "P m c n", "C m c m",
    "F d d d:1", "F d d d:2", "I b c a", "P 41", "I 41/a:1", "I 41/a:2", "P 42/n m c:2", "I -4 2 d", "P 31", "R 3:H",
    "R 3:R", "R -3 c:H", "R -3 c:R", "P 32 2 1", "P 31 1 2", "P 63/m", "P 63 m c", "P 6/m m m", "P 21 3", "I 21 3",
    "P a -3", "F d -3 m:1", "F d -3 m:2", "I a -3 d", "P -4 3 n",
)  # fmt: skip


def cell_of(group: SpaceGroup) -> np.ndarray:
    return cell_from_metric(group.metric_projector(metric(GENERIC)))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_reflections_and_multiplicities_are_those_gemmi_counts(symbol):
    group = SpaceGroup.from_name(symbol)
    cell, d_min = cell_of(group), 1.1
    hkl, multiplicity = plan_reflections(group, cell, d_min)
    d = d_spacing(cell, hkl)
    assert (d >= d_min * (1 - 1e-12)).all()
    assert (np.diff(d) <= 1e-9).all()

    asu = gemmi.ReciprocalAsu(gemmi.find_spacegroup_by_name(symbol))
    ops = gemmi.find_spacegroup_by_name(symbol).operations()
    unique = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.find_spacegroup_by_name(symbol), d_min)
    ours = {tuple(asu.to_asu(h.tolist(), ops)[0]): m for h, m in zip(hkl, multiplicity, strict=True)}
    assert len(ours) == len(hkl)
    assert ours.keys() == {tuple(h) for h in unique.tolist()}
    # all lattice points in the sphere are accounted for
    whole = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.find_spacegroup_by_name("P 1"), d_min)
    present = [h for h in whole.tolist() if not ops.is_systematically_absent(h)]
    assert multiplicity.sum() == 2 * len(present)
    for h, m in ours.items():
        star = {tuple(s * np.array(h) @ np.array(op.rot) // gemmi.Op.DEN) for op in ops for s in (1, -1)}
        assert m == len(star)


def test_silicon_has_the_lines_every_textbook_lists():
    hkl, multiplicity = plan_reflections(SpaceGroup.from_name("F d -3 m:2"), [5.4311] * 3 + [90] * 3, 1.04)
    lines = [(*sorted(np.abs(h).tolist()), m) for h, m in zip(hkl, multiplicity.tolist(), strict=True)]
    # 222 is extinct for silicon atoms only, not for the group; 333 has the d of 115
    assert lines[:7] == [
        (1, 1, 1, 8),
        (0, 2, 2, 12),
        (1, 1, 3, 24),
        (2, 2, 2, 8),
        (0, 0, 4, 6),
        (1, 3, 3, 24),
        (2, 2, 4, 24),
    ]
    assert sorted(lines[7:]) == [(1, 1, 5, 24), (3, 3, 3, 8)]


def test_a_cell_with_rounded_numbers_keeps_whole_multiplicities():
    group = SpaceGroup.from_name("R -3 c:R")
    cell = [6.3748, 6.3748, 6.3748, 46.076999999999, 46.077000000001, 46.077]
    _, multiplicity = plan_reflections(group, cell, 0.8)
    assert set(multiplicity.tolist()) <= {2, 6, 12}


def test_an_empty_list_is_an_error_that_says_where_to_look():
    with pytest.raises(DataError, match="check the wavelength"):
        plan_reflections(SpaceGroup.from_name("F m -3 m"), [4.0] * 3 + [90] * 3, 3.0)


# Stephens (1999), table 1; trigonal and the lower Laue classes of 4/m, 6/m, m-3 by counting invariants
@pytest.mark.parametrize(
    ("symbol", "count"),
    [
        ("P -1", 15), ("P 1 2/m 1", 9), ("P 1 1 2/m", 9), ("P m m m", 6), ("P 4/m", 5), ("P 4/m m m", 4), ("P -3", 5),
        ("P -3 m 1", 4), ("P -3 1 m", 4), ("R -3:R", 5), ("R -3 m:H", 4), ("R -3 m:R", 4), ("P 6/m", 3), ("P 6/m m m", 3),
        ("P m -3", 2), ("P m -3 m", 2),
    ],
)  # fmt: skip
def test_anisotropic_strain_has_as_many_terms_as_the_laue_class_allows(symbol, count):
    group = SpaceGroup.from_name(symbol)
    exponents, coefficients, names = stephens_basis(group)
    assert coefficients.shape == (15, count)
    assert len(set(names)) == count
    # Molien: the number of invariant quartic forms is the mean of the coefficient of t⁴ in 1/det(1 - t R)
    assert np.mean([_quartic_character(r) for r in laue_rotations(group)]) == pytest.approx(count)
    rng = np.random.default_rng(1)
    hkl = rng.integers(-6, 7, size=(20, 3))
    form = lambda h: np.prod(h[:, None, :].astype(float) ** exponents, axis=-1) @ coefficients
    for r in laue_rotations(group):
        np.testing.assert_allclose(form(hkl @ r), form(hkl), atol=1e-8 * np.abs(form(hkl)).max())


def _quartic_character(r: np.ndarray) -> float:
    """Trace of a rotation on quartic forms, from its power sums (Newton)."""
    p = [0.0] + [float(np.trace(np.linalg.matrix_power(r, k))) for k in range(1, 5)]
    h = [1.0]
    for n in range(1, 5):
        h.append(sum(p[k] * h[n - k] for k in range(1, n + 1)) / n)
    return h[4]


def test_stephens_terms_carry_the_factors_of_the_paper():
    def polynomial(symbol):
        exponents, coefficients, names = stephens_basis(SpaceGroup.from_name(symbol))
        return {
            name: {tuple(e): round(c, 9) for e, c in zip(exponents.tolist(), column, strict=True) if abs(c) > 1e-9}
            for name, column in zip(names, coefficients.T, strict=True)
        }

    assert polynomial("P m -3 m") == {
        "S400": {(4, 0, 0): 1, (0, 4, 0): 1, (0, 0, 4): 1},
        "S220": {(2, 2, 0): 3, (2, 0, 2): 3, (0, 2, 2): 3},
    }
    assert polynomial("P 6/m m m") == {
        "S400": {(4, 0, 0): 1, (0, 4, 0): 1, (3, 1, 0): 2, (1, 3, 0): 2, (2, 2, 0): 3},
        "S202": {(2, 0, 2): 3, (0, 2, 2): 3, (1, 1, 2): 3},
        "S004": {(0, 0, 4): 1},
    }
    monoclinic = polynomial("P 1 2/m 1")
    assert monoclinic["S301"] == {(3, 0, 1): 2} and monoclinic["S121"] == {(1, 2, 1): 4}
