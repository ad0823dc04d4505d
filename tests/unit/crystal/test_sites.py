"""Site symmetry: free directions at special positions, orbits, snapping."""

import gemmi
import numpy as np
import pytest
import spglib

from jaxnmr.crystal import SpaceGroup, analyse_site, cell_from_metric, lattice, metric
from jaxnmr.crystal.sites import has_conventional_metric
from jaxnmr.crystal.symmetry import unvoigt
from jaxnmr.errors import SymmetryError

GENERIC = np.array([7.1, 8.3, 9.7, 83, 97, 104.0])
FRACTIONS = (0, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 5 / 8, 2 / 3, 3 / 4, 5 / 6, 7 / 8)
# Displacements off a special point that stay on some axis or plane.
DIRECTIONS = (
    (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (0, 1, 1),
    (1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1), (1, 2, 0), (2, 1, 0), (1, 2, 3),
)  # fmt: skip


def cell_of(group: SpaceGroup) -> np.ndarray:
    return np.round(cell_from_metric(group.metric_projector(metric(GENERIC))), 12)


def site(name: str, xyz, cell=None, **kwargs):
    group = SpaceGroup.from_name(name)
    return analyse_site(group, metric(cell_of(group) if cell is None else np.array(cell, dtype=float)), xyz, **kwargs)


def special_sites(group: SpaceGroup, per_group: int, seed: int):
    """Sites of different symmetry, drawn from special points and their surroundings."""
    rng = np.random.default_rng(seed)
    g = metric(cell_of(group))
    found = {}
    for _ in range(per_group):
        if rng.random() < 0.5:
            point = rng.integers(4, size=3) / rng.choice([2, 4])
        else:
            point = rng.choice(FRACTIONS, size=3) + 0.0713 * np.array(DIRECTIONS[rng.integers(len(DIRECTIONS))])
        one = analyse_site(group, g, point, occupancy=None)
        kinds = tuple(sorted((int(np.trace(r)), round(np.linalg.det(r))) for r in one.stabiliser))
        found.setdefault((one.multiplicity, kinds), one)
    return list(found.values())


def test_free_directions_count_as_characters_of_the_site_symmetry_say_in_every_setting():
    # number of invariants of a vector: mean trace; of a symmetric tensor: mean of (tr R)²/2 + tr R²/2
    for setting in gemmi.spacegroup_table():
        group = SpaceGroup(setting.xhm(), setting.operations())
        g_star = np.linalg.inv(metric(cell_of(group)))
        for one in special_sites(group, per_group=12, seed=setting.number):
            r = one.stabiliser.astype(float)
            trace = np.trace(r, axis1=1, axis2=2)
            square = np.trace(r @ r, axis1=1, axis2=2)
            assert one.xyz_basis().shape == (3, round(trace.mean()))
            assert one.uij_basis(g_star).shape == (6, round(((trace**2 + square) / 2).mean()))
            assert one.multiplicity * len(r) == group.order
            assert len(one.primitive_images) * len(group.centring) == one.multiplicity


def free_coordinates(symbol: str) -> int:
    """Free coordinates of an oriented site-symmetry symbol, International Tables A."""
    symbol = symbol.replace(".", "")
    axes = ("2", "3", "4", "6", "mm2", "m2m", "2mm", "3m", "4mm", "6mm")
    return {"1": 3, "m": 2}.get(symbol, 1 if symbol in axes else 0)


def free_displacements(symbol: str) -> int:
    """Independent U_ij by the crystal class of the site symmetry."""
    symbol = symbol.replace(".", "")
    classes = {
        6: ("1", "-1"),
        4: ("2", "m", "2/m"),
        3: ("222", "mm2", "m2m", "2mm", "mmm"),
        1: ("23", "m-3", "432", "-43m", "m-3m"),
    }
    return next((count for count, symbols in classes.items() if symbol in symbols), 2)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib warns on every call
@pytest.mark.parametrize(
    "number", [2, 5, 12, 15, 31, 47, 62, 70, 88, 109, 131, 139, 147, 155, 166, 176, 187, 194, 199, 204, 216, 225, 230]
)
def test_site_symmetry_is_that_of_spglib(number):
    group = SpaceGroup.meanings(number)[0]
    cell = cell_of(group)
    general = group.rotations @ np.array([0.1234, 0.2871, 0.4017]) + group.translations
    compared = 0
    for one in special_sites(group, per_group=60, seed=number):
        if len(one.stabiliser) == 1:
            continue
        orbit = group.rotations[one.images] @ one.xyz + group.translations[one.images]
        kinds = [1] * len(orbit) + [2] * len(general)
        data = spglib.get_symmetry_dataset((lattice(cell), np.vstack([orbit, general]), kinds), symprec=1e-4)
        assert data.number == number
        symbol = data.site_symmetry_symbols[0]
        assert one.xyz_basis().shape[1] == free_coordinates(symbol)
        assert one.uij_basis(np.linalg.inv(metric(cell))).shape[1] == free_displacements(symbol)
        compared += 1
    assert compared > 0


def test_an_atom_on_a_threefold_axis_keeps_one_free_coordinate():
    one = site("P 63/m", [1 / 3, 2 / 3, 0.0019])
    np.testing.assert_allclose(one.xyz_basis().T, [[0, 0, 1]])
    assert one.multiplicity == 4
    cubic = site("I 21 3", [0.2487, 0.2487, 0.2487])
    np.testing.assert_allclose(cubic.xyz_basis().T, [[1, 1, 1]])


def test_an_atom_at_x_2x_z_has_the_free_directions_of_that_name():
    one = site("P -3 m 1", [0.2, 0.4, 0.3])
    np.testing.assert_allclose(one.xyz_basis().T, [[1, 2, 0], [0, 0, 1]])


def test_an_atom_on_a_centre_of_symmetry_cannot_move():
    assert site("P -1", [0.5, 0.5, 0]).xyz_basis().shape == (3, 0)


def test_a_general_position_has_as_many_images_as_the_group_has_operations():
    for name in ("P 63/m", "F d -3 m:2", "I a -3 d", "R -3 m:R"):
        one = site(name, [0.1234, 0.2871, 0.4017])
        assert one.multiplicity == SpaceGroup.from_name(name).order
        assert len(one.stabiliser) == 1


def allowed_uij(name: str, xyz) -> np.ndarray:
    group = SpaceGroup.from_name(name)
    return site(name, xyz).uij_basis(np.linalg.inv(metric(cell_of(group))))


def test_on_a_hexagonal_axis_u12_is_half_of_u11_and_u22():
    # U11 U22 U33 U12 U13 U23
    np.testing.assert_allclose(
        allowed_uij("P 63/m", [1 / 3, 2 / 3, 0.1]).T, [[1, 1, 0, 0.5, 0, 0], [0, 0, 1, 0, 0, 0]], atol=1e-12
    )


def test_on_a_cubic_threefold_axis_all_diagonal_and_all_mixed_terms_are_equal():
    np.testing.assert_allclose(
        allowed_uij("I 21 3", [0.25, 0.25, 0.25]).T, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], atol=1e-12
    )


