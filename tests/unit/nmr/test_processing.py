"""Processing of decays against exact results: frequencies, areas, widths, phases, digital filters, baselines."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, JaxnmrError, ParameterError, ShapeError
from jaxnmr.nmr.processing import (
    apodize,
    autophase,
    baseline,
    fourier_transform,
    phase,
    process,
    remove_digital_filter,
    start_at,
    zero_fill,
)
from jaxnmr.nmr.records import Fid, Spectrum

LARMOR, CARRIER, DWELL = 100e6, -3000.0, 1e-5
LINES = ((-20e3, 300.0, 1.0), (5e3, 500.0, 2.0), (22e3, 200.0, 0.5))  # Hz from the carrier, Lorentzian width, area


def times(points):
    return np.arange(points) * DWELL


def decay(t, lines=LINES, gaussian_hz=0.0):
    """Sum of lines; zero before time zero, half of the value at time zero by the caller's choice."""
    damp = (np.pi * gaussian_hz * t) ** 2 / (4 * np.log(2))
    return sum(a * np.exp(2j * np.pi * f * t - np.pi * w * t - damp) for f, w, a in lines)


def fid(points=4096, lines=LINES, gaussian_hz=0.0, **kwargs):
    kwargs = {"dwell_s": DWELL, "larmor_hz": LARMOR, "carrier_hz": CARRIER} | kwargs
    return Fid.create(decay(times(points), lines, gaussian_hz), **kwargs)


def delayed(delay, points=4096, oversampling=64, lines=LINES):
    """What a receiver with a linear-phase digital filter records: filter a fine decay, keep every n-th point.

    The delay in points is a multiple of 1/oversampling, whole for the fine grid, so the filter is symmetric about it.
    It passes 0.78 of the width and stops before the edges.
    """
    half = 40 * oversampling
    taps = np.arange(-half, half + 1) / oversampling
    kernel = np.sinc(0.85 * taps) * np.kaiser(2 * half + 1, 8.0)
    fine = decay(np.arange(points * oversampling) * (DWELL / oversampling), lines)
    fine[0] *= 0.5
    length = 2 ** int(np.ceil(np.log2(len(fine) + len(kernel))))
    filtered = np.fft.ifft(np.fft.fft(fine, length) * np.fft.fft(kernel / kernel.sum(), length))
    shift = round(delay * oversampling) - half  # the filter itself delays by `half` fine points
    filtered = np.concatenate([np.zeros(shift), filtered])[: points * oversampling]
    return Fid.create(filtered[::oversampling], dwell_s=DWELL, larmor_hz=LARMOR, carrier_hz=CARRIER, group_delay=delay)


def width(x, y):
    """Full width at half maximum by linear interpolation, in the units of x."""
    top = y.argmax()
    left = np.interp(0.5 * y[top], y[: top + 1], x[: top + 1])
    return np.interp(-0.5 * y[top], -y[top:], x[top:]) - left


