"""One training on several devices and processes, and several at once on one device: the numbers of a training by itself."""

import os
import pickle
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, quartz

from jaxnmr.errors import ConventionError
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import HeadConfig, NetworkConfig
from jaxnmr.models.data.batches import Batches
from jaxnmr.models.data.labels import labelled_graphs
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.tensors.hosts import join, step_devices
from jaxnmr.models.tensors.recipe import Recipe
from jaxnmr.models.tensors.roll_call import roll_call
from jaxnmr.models.tensors.train import train, train_members

ROOT = Path(__file__).resolve().parents[4]
HEAD = HeadConfig(name="shielding", irreps="0e+2e", elements=("O", "Si"))
CONFIG = NetworkConfig(
    species=("O", "Si"), heads=(HEAD,), hidden="2x0e+2x2e", layers=1, cutoff=2.5, radial=4, radial_hidden=(4,), neighbours=6.0
)  # fmt: skip
# an offset, which is common to a structure: it must not be cut in two
RECIPE = Recipe(epochs=2, batch=3, ema=0.5, offset=5.0)
RECIPES = [replace(RECIPE, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def data():
    """Structures of two sizes, so that orders make different numbers of batches; their labels mean nothing."""
    rng = np.random.default_rng(0)
    cell = quartz().expand()
    small = [(LATTICE, POSITIONS + rng.normal(0.0, 0.06, (5, 3)), ELEMENTS) for _ in range(8)]
    large = (np.asarray(cell.lattice), np.asarray(cell.cartesian), ("Si",) * 3 + ("O",) * 6)
    made = []
    for k, (lattice, positions, elements) in enumerate([*small, large, large]):
        labels = tuple(f"{e}_{i}" for i, e in enumerate(elements))
        tensors = rng.normal(size=(len(elements), 3, 3))
        made.append(
            Magres(
                elements=elements, positions=positions, lattice=lattice, labels=labels, species=elements, name=f"s{k}",
                tensors={"ms": tensors + tensors.swapaxes(1, 2)},
            )
        )  # fmt: skip
    return TensorData.create(made, "shielding")


@pytest.fixture(scope="module")
def valid(data):
    return data.take([0, 8])


@pytest.fixture(scope="module")
def alone(data, valid):
    """Each member by itself, on one device."""
    return train_members(CONFIG, data, RECIPES, valid=valid, width=1, devices=jax.devices()[:1])


def assert_same(found, expected):
    """Weights and losses to the rounding of single precision, which optimisers that divide by it make larger."""
    for mine, theirs in zip(jax.tree.leaves(found.model), jax.tree.leaves(expected.model), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
    for mine, theirs in zip(found.history, expected.history, strict=True):
        followed = mine.valid_loss is not None
        np.testing.assert_allclose(mine[: 3 + followed], theirs[: 3 + followed], rtol=2e-6)


def test_orders_make_different_numbers_of_batches(data):
    """Otherwise no member would have to wait for the other in what follows."""
    batches = Batches(labelled_graphs(data, CONFIG), RECIPE.batch, shuffled=True)
    order = lambda seed, epoch: np.random.default_rng([seed, epoch]).permutation(len(data))
    counts = [[len(list(batches.chunks(order(seed, epoch)))) for epoch in range(2)] for seed in range(2)]
    assert counts[0] != counts[1]


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def test_members_side_by_side_are_those_trained_one_after_the_other(data, alone, tmp_path):
    paths = [tmp_path / f"member_{k}.state" for k in range(2)]
    ask = dict(checkpoints=paths, devices=jax.devices()[:1], width=2)
    told = []

    def tell(k, info):
        told.append((k, info.epoch))
        if (k, info.epoch) == (1, 1):
            raise Stop

    with pytest.raises(Stop):
        train_members(CONFIG, data, RECIPES, **ask, callback=tell)
    # one of them goes on by itself
    train(CONFIG, data, RECIPES[0], checkpoint=paths[0], devices=jax.devices()[:1])
    found = train_members(CONFIG, data, RECIPES, **ask, callback=tell)
    assert told == [(0, 1), (1, 1), (1, 2)]
    for mine, theirs in zip(found, alone, strict=True):
        assert_same(mine, theirs)


SCRIPT = """
import pickle, sys
from pathlib import Path
import jax
from jaxnmr._cache import silence
from jaxnmr.errors import DataError
from jaxnmr.models.tensors.hosts import from_first, in_all, is_first, join, require_same
from jaxnmr.models.tensors.train import train_members

jax.config.update("jax_enable_x64", True)
folder, port, processes, process = Path(sys.argv[1]), *map(int, sys.argv[2:5])
if processes > 1:
    join(f"127.0.0.1:{port}", processes, process, seconds=60)

    def fails():
        if process == 1:
            raise DataError("no such file")

    for wrong in (lambda: require_same({"recipe": b"same", "set of labels": b"%d" % process}), lambda: in_all(fails)):
        try:
            wrong()
        except DataError as error:
            print(error)
    assert from_first(lambda: b"%d" % process) == b"0"
ask = pickle.loads((folder / "ask").read_bytes())
paths = [folder / f"member_{k}.{process}" for k in range(len(ask["recipes"]))]
# the first process has a state that goes on
found = train_members(**ask, checkpoints=paths, width=2)
print(jax.device_count(), len(list(folder.glob("member_*.1"))))
(folder / f"found.{process}").write_bytes(pickle.dumps(jax.device_get([(r.model, r.history) for r in found])))
"""


def run_together(folder: Path, processes: int, devices: int) -> list[str]:
    """What the processes of a training say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cache = jax.config.jax_compilation_cache_dir
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.03",
        "PYTHONPATH": str(ROOT),
    }
    environment |= {"JAX_COMPILATION_CACHE_DIR": cache} if cache else {}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(port), str(processes), str(k)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for k in reversed(range(processes))
    ][::-1]  # fmt: skip
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * processes, said
    return [out for out, _ in said]


@pytest.mark.parametrize(("processes", "devices"), [(1, 2), (2, 1)])
def test_a_training_over_devices_is_that_of_one(data, valid, alone, tmp_path, processes, devices):
    """Of all processes; two virtual devices of one, and two processes that sum by gloo on the loopback."""
    # two side by side whose loss on other structures is followed, or one
    chosen, followed = (RECIPES, valid) if processes == 1 else (RECIPES[:1], None)
    ask = dict(config=CONFIG, data=data, recipes=chosen, valid=followed)
    (tmp_path / "ask").write_bytes(pickle.dumps(ask))
    for k, recipe in enumerate(chosen):
        # begun on one device
        with pytest.raises(Stop):
            train(CONFIG, data, recipe, valid=followed, checkpoint=tmp_path / f"member_{k}.0", callback=stop)
    said = run_together(tmp_path, processes, devices)
    for k in range(processes):
        found = pickle.loads((tmp_path / f"found.{k}").read_bytes())
        for (model, history), theirs in zip(found, alone[: len(chosen)], strict=True):
            assert_same(replace(theirs, model=model, history=history), theirs)
    # the first process alone writes
    assert all(out.endswith("2 0\n") for out in said)
    if processes == 2:
        for out in said:
            assert "process 1 of 2 has another set of labels than process 0" in out
        assert "process 1 cannot go on" in said[0] and "no such file" in said[1]


def test_batches_are_dealt_whole_and_evenly(data):
    batches = Batches(labelled_graphs(data, CONFIG), 6, shuffled=True, devices=3)
    edges = np.array([len(g.senders) for g in batches.graphs])
    for chosen in batches.chunks(np.random.default_rng(3).permutation(len(data))):
        parts = batches.dealt(chosen)
        assert sorted(k for part in parts for k in part) == sorted(chosen) and len(parts) == 3
        loads = [edges[part].sum() for part in parts]
        # no device has more than its share beside the largest structure
        assert max(loads) <= sum(loads) / 3 + 2 / 3 * edges[chosen].max()
        room = batches.capacity(chosen)
        made = [batches.padded(part, room) for part in parts]
        assert {len(batch.senders) for batch in made} == {room.edges}
        weights = [batch.nodes["weight"].sum() for batch in made]
        assert weights == [sum(batches.graphs[k].nodes["weight"].sum() for k in part) for part in parts]


def test_devices_that_do_not_fit_are_named():
    one = jax.devices()[0]
    assert step_devices(None, 1) == (one,)
    for devices, batch, message in (
        ([one, one], 2, "named twice"),
        ([], 2, "expected some of jax.devices"),
        (["cpu:0"], 2, "expected some of jax.devices"),
    ):
        with pytest.raises(ConventionError, match=message):
            step_devices(devices, batch)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("127.0.0.1:1", 2, 2), "process 2 of 2: processes are numbered from 0 to 1"),
        (("127.0.0.1:1", 0, 0), "expected one at least"),
        (("127.0.0.1", 2, 1), "expected HOST:PORT"),
        (("127.0.0.1:1", 2, 1), "does not answer at 127.0.0.1:1"),
        ((None, None, None), "before anything is calculated"),
    ],
)
def test_a_process_that_cannot_join_says_why(place, message):
    # something was calculated in this one
    jax.devices()
    with pytest.raises(ConventionError, match=message):
        join(*place, seconds=0)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "process 1, 2 of 3 did not come"),
        ([(3, 1), (3, 1)], "two processes have the number 1"),
        ([(2, 1)], "process 0 was told of 3 processes, process 1 of 2"),
    ],
)
def test_a_roll_call_that_fails_fails_for_all(others, message):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    said = []

    def call(processes, process):
        try:
            roll_call(coordinator, processes, process, 0.5 if not others else 20)
        except ConventionError as error:
            said.append(str(error))

    threads = [threading.Thread(target=call, args=place) for place in [(3, 0), *others]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1 + len(others) and all(message in text for text in said)
