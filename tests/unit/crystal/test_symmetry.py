"""Space groups: all tabulated settings, names, Hall symbols, operation lists."""

import copy
import pickle
import random

import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import SpaceGroup, cell_basis, cell_from_metric, metric
from jaxnmr.crystal.symmetry import rref_basis, unvoigt, voigt
from jaxnmr.errors import SymmetryError

SETTINGS = list(gemmi.spacegroup_table())
FREE_CELL_PARAMETERS = {
    "triclinic": 6,
    "monoclinic": 4,
    "orthorhombic": 3,
    "tetragonal": 2,
    "trigonal": 2,
    "hexagonal": 2,
    "cubic": 1,
}


def group_of(setting) -> SpaceGroup:
    return SpaceGroup(setting.xhm(), setting.operations())


def test_the_table_holds_all_230_groups():
    assert len({s.number for s in SETTINGS}) == 230
    assert len(SETTINGS) > 500


def test_every_setting_is_closed_under_multiplication_and_inversion():
    for setting in SETTINGS:
        group = group_of(setting)
        rotations, translations = group.rotations, group.translations
        listed = {
            (r.tobytes(), tuple(np.round(t * 24).astype(int) % 24))
            for r, t in zip(rotations, translations, strict=True)
        }
        assert len(listed) == group.order == len(setting.operations())
        rng = np.random.default_rng(setting.number)
        for a, b in rng.integers(group.order, size=(20, 2)):
            r = rotations[a] @ rotations[b]
            t = rotations[a] @ translations[b] + translations[a]
            assert (r.tobytes(), tuple(np.round(t * 24).astype(int) % 24)) in listed
            inverse = np.round(np.linalg.inv(rotations[a])).astype(int)
            assert (inverse.tobytes(), tuple(np.round(-inverse @ translations[a] * 24).astype(int) % 24)) in listed


def test_every_setting_is_found_again_by_its_name_and_its_operations():
    for setting in SETTINGS:
        group = SpaceGroup.from_name(setting.xhm())
        assert group == SpaceGroup.from_operations(group.triplets)
        assert group.number == setting.number
        assert group.name == setting.xhm()
        assert group.triplets[0] == "x,y,z"


def test_every_hall_symbol_gives_its_setting_back_primes_included():
    for setting in SETTINGS:
        assert SpaceGroup.from_hall(setting.hall) == group_of(setting)
    assert SpaceGroup.from_hall('P 31 2"').number == 152  # a stripped prime would make it 151


@pytest.mark.parametrize("system", FREE_CELL_PARAMETERS)
def test_free_cell_parameters_are_those_of_the_crystal_system(system):
    for setting in SETTINGS:
        if setting.crystal_system_str() != system:
            continue
        group = group_of(setting)
        cell = cell_from_metric(group.metric_projector(metric(np.array([7.1, 8.3, 9.7, 83, 97, 104.0]))))
        basis = cell_basis(group, cell)
        assert basis.shape == (6, FREE_CELL_PARAMETERS[system])
        # a step along any free direction keeps the metric invariant
        stepped = metric(cell + basis @ np.full(basis.shape[1], 0.01))
        np.testing.assert_allclose(group.metric_projector(stepped), stepped, atol=1e-9)


def test_lengths_tied_by_symmetry_move_together():
    hexagonal = cell_basis(SpaceGroup.from_name("P 63/m"), np.array([9.37, 9.37, 6.88, 90, 90, 120]))
    np.testing.assert_allclose(hexagonal.T, [[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], atol=1e-12)
    rhombohedral = cell_basis(SpaceGroup.from_name("R -3 m:R"), np.array([5, 5, 5, 70, 70, 70.0]))
    np.testing.assert_allclose(rhombohedral.T, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], atol=1e-9)
    monoclinic = cell_basis(SpaceGroup.from_name("P 21/c"), np.array([8, 5.4, 7.6, 90, 101.9, 90]))
    np.testing.assert_allclose(monoclinic[4], [0, 0, 0, 1], atol=1e-12)


