"""The sum of peaks, its closed-form derivatives, and the profile function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.diffraction import axial, profiles
from jaxnmr.diffraction.profiles import pseudo_voigt
from jaxnmr.diffraction.tiles import plan_tiles

RATIO = (1.0, 0.5)
ABSCISSA, WEIGHT = axial.quadrature(6)


@pytest.mark.parametrize("eta", [0.0, 0.35, 1.0])
def test_the_profile_has_area_one_and_the_width_it_says(eta):
    fwhm = 0.2
    edge = np.tan(np.linspace(-1, 1, 20001) * (np.pi / 2 - 1e-4)) * fwhm  # dense in the middle, far out at the ends
    assert np.trapezoid(pseudo_voigt(edge, fwhm, eta), edge) == pytest.approx(1.0, abs=1e-4)
    top = float(pseudo_voigt(0.0, fwhm, eta))
    np.testing.assert_allclose(pseudo_voigt(np.array([-0.1, 0.1]), fwhm, eta), 0.5 * top, rtol=1e-12)


def test_points_are_cut_into_blocks_and_the_last_one_filled_up():
    x = np.arange(70.0)
    blocks = profiles.block_points(x)
    assert blocks.shape == (3, 32)
    np.testing.assert_array_equal(blocks.ravel()[:70], x)
    assert (blocks.ravel()[70:] == x[-1]).all()


class Scene:
    """A few peaks of a doublet on unevenly spaced points, with room for one dummy."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.x = np.sort(rng.uniform(15.0, 40.0, 700))
        first = np.sort(rng.uniform(14.0, 41.0, 20))
        self.fwhm, self.eta = rng.uniform(0.05, 0.3, 20), rng.uniform(0.0, 1.0, 20)
        self.area, self.shl = rng.uniform(1.0, 50.0, 20), 0.04
        self.position = np.stack([first, first + 0.0025 * first])
        blocks = profiles.block_points(self.x)
        spread = axial.axial_spread(first, self.shl)
        self.blocks = blocks
        # far windows, so that differences to the plain sum come from nothing else
        self.core, self.tail = plan_tiles(
            blocks[:, 0], blocks[:, -1], self.position.T, self.fwhm, self.eta, spread, 1e-9,
            core_only=True, present=np.ones(20, dtype=bool),
        )  # fmt: skip

    def peaks(self, position, area, fwhm, eta, ratio, shl) -> profiles.Peaks:
        pad = lambda values, dummy: jnp.concatenate([values, jnp.full((*values.shape[:-1], 1), dummy)], axis=-1)
        return profiles.Peaks(pad(position, 90.0), pad(area, 0.0), pad(fwhm, 1.0), pad(eta, 0.5), ratio, shl)

    @property
    def values(self):
        return tuple(jnp.asarray(v) for v in (self.position, self.area, self.fwhm, self.eta, np.array(RATIO), self.shl))

    def plain(self, position, area, fwhm, eta, ratio, shl):
        """Every node of every line of every peak at every point."""
        total = jnp.zeros(self.x.shape)
        for line in range(2):
            place, share = axial.axial_nodes(position[line], shl, ABSCISSA, WEIGHT, gsas=False)
            shape = pseudo_voigt(self.x[:, None, None] - place, fwhm[:, None], eta[:, None])
            total = total + ratio[line] * jnp.sum(shape * share * area[:, None], axis=(1, 2))
        return total


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def nodes_of(peaks: profiles.Peaks) -> list[profiles.AxialNodes]:
    out = []
    for position in peaks.position:
        place = lambda angle, shl: axial.axial_nodes(angle, shl, ABSCISSA, WEIGHT, gsas=False)
        by_angle = jax.jvp(place, (position, peaks.shl), (jnp.ones_like(position), jnp.zeros(())))
        by_shl = jax.jvp(place, (position, peaks.shl), (jnp.zeros_like(position), jnp.ones(())))
        out.append(profiles.AxialNodes(*by_angle[0], *by_angle[1], *by_shl[1]))
    return out


@jax.jit
def tiled(peaks: profiles.Peaks, blocks, core, tail):
    return profiles.profile_sum(blocks, peaks, nodes_of(peaks), core, tail, 16)


