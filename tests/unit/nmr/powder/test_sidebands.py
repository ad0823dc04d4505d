"""Sideband intensities against Bessel functions, and their derivatives against automatic ones of a plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import jv

from jaxnmr.nmr.powder.sidebands import intensities, sincos, summed_intensities


def plain(modulation, count, orders):
    """The definition, with a phase, an exponential and a Fourier transform."""
    phase = 0.0
    for k in range(modulation.shape[-2]):
        angle = 2 * np.pi * (k + 1) * np.arange(count) / count
        real, imag = modulation[..., k, 0, None], modulation[..., k, 1, None]
        phase = phase + 2.0 * (real * np.sin(angle) + imag * np.cos(angle))
    amplitudes = jnp.fft.fft(jnp.exp(1j * phase)) / count
    return jnp.abs(amplitudes[..., np.array(orders) % count]) ** 2


@pytest.fixture
def modulation():
    return jnp.asarray(np.random.default_rng(2).normal(size=(5, 4, 2)))


@pytest.fixture(params=[2, 5, 256], ids="{} at once".format)
def at_once(request):
    """Crystallites in a parcel: fewer than there are, all, or room for more."""
    return request.param


@pytest.mark.parametrize("orders", [(0,), (-3, -2, -1, 0, 1, 2), (5, 6, 7), tuple(range(-16, 16)), tuple(range(32))])
def test_intensities_are_squares_of_the_fourier_coefficients(modulation, orders, at_once):
    ours = intensities(modulation, 32, orders, at_once)
    np.testing.assert_allclose(ours, plain(modulation, 32, orders), atol=1e-13)


@pytest.mark.parametrize("orders", [(-3, -2, -1, 0, 1, 2), (15, -16), tuple(range(-16, 16))])
def test_the_rule_for_derivatives_is_automatic_differentiation(modulation, orders, at_once):
    tangent = jnp.asarray(np.random.default_rng(3).normal(size=modulation.shape))
    ours = jax.jvp(lambda m: intensities(m, 32, orders, at_once), (modulation,), (tangent,))[1]
    theirs = jax.jvp(lambda m: plain(m, 32, orders), (modulation,), (tangent,))[1]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    weights = jnp.linspace(0.1, 0.5, 5)
    cotangent = jnp.asarray(np.random.default_rng(4).normal(size=len(orders)))
    ours = jax.grad(lambda m: cotangent @ summed_intensities(m, weights, 32, orders, at_once))(modulation)
    theirs = jax.grad(lambda m: cotangent @ (weights @ plain(m, 32, orders)))(modulation)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_one_harmonic_gives_squares_of_bessel_functions():
    depth = 1.7
    ours = intensities(jnp.array([[[depth / 2, 0.0]]]), 64, tuple(range(-8, 9)), 1)[0]
    np.testing.assert_allclose(ours, jv(np.arange(-8, 9), depth) ** 2, atol=1e-12)


def test_all_bands_together_have_all_intensity_whatever_their_number(modulation):
    for count in (4, 7, 16, 33):
        total = intensities(modulation, count, tuple(range(count)), 5).sum(axis=-1)
        np.testing.assert_allclose(total, 1.0, atol=1e-13)


def test_sine_and_cosine_are_those_of_the_library():
    x = jnp.asarray(np.concatenate([np.linspace(-7, 7, 2001), [0.0, np.pi / 4, -np.pi / 2, 1e3, -12345.678, 1e5]]))
    sin, cos = sincos(x)
    np.testing.assert_array_less(np.abs(sin - np.sin(x)), 4e-16 * (1 + np.abs(x)))
    np.testing.assert_array_less(np.abs(cos - np.cos(x)), 4e-16 * (1 + np.abs(x)))
    single = sincos(jnp.float32(0.7))
    assert single[0].dtype == jnp.float32
    # derivatives of each other
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda v: sincos(v)[0]))(x[:100]), cos[:100], atol=1e-12)
