"""Training: the loss, its data, determinism, going on after an interruption, and that something is learned."""

import dataclasses
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_models import LATTICE, POSITIONS, quartz

from jaxnmr.errors import ConventionError, ConvergenceError, DataError, ParseError
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import HeadConfig, NetworkConfig
from jaxnmr.models.data.batches import Batches
from jaxnmr.models.data.labels import label_statistics, labelled_graphs
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.networks.irreps import components
from jaxnmr.models.tensors.metrics import Comparison, compare, orientation_error_deg
from jaxnmr.models.tensors.recipe import Recipe
from jaxnmr.models.tensors.step import tensor_loss
from jaxnmr.models.tensors.train import train

HEAD = HeadConfig(name="efg", elements=("O",))
CONFIG = NetworkConfig(
    species=("O", "Si"), heads=(HEAD,), hidden="4x0e+4x1o+4x2e", layers=1, cutoff=3.0, radial=4, radial_hidden=(8,)
)
ELEMENTS = ("Si", "O", "Si", "O", "O")


def point_charges(lattice, positions, elements):
    """Field gradients of charges with a soft edge: short-ranged, with the symmetry of the structure."""
    cells = np.array(list(np.ndindex(5, 5, 5))) - 2
    charges = np.where(np.array(elements) == "Si", 2.0, -1.0)
    r = positions[None, :, None] + cells @ lattice - positions[:, None, None]
    d = np.linalg.norm(r, axis=-1)
    weight = np.where(d > 0.1, np.exp(-((d / 2.2) ** 4)) / np.where(d > 0.1, d, 1.0) ** 5, 0.0)
    outer = 3 * r[..., :, None] * r[..., None, :] - (d**2)[..., None, None] * np.eye(3)
    return np.einsum("j,ijc,ijcab->iab", charges, weight, outer)


def structure(name, lattice, positions, elements):
    efg = point_charges(lattice, positions, elements)
    efg[np.array(elements) != "O"] = np.nan
    labels = tuple(f"{e}_{elements[: k + 1].count(e)}" for k, e in enumerate(elements))
    return Magres(
        elements=tuple(elements), positions=positions, lattice=lattice, labels=labels, species=tuple(elements),
        tensors={"efg": efg}, name=name,
    )  # fmt: skip


def rattled(count=12, seed=0):
    rng = np.random.default_rng(seed)
    made = [structure(f"s{k}", LATTICE, POSITIONS + rng.normal(0, 0.08, (5, 3)), ELEMENTS) for k in range(count)]
    return TensorData.create(made, "efg")


def crystal_data():
    cell = quartz().expand()
    lattice = np.asarray(cell.lattice)
    return TensorData.create(
        [structure("quartz", lattice, np.asarray(cell.cartesian), ("Si",) * 3 + ("O",) * 6)], "efg"
    )


RECIPE = Recipe(epochs=30, batch=4, ema=0.9)


@pytest.fixture(scope="module")
def trained():
    return train(CONFIG, rattled(), RECIPE, valid=rattled(4, seed=1))


def test_a_network_learns_the_field_of_point_charges(trained):
    first, last = trained.history[0], trained.history[-1]
    assert last.train_loss < 0.2 * first.train_loss and last.valid_loss < 0.3 * first.valid_loss
    found = compare(trained.model, rattled(4, seed=1))["O"].metrics()
    assert found["labels"] == 12 and found["rmse_l2_percent"] < 50.0


def test_training_twice_gives_the_same_numbers_and_going_on_does_too(tmp_path, trained):
    class Stop(Exception):
        pass

    def stop(info):
        if info.epoch == 11:
            raise Stop

    path = tmp_path / "state.safetensors"
    data, valid = rattled(), rattled(4, seed=1)
    with pytest.raises(Stop):
        train(CONFIG, data, RECIPE, valid=valid, checkpoint=path, callback=stop)
    told = []
    resumed = train(CONFIG, data, RECIPE, valid=valid, checkpoint=path, callback=lambda info: told.append(info.epoch))
    assert told == list(range(12, 31)) and resumed.history == trained.history
    for mine, theirs in zip(
        jax.tree.leaves(resumed.model.weights), jax.tree.leaves(trained.model.weights), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ParseError, match="another training"):
        train(CONFIG, data, dataclasses.replace(RECIPE, seed=1), checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(ParseError, match="no state of a training"):
        train(CONFIG, data, RECIPE, checkpoint=path)


def test_equivalent_atoms_become_one_label_that_weighs_as_much_as_all():
    data = crystal_data()
    (reduced,), (full,) = labelled_graphs(data, CONFIG), labelled_graphs(data, CONFIG, symmetry=False)
    assert reduced.nodes["mask"].sum() == 1 and full.nodes["mask"].sum() == 6
    assert reduced.nodes["weight"].sum() == full.nodes["weight"].sum() == 6
    assert len(reduced.senders) < 0.35 * len(full.senders)
    home = int(np.flatnonzero(reduced.nodes["mask"])[0])
    np.testing.assert_allclose(reduced.nodes["target"][home], components(data.tensors(0)[home], "2e"), atol=1e-9)
    for mine, theirs in zip(label_statistics([reduced], HEAD, 2), label_statistics([full], HEAD, 2), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_the_loss_does_not_depend_on_the_frame_and_ignores_what_has_no_label():
    head = HeadConfig(name="shielding", elements=("O",))
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 5, 3, 3))
    turn = Rotation.from_rotvec([1.0, 0.3, -0.8]).as_matrix()
    scale, weight = rng.uniform(1, 2, (5, 3)), np.array([1.0, 2.0, 0.0, 1.0, 0.0])
    loss = lambda a, b, w=weight: float(
        tensor_loss(components(a, head.irreps), components(b, head.irreps), w, scale, head, 0.3)
    )
    assert loss(turn @ one @ turn.T, turn @ two @ turn.T) == pytest.approx(loss(one, two), rel=1e-12)
    other = one.copy()
    other[[2, 4]] += 100.0
    assert loss(other, two) == loss(one, two)
    assert loss(one, one) == 0.0
    # twice the error: four times the loss where it is small, twice where it is large
    small, large = 1e-4 * one, 1e4 * one
    assert loss(two + 2 * small, two) == pytest.approx(4 * loss(two + small, two), rel=1e-4)
    assert loss(two + 2 * large, two) == pytest.approx(2 * loss(two + large, two), rel=1e-3)


