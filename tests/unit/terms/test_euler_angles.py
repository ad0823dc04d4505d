"""Euler angles of a refinement: where spectra have no slope by them, starts off these points, and angles in their range."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.nmr import rotation
from jaxnmr.terms.site_parameters import described, flat_angles, tensors_at, usual_angles

STATIC = jn.SpectrumStatic("87Rb", b0_tesla=9.4, integration_density=32)
RB = jn.Site(
    isotope="87Rb", shift_ppm=-30.0, zeta_ppm=110.0, eta=0.35, cq_hz=2.8e6, eta_q=0.55, gaussian_hz=1500.0, label="Rb"
)


@pytest.fixture(scope="module")
def slopes():
    """Lengths of the derivative of a spectrum by the three angles."""
    template, frames, values = described(RB)
    plan = STATIC.plan(RB.replace(euler_deg=(20.0, 40.0, 30.0)), points=96, width_hz=60e3, centre_ppm=-30.0)
    spectrum = lambda euler: plan.spectrum(tensors_at(values | {"euler": euler[None]}, template, frames))
    derivative = jax.jit(jax.jacfwd(spectrum))
    return lambda angles: np.linalg.norm(derivative(jnp.asarray(angles, dtype=float)), axis=0)


def test_angles_count_as_flat_exactly_where_a_spectrum_has_no_slope_by_them(slopes):
    usual = slopes((20.0, 40.0, 30.0))
    for angles in itertools.product((0.0, 35.0, -90.0), (0.0, 40.0, 90.0, 180.0), (0.0, 90.0, 145.0)):
        flat = slopes(angles) < 1e-6 * usual.max()
        np.testing.assert_array_equal(flat_angles(np.array([angles]), 0.01)[0], flat, err_msg=str(angles))


def test_freeing_an_angle_moves_it_and_setting_it_takes_the_note_back():
    data = STATIC.simulate(RB, points=96, width_hz=60e3, centre_ppm=-30.0)
    params = jn.Objective(jn.SpectrumTerm(STATIC, data, RB, name="r", sigma=1e-3)).parameters()
    freed = params.free("r/euler[Rb.beta]", "r/zeta")
    np.testing.assert_array_equal(freed["r/euler"], [[0.0, 10.0, 0.0]])
    assert list(freed.spec.notes) == ["r/euler[Rb.beta]"]
    assert "started at 10 instead of 0" in freed.spec.notes["r/euler[Rb.beta]"]
    again = freed.set("r/euler[Rb.beta]", 25.0).free("r/euler[Rb.beta]")
    assert (float(again["r/euler[Rb.beta]"]), again.spec.notes) == (25.0, {})


@pytest.mark.parametrize("angles", [(10.0, -40.0, 5.0), (400.0, 250.0, -500.0), (-170.0, 359.0, 20.0)])
@pytest.mark.parametrize("moved", [(True, True, True), (False, True, False), (True, True, False)])
def test_angles_in_their_range_orient_a_pair_of_tensors_alike(angles, moved):
    found = usual_angles(np.array(angles), np.array(moved), np.eye(3), coupled=False)
    assert 0.0 <= found[1] <= 180.0
    assert all(-180.0 <= found[k] < 360.0 or not moved[k] for k in (0, 2))
    tensor = lambda euler: (r := np.asarray(rotation(*euler))) @ np.diag([1.0, 2.0, -3.0]) @ r.T
    # the other tensor, along the axes, does not tell half a turn about z
    half = np.diag([-1.0, -1.0, 1.0])
    expected = tensor(angles)
    assert min(np.abs(tensor(found) - t).max() for t in (expected, half @ expected @ half)) < 1e-12


def test_angles_within_a_turn_and_fixed_ones_stay_as_they_are():
    stay = lambda angles, moved=(True,) * 3: usual_angles(np.array(angles), np.array(moved), np.eye(3), coupled=False)
    np.testing.assert_array_equal(stay((-12.0, 170.0, 350.0)), (-12.0, 170.0, 350.0))
    np.testing.assert_array_equal(stay((700.0, -40.0, 0.0), (False,) * 3), (700.0, -40.0, 0.0))


def test_with_a_coupling_no_half_turn_of_the_frame_is_made():
    found = usual_angles(np.array([0.0, -40.0, 0.0]), np.array([False, True, False]), np.eye(3), coupled=True)
    np.testing.assert_array_equal(found, (0.0, 320.0, 0.0))


@pytest.fixture(scope="module")
def fit():
    """Tensors 40 degrees apart, refined from a start that has them aligned."""
    turned = RB.replace(euler_deg=(0.0, 40.0, 0.0))
    clean = STATIC.simulate(turned, points=96, width_hz=60e3, centre_ppm=-30.0)
    noise = 0.005 * float(np.asarray(clean.values).max())
    values = np.asarray(clean.values) + noise * np.random.default_rng(0).normal(size=96)
    term = jn.SpectrumTerm(STATIC, clean.replace(values=values), RB, name="r", sigma=noise)
    objective = jn.Objective(term)
    params = objective.parameters().free("r/amplitude", "r/euler[Rb.beta]")
    return jn.refine(objective, params, suggest=False)


def test_a_fit_that_starts_with_aligned_tensors_finds_the_angle_between_them(fit):
    beta, esd = float(fit.parameters["r/euler[Rb.beta]"]), float(fit.esds["r/euler"][0, 1])
    assert fit.converged
    assert abs(beta - 40.0) < 4.0 * esd < 4.0
    assert any("started at 10 instead of 0" in sentence for sentence in fit.warnings)


def test_an_angle_set_back_to_a_point_of_symmetry_is_named_as_undetermined(fit):
    params = fit.parameters.set("r/euler[Rb.beta]", 180.0)
    stuck = jn.refine(fit.objective, params, suggest=False, throw=False)
    assert float(stuck.parameters["r/euler[Rb.beta]"]) == 180.0
    assert any("r/euler[Rb.beta]" in sentence and "point of symmetry" in sentence for sentence in stuck.null_directions)
