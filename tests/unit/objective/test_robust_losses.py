"""Robust losses: their sizes, derivatives and efficiency, outliers that do no harm, and honest uncertainties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._struct import set_fields, static
from jaxnmr.errors import ParameterError
from jaxnmr.objective import Loss
from jaxnmr.objective.losses import SCALES
from jaxnmr.objective.objective import residuals
from jaxnmr.typing import Quantity

KINDS = tuple(SCALES)
X = np.linspace(-1.0, 1.0, 21)
DESIGN = np.stack([np.ones_like(X), X, X**2 - 0.4], axis=1)
TRUTH = np.array([3.0, -1.0, 2.0])

# the losses as they are defined, of z = r/c
DEFINED = {
    "huber": lambda z: np.where(abs(z) <= 1, z * z, 2 * abs(z) - 1),
    "soft_l1": lambda z: 2 * (np.sqrt(1 + z * z) - 1),
    "cauchy": lambda z: np.log1p(z * z),
    "geman_mcclure": lambda z: z * z / (1 + z * z),
}


class Parabola(jn.Term):
    """Measured points of a parabola; their uncertainty is 0.1."""

    data: jax.Array
    name: str = static()

    def __init__(self, data, name="points"):
        set_fields(self, data=np.asarray(data, dtype=float), name=name)

    def quantities(self, crystals):
        return {"c": Quantity(value=np.zeros(3), labels=("0", "1", "2"))}

    def residuals(self, state):
        return (DESIGN @ state.local(self.name)["c"] - self.data) / 0.1


def fitted(data, loss=None):
    term = Parabola(data)
    objective = jn.Objective(term if loss is None else term.robust(loss))
    return jn.refine(
        objective, objective.parameters().free("*"), suggest=False, solver=jn.LevenbergMarquardt(tolerance=1e-4)
    )


def coefficients(fit):
    return np.asarray(fit.parameters["points/c"])


@pytest.mark.parametrize("kind", KINDS)
def test_squares_are_the_loss_and_derivatives_are_finite_at_zero(kind):
    loss = Loss.create(kind, 1.7)
    r = np.array([-40.0, -3.0, -1.0, -1e-3, -1e-9, 0.0, 1e-200, 0.02, 1.6999, 1.7, 5.0])
    values, slopes = map(np.asarray, loss.residuals_and_slopes(jnp.asarray(r)))
    # below, the definitions lose their digits
    large = abs(r) > 1e-2
    np.testing.assert_allclose(values[large] ** 2, 1.7**2 * DEFINED[kind](r[large] / 1.7), rtol=1e-11)
    np.testing.assert_allclose(values[~large], r[~large], rtol=1e-6)
    np.testing.assert_allclose(slopes[abs(r) < 1e-8], 1.0, rtol=1e-12)
    h = 1e-6
    central = (np.asarray(loss.residuals(r + h)) - np.asarray(loss.residuals(r - h))) / (2 * h)
    np.testing.assert_allclose(slopes, central, rtol=2e-5, atol=1e-8)
    np.testing.assert_allclose(loss.undone(values), r, rtol=1e-9, atol=1e-150)
    np.testing.assert_allclose(loss.influence(r), values * slopes, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_scale_keeps_95_percent_of_the_efficiency(kind):
    loss = Loss.create(kind)
    r = np.linspace(-9.0, 9.0, 360001)
    density = np.exp(-0.5 * r * r) / np.sqrt(2 * np.pi) * (r[1] - r[0])
    psi = loss.influence(r)
    slope = density @ (psi * r)  # by parts: E psi' = E psi r for normal r
    square = density @ psi**2
    assert slope**2 / square == pytest.approx(0.95, abs=1e-5)
    assert loss.normal_moments() == pytest.approx((slope, square), rel=1e-6)


def test_the_jacobian_is_that_of_forward_mode_and_weights_stand_outside():
    data = DESIGN @ TRUTH + np.random.default_rng(0).normal(0, 0.1, X.size)
    terms = 2.0 * Parabola(data).robust("cauchy") + Parabola(data, "other") + Parabola(data, "third").robust("huber")
    objective = jn.Objective(terms)
    params = objective.parameters().set("points/c", [3.1, -1.0, 1.5]).set("third/c", [3.0, -1.2, 2.0]).free("*")
    spec = params.spec
    at = lambda theta: residuals(spec.layout, objective, params.offset(), spec.transform, theta)
    plain = jax.jacfwd(at)(jnp.asarray(params.theta)) / spec.scale[spec.free_pivots]
    np.testing.assert_allclose(objective.jacobian(params), plain, atol=1e-12)
    r = (DESIGN @ np.array([3.1, -1.0, 1.5]) - data) / 0.1
    c = SCALES["cauchy"]
    first = np.asarray(objective.residuals(params))[: X.size]
    np.testing.assert_allclose(first @ first, 2.0 * np.sum(c * c * np.log1p((r / c) ** 2)))
    assert (objective + Parabola(data, "fourth").robust()).losses[0] == Loss.create("cauchy")


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_that_is_ten_sigma_off_no_longer_moves_the_answer(kind):
    data = DESIGN @ TRUTH + np.random.default_rng(1).normal(0, 0.1, X.size)
    wrong = data.copy()
    wrong[4] += 1.0
    clean, pulled, robust = fitted(data), fitted(wrong), fitted(wrong, kind)
    esd = np.asarray(clean.esds["points/c"])
    moved = np.abs(coefficients(pulled) - coefficients(clean)) / esd
    left = np.abs(coefficients(robust) - coefficients(clean)) / esd
    assert moved.max() > 2.0
    # a convex loss still feels the sign of an outlier, the others forget it
    assert left.max() < (0.7 if kind in ("huber", "soft_l1") else 0.4)
    of = robust.statistics["points"]
    assert of.discounted == 1 and of.chi2 > 80.0
    assert "robust: 1 of them count less than half" in str(robust)


def test_esds_cover_the_truth_with_and_without_outliers():
    rng = np.random.default_rng(2)
    for share, ratio in ((0.0, (0.87, 1.13)), (0.1, (0.84, 1.16))):
        found = []
        for _ in range(40):
            noise = rng.normal(0, 0.1, X.size)
            noise[rng.random(X.size) < share] *= 10.0
            fit = fitted(DESIGN @ TRUTH + noise, "soft_l1")
            found.append((coefficients(fit) - TRUTH) / np.asarray(fit.esds["points/c"]))
        # 120 numbers: their root mean square is known to 6.5 %
        rms = np.sqrt(np.mean(np.square(found)))
        assert ratio[0] < rms < ratio[1]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="no robust loss 'tukey'; expected one of huber"):
        Parabola(X).robust("tukey")
    with pytest.raises(ParameterError, match="scale of a robust loss is 0"):
        Parabola(X).robust("huber", scale=0)
