"""Parts, spherical components, principal frames and the conventions of shielding and quadrupolar tensors."""

from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.nmr import tensors as t
from jaxnmr.nmr.euler import rotation
from jaxnmr.testing import assert_gradients

RANDOM = np.random.default_rng(20).normal(size=(6, 3, 3))
# eta 0 of both signs, eta 1, isotropic, zero: where labels are not unique
SPECIAL = np.array([np.diag(d) for d in ((-1, -1, 2), (1, 1, -2), (-1, 0, 1), (5, 5, 5), (0, 0, 0))], dtype=float)
PAIRS = [
    (t.haeberlen_from_shielding, t.shielding_from_haeberlen),
    (t.iupac_from_shielding, t.shielding_from_iupac),
    (t.iupac_from_shift, t.shift_from_iupac),
    (t.maryland_from_shielding, t.shielding_from_maryland),
    (t.maryland_from_shift, t.shift_from_maryland),
]


def eigenvalues(tensor):
    return np.linalg.eigvalsh(np.asarray(t.symmetric_part(tensor)))


def test_parts_add_up_to_the_tensor(precision):
    tensor = RANDOM.astype(precision.dtype)
    whole = t.symmetric_part(tensor) + t.antisymmetric_part(tensor)
    assert whole.dtype == precision.dtype
    np.testing.assert_allclose(whole, tensor, rtol=precision.rtol)
    np.testing.assert_allclose(
        t.antisymmetric_from_vector(t.vector_from_antisymmetric(tensor)), t.antisymmetric_part(tensor), atol=1e-6
    )
    np.testing.assert_allclose(t.isotropic(tensor), np.trace(tensor, axis1=1, axis2=2) / 3, rtol=1e-5)


def test_the_antisymmetric_part_is_an_axial_vector():
    turn = np.asarray(rotation(20.0, 50.0, 110.0))
    turned = t.vector_from_antisymmetric(turn @ RANDOM @ turn.T)
    np.testing.assert_allclose(turned, t.vector_from_antisymmetric(RANDOM) @ turn.T, atol=1e-12)
    mirrored = t.vector_from_antisymmetric(-turn @ RANDOM @ -turn.T)
    np.testing.assert_allclose(mirrored, turned, atol=1e-12, err_msg="inversion does not turn it round")


def test_spherical_components_are_clebsch_gordan_products_of_vectors():
    u, v = RANDOM[0, 0], RANDOM[0, 1]
    plus, zero, minus = (
        lambda a: -(a[0] + 1j * a[1]) / sqrt(2),
        lambda a: a[2],
        lambda a: (a[0] - 1j * a[1]) / sqrt(2),
    )
    s = t.spherical_from_cartesian(np.outer(u, v))
    np.testing.assert_allclose(s.rank0, (plus(u) * minus(v) + minus(u) * plus(v) - zero(u) * zero(v)) / sqrt(3))
    cross = np.array(
        [
            (zero(u) * minus(v) - minus(u) * zero(v)) / sqrt(2),
            (plus(u) * minus(v) - minus(u) * plus(v)) / sqrt(2),
            (plus(u) * zero(v) - zero(u) * plus(v)) / sqrt(2),
        ]
    )
    np.testing.assert_allclose(s.rank1, -cross, atol=1e-14, err_msg="minus, as in the tables of the field")
    product = np.array(
        [
            minus(u) * minus(v),
            (zero(u) * minus(v) + minus(u) * zero(v)) / sqrt(2),
            (plus(u) * minus(v) + 2 * zero(u) * zero(v) + minus(u) * plus(v)) / sqrt(6),
            (plus(u) * zero(v) + zero(u) * plus(v)) / sqrt(2),
            plus(u) * plus(v),
        ]
    )
    np.testing.assert_allclose(s.rank2, product, atol=1e-14)


def test_spherical_components_of_a_principal_frame():
    s = t.spherical_from_cartesian(t.shielding_from_haeberlen(30.0, 80.0, 0.4))
    np.testing.assert_allclose(s.rank2, [-16.0, 0.0, sqrt(1.5) * 80.0, 0.0, -16.0], atol=1e-12)
    np.testing.assert_allclose(s.rank0, -sqrt(3.0) * 30.0)


