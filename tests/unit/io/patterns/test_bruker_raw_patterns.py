"""Bruker RAW1.01: header fields, several ranges, truncation."""

import struct

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern


def raw(ranges=((10.0, 0.02, [100, 0, 9, 4]),), wavelengths=(1.5406, 1.54439, 1.39222, 0.5), radius=250.0, extra=40,
        scan=0, width=4):  # fmt: skip
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<I", head, 12, len(ranges))
    struct.pack_into("<f", head, 564, radius)
    struct.pack_into("<4d", head, 624, *wavelengths)
    for start, step, counts in ranges:
        block = bytearray(304)
        struct.pack_into("<2I2d", block, 0, 304, len(counts), start / 2, start)
        struct.pack_into("<d", block, 176, step)
        struct.pack_into("<I", block, 196, scan)
        struct.pack_into("<2I", block, 252, width, extra)
        head += block + bytes(extra) + np.asarray(counts, dtype="<f4").tobytes()
    return bytes(head)


def read(tmp_path, data, **kwargs):
    path = tmp_path / "p.raw"
    path.write_bytes(data)
    return read_pattern(path, **kwargs)


def test_a_range_is_read_with_the_wavelengths_of_the_header(tmp_path):
    pattern = read(tmp_path, raw())
    np.testing.assert_allclose(pattern.x, [10, 10.02, 10.04, 10.06], rtol=1e-15)
    np.testing.assert_array_equal(pattern.y, [100, 0, 9, 4])
    np.testing.assert_array_equal(pattern.sigma, [10, 1, 3, 2])
    assert pattern.instrument.wavelengths == (1.5406, 1.54439) and pattern.instrument.ratio == 0.5
    assert pattern.instrument.radius_mm == 250.0


def test_a_header_without_second_line_gives_one_wavelength(tmp_path):
    assert read(tmp_path, raw(wavelengths=(1.5406, 0, 0, 0))).instrument.wavelengths == (1.5406,)
    assert read(tmp_path, raw(wavelengths=(0, 0, 0, 0), radius=0.0)).instrument.wavelengths == ()


def test_one_of_several_ranges_is_chosen_by_its_number(tmp_path):
    data = raw(((10, 0.02, [1, 2, 3]), (30, 0.1, [5, 6, 7, 8])), extra=0)
    np.testing.assert_allclose(read(tmp_path, data, bank=2).x, [30, 30.1, 30.2, 30.3])
    with pytest.raises(ParseError, match="2 ranges"):
        read(tmp_path, data)
    with pytest.raises(ParseError, match="no range 3"):
        read(tmp_path, data, bank=3)


@pytest.mark.parametrize("cut", [8, 700, 720, 1015, 1060])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, cut):
    with pytest.raises(ParseError, match="truncated"):
        read(tmp_path, raw()[:cut])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"RAW4.00" + bytes(900), "RAW version 'RAW4.00'"),
        (b"RAW2" + bytes(900), "RAW version 'RAW2'"),
        (raw(ranges=()), "no range"),
        (raw(width=12), "12 bytes per point"),
        (raw(scan=5), "not over 2theta"),
        (raw(((10.0, 0.0, [1, 2, 3]),)), "positive step"),
        (raw(((10.0, 0.1, [1, -2, 3]),)), "negative intensity"),
        (raw(((10.0, 0.1, [1, np.nan, 3]),)), "intensity is nan"),
        (raw(wavelengths=(1540.6, 0, 0, 0)), "not nm, not keV"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, data, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data)
    assert words in str(caught.value)
