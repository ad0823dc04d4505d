"""Measured 19F, 23Na and 93Nb spectra of NaNbO2F2: raw and processed TopSpin data agree, and with the fits of DMFit."""

import numpy as np
import pytest

from jaxnmr.io import (
    read_dmfit,
    read_fid,
    read_spectrum,
    read_topspin_acquisition,
    read_topspin_processing,
    write_spectrum,
)
from jaxnmr.nmr.processing import autophase, phase, process

pytestmark = pytest.mark.real_data
EXPERIMENTS = ("19F/43", "23Na/3", "93Nb/210")


@pytest.fixture(scope="module")
def folder(data):
    return data / "NaMO2F2" / "NMR" / "NaNbO2F2"


def peaks(spectrum, *windows):
    found = []
    for low, high in windows:
        part = spectrum.limited(low, high)
        found.append(part.ppm[np.asarray(part.values).real.argmax()])
    return found


def shared(folder, experiment):
    """Values of 1r - i 1i and of the processed decay on the points their axes share."""
    theirs = read_spectrum(folder / experiment)
    ours = process(read_fid(folder / experiment), **read_topspin_processing(folder / experiment))
    # OFFSET is rounded to 1e-4 ppm
    np.testing.assert_allclose(ours.frequency_hz[1:], theirs.frequency_hz[:-1], atol=0.1)
    return ours.values[1:], theirs.values[:-1]


def test_the_two_fluorine_sites_lie_where_they_were_published(folder):
    windows = (-75, -55), (-100, -80)
    decay = read_fid(folder / "19F/43")
    for spectrum in (
        read_spectrum(folder / "19F/43"),
        process(decay, **read_topspin_processing(folder / "19F/43")),
        process(decay, start=72, auto=True),
    ):
        assert peaks(spectrum, *windows) == pytest.approx([-63.4, -91.03], abs=0.1)


@pytest.mark.parametrize("experiment", ["19F/43", "23Na/3"])
def test_the_transform_of_the_decay_is_the_spectrum_of_topspin(folder, experiment):
    ours, theirs = shared(folder, experiment)
    # TopSpin's transform is the plain sum, and PHC1 of the 19F spectrum is stored to 0.01 degree
    scale = 0.5 / read_fid(folder / experiment).dwell_s
    assert np.linalg.norm(theirs - scale * ours) < np.radians(0.005) * np.linalg.norm(theirs)
    # but for that constant phase, what is left is the rounding of 1r to integers
    turn = np.vdot(ours, theirs) / np.vdot(ours, ours)
    assert np.linalg.norm(theirs - turn * ours) < 1e-6 * np.linalg.norm(theirs)


def test_the_processed_niobium_spectrum_is_more_than_the_transform_of_its_decay(folder):
    ours, theirs = shared(folder, "93Nb/210")
    for part in (np.real, np.imag):
        assert np.corrcoef(part(ours), part(theirs))[0, 1] == pytest.approx(0.9988, abs=6e-4)
    # 1r is larger by 2.8, less noisy, and steps at both ends: made of several spectra (its folder says 1D_recon)
    scale = np.vdot(ours, theirs).real / np.vdot(ours, ours).real * 2 * read_fid(folder / "93Nb/210").dwell_s
    assert scale == pytest.approx(2.8, abs=0.05)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_automatic_phase_is_that_of_the_spectroscopist(folder, experiment):
    decay, parameters = read_fid(folder / experiment), read_topspin_processing(folder / experiment)
    smooth = {"start": parameters["start"], "lorentzian_hz": 50.0}
    theirs = process(decay, **smooth, **{k: parameters[k] for k in ("zero_deg", "first_deg", "pivot_ppm")})
    plain = process(decay, **smooth)
    ours = phase(plain, *autophase(plain))
    top = np.abs(plain.values).argmax()
    assert abs(np.degrees(np.angle(ours.values[top] / theirs.values[top]))) < 1.0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_spectra_survive_every_format(folder, experiment, tmp_path):
    before = read_spectrum(folder / experiment)
    before = before.limited(*np.quantile(before.ppm, [0.4, 0.55]))
    for name in ("s.csdf", "s.csdfe", "s.spe", "s.csv"):
        known = {"larmor_hz": before.larmor_hz} if name == "s.spe" else {}
        after = read_spectrum(write_spectrum(before, tmp_path / name), **known)
        np.testing.assert_array_equal(after.values, before.values)
        np.testing.assert_allclose(after.ppm, before.ppm, rtol=0, atol=1e-9)


def test_the_acquisition_tells_the_pulse_and_the_delay_of_the_filter(folder):
    fluorine = read_topspin_acquisition(folder / "19F/43")
    assert fluorine.pulses_s[1] == pytest.approx(1.56e-6) and fluorine.pulse_program == "hahnecho"
    assert (fluorine.isotope, fluorine.scans, fluorine.points) == ("19F", 256, 2048)
    assert fluorine.group_delay == 67.984375
    sodium = read_topspin_acquisition(folder / "23Na/3")
    assert (sodium.mas_hz, sodium.points, sodium.group_delay) == (30000.0, 20000, 68.0)


@pytest.mark.parametrize(
    "experiment, place, rate",
    [("19F/43", "pdata/1", 64000.0), ("23Na/3", "pdata/1", 29993.2341), ("93Nb/210", "pdata/20", 0.0)],
)
def test_the_fits_of_dmfit_belong_to_the_spectra(folder, experiment, place, rate):
    fit, spectrum = read_dmfit(folder / experiment / place / "1R.fxml"), read_spectrum(folder / experiment)
    assert fit.isotope == spectrum.isotope and fit.mas_hz == rate
    assert fit.larmor_hz == pytest.approx(spectrum.larmor_hz, rel=1e-9)
    for line in fit.lines:
        if "width_hz" in line.values:  # em_au is lb in Hz
            assert line.values["width_hz"] == pytest.approx(line.values["width_ppm"] * fit.larmor_hz * 1e-6, rel=1e-4)


def test_dmfit_lines_rebuild_the_fluorine_spectrum_with_gl_the_gaussian_fraction(folder):
    fit = read_dmfit(folder / "19F/43/pdata/1/1R.fxml")
    part = read_spectrum(folder / "19F/43").limited(-115, -40)

    def misfit(flip):
        model = np.zeros(len(part.ppm))
        for line in fit.lines:
            v = line.values
            share = 1 - v["gauss_fraction"] if flip else v["gauss_fraction"]
            u = (part.ppm - v["position_ppm"]) / v["width_ppm"]
            model += v["amplitude"] * (share * np.exp(-4 * np.log(2) * u**2) + (1 - share) / (1 + 4 * u**2))
        matrix = np.stack([model, np.ones_like(model), part.ppm], axis=1)
        fitted = matrix @ np.linalg.lstsq(matrix, part.values.real, rcond=None)[0]
        return np.linalg.norm(part.values.real - fitted) / np.linalg.norm(part.values.real)

    assert misfit(flip=False) < 0.006 < 0.03 < misfit(flip=True)
