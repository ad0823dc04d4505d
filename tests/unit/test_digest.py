"""Digests: equal for what means the same, in every process, and for nothing else."""

import dataclasses
import functools
import math
import os
import subprocess
import sys
from enum import Enum
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnmr._digest import Unstable, digest
from jaxnmr.crystal import SpaceGroup
from jaxnmr.objective.parameter_spec import Layout
from jaxnmr.objective.ties import Tie

ROOT = Path(__file__).resolve().parents[2]
DIFFERENT = [
    None, False, 0, 0.0, -0.0, float("nan"), 1, True, 1.0, 1j, "", "1", b"1", "ab", (), [], {}, (1, 2), [1, 2], (1, (2,)), ((1,), 2),
    ("ab", "c"), ("a", "bc"), {"a": 1}, {"b": 1}, frozenset({1, 2}), frozenset({1}), np.arange(3), np.arange(3.0), np.zeros((1, 3)),
    np.zeros(3), np.float32(1.0), np.dtype("f4"), float, int, np.float32, functools.partial(digest, 1), functools.partial(digest, 2),
    Layout((("a", (2,)),)), Layout((("b", (2,)),)), Tie(1, (2,), (3.0,), 4.0), Tie(1, (2,), (3.0,), 5.0), digest, math.prod,
    jax.tree.structure((1, 2)), jax.tree.structure([1, 2]), jax.tree.structure({"a": 1}), jax.tree.structure({"b": 1}),
    jax.tree.structure((1, None)), SpaceGroup.from_hall("P 1"), SpaceGroup.from_hall("-P 1"),
]  # fmt: skip


def test_what_differs_has_another_digest():
    made = []
    for value in DIFFERENT:
        try:
            made.append(digest(value))
        except Unstable:
            assert value is math.prod  # of no library that is known
    assert len(set(made)) == len(made) == len(DIFFERENT) - 1
    assert digest(1, 2) != digest((1, 2)) and digest("ab") != digest("a", "b")


def test_copies_have_the_same_digest():
    assert digest(np.arange(6.0)[::2]) == digest(np.array([0.0, 2.0, 4.0]))
    assert digest(Layout((("a", (2,)),))) == digest(Layout((("a", (2,)),)))
    assert digest(SpaceGroup.from_hall("P 1")) == digest(SpaceGroup.from_hall("P 1"))


def test_another_process_with_another_hash_seed_finds_the_same_digest():
    text = "print(digest(frozenset('abcdef'), {'a': 1}, Layout((('a', (2,)),)), jax.tree.structure({'b': 1, 'a': (2, None)})))"
    script = (
        f"import jax\nfrom jaxnmr._digest import digest\nfrom jaxnmr.objective.parameter_spec import Layout\n{text}"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, env=environment).stdout
    here = digest(frozenset("abcdef"), {"a": 1}, Layout((("a", (2,)),)), jax.tree.structure({"b": 1, "a": (2, None)}))
    assert found == f"{here}\n"


@dataclasses.dataclass(frozen=True)
class Own:
    number: int = 1


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [Own(), Own, Colour.RED, lambda: 0, object(), np.array([None]), (1, (Own(),)), functools.partial(lambda: 0)],
)
def test_what_another_process_may_mean_differently_has_no_digest(value):
    with pytest.raises(Unstable):
        digest(value)
