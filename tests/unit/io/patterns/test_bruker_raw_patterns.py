"""Bruker RAW, versions 1 to 4: header fields, several ranges, truncation."""

import struct

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_pattern


def raw(ranges=((10.0, 0.02, [100, 0, 9, 4]),), wavelengths=(1.5406, 1.54439, 1.39222, 0.5), radius=250.0, extra=40,
        scan=0, width=4, varies=0):  # fmt: skip
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
        struct.pack_into("<3I", block, 248, varies, width, extra)
        values = np.asarray(counts, dtype="<f4").tobytes()
        if varies:
            listed = start + step * np.arange(len(counts)) ** 2
            values = b"".join(struct.pack("<fd", *point) for point in zip(counts, listed, strict=True))
        head += block + bytes(extra) + values
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
        (b"RAW4.10" + bytes(900), "RAW version 'RAW4.10'"),
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


def test_angles_that_vary_stand_beside_the_counts(tmp_path):
    pattern = read(tmp_path, raw(width=12, varies=1))
    np.testing.assert_allclose(pattern.x, [10, 10.02, 10.08, 10.18])
    np.testing.assert_array_equal(pattern.y, [100, 0, 9, 4])


def segment(kind, length, **fields):
    data = bytearray(struct.pack("<2I", kind, length) + bytes(length - 8))
    for place, (form, *values) in fields.items():
        struct.pack_into(form, data, int(place[2:]), *values)
    return bytes(data)


def raw4(
    ranges=((10.0, 0.02, [100, 0, 9, 4]),), scan=b"Locked Coupled", drives=((2, b"2Theta"), (1, b"Theta")), stride=4
):
    data = b"RAW4.00\0" + bytes(53) + segment(10, 50, at12=("<24s", b"SAMPLEID"), at36=("<14s", b"corundum"))
    data += segment(30, 136, at24=("<f", 560.0), at72=("<5d", 1.5418, 1.5406, 1.54439, 1.39222, 0.48))
    for start, step, counts in ranges:
        moved = b"".join(segment(50, 92, at8=("<I", m), at12=("<24s", n), at56=("<d", start)) for m, n in drives)
        head = segment(
            0, 160, at32=("<24s", scan), at72=("<2dI", start, step, len(counts)), at136=("<2I", stride, len(moved))
        )
        values = b"".join(struct.pack("<f", c) + bytes(stride - 4) for c in counts)
        data += head[:4] + struct.pack("<I", len(counts)) + head[8:] + moved + values
    return data


@pytest.mark.parametrize("stride", [4, 8])
def test_version_4_is_read_with_the_circle_and_lines_of_its_source(tmp_path, stride):
    pattern = read(tmp_path, raw4(stride=stride))
    np.testing.assert_allclose(pattern.x, [10, 10.02, 10.04, 10.06], rtol=1e-15)
    np.testing.assert_array_equal(pattern.y, [100, 0, 9, 4])
    np.testing.assert_array_equal(pattern.sigma, [10, 1, 3, 2])
    instrument = pattern.instrument
    assert instrument.wavelengths == (1.5406, 1.54439) and instrument.ratio == 0.48 and instrument.radius_mm == 280.0


def test_version_4_may_hold_several_ranges(tmp_path):
    data = raw4(((10, 0.02, [1, 2, 3]), (30, 0.1, [5, 6, 7, 8])))
    np.testing.assert_allclose(read(tmp_path, data, bank=2).x, [30, 30.1, 30.2, 30.3])
    with pytest.raises(ParseError, match="2 ranges"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (raw4(scan=b"Rocking Curve", drives=((2, b"Theta"),)), "the scan (Rocking Curve) is over Theta"),
        (raw4(scan=b"Phi Scan", drives=()), "expected a powder scan over 2theta"),
        (raw4()[:-3], "declares 4 points and the file ends after 3; the file is truncated"),
        (raw4()[:300], "is truncated"),
        (raw4()[:61] + struct.pack("<2I", 10, 3) + bytes(90), "a segment at byte 61 has 3 bytes"),
        (raw4(ranges=()), "holds no range"),
        (raw4(((10, -0.02, [1, 2, 3]),)), "positive step"),
        (b"RAW4.00" + bytes(900), "stores 0 bytes per point"),
    ],
)
def test_version_4_names_what_cannot_be_used(tmp_path, data, words):
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data)
    assert words in str(caught.value)


RANGES = ((10.0, 0.5, [100, 0, 9, 4]), (30.0, 0.25, [5, 6, 7]))


def raw1(ranges=RANGES, marks=True):
    data = b"RAW "
    for k, (start, step, counts) in enumerate(ranges):
        head = bytearray(152)
        struct.pack_into("<I2f", head, 0, len(counts), 1.0, step)
        struct.pack_into("<f", head, 20, start)
        struct.pack_into("<2f", head, 68, 1.5406, 1.54439)
        struct.pack_into("<I", head, 148, k + 1 < len(ranges))
        data += (b"RAW " if marks and k else b"") + head + np.asarray(counts, dtype="<f4").tobytes()
    return data


def raw2(ranges=RANGES, length=48):
    data = bytearray(256)
    data[:4] = b"RAW2"
    struct.pack_into("<H", data, 4, len(ranges))
    struct.pack_into("<3f", data, 190, 1.5406, 1.54439, 0.48)
    for start, step, counts in ranges:
        head = bytearray(length)
        struct.pack_into("<2H", head, 0, length, len(counts))
        struct.pack_into("<2f", head, 12, step, start)
        data += head + np.asarray(counts, dtype="<f4").tobytes()
    return bytes(data)


@pytest.mark.parametrize("data", [raw1(), raw1(marks=False), raw2(), raw2(length=80)])
def test_versions_1_and_2_are_read(tmp_path, data):
    first, second = (read(tmp_path, data, bank=bank) for bank in (1, 2))
    np.testing.assert_allclose(first.x, [10, 10.5, 11, 11.5])
    np.testing.assert_array_equal(first.y, [100, 0, 9, 4])
    np.testing.assert_allclose(second.x, [30, 30.25, 30.5])
    np.testing.assert_array_equal(second.y, [5, 6, 7])
    assert first.instrument.wavelengths == (1.5406, 1.54439)
    with pytest.raises(ParseError, match="2 ranges"):
        read(tmp_path, data)
    with pytest.raises(ParseError, match="range 2 declares 3 points and the file ends after 2"):
        read(tmp_path, data[:-4])


def test_a_slit_that_moves_in_version_4_and_one_that_the_header_names_are_said(tmp_path):
    drives = ((2, b"2Theta"), (1, b"Theta"), (2, b"Divergence Slit"))
    pattern = read(tmp_path, raw4(drives=drives))
    assert pattern.x[0] == 10.0 and "A slit was moved during the scan" in pattern.notes[0]
    assert read(tmp_path, raw4(drives=(*drives[:2], (0, b"Divergence Slit")))).notes == ()
    noted = read(tmp_path, raw4().replace(b"corundum", b"slit V20"))
    assert "a slit that opens with the angle" in noted.notes[0]
