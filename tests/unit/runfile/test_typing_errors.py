"""Slips in run files are named with their place and what was probably meant; files as editors save them are read."""

from pathlib import Path

import pytest

from jaxnmr.errors import ParseError
from jaxnmr.runfile import build, load_run

FILE = """[[spectrum]]
name = "al"
file = "al.csdf"
isotope = "27Al"
b0_tesla = 11.7
mas_hz = 12500.0
region_ppm = [[100.0, -50.0]]
[[spectrum.site]]
label = "Al1"
shift_ppm = 62.0
cq_mhz = 3.0
eta_q = 0.3
gaussian_hz = 100.0
"""
MAS = "mas_hz = 12500.0"
# what stands there, what is typed, what is said
SLIPS = [
    (MAS, 'mas_hz = "12500.0"', "(al).mas_hz: expected a number, got '12500.0': write mas_hz = 12500.0, without quotes"),
    (MAS, 'mas_hz = "12.5 kHz"', "got '12.5 kHz': mas_hz is in Hz, write mas_hz = 12500"),
    (MAS, "mas_hz = 12.5 kHz", "line 6: not valid TOML at column 15 in 'mas_hz = 12.5 kHz'"),
    (MAS, "mas_hz = 12.5 kHz", "mas_hz is in Hz, write mas_hz = 12500"),
    (MAS, "mas_khz = 12.5", "unknown key 'mas_khz' in [[spectrum]] number 1 (al); the key is 'mas_hz', in Hz: write mas_hz = 12500"),
    (MAS, "mas = 12.5", "did you mean 'mas_hz'? It is in Hz"),
    (MAS, "mas_hz = 12,5", "decimals have a point: mas_hz = 12.5"),
    (MAS, MAS + '\naxis = "MHz"', "axis: the first column cannot be in 'MHz'; expected 'ppm', 'hz', 'khz'; convert the column"),
    (MAS, MAS + '\naxis = "rad/s"', "divide the column by 2π"),
    (MAS, MAS + '\npoints = "512"', "points: expected a whole number from 4 on, got '512': write points = 512"),
    (MAS, MAS + "\ndead_time_ns = 500", "the key is 'dead_time_us', in µs: write dead_time_us = 0.5"),
    ("cq_mhz = 3.0", 'cq_mhz = "3000 kHz"', "site[0] (Al1).cq_mhz: expected a number, got '3000 kHz': cq_mhz is in MHz, write cq_mhz = 3"),
    ("cq_mhz = 3.0", "cq_hz = 3e6", "unknown key 'cq_hz' in [[spectrum]] number 1 (al).site[0] (Al1); the key is 'cq_mhz', in MHz: write cq_mhz = 3"),
    ("cq_mhz = 3.0", "cq_khz = 3000", "write cq_mhz = 3"),
    ("eta_q = 0.3", "eta_q = 0.3\neta_q = 0.4", "line 13: not valid TOML at column 12 in 'eta_q = 0.4': Cannot overwrite a value; the key 'eta_q' stands twice"),
    ("eta_q = 0.3", "eta_q = None", "leave the key out"),
    ("eta_q = 0.3", "eta_q = True", "write eta_q = true"),
    ("eta_q = 0.3", "etaq = 0.3", "unknown key 'etaq' in [[spectrum]] number 1 (al).site[0] (Al1); did you mean 'eta_q'?"),
    ('isotope = "27Al"', "isotope = 27Al", 'a text stands in quotes: isotope = "27Al"'),
    ('file = "al.csdf"', r'file = "C:\Users\me\al.csdf"', r"write paths with /, or in single quotes: file = 'C:\Users\me\al.csdf'"),
    ("[[spectrum.site]]", "[spectrum.site]", "expected tables written as [[spectrum.site]], got [spectrum.site], a single table: double the brackets"),
    ("[[spectrum]]", "[spectrum]", "expected tables written as [[spectrum]], got [spectrum], a single table: double the brackets"),
    ("[[spectrum]]", "[[spectra]]", "unknown key 'spectra'; did you mean 'spectrum'?"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "typed", "says"), SLIPS, ids=[says for *_, says in SLIPS])
def test_a_slip_is_named_with_its_place_and_what_was_meant(right, typed, says, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(FILE.replace(right, typed, 1), encoding="utf-8")
    with pytest.raises(ParseError) as caught:
        load_run(path)
    assert str(caught.value).startswith(str(path)) and says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"al.csdf": "ak.csdf"}, "[[spectrum]] 'al'.file: ak.csdf: no such file in "),
        ({"al.csdf": "ak.csdf"}, "did you mean 'al.csdf'? (relative paths begin at the folder of the run file)"),
        ({"al.csdf": "gone/al.csdf"}, "there is no folder"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_key(change, says, tmp_path):
    (tmp_path / "al.csdf").write_text("{}")
    text = FILE
    for right, typed in change.items():
        text = text.replace(right, typed)
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ParseError) as caught:
        build(load_run(tmp_path / "run.toml"))
    assert str(tmp_path / "run.toml") in str(caught.value) and says in str(caught.value)


def test_files_as_editors_of_windows_save_them_are_read(tmp_path):
    path = tmp_path / "run.toml"
    for content in (b"\xef\xbb\xbf" + FILE.encode(), FILE.replace("\n", "\r\n").encode()):
        path.write_bytes(content)
        assert load_run(path).spectra[0].mas_hz == 12500.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (FILE.encode("utf-16"), "a text in UTF-16: save it as UTF-8"),
        ('title = "Größe"'.encode("latin-1"), "not a text file in UTF-8"),
        (b"", "this file says nothing"),
        (b"# a comment\n\n", "this file says nothing; jaxnmr help-run"),
    ],
)
def test_what_is_no_run_file_is_said_to_be_none(content, says, tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=says):
        load_run(path)


def test_a_folder_and_a_path_through_a_file_are_no_run_files(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(FILE)
    for wrong, says in (
        (tmp_path, "this is a folder"),
        (path / "run.toml", "cannot be read"),
        (Path("gone.toml"), "no such file"),
    ):
        with pytest.raises(ParseError, match=says):
            load_run(wrong)
