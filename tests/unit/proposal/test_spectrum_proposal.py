"""A run file for a spectrum with a list of peaks, or with a calculation."""

import numpy as np
import pytest

from jaxnmr.errors import JaxnmrError
from jaxnmr.io import write_spectrum
from jaxnmr.nmr import Spectrum
from jaxnmr.proposal.files import sort_files
from jaxnmr.proposal.run import Options, propose
from jaxnmr.proposal.spectra import read_peak_list
from jaxnmr.runfile import build, load_run

LARMOR, FWHM = 79.5e6, 1.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nmr")
    ppm = np.linspace(-200.0, 0.0, 2001)
    line = lambda at: np.exp(-4.0 * np.log(2.0) * ((ppm - at) / FWHM) ** 2)
    values = 100.0 * line(-107.0) + 50.0 * line(-112.0) + np.random.default_rng(1).normal(0.0, 0.5, len(ppm))
    spectrum = Spectrum.create(1e-6 * LARMOR * ppm, values, larmor_hz=LARMOR, isotope="29Si")
    write_spectrum(spectrum, folder / "si.csdf")
    (folder / "peaks.txt").write_text("label ppm area\nQ4a -107.2 2\n-111.7; 1\n", encoding="utf-8")
    return folder


def test_a_list_of_peaks_is_read_with_and_without_labels(folder):
    assert [(p.label, p.shift, p.area) for p in read_peak_list(folder / "peaks.txt")] == [
        ("Q4a", -107.2, 2.0),
        ("", -111.7, 1.0),
    ]


def test_a_spectrum_and_a_list_of_peaks_make_a_run_file_that_can_be_refined(folder):
    path = folder / "si.toml"
    found = propose(sort_files([folder / "peaks.txt", folder / "si.csdf"]), path, Options())
    path.write_text(found.text, encoding="utf-8")
    run = load_run(path)
    (spec,) = run.spectra
    ((low, high),) = spec.region_ppm
    assert low < -114.0 and high > -105.0 and high - low < 40.0
    noise = sorted(spec.noise_region_ppm)
    assert noise[1] < low or noise[0] > high
    assert [site.label for site in spec.sites] == ["Q4a", "Si2"]
    setup = build(run)
    freed = {name for stage in setup.stages for name in stage.free}
    assert {"nmr/shift", "nmr/amplitude", "nmr/baseline"} <= freed


@pytest.mark.parametrize(
    ("files", "message"),
    [(["si.csdf"], "nothing says its sites"), (["peaks.txt"], "no data among these"), (["none.xy"], "no such file"),
     (["."], "is a folder, and neither"), (["si.csdf", "peaks.txt", "si.csdf"], "given twice")],
)  # fmt: skip
def test_what_is_missing_among_the_files_is_said(folder, files, message):
    with pytest.raises(JaxnmrError, match=message):
        sort_files([folder / name for name in files])
