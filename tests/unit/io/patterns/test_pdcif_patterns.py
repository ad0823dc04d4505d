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


def loop(columns, extra=""):
    names = "".join(f"_{name}\n" for name in columns)
    rows = "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True))
    return f"data_a\n{extra}loop_\n{names}{rows}"


@pytest.mark.parametrize("suffix", ["_su", "_esd"])
@pytest.mark.parametrize("name", ["pd_meas_counts_total", "pd_proc_intensity_net", "pd_meas_intensity_total"])
def test_uncertainties_may_have_an_item_of_their_own(tmp_path, name, suffix):
    columns = {"pd_proc_2theta_corrected": [1, 2, 3], name: [100, 9, 4], name + suffix: [11, 4, 1]}
    pattern = read(tmp_path, loop(columns))
    np.testing.assert_array_equal(pattern.y, [100, 9, 4])
    np.testing.assert_array_equal(pattern.sigma, [11, 4, 1])


def peaks():
    """Counts of two peaks on a background that falls."""
    x = np.linspace(20.0, 40.0, 401)
    return x, np.rint(
        900 - 20 * (x - 20) + 5000 * np.exp(-((x - 25) ** 2) / 0.02) + 900 * np.exp(-((x - 33) ** 2) / 0.02)
    )


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (lambda sigma: sigma**-2.0, None),
        (lambda sigma: sigma, "a standard uncertainty"),
        (lambda sigma: sigma**2, "a variance"),
    ],
)
@pytest.mark.parametrize("net", [False, True])
def test_weights_that_grow_with_the_intensity_are_uncertainties(tmp_path, weights, says, net):
    x, y = peaks()
    sigma = np.sqrt(y)
    if net:
        y = y - (900 - 20 * (x - 20)) - 3.0  # the background taken off, a little too much
        if says == "a variance":
            return
    columns = {
        "pd_meas_2theta_scan": x.tolist(),
        "pd_proc_intensity_net" if net else "pd_proc_intensity_total": y.tolist(),
        "pd_proc_ls_weight": [float(w) for w in weights(sigma)],
    }
    pattern = read(tmp_path, loop(columns))
    np.testing.assert_allclose(pattern.y, y)
    np.testing.assert_allclose(pattern.sigma, sigma, rtol=1e-12)
    assert [says in note for note in pattern.notes] == ([] if says is None else [True])
    assert (pattern.y.min() < 0) == net


def test_weights_of_points_that_do_not_change_are_read_by_their_definition(tmp_path):
    x, _ = peaks()
    columns = {
        "pd_meas_2theta_scan": x.tolist(),
        "pd_meas_counts_total": [100] * 401,
        "pd_proc_ls_weight": [0.01] * 401,
    }
    np.testing.assert_allclose(read(tmp_path, loop(columns)).sigma, 10.0)


def test_the_offset_is_added_to_scanned_angles_only(tmp_path):
    scanned = {"pd_meas_2theta_scan": [10, 11, 12], "pd_meas_counts_total": [1, 4, 9]}
    for tag in ("_pd_calib_2theta_offset", "_pd_calib.2theta_offset"):
        pattern = read(tmp_path, loop(scanned, f"{tag} -0.10(1)\n"))
        np.testing.assert_allclose(pattern.x, [9.9, 10.9, 11.9])
        assert "-0.1° was added" in pattern.notes[0]
    corrected = {"pd_proc_2theta_corrected": [10, 11, 12], **scanned}
    for columns, offset in ((corrected, "-0.10"), (scanned, "0"), (scanned, "?")):
        pattern = read(tmp_path, loop(columns, f"_pd_calib_2theta_offset {offset}\n"))
        np.testing.assert_allclose(pattern.x, [10, 11, 12])
        assert pattern.notes == ()
    with pytest.raises(ParseError, match="has 2 values"):
        read(tmp_path, loop(scanned, "loop_\n_pd_calib_2theta_offset\n0.1\n0.2\n"))


@pytest.mark.parametrize(
    ("stated", "geometry"),
    [
        ("_pd_spec_mount_mode reflection\n_pd_spec_shape flat_sheet\n", "bragg-brentano"),
        ("_pd_spec.mount_mode transmission\n_pd_spec.shape flat_sheet\n", "debye-scherrer"),
        ("_pd_spec_shape cylinder\n", "debye-scherrer"),
        ("_pd_instr_geometry 'Bragg-Brentano'\n", "bragg-brentano"),
        ("_pd_instr_geometry\n;\n Guinier camera\n;\n", "debye-scherrer"),
        ("_pd_spec_mounting '0.5 mm glass capillary'\n", "debye-scherrer"),
        ("", None),
    ],
)
def test_the_geometry_is_that_stated_not_that_of_the_number_of_lines(tmp_path, stated, geometry):
    columns = {"pd_meas_2theta_scan": [10, 11, 12], "pd_meas_counts_total": [1, 4, 9]}
    one = "_diffrn_radiation_wavelength 1.5406\n"
    two = "loop_\n_diffrn_radiation_wavelength.value\n_diffrn_radiation_wavelength.wt\n1.5406 1\n1.5444 0.5\n"
    assert read(tmp_path, loop(columns, one + stated)).instrument.geometry == (geometry or "debye-scherrer")
    instrument = read(tmp_path, loop(columns, two + stated)).instrument
    assert instrument.geometry == (geometry or "bragg-brentano")
    assert instrument.wavelengths == (1.5406, 1.5444) and instrument.ratio == 0.5


