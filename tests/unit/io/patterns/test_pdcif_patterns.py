"""Powder loops of CIF files."""

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern


def read(tmp_path, text, **kwargs):
    path = tmp_path / "p.cif"
    path.write_text(text)
    return read_pattern(path, **kwargs)


def test_uncertainties_stand_in_parentheses(tmp_path):
    pattern = read(
        tmp_path,
        "data_a\n_cell_length_a 5\nloop_\n_pd_meas_2theta_scan\n_pd_meas_intensity_total\n"
        "10.0 100.0(25)\n10.1 121(7)\n10.2 144\n10.3 .5(3)\n",
    )
    np.testing.assert_allclose(pattern.x, [10, 10.1, 10.2, 10.3])
    np.testing.assert_allclose(pattern.y, [100, 121, 144, 0.5])
    np.testing.assert_allclose(pattern.sigma, [2.5, 7, 12, 0.3])
    assert pattern.instrument is None


def test_a_range_of_angles_and_least_squares_weights(tmp_path):
    pattern = read(
        tmp_path,
        "data_a\n_pd_meas_2theta_range_min 5\n_pd_meas_2theta_range_max 6\n_pd_meas_2theta_range_inc 0.25\n"
        "_diffrn_radiation_wavelength 1.909\n_diffrn_radiation_probe neutron\n"
        "loop_\n_pd_meas_counts_total\n_pd_proc_ls_weight\n100 0.04\n100 0.0\n100 .\n100 0.25\n0 1\n",
    )
    np.testing.assert_allclose(pattern.x, [5, 5.25, 5.5, 5.75, 6])
    np.testing.assert_allclose(pattern.sigma, [5, 10, 10, 2, 1])
    np.testing.assert_array_equal(pattern.included(), [True, False, False, True, True])
    assert pattern.instrument.radiation == "neutron" and pattern.instrument.wavelengths == (1.909,)


def test_a_doublet_is_listed_with_weights_perhaps_in_another_block(tmp_path):
    pattern = read(
        tmp_path,
        "data_publ\nloop_\n_diffrn_radiation_wavelength\n_diffrn_radiation_wavelength_wt\n1.5405 1.0\n1.5443 0.48\n"
        "data_a\nloop_\n_pd_proc_2theta_corrected\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n"
        "10.01 10 1\n11.01 11 2\n12.01 12 ?\n13.01 13 3\n",
    )
    np.testing.assert_array_equal(pattern.x, [10.01, 11.01, 13.01])
    assert pattern.instrument.wavelengths == (1.5405, 1.5443) and pattern.instrument.ratio == 0.48


def test_the_dotted_names_of_newer_dictionaries_are_understood(tmp_path):
    pattern = read(tmp_path, "data_a\nloop_\n_pd_meas.2theta_scan\n_pd_meas.counts_total\n1 4\n2 9\n3 16\n")
    np.testing.assert_array_equal(pattern.sigma, [2, 3, 4])


def test_one_of_several_blocks_is_chosen_by_its_number(tmp_path):
    block = "data_{}\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 {}\n2 9\n3 16\n"
    text = block.format("a", 5) + block.format("b", 7)
    assert read(tmp_path, text, bank=2).y[0] == 7
    with pytest.raises(ParseError, match=r"2 patterns \(a, b\)"):
        read(tmp_path, text)
    with pytest.raises(ParseError, match="no pattern 3"):
        read(tmp_path, text, bank=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_a\n_cell_length_a 5.0\n", "no measured powder pattern"),
        ("data_a\nloop_\n_pd_meas_counts_total\n1 2 3\n", "no angles"),
        ("data_a\nloop_\n_pd_meas_counts_total\n1 2 3\nloop_\n_pd_meas_2theta_scan\n1 2\n", "2 values"),
        ("data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 x\n2 3\n4 5\n", "'x'"),
        ("data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 2\n2 -3\n4 5\n", "negative intensity"),
        ("data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 2\n? 3\n4 5\n", "2theta is nan"),
        ("data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 2\n2\n", "broken CIF"),
        ("data_a\nloop_\n_pd_meas_counts_total\n_pd_proc_ls_weight\n1 2\n2 -1\n3 1\n_pd_meas_2theta_range_min 1\n"
         "_pd_meas_2theta_range_max 3\n_pd_meas_2theta_range_inc 1\n", "not negative"),
        ("data_a\nloop_\n_pd_meas_counts_total\n1 2 3 4\n_pd_meas_2theta_range_min 1\n_pd_meas_2theta_range_max 3\n"
         "_pd_meas_2theta_range_inc 1\n", "which is not 4 points"),
        ("data_a\n_diffrn_radiation_wavelength 1540\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n"
         "1 2\n2 3\n4 5\n", "not nm"),
    ],
)  # fmt: skip
def test_a_cif_without_a_usable_pattern_says_why(tmp_path, text, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value) and "p.cif" in str(caught.value)
