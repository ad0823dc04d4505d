"""Novelty: atoms unlike those of the training are told from those like them, in whatever cell and frame."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_models import model, quartz

from jaxnmr import Crystal
from jaxnmr.errors import DataError
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import ModelCard, TensorModel
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.tensors.calibration import calibrate
from jaxnmr.models.tensors.ensemble import judge
from jaxnmr.models.tensors.novelty import MOST_ENVIRONMENTS, with_novelty

CELL = quartz().expand()
QUARTZ = np.asarray(CELL.lattice), np.asarray(CELL.cartesian), CELL.species
# coordination 6 instead of 4
STISHOVITE = Crystal.create(
    cell=[4.18, 4.18, 2.67, 90, 90, 90],
    spacegroup="P 42/m n m",
    species=["Si", "O"],
    xyz=[[0, 0, 0], [0.306, 0.306, 0]],
)


def structure(lattice, positions, elements, seed=0):
    labels = np.random.default_rng(seed).normal(size=(len(elements), 3, 3))
    return Magres(
        elements=tuple(elements), positions=positions, lattice=lattice,
        labels=tuple(f"{e}_{k}" for k, e in enumerate(elements)), species=tuple(elements), tensors={"ms": labels},
        name=f"s{seed}",
    )  # fmt: skip


@cache
def rattled(count, seed):
    """Quartz with displacements of 0.08 Å and strains of 1 %."""
    rng, (lattice, positions, elements) = np.random.default_rng(seed), QUARTZ
    made = []
    for k in range(count):
        strain = np.eye(3) + rng.normal(0, 0.01, (3, 3))
        made.append(
            structure(lattice @ strain, positions @ strain + rng.normal(0, 0.08, (9, 3)), elements, 100 * seed + k)
        )
    return TensorData.create(made, "shielding")


def p1(lattice, positions, elements):
    return structure(lattice, positions, elements).crystal()


@pytest.fixture(scope="module")
def aware():
    return with_novelty(model(), rattled(40, 1), rattled(30, 2), batch=10)


def novelty(of, crystal):
    return np.asarray(of.predict(crystal).novelty)


def test_few_environments_are_kept_in_few_bytes(aware):
    assert set(aware.environments) == {"O", "Si"}
    of = aware.environments["O"]
    # 240 of 40 structures are thinned out; 4 scalars
    assert of["points"].shape[0] == MOST_ENVIRONMENTS and of["points"].shape[1] <= 4
    assert of["points"].dtype == np.float16 and of["mean"].shape == (4,)
    assert aware.environments["Si"]["points"].shape[0] == 120


def test_one_in_a_hundred_atoms_like_those_of_the_training_is_novel(aware):
    found = np.concatenate([of.novelty for of in judge(aware, rattled(20, 3), batch=10).values()])
    assert len(found) == 180
    assert (found > 1).mean() < 0.05 and np.median(found) < 0.6
    assert (novelty(aware, quartz()) < 0.6).all()
    assert not np.asarray(aware.predict(quartz()).novel).any()


@pytest.mark.parametrize("factor", [0.9, 1.12])
def test_compressed_and_expanded_crystals_are_novel(aware, factor):
    lattice, positions, elements = QUARTZ
    assert (novelty(aware, p1(factor * lattice, factor * positions, elements)) > 1).all()


def test_strongly_distorted_and_other_crystals_are_novel(aware):
    lattice, positions, elements = QUARTZ
    moved = positions + np.random.default_rng(4).normal(0, 0.3, (9, 3))
    assert (novelty(aware, p1(lattice, moved, elements)) > 1).mean() > 0.5
    assert (novelty(aware, STISHOVITE) > 1).all()


def test_an_atom_that_strays_is_novel_with_its_neighbours_and_those_far_away_are_not(aware):
    lattice, positions, elements = QUARTZ
    wide = np.diag([3, 1, 1]) @ lattice
    cells = np.concatenate([positions + k * lattice[0] for k in range(3)])
    # oxygen, 0.4 Å towards one of its silicon atoms: 1.2 Å are left
    bonds = cells[: 9 * 3][np.array(elements * 3) == "Si"] - cells[4]
    bond = bonds[np.argmin((bonds**2).sum(-1))]
    assert 1.5 < np.linalg.norm(bond) < 1.7
    cells[4] += 0.4 * bond / np.linalg.norm(bond)
    found = novelty(aware, p1(wide, cells, elements * 3))
    distance = np.abs(np.linalg.solve(wide.T, (cells - cells[4]).T).T[:, 0])
    distance = np.minimum(distance, 1 - distance) * 3 * 4.9 * np.sin(np.pi / 3)
    assert found[4] > 1
    # two rounds of messages reach 7.2 Å, but what is far away counts little
    assert (found[distance > 5.0] < 1).all() and (distance > 5.0).any()


def test_symmetry_images_supercells_and_turned_cells_are_no_news(aware):
    lattice, positions, elements = QUARTZ
    sites = novelty(aware, quartz())
    image = -Rotation.from_rotvec([0.3, 1.0, -0.4]).as_matrix()
    expected = np.where(np.array(elements) == "Si", sites[0], sites[1])
    # single cell, mirrored and turned, then doubled, then with another origin
    np.testing.assert_allclose(
        novelty(aware, p1(lattice @ image.T, positions @ image.T, elements)), expected, atol=1e-6
    )
    double = np.diag([1, 1, 2]) @ lattice
    cells = np.concatenate([positions, positions + lattice[2]])
    np.testing.assert_allclose(novelty(aware, p1(double, cells, elements * 2)), np.tile(expected, 2), atol=1e-6)
    np.testing.assert_allclose(novelty(aware, p1(lattice, positions + 0.7, elements)), expected, atol=1e-6)


def test_a_table_marks_novel_sites_and_says_what_that_means(aware):
    text = str(aware.predict(STISHOVITE))
    assert "Si1?" in text and text.splitlines()[-1].startswith("? unlike the atoms the model was trained on")
    assert "?" not in str(aware.predict(quartz()))
    # unknown is not novel
    prediction = model().predict(STISHOVITE)
    assert np.isnan(np.asarray(prediction.novelty)).all() and not np.asarray(prediction.novel).any()


def test_the_uncertainty_of_a_single_network_follows_its_novelty(aware):
    lattice, positions, elements = QUARTZ
    rng = np.random.default_rng(6)
    strained = [rng.normal(0, s, (9, 3)) + positions for s in rng.uniform(0.02, 0.3, 60)]
    data = TensorData.create([structure(lattice, x, elements, k) for k, x in enumerate(strained)], "shielding")
    calibrated = calibrate(aware, data, batch=10)
    a, b = (calibrated.card.calibration["shielding"]["O"][name][2] for name in "ab")
    prediction = calibrated.predict(STISHOVITE)
    expected = np.hypot(a, b * float(prediction.novelty[1]))
    np.testing.assert_allclose(prediction.component_sigma("shielding")[1, 2], expected, rtol=1e-6)
    # new environments make an old calibration wrong
    again = with_novelty(calibrated.replace(card=ModelCard(name="x", calibration={"efg": {}})), data, data, batch=10)
    assert (again.card.name, again.card.calibration) == ("x", {})


def test_environments_are_kept_with_the_model(tmp_path, aware):
    loaded = TensorModel.load(aware.save(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(novelty(loaded, STISHOVITE), novelty(aware, STISHOVITE))


def test_every_element_needs_atoms_that_were_held_out():
    data = rattled(20, 3)
    silicon = (np.array(QUARTZ[2]) == "Si")[:, None, None]
    only = [replace(s, tensors={"ms": np.where(silicon, s.tensors["ms"], np.nan)}) for s in data.structures]
    with pytest.raises(DataError, match="no held-out atom of O"):
        with_novelty(model(), data, TensorData.create(only, "shielding"), batch=10)