@jax.jit
def tiled_jacobian(peaks: profiles.Peaks, blocks, core, tail, by_peak, by_pattern):
    """Derivatives by the few columns of ``by_peak``, put together of those by areas, lines and the whole pattern."""
    area, *line = by_peak
    columns = profiles.ProfileColumns(blocks, peaks, nodes_of(peaks), area, jnp.stack(line))
    n = area.shape[1]
    rows = jnp.zeros((blocks.size + 2048, 2 * n + 3))
    write = lambda total, first, new: jax.lax.dynamic_update_slice(total, new, (first, 0))
    found = columns.fold(core, tail, 16, write, rows)[: blocks.size]
    return (found[:, :n] + found[:, n : 2 * n] + found[:, 2 * n :] @ by_pattern).reshape(*blocks.shape, n)


def test_the_tiled_sum_is_the_sum_of_all_peaks(scene):
    tiles = tiled(scene.peaks(*scene.values), scene.blocks, scene.core, scene.tail)
    plain = np.asarray(jax.jit(scene.plain)(*scene.values))
    np.testing.assert_allclose(np.asarray(tiles).ravel()[: len(scene.x)], plain, atol=1e-8 * plain.max())


def test_closed_form_derivatives_are_those_of_the_plain_sum(scene):
    rng = np.random.default_rng(6)
    # three made-up parameters that move everything at once
    tangents = [jnp.asarray(rng.normal(size=(3, *np.shape(v)))) for v in scene.values]
    position, area, fwhm, eta, ratio, shl = tangents
    push = jax.jit(jax.vmap(lambda *t: jax.jvp(scene.plain, scene.values, t)[1]))
    expected = np.asarray(push(*tangents)).T
    pad = lambda values: jnp.concatenate([values, jnp.zeros((*values.shape[:-1], 1))], axis=-1)
    columns = [area, fwhm, eta, position[:, 0], position[:, 1]]
    by_peak = jnp.stack([pad(column).T for column in columns])
    by_pattern = jnp.concatenate([shl[None], ratio.T])
    ours = tiled_jacobian(scene.peaks(*scene.values), scene.blocks, scene.core, scene.tail, by_peak, by_pattern)
    ours = np.asarray(ours).reshape(-1, 3)[: len(scene.x)]
    np.testing.assert_allclose(ours, expected, atol=1e-7 * np.abs(expected).max())


def test_tails_have_the_derivatives_of_their_own_values(scene):
    first = scene.position[0]
    spread = axial.axial_spread(first, scene.shl)
    core, tail = plan_tiles(
        scene.blocks[:, 0], scene.blocks[:, -1], scene.position.T, scene.fwhm, scene.eta, spread, 1e-4,
        core_only=False, present=np.ones(20, dtype=bool),
    )  # fmt: skip
    assert tail.used > 10
    evaluate = jax.jit(
        lambda *v: profiles.profile_sum(scene.blocks, scene.peaks(*v), nodes_of(scene.peaks(*v)), core, tail, 16)
    )
    tangents = [jnp.asarray(np.random.default_rng(7).normal(size=np.shape(v))) for v in scene.values]
    expected = np.asarray(jax.jvp(evaluate, scene.values, tuple(tangents))[1])
    position, area, fwhm, eta, ratio, shl = tangents
    pad = lambda values: jnp.concatenate([values, jnp.zeros(1)])
    by_peak = jnp.stack([pad(column)[:, None] for column in (area, fwhm, eta, position[0], position[1])])
    by_pattern = jnp.concatenate([shl[None, None], ratio[:, None]])
    ours = np.asarray(tiled_jacobian(scene.peaks(*scene.values), scene.blocks, core, tail, by_peak, by_pattern))[..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-10 * np.abs(expected).max())


def test_batches_behind_the_last_tile_are_skipped_and_change_nothing(scene):
    roomy = scene.core.replace(
        block=np.concatenate([scene.core.block, np.zeros(64, np.int32)]),
        peaks=np.concatenate([scene.core.peaks, np.zeros((64, 16), np.int32)]),  # junk that must not be read
    )
    peaks = scene.peaks(*scene.values)
    np.testing.assert_array_equal(
        tiled(peaks, scene.blocks, roomy, scene.tail), tiled(peaks, scene.blocks, scene.core, scene.tail)
    )
    rng = np.random.default_rng(8)
    directions = jnp.asarray(rng.normal(size=(5, peaks.area.size, 2))), jnp.asarray(rng.normal(size=(3, 2)))
    np.testing.assert_allclose(
        tiled_jacobian(peaks, scene.blocks, roomy, scene.tail, *directions),
        tiled_jacobian(peaks, scene.blocks, scene.core, scene.tail, *directions),
        rtol=1e-13,
    )