def test_the_lines_of_a_doublet_are_put_in_order(tmp_path):
    columns = {"pd_meas_2theta_scan": [10, 11, 12], "pd_meas_counts_total": [1, 4, 9]}
    two = "loop_\n_diffrn_radiation_wavelength\n_diffrn_radiation_wavelength_wt\n1.5444 0.5\n1.5406 1\n"
    for stated in (two, two.replace("0.5", "1").replace("1.5406 1", "1.5406 0.5")):
        instrument = read(tmp_path, loop(columns, stated)).instrument
        assert instrument.wavelengths == (1.5406, 1.5444) and instrument.ratio == 0.5


def test_crystals_and_slits_that_a_cif_names_are_part_of_the_instrument(tmp_path):
    columns = {"pd_meas_2theta_scan": [10, 11, 12], "pd_meas_counts_total": [1, 4, 9]}
    stated = "_diffrn_radiation_wavelength 1.5406\n_diffrn_source 'sealed tube'\n_pd_spec_mount_mode reflection\n"
    graphite = read(
        tmp_path, loop(columns, stated + "_diffrn_radiation_monochromator 'pyrolytic graphite'\n")
    ).instrument
    assert graphite.monochromator_deg == pytest.approx(26.6, abs=0.06) and graphite.divergence_slit is None
    slit = read(tmp_path, loop(columns, stated + "_pd_instr_cons_illum_flag yes\n")).instrument
    assert slit.divergence_slit == "automatic" and slit.monochromator_deg is None


def test_the_monochromator_of_a_tube_polarises_and_that_of_a_synchrotron_is_not_taken_for_one(tmp_path):
    columns = {"pd_meas_2theta_scan": [10, 11, 12], "pd_meas_counts_total": [1, 4, 9]}
    stated = "_diffrn_radiation_wavelength 1.5406\n_pd_instr_2theta_monochr_post 26.6\n_diffrn_source '{}'\n"
    tube = read(tmp_path, loop(columns, stated.format("sealed X-ray tube")))
    assert tube.instrument.monochromator_deg == 26.6
    named = stated.replace("_pd_instr_2theta_monochr_post 26.6", "_diffrn_radiation_monochromator graphite")
    tube = read(tmp_path, loop(columns, named.format("sealed X-ray tube")))
    assert tube.instrument.monochromator_deg == pytest.approx(26.6, abs=0.1)
    assert read(tmp_path, loop(columns, stated.format("synchrotron"))).instrument.monochromator_deg is None


@pytest.mark.parametrize(("name", "x"), [("pd_proc_d_spacing", 1.0), ("pd_proc.recip_len_Q", 2.0 * np.pi)])
def test_d_and_q_become_2theta(tmp_path, name, x):
    columns = {name: [x / 1.01, x, x / 0.99], "pd_proc_intensity_total": [1, 4, 9]}
    two_theta = read(tmp_path, loop(columns, "_diffrn_radiation_wavelength 1.0\n")).x
    assert two_theta[1] == pytest.approx(60.0) and (np.diff(two_theta) > 0).all()


def test_a_pattern_over_time_of_flight_is_refused_by_name(tmp_path):
    columns = {"pd_meas_time_of_flight": [1000, 1100, 1200], "pd_proc_intensity_total": [1, 4, 9]}
    with pytest.raises(ParseError, match="the pattern is over _pd_meas_time_of_flight"):
        read(tmp_path, loop(columns))


def test_a_calibration_equation_is_said_where_angles_are_as_scanned(tmp_path):
    loop = "data_a\n_pd_calib_conversion_eqn '2theta = 2theta_set - 0.05 + 0.001*2theta_set'\nloop_\n{}\n_pd_meas_counts_total\n1 4\n2 9\n3 16\n"
    (note,) = read(tmp_path, loop.format("_pd_meas_2theta_scan")).notes
    assert "not applied" in note and "2theta_set - 0.05" in note
    assert read(tmp_path, loop.format("_pd_proc_2theta_corrected")).notes == ()
