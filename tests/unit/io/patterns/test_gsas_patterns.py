"""GSAS BANK records: fixed columns, detectors, padding, uncertainties, truncation."""

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern


def std(counts, detectors=None, per_line=10):
    fields = [f"{'' if detectors is None else detectors[k]:>2}{c:>6}" for k, c in enumerate(counts)]
    return "".join("".join(fields[k : k + per_line]) + "\n" for k in range(0, len(fields), per_line))


def read(tmp_path, text, **kwargs):
    path = tmp_path / "p.gsa"
    path.write_text(text)
    return read_pattern(path, **kwargs)


def test_std_angles_are_centidegrees_and_sigma_is_the_root_of_the_counts(tmp_path):
    pattern = read(tmp_path, "a title 1 2 3\nBANK 1 12 2 CONST 1500 2.5 0 0 STD\n" + std(range(100, 112)))
    np.testing.assert_allclose(pattern.x, 15 + 0.025 * np.arange(12), rtol=1e-14)
    np.testing.assert_array_equal(pattern.y, np.arange(100, 112))
    np.testing.assert_allclose(pattern.sigma, np.sqrt(np.arange(100, 112)), rtol=1e-14)


def test_bytes_of_memory_in_the_title_are_no_hindrance(tmp_path):
    path = tmp_path / "p.gsas"
    bank = b"BANK 1 3 1 CONST 1000 5 0 0 ESD\r\n     500      20     510      20     520      20\r\n"
    path.write_bytes(b"sample at 50 K\x00\xe5\x18\x00\xf0\xf3" + b" " * 40 + b"\r\n" + bank)
    pattern = read_pattern(path)
    np.testing.assert_allclose(pattern.x, [10, 10.05, 10.1])
    np.testing.assert_array_equal(pattern.y, [500, 510, 520])
    path.write_bytes(bank.replace(b"510", b"5\x000"))
    with pytest.raises(ParseError, match="line 2: binary data"):
        read_pattern(path)


def test_net_intensities_with_uncertainties_may_be_negative(tmp_path):
    pattern = read(tmp_path, "t\nBANK 1 3 3 CONST 50 1 0 0 FXYE\n50 1 1\n51 -1 2\n52 1 1\n")
    np.testing.assert_array_equal(pattern.y, [1, -1, 1])
    np.testing.assert_array_equal(pattern.sigma, [1, 2, 1])


def test_counts_that_touch_are_separated_by_columns_not_by_blanks(tmp_path):
    counts, detectors = [123456, 654321, 100000], [10, 10, 4]
    pattern = read(tmp_path, "t\nBANK 1 3 1 CONST 1000 5 0 0\n" + std(counts, detectors))
    np.testing.assert_array_equal(pattern.y, counts)


def test_more_detectors_make_a_mean_count_more_precise(tmp_path):
    pattern = read(tmp_path, "t\nBANK 1 4 1 CONST 1000 5 0 0\n" + std([400, 400, 400, 0], [1, 4, 10, 5]) + "junk\n")
    np.testing.assert_allclose(pattern.sigma[:3], [20, 10, np.sqrt(40)], rtol=1e-14)


def test_no_count_in_n_detectors_has_the_uncertainty_of_one_count(tmp_path):
    pattern = read(tmp_path, "t\nBANK 1 4 1 CONST 1000 5 0 0\n" + std([9, 0, 9, 9], [1, 4, 1, 1]))
    np.testing.assert_allclose(pattern.sigma, [3, 0.25, 3, 3])
    assert pattern.included().all()


def test_zeros_that_fill_the_last_record_are_not_counts(tmp_path):
    counts = [84, 0, 96, 90, 95, 90, 96, 90, 82, 82, 84, 0, 0]
    pattern = read(tmp_path, "t\nBANK 1 13 2 CONST 1000 5 0 0 STD\n" + std(counts))
    np.testing.assert_array_equal(np.flatnonzero(~pattern.included()), [11, 12])
    assert pattern.sigma[1] == 1.0


def test_a_count_wider_than_six_columns_is_refused(tmp_path):
    text = "t\nBANK 1 4 1 CONST 1000 5 0 0 STD\n" + "  999998  999999 1000000 1000001\n"
    with pytest.raises(ParseError, match=r"line 3: field 3 has a number of detectors"):
        read(tmp_path, text)