def noisy(spectrum, signal_to_noise, seed=0):
    rng = np.random.default_rng(seed)
    n = len(spectrum.values)
    noise = np.fft.fft(rng.normal(size=n // 2) + 1j * rng.normal(size=n // 2), n)
    scale = spectrum.values.real.max() / signal_to_noise / noise.real.std()
    return spectrum.replace(values=spectrum.values + scale * noise)


def test_a_line_is_found_at_its_frequency_and_shift():
    f0 = 123 / (8192 * DWELL)
    spectrum = process(fid(lines=((f0, 100.0, 1.0),)), size=8192)
    top = spectrum.values.real.argmax()
    assert spectrum.frequency_hz[top] == pytest.approx(CARRIER + f0, abs=1e-9)
    assert spectrum.ppm[top] == pytest.approx((CARRIER + f0) / 100.0, abs=1e-11)


def test_the_integral_of_the_absorption_is_the_signal_at_time_zero():
    spectrum = process(fid())
    total = spectrum.values.real.sum() * spectrum.step_hz
    assert total == pytest.approx(3.5, rel=1e-12)


def test_the_areas_of_separate_lines_are_their_amplitudes():
    spectrum = process(fid(lines=((-20e3, 30.0, 1.0), (15e3, 30.0, 2.5))), size=65536)
    for f0, area in ((-20e3, 1.0), (15e3, 2.5)):
        near = np.abs(spectrum.frequency_hz - CARRIER - f0) < 5e3
        # the part of a Lorentzian of width w within +-d is 2/pi atan(2 d/w); the other line adds its tail
        expected = area * 2 / np.pi * np.arctan(2 * 5e3 / 30.0)
        assert spectrum.values.real[near].sum() * spectrum.step_hz == pytest.approx(expected, rel=2e-3)


def test_a_lorentzian_has_the_exact_shape():
    spectrum = process(fid(points=16384, lines=((2e3, 400.0, 1.0),)), size=32768)
    f = spectrum.frequency_hz - CARRIER - 2e3
    # the sum over points of a sampled decay, first point halved, in closed form
    q = np.exp((-2j * np.pi * f - np.pi * 400.0) * DWELL)
    np.testing.assert_allclose(spectrum.values, 2 * DWELL * (1 / (1 - q) - 0.5), rtol=0, atol=1e-12)
    near = np.abs(f) < 2e3
    lorentzian = (2 / (np.pi * 400.0)) / (1 + (2 * f[near] / 400.0) ** 2)
    np.testing.assert_allclose(spectrum.values.real[near], lorentzian, rtol=0, atol=2e-4 * lorentzian.max())


@pytest.mark.parametrize("lorentzian, gaussian", [(250.0, 0.0), (0.0, 250.0)])
def test_apodisation_adds_the_width_it_says(lorentzian, gaussian):
    spectrum = process(
        fid(points=8192, lines=((1e3, 0.0, 1.0),)), lorentzian_hz=lorentzian, gaussian_hz=gaussian, size=2**18
    )
    assert width(spectrum.frequency_hz, spectrum.values.real) == pytest.approx(250.0, rel=1e-4)


def test_lorentzian_widths_add_up():
    spectrum = process(fid(points=8192, lines=((1e3, 120.0, 1.0),)), lorentzian_hz=80.0, size=2**18)
    assert width(spectrum.frequency_hz, spectrum.values.real) == pytest.approx(200.0, rel=1e-4)


def test_a_window_is_one_at_time_zero_and_a_cosine_ends_at_zero():
    flat = Fid.create(np.ones(64), dwell_s=DWELL, larmor_hz=LARMOR, group_delay=3.0)
    window = apodize(flat, lorentzian_hz=100.0, gaussian_hz=50.0, cosine=2).values.real
    assert window[3] == 1.0 and window[2] > 1.0 and np.all(np.diff(window[3:]) < 0)
    cosine = apodize(flat.replace(group_delay=0.0), cosine=1).values.real
    np.testing.assert_allclose(cosine, np.cos(0.5 * np.pi * np.arange(64) / 64), atol=1e-15)


def test_zero_filling_interpolates_without_changing_the_points_there_were():
    short, long = fourier_transform(fid(256)), fourier_transform(zero_fill(fid(256), 1024))
    np.testing.assert_allclose(long.frequency_hz[::4], short.frequency_hz, atol=1e-6)
    np.testing.assert_allclose(long.values[::4], short.values, atol=1e-15)
    assert len(zero_fill(fid(300)).values) == 1024


def test_the_whole_first_point_lifts_the_baseline_by_half_the_signal():
    half, whole = fourier_transform(fid()), fourier_transform(fid(), first_point=1.0)
    np.testing.assert_allclose(whole.values - half.values, DWELL * 3.5, atol=1e-15)


@pytest.mark.parametrize("delay", [60.0, 67.984375, 71.5])
def test_the_delay_of_a_digital_filter_leaves_no_phase(delay):
    recorded = delayed(delay)
    spectrum = fourier_transform(recorded)
    f = spectrum.frequency_hz - CARRIER
    ideal = sum(2 * a / (np.pi * w + 2j * np.pi * (f - f0)) for f0, w, a in LINES)  # of the continuous signal
    passed = np.abs(f) < 0.76 * 0.5 / DWELL
    assert np.abs(spectrum.values - ideal)[passed].max() < 3e-4 * np.abs(ideal).max()
    at = np.abs(f - 22e3).argmin()
    assert abs(np.degrees(np.angle(spectrum.values[at] / ideal[at]))) < 0.05
    # without the fraction of the delay the outer line is out of phase
    wrong = fourier_transform(recorded.replace(group_delay=np.floor(delay))).values[at] / ideal[at]
    assert abs(np.degrees(np.angle(wrong))) == pytest.approx(360 * (delay % 1) * 22e3 * DWELL, abs=0.2)


@pytest.mark.parametrize("delay", [60.0, 67.984375, 71.5])
def test_a_delayed_decay_is_brought_back_to_time_zero(delay):
    recorded = delayed(delay)
    back = remove_digital_filter(recorded)
    assert back.group_delay == 0 and len(back.values) == 4096 - int(np.ceil(delay))
    ideal = decay(times(len(back.values)))
    # the filter is 40 points long on either side of time zero; the signal beyond is as if there were none
    assert np.abs(back.values - ideal)[45:].max() < 3e-4 * np.abs(ideal).max()
    np.testing.assert_array_equal(remove_digital_filter(fid()).values, fid().values)


def test_apodisation_counts_time_from_the_delayed_signal():
    lines = ((2e3, 0.0, 1.0),)
    spectrum = process(delayed(67.984375, lines=lines), lorentzian_hz=150.0, size=2**17)
    assert width(spectrum.frequency_hz, spectrum.values.real) == pytest.approx(150.0, rel=2e-3)
    assert spectrum.values.real.max() == pytest.approx(2 / (np.pi * 150.0), rel=5e-3)


def test_starting_at_the_top_of_an_echo_makes_the_absorption_pure():
    t = (np.arange(4096) - 100) * DWELL
    echo = sum(a * np.exp(2j * np.pi * f * t - np.pi * w * np.abs(t)) for f, w, a in LINES)
    spectrum = fourier_transform(start_at(Fid.create(echo, dwell_s=DWELL, larmor_hz=LARMOR), 100))
    ideal = fourier_transform(fid(3996, carrier_hz=0.0))
    np.testing.assert_allclose(spectrum.values, ideal.values, atol=1e-12)


def test_a_phase_is_undone_by_its_negative_about_any_pivot():
    spectrum = process(fid())
    there = phase(spectrum, 40.0, 700.0, pivot_ppm=-55.0)
    assert np.abs(there.values - spectrum.values).max() > 0.1 * np.abs(spectrum.values).max()
    back = phase(there, -40.0, -700.0, pivot_ppm=-55.0)
    np.testing.assert_allclose(back.values, spectrum.values, atol=1e-15)
    at = np.abs(spectrum.ppm + 55.0).argmin()
    assert np.degrees(np.angle(there.values[at] / spectrum.values[at])) == pytest.approx(40.0, abs=0.1)


def test_a_first_order_phase_of_a_turn_is_a_shift_of_the_decay_by_one_point():
    moved = fid(lines=LINES).replace(group_delay=1.0)
    spectrum = fourier_transform(moved, first_point=0.5)
    by_phase = phase(fourier_transform(fid()), 0.0, 360.0, pivot_ppm=1e6 * CARRIER / LARMOR)
    np.testing.assert_allclose(spectrum.values, by_phase.values, atol=1e-12)


@pytest.mark.parametrize("zero, first", [(0.0, 0.0), (40.0, 60.0), (-170.0, -120.0), (95.0, 200.0)])
@pytest.mark.parametrize("signal_to_noise, limit", [(1000, 1.0), (150, 1.0)])
def test_the_phase_of_gaussian_broadened_lines_is_recovered(zero, first, signal_to_noise, limit):
    lines = ((-20e3, 50.0, 1.0), (5e3, 50.0, 2.0), (15e3, 50.0, 0.5))
    clean = process(fid(2048, lines=lines, gaussian_hz=1500.0))
    found = []
    for seed in range(3):
        turned = phase(noisy(clean, signal_to_noise, seed), zero, first, pivot_ppm=20.0)
        back = phase(turned, *autophase(turned))
        # what is left of the phase at the strongest line
        at = clean.values.real.argmax()
        ratio = back.values[at] / noisy(clean, signal_to_noise, seed).values[at]
        found.append(np.degrees(np.angle(ratio)))
    assert np.abs(found).max() < limit


def test_the_phase_of_a_powder_pattern_is_recovered():
    # a tent with two unequal sides is positive, not symmetric, and a quarter of the width wide
    f = np.linspace(-25e3, 25e3, 4001)
    tent = np.interp(f, [-15e3, -8e3, 12e3], [0.0, 1.0, 0.0])
    signal = np.exp(2j * np.pi * np.outer(times(1024), f)) @ tent / tent.sum()
    clean = process(Fid.create(signal, dwell_s=DWELL, larmor_hz=LARMOR), lorentzian_hz=200.0)
    turned = phase(noisy(clean, 300), -35.0, 90.0)
    assert autophase(turned) == pytest.approx((35.0, -90.0), abs=3.0)
    zero, first = autophase(phase(clean, 77.0), first_limit_deg=0.0)
    assert first == 0 and zero == pytest.approx(-77.0, abs=1.0)


def test_a_baseline_is_taken_off_where_there_is_no_signal():
    spectrum = process(fid())
    x = np.linspace(-1, 1, len(spectrum.values))
    bent = spectrum.replace(values=spectrum.values + 3e-4 * (1 + x - 2 * x**2) + 1e-4j * x)
    empty = [(-470, -400), (400, 300), (60, 100), (-120, -80)]
    fitted = baseline(bent, empty, 2).values - baseline(spectrum, empty, 2).values
    np.testing.assert_allclose(fitted, 0, atol=1e-15)
    assert np.abs(bent.values - baseline(bent, empty, 2).values).max() > 1e-4


def test_the_chain_in_one_call_is_the_chain_step_by_step():
    recorded = delayed(67.984375, points=1024)
    one = process(
        recorded, points=1000, lorentzian_hz=50.0, size=4096, zero_deg=10.0, auto=True, baseline_ppm=[(300, 400)]
    )
    cut = recorded.replace(values=recorded.values[:1000])
    two = phase(fourier_transform(zero_fill(apodize(cut, lorentzian_hz=50.0), 4096)), 10.0)
    two = baseline(phase(two, *autophase(two)), [(300, 400)], 1)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.larmor_hz == LARMOR and one.name == recorded.name


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda s: baseline(s, [(1, 2, 3)]), ShapeError, "pairs|low, high"),
        (lambda s: baseline(s, [(9000, 9001)]), DataError, "0 points lie in the regions"),
        (lambda s: baseline(s, [(-100, 100)], -1), ConventionError, "degree -1"),
        (lambda s: phase(s.replace(values=s.values.real), 1.0), DataError, "real spectrum"),
        (lambda s: autophase(s.replace(values=s.values.real)), DataError, "real spectrum"),
        (lambda s: autophase(s.replace(values=0 * s.values)), DataError, "zero everywhere"),
        (lambda s: autophase(s, first_limit_deg=-1.0), ConventionError, "0 or more"),
        (lambda s: zero_fill(fid(64), 32), ConventionError, "fewer than the 64"),
        (lambda s: start_at(fid(64), 62), ConventionError, "point 62 of 64"),
        (lambda s: process(fid(64), points=65), ParameterError, "cannot keep 65 of 64"),
        (lambda s: apodize(fid(64), gaussian_hz=-1.0), ConventionError, "must not be negative"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, text):
    spectrum = Spectrum.create(np.arange(64.0), np.ones(64) + 0j, larmor_hz=LARMOR)
    with pytest.raises(error, match=text):
        call(spectrum)
    assert issubclass(error, JaxnmrError)