def test_on_the_twofold_axis_along_x_only_u23_is_mixed():
    np.testing.assert_array_equal(
        (np.abs(allowed_uij("I 21 3", [0.4665, 0, 0.25])) > 1e-12).any(axis=1), [True, True, True, False, False, True]
    )


def test_in_a_mirror_plane_across_b_the_mixed_terms_with_b_vanish():
    np.testing.assert_array_equal(
        (np.abs(allowed_uij("P n m a", [0.19, 0.25, 0.17])) > 1e-12).any(axis=1), [True, True, True, False, True, False]
    )


def test_at_a_cubic_centre_displacement_is_isotropic():
    np.testing.assert_allclose(allowed_uij("F m -3 m", [0, 0, 0]).T, [[1, 1, 1, 0, 0, 0]], atol=1e-12)


def test_allowed_displacements_are_unchanged_by_the_operations_of_the_site():
    rng = np.random.default_rng(1)
    for name in ("P 63/m", "I 21 3", "F d -3 m:2", "P 1 2/m 1", "R -3 c:H", "R -3 c:R", "P 4/n m m:2"):
        group = SpaceGroup.from_name(name)
        g_star = np.linalg.inv(metric(cell_of(group)))
        length = np.sqrt(np.diag(g_star))
        for one in special_sites(group, per_group=20, seed=3):
            basis = one.uij_basis(g_star)
            beta = unvoigt(basis @ rng.normal(size=basis.shape[1])) * length[:, None] * length
            for r in one.stabiliser:
                np.testing.assert_allclose(r @ beta @ r.T, beta, atol=1e-12)


