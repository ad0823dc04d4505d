"""Spectra compared with mrsimulator 1.0 (Srivastava et al., J. Chem. Phys. 161, 212501 (2024)), site by random site.

Both programs are told the same Larmor frequencies and give all transitions the same weight. Spectra are compared as a
fit sees them: both with unit sum, smoothed with a Gaussian of four points, relative L2 difference. mrsimulator runs
with at least as many orientations.
"""

import warnings
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.nmr import Coupling, Site, Sites, SpectrumMAS, SpectrumStatic
from jaxnmr.nmr.powder.simulation import MAGIC_ANGLE_DEG

with warnings.catch_warnings():
    # mrsimulator and what it imports announce changes of other packages at import
    warnings.simplefilter("ignore")
    mrsimulator = pytest.importorskip("mrsimulator")
    from mrsimulator import Coupling as TheirCoupling
    from mrsimulator import Simulator, SpinSystem
    from mrsimulator import Site as TheirSite
    from mrsimulator.method.lib import BlochDecayCTSpectrum, BlochDecaySpectrum
    from mrsimulator.spin_system.isotope import Isotope as TheirIsotope

FAST = float("inf")
# kHz-scale couplings: widest C_Q that still leaves each nucleus a sensible spectrum at 9.4 T
STRONG_HZ = {"2H": 1.7e5, "23Na": 2.5e6, "87Rb": 3e6, "27Al": 6e6, "17O": 5e6, "45Sc": 1.2e7, "93Nb": 2.5e7}
WEAK_HZ = {"2H": 1.7e5, "23Na": 4e5, "87Rb": 3e5, "27Al": 4e5, "17O": 3e5, "45Sc": 5e5, "93Nb": 6e5}


def smoothed(values, fwhm=4.0):
    reach = int(10 * fwhm)
    kernel = np.exp(-4 * np.log(2) * (np.arange(-reach, reach + 1) / fwhm) ** 2)
    return np.convolve(values / values.sum(), kernel / kernel.sum(), mode="same")


def difference(ours, theirs):
    ours, theirs = smoothed(ours), smoothed(theirs)
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def random_site(rng, nucleus, *, csa=0.0, cq=0.0, aligned=False, couplings=()):
    turn = lambda: (0.0, 0.0, 0.0) if aligned else tuple(float(a) for a in rng.uniform((0, 5, 0), (360, 175, 360)))
    sign = lambda: rng.choice([-1.0, 1.0])
    return Site(
        isotope=nucleus,
        shift_ppm=rng.uniform(-20, 20),
        zeta_ppm=csa * sign() * rng.uniform(0.5, 1),
        eta=rng.uniform(0, 1) if csa else 0.0,
        cq_hz=cq * sign() * rng.uniform(0.4, 1),
        eta_q=rng.uniform(0, 1) if cq else 0.0,
        euler_deg=turn(),
        euler_q_deg=turn(),
        amplitude=rng.uniform(0.2, 1),
        couplings=couplings,
    )


