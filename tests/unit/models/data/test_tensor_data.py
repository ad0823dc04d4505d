"""Labelled structures and their checks, on structures made up here."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxnmr.errors import ConventionError, DataError, ParseError, ShapeError
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models.data.near_duplicates import merged_groups
from jaxnmr.models.data.tensor_checks import check_frame, check_frames, check_sign, check_unit, structure_symmetry
from jaxnmr.models.data.tensor_data import TensorData, read_si_nmr, read_tensor_file

# rutile: Si on 2/m.. positions, O on mirror planes
LATTICE = np.diag([4.18, 4.18, 2.67])
U = 0.306
FRACTIONAL = np.array(
    [[0, 0, 0], [0.5, 0.5, 0.5], [U, U, 0], [-U, -U, 0], [0.5 - U, 0.5 + U, 0.5], [0.5 + U, 0.5 - U, 0.5]]
)
ELEMENTS = ("Si", "Si", "O", "O", "O", "O")


def stishovite(name="stishovite", efg=None, **changes) -> Magres:
    """With field gradients of point charges, which have the symmetry of the crystal."""
    positions = FRACTIONAL @ LATTICE
    if efg is None:
        cells = np.array(list(np.ndindex(7, 7, 7))) - 3
        charges = np.where(np.array(ELEMENTS) == "Si", 2.0, -1.0)
        r = positions[None, :, None] + cells @ LATTICE - positions[:, None, None]
        d = np.linalg.norm(r, axis=-1)
        # a soft edge of the sum keeps it symmetric
        weight = np.where(d > 0.1, np.exp(-((d / 4) ** 4)) / np.where(d > 0.1, d, 1.0) ** 5, 0.0)
        outer = 3 * r[..., :, None] * r[..., None, :] - (d**2)[..., None, None] * np.eye(3)
        efg = np.einsum("j,ijc,ijcab->iab", charges, weight, outer)
    labels = tuple(f"{e}_{ELEMENTS[: k + 1].count(e)}" for k, e in enumerate(ELEMENTS))
    made = Magres(
        elements=ELEMENTS,
        positions=positions,
        lattice=LATTICE,
        labels=labels,
        species=ELEMENTS,
        tensors={"efg": efg},
        name=name,
    )
    return replace(made, **changes)


def test_symmetry_takes_every_atom_to_one_of_its_kind():
    symmetry = structure_symmetry(stishovite())
    assert len(symmetry.turns) == 16
    image, turn = symmetry.representatives()
    assert image.tolist() == [0, 0, 2, 2, 2, 2]
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(3), (6, 3, 3)), atol=1e-12)
    efg = stishovite().tensors["efg"]
    np.testing.assert_allclose(np.einsum("nij,njk,nlk->nil", turn, efg[image], turn), efg, atol=1e-10)


def test_tensors_of_the_frame_obey_symmetry_and_turned_ones_do_not():
    good = stishovite()
    efg = good.tensors["efg"]
    assert check_frame(good, efg).violation < 1e-8
    angle = np.deg2rad(30.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert check_frame(good, turn @ efg @ turn.T).is_wrong
    # tensors listed in the order of other atoms
    assert check_frame(good, efg[[0, 1, 4, 3, 2, 5]]).is_wrong


def test_a_single_labelled_atom_is_tested_by_its_own_site_symmetry():
    good = stishovite()
    efg = np.full((6, 3, 3), np.nan)
    efg[2] = good.tensors["efg"][2]
    found = check_frame(good, efg)
    assert found.pairs == 3 and found.violation < 1e-8
    swap = np.eye(3)[[2, 0, 1]]
    efg[2] = swap @ efg[2] @ swap.T
    assert check_frame(good, efg).is_wrong


def test_the_worst_frame_comes_first():
    wrong = stishovite("wrong", efg=stishovite().tensors["efg"][[0, 1, 4, 3, 2, 5]])
    assert [c.name for c in check_frames(TensorData.create([stishovite(), wrong], "efg"))] == ["wrong", "stishovite"]


def test_a_few_sites_decide_no_sign():
    assert check_sign(TensorData.create([stishovite()], "efg")) is None


def test_labels_are_counted_and_taken():
    part = stishovite("part")
    efg = part.tensors["efg"].copy()
    efg[:2] = np.nan
    data = TensorData.create([stishovite(), replace(part, tensors={"efg": efg})], "efg", groups=["a", "b"])
    assert data.labelled_elements == ("O", "Si") and data.species == ("O", "Si") and data.unit == "au"
    assert data.mask(1).tolist() == [False] * 2 + [True] * 4
    assert data.take([1]).labelled_elements == ("O",) and data.take([1]).groups == ("b",)
    assert data.without(["part"]).groups == ("a",)
    assert len(data.joined(data)) == 4
    with pytest.raises(ConventionError, match="not the same numbers"):
        data.joined(replace(data, level_of_theory="PBE0"))


def test_the_same_crystal_in_another_group_joins_it():
    one = stishovite()
    turn = Rotation.from_euler("xyz", [20, 40, 60], degrees=True).as_matrix()
    doubled = Magres(
        elements=ELEMENTS * 2,
        positions=np.vstack([one.positions, one.positions + LATTICE[2]]) @ turn,
        lattice=(np.diag([1, 1, 2]) @ LATTICE) @ turn * 1.001,
        labels=one.labels * 2,
        species=ELEMENTS * 2,
        tensors={},
    )
    longer, other = np.diag([0.96, 0.96, 1.085]), np.diag([1.03, 1.03, 1.03])
    strained = replace(one, positions=one.positions @ longer, lattice=one.lattice @ longer)
    larger = replace(one, positions=one.positions @ other, lattice=one.lattice @ other)
    germanium = replace(one, elements=("Ge", "Ge", "O", "O", "O", "O"))
    structures = [one, strained, larger, germanium, doubled, one]
    assert merged_groups(structures, ["a", "b", "c", "d", "e", "b"]) == ("a", "a", "c", "d", "a", "a")
    assert merged_groups(structures[:5], ["a", "b", "c", "d", "e"]) == ("a", "b", "c", "d", "a")


def test_splits_keep_groups_and_are_the_same_for_the_same_seed():
    data = TensorData.create([stishovite(f"s{k}") for k in range(20)], "efg", groups=[f"g{k // 2}" for k in range(20)])
    parts = data.split([0.6, 0.2, 0.2], seed=4)
    assert [len(p) for p in parts] == [12, 4, 4]
    assert all((p[::2] + 1 == p[1::2]).all() for p in parts)
    again, other = data.split([0.6, 0.2, 0.2], seed=4), data.split([0.6, 0.2, 0.2], seed=5)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
    assert any(list(a) != list(b) for a, b in zip(parts, other, strict=True))
    with pytest.raises(ConventionError, match="sum to 1"):
        data.split([0.5, 0.2], seed=0)
    with pytest.raises(DataError, match="cannot be split"):
        data.take([0, 1]).split([0.5, 0.5], seed=0)


EFG = stishovite().tensors["efg"]


@pytest.mark.parametrize(
    "structure, error, words",
    [
        (stishovite(lattice=None), DataError, "no cell"),
        (stishovite(tensors={}), DataError, "no efg tensors; it has none"),
        (stishovite(efg=np.full((6, 3, 3), np.nan)), DataError, "no labelled atom"),
        (
            stishovite(efg=np.where(np.arange(9).reshape(3, 3) == 4, np.nan, EFG)),
            DataError,
            "Si_1 has numbers that are not",
        ),
        (stishovite(efg=EFG + np.eye(3)), ConventionError, "not traceless"),
        (stishovite(efg=EFG + np.triu(np.ones((3, 3)), 1)), ConventionError, "not symmetric"),
    ],
)
def test_labels_that_are_none_are_refused(structure, error, words):
    with pytest.raises(error, match=words):
        TensorData.create([structure], "efg")


def test_data_that_are_none_are_refused():
    with pytest.raises(ConventionError, match="quantity"):
        TensorData.create([stishovite()], "charge")
    with pytest.raises(DataError, match="no structures"):
        TensorData.create([], "efg")
    with pytest.raises(ShapeError, match="one group each"):
        TensorData.create([stishovite()], "efg", groups=["a", "b"])


def test_numbers_of_another_unit_are_noticed():
    check_unit(TensorData.create([stishovite()], "efg"))
    with pytest.raises(DataError, match="divide"):
        check_unit(TensorData.create([stishovite(efg=97.174 * EFG)], "efg"))
    fractions = stishovite(tensors={"ms": 4e-4 * np.broadcast_to(np.eye(3), (6, 3, 3))})
    with pytest.raises(DataError, match="multiply by 1e6"):
        check_unit(TensorData.create([fractions], "shielding"))


def columns(**changes):
    site = lambda e, x: {"species": [{"element": e, "occu": 1}], "abc": x}
    entry = {
        "structure": {
            "7": {"lattice": {"matrix": LATTICE.tolist()}, "sites": [site("Si", [0, 0, 0]), site("O", [0.3, 0.3, 0])]}
        },
        "atom_selector": {"7": [True, False]},
        "nmr_tensor": {"7": [[[380.0, 2.0, 0.0], [1.0, 400.0, 0.0], [0.0, 0.0, 420.0]]]},
        "sigma_iso": {"7": [400.0]},
    }
    return entry | changes


def write(folder, record):
    (folder / "si_nmr_data.json").write_text(json.dumps(record))
    (folder / "duplicate_groups.json").write_text(json.dumps([["7", "8"]]))
    return folder


def test_the_column_file_has_minus_the_shielding_of_valence_electrons(tmp_path):
    data = read_si_nmr(write(tmp_path, columns()), core_ppm=838.0)
    np.testing.assert_allclose(data.tensors(0)[0], [[458, -2, 0], [-1, 438, 0], [0, 0, 418]])
    assert np.isnan(data.tensors(0)[1]).all() and data.groups == ("group-0",)
    np.testing.assert_allclose(data.structures[0].positions[1], [1.254, 1.254, 0.0])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"sigma_iso": {"7": [300.0]}}, "entry 7: isotropic values differ"),
        ({"atom_selector": {"7": [True, True]}}, "entry 7"),
        ({"nmr_tensor": {}}, "KeyError"),
        (
            {"structure": {"7": {"sites": [{"species": [{"element": "Si", "occu": 0.5}], "abc": [0, 0, 0]}]}}},
            "disordered",
        ),
    ],
)
def test_columns_that_contradict_themselves_are_refused(tmp_path, changes, words):
    with pytest.raises(ParseError, match=words):
        read_si_nmr(write(tmp_path, columns(**changes)))


def test_files_that_are_no_columns_are_refused(tmp_path):
    with pytest.raises(ParseError, match="cannot be opened"):
        read_si_nmr(tmp_path)
    (write(tmp_path, columns()) / "si_nmr_data.json").write_text("{")
    with pytest.raises(ParseError, match="no JSON"):
        read_si_nmr(tmp_path)


def test_frames_of_a_file_have_names_and_groups(tmp_path):
    lines = [
        "2",
        f'Lattice="{" ".join(map(str, LATTICE.ravel()))}" Properties=species:S:1:pos:R:3:efg:R:9 kind=a tag=t1 pbc="T T T"',
    ]
    lines += ["Si 0 0 0 " + "0.2 0 0 0 -0.1 0 0 0 -0.1", "O 1 1 1 " + "0.2 0 0 0 -0.1 0 0 0 -0.1"]
    path = tmp_path / "frames.extxyz"
    path.write_text("\n".join(lines) + "\n")
    data = read_tensor_file(path, "efg", group="kind")
    assert (data.groups, data.structures[0].name) == (("a",), "t1")
    with pytest.raises(ParseError, match="frame 1 has no 'prototype'"):
        read_tensor_file(path, "efg", group="prototype")
    with pytest.raises(DataError, match="no shielding tensors; it has efg"):
        read_tensor_file(path, "shielding")
