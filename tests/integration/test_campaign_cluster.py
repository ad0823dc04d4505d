"""Campaigns on real processes: workers and schedulers that die, items that kill, what cannot be sent, one table all the same."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import ase.io
import cloudpickle
import cluster_stubs
import jax.numpy as jnp
import numpy as np
import pytest
from cluster_stubs import Stub, Unwilling, items
from small_problems import rutile
from small_tensor_data import NETWORK, rattled

import jaxnmr as jn
from jaxnmr.campaign import worker
from jaxnmr.campaign.cluster import Cluster
from jaxnmr.campaign.connect import connected, require_same_versions
from jaxnmr.campaign.drive import drive
from jaxnmr.campaign.rows import Rows
from jaxnmr.campaign.table import Table
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError
from jaxnmr.models.data.training_data import DataSource, Split
from jaxnmr.models.tensors.cross_validation import cross_validate
from jaxnmr.models.tensors.experiment import Experiment
from jaxnmr.models.tensors.recipe import Recipe

distributed = pytest.importorskip("distributed")
cloudpickle.register_pickle_by_value(cluster_stubs)
COLUMNS = {"chi2": float}


@pytest.fixture(scope="module")
def client():
    with connected(workers=2, memory_limit="1GB") as client:
        yield client


def driven(folder, engine, work, given, **more):
    with Table(folder, "stub", COLUMNS) as table:
        return drive(given, work, table, engine, **more)


def test_a_cluster_gives_the_table_that_this_process_gives(client, tmp_path):
    given = items(90)
    for folder, engine in (("here", None), ("there", Cluster(client, least=10, most=10))):
        tally = driven(tmp_path / folder, engine, Stub(), iter(given), total=90)
        assert (tally.done, tally.known, tally.left) == (90, 0, 0.0)
    here, there = (list(Rows(tmp_path / folder)) for folder in ("here", "there"))
    assert [row._replace(record={}) for row in here] == [row._replace(record={}) for row in there]
    assert len({row.record["pid"] for row in there}) == 2
    # nothing is done twice, and what is new is
    assert driven(tmp_path / "there", Cluster(client), Stub(), items(93)).done == 3


def test_items_that_kill_or_fill_their_worker_end_as_one_row_each_and_harm_no_other(client, tmp_path):
    log = tmp_path / "log"
    given = items(30, n7="kill", n20="memory", n25="error")
    tally = driven(tmp_path, Cluster(client, least=10, most=10), Stub(log=str(log)), given)
    rows = {row.name: row for row in Rows(tmp_path)}
    assert tally.done == len(rows) == 30
    bad = {name: row.message for name, row in rows.items() if row.status == "error"}
    assert set(bad) == {"n7", "n20", "n25"}
    assert "died 3 times" in bad["n7"] and "died 3 times" in bad["n20"]
    assert bad["n25"] == "ValueError: n25 is not to my liking"
    begun = Counter(log.read_text().split())
    # three times alone, and once among others unless that chunk failed before it came to it
    assert begun["n7"] in (3, 4) and begun["n20"] in (3, 4)
    # of every worker that died only the items that it had in hand were begun again
    assert max(begun.values()) <= 4


def test_a_worker_that_is_killed_in_the_middle_is_replaced_and_every_item_has_one_row(client, tmp_path):
    log, killed = tmp_path / "log", []

    def kill(row, tally):
        if tally.done >= 20 and not killed:
            killed.append(row.record["pid"])
            os.kill(row.record["pid"], signal.SIGKILL)

    tally = driven(tmp_path, Cluster(client, least=5, most=5), Stub(0.02, str(log)), items(80, kinds=1), callback=kill)
    assert killed and tally.done == len(list(Rows(tmp_path))) == 80
    begun = Counter(log.read_text().split())
    assert len(begun) == 80 and sum(begun.values()) <= 80 + 10  # two chunks at most were in its hands


def test_what_cannot_be_sent_or_begun_is_refused_in_one_sentence(client, tmp_path):
    unsendable = Stub()
    unsendable.lock = threading.Lock()
    with pytest.raises(
        ConventionError, match=r"cannot be sent to other processes: TypeError.*define them at the top of a module"
    ):
        driven(tmp_path / "a", Cluster(client), unsendable, items(3))
    with pytest.raises(ConventionError, match=r"no worker can do this: .*pattern.xye is not on this machine"):
        driven(tmp_path / "b", Cluster(client), Unwilling(), items(3))
    assert not list(Rows(tmp_path / "b"))


def test_workers_of_other_versions_are_refused(client, tmp_path, monkeypatch):
    installed = worker.metadata.version
    monkeypatch.setattr(worker.metadata, "version", lambda name: "0.1.2" if name == "jaxlib" else installed(name))
    with pytest.raises(ConventionError, match=r"worker at tcp://.* has jaxlib .*, here there is jaxlib 0\.1\.2"):
        require_same_versions(client)
    # one that comes later, too
    with pytest.raises(ConventionError, match=r"no worker can do this: .* instead of 0\.1\.2: install the same"):
        driven(tmp_path, Cluster(client), Stub(), items(3))


def test_screening_on_a_cluster_ranks_as_here_and_says_which_candidates_cannot_be_built(client, tmp_path):
    given = {f"x {x:.3f}": rutile().replace(xyz=np.array([[0, 0, 0], [x, x, 0]])) for x in 0.305 + 0.001 * np.arange(6)}
    given["no file"] = tmp_path / "nothing.cif"
    here = jn.screen(given, make)
    there = jn.screen(given, make, client=client, folder=tmp_path)
    assert [row.name for row in there.rows] == [row.name for row in here.rows]
    for mine, theirs in zip(here.rows, there.rows, strict=True):
        assert (mine.status, mine.message, mine.flags, mine.key) == (
            theirs.status,
            theirs.message,
            theirs.flags,
            theirs.key,
        )
        np.testing.assert_allclose(theirs.chi2, mine.chi2, rtol=1e-9, atol=1e-12)
    assert list(there.fits) == list(here.fits) == ["x 0.305"]
    assert jn.screen(given, make, folder=tmp_path).resumed == 7


def seen(state):
    crystal = state.crystal
    return jnp.stack([crystal.cell[0] - 4.594, crystal.cell[2] - 2.959, crystal.xyz[1, 0] - 0.305]) / 1e-3


def make(crystal):
    objective = jn.Objective(jn.term("seen")(seen), crystal=crystal)
    return objective, objective.parameters().free("cell")


# -- a scheduler of its own, as on a cluster ---------------------------------------------------------------------------
def started(*command, **more):
    return subprocess.Popen(
        [sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True, start_new_session=True, **more
    )


@contextmanager
def cluster(folder, workers):
    """A scheduler and ``jaxnmr worker``, as one starts them by hand."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    running = [started("distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0",
                       "--no-dashboard")]  # fmt: skip
    try:
        waited = time.monotonic()
        while not file.exists() and time.monotonic() - waited < 60:
            time.sleep(0.1)
        if workers:
            running.append(started("jaxnmr", "worker", "--scheduler-file", str(file), "--workers", str(workers)))
        yield file, running[0]
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_scheduler_that_is_killed_loses_no_row_and_a_restart_does_nothing_twice(tmp_path):
    log = tmp_path / "log"
    work, given = Stub(0.05, str(log)), items(60, kinds=2)
    with cluster(tmp_path, 3) as (file, scheduler):

        def kill(row, tally):
            if tally.done >= 15 and scheduler.poll() is None:
                os.killpg(scheduler.pid, signal.SIGKILL)

        with (
            connected(scheduler_file=file) as client,
            pytest.raises(JaxnmrError, match=r"the scheduler at tcp://.* is gone.*every row so far is in the table"),
        ):
            client.wait_for_workers(3, timeout=60)
            driven(tmp_path, Cluster(client, least=5, most=5), work, given, callback=kill)
    kept = {row.name for row in Rows(tmp_path)}
    assert 15 <= len(kept) < 60
    before = Counter(log.read_text().split())
    with cluster(tmp_path, 2) as (file, _), connected(scheduler_file=file) as client:
        tally = driven(tmp_path, Cluster(client, least=5, most=5), work, given)
    assert (tally.known, tally.done) == (len(kept), 60 - len(kept)) and len(list(Rows(tmp_path))) == 60
    again = Counter(log.read_text().split()) - before
    assert not kept & set(again) and set(again.values()) == {1}