def test_turning_about_z_multiplies_components_by_phases():
    turn = np.asarray(rotation(0.0, 0.0, 25.0))
    before, after = t.spherical_from_cartesian(RANDOM), t.spherical_from_cartesian(turn @ RANDOM @ turn.T)
    for old, new, rank in zip(before, after, range(3), strict=True):
        phase = np.exp(1j * np.deg2rad(25.0) * np.arange(-rank, rank + 1))
        np.testing.assert_allclose(new, np.asarray(old) * (phase if rank else 1.0), atol=1e-13)


def test_spherical_components_give_the_tensor_back(precision):
    tensor = RANDOM.astype(precision.dtype)
    back = t.cartesian_from_spherical(t.spherical_from_cartesian(tensor))
    assert back.dtype == precision.dtype
    np.testing.assert_allclose(back, tensor, atol=1e-6)


@pytest.mark.parametrize("order", t.ORDERS)
def test_principal_frames_are_right_handed_and_ordered(order):
    tensors = np.concatenate([RANDOM, SPECIAL])
    values, axes = (np.asarray(part) for part in t.principal_frame(tensors, order))
    np.testing.assert_allclose(np.linalg.det(axes), 1.0)
    rebuilt = axes @ (values[:, :, None] * axes.swapaxes(1, 2))
    np.testing.assert_allclose(rebuilt, t.symmetric_part(tensors), atol=1e-12)
    x, y, z = (np.abs(values - values.mean(axis=1, keepdims=True))[:, k] + 1e-12 for k in range(3))
    if order == "haeberlen":
        assert ((z >= x - 1e-9) & (x >= y - 2e-9)).all()
    elif order == "efg":
        assert ((z >= y - 1e-9) & (y >= x - 2e-9)).all()
    else:
        step = np.diff(values, axis=1)
        assert ((step if order == "ascending" else -step) >= -1e-12).all()


@pytest.mark.parametrize(("there", "back"), PAIRS, ids=lambda f: f.__name__)
def test_a_convention_gives_the_principal_values_back(there, back):
    tensors = np.concatenate([RANDOM, SPECIAL])
    parameters = there(tensors)
    rebuilt = back(*parameters)
    np.testing.assert_allclose(eigenvalues(rebuilt), eigenvalues(tensors), atol=1e-12)
    np.testing.assert_allclose(there(rebuilt), parameters, atol=1e-12)


@pytest.mark.parametrize(("there", "back"), PAIRS, ids=lambda f: f.__name__)
def test_a_convention_does_not_see_the_orientation(there, back):
    turn = np.asarray(rotation(20.0, 50.0, 110.0))
    np.testing.assert_allclose(there(turn @ RANDOM @ turn.T), there(RANDOM), atol=1e-12)


def test_conventions_of_a_worked_example():
    # shielding 20, 50, 140 ppm: iso 70, span 120, d22 = -50 with d_iso = -70: skew 3 * 20/120
    shielding = np.diag([140.0, 20.0, 50.0])
    haeberlen = t.haeberlen_from_shielding(shielding)
    np.testing.assert_allclose(haeberlen, (70.0, 70.0, 30.0 / 70.0))
    assert haeberlen.anisotropy == pytest.approx(140.0 - 35.0)
    np.testing.assert_allclose(t.iupac_from_shielding(shielding), (20.0, 50.0, 140.0))
    np.testing.assert_allclose(t.maryland_from_shielding(shielding), (70.0, 120.0, 0.5))
    shift = 100.0 * np.eye(3) - shielding
    np.testing.assert_allclose(t.iupac_from_shift(shift), (80.0, 50.0, -40.0))
    np.testing.assert_allclose(t.maryland_from_shift(shift), (30.0, 120.0, 0.5))
    np.testing.assert_allclose(t.haeberlen_from_shielding(shift), (30.0, -70.0, 30.0 / 70.0))
    sidebands = t.herzfeld_berger_from_maryland(120.0, 0.5, larmor_hz=79.5e6, mas_hz=3180.0)
    np.testing.assert_allclose(sidebands, (3.0, 0.5))
    # the definition of rho: (s11 + s33 - 2 s22)/(s33 - s11)
    assert sidebands.rho == pytest.approx((20.0 + 140.0 - 100.0) / 120.0)
    back = t.maryland_from_herzfeld_berger(*sidebands, larmor_hz=79.5e6, mas_hz=3180.0, iso_ppm=-70.0)
    np.testing.assert_allclose(back, (-70.0, 120.0, 0.5))


def test_the_sign_of_zeta_at_eta_one_is_positive_whatever_the_rounding():
    for step in (-1e-15, 0.0, 1e-15):
        found = t.haeberlen_from_shielding(np.diag([1.0, -1.0, step]))
        assert found.zeta == pytest.approx(1.0)
        assert found.eta == pytest.approx(1.0)


