"""Euler angles: conventions, equivalent sets, and spectra of an independent program from the angles found."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.nmr.euler import (
    CONVENTIONS,
    Euler,
    axes_from_euler,
    convert_euler,
    equivalent_euler,
    euler_from_axes,
    relative_euler,
    rotation,
)
from jaxnmr.nmr.tensors import (
    haeberlen_from_shielding,
    quadrupolar_from,
    quadrupolar_parameters,
    shielding_from_haeberlen,
)
from jaxnmr.testing import assert_gradients

ANGLES = [(33.0, 57.0, 71.0), (210.0, 93.0, 155.0), (0.5, 175.0, 300.0), (10.0, 0.0, 40.0), (10.0, 180.0, 40.0)]


def turned(tensor, axes):
    axes = np.asarray(axes)
    return axes @ np.asarray(tensor) @ axes.T


def test_the_rotation_is_the_product_of_three(precision):
    alpha, beta, gamma = (precision.dtype(a) for a in ANGLES[0])
    matrix = rotation(alpha, beta, gamma)
    assert matrix.dtype == precision.dtype
    # scipy's lower case: about fixed axes, in the order of the angles
    np.testing.assert_allclose(matrix, Rotation.from_euler("zyz", ANGLES[0], degrees=True).as_matrix(), atol=1e-6)


def test_rotations_broadcast_and_can_be_differentiated():
    assert rotation(np.zeros(4), 10.0, np.zeros((2, 1))).shape == (2, 4, 3, 3)
    weights = jnp.arange(9.0).reshape(3, 3)
    assert_gradients(lambda a: jnp.sum(weights * rotation(*a)), jnp.array(ANGLES[0]))


def test_rose_is_about_moving_axes_and_passive_is_the_transpose():
    # scipy's upper case: about moving axes
    intrinsic = Rotation.from_euler("ZYZ", ANGLES[0], degrees=True).as_matrix()
    np.testing.assert_allclose(axes_from_euler(*ANGLES[0], convention="rose"), intrinsic, atol=1e-14)
    np.testing.assert_allclose(axes_from_euler(*ANGLES[0], convention="rose-p"), intrinsic.T, atol=1e-14)
    np.testing.assert_allclose(axes_from_euler(*ANGLES[0], convention="mrsimulator-p"), rotation(*ANGLES[0]).T)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("angles", ANGLES)
def test_angles_of_axes_give_the_axes_back(convention, angles):
    axes = np.asarray(axes_from_euler(*angles, convention=convention))
    found = euler_from_axes(axes, convention=convention)
    np.testing.assert_allclose(axes_from_euler(*found, convention=convention), axes, atol=1e-12)
    assert 0 <= found.beta_deg <= 180 and 0 <= found.alpha_deg < 360 and 0 <= found.gamma_deg < 360
    for other in CONVENTIONS:
        moved = convert_euler(found, source=convention, target=other)
        np.testing.assert_allclose(axes_from_euler(*moved, convention=other), axes, atol=1e-12)


def test_conversion_between_active_conventions_swaps_alpha_and_gamma():
    np.testing.assert_allclose(convert_euler((10, 20, 30), source="mrsimulator", target="rose"), (30, 20, 10))
    np.testing.assert_allclose(
        convert_euler((10, 20, 30), source="mrsimulator", target="mrsimulator-p"), (150, 20, 170)
    )


def test_sixteen_sets_describe_one_pair_of_tensors():
    sets = equivalent_euler(33.0, 57.0, 71.0)
    assert len({tuple(np.round(s, 6)) for s in sets}) == 16
    inner, outer = np.diag([1.0, 2.0, 4.0]), np.diag([-1.0, -2.0, 3.0])
    first = turned(inner, rotation(33.0, 57.0, 71.0))
    for angles in sets:
        # two pairs of symmetric tensors are the same, but for the common frame, if their mixed traces are
        other = turned(inner, rotation(*angles))
        for left, right in ((outer, 1), (outer @ outer, 1), (outer, 2), (outer @ outer, 2)):
            power = lambda m, n: m if n == 1 else m @ m
            there, here = np.trace(left @ power(other, right)), np.trace(left @ power(first, right))
            assert there == pytest.approx(here, abs=1e-12)


def test_the_canonical_set_is_the_same_for_all_equivalent_ones():
    inner, outer = shielding_from_haeberlen(5.0, 40.0, 0.3), quadrupolar_from(3e6, 0.6)
    for start in [(33.0, 57.0, 71.0), (0.0, 90.0, 45.0), (120.0, 90.0, 90.0), (77.0, 0.0, 0.0), (200.0, 40.0, 0.0)]:
        found = [relative_euler(turned(inner, rotation(*s)), outer) for s in equivalent_euler(*start)]
        np.testing.assert_allclose(found, np.tile(found[0], (16, 1)), atol=1e-6)
        alpha, beta, gamma = found[0]
        assert 0 <= alpha < 180 and 0 <= beta <= 90 + 1e-6 and 0 <= gamma <= 90 + 1e-6


def test_the_relative_orientation_does_not_depend_on_the_common_frame():
    inner = turned(shielding_from_haeberlen(5.0, -40.0, 0.3), rotation(33.0, 57.0, 71.0))
    outer = np.asarray(quadrupolar_from(-3e6, 0.6))
    here = relative_euler(inner, outer)
    everywhere = rotation(100.0, 20.0, 250.0)
    np.testing.assert_allclose(relative_euler(turned(inner, everywhere), turned(outer, everywhere)), here, atol=1e-9)


def test_degenerate_pairs_have_angles_too():
    axial, general = np.diag([1.0, 1.0, 4.0]), np.diag([1.0, 2.0, 4.0])
    tilt = rotation(25.0, 40.0, 65.0)
    zero = Euler(0.0, 0.0, 0.0)
    assert relative_euler(np.eye(3), general) == zero
    assert relative_euler(general, np.zeros((3, 3))) == zero
    np.testing.assert_allclose(relative_euler(general, general), zero, atol=1e-6)
    np.testing.assert_allclose(relative_euler(axial, axial), zero, atol=1e-6)
    np.testing.assert_allclose(relative_euler(turned(axial, tilt), axial), (0.0, 40.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(relative_euler(turned(axial, tilt), general), (0.0, 40.0, 65.0), atol=1e-6)
    np.testing.assert_allclose(relative_euler(turned(general, tilt), axial), (25.0, 40.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(relative_euler(turned(axial, rotation(0.0, 0.0, 30.0)), general), zero, atol=1e-6)


def test_bad_axes_tensors_and_conventions_are_refused():
    with pytest.raises(ConventionError, match="right-handed"):
        euler_from_axes(-np.eye(3))
    with pytest.raises(ConventionError, match="orthonormal"):
        euler_from_axes(2 * np.eye(3))
    with pytest.raises(ConventionError, match="arfken"):
        axes_from_euler(0, 0, 0, convention="arfken")
    with pytest.raises(ShapeError, match=r"\(2, 3, 3\)"):
        relative_euler(np.ones((2, 3, 3)), np.eye(3))
    with pytest.raises(ConventionError, match="not finite"):
        relative_euler(np.full((3, 3), np.nan), np.eye(3))


@pytest.fixture(scope="module")
def simulate():
    """Central-transition spectra of a static powder by mrsimulator, shielding and quadrupolar interaction."""
    with warnings.catch_warnings():
        # mrsimulator and what it imports use deprecated Python
        warnings.simplefilter("ignore")
        pytest.importorskip("mrsimulator")
        from mrsimulator import Simulator, Site, SpinSystem
        from mrsimulator.method.lib import BlochDecayCTSpectrum

    def spectrum(shielding, quadrupolar):
        (zeta, eta, angles), (cq, eta_q, angles_q) = shielding, quadrupolar
        radians = lambda angles: dict(zip(("alpha", "beta", "gamma"), map(float, np.deg2rad(angles)), strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            site = Site(
                isotope="27Al",
                shielding_symmetric={"zeta": float(zeta), "eta": float(eta), **radians(angles)},
                quadrupolar={"Cq": float(cq), "eta": float(eta_q), **radians(angles_q)},
            )
            method = BlochDecayCTSpectrum(
                channels=["27Al"],
                magnetic_flux_density=9.4,
                rotor_frequency=0,
                spectral_dimensions=[{"count": 256, "spectral_width": 6e4}],
            )
            run = Simulator(spin_systems=[SpinSystem(sites=[site])], methods=[method])
            run.config.integration_volume = "hemisphere"
            run.config.integration_density = 30
            run.run()
        values = run.methods[0].simulation.y[0].components[0].real
        return values / values.sum()

    return spectrum


def difference(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.mark.parametrize("seed", range(6))
def test_angles_found_from_cartesian_tensors_give_the_spectrum_of_mrsimulator(simulate, seed):
    random = np.random.default_rng(seed)
    zeta, cq = random.uniform(30, 90) * random.choice([-1, 1]), random.uniform(2e6, 4e6) * random.choice([-1, 1])
    eta, eta_q = random.uniform(0.05, 0.95, size=2)
    angles = random.uniform((0, 0, 0), (360, 180, 360))
    start = simulate((zeta, eta, angles), (cq, eta_q, (0, 0, 0)))
    anywhere = rotation(*random.uniform(0, 180, size=3))
    shielding = turned(turned(shielding_from_haeberlen(0.0, zeta, eta), rotation(*angles)), anywhere)
    quadrupolar = turned(quadrupolar_from(cq, eta_q), anywhere)
    h, q = haeberlen_from_shielding(shielding), quadrupolar_parameters(quadrupolar)
    found = simulate((h.zeta, h.eta, relative_euler(shielding, quadrupolar)), (q.cq_hz, q.eta, (0, 0, 0)))
    assert difference(start, found) < 1e-6
    # the test can fail: the other order of angles gives another spectrum
    rose = relative_euler(shielding, quadrupolar, convention="rose")
    assert difference(start, simulate((h.zeta, h.eta, rose), (q.cq_hz, q.eta, (0, 0, 0)))) > 1e-2


def test_x_and_y_of_the_principal_frames_are_those_of_mrsimulator(simulate):
    # at eta = 1 a tensor has two descriptions: signs and the axes x and z exchanged, y kept
    angles, exchange = (33.0, 57.0, 71.0), np.asarray(rotation(0.0, 90.0, 0.0))
    other = euler_from_axes(np.asarray(rotation(*angles)) @ exchange)
    np.testing.assert_allclose(
        turned(shielding_from_haeberlen(0.0, 80.0, 1.0), rotation(*angles)),
        turned(shielding_from_haeberlen(0.0, -80.0, 1.0), rotation(*other)),
        atol=1e-12,
    )
    q = (3e6, 0.6, (0, 0, 0))
    assert difference(simulate((80.0, 1.0, angles), q), simulate((-80.0, 1.0, other), q)) < 1e-6
    s = (80.0, 0.4, (0, 0, 0))
    assert difference(simulate(s, (3e6, 1.0, angles)), simulate(s, (-3e6, 1.0, other))) < 1e-6