def test_batches_have_one_size_and_every_graph_once():
    graphs = labelled_graphs(rattled(7), CONFIG) + labelled_graphs(crystal_data(), CONFIG)
    batches = Batches(graphs, 3)
    seen, sizes = [], set()
    for chosen, batch in batches.epoch(np.arange(8)[::-1]):
        seen += chosen
        sizes.add((len(batch.nodes["species"]), len(batch.senders), len(batch.n_node)))
        assert batch.nodes["target"].dtype == np.float32
    assert sorted(seen) == list(range(8)) and len(sizes) == 1


def test_an_axis_has_no_sign_and_a_turned_frame_is_off_by_its_angle():
    frame = Rotation.random(5, rng=3).as_matrix()
    flipped = frame @ np.diag([-1.0, 1.0, -1.0])
    np.testing.assert_allclose(orientation_error_deg(flipped, frame), 0.0, atol=1e-5)
    turned = frame @ Rotation.from_euler("z", 7.0, degrees=True).as_matrix()
    np.testing.assert_allclose(orientation_error_deg(turned, frame), 7.0, atol=1e-6)
    # 100 degrees about an axis is 80 degrees the other way round
    turned = frame @ Rotation.from_euler("z", 100.0, degrees=True).as_matrix()
    np.testing.assert_allclose(orientation_error_deg(turned, frame), 80.0, atol=1e-6)


def test_metrics_are_those_of_known_differences():
    true = np.diag([100.0, 110.0, 150.0]) + np.zeros((4, 3, 3))
    predicted = true + np.array([0.0, 3.0, -3.0, 0.0])[:, None, None] * np.eye(3)
    found = Comparison("Si", "shielding", predicted, true, np.array([1.0, 1, 1, 3]), np.zeros(4)).metrics()
    assert found["iso_mae"] == pytest.approx(1.0) and found["iso_median"] == 0.0
    # three of nine components are off
    assert found["tensor_mae"] == pytest.approx(1.0 / 3.0)
    assert found["span_mae"] == pytest.approx(0.0, abs=1e-9) and found["labels"] == 6
    efg = np.diag([-0.3, -0.7, 1.0]) + np.zeros((2, 3, 3))
    found = Comparison("O", "efg", 1.1 * efg, efg, np.ones(2), np.zeros(2)).metrics()
    assert found["rmse_l2_percent"] == pytest.approx(10.0)
    assert found["cq_mae_mhz"] == pytest.approx(0.1 * 234.9648 * 0.02558, rel=1e-3)
    assert found["cq_size_mae_mhz"] == pytest.approx(found["cq_mae_mhz"])
    assert found["eta_mae"] == pytest.approx(0.0, abs=1e-12) and found["orientation_deg"] == pytest.approx(
        0.0, abs=1e-4
    )


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 0}, {"learning_rate": np.nan}, {"clip": -1.0}, {"ema": 1.0}, {"warmup": -0.1}, {"delta": 0.0}],
)
def test_impossible_recipes_are_refused(changes):
    with pytest.raises(ConventionError, match=next(iter(changes))):
        Recipe(**changes)


def test_data_that_do_not_fit_the_network_are_refused(trained):
    data = rattled(2)
    with pytest.raises(ConventionError, match="does not predict 'efg'"):
        other = HeadConfig(name="shielding", irreps="0e+2e", elements=("O",))
        labelled_graphs(data, dataclasses.replace(CONFIG, heads=(other,)))
    with pytest.raises(ConventionError, match="not for O"):
        labelled_graphs(data, dataclasses.replace(CONFIG, heads=(HeadConfig(name="efg", elements=("Si",)),)))
    with pytest.raises(ConventionError, match="has layers = 1, the new one 2"):
        train(dataclasses.replace(CONFIG, layers=2), data, RECIPE, start=trained.model)
    same = [replace(s, tensors={"efg": np.zeros((5, 3, 3))}) for s in data.structures]
    with pytest.raises(DataError, match="nothing to learn"):
        label_statistics(
            labelled_graphs(
                TensorData.create(same, "efg"),
                dataclasses.replace(CONFIG, heads=(HeadConfig(name="efg", elements=("O", "Si")),)),
            ),
            HEAD,
            2,
        )


def test_a_training_that_diverges_says_so(trained):
    broken = trained.model.replace(scale={"efg": trained.model.scale["efg"] * np.nan})
    with pytest.raises(ConvergenceError, match="lower the learning rate"):
        train(CONFIG, rattled(), RECIPE, start=broken)