def our_spectrum(
    sites,
    *,
    mas_hz=0.0,
    angle_deg=MAGIC_ANGLE_DEG,
    which="central",
    density="auto",
    volume="auto",
    b0=9.4,
    points=2048,
    window=None,
):
    """Values, and what mrsimulator needs to know: ``(points, width_hz, centre_hz)`` and sidebands."""
    nucleus = sites[0].isotope
    common = dict(
        b0_tesla=b0, transitions=which, transition_weights="equal", integration_density=density, volume=volume
    )
    if mas_hz == 0:
        experiment = SpectrumStatic(nucleus, **common)
    else:
        experiment = SpectrumMAS(nucleus, mas_hz=mas_hz, rotor_angle_deg=angle_deg, **common)
    width, centre = window or (None, None)
    centre_ppm = None if centre is None else centre / experiment.larmor_hz * 1e6
    plan = experiment.plan(sites, points=points, width_hz=width, centre_ppm=centre_ppm)
    # their gyromagnetic ratios, so that only the physics is compared
    theirs = TheirIsotope(symbol=nucleus)
    bare = abs(theirs.gyromagnetic_ratio) * 1e6 * b0
    numbers = plan.experiment.replace(
        larmor_hz=np.asarray(bare), reference_hz=np.asarray(bare * theirs.ref_larmor_ratio)
    )
    # mrsimulator counts a pattern narrower than a point where it lies, we share it between neighbours
    plan = plan.replace(experiment=numbers, groups=tuple(group.replace(narrow=False) for group in plan.groups))
    values = np.asarray(jax.jit(lambda p, s: p.spectrum(s))(plan, jax.tree.map(jnp.asarray, Sites.of(sites))))
    step, first = float(numbers.grid.step_hz), float(numbers.grid.first_hz)
    axis = points, step * points, first + step * (points // 2)
    return values, axis, max(group.count for group in plan.groups)


def their_spectrum(
    sites, axis, *, sidebands=64, mas_hz=0.0, angle_deg=MAGIC_ANGLE_DEG, which="central", density=200, b0=9.4
):
    points, width, centre = axis
    method = {"central": BlochDecayCTSpectrum, "all": BlochDecaySpectrum}[which](
        channels=[sites[0].isotope],
        magnetic_flux_density=b0,
        rotor_frequency=1e12 if np.isinf(mas_hz) else mas_hz,
        rotor_angle=np.radians(angle_deg),
        spectral_dimensions=[{"count": points, "spectral_width": width, "reference_offset": centre}],
    )
    simulator = Simulator(spin_systems=[their_system(s) for s in sites], methods=[method])
    simulator.config.integration_density = density
    simulator.config.integration_volume = "hemisphere"
    simulator.config.number_of_sidebands = max(sidebands, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about mrsimulator's use of it
        simulator.run()
    return simulator.methods[0].simulation.y[0].components[0].real


def their_system(site):
    angles = lambda euler: dict(zip(("alpha", "beta", "gamma"), np.radians(euler), strict=True))
    numbers = {"isotope": site.isotope, "isotropic_chemical_shift": site.shift_ppm}
    if site.zeta_ppm:
        numbers["shielding_symmetric"] = {"zeta": site.zeta_ppm, "eta": site.eta, **angles(site.euler_deg)}
    if site.cq_hz:
        numbers["quadrupolar"] = {"Cq": site.cq_hz, "eta": site.eta_q, **angles(site.euler_q_deg)}
    nuclei, couplings = [TheirSite(**numbers)], []
    for k, c in enumerate(site.couplings):
        nuclei.append(TheirSite(isotope=c.partner))
        parts = {"site_index": [0, k + 1], "isotropic_j": c.j_hz}
        if c.dipolar_hz:
            parts["dipolar"] = {"D": c.dipolar_hz, **angles(c.euler_deg)}
        if c.zeta_j_hz:
            parts["j_symmetric"] = {"zeta": c.zeta_j_hz, "eta": c.eta_j, **angles(c.euler_j_deg)}
        couplings.append(TheirCoupling(**parts))
    return SpinSystem(sites=nuclei, couplings=couplings, abundance=100 * site.amplitude)


def compare(sites, *, ours="auto", theirs=200, **conditions):
    values, axis, sidebands = our_spectrum(sites, density=ours, **conditions)
    conditions.pop("volume", None)
    return difference(values, their_spectrum(sites, axis, sidebands=sidebands, density=theirs, **conditions))


def generator(*words):
    return np.random.default_rng(crc32(" ".join(map(str, words)).encode()))


# nucleus, transitions, ppm of shielding anisotropy (up to), C_Q in Hz (up to)
KINDS = {
    "shielding of spin 1/2": ("13C", "central", 80.0, 0.0),
    "shielding of spin 1/2 with negative gamma": ("29Si", "central", 80.0, 0.0),
    "both transitions of spin 1": ("2H", "all", 20.0, WEAK_HZ["2H"]),
    "central transition of spin 3/2": ("87Rb", "central", 80.0, STRONG_HZ["87Rb"]),
    "all transitions of spin 3/2": ("23Na", "all", 50.0, WEAK_HZ["23Na"]),
    "central transition of spin 5/2 with negative gamma": ("17O", "central", 80.0, STRONG_HZ["17O"]),
    "all transitions of spin 5/2": ("27Al", "all", 50.0, WEAK_HZ["27Al"]),
    "central transition of spin 7/2": ("45Sc", "central", 80.0, STRONG_HZ["45Sc"]),
    "central transition of spin 9/2": ("93Nb", "central", 80.0, STRONG_HZ["93Nb"]),
}
STATIC = {"mas_hz": 0.0}
FAST_AT_67 = {"mas_hz": FAST, "angle_deg": 67.0}


@pytest.mark.parametrize(
    ("kind", "spinning"),
    [
        ("shielding of spin 1/2", FAST_AT_67),
        ("shielding of spin 1/2 with negative gamma", STATIC),
        ("both transitions of spin 1", STATIC),
        ("all transitions of spin 3/2", {"mas_hz": FAST}),
        ("all transitions of spin 5/2", STATIC),
        ("central transition of spin 7/2", {"mas_hz": FAST, "angle_deg": 40.0}),
        ("central transition of spin 9/2", STATIC),
    ],
)
def test_the_same_orientations_give_the_same_spectrum_without_sidebands(kind, spinning):
    nucleus, which, csa, cq = KINDS[kind]
    site = random_site(generator(kind), nucleus, csa=csa, cq=cq)
    # what is left comes from triangles narrower than a hundredth of a point, which we widen
    assert compare([site], ours=40, theirs=40, volume="hemisphere", which=which, **spinning) < 1e-5


@pytest.mark.parametrize(
    ("kind", "spinning"),
    [
        ("shielding of spin 1/2", {"mas_hz": 4000.0, "angle_deg": 30.0}),
        ("both transitions of spin 1", {"mas_hz": 10e3}),
        ("central transition of spin 5/2 with negative gamma", {"mas_hz": 14e3}),
        ("central transition of spin 9/2", {"mas_hz": 25e3, "angle_deg": 67.0}),
    ],
)
def test_spinning_sidebands_have_the_same_intensities_and_shapes(kind, spinning):
    nucleus, which, csa, cq = KINDS[kind]
    site = random_site(generator(kind), nucleus, csa=csa, cq=cq)
    # mrsimulator's sideband intensities are off by 1e-4: it counts the poles of the sphere differently
    assert compare([site], ours=60, theirs=60, volume="hemisphere", which=which, **spinning) < 1e-3


@pytest.mark.parametrize(
    ("kind", "spinning", "aligned", "allowed"),
    [
        ("shielding of spin 1/2", STATIC, True, 5e-3),
        ("central transition of spin 3/2", {"mas_hz": FAST}, True, 5e-3),
        ("central transition of spin 7/2", {"mas_hz": 18e3}, False, 1e-3),
    ],
)
def test_the_density_chosen_by_itself_is_enough(kind, spinning, aligned, allowed):
    nucleus, which, csa, cq = KINDS[kind]
    site = random_site(generator(kind, "auto"), nucleus, csa=csa, cq=cq, aligned=aligned)
    assert compare([site], ours="auto", theirs=200, which=which, **spinning) < allowed


def test_many_sites_add_up_alike():
    rng = generator("many")
    sites = [random_site(rng, "29Si", csa=60.0) for _ in range(10)]
    assert compare(sites, ours=60, theirs=60, volume="hemisphere", mas_hz=2000.0) < 1e-3


DIPOLAR = {"dipolar_hz": -1800.0, "euler_deg": (35.0, 62.0, 118.0)}
J = {"j_hz": 900.0, "zeta_j_hz": 700.0, "eta_j": 0.6, "euler_j_deg": (75.0, 40.0, 210.0)}


@pytest.mark.parametrize(
    ("couplings", "spinning"),
    [
        ((Coupling(partner="1H", **DIPOLAR),), STATIC),
        ((Coupling(partner="14N", **DIPOLAR, **J),), {"mas_hz": 3000.0}),
        ((Coupling(partner="1H", **DIPOLAR), Coupling(partner="15N", **J)), STATIC),
    ],
    ids=["dipolar", "both to a spin 1, spinning", "two partners"],
)
def test_couplings_split_lines_alike(couplings, spinning):
    site = random_site(generator("coupled"), "13C", csa=40.0, couplings=couplings)
    allowed = 1e-3 if spinning["mas_hz"] else 1e-5
    assert compare([site], ours=60, theirs=60, volume="hemisphere", **spinning) < allowed


def test_a_single_site_is_worth_the_same_in_both_programs_whatever_the_axis():
    """Equal positions to a hundredth of a point when the window is not centred on the line."""
    site = Site(isotope="29Si", shift_ppm=-91.3)
    values, axis, _ = our_spectrum([site], mas_hz=FAST, points=1024, window=(8000.0, -6100.0))
    theirs = their_spectrum([site], axis, mas_hz=FAST, density=10)
    step = axis[1] / axis[0]
    frequency = axis[2] + step * (np.arange(axis[0]) - axis[0] // 2)
    mean = [v @ frequency / v.sum() for v in (values, theirs)]
    assert abs(mean[0] - mean[1]) < 0.01 * step