def test_workers_that_a_queue_ends_leave_neither_processes_nor_a_folder(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with cluster(tmp_path, 0) as (file, _), connected(scheduler_file=file) as client:
        process = started(
            "jaxnmr",
            "worker",
            "--scheduler-file",
            str(file),
            "--workers",
            "2",
            env=os.environ | {"TMPDIR": str(scratch)},
        )
        client.wait_for_workers(2, timeout=60)
        pids = client.run(os.getpid).values()
        assert len(list(scratch.glob("jaxnmr-workers-*"))) == 1
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 130
    assert not list(scratch.glob("jaxnmr-workers-*"))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_scheduler_without_workers_is_said_to_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnmr.campaign.cluster._LONELY", 0.2)
    monkeypatch.setattr("jaxnmr.campaign.cluster._LOOK", 0.1)
    with cluster(tmp_path, 0) as (file, _), connected(scheduler_file=file) as client:
        source, engine = iter(items(3)), Cluster(client)
        with pytest.warns(UserWarning, match=r"scheduler at tcp://.* has no workers: start some, with jaxnmr worker"):
            found = engine.run(Stub(), source)
            assert [next(found) for _ in range(4)] == [None] * 4
        found.close()


def test_a_cluster_that_is_not_there_is_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnmr.campaign.connect._PATIENCE", "1s")
    with (
        pytest.raises(ConventionError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"),
        connected(scheduler="tcp://127.0.0.1:9"),
    ):
        pass
    with pytest.raises(ParseError, match="no such file; dask scheduler"), connected(scheduler_file=tmp_path / "s.json"):
        pass
    (tmp_path / "s.json").write_text(json.dumps({"id": 1}))
    with pytest.raises(ParseError, match="no scheduler file"), connected(scheduler_file=tmp_path / "s.json"):
        pass
    with pytest.raises(ConventionError, match="give one of them"), connected(scheduler="tcp://a:1", workers=2):
        pass
    with pytest.raises(ConventionError, match="0 workers"), connected(workers=0):
        pass
    with connected() as client:
        assert client is None
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConventionError, match=r"pip install 'jaxnmr\[cluster\]'"), connected(workers=2):
        pass


def test_folds_are_trained_at_once_and_give_the_scores_of_one_after_the_other(client, tmp_path):
    ase.io.write(tmp_path / "data.extxyz", rattled(8), format="extxyz")
    experiment = Experiment(
        title="folds", source=DataSource(format="extxyz", path=tmp_path / "data.extxyz", quantity="efg"),
        split=Split(kind="random", seed=1), network=NETWORK, recipe=Recipe(epochs=2, batch=2), members=2,
    )  # fmt: skip
    here = cross_validate(experiment, tmp_path / "here", folds=2)
    done = []
    there = cross_validate(
        experiment, tmp_path / "there", folds=2, client=client, progress=lambda row, tally: done.append(row.name)
    )
    assert sorted(done) == ["fold 1, member 1", "fold 1, member 2", "fold 2, member 1", "fold 2, member 2"]
    for mine, theirs in zip(here.folds, there.folds, strict=True):
        for element, scores in mine.scores().items():
            assert theirs.scores()[element] == pytest.approx(scores, rel=1e-4)
    done.clear()
    cross_validate(experiment, tmp_path / "there", folds=2, client=client, progress=lambda row, tally: done.append(row))
    assert not done
    with pytest.raises(ConventionError, match="table of another run"):
        cross_validate(
            replace(experiment, recipe=Recipe(epochs=3, batch=2)), tmp_path / "there", folds=2, client=client
        )