def test_quadrupolar_parameters_keep_the_sign():
    for cq in (3.1e6, -3.1e6):
        tensor = t.quadrupolar_from(cq, 0.35)
        assert np.trace(tensor) == pytest.approx(0.0, abs=1e-6)
        # eta = (Vxx - Vyy)/Vzz with |Vzz| >= |Vyy| >= |Vxx|
        xx, yy, zz = t.principal_frame(tensor, "efg").values
        assert (xx - yy) / zz == pytest.approx(0.35)
        np.testing.assert_allclose(t.quadrupolar_parameters(tensor), (cq, 0.35))


def test_parameters_to_tensors_can_be_traced_and_batched(precision):
    eta = jnp.linspace(0.0, 1.0, 5, dtype=precision.dtype)
    tensor = jax.jit(t.shielding_from_haeberlen)(precision.dtype(10.0), precision.dtype(50.0), eta)
    assert tensor.shape == (5, 3, 3) and tensor.dtype == precision.dtype
    np.testing.assert_allclose(t.haeberlen_from_shielding(tensor).eta, eta, atol=1e-5)


def test_gradients_of_reported_parameters_are_right_and_finite():
    weights = jnp.array([0.3, -1.2, 50.0])
    for there in (t.haeberlen_from_shielding, t.maryland_from_shift, t.iupac_from_shift):
        assert_gradients(lambda x, there=there: jnp.stack(there(x)) @ weights, jnp.asarray(RANDOM[1]))
        slopes = jax.vmap(jax.jacobian(lambda x, there=there: jnp.stack(there(x))))(jnp.asarray(SPECIAL))
        assert np.isfinite(slopes).all()
    assert_gradients(lambda p: jnp.sum(t.shielding_from_haeberlen(*p) ** 3), jnp.array([1.0, 2.0, 0.3]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t.shielding_from_haeberlen(0.0, 1.0, 1.01), "eta is 1.01"),
        (lambda: t.shielding_from_haeberlen(0.0, 1.0, -0.1), "eta is -0.1"),
        (lambda: t.shielding_from_haeberlen(0.0, np.nan, 0.1), "zeta"),
        (lambda: t.shift_from_maryland(0.0, -5.0, 0.1), "span is -5"),
        (lambda: t.shift_from_maryland(0.0, 5.0, 1.1), "skew is 1.1"),
        (lambda: t.shift_from_iupac(1.0, 2.0, 3.0), "d11 >= d22 >= d33"),
        (lambda: t.shielding_from_iupac(3.0, 2.0, 1.0), "s11 <= s22 <= s33"),
        (lambda: t.herzfeld_berger_from_maryland(100.0, 0.0, larmor_hz=1e8, mas_hz=0.0), "mas_hz is 0.0"),
        (lambda: t.quadrupolar_from(1e6, 2.0), "eta is 2"),
        (lambda: t.quadrupolar_parameters(np.eye(3)), "not traceless"),
        (lambda: t.quadrupolar_parameters(np.array([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]])), "not symmetric"),
        (lambda: t.principal_frame(np.eye(3), "mehring"), "mehring"),
        (lambda: t.principal_frame(np.full((3, 3), np.nan)), "not finite"),
    ],
)
def test_values_outside_their_convention_are_refused(call, message):
    with pytest.raises(ConventionError, match=message):
        call()


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 9), (6,)])
def test_arrays_that_are_no_tensors_are_refused(shape):
    with pytest.raises(ShapeError, match=r"\.\.\., 3, 3"):
        t.haeberlen_from_shielding(np.ones(shape))
    with pytest.raises(ShapeError, match=r"\.\.\., 3"):
        t.antisymmetric_from_vector(np.ones((2, 4)))


def test_the_dyads_are_an_orthonormal_basis_of_symmetric_tensors_without_trace():
    np.testing.assert_allclose(np.einsum("aij,bij->ab", t.TRACELESS_DYADS, t.TRACELESS_DYADS), np.eye(5), atol=1e-15)
    symmetric = np.asarray(t.symmetric_part(RANDOM))
    traceless = symmetric - np.asarray(t.isotropic(RANDOM))[:, None, None] * np.eye(3)
    parts = np.einsum("nij,aij->na", RANDOM, t.TRACELESS_DYADS)
    np.testing.assert_allclose(np.einsum("na,aij->nij", parts, t.TRACELESS_DYADS), traceless, atol=1e-6)
