"""Echo curves in files: what is written returns exactly, and what is wrong is named with its place."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import DataError, ParameterError, ParseError, ShapeError
from jaxnmr.nmr.echo import Echo, PulseSequence, challenge

HAHN = PulseSequence.hahn(3, dt=2.0)
CURVES = 0.5 * np.exp(1j * np.outer([1.0, 2.0], np.arange(1, 10)) / 3.0) / np.arange(1, 10)


def test_curves_return_exactly_from_every_kind_of_file(tmp_path):
    jn.write_echo(Echo(CURVES), tmp_path / "echos_r.txt", tmp_path / "echos_i.txt")
    assert "\t" in (tmp_path / "echos_r.txt").read_text()
    two = jn.read_echo(tmp_path / "echos_r.txt", tmp_path / "echos_i.txt")
    assert np.array_equal(two.curves, CURVES) and two.time is None and len(two) == 2
    jn.write_echo(Echo(CURVES, HAHN.time_us), tmp_path / "echo.npz")
    packed = jn.read_echo(tmp_path / "echo.npz")
    assert np.array_equal(packed.curves, CURVES) and np.array_equal(packed.time, HAHN.time_us)
    jn.write_echo(Echo(CURVES[:1], HAHN.time_us), tmp_path / "echo.csv")
    columns = jn.read_echo(tmp_path / "echo.csv")
    assert np.array_equal(columns.curves, CURVES[:1]) and np.array_equal(columns.time, HAHN.time_us)
    assert packed.checked(HAHN) is packed and columns.source == "echo.csv"
    with pytest.raises(DataError, match="write an npz"):
        jn.write_echo(Echo(CURVES), tmp_path / "echo.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5\t0.4\n0.5\tnone\n", "line 2: 'none' is no number"),
        ("0.5\t0.4\n0.5\n", "line 2: 1 numbers here and 2 in line 1"),
        ("\n\n# nothing\n", "no line of numbers"),
    ],
)
def test_text_that_is_no_curve_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(ParseError, match=message):
        jn.read_echo(tmp_path / "r.txt", tmp_path / "r.txt")


def test_curves_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "r.txt").write_text("0.5 0.4 0.3\n")
    (tmp_path / "i.txt").write_text("0.5 0.4\n")
    with pytest.raises(ParseError, match=r"1 curves of 2 points, and r.txt has 1 curves of 3 points"):
        jn.read_echo(tmp_path / "r.txt", tmp_path / "i.txt")
    with pytest.raises(DataError, match="times do not increase"):
        Echo(CURVES, HAHN.time_us[::-1])
    (tmp_path / "i.txt").write_text("0.5 nan 0.1\n")
    with pytest.raises(DataError, match=r"r.txt: point 2 of curve 1 is not a number"):
        jn.read_echo(tmp_path / "r.txt", tmp_path / "i.txt")
    np.savez(tmp_path / "x.npz", signal=CURVES)
    with pytest.raises(ParseError, match="holds signal; expected curves"):
        jn.read_echo(tmp_path / "x.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(ParseError, match="is no npz file"):
        jn.read_echo(tmp_path / "bad.npz")
    with pytest.raises(ShapeError, match="9 points, and the pulse sequence records 471"):
        Echo(CURVES).checked(challenge().sequence)
    with pytest.raises(DataError, match="divide the curves by twice their first point"):
        Echo(100.0 * CURVES).checked(HAHN)
    with pytest.raises(DataError, match="point 9 is at"):
        Echo(CURVES, 1.3 * HAHN.time_us).checked(HAHN)
    with pytest.raises(ParameterError, match="read_echo: path is 3"):
        jn.read_echo(3)