def test_the_metric_projector_leaves_allowed_metrics_alone():
    group = SpaceGroup.from_name("P 63/m")
    g = metric(np.array([9.37, 9.37, 6.88, 90, 90, 120.0]))
    np.testing.assert_allclose(group.metric_projector(g), g, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        ("P 63/m", 176, "P 63/m"),
        ("P63/m", 176, "P 63/m"),
        ("p 63/m", 176, "P 63/m"),
        ("Pnma", 62, "P n m a"),
        ("P 21/c", 14, "P 1 21/c 1"),
        ("R -3 m", 166, "R -3 m:H"),
        ("R -3 m R", 166, "R -3 m:R"),
        ("F d -3 m:2", 227, "F d -3 m:2"),
        ("F d -3 m Z", 227, "F d -3 m:2"),
        ("F d -3 m S", 227, "F d -3 m:1"),
        ("F d -3 m O2", 227, "F d -3 m:2"),
        ("P 4/n m m (origin choice 2)", 129, "P 4/n m m:2"),
        ('hall: P 32 2"', 154, "P 32 2 1"),
        ("Hall:-P 2ybc", 14, "P 1 21/c 1"),
        ("'I 21 3'", 199, "I 21 3"),
        ("-P 2ybc", 14, "P 1 21/c 1"),
        (225, 225, "F m -3 m"),
        ("225", 225, "F m -3 m"),
        (np.int64(62), 62, "P n m a"),
    ],
)
def test_the_spellings_of_files_are_understood(text, number, name):
    group = SpaceGroup.from_name(text)
    assert (group.number, group.name) == (number, name)


def test_a_symbol_that_reads_both_ways_is_hermann_mauguin_unless_said_otherwise():
    assert SpaceGroup.from_name("P 3 2").number == 145  # P 32
    assert SpaceGroup.from_hall("P 3 2").number == 149  # P 3 1 2


def test_every_group_with_two_origins_asks_for_one_by_symbol_and_number():
    # International Tables A lists 24 groups with origin choices 1 and 2
    symbols = {s.hm for s in SETTINGS if s.ext in "12"}
    assert len({s.number for s in SETTINGS if s.hm in symbols}) == 24
    for symbol in symbols:
        with pytest.raises(SymmetryError, match=f"two origins.*{symbol}:1.*{symbol}:2"):
            SpaceGroup.from_name(symbol)
        assert [g.name for g in SpaceGroup.meanings(symbol)] == [f"{symbol}:1", f"{symbol}:2"]
    for number in (48, 141, 227):
        with pytest.raises(SymmetryError, match="two origins"):
            SpaceGroup.from_name(number)


def test_the_angles_of_a_cell_tell_rhombohedral_from_hexagonal_axes():
    for symbol in ("R -3 m", 166):
        assert SpaceGroup.from_name(symbol, [4.0, 4.0, 4.0, 60, 60, 60]).name == "R -3 m:R"
        assert SpaceGroup.from_name(symbol, [4.0, 4.0, 12.0, 90, 90, 120]).name == "R -3 m:H"
    assert SpaceGroup.from_name("R -3 m:H", [4.0, 4.0, 4.0, 60, 60, 60]).name == "R -3 m:H"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("P 33 2 1", "P 32 2 1"),
        ("P 21/q", "P 1 21/c 1"),
        ("Pnmaa", "P n m a"),
        ("P 63/n", "P 63/m"),
        ("P 1 23/c 1", "P 1 21/c 1"),
        ("F m -3 n", "F m -3 m"),
    ],
)
def test_misspelt_symbols_are_refused_with_those_near_them(text, meant):
    with pytest.raises(SymmetryError, match=f"did you mean .*'{meant}'"):
        SpaceGroup.from_name(text)


def test_hall_symbols_are_asked_for_by_name():
    with pytest.raises(SymmetryError, match="write 'hall: P 2ac 2ab'"):
        SpaceGroup.from_name("P 2ac 2ab")
    assert SpaceGroup.from_name("hall: P 2ac 2ab").name == "P 21 21 21"


@pytest.mark.parametrize("text", ["quartz", "P 21/q", "", "NaCl", "P", "F", "P 21/c:9", 0, 231, "xyz"])
def test_what_is_no_space_group_is_refused(text):
    with pytest.raises(SymmetryError, match="unknown space group"):
        SpaceGroup.from_name(text)


@pytest.mark.parametrize(
    ("triplets", "reason"),
    [
        (["x,y,z", "y,z,x"], "do not form a group"),
        (["-x,-y,-z"], "identity"),
        ([], "identity"),
        (["x,y,z", "-x,-y,-z", "x,y,z"], "twice"),
        (["x,y,z", "x+1,y,z"], "twice"),
        (["x,y,z", "2*x,y,z"], "cannot read|no crystallographic"),
        (["x,y,z", "x+1/2,y,z", "-x,y,z+1/4"], "do not form a group"),
        (["x,y,z", "x,y,0"], "no crystallographic"),
        (["x,y,z", "x,x,z"], "no crystallographic"),
        (["x,y,z", "hello"], "cannot read"),
        (["x,y,z", "x+1/5,y,z"], "cannot read"),
        (["x,y,z", "x+1/24,y,z"], "do not form a group"),
    ],
)
def test_operations_that_form_no_group_are_refused(triplets, reason):
    with pytest.raises(SymmetryError, match=reason):
        SpaceGroup.from_operations(triplets)


