"""Form factors of atoms between two elements."""

import gemmi
import jax
import jax.numpy as jnp
import numpy as np

import jaxnmr as jn
from jaxnmr.diffraction.between_elements import FormFactors, form_factor
from jaxnmr.diffraction.scattering import scattering_factors

S_SQ = np.linspace(0.0, 1.0, 9)
NUMBERS = np.arange(1.0, 97.0)


def test_whole_numbers_have_the_form_factors_of_the_tables():
    f = scattering_factors(tuple(gemmi.Element(int(z)).name for z in NUMBERS), "xray", 1.54)
    expected = (f.a * np.exp(-f.b * S_SQ[:, None, None])).sum(axis=-1) + f.c
    np.testing.assert_allclose(form_factor(S_SQ, NUMBERS), expected, atol=1e-10)


def test_between_elements_values_and_slopes_do_not_jump_and_forward_scattering_is_the_number_of_electrons():
    slope = jax.jit(lambda z: jax.jvp(lambda z: form_factor(S_SQ, z), (z,), (jnp.ones_like(z),))[1])
    below, above = slope(NUMBERS - 1e-7), slope(NUMBERS + 1e-7)
    # the tables themselves have kinks of 0.7 electrons where shells begin
    assert np.abs(below - above).max() < 1e-5
    assert np.isfinite(above).all() and 0.0 < np.abs(slope(NUMBERS + 0.5)).max() < 2.0
    assert np.abs(form_factor(np.zeros(1), NUMBERS + 0.5)[0] - NUMBERS - 0.5).max() < 0.06
    assert np.abs(form_factor(S_SQ, np.zeros(1))).max() == 0.0
    jn.testing.assert_gradients(lambda z: form_factor(S_SQ, z).sum(), jnp.array([7.3, 16.0, 41.7]))


def test_the_slopes_of_fits_are_the_derivatives():
    fits = FormFactors(S_SQ)
    for z in (0.4, 8.0, 33.9, 96.5):
        value, slope = jax.jvp(lambda z: form_factor(S_SQ, z), (jnp.array([z]),), (jnp.ones(1),))
        np.testing.assert_allclose(np.stack(fits(z)), np.stack([value[:, 0], slope[:, 0]]), atol=1e-10)