def test_moving_along_free_directions_keeps_the_site_symmetry():
    rng = np.random.default_rng(2)
    for name in ("P 63/m", "I 21 3", "F d -3 m:2", "C 1 2/m 1", "R -3 c:H", "P 42/m n m"):
        group = SpaceGroup.from_name(name)
        g = metric(cell_of(group))
        for one in special_sites(group, per_group=20, seed=4):
            basis = one.xyz_basis()
            moved = analyse_site(group, g, one.xyz + basis @ rng.uniform(0.003, 0.006, basis.shape[1]), occupancy=None)
            np.testing.assert_array_equal(moved.stabiliser, one.stabiliser)
            np.testing.assert_array_equal(moved.images, one.images)


def test_snapping_moves_only_perpendicular_to_the_free_directions():
    group = SpaceGroup.from_name("P 63/m")
    cell = np.array([9.37, 9.37, 6.88, 90, 90, 120])
    one = analyse_site(group, metric(cell), [0.3333, 0.6667, 0.1234567])
    np.testing.assert_allclose(one.xyz, [1 / 3, 2 / 3, 0.1234567], atol=1e-12)
    skewed = SpaceGroup.from_name("P 1 m 1")
    cell = np.array([5, 6, 7, 90, 130, 90.0])
    one = analyse_site(skewed, metric(cell), [0.123, 0.0005, 0.456])
    np.testing.assert_allclose(one.xyz, [0.123, 0, 0.456], atol=1e-12)


def test_snapping_uses_the_whole_group_when_only_some_operations_are_within_reach():
    # 0.0113 Å off a 3m axis: the threefold rotation moves by 0.0196 Å, a mirror by up to 0.0226 Å
    group = SpaceGroup.from_name("P 3 m 1")
    cell = np.array([8, 8, 9, 90, 90, 120.0])
    off = np.linalg.inv(lattice(cell)).T @ np.array([0.0113, 0, 0])
    one = analyse_site(group, metric(cell), np.array([0, 0, 0.3]) + off)
    assert len(one.stabiliser) == 6
    np.testing.assert_allclose(one.xyz, [0, 0, 0.3], atol=1e-9)


def test_snapping_works_across_cell_borders():
    one = site("P 63/m", [0.9999, 1.0001, 0.2501])
    np.testing.assert_allclose(one.xyz, [1, 1, 0.25], atol=1e-12)
    assert one.multiplicity == 2


def test_two_thirds_rounded_to_four_decimals_snap_in_a_large_cell():
    one = site("P 6/m m m", [0.3333, 0.6667, 0.2], cell=[35.6, 35.6, 7.5, 90, 90, 120])
    assert one.multiplicity == 4


def test_an_atom_close_to_its_own_image_is_refused_with_the_operation_named():
    with pytest.raises(SymmetryError, match=r"S at .* 0\.2\d Å from its own image under .*-z"):
        site("P 63/m", [0.4, 0.36, 0.267], cell=[9.37, 9.37, 6.88, 90, 90, 120], label="S")


def test_a_split_position_may_be_close_to_its_image_when_its_occupancy_says_so():
    where = {"cell": [9.37, 9.37, 6.88, 90, 90, 120], "xyz": [0.4, 0.36, 0.267]}
    assert site("P 63/m", **where, occupancy=0.5).multiplicity == 12
    with pytest.raises(SymmetryError, match="at most 1/2"):
        site("P 63/m", **where, occupancy=0.6)
    # three images around a threefold axis
    with pytest.raises(SymmetryError, match="at most 1/3"):
        site("P 3", [0.01, 0.02, 0], cell=[8, 8, 8, 90, 90, 120], occupancy=0.5)
    assert site("P 3", [0.01, 0.02, 0], cell=[8, 8, 8, 90, 90, 120], occupancy=0.333).multiplicity == 3


def test_cells_of_tabulated_settings_change_along_fixed_directions_and_primitive_tetragonal_ones_do_not():
    for setting in list(gemmi.spacegroup_table())[::9]:
        assert has_conventional_metric(SpaceGroup(setting.xhm(), setting.operations()))
    # I 4 on primitive axes (-a+b+c)/2 ...: equal lengths, two angles that are tied nonlinearly
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    axes = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2
    rotation = np.round(np.linalg.inv(axes).T @ turn @ axes.T).astype(int)
    powers = [np.linalg.matrix_power(rotation, k) for k in range(4)]
    triplets = [
        ",".join("".join(f"{c:+d}*{x}" for c, x in zip(row, "xyz", strict=True) if c) for row in r) for r in powers
    ]
    assert not has_conventional_metric(SpaceGroup.from_operations(triplets))