def test_operations_may_be_written_in_any_way():
    reference = SpaceGroup.from_name("P -1")
    assert SpaceGroup.from_operations([" X, Y, Z", "-X , -Y, -Z"]) == reference
    assert SpaceGroup.from_operations(["x,y,z", "1-x,-y,-z"]) == reference
    thirds = SpaceGroup.from_operations(["x,y,z", "x+0.6667,y+0.3333,z+0.3333", "x+0.3333,y+0.6667,z+0.6667"])
    np.testing.assert_allclose(thirds.centring[1:], [[1 / 3, 2 / 3, 2 / 3], [2 / 3, 1 / 3, 1 / 3]])


@pytest.mark.parametrize("name", ["P 63/m", "F d -3 m:2", "C -1"])
def test_equal_groups_list_their_operations_in_the_same_order(name):
    group = SpaceGroup.from_name(name)
    triplets = list(group.triplets)
    random.Random(1).shuffle(triplets)
    shuffled = SpaceGroup.from_operations(triplets)
    assert shuffled == group and hash(shuffled) == hash(group)
    np.testing.assert_array_equal(shuffled.rotations, group.rotations)
    np.testing.assert_array_equal(shuffled.translations, group.translations)


def test_settings_outside_the_tables_keep_their_operations_in_one_order():
    triplets = ["x,y,z", "-x,-y,-z+1/4", "x,y,z+1/2", "-x,-y,-z+3/4"]
    groups = [SpaceGroup.from_operations(order) for order in (triplets, triplets[::-1])]
    assert groups[0].number is None and groups[0].hall is None
    assert groups[0].triplets == groups[1].triplets
    assert set(groups[0].triplets) == set(triplets)
    # operations without centring come first, which orbits rely on
    np.testing.assert_array_equal(groups[0].centring, [[0, 0, 0], [0, 0, 0.5]])
    np.testing.assert_array_equal(groups[0].translations[0], 0.0)


def test_the_first_operations_of_every_setting_are_those_without_centring():
    for setting in SETTINGS:
        group = group_of(setting)
        block = group.order // len(group.centring)
        for k, shift in enumerate(group.centring):
            part = group.translations[k * block : (k + 1) * block]
            np.testing.assert_array_equal(group.rotations[k * block : (k + 1) * block], group.rotations[:block])
            np.testing.assert_allclose((part - group.translations[:block] - shift) % 1.0 % 1.0, 0.0, atol=1e-12)


def test_groups_survive_copying_and_pickling():
    group = SpaceGroup.from_name("F d -3 m:2")
    for twin in (copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert twin == group and twin.name == group.name
        np.testing.assert_array_equal(twin.rotations, group.rotations)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("P 63/m", 0), ("P 63 m c", 1), ("P 1", 3), ("P 1 c 1", 2), ("P 1 21 1", 1), ("F m -3 m", 0), ("I 21 3", 0)],
)
def test_the_origin_floats_along_polar_directions(name, expected):
    assert SpaceGroup.from_name(name).polar_basis.shape == (3, expected)


def test_inversion_symmetry_is_recognised():
    assert SpaceGroup.from_name("P n m a").is_centrosymmetric
    assert not SpaceGroup.from_name("I 21 3").is_centrosymmetric


def test_six_component_and_matrix_forms_are_inverse():
    six = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(voigt(unvoigt(six)), six)
    np.testing.assert_array_equal(unvoigt(six), np.swapaxes(unvoigt(six), -1, -2))


def test_the_echelon_basis_spans_the_range_of_a_projector():
    rng = np.random.default_rng(0)
    for rank in range(6):
        q = np.linalg.qr(rng.normal(size=(6, 6)))[0][:, :rank]
        basis = rref_basis(q @ q.T)
        assert basis.shape == (6, rank)
        np.testing.assert_allclose(q @ q.T @ basis, basis, atol=1e-10)


def test_a_number_may_have_the_origin_or_the_axes_behind_it():
    for written, meant in (
        ("227:2", "F d -3 m:2"),
        ("227: 1", "F d -3 m:1"),
        ("166:H", "R -3 m:H"),
        ("48:1", "P n n n:1"),
    ):
        assert SpaceGroup.from_name(written) == SpaceGroup.from_name(meant)
    with pytest.raises(SymmetryError, match="unknown space group '14:2'"):
        SpaceGroup.from_name("14:2")
