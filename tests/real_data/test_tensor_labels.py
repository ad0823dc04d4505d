"""Labels of the real data sets: read, checked, split."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError
from jaxnmr.models.data.tensor_checks import check_frames, check_sign, check_unit, structure_symmetry
from jaxnmr.models.data.tensor_data import TensorData, read_magres_folder, read_si_nmr, read_tensor_file

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def si_nmr(data):
    return read_si_nmr(data / "si_nmr")


@pytest.fixture(scope="module")
def silica(data):
    return read_tensor_file(data / "silica_efg" / "silica_efg.extxyz", "efg", group="prototype", level_of_theory="PBE")


def test_the_shieldings_of_silicon_oxides_are_complete(si_nmr):
    assert len(si_nmr) == 421 and si_nmr.labelled_elements == ("Si",) and si_nmr.unit == "ppm"
    assert sum(int(si_nmr.mask(k).sum()) for k in range(len(si_nmr))) == 1335
    assert sum(len(s) for s in si_nmr.structures) == 22771
    # 292 groups of duplicates as published, which leave some crystals apart that are the same to 0.001 Å
    assert len(set(si_nmr.groups)) == 279
    group = dict(zip((s.name for s in si_nmr.structures), si_nmr.groups, strict=True))
    assert all(
        group[a] == group[b] for a, b in [("20", "77"), ("32", "101"), ("43", "348"), ("132", "149"), ("202", "275")]
    )


def test_three_entries_have_tensors_of_another_frame_and_no_other_comes_near(si_nmr):
    checks = check_frames(si_nmr)
    assert {c.name for c in checks if c.is_wrong} == {"90", "289", "373"}
    # 1.44, 0.77 and 0.60, then 0.12: the threshold of 0.3 is in a wide gap
    assert checks[2].violation > 0.55 and checks[3].violation < 0.13
    # entry 90 has tensors that cubic symmetry makes isotropic: what is left is noise of 0.02 ppm
    assert checks[0].name == "90" and checks[0].largest < 0.05
    assert [c.largest > 1.0 for c in checks[1:3]] == [True, True]


def test_the_sign_of_shieldings_shows_in_the_angles_of_bridges(si_nmr):
    found = check_sign(si_nmr)
    assert found.sites == 869 and found.value > 0.9 and not found.is_wrong
    flipped = [s.__class__(**(vars(s) | {"tensors": {"ms": -s.tensors["ms"]}})) for s in si_nmr.structures]
    assert check_sign(TensorData.create(flipped, "shielding")).is_wrong


def test_quartz_among_the_silicon_oxides_is_shielded_as_in_a_gipaw_calculation(si_nmr, data):
    from jaxnmr.io import read_magres

    gipaw = read_magres(data / "magres" / "quartz-ncpp_quartz.nmr.magres").select("Si").shielding_ppm
    # three SiO2 in a trigonal cell of quartz's volume, 112 to 123 Å^3 with the stretch of PBE, linked by 144 degrees
    found = []
    for k, s in enumerate(si_nmr.structures):
        if len(s) == 9 and 108 < abs(np.linalg.det(s.lattice)) < 125 and s.elements.count("Si") == 3:
            found.append(np.trace(si_nmr.tensors(k)[si_nmr.mask(k)][0]) / 3)
    assert found and np.abs(np.array(found) - np.trace(gipaw[0]) / 3).min() < 3.0


def test_groups_of_duplicates_stay_on_one_side_of_a_split(si_nmr):
    parts = si_nmr.split([0.8, 0.1, 0.1], seed=1)
    assert sorted(np.concatenate(parts)) == list(range(421))
    assert [abs(len(p) / 421 - f) < 0.03 for p, f in zip(parts, (0.8, 0.1, 0.1), strict=True)] == [True] * 3
    groups = [set(np.array(si_nmr.groups)[p]) for p in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_field_gradients_of_silica_obey_the_symmetry_of_their_crystals(silica):
    assert len(silica) == 110 and len(set(silica.groups)) == 47 and silica.labelled_elements == ("O", "Si")
    checks = check_frames(silica)
    tested = [c for c in checks if c.pairs]
    assert len(tested) > 30 and max(c.violation for c in tested) < 0.01
    check_unit(silica)
    assert check_sign(silica).value > 0.8


def test_a_quarter_turn_of_the_tensors_is_noticed_wherever_symmetry_can_see_it(silica):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    clean = [k for k, s in enumerate(silica.structures) if len(structure_symmetry(s).turns) >= 4][:6]
    turned = []
    for k in clean:
        s = silica.structures[k]
        turned.append(s.__class__(**(vars(s) | {"tensors": {"efg": turn @ s.tensors["efg"] @ turn.T}})))
    violations = [c.violation for c in check_frames(TensorData.create(turned, "efg"))]
    assert np.median(violations) > 0.5


def test_gehlenite_is_grouped_by_its_ordering(data):
    tag = lambda path: path.stem if path.stem[-1].isalpha() else path.stem + "a"
    found = read_magres_folder(data / "gehlenite_efg", "efg", group=tag, level_of_theory="PBE, CASTEP")
    assert len(found) == 49 and len(set(found.groups)) == 25
    assert found.labelled_elements == ("Al", "Ca", "O", "Si")
    assert {len(s) for s in found.structures} == {288}
    with pytest.raises(ConventionError, match="not the same numbers"):
        found.joined(read_magres_folder(data / "gehlenite_efg" / "low", "efg"))


def test_a_magres_folder_without_the_quantity_is_refused(data):
    with pytest.raises(DataError, match="no shielding tensors"):
        read_magres_folder(data / "gehlenite_efg" / "low", "shielding")
    with pytest.raises(DataError, match=r"no \.magres file"):
        read_magres_folder(data / "si_nmr", "efg")


def test_isotropic_shieldings_of_near_duplicates_differ_by_a_constant(si_nmr):
    volume = [abs(np.linalg.det(s.lattice)) / len(s) for s in si_nmr.structures]
    isotropic = [np.sort(np.trace(si_nmr.tensors(k)[si_nmr.mask(k)], axis1=1, axis2=2)) / 3 for k in range(len(si_nmr))]
    offsets, scatter = [], []
    for k in range(len(si_nmr)):
        for j in range(k):
            sizes = sorted((len(isotropic[k]), len(isotropic[j])))
            if (
                si_nmr.groups[k] == si_nmr.groups[j]
                and abs(volume[k] / volume[j] - 1) < 0.002
                and not sizes[1] % sizes[0]
            ):
                one, two = (np.repeat(isotropic[i], sizes[1] // len(isotropic[i])) for i in (k, j))
                offsets.append(np.mean(one - two))
                scatter.append(np.std(one - two))
    assert len(offsets) == 158
    assert 3.5 < np.sqrt(np.mean(np.square(offsets))) < 4.0 and 16 < np.abs(offsets).max() < 17
    assert max(scatter) < 0.4
