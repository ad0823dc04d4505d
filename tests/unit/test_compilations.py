"""Programs are counted when they become executable, in the thread that asked."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from jaxnmr._compilations import watch_compilations


def doubled():
    """A function that no other test has compiled."""

    def double(x):
        return 2.0 * x

    return jax.jit(double)


def test_the_first_call_counts_and_the_second_does_not():
    double, x = doubled(), np.ones(3)
    with watch_compilations() as first:
        double(x)
    with watch_compilations() as second:
        double(x + 1.0)
    assert first.count == 1 and first.programs["double"] == 1 and first.seconds > 0.0
    assert second.count == 0 and second.seconds == 0.0


def test_other_shapes_and_types_are_other_programs():
    double = doubled()
    with watch_compilations() as watch:
        for x in (np.ones(3), np.ones(4), np.ones(3, np.float32), np.zeros(4)):
            double(x)
    assert watch.programs == {"double": 3}


def test_nested_watches_count_all_and_end_even_with_an_error():
    double = doubled()
    with watch_compilations() as outer:
        with pytest.raises(TypeError), watch_compilations() as inner:
            double(np.ones(2))
            double("no number")
        double(np.ones(5))
    double(np.ones(6))
    assert (inner.count, outer.count) == (1, 2)


def test_threads_see_their_own_programs():
    def count(size):
        double = doubled()
        with watch_compilations() as watch:
            for k in range(size):
                double(np.ones(k + 1))
        return watch.count

    with watch_compilations() as here, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, range(8))) == list(range(8))
    assert here.count == 0
