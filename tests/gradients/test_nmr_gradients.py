"""Derivatives of spectra: forward = reverse = central differences, finite everywhere, close to those of the true spectrum."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.nmr import (
    GaussianBandwidth,
    Site,
    Sites,
    SpectrumMAS,
    SpectrumStatic,
    quadrupolar_from,
    rotation,
    shielding_from_haeberlen,
)
from jaxnmr.nmr.powder.simulation import MOVES, RESHAPES, SCALES

LARMOR = 100e6
FAST = float("inf")
AXIS = {"points": 256, "width_hz": 30e3, "centre_ppm": 0.0}
# shift, zeta, eta, three angles, C_Q in MHz, eta_Q, amplitude, widths in Hz
START = np.array([3.0, 55.0, 0.4, 40.0, 65.0, 110.0, 2.5, 0.3, 1.3, 400.0, 150.0])
NAMES = "shift zeta eta alpha beta gamma C_Q eta_Q amplitude gaussian lorentzian".split()


def sites_of(nucleus, p):
    """Traceable: tensors from the parameters people use."""
    shift, zeta, eta, alpha, beta, gamma, cq, eta_q, amplitude, gaussian, lorentzian = p
    matrix = rotation(alpha, beta, gamma)
    fields = {
        "shift_ppm": shift,
        "shielding_ppm": matrix @ shielding_from_haeberlen(0.0, zeta, eta) @ matrix.T,
        "amplitude": amplitude,
        "gaussian_hz": gaussian,
        "lorentzian_hz": lorentzian,
    }
    if nucleus == "27Al":
        fields["quadrupolar_hz"] = quadrupolar_from(1e6 * cq, eta_q)
    sites = jax.tree.map(jnp.asarray, Sites.create(nucleus, [0.0]))
    return sites.replace(**{k: jnp.asarray(v)[None] for k, v in fields.items()})


def host(sites):
    return jax.tree.map(np.asarray, sites)


EXPERIMENTS = {
    "static": SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=12),
    "spinning": SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=7e3, integration_density=12),
    "evenly excited not": SpectrumMAS(
        "27Al", larmor_hz=LARMOR, mas_hz=FAST, integration_density=12, excitation=GaussianBandwidth(20e3)
    ),
    "sharp sidebands": SpectrumMAS("13C", larmor_hz=LARMOR, mas_hz=1500.0, integration_density=12),
}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_both_modes_and_central_differences_agree(kind):
    experiment = EXPERIMENTS[kind]
    nucleus = experiment.isotope
    plan = experiment.plan(host(sites_of(nucleus, START)), **AXIS)

    def function(p):
        return plan.with_mas(plan.experiment.mas_hz * p[-1]).spectrum(sites_of(nucleus, p[:-1]))

    start = np.append(START, 1.0)
    forward = np.asarray(jax.jit(jax.jacfwd(function))(start))
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(2, forward.shape[0]))
    _, pull = jax.vjp(jax.jit(function), jnp.asarray(start))
    for w in weights:
        reverse = np.asarray(pull(jnp.asarray(w))[0])
        np.testing.assert_allclose(reverse, w @ forward, rtol=1e-8, atol=1e-9 * np.abs(w @ forward).max())
    compiled = jax.jit(function)
    for k, name in enumerate([*NAMES, "spinning speed"]):
        column, best = forward[:, k], np.inf
        for h in (1e-4, 1e-5, 1e-6):
            step = np.zeros_like(start)
            step[k] = h * max(abs(start[k]), 1.0)
            central = np.asarray(compiled(start + step) - compiled(start - step)) / (2 * step[k])
            best = min(best, np.abs(central - column).max())
        # corners of triangles that change their order have a kink, seen by differences only
        assert best <= 2e-5 * max(np.abs(column).max(), 1e-9), (name, best, np.abs(column).max())


SPECIAL = {
    "axial shielding": {2: 0.0},
    "shielding of asymmetry 1": {2: 1.0},
    "no shielding anisotropy": {1: 0.0},
    "no quadrupolar coupling": {6: 0.0},
    "both axial and parallel": {2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0, 7: 0.0},
    "quadrupolar asymmetry 1": {7: 1.0},
    "nothing anisotropic": {1: 0.0, 6: 0.0},
}


@pytest.mark.parametrize(
    ("kind", "octant", "broadened"),
    [
        ("static", True, True),
        ("static", False, False),
        ("spinning", False, True),
        ("sharp sidebands", True, False),
    ],
)
def test_derivatives_are_finite_at_every_special_tensor(kind, octant, broadened):
    experiment = EXPERIMENTS[kind]
    nucleus = experiment.isotope
    general = START.copy()
    if octant:
        general[[3, 4, 5]] = 0.0
    plan = experiment.plan(host(sites_of(nucleus, general)), broadened=broadened, **AXIS)
    assert plan.groups[0].aligned == octant

    @jax.jit
    def both(p):
        function = lambda p: plan.spectrum(sites_of(nucleus, p))
        gradient = jax.grad(lambda p: jnp.sum(jnp.arange(256.0) * function(p) ** 2))(p)
        return jax.jacfwd(function)(p), gradient

    for name, changes in SPECIAL.items():
        p = general.copy()
        for k, value in changes.items():
            p[k] = value
        for part in both(p):
            assert np.isfinite(np.asarray(part)).all(), name


def test_derivatives_by_cartesian_components_are_finite_at_the_isotropic_tensor_in_an_octant():
    plan = SpectrumStatic("13C", larmor_hz=LARMOR, integration_density=12).plan(
        Site(isotope="13C", gaussian_hz=200.0), **AXIS
    )
    assert plan.groups[0].aligned
    site = Sites.of(Site(isotope="13C", gaussian_hz=200.0))
    jacobian = jax.jit(jax.jacfwd(lambda t: plan.spectrum(site.replace(shielding_ppm=t[None]))))(np.zeros((3, 3)))
    assert np.isfinite(np.asarray(jacobian)).all()


def smoothed_columns(jacobian, fwhm=4.0):
    kernel = np.exp(-4 * np.log(2) * (np.arange(-40, 41) / fwhm) ** 2)
    return np.stack([np.convolve(c, kernel / kernel.sum(), mode="same") for c in jacobian.T], axis=1)


@pytest.mark.parametrize(("mas_hz", "density", "allowed"), [(0.0, "auto", 5e-2), (FAST, 200, 2e-2)])
def test_the_jacobian_is_that_of_the_true_spectrum(mas_hz, density, allowed):
    """Central differences of a spectrum with many more orientations, smoothed over four points."""
    if mas_hz == 0.0:
        nucleus, columns = "13C", (1, 2)
        make = lambda n: SpectrumStatic("13C", larmor_hz=LARMOR, integration_density=n)
    else:
        nucleus, columns = "27Al", (6, 7)
        make = lambda n: SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=FAST, integration_density=n)
    start = START.copy()
    start[[3, 4, 5]] = 0.0
    if nucleus == "27Al":
        start[1] = 0.0
    axis = {"points": 512, "width_hz": 16e3 if nucleus == "13C" else 8e3, "centre_ppm": 0.0, "broadened": False}
    coarse, fine = (make(n).plan(host(sites_of(nucleus, start)), **axis) for n in (density, 400))
    function = lambda plan, p: plan.spectrum(sites_of(nucleus, p))
    ours = np.asarray(jax.jit(jax.jacfwd(function, argnums=1))(coarse, start))[:, columns]
    compiled, truth = jax.jit(function), []
    for k in columns:
        step = np.zeros_like(start)
        step[k] = 1e-5 * start[k]
        truth.append(np.asarray(compiled(fine, start + step) - compiled(fine, start - step)) / (2 * step[k]))
    ours, truth = smoothed_columns(ours), smoothed_columns(np.stack(truth, axis=1))
    assert (np.linalg.norm(ours - truth, axis=0) < allowed * np.linalg.norm(truth, axis=0)).all()


# ---------------------------------------------------------------- the structured Jacobian

SILICON = [
    Site(isotope="29Si", shift_ppm=-90.0, zeta_ppm=30.0, eta=0.2, gaussian_hz=60.0, lorentzian_hz=30.0),
    Site(
        isotope="29Si", shift_ppm=-102.0, zeta_ppm=-45.0, eta=0.9, gaussian_hz=80.0, lorentzian_hz=10.0, amplitude=0.4
    ),
    Site(isotope="29Si", shift_ppm=-110.0, gaussian_hz=50.0, lorentzian_hz=20.0, amplitude=2.0),
]


@pytest.mark.parametrize("widths", [True, False], ids=["broadened", "sharp"])
def test_the_structured_jacobian_is_jacfwd(widths):
    records = SILICON if widths else [s.replace(gaussian_hz=0.0, lorentzian_hz=0.0) for s in SILICON]
    sites = jax.tree.map(jnp.asarray, Sites.of(records))
    experiment = SpectrumMAS("29Si", larmor_hz=LARMOR, mas_hz=1500.0, integration_density=10)
    plan = experiment.plan(records, points=256, width_hz=10e3, centre_ppm=-100.0)
    rng = np.random.default_rng(1)
    # two parameters per site, one of the second and third shared, and the third site has fewer
    columns = np.array([[0, 1, -1], [2, 3, -1], [4, 3, -1]])
    tangents = jax.tree.map(lambda leaf: np.zeros((5, *leaf.shape)), sites)
    for k, mine in enumerate(columns):
        for column in mine[mine >= 0]:
            for leaf in jax.tree.leaves(tangents):
                leaf[column, k] = rng.normal(size=leaf.shape[2:])
    tangents = jax.tree.map(jnp.asarray, tangents)

    def function(p):
        return plan.complex_spectrum(jax.tree.map(lambda a, t: a + jnp.tensordot(p, t, 1), sites, tangents))

    whole = np.asarray(jax.jit(jax.jacfwd(function))(jnp.zeros(5)))
    value, ours = jax.jit(lambda s, t: plan.value_and_jacobian(s, t, columns))(sites, tangents)
    assert ours.shape == (256, 5)
    np.testing.assert_allclose(ours, whole, rtol=1e-8, atol=1e-8 * np.abs(whole).max())
    np.testing.assert_allclose(value, jax.jit(plan.complex_spectrum)(sites), atol=1e-13)


PLANS = {
    "collected in a room": ("spinning", 30e3, None),
    "collected in place": ("static", 6e3, None),
    "sharp sidebands": ("sharp sidebands", 30e3, None),
    "unevenly excited": ("spinning", 30e3, GaussianBandwidth(20e3)),
    "all transitions": ("static", 400e3, None),
    "without widths": ("spinning", 30e3, None),
}


@pytest.mark.parametrize("kind", PLANS)
def test_parameters_that_only_scale_or_move_a_pattern_have_the_same_derivatives(kind):
    name, width_hz, excitation = PLANS[kind]
    changes = {"excitation": excitation} | ({"transitions": "all"} if kind == "all transitions" else {})
    experiment = dataclasses.replace(EXPERIMENTS[name], **changes)
    start = START * np.where(np.array(NAMES) == "zeta", 0.2, 1.0)
    sites = jax.tree.map(jnp.asarray, sites_of(experiment.isotope, start))
    axis = AXIS | {"width_hz": width_hz}
    plan = experiment.plan(host(sites), **axis, broadened=kind != "without widths")
    assert bool(plan.groups[0].room) == (kind in ("collected in a room", "unevenly excited", "without widths"))
    function = lambda p: plan.complex_spectrum(sites_of(experiment.isotope, p))
    whole = np.asarray(jax.jit(jax.jacfwd(function))(start))
    reach = [{"shift": MOVES, "amplitude": SCALES, "gaussian": SCALES, "lorentzian": SCALES}.get(n, RESHAPES)
             for n in NAMES]  # fmt: skip
    own = jax.jacfwd(lambda p: sites_of(experiment.isotope, p))(start)
    tangents = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), own)
    columns = np.arange(len(NAMES))[None]
    ours = np.asarray(jax.jit(lambda s, t: plan.jacobian(s, t, columns, reach))(sites, tangents))
    size = np.abs(whole).max(axis=0)
    assert (size[[0, 8]] > 0).all()
    # the orientation of a single tensor has no effect but rounding
    size = np.maximum(size, 1e-6 * size.max())
    np.testing.assert_allclose(ours / size, whole / size, atol=1e-8)
    if kind not in ("collected in a room", "collected in place"):
        return
    # and alone, without anything that changes the tensors
    few = np.array([[0, 8, 9]])
    alone = np.asarray(jax.jit(lambda s, t: plan.jacobian(s, t, few, reach))(sites, tangents))
    np.testing.assert_allclose(alone[:, few[0]], ours[:, few[0]], atol=1e-12 * np.abs(ours).max())


def test_spectra_of_many_parameter_sets_can_be_mapped():
    sites = jax.tree.map(jnp.asarray, Sites.of(SILICON))
    plan = SpectrumMAS("29Si", larmor_hz=LARMOR, mas_hz=1500.0, integration_density=10).plan(
        SILICON, points=256, width_hz=10e3, centre_ppm=-100.0
    )
    several = jax.tree.map(lambda a: jnp.stack([a, 1.01 * a, 0.98 * a]), sites)
    mapped = np.asarray(jax.jit(jax.vmap(plan.spectrum))(several))
    alone = jax.jit(plan.spectrum)
    for k in range(3):
        np.testing.assert_allclose(mapped[k], alone(jax.tree.map(lambda a, k=k: a[k], several)), atol=1e-13)
