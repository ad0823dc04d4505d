"""The layout of peaks over points: complete, without repetition, and cut where nothing is left to see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr._tuning import ACCELERATOR, PROCESSOR
from jaxnmr.diffraction import axial, profiles
from jaxnmr.diffraction.tiles import PEAKS, Tiles, blocks_between, expand_ranges, plan_tiles, roomy

CUTOFF = 5e-5
N_POINTS = 1632


def pairs(tiles: Tiles, dummy: int) -> list[tuple[int, int]]:
    """All ``(block, peak)`` pairs of the tiles."""
    block = np.repeat(tiles.block[:, None], PEAKS, axis=1)
    return [(int(b), int(p)) for b, p in zip(block.ravel(), tiles.peaks.ravel(), strict=True) if p != dummy]


def test_every_pair_is_laid_out_exactly_once():
    rng = np.random.default_rng(0)
    wanted = {(int(b), int(p)) for b, p in zip(rng.integers(0, 9, 400), rng.integers(0, 90, 400), strict=True)}
    block, peak = (np.array(column) for column in zip(*sorted(wanted), strict=True))
    half = len(block) // 2
    tiles = Tiles.plan([(block[half:], peak[half:]), (block[:half], peak[:half])], 9, dummy=90, capacity=0)
    found = pairs(tiles, dummy=90)
    assert len(found) == len(set(found)) == len(wanted)
    assert set(found) == wanted
    assert (np.diff(tiles.block) >= 0).all()
    assert (tiles.peaks[tiles.used :] == 90).all()
    assert (tiles.peaks[: tiles.used] != 90).any(axis=1).all()


def test_room_is_kept_so_that_a_new_layout_has_the_same_shape():
    few, many = (np.zeros(n, dtype=int) for n in (3, 40))
    first = Tiles.plan([(many, np.arange(40))], 4, dummy=99, capacity=0)
    assert first.capacity == roomy(3, PROCESSOR.room) and first.capacity % 16 == 0
    assert Tiles.plan([(few, np.arange(3))], 4, dummy=99, capacity=first.capacity).capacity == first.capacity
    assert Tiles.plan([], 4, dummy=99, capacity=16).used == 0


@pytest.mark.parametrize("used", [100, 333, 1000, 12345])
def test_there_is_room_for_wider_peaks_and_little_of_it_where_empty_tiles_take_time(used):
    assert 2.5 <= roomy(used, PROCESSOR.room) / used <= 5.2
    assert 1.4 <= roomy(used, ACCELERATOR.room) / used <= 1.65
    tiles = Tiles.plan([(np.arange(used), np.arange(used))], used, dummy=used, capacity=0, room=ACCELERATOR.room)
    assert tiles.capacity == roomy(used, ACCELERATOR.room) and tiles.used == used


def test_blocks_that_an_interval_touches_are_found():
    low, high = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.9, 1.9, 2.9, 5.9])
    first, stop = blocks_between(low, high, np.array([0.95, 3.0, 2.5, -9.0, 7.0]), np.array([1.0, 4.0, 5.0, 9.0, 8.0]))
    assert list(zip(first.tolist(), stop.tolist(), strict=True)) == [(1, 2), (3, 3), (2, 4), (0, 4), (4, 4)]
    blocks, peaks = expand_ranges(first, stop)
    assert list(zip(peaks.tolist(), blocks.tolist(), strict=True)) == [
        (0, 1),
        (2, 2),
        (2, 3),
        *((3, k) for k in range(4)),
    ]


def test_core_and_tail_share_no_block_and_padding_has_none():
    x = np.arange(10.0, 30.0, 0.01).reshape(-1, 20)
    position, spread = np.array([[15.0, 15.1], [20.0, 20.1], [25.0, 25.1]]), np.array([0.2, 0.1, 0.05])
    core, tail = plan_tiles(
        x[:, 0], x[:, -1], position, np.full(3, 0.05), np.array([1.0, 0.0, 0.5]), spread, CUTOFF,
        core_only=False, present=np.array([True, True, False]),
    )  # fmt: skip
    near, far = pairs(core, dummy=3), pairs(tail, dummy=3)
    assert not set(near) & set(far)
    assert {p for _, p in near} == {0, 1}
    assert {p for _, p in far} == {0}  # a Gaussian has no tail
    whole, nothing = plan_tiles(
        x[:, 0], x[:, -1], position, np.full(3, 0.05), np.array([1.0, 0.0, 0.5]), spread, CUTOFF,
        core_only=True, present=np.array([True, True, False]),
    )  # fmt: skip
    assert nothing.used == 0
    assert set(pairs(whole, dummy=3)) == set(near) | set(far)


@jax.jit
def one_peak(x_blocks, two_theta, shl, fwhm, eta, abscissa, weight, core, tail):
    peaks = profiles.Peaks(
        position=jnp.stack([two_theta, 90.0])[None],
        area=jnp.array([1.0, 0.0]),
        fwhm=jnp.stack([fwhm, 1.0]),
        eta=jnp.stack([eta, 0.5]),
        ratio=jnp.ones(1),
        shl=shl,
    )
    position, share = axial.axial_nodes(peaks.position[0], shl, abscissa, weight, gsas=False)
    zero = jnp.zeros_like(position)
    nodes = profiles.AxialNodes(position, share, zero, zero, zero, zero)
    return profiles.profile_sum(x_blocks, peaks, [nodes], core, tail, 16), position[0], share[0]


def deviations(two_theta: float, shl: float, fwhm: float, eta: float) -> tuple[float, float]:
    """Largest deviation from the plain sum of all nodes everywhere: beyond the windows, and inside them."""
    spread = axial.axial_spread(np.array([two_theta]), shl)
    near = np.linspace(-1, 1, 1200)
    x = np.unique(np.concatenate([two_theta + 300 * fwhm * near**3, two_theta - spread * np.linspace(-0.2, 1.2, 400)]))
    x = np.concatenate([x, x[-1] + 1e-3 * np.arange(1, 1 + N_POINTS - len(x))])
    blocks = profiles.block_points(x)
    core, tail = plan_tiles(
        blocks[:, 0], blocks[:, -1], np.array([[two_theta]]), np.array([fwhm]), np.array([eta]), spread, CUTOFF,
        core_only=False, present=np.array([True]), capacity=(128, 128),
    )  # fmt: skip
    ours, position, share = one_peak(blocks, two_theta, shl, fwhm, eta, *axial.quadrature(96), core, tail)
    ours, position, share = np.asarray(ours).ravel()[:N_POINTS], np.asarray(position), np.asarray(share)
    t2 = ((x[:, None] - position) / fwhm) ** 2
    gauss = 2.0 * np.sqrt(np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * t2)
    plain = (eta * 2.0 / np.pi / (1.0 + 4.0 * t2) + (1.0 - eta) * gauss) @ share / fwhm
    error, seen = np.abs(ours - plain) / plain.max(), ours > 0.0
    return error[~seen].max(initial=0.0), error[seen].max()


@pytest.mark.parametrize("eta", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("two_theta", [4.0, 20.0, 150.0])
def test_nothing_that_is_left_out_exceeds_a_ten_thousandth_of_the_peak(two_theta, eta):
    for shl, fwhm in ((0.001, 0.005), (0.01, 0.03), (0.03, 0.1), (0.05, 0.1), (0.1, 0.5)):
        beyond, inside = deviations(two_theta, shl, fwhm, eta)
        assert beyond <= 1e-4
        assert inside <= 1e-5  # the tails with their nodes at the centroid