def test_esd_pairs_are_fixed_columns(tmp_path):
    body = " 1234568  1111.1     2.512345678     0.0     1.0     4.0     2.0     5.0     2.0\n     6.0     3.0\n"
    pattern = read(tmp_path, "t\nBANK 1 6 2 CONS 500 1 0 0 ESD\n" + body)
    np.testing.assert_array_equal(pattern.y, [1234568, 2.5, 0, 4, 5, 6])
    np.testing.assert_array_equal(pattern.sigma, [1111.1, 12345678, 1, 2, 2, 3])


def test_fxye_gives_its_own_angles_in_centidegrees(tmp_path):
    text = "t\n# comment\nBANK 2 3 3 CONS 50 0.1 0 0 FXYE\n 50 239.9 16.08\n 50.09 244.1 16.18\n 50.2 224.0 15.6\n"
    pattern = read(tmp_path, text + " 50.3 225.0 15.7\n")
    np.testing.assert_allclose(pattern.x, [0.50, 0.5009, 0.502, 0.503], rtol=1e-14)
    np.testing.assert_array_equal(pattern.sigma, [16.08, 16.18, 15.6, 15.7])


def test_fxy_uses_counting_statistics(tmp_path):
    pattern = read(tmp_path, "t\nBANK 1 3 3 CONST 50 1 0 0 FXY\n50 100\n51 144\n52 0\n")
    np.testing.assert_array_equal(pattern.sigma, [10, 12, 1])


def test_one_of_several_banks_is_chosen_by_its_number(tmp_path):
    one = "BANK 3 3 1 CONST 1000 5 0 0 STD\n" + std([1, 2, 3])
    two = "BANK 5 4 1 CONST 2000 5 0 0 STD\n" + std([5, 6, 7, 8])
    assert read(tmp_path, "t\n" + one + two, bank=3).y.tolist() == [1, 2, 3]
    assert read(tmp_path, "t\n" + one + two, bank=5).y.tolist() == [5, 6, 7, 8]
    with pytest.raises(ParseError, match="holds banks 3, 5"):
        read(tmp_path, "t\n" + one + two)
    with pytest.raises(ParseError, match="no bank 4"):
        read(tmp_path, "t\n" + one + two, bank=4)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("t\nBANK 1 20 2 CONST 1000 5 0 0 STD\n" + std([1] * 10), 2, "truncated"),
        ("t\nBANK 1 20 2 CONST 1000 5 0 0 STD\n" + std([1] * 15), 4, "field 6"),
        ("t\nBANK 1 3 1 CONST 1000 5 0 0 STD\n" + std([123456] * 3)[:-2], 3, "field 3 is '  12345'"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 ESD\n       1       1       2       2       3      1", 3, "pair 3"),
        ("t\nBANK 1 4 4 CONST 50 1 0 0 FXYE\n50 1 1\n51 1 1\n52 1 1\n", 2, "truncated"),
        ("t\nBANK 1 3 3 CONST 50 1 0 0 FXYE\n50 1 1\n51 1 \n52 1 1\n", 4, "FXYE expects 3 numbers"),
        ("t\nBANK 1 3 3 CONST 50 1 0 0 FXYE\n50 1 1\n51 1 0\n52 1 1\n", 4, "uncertainty 0"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 STD\n" + std([1, -2, 3]), 3, "negative intensity"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 STD\n" + std([1, "nan", 3]), 3, "intensity is nan"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 ESD\n       1       1       2       0       3       1\n", 3, "uncertainty 0"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 ESD\n       1       1       2       x       3       1\n", 3, "pair 2"),
        ("t\nBANK 1 3 1 SLOG 50 1 0 0 STD\n", 2, "time-of-flight"),
        ("t\nBANK 1 3 1 CONQ 50 1 0 0 STD\n", 2, "expected CONST"),
        ("t\nBANK 1 3 1 CONST 50 1 0 0 ALT\n", 2, "expected one of STD"),
        ("t\nBANK 1 3 1 CONST 50 0 0 0 STD\n" + std([1, 2, 3]), 2, "positive step"),
        ("t\nBANK 1 x 1 CONST 50 1 0 0 STD\n", 2, "expected BANK number points"),
        ("t\nBANK 1 1 1 CONST 50 1 0 0 STD\n" + std([1]), 2, "at least 3"),
    ],
)
def test_a_damaged_bank_names_the_line_and_what_was_expected(tmp_path, text, line, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, text)
    assert caught.value.line == line and words in str(caught.value)
