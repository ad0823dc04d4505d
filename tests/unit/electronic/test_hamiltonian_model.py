"""The network: it turns with the molecule, learns, is kept in files, and refuses what it does not know."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_blocks import of_orbitals, rotation

from jaxnmr.electronic import (
    HamiltonianConfig,
    HamiltonianData,
    HamiltonianModel,
    HamiltonianRecipe,
    Orbitals,
    electronic_structure,
    errors_of,
    evaluate,
    overlap,
    read_trained,
    train,
    with_novelty,
)
from jaxnmr.electronic.data import replace_data
from jaxnmr.errors import ConventionError, DataError, ParseError, ShapeError

RNG = np.random.default_rng(7)
FORMALDEHYDE = ("O", "H", "C", "H")
SHAPE = np.array([[0.0, 0.0, 1.2], [0.0, 0.93, -0.6], [0.0, 0.0, 0.0], [0.1, -0.9, -0.55]])
SMALL = {
    "hidden": "5x0e+3x1o+2x1e+2x2e+2x2o+2x3o+1x3e+1x4e",
    "sent": "3x0e+2x1o+2x2e",
    "left": "3x0e+3x1o+3x2e",
    "right": "3x0e+3x1o+3x2e",
    "ends": "2x0e+2x1o+2x2e",
    "pair": "4x0e+2x1o+2x1e+2x2e+2x2o+2x3o+1x3e+1x4e",
    "width": 8,
    "radial": 6,
}
# of hydrogen alone blocks are small, and so is what has to be compiled
TINY = HamiltonianConfig(
    elements=("H",),
    functional="pbe",
    hidden="8x0e+6x1o+3x1e+4x2e",
    sent="8x0e+6x1o+4x2e",
    left="6x0e+6x1o",
    right="6x0e+6x1o+6x2e",
    ends="8x0e+6x1o+4x2e",
    pair="12x0e+8x1o+4x1e+6x2e",
    width=16,
    lmax=2,
    layers=1,
    cutoff=5.0,
    neighbours=3.0,
)
FOUR = Orbitals.of("HHHH")


def labels(count, seed=0, spread=0.12, **metadata):
    """Made-up labels of four hydrogen atoms: a start that is off by what neighbours do to each other."""
    rng = np.random.default_rng(seed)
    square = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.1, 0.1], [1.2, 1.1, 0.3]])
    xyz = square + spread * rng.uniform(-1, 1, size=(count, 4, 3))
    xyz = np.stack([x @ rotation(k + 100 * seed).T for k, x in enumerate(xyz)])
    s = np.stack([np.asarray(jax.jit(overlap, static_argnums=0)(FOUR, x)) for x in xyz])
    h0 = -0.5 * s
    h = h0 + 0.05 * s @ s
    root = np.stack([np.linalg.inv(np.linalg.cholesky(of)) for of in s])
    eps = np.linalg.eigvalsh(root @ h @ np.swapaxes(root, 1, 2))
    metadata = {"basis": "def2-svp", "functional": "PBE", "start": "minao"} | metadata
    return HamiltonianData(
        numbers=np.ones(4), xyz=xyz, h=h, h0=h0, s=s, e_tot=np.zeros(count), eps=eps, metadata=metadata
    )


@pytest.fixture(scope="module")
def data():
    return labels(24).split(16, 8)


RECIPE = HamiltonianRecipe(
    epochs=100, batch=4, every=50, learning_rate=1e-2, ema=0.9, energies=0.02, occupied=0.02, orbitals_from=0.0
)


@pytest.fixture(scope="module")
def trained(data):
    told = []
    model = train(TINY, RECIPE, data[:1], data[1:], callback=told.append)
    return with_novelty(model, data[:1], data[1:]), told


@pytest.fixture(scope="module")
def untrained():
    """A random network for formaldehyde, with scales of 1."""
    config = HamiltonianConfig(elements=("H", "C", "O"), functional="pbe", start="", **SMALL)
    orbitals = Orbitals.of(FORMALDEHYDE)
    n = orbitals.size
    noise = RNG.normal(size=(1, n, n))
    made = HamiltonianData(
        numbers=orbitals.numbers, xyz=SHAPE[None], h=noise + np.swapaxes(noise, 1, 2), h0=np.zeros((1, n, n)),
        s=np.eye(n)[None], e_tot=np.zeros(1), eps=np.zeros((1, n)),
    )  # fmt: skip
    return orbitals, HamiltonianModel.initial(config, [made], seed=1)


def test_the_matrix_turns_with_the_molecule_and_does_not_care_for_numbering(untrained):
    orbitals, model = untrained
    turns = [np.eye(3), rotation(8), -np.eye(3), -rotation(9)]
    swapped = SHAPE[[0, 3, 2, 1]]
    many = np.stack([SHAPE @ t.T + np.array([1.0, 2.0, k]) for k, t in enumerate(turns)] + [swapped])
    found = model.hamiltonian(FORMALDEHYDE, many)
    assert found.dtype == np.float64 and np.std(found) > 0.1
    np.testing.assert_allclose(found, np.swapaxes(found, 1, 2), rtol=0, atol=1e-14)
    for k, turn in enumerate(turns):
        d = of_orbitals(orbitals, turn)
        np.testing.assert_allclose(found[k], d @ found[0] @ d.T, rtol=0, atol=1e-10)
    rows = orbitals.reordered([0, 3, 2, 1])
    np.testing.assert_allclose(found[4], found[0][rows][:, rows], rtol=0, atol=1e-10)
    # atoms of different elements in another order
    order = [2, 0, 1, 3]
    other = model.hamiltonian([FORMALDEHYDE[k] for k in order], many[:, order])
    rows = orbitals.reordered(order)
    np.testing.assert_allclose(other, found[:, rows][:, :, rows], rtol=0, atol=1e-10)


def test_blocks_between_atoms_end_smoothly_at_the_cutoff(trained):
    model, _ = trained
    xyz = np.zeros((3, 4, 3))
    xyz[:, 1, 0] = xyz[:, 2, 1] = 0.9
    xyz[:, 3, 2] = 5.0 - np.array([1e-3, 1e-5, -0.1])
    found = model.hamiltonian("HHHH", xyz, np.zeros((3, 20, 20)))
    assert np.abs(found[:, :5, 5:10]).min(axis=(1, 2)).max() > 0 and np.abs(found[:, :5, 5:10]).max() > 1e-3
    far = np.abs(found[:, :5, 15:]).max(axis=(1, 2))
    assert far[0] < 1e-8 and far[1] < far[0] and far[2] == 0.0


def test_derivatives_by_positions_are_those_of_differences(trained):
    model, _ = trained
    weight, xyz = jnp.asarray(RNG.normal(size=(20, 20))), jnp.asarray(labels(1, seed=3).xyz)
    way = RNG.normal(size=(1, 4, 3))

    @jax.jit
    @jax.value_and_grad
    def value(xyz):
        h = -0.5 * overlap(FOUR, xyz[0]) + model.correction(xyz, ("H",) * 4)[0]
        return jnp.sum(weight * electronic_structure(FOUR, h, xyz[0]).density)

    reverse = jnp.sum(value(xyz)[1] * way)
    h = 1e-4
    wide, narrow = ((value(xyz + k * h * way)[0] - value(xyz - k * h * way)[0]) / (2 * k * h) for k in (2, 1))
    np.testing.assert_allclose(reverse, (4 * narrow - wide) / 3, rtol=1e-6)


def test_training_lowers_the_error_of_unseen_geometries_far_below_that_of_the_start(trained, data):
    model, told = trained
    start, found = errors_of(data[1].h0, data[1]), evaluate(model, data[1])
    assert found.h_mae < 0.05 * start.h_mae
    assert told[-1].h_mae == pytest.approx(found.h_mae, rel=1e-6)
    assert [info.epoch for info in told] == list(range(1, 101))
    assert [info.epoch for info in told if info.h_mae is not None] == [50, 100]
    assert found.by_block.keys() == {"H", "H-H"}


def test_errors_are_zero_for_the_labels_and_known_for_a_shift(data):
    exact = errors_of(data[1].h, data[1])
    assert exact.h_mae == 0.0 and exact.eps_mae < 1e-9 and exact.similarity == pytest.approx(1.0, abs=1e-12)
    shifted = errors_of(data[1].h + 1e-3 * data[1].s, data[1])
    assert shifted.eps_mae == pytest.approx(27.211386, rel=1e-6) and shifted.gap_mae < 1e-6


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(trained, data, tmp_path):
    class Stopped(Exception):
        pass

    def stop(info):
        if info.epoch == 2:
            raise Stopped

    state, short = tmp_path / "state.safetensors", dataclasses.replace(RECIPE, epochs=4)
    whole = train(TINY, short, data[:1])
    with pytest.raises(Stopped):
        train(TINY, short, data[:1], state=state, callback=stop)
    half, history = read_trained(state, TINY, short, data[:1])
    assert [info.epoch for info in history] == [1, 2]
    again = train(TINY, short, data[:1], state=state)
    same = [
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(whole.weights), jax.tree.leaves(again.weights), strict=True)
    ]
    assert all(same)
    assert not np.array_equal(whole.weights["embedding"], half.weights["embedding"])
    with pytest.raises(ParseError, match="another training"):
        train(TINY, RECIPE, data[:1], state=state)


def test_a_model_comes_back_from_its_file(trained, data, tmp_path):
    model, _ = trained
    path = model.save(tmp_path / "model.safetensors")
    again = HamiltonianModel.load(path)
    assert again.config == TINY and again.card["recipe"]["epochs"] == 100
    assert again.card["training"][0]["geometries"] == 16
    args = (data[1].numbers, data[1].xyz, data[1].h0)
    np.testing.assert_array_equal(again.hamiltonian(*args), model.hamiltonian(*args))
    np.testing.assert_array_equal(again.novelty(*args[:2]), model.novelty(*args[:2]))
    np.testing.assert_array_equal(again.beyond(*args[:2]), model.beyond(*args[:2]))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ParseError, match="damaged"):
        HamiltonianModel.load(path)
    with pytest.raises(ConventionError, match="no Hamiltonian model 'benzene' comes"):
        HamiltonianModel.load("benzene")
    with pytest.raises(ParseError, match="no such file"):
        HamiltonianModel.load(tmp_path / "other.safetensors")


def test_stretched_molecules_are_novel_and_those_like_the_training_are_not(trained, data):
    model, _ = trained
    assert np.mean(model.novelty(data[1].numbers, data[1].xyz) <= 1.0) > 0.95
    assert model.novelty("HHHH", 1.6 * data[1].xyz[0]).min() > 1.0
    assert model.novelty("HHHH", data[0].xyz[0]).max() < 0.1
    model.require_known("HHHH", data[0].xyz[:3])
    with pytest.raises(ConventionError, match=r"atom \d \(H\) of molecule 2 is unlike.*start from minao"):
        model.require_known("HHHH", data[0].xyz[:2] * np.array([1.0, 1.6])[:, None, None])
    assert model.beyond("HHHH", data[0].xyz).max() < 1e-5 and model.beyond("HHHH", 1.6 * data[1].xyz[0]) > 3.0
    near = model.replace(
        environments={k: {**of, "projection": 0.0 * of["projection"]} for k, of in model.environments.items()}
    )
    with pytest.raises(ConventionError, match="molecule 1 has a shape unlike"):
        near.require_known(
            "HHHH", 1.6 * data[0].xyz[0], most=np.linalg.norm(model.environments["H"]["points"], axis=1).max()
        )
    with pytest.raises(DataError, match="remembers no shapes"):
        model.replace(ranges={}).beyond("HHHH", data[0].xyz)
    with pytest.raises(DataError, match="remembers no environments"):
        model.replace(environments={}).novelty("HHHH", data[1].xyz)


def test_what_the_model_was_not_made_for_is_refused(trained, data):
    model, _ = trained
    x, h0 = data[1].xyz[0], data[1].h0[0]
    with pytest.raises(ConventionError, match="does not know O"):
        model.hamiltonian("OHH", x[:3], h0)
    with pytest.raises(ConventionError, match="give start"):
        model.hamiltonian("HHHH", x)
    with pytest.raises(ConventionError, match="single atom"):
        model.hamiltonian("H", x[:1], h0[:5, :5])
    with pytest.raises(ConventionError, match="not of 'b3lyp'"):
        model.hamiltonian("HHHH", x, h0, functional="b3lyp")
    with pytest.raises(ShapeError, match="expected"):
        model.hamiltonian("HHHH", x[:3], h0)
    with pytest.raises(ShapeError, match="start has the shape"):
        model.hamiltonian("HHHH", x, h0[:5])
    with pytest.raises(ConventionError, match=r"functional 'b3lyp'.*train another"):
        train(TINY, RECIPE, [labels(4, functional="b3lyp")])
    rows = np.arange(20)[[0, 1, 3, 2, *range(4, 20)]]
    swapped = replace_data(data[1], s=data[1].s[:, rows][:, :, rows])
    with pytest.raises(DataError, match=r"1 H 2p[xy]' and .* differs.*pyscf's order"):
        train(TINY, RECIPE, [swapped])
    with pytest.raises(ConventionError, match="epochs is 0"):
        HamiltonianRecipe(epochs=0)
    with pytest.raises(ConventionError, match="one multiplicity"):
        HamiltonianConfig(elements=("H",), functional="pbe", left="3x0e+2x1o")
    with pytest.raises(ConventionError, match="blocks H-H were not"):
        model.replace(scales={"H": model.scales["H"]}).hamiltonian("HHHH", x, h0)


def test_labels_in_files_come_back_and_broken_ones_are_refused(data, tmp_path):
    arrays = {name: getattr(data[1], name) for name in ("numbers", "xyz", "h", "h0", "s", "e_tot", "eps")}
    path = tmp_path / "labels.npz"
    np.savez(path, metadata=json.dumps(data[1].metadata), **arrays)
    again = HamiltonianData.read(path)
    assert again.metadata == data[1].metadata and np.array_equal(again.h, data[1].h)
    del arrays["h0"]
    np.savez(path, **arrays)
    with pytest.raises(ParseError, match="lacks h0"):
        HamiltonianData.read(path)
    with pytest.raises(DataError, match="not finite"):
        replace_data(data[1], e_tot=np.full(8, np.nan))
    with pytest.raises(DataError, match="30 geometries"):
        data[1].split(30)
