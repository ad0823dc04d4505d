"""Kernels follow the precision of their input: the same physics in single and in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import voigt_profile

import jaxnmr as jn
from jaxnmr.crystal import cell as cells
from jaxnmr.diffraction import axial, corrections, profiles, widths
from jaxnmr.diffraction.structure_factors import StructureFactors
from jaxnmr.errors import PrecisionError

X = np.linspace(20.0, 80.0, 801)
INSTRUMENT = jn.Instrument(wavelengths=(1.540593, 1.544427), shl=0.02)


@pytest.fixture
def quartz():
    return jn.Crystal.create(
        cell=[4.916, 4.916, 5.4054, 90, 90, 120],
        spacegroup="P 32 2 1",
        species=["Si", "O"],
        labels=["Si1", "O1"],
        xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
        u_iso=[0.007, 0.0135],
        name="quartz",
    )


def at(precision, tree):
    """Arrays of a pytree in the test's precision."""
    real = lambda a: isinstance(a, np.ndarray | np.floating) and np.issubdtype(np.asarray(a).dtype, np.floating)
    return jax.tree.map(lambda a: jnp.asarray(a, precision.dtype) if real(a) else a, tree)


def test_a_peak_has_unit_area(precision):
    fwhm, eta, end = 0.1, 0.3, 4.0
    x = jnp.asarray(np.linspace(-end, end, 8001), precision.dtype)
    y = profiles.pseudo_voigt(x, precision.dtype(fwhm), precision.dtype(eta))
    assert y.dtype == precision.dtype
    lorentzian_tails = eta * (1.0 - 2.0 / np.pi * np.arctan(2.0 * end / fwhm))
    assert np.sum(np.asarray(y, np.float64)) * 1e-3 == pytest.approx(1.0 - lorentzian_tails, rel=1e-5)


def test_cell_volume_and_bond_lengths_do_not_depend_on_precision(precision, quartz):
    pairs = jn.crystal.plan_bonds(quartz).distinct()
    expected = jn.crystal.distances(quartz, pairs)
    crystal = at(precision, quartz)
    found = jn.crystal.distances(crystal, pairs)
    assert found.dtype == precision.dtype and cells.volume(crystal.cell).dtype == precision.dtype
    np.testing.assert_allclose(found, expected, rtol=precision.rtol)
    np.testing.assert_allclose(cells.volume(crystal.cell), cells.volume(quartz.cell), rtol=precision.rtol)


def voigt_fwhm(sigma, fwhm):
    """Width of the exact Voigt function, by bisection."""
    half = 0.5 * voigt_profile(0.0, sigma, 0.5 * fwhm)
    return 2.0 * brentq(lambda x: voigt_profile(x, sigma, 0.5 * fwhm) - half, 0.0, 10.0 * (sigma + fwhm))


def test_peak_widths_are_those_of_a_voigt_function(precision):
    two_theta = jnp.asarray([15.0, 60.0, 110.0], precision.dtype)
    variance, gamma = widths.caglioti_variance(two_theta, 2.0, -2.0, 5.0), widths.lorentzian_width(two_theta, 1, 2, 0.5)
    fwhm, eta = widths.thompson_cox_hastings(variance, gamma)
    assert fwhm.dtype == eta.dtype == precision.dtype
    exact = [voigt_fwhm(*pair) / 100.0 for pair in zip(np.sqrt(variance), gamma, strict=True)]
    np.testing.assert_allclose(fwhm, exact, rtol=5e-3)  # the fifth-power formula is off by up to 0.42 %
    assert ((eta > 0) & (eta < 1)).all()


def test_shares_of_axial_nodes_add_up_to_one(precision):
    two_theta = jnp.asarray([12.0, 45.0, 88.0, 130.0], precision.dtype)
    position, share = axial.axial_nodes(two_theta, precision.dtype(0.03), *axial.quadrature(12), gsas=False)
    assert np.isfinite(position).all()
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-5)
    # low angles reach down, high angles up
    assert (position[0] <= 12.0 + 1e-5).all() and (position[3] >= 130.0 - 1e-4).all()


def test_structure_factors_do_not_depend_on_precision(precision, quartz):
    hkl = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [2, 1, 3]])
    plan = StructureFactors.plan(quartz, hkl, "xray", 1.5406)
    d_star_sq = np.einsum("ni,ij,nj->n", hkl, cells.reciprocal_metric(np.asarray(quartz.cell)), hkl)
    found = at(precision, plan).squared(at(precision, quartz), jnp.asarray(d_star_sq, precision.dtype))
    with jax.enable_x64(True):
        expected = np.asarray(plan.squared(quartz, d_star_sq))
    assert found.dtype == precision.dtype
    np.testing.assert_allclose(found, expected, rtol=precision.rtol)


def test_intensity_corrections_do_not_depend_on_precision(precision):
    two_theta = jnp.asarray([20.0, 70.0, 140.0], precision.dtype)
    theta = np.deg2rad([10.0, 35.0, 70.0])
    lorentz = corrections.lorentz_factor(two_theta)
    assert lorentz.dtype == precision.dtype
    np.testing.assert_allclose(lorentz, 0.5 / (np.sin(theta) ** 2 * np.cos(theta)), rtol=precision.rtol)
    polarization = corrections.polarization_factor(two_theta, 0.5)
    np.testing.assert_allclose(polarization, 0.5 * (1 + np.cos(2 * theta) ** 2), rtol=precision.rtol)


def test_a_refinement_in_single_precision_is_refused(quartz):
    with jax.enable_x64(False):
        pattern = jn.Pattern.create(X, np.full(X.size, 100.0), instrument=INSTRUMENT)
        objective = jn.Objective(jn.PatternTerm(jn.PowderDiffraction(), pattern), crystal=quartz)
        with pytest.raises(PrecisionError, match="enable_x64"):
            jn.refine(objective, objective.parameters().free("xrd/scale"))
