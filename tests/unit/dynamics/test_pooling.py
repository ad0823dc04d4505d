"""From atoms that move back to sites: tensors in the frame of the crystal, mean structures and displacements."""

import numpy as np
import pytest
import small_tensor_models
from moving_quartz import NARROW, quartz, small

from jaxnmr.dynamics.pooling import MeanStructure, cell_lengths, mean_of_images, pooled_tensors, rotation_of
from jaxnmr.dynamics.tensors import FrameTensors

pytestmark = pytest.mark.filterwarnings(NARROW)


@pytest.fixture(scope="module")
def cell():
    return small()


def rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def test_tensors_of_a_supercell_that_has_not_moved_are_those_of_the_crystal(cell):
    model = small_tensor_models.model()
    reader = FrameTensors([model], cell)
    pooled = reader.at(cell.crystal, cell.vectors)
    direct = model.predict(quartz())
    assert reader.heads == ("efg", "shielding")
    for head in reader.heads:
        expected = np.asarray(direct.tensors[head])
        known = np.isfinite(expected)
        assert np.array_equal(np.isfinite(pooled[head]), known)
        assert np.abs(pooled[head][known] - expected[known]).max() < 1e-10 * np.abs(expected[known]).max()
    assert np.isnan(pooled["efg"][0]).all() and np.isnan(pooled["novelty"]).all()


def test_tensors_are_turned_back_from_a_sheared_and_turned_lattice(cell):
    rng = np.random.default_rng(2)
    tensors = rng.normal(size=(2, 3, 3))
    strain = 0.04 * rng.normal(size=(3, 3))
    # a deformation without rotation, then a rotation of the whole with all that is in it
    turn = rotation(rng)
    vectors = cell.vectors @ (np.eye(3) + strain + strain.T) @ turn.T
    assert np.abs(rotation_of(vectors, cell.vectors).T - turn).max() < 1e-12
    of_atoms = cell.turn @ tensors[cell.site] @ cell.turn.transpose(0, 2, 1)
    found = pooled_tensors(cell, vectors, turn @ of_atoms @ turn.T)
    assert np.abs(found - tensors).max() < 1e-12


def test_what_does_not_turn_is_averaged_over_images(cell):
    assert np.array_equal(mean_of_images(cell, np.where(cell.site == 1, 3.0, -1.0)), [-1.0, 3.0])
    assert np.bincount(cell.site).tolist() == [12, 24]


def test_lengths_are_those_of_the_crystal(cell):
    found = cell_lengths(cell, np.stack([cell.vectors, 1.01 * cell.vectors]))
    assert np.abs(found[0] - [4.913, 4.913, 5.405, 90, 90, 120]).max() < 1e-10
    assert np.allclose(found[1, :3], 1.01 * found[0, :3]) and np.allclose(found[1, 3:], found[0, 3:])


@pytest.fixture(scope="module")
def gathered(cell):
    """A displacement that the symmetry allows, one that it does not, and noise that has no mean, in two blocks of frames."""
    rng = np.random.default_rng(4)
    step = np.array([[0.02, 0.0, 0.0], [0.01, -0.015, 0.006]])
    axes = np.asarray(quartz().lattice())
    moved = np.einsum("nij,nj->ni", cell.turn, (step @ axes)[cell.site])
    moved -= moved.mean(axis=0)
    odd = rng.normal(size=moved.shape)
    # what its images have on average is taken off
    odd -= np.einsum("nij,nj->ni", cell.turn, mean_of_images(cell, np.einsum("nji,nj->ni", cell.turn, odd))[cell.site])
    odd = 0.05 * (odd - odd.mean(axis=0))
    start = np.asarray(cell.crystal.xyz) @ cell.vectors
    noise = rng.normal(size=(40, *moved.shape)) * np.where(cell.site == 0, 0.05, 0.09)[:, None]
    noise -= noise.mean(axis=1, keepdims=True)
    noise = np.concatenate([np.stack([n, -n]) for n in noise])
    mean = MeanStructure(cell, len(noise), blocks=8)
    drift = np.array([0.3, -0.2, 0.5])
    for k, n in enumerate(noise):
        mean.add(start + moved + odd + n + k * drift, cell.vectors)
    return mean, step, noise


def test_a_known_displacement_comes_back_in_the_space_group(cell, gathered):
    mean, step, _ = gathered
    found = mean.crystal()
    assert found.group.name == quartz().group.name
    # silicon lies on an axis, along which alone it moves
    assert np.abs(np.asarray(found.xyz) - np.asarray(quartz().xyz) - step).max() < 1e-9
    assert np.abs(np.asarray(found.cell) - np.asarray(quartz().cell)).max() < 1e-9


def test_displacements_are_mean_squares_around_the_mean_place_of_every_atom(cell, gathered):
    mean, _, noise = gathered
    u = np.asarray(mean.crystal().u_iso)
    expected = mean_of_images(cell, (noise**2).mean(axis=0).sum(axis=-1) / 3.0)
    assert np.abs(u - expected).max() < 1e-12
    assert np.allclose(u, [0.05**2, 0.09**2], rtol=0.1)


def test_errors_are_of_the_size_that_independent_frames_have(cell, gathered):
    mean, _, _ = gathered
    errors = mean.errors()
    images = np.bincount(cell.site)
    # 40 frames are independent, the others are their negatives: of a mean square of 3 components sqrt(2/(3 N)), relative
    expected = np.array([0.05**2, 0.09**2]) * np.sqrt(2.0 / (3.0 * 40 * images))
    assert np.all((errors["u_iso"] / expected > 0.4) & (errors["u_iso"] / expected < 2.0))
    assert errors["xyz"][0, 1] == errors["xyz"][0, 2] == 0.0 and np.array_equal(errors["cell"], np.zeros(6))


def test_the_mean_goes_on_from_what_was_kept(cell, gathered):
    mean, _, _ = gathered
    other = MeanStructure(cell, 80, blocks=8)
    other.restore(mean.state())
    start = np.asarray(cell.crystal.xyz) @ cell.vectors
    for each in (mean, other):
        each.add(start, cell.vectors)
    assert other.frames == 81 and np.array_equal(np.asarray(other.crystal().xyz), np.asarray(mean.crystal().xyz))
    assert np.array_equal(other.errors()["u_iso"], mean.errors()["u_iso"])


def test_one_block_has_no_error(cell):
    mean = MeanStructure(cell)
    mean.add(np.asarray(cell.crystal.xyz) @ cell.vectors, cell.vectors)
    assert np.isnan(mean.errors()["u_iso"]).all()
