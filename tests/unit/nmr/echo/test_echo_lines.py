"""Frequencies and kernels: moments, quantiles and sums known from elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.nmr.echo import Kernel, Line, challenge


def test_the_frequencies_of_the_challenge_lie_on_its_grid_with_its_weights():
    line = challenge().ensemble.line
    x = np.linspace(-0.25, 0.25, 2500)
    weights = 0.025 / (x**2 + 0.025**2)
    drawn = np.asarray(line.draw(jax.random.key(0), (200_000,), jnp.asarray(0.05)))
    places = np.round((drawn + 0.25) / (x[1] - x[0])).astype(int)
    assert np.abs(drawn - x[places]).max() < 1e-12
    inside = np.mean(np.abs(drawn) < 0.025)
    expected = weights[np.abs(x) < 0.025].sum() / weights.sum()
    assert inside == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 200_000))


@pytest.mark.parametrize("shape", ["lorentzian", "gaussian", "box"])
def test_quantiles_are_those_of_the_density(shape):
    line, width = Line(shape, cutoff=0.1), 0.08
    x = np.linspace(-0.1, 0.1, 200_001)
    density = {
        "lorentzian": 1.0 / (x**2 + 0.04**2),
        "gaussian": np.exp(-4.0 * np.log(2.0) * (x / width) ** 2),
        "box": np.where(np.abs(x) <= 0.04, 1.0, 0.0),
    }[shape]
    u = np.cumsum(density) / density.sum()
    places = np.searchsorted(u, [0.1, 0.4, 0.5, 0.77, 0.99])
    found = line.quantile(jnp.asarray(u[places]), jnp.asarray(width))
    assert np.asarray(found) == pytest.approx(x[places], abs=3e-6)


def test_weights_of_kernels_are_their_formulae_to_the_nearest_image():
    weights = np.asarray(Kernel("power", normalised=False).weights((6, 5), 2.0, 3.0))
    assert weights[0, 0] == 0.0
    assert weights[1, 0] == weights[5, 0] == pytest.approx(8.0)
    assert weights[3, 3] == pytest.approx((np.sqrt(9.0 + 4.0) / 2.0) ** -3)
    assert np.asarray(Kernel("exponential", normalised=False).weights((7,), 2.0, 3.0))[3] == pytest.approx(np.exp(-1.5))
    assert np.asarray(Kernel("gaussian", normalised=False).weights((7,), 2.0, 3.0))[5] == pytest.approx(np.exp(-1.0))
    stretched = Kernel("stretched", normalised=False).weights((7,), 2.0, 1.5)
    assert np.asarray(stretched)[3] == pytest.approx(np.exp(-(1.5**1.5)))
    x = 2.0 * 3.0 / 2.0
    rkky = Kernel("rkky", normalised=False).weights((7,), 2.0, 0.0)
    assert np.asarray(rkky)[3] == pytest.approx((x * np.cos(x) - np.sin(x)) / x**4)
    for family in ("power", "gaussian", "exponential", "stretched", "rkky", "uniform"):
        assert float(jnp.sum(Kernel(family).weights((4, 3, 5), 1.5, 2.5))) == pytest.approx(1.0)


def test_angular_weights_turn_sign_where_they_should():
    p = np.asarray(Kernel("power", normalised=False, angular=(0.0, 1.0, 0.0)).weights((5, 5), 1.0, 2.0))
    assert p[1, 0] == pytest.approx(1.0) and p[4, 0] == pytest.approx(-1.0) and p[0, 1] == 0.0
    d = np.asarray(Kernel("power", normalised=False, angular=(0.0, 0.0, 1.0)).weights((5, 5), 1.0, 2.0))
    assert d[1, 0] == pytest.approx(1.0) and d[0, 1] == pytest.approx(-1.0) and abs(d[1, 1]) < 1e-15
