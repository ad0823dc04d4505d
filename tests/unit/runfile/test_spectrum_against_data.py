"""What a [[spectrum]] says of its nucleus and field against what the file says."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, JaxnmrError
from jaxnmr.io import write_spectrum
from jaxnmr.nmr import Spectrum, reference_hz
from jaxnmr.runfile import load_run
from jaxnmr.runfile.spectrum import measured

LARMOR = reference_hz("27Al", 11.7)
SITE = '[[spectrum.site]]\nlabel = "A"\nshift_ppm = 0.0\n'


@pytest.fixture
def read(tmp_path):
    """The data of a table with these lines, of a file that says 27Al at 11.7 T, or of one that says nothing."""
    frequency = 100.0 * np.arange(-16, 16)
    spectrum = Spectrum.create(frequency, np.ones(32), larmor_hz=LARMOR, isotope="27Al")
    write_spectrum(spectrum, tmp_path / "al.csdf")
    np.savetxt(tmp_path / "al.txt", np.column_stack([frequency / LARMOR * 1e6, np.ones(32)]), header="ppm intensity")

    def of(lines, file="al.csdf"):
        path = tmp_path / "run.toml"
        path.write_text(f'[[spectrum]]\nfile = "{file}"\n{lines}\n{SITE}', encoding="utf-8")
        return measured(load_run(path).spectra[0])

    return of


def test_another_nucleus_than_that_of_the_file_is_refused(read):
    with pytest.raises(ConventionError, match=r"al\.csdf says that it shows 27Al, isotope is '23Na'"):
        read('isotope = "23Na"')
    assert read('isotope = "Al-27"').isotope == read("").isotope == "27Al"


@pytest.mark.parametrize(("lines", "name"), [("larmor_mhz = 104.26", "larmor_mhz"), ("b0_tesla = 9.4", "b0_tesla")])
def test_another_larmor_frequency_than_that_of_the_file_is_refused(read, lines, name):
    with pytest.raises(ConventionError, match=f"says 129.8[0-9]* MHz, {name} stands for 104"):
        read(f'isotope = "27Al"\n{lines}')


def test_a_field_that_agrees_with_the_file_is_taken(read):
    assert read('isotope = "27Al"\nb0_tesla = 11.7').larmor_hz == pytest.approx(LARMOR)
    assert read('isotope = "27Al"\nlarmor_mhz = 129.8').larmor_hz == pytest.approx(129.8e6)


def test_a_file_that_says_nothing_gets_the_field_of_the_table(read):
    assert read('isotope = "27Al"\nb0_tesla = 9.4', "al.txt").larmor_hz == reference_hz("27Al", 9.4)
    assert read('isotope = "23Na"\nlarmor_mhz = 104.26', "al.txt").larmor_hz == pytest.approx(104.26e6)
    with pytest.raises(JaxnmrError, match="in another unit"):
        read('isotope = "27Al"\nlarmor_mhz = 104.26e6', "al.txt")
