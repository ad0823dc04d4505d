"""Shifts from shieldings: the definition, regressions, tensors, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, ShapeError
from jaxnmr.nmr.shift_reference import CouplingCalibration, ShiftReference
from jaxnmr.nmr.tensors import haeberlen_from_shielding
from jaxnmr.testing import assert_gradients

TENSORS = np.random.default_rng(2).normal(size=(4, 3, 3)) * 30 + 300 * np.eye(3)


def test_more_shielding_means_a_smaller_shift():
    reference = ShiftReference(328.6)
    np.testing.assert_allclose(reference.shift(np.array([328.6, 436.0])), [0.0, -107.4])


def test_the_definition_is_exact():
    absolute = 340.1
    reference = ShiftReference.from_shielding(absolute)
    for shielding in (340.1, 100.0, -500.0):
        assert reference.shift(shielding) == pytest.approx(
            (absolute - shielding) / (1 - absolute * 1e-6), rel=1e-13, abs=1e-9
        )
    assert reference.slope == pytest.approx(-1.00034, abs=1e-5)


def test_the_trace_of_a_shift_tensor_is_the_isotropic_shift():
    reference = ShiftReference(320.0, -0.95)
    iso = np.trace(TENSORS, axis1=1, axis2=2) / 3
    np.testing.assert_allclose(np.trace(reference.shift_tensor(TENSORS), axis1=1, axis2=2) / 3, reference.shift(iso))


def test_the_anisotropy_of_the_shift_is_minus_that_of_the_shielding():
    tensor = (TENSORS[0] + TENSORS[0].T) / 2
    shielding, shift = (
        haeberlen_from_shielding(tensor),
        haeberlen_from_shielding(ShiftReference(300.0).shift_tensor(tensor)),
    )
    np.testing.assert_allclose((shift.zeta, shift.eta), (-shielding.zeta, shielding.eta))


def test_inverses_give_shieldings_back(precision):
    reference = ShiftReference(precision.dtype(320.0), precision.dtype(-0.95))
    tensors = TENSORS.astype(precision.dtype)
    back = reference.shielding_tensor(reference.shift_tensor(tensors))
    assert back.dtype == precision.dtype
    np.testing.assert_allclose(back, tensors, atol=1e3 * precision.rtol)
    assert reference.shielding(reference.shift(precision.dtype(55.0))) == pytest.approx(55.0, rel=1e-4)


def test_a_reference_can_be_refined():
    leaves = jax.tree.leaves(ShiftReference(jnp.array(320.0), jnp.array(-1.0)))
    assert len(leaves) == 2
    loss = lambda r: jnp.sum(r.shift_tensor(TENSORS) ** 2) * 1e-4
    assert_gradients(lambda p: loss(ShiftReference(p[0], p[1])), jnp.array([310.0, -0.9]))
    mapped = jax.vmap(lambda r: r.shift(300.0))(ShiftReference(jnp.array([310.0, 320.0]), jnp.array([-1.0, -1.0])))
    np.testing.assert_allclose(mapped, [10.0, 20.0])


def test_a_regression_finds_the_line_of_the_shifts():
    shielding = np.array([300.0, 350.0, 420.0, 433.0])
    fit = ShiftReference.fit(shielding, 310.0 - 0.93 * shielding)
    assert (fit.reference_ppm, fit.slope) == pytest.approx((310.0, -0.93))
    held = ShiftReference.fit(shielding, 320.0 - shielding + np.array([1.0, -1.0, 2.0, -2.0]), slope=-1.0)
    assert (held.reference_ppm, held.slope) == pytest.approx((320.0, -1.0))


def test_a_published_regression_puts_quartz_where_it_is_measured():
    # induced fields dB/dB that VASP prints for alpha quartz with the cells of two DFT relaxations and of experiment
    induced = np.array([395.346, 397.711, 398.527])
    reference = ShiftReference.published("nmrcryspy/29Si")
    np.testing.assert_allclose(reference.shift(-induced), 0.8292 * induced - 437.69)
    np.testing.assert_allclose(reference.shift(-induced), -107.4, atol=2.6)
    # less induced field is more shielding is a smaller shift
    assert reference.shift(-390.0) < reference.shift(-398.0)
    with_core = ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)
    np.testing.assert_allclose(with_core.shift(838.0 - induced), reference.shift(-induced))
    with pytest.raises(ConventionError, match="no published regression 'other'; there is nmrcryspy/29Si"):
        ShiftReference.published("other")


def test_couplings_are_calibrated_and_back():
    published = CouplingCalibration.published("nmrcryspy/29Si-O-29Si")
    np.testing.assert_allclose(published.coupling(np.array([0.0, 5.0])), [3.7953, 10.9038])
    np.testing.assert_allclose(published.calculated(published.coupling(7.0)), 7.0)
    fit = CouplingCalibration.fit([1.0, 3.0, 8.0], [2.5, 4.5, 9.5])
    assert (fit.offset_hz, fit.slope) == pytest.approx((1.5, 1.0))
    np.testing.assert_allclose(jax.grad(lambda c: c.coupling(4.0))(published).slope, 4.0)
    with pytest.raises(DataError, match="calculated couplings"):
        CouplingCalibration.fit([1.0, 1.0], [2.0, 3.0])


def test_references_that_make_no_sense_are_refused():
    with pytest.raises(ConventionError, match="slope is 0"):
        ShiftReference(300.0, 0.0)
    with pytest.raises(ConventionError, match="reference_ppm is nan"):
        ShiftReference(np.nan)
    with pytest.raises(ShapeError, match="same length"):
        ShiftReference.fit([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="slope"):
        ShiftReference.fit([1.0], [1.0])
    with pytest.raises(DataError, match="finite"):
        ShiftReference.fit([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ShapeError, match=r"\.\.\., 3, 3"):
        ShiftReference(300.0).shift_tensor(np.ones(3))
