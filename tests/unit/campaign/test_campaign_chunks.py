"""Chunks: full ones of one kind, kinds that stay with their workers, rare kinds together, nothing lost or twice."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from jaxnmr.campaign.chunks import Chunks
from jaxnmr.campaign.rows import Row
from jaxnmr.campaign.work import Item
from jaxnmr.campaign.worker import chunk as worked_on
from jaxnmr.campaign.worker import versions


def items(kinds):
    return (Item(str(k), str(k), kind) for k, kind in enumerate(kinds))


def sized(given, size=20):
    """Chunks of which it is known how large they should be."""
    chunks = Chunks(given, size)
    chunks.size = size
    return chunks


def handed_out(chunks, workers):
    """Every chunk with its worker, asked for in turn."""
    found = []
    for k in count():
        chunk = chunks.next(workers[k % len(workers)])
        if not chunk:
            assert chunks.empty
            return found
        found.append((workers[k % len(workers)], chunk))


@pytest.mark.parametrize("workers", [["a"], ["a", "b", "c"]])
@pytest.mark.parametrize(
    "kinds",
    [["x"] * 230, ["x", "y", "z"] * 70, [f"rare {k}" for k in range(90)], ["x"] * 100 + ["y"] * 3 + ["z"] * 41, []],
)
def test_every_item_is_handed_out_once(kinds, workers):
    chunks = handed_out(sized(items(kinds)), workers)
    keys = [item.key for _, chunk in chunks for item in chunk]
    assert sorted(keys, key=int) == [str(k) for k in range(len(kinds))]
    assert all(len(chunk) <= 20 for _, chunk in chunks)


def test_a_chunk_is_of_one_kind_and_kinds_stay_with_their_worker():
    chunks = handed_out(sized(items([f"kind {k % 4}" for k in range(800)])), ["a", "b"])
    owners = {}
    for worker, chunk in chunks:
        (kind,) = {item.kind for item in chunk}
        owners.setdefault(kind, set()).add(worker)
    # two each; in the end one helps out
    assert sum(len(workers) for workers in owners.values()) <= 5


def test_what_is_left_of_rare_kinds_travels_together():
    chunks = handed_out(sized(items(["x"] * 40 + ["p", "q", "r"] * 2)), ["a"])
    sizes = [(len(chunk), len({item.kind for item in chunk})) for _, chunk in chunks]
    assert sizes == [(20, 1), (20, 1), (6, 3)]


def test_an_endless_source_is_read_no_further_than_needed():
    taken = []

    def endless():
        for k in count():
            taken.append(k)
            yield Item(str(k), str(k), "one kind", size=1000)

    chunks = sized(endless())
    for worker in ("a", "b", "c"):  # those that come later do not have the kind
        assert len(chunks.next(worker)) == 20
    assert len(taken) <= 20 * 25
    # of endless kinds, no more than there is room for
    many = sized(Item(str(k), str(k), f"kind {k}", size=2**20) for k in count())
    assert len(many.next("a")) == 20 and sum(len(many.next("a")) for _ in range(3)) == 60


def test_a_kind_of_a_worker_that_is_gone_is_free_again():
    chunks = sized(items([f"kind {k % 2}" for k in range(200)]))
    kind = lambda worker: {item.kind for item in chunks.next(worker)}
    (first,) = kind("a")
    assert kind("b") != {first} and kind("b") != {first}  # the other kind is its own
    chunks.gone("a")
    assert {first} in [kind("c") for _ in range(2)]


class Lonely:
    """Notes how often it was begun, and how many were inside at a time."""

    begun, inside, most = 0, 0, 0

    def begin(self):
        Lonely.begun += 1
        time.sleep(0.05)

    def rows(self, state, items):
        Lonely.inside += 1
        Lonely.most = max(Lonely.most, Lonely.inside)
        time.sleep(0.05)
        yield from (Row(item.key, item.name, "converged") for item in items)
        Lonely.inside -= 1


def test_a_worker_with_several_threads_works_on_one_chunk_at_a_time():
    pytest.importorskip("distributed")
    work, wanted = pickle.dumps(Lonely()), versions()
    give = lambda k: worked_on("a campaign of one", work, wanted, [Item(str(k), f"n{k}")])
    with ThreadPoolExecutor(4) as threads:
        assert [row.name for rows in threads.map(give, range(4)) for row in rows] == ["n0", "n1", "n2", "n3"]
    assert (Lonely.begun, Lonely.most) == (1, 1)


class Leaving:
    """Ends the process, or would."""

    def begin(self):
        pass

    def rows(self, state, items):
        raise SystemExit(3)


def test_work_that_ends_the_process_in_an_orderly_way_is_an_error_like_others():
    pytest.importorskip("distributed")
    with pytest.raises(RuntimeError, match=r"wanted to end the process \(exit code 3\)"):
        worked_on("a leaving campaign", pickle.dumps(Leaving()), versions(), [Item("1", "n1")])
