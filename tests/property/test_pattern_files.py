"""For any numbers a pattern survives writing, and for any bytes the readers answer or refuse in their own words."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnmr.diffraction.records import Pattern
from jaxnmr.errors import JaxnmrError
from jaxnmr.io import read_instrument, read_pattern, write_pattern
from jaxnmr.io.patterns.formats import FORMATS

finite = {"allow_nan": False, "allow_infinity": False}
POINTS = st.lists(
    st.tuples(
        st.floats(-179, 179, **finite),
        st.floats(-1e12, 1e12, **finite),
        st.floats(1e-12, 1e12, **finite),
    ),
    min_size=3,
    max_size=30,
    unique_by=lambda point: point[0],
)
STARTS = (
    b"",
    b"RAW1.01\0",
    b"RAW4.00",
    b"<?xml version='1.0'?><xrdMeasurements>",
    b"data_a\nloop_\n_pd_meas_counts_total\n",
    b"t\nBANK 1 3 1 CONST 1000 5 0 0 STD\n",
    b"t\nBANK 1 3 3 CONS 1000 5 0 0 FXYE\n",
    b"10 1\n11 2\n12 ",
    b"10 0.1 12\n",
    b"\xff\xfe",
    b"2theta,weight,intensity\n",
    b"Q (1/A),intensity\n",
    b"*RAS_HEADER_START\n*RAS_HEADER_END\n*RAS_INT_START\n10 1 1\n",
    b"PK\x03\x04",
)
PARAMETERS = (
    b"",
    b"INS   HTYPE   PXCR\nINS  1 ICONS  1.54",
    b"INS   HTYPE   PNCR\nINS  1 ICONS  1.540500\nINS  1PRCF1 ",
    b"Type:PXC\nLam:1.5\n",
    b"Type:PNC\nLam:",
)
MARKS = [b" ", b"\n", b",", b";", b"\t", b"nan", b"-1", b"#", b"BANK ", b"INS  1", b"U:", b"</", b"loop_\n", b"1(2)"]
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.floats().map(lambda x: repr(x).encode()),
        st.integers(-(10**30), 10**30).map(lambda n: str(n).encode()),
        st.sampled_from(
            [
                b" ",
                b"\n",
                b",",
                b";",
                b"\t",
                b"nan",
                b"-1",
                b"#",
                b"BANK ",
                b"INS  1",
                b"U:",
                b"</",
                b"loop_\n",
                b"1(2)",
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


def refused_or_read(read, data: bytes):
    """What ``read`` returns for a file of these bytes, or its refusal; any other exception is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            return read(path)
        except JaxnmrError as error:
            assert str(path) in str(error)
            return error


@pytest.mark.parametrize("suffix", [".xye", ".csv", ".dat", ".txt"])
@given(points=POINTS)
@settings(deadline=None)
def test_reading_a_written_pattern_gives_the_same_doubles(suffix, points):
    x, y, sigma = np.array(sorted(points)).T
    pattern = Pattern.create(x, y, sigma)
    with tempfile.TemporaryDirectory() as folder:
        again = read_pattern(write_pattern(pattern, Path(folder) / f"p{suffix}"))
    for one, two in [(x, again.x), (y, again.y), (sigma, again.sigma)]:
        np.testing.assert_array_equal(one, two)


@given(start=st.sampled_from(STARTS), rest=PIECES)
@settings(deadline=None, max_examples=300)
def test_any_bytes_make_a_usable_pattern_or_a_refusal_that_names_the_file(start, rest):
    result = refused_or_read(read_pattern, start + rest)
    if isinstance(result, Pattern):
        assert np.isfinite(result.y).all()
        assert (result.sigma > 0).all() and (np.diff(result.x) > 0).all()


@pytest.mark.parametrize("format", FORMATS)
@given(rest=PIECES)
@settings(deadline=None, max_examples=40)
def test_no_format_chosen_by_hand_breaks_on_any_bytes(format, rest):
    for start in STARTS:
        result = refused_or_read(lambda path: read_pattern(path, format=format), start + rest)
        assert isinstance(result, Pattern | JaxnmrError)


@given(counts=st.lists(st.integers(0, 999999), min_size=3, max_size=25), cut=st.integers(0, 60))
@settings(deadline=None, max_examples=150)
def test_cutting_a_fixed_column_file_anywhere_never_changes_a_count(counts, cut):
    rows = ["".join(f"{c:8d}" for c in counts[k : k + 10]) for k in range(0, len(counts), 10)]
    text = f"t\nBANK 1 {len(counts)} {len(rows)} CONST 1000 5 0 0 STD\n" + "\n".join(rows) + "\n"
    result = refused_or_read(read_pattern, text[: max(len(text) - cut, 0)].encode())
    assert isinstance(result, JaxnmrError) == (cut > 1)
    if cut <= 1:
        np.testing.assert_array_equal(result.y, counts)


@given(start=st.sampled_from(PARAMETERS), rest=PIECES)
@settings(deadline=None, max_examples=300)
def test_any_bytes_make_an_instrument_or_a_refusal_that_names_the_file(start, rest):
    result = refused_or_read(read_instrument, start + rest)
    if not isinstance(result, JaxnmrError):
        assert result.wavelengths and np.isfinite([getattr(result, name) for name in "UVWXYZ"]).all()
