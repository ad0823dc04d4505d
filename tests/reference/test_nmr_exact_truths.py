"""Spectra against what is known exactly: closed forms, exact diagonalisation, and a simulation in the time domain.

The Hamiltonians here are written once more, from spin matrices and Cartesian tensors, so that nothing is shared with
the package but the definitions of its parameters.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ellipk, jv

from jaxnmr.nmr import Site, Sites, SpectrumMAS, SpectrumStatic, plausible, rotation
from jaxnmr.nmr.powder.simulation import MAGIC_ANGLE_DEG
from jaxnmr.nmr.powder.spherical import rotation as components_in_turned_frame
from jaxnmr.nmr.powder.transitions import coefficients, frequency_tensors, transitions

LARMOR = 100e6
FAST = float("inf")


def turned(principal, euler_deg):
    matrix = np.asarray(rotation(*map(float, euler_deg)))
    return matrix @ np.diag(principal) @ matrix.T


def haeberlen(zeta, eta):
    return np.array([-zeta * (1 + eta) / 2, -zeta * (1 - eta) / 2, zeta])


def smoothed(values, fwhm=4.0):
    kernel = np.exp(-4 * np.log(2) * (np.arange(-40, 41) / fwhm) ** 2)
    return np.convolve(values / values.sum(), kernel / kernel.sum(), mode="same")


def difference(ours, truth):
    ours, truth = smoothed(ours), smoothed(truth)
    return np.linalg.norm(ours - truth) / np.linalg.norm(truth)


def spectrum(experiment, site, **axis):
    plan = experiment.plan(site, **axis)
    values = np.asarray(jax.jit(lambda p, s: p.spectrum(s))(plan, jax.tree.map(jnp.asarray, Sites.of(site))))
    return np.asarray(plan.frequency_hz), values


# ---------------------------------------------------------------- static powder patterns in closed form


def fraction_below(x, principal):
    """Part of a powder with frequencies below x: integral of the elliptic line shape of Bloembergen & Rowland (1953)."""
    low, mid, high = np.sort(principal)
    # the density diverges at mid like a logarithm: substitute towards it from both sides
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u, w = (nodes + 1) / 2, weights / 2

    def density(v):
        below = v < mid
        m_below = (v - low) * (high - mid) / ((high - v) * (mid - low) + 1e-300)
        m_above = (high - v) * (mid - low) / ((v - low) * (high - mid) + 1e-300)
        lower = ellipk(np.clip(m_below, 0, 1 - 1e-15)) / np.sqrt((high - v) * (mid - low))
        upper = ellipk(np.clip(m_above, 0, 1 - 1e-15)) / np.sqrt((v - low) * (high - mid))
        return np.where(below, lower, upper) / np.pi

    def integral(end):  # from mid to end, substituting mid + (end - mid) u^3
        v = mid + (end - mid)[..., None] * u**3
        return (density(v) * 3 * u**2 * w).sum(axis=-1) * (end - mid)

    at = np.clip(np.atleast_1d(np.asarray(x, dtype=float)), low, high)
    total_below = -integral(np.array([low]))[0]
    return total_below + integral(at)


def axial_fraction_below(x, unique, other):
    part = np.sqrt(np.clip((np.asarray(x) - other) / (unique - other), 0.0, 1.0))
    return part if unique > other else 1.0 - part


@pytest.mark.parametrize("zeta, eta", [(60.0, 0.0), (-60.0, 0.05), (60.0, 0.35), (-60.0, 0.7), (60.0, 1.0)])
def test_a_static_pattern_is_the_elliptic_integral(zeta, eta):
    site = Site(isotope="13C", shift_ppm=10.0, zeta_ppm=zeta, eta=eta, euler_deg=(30.0, 50.0, 70.0))
    experiment = SpectrumStatic("13C", larmor_hz=LARMOR, integration_density=120)
    frequency, values = spectrum(experiment, site)
    step = frequency[1] - frequency[0]
    edges = np.append(frequency - step / 2, frequency[-1] + step / 2)
    # a shielding above the average is a shift below it; shieldings act on the bare nucleus' frequency
    bare = float(experiment.plan(site).experiment.larmor_hz) / LARMOR
    principal = 1e-6 * LARMOR * (10.0 - bare * haeberlen(zeta, eta))
    if eta == 0:
        below = axial_fraction_below(edges, principal[2], principal[0])
    else:
        below = fraction_below(edges, principal)
    # the error falls with the square of the density; two edges in one place make it larger
    assert difference(values, np.diff(below)) < (4.5e-3 if eta == 0 else 1e-3)
    assert abs(values.sum() - 1.0) < 1e-7


def test_a_positive_anisotropy_of_the_shielding_has_its_unique_edge_at_lower_shifts():
    experiment = SpectrumStatic("13C", larmor_hz=LARMOR)
    frequency, values = spectrum(experiment, Site(isotope="13C", shift_ppm=0.0, zeta_ppm=50.0))
    shown = frequency[values > 1e-4 * values.max()] / 100.0
    assert shown.min() == pytest.approx(-50.0, abs=1.0)
    assert shown.max() == pytest.approx(25.0, abs=1.0)


# ---------------------------------------------------------------- exact diagonalisation


def spin_matrices(spin):
    m = np.arange(spin, -spin - 0.5, -1.0)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return np.stack([(up + up.T) / 2, (up - up.T) / 2j, np.diag(m).astype(complex)]), m


def frame_along(alpha, beta):
    """Axes (columns) of a frame whose z axis is the direction (alpha, beta)."""
    ca, sa, cb, sb = np.cos(alpha), np.sin(alpha), np.cos(beta), np.sin(beta)
    return np.array([[ca * cb, -sa, ca * sb], [sa * cb, ca, sa * sb], [-sb, 0.0, cb]])


def exact_levels(spin, larmor, q_hz, shielding_ppm, alpha, beta):
    """Energies/h by m, highest first, of Zeeman, quadrupolar and shielding terms, none of them truncated."""
    matrices, _ = spin_matrices(spin)
    frame = frame_along(alpha, beta)
    quadrupolar = frame.T @ q_hz @ frame / (2 * spin * (2 * spin - 1))
    field = larmor * (np.array([0.0, 0.0, 1.0]) - 1e-6 * (frame.T @ shielding_ppm @ frame)[2])
    hamiltonian = np.einsum("i,iab->ab", field, matrices)
    hamiltonian = hamiltonian + np.einsum("ij,iab,jbc->ac", quadrupolar, matrices, matrices)
    return np.linalg.eigvalsh(hamiltonian)[::-1]


def exact_frequency(spin, pair, *where):
    levels = exact_levels(spin, *where)
    final, initial = (round(spin - m) for m in pair)
    return levels[final] - levels[initial] - (pair[0] - pair[1]) * where[0]


def our_frequency(spin, pair, larmor, q_hz, shielding_ppm, alpha, beta):
    rank0, rank2, rank4 = frequency_tensors(
        coefficients(spin, *pair), spin, larmor, larmor, jnp.asarray(0.0), jnp.asarray(shielding_ppm), jnp.asarray(q_hz)
    )
    rows = [components_in_turned_frame(rank, np.array([alpha]), np.array([beta]))[0, 0] for rank in (2, 4)]
    return float(rank0 + rows[0] @ np.asarray(rank2) + rows[1] @ np.asarray(rank4))


def random_directions(rng, n):
    return zip(rng.uniform(0, 2 * np.pi, n), np.arccos(rng.uniform(-1, 1, n)), strict=True)


def coupling_for(spin, second_order_hz):
    """C_Q whose second-order shift of the central transition is about so large."""
    return np.sqrt(second_order_hz * LARMOR / (spin * (spin + 1) - 0.75)) * 2 * spin * (2 * spin - 1) / 1.5


@pytest.mark.parametrize("spin", [1.5, 2.5, 3.5, 4.5])
def test_the_central_transition_is_that_of_the_whole_hamiltonian(spin):
    rng = np.random.default_rng(int(2 * spin))
    largest = 0.0
    for alpha, beta in random_directions(rng, 20):
        q = turned(haeberlen(coupling_for(spin, 2500.0), rng.uniform(0, 1)), rng.uniform(0, 180, 3))
        where = (spin, (0.5, -0.5), LARMOR, q, np.zeros((3, 3)), alpha, beta)
        exact = exact_frequency(*where)
        largest = max(largest, abs(exact))
        assert abs(our_frequency(*where) - exact) < 0.1
    assert 1000 < largest < 2500


@pytest.mark.parametrize("spin", [1.5, 4.5])
def test_what_second_order_leaves_out_of_the_central_transition_is_of_fourth_order(spin):
    where = lambda c: (spin, (0.5, -0.5), LARMOR, turned(haeberlen(c, 0.6), (20, 40, 60)), np.zeros((3, 3)), 0.4, 1.1)
    strong = coupling_for(spin, 100e3)
    errors = [abs(our_frequency(*where(c)) - exact_frequency(*where(c))) for c in (strong, strong / 2)]
    assert errors[0] > 0.5
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)


@pytest.mark.parametrize("spin", [1.0, 1.5, 2.5, 3.5, 4.5])
def test_every_transition_is_that_of_the_whole_hamiltonian_with_its_cross_term(spin):
    """First order is 1e5 Hz, second 1e2, the cross term of shielding and quadrupolar coupling several Hz."""
    rng = np.random.default_rng(17)
    pairs = [*transitions(spin, "all"), *([(1.5, -1.5)] if spin in (1.5, 2.5) else [])]
    cq = 5e4 * 2 * spin * (2 * spin - 1) / 3
    without_cross_term = 0.0
    for alpha, beta in random_directions(rng, 10):
        q = turned(haeberlen(cq, rng.uniform(0, 1)), rng.uniform(0, 180, 3))
        shielding = turned(haeberlen(60.0, rng.uniform(0, 1)), rng.uniform(0, 180, 3))
        for pair in pairs:
            exact, ours = (f(spin, pair, LARMOR, q, shielding, alpha, beta) for f in (exact_frequency, our_frequency))
            # third order, and the shielding's own second order
            assert abs(ours - exact) < 1.0
            apart = our_frequency(spin, pair, LARMOR, q, np.zeros((3, 3)), alpha, beta)
            apart += our_frequency(spin, pair, LARMOR, np.zeros((3, 3)), shielding, alpha, beta)
            without_cross_term = max(without_cross_term, abs(apart - exact))
    if spin > 1:
        assert without_cross_term > 3.0


@pytest.mark.parametrize("spin, nucleus", [(1.5, "23Na"), (2.5, "27Al"), (3.5, "45Sc"), (4.5, "93Nb")])
def test_the_centre_of_gravity_moves_by_the_quadrupolar_induced_shift(spin, nucleus):
    cq, eta = coupling_for(spin, 3000.0), 0.7
    experiment = SpectrumMAS(nucleus, larmor_hz=LARMOR, mas_hz=FAST, integration_density=160)
    frequency, values = spectrum(experiment, Site(isotope=nucleus, shift_ppm=5.0, cq_hz=cq, eta_q=eta))
    bare = float(experiment.plan(Site(isotope=nucleus)).experiment.larmor_hz)
    shift = -3 / 40 * cq**2 / bare * (spin * (spin + 1) - 0.75) * (1 + eta**2 / 3) / (spin * (2 * spin - 1)) ** 2
    # sums over the octahedral grid converge with the square of its density
    assert values @ frequency == pytest.approx(5e-6 * LARMOR + shift, abs=5e-5 * abs(shift))


# ---------------------------------------------------------------- spinning sidebands


def sidebands(experiment, site, most):
    """Intensities of bands -most..most of lines without width, and the frequency of the centre band."""
    mas = experiment.mas_hz
    centre = site.shift_ppm * 1e-6 * experiment.larmor_hz
    # one bin per band
    points = 2 * most + 1
    _, values = spectrum(experiment, site, points=points, width_hz=points * mas, centre_ppm=site.shift_ppm)
    assert np.isfinite(centre)
    return values


def test_sidebands_of_an_axial_tensor_are_products_of_bessel_functions():
    mas, most = 1000.0, 20
    site = Site(isotope="13C", shift_ppm=20.0, zeta_ppm=-50.0, euler_deg=(0.0, 35.0, 20.0))
    experiment = SpectrumMAS("13C", larmor_hz=LARMOR, mas_hz=mas, integration_density=140)
    width = 50e-6 * float(experiment.plan(site).experiment.larmor_hz)
    theta = np.radians(MAGIC_ANGLE_DEG)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    cosine, weight = (nodes + 1) / 2, weights / 2
    sine = np.sqrt(1 - cosine**2)
    first = 3 * width * np.cos(theta) * np.sin(theta) * cosine * sine / mas
    second = 3 / 8 * width * np.sin(theta) ** 2 * sine**2 / mas
    k, m = np.arange(-most, most + 1)[:, None, None], np.arange(-30, 31)[:, None]
    amplitudes = (jv(k - 2 * m, first) * jv(m, second)).sum(axis=1)
    truth = (amplitudes**2 * weight).sum(axis=1)
    assert truth.sum() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(sidebands(experiment, site, most), truth, atol=2e-5)


@pytest.mark.parametrize("zeta, eta, mas", [(50.0, 0.4, 1500.0), (-70.0, 0.9, 4000.0), (40.0, 0.0, 900.0)])
def test_moments_of_sidebands_are_those_of_the_static_powder(zeta, eta, mas):
    """Maricq & Waugh, J. Chem. Phys. 70, 3300 (1979): the first three moments do not notice spinning."""
    site = Site(isotope="13C", zeta_ppm=zeta, eta=eta, euler_deg=(10.0, 70.0, 40.0))
    experiment = SpectrumMAS("13C", larmor_hz=LARMOR, mas_hz=mas, integration_density=70)
    most = 20
    values = sidebands(experiment, site, most)
    width = -zeta * 1e-6 * float(experiment.plan(site).experiment.larmor_hz)
    offset = mas * np.arange(-most, most + 1)
    assert values.sum() == pytest.approx(1.0, abs=1e-8)
    assert values @ offset == pytest.approx(0.0, abs=1e-4 * abs(width))
    assert values @ offset**2 == pytest.approx(width**2 * (1 + eta**2 / 3) / 5, rel=1e-3)
    assert values @ offset**3 == pytest.approx(2 / 35 * width**3 * (1 - eta**2), abs=1e-3 * abs(width) ** 3)


def second_order_levels(spin, larmor, q_hz, frames):
    """Frequency of the central transition to second order, by perturbation theory in each of many frames."""
    matrices, m = spin_matrices(spin)
    local = np.einsum("...ai,ab,...bj->...ij", frames, q_hz, frames) / (2 * spin * (2 * spin - 1))
    pairs = np.einsum("iab,jbc->ijac", matrices, matrices)
    centre = round(spin - 0.5)
    shifts = []
    for level in (centre, centre + 1):
        coupling = np.einsum("...ij,ija->...a", local, pairs[:, :, :, level])
        others = [k for k in range(len(m)) if k != level]
        second = sum(np.abs(coupling[..., k]) ** 2 / (larmor * (m[level] - m[k])) for k in others)
        shifts.append(coupling[..., level].real + second)
    return shifts[0] - shifts[1]


def spectrum_in_time_domain(frequency_of, frequency_hz, gaussian_hz, *, mas, theta, n_beta, n_gamma):
    """Decays of many crystallites, phases integrated over time step by step, summed and transformed.

    Args:
        frequency_of: Hz for frames ``(..., 3, 3)`` whose z axis is the field.
    """
    per_turn = 96
    turn = 2 * np.pi * np.arange(per_turn) / per_turn
    step = frequency_hz[1] - frequency_hz[0]
    nodes, weights = np.polynomial.legendre.leggauss(n_beta)
    # decays are sampled every 1/96 of a turn until the line width has ended them
    times = np.arange(0.0, 2.2 / gaussian_hz, 1.0 / (mas * per_turn))
    decay = np.zeros(len(times), dtype=complex)
    tilt, spin_round = frame_along(0.0, theta), np.stack([frame_along(p, 0.0) for p in turn])
    in_rotor = spin_round @ tilt
    for cosine, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        for alpha in 2 * np.pi * (np.arange(n_beta) + 0.5) / n_beta:
            frames = frame_along(alpha, np.arccos(cosine)) @ in_rotor
            around = frequency_of(frames)
            mean = around.mean()
            # integral over the turn so far, by the harmonics of the sampled frequency
            spectrum_of = np.fft.fft(around - mean) / per_turn
            order = np.fft.fftfreq(per_turn, 1 / per_turn)
            order[0] = 1.0
            integral = (spectrum_of / (1j * order * mas)) @ np.exp(1j * np.outer(order, turn))
            for start in range(0, per_turn, per_turn // n_gamma):
                rolled = np.roll(integral.real, -start)
                phase = 2 * np.pi * mean * times + np.resize(rolled - rolled[0], len(times))
                decay += weight / n_beta / n_gamma * np.exp(1j * phase)
    decay *= np.exp(-((np.pi * gaussian_hz * times) ** 2) / (4 * np.log(2)))
    decay[0] /= 2
    transform = np.exp(-2j * np.pi * np.outer(frequency_hz, times)) @ decay
    return 2 * transform.real * step * (times[1] - times[0])


@pytest.mark.parametrize("kind", ["shielding", "shielding and quadrupolar coupling", "away from the magic angle"])
def test_a_spinning_powder_is_the_sum_of_its_decays(kind):
    nucleus, spin = ("13C", 0.5) if kind == "shielding" else ("27Al", 2.5)
    mas, gaussian = (2500.0, 400.0) if kind == "shielding" else (10e3, 700.0)
    angle = 60.0 if kind.startswith("away") else MAGIC_ANGLE_DEG
    site = Site(
        isotope=nucleus,
        shift_ppm=12.0,
        zeta_ppm=60.0,
        eta=0.4,
        euler_deg=(40.0, 65.0, 110.0),
        cq_hz=0.0 if spin < 1 else 3.5e6,
        eta_q=0.3,
        gaussian_hz=gaussian,
    )
    sites = Sites.of(site)
    experiment = SpectrumMAS(nucleus, larmor_hz=LARMOR, mas_hz=mas, rotor_angle_deg=angle, integration_density=100)
    frequency, values = spectrum(experiment, site, points=256, width_hz=40 * gaussian, centre_ppm=12.0)
    larmor = float(experiment.plan(site).experiment.larmor_hz)

    def frequency_of(frames):
        along = frames[..., :, 2]
        out = 12e-6 * LARMOR - 1e-6 * larmor * np.einsum("...i,ij,...j->...", along, sites.shielding_ppm[0], along)
        return out if spin < 1 else out + second_order_levels(spin, larmor, sites.quadrupolar_hz[0], frames)

    truth = spectrum_in_time_domain(
        frequency_of, frequency, gaussian, mas=mas, theta=np.radians(angle), n_beta=24, n_gamma=16
    )
    assert np.abs(values - truth).max() < 5e-4 * truth.max()


@pytest.fixture
def any_speed(monkeypatch):
    """Limits of physics lie beyond what a rotor can do."""
    monkeypatch.setattr(plausible, "_SPEED_HZ", (0.0, np.inf))


@pytest.mark.parametrize("kind", ["shielding", "quadrupolar"])
def test_very_fast_spinning_is_infinitely_fast_spinning(kind, any_speed):
    site = (
        Site(isotope="27Al", zeta_ppm=50.0, eta=0.3, gaussian_hz=20.0)
        if kind == "shielding"
        else Site(isotope="27Al", zeta_ppm=50.0, cq_hz=3e6, eta_q=0.4, euler_deg=(20.0, 30.0, 40.0), gaussian_hz=60.0)
    )
    at = lambda mas: spectrum(
        SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=mas, integration_density=40),
        site,
        points=512,
        width_hz=6e3,
        centre_ppm=-8.0,
    )[1]
    assert np.abs(at(2e7) - at(FAST)).max() < 1e-5 * at(FAST).max()


def test_slower_and_slower_spinning_approaches_the_static_pattern(any_speed):
    site = Site(isotope="13C", zeta_ppm=50.0, eta=0.3, gaussian_hz=400.0)
    axis = {"points": 512, "width_hz": 16e3, "centre_ppm": 0.0}
    common = {"larmor_hz": LARMOR, "integration_density": 40}
    static = spectrum(SpectrumStatic("13C", **common), site, **axis)[1]
    difference_at = lambda mas: np.linalg.norm(
        spectrum(SpectrumMAS("13C", mas_hz=mas, **common), site, **axis)[1] - static
    )
    fast, slow = (difference_at(mas) / np.linalg.norm(static) for mas in (80.0, 20.0))
    assert slow < 5e-3
    assert fast > 8 * slow


@pytest.mark.parametrize("mas", [FAST, 12e3])
def test_spinning_along_the_field_is_no_spinning(mas):
    site = Site(isotope="27Al", zeta_ppm=50.0, cq_hz=3e6, eta_q=0.4, euler_deg=(20.0, 30.0, 40.0))
    axis = {"points": 512, "width_hz": 60e3, "centre_ppm": 0.0}
    common = {"larmor_hz": LARMOR, "integration_density": 30}
    along = spectrum(SpectrumMAS("27Al", mas_hz=mas, rotor_angle_deg=0.0, **common), site, **axis)[1]
    static = spectrum(SpectrumStatic("27Al", **common), site, **axis)[1]
    np.testing.assert_allclose(along, static, atol=1e-10)


def test_at_the_magic_angle_shielding_leaves_a_comb_of_lines():
    site = Site(isotope="13C", shift_ppm=3.0, zeta_ppm=50.0, eta=0.3)
    experiment = SpectrumMAS("13C", larmor_hz=LARMOR, mas_hz=2000.0)
    frequency, values = spectrum(experiment, site, points=1000, width_hz=20e3, centre_ppm=3.0)
    comb = np.abs((frequency - 300.0 + 1000.0) % 2000.0 - 1000.0) < 1e-6
    assert comb.sum() == 10
    assert np.abs(values[~comb]).max() < 1e-12
    assert (values[comb][3:8] > 0.02).all()
