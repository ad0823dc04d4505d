"""TopSpin folders made up with known signals: axes, signs, number formats, group delays, missing and broken files."""

import warnings

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ParseError
from jaxnmr.io import read_fid, read_spectrum, read_topspin_acquisition, read_topspin_processing, write_spectrum
from jaxnmr.nmr.processing import process

POINTS, SIZE, WIDTH = 500, 2048, 50e3
SF, O1 = 79.4e6, -4000.0
LINES = ((-9e3, 400.0, 3.0e5), (12e3, 900.0, 6.0e5))  # Hz from the carrier, width, size
ACQUS = {
    "AQ_mod": 3, "BF1": SF * 1e-6 + 0.001, "BYTORDA": 0, "DECIM": 40, "DIGMOD": 1, "DSPFVS": 20, "DTYPA": 0,
    "GRPDLY": 0.0, "MASR": 12500, "NC": 0, "NS": 64, "NUC1": "<29Si>", "PULPROG": "<zg>",
    "SFO1": (SF + O1) * 1e-6, "SW_h": WIDTH, "TD": 2 * POINTS, "TE": 298.1,
}  # fmt: skip
PROCS = {
    "AXNUC": "<29Si>", "BYTORDP": 0, "DTYPP": 0, "FCOR": 0.5, "FT_mod": 6, "LB": 30.0, "GB": 0.0, "ME_mod": 0, "NC_proc": -2,
    "NSP": 0, "OFFSET": (O1 + 0.5 * WIDTH) / SF * 1e6, "PHC0": 0.0, "PHC1": 0.0, "PH_mod": 1, "PKNL": "yes",
    "REVERSE": "no", "SF": SF * 1e-6, "SI": SIZE, "SSB": 0, "STSI": SIZE, "STSR": 0, "SW_p": WIDTH, "TDeff": 0,
    "TDoff": 0, "WDW": 1,
}  # fmt: skip


def parameters(path, values, extra=""):
    lines = ["##TITLE= made up", "##JCAMPDX= 5.0", "$$ a comment, with ##$NS= 3 in it"]
    lines += [f"##${key}= {value}" for key, value in values.items() if value is not None]
    path.write_text("\n".join([*lines, extra, "##END=", ""]), encoding="latin-1")


def signal():
    t = np.arange(POINTS) / WIDTH
    return sum(a * np.exp(2j * np.pi * f * t - np.pi * w * t) for f, w, a in LINES)


def folder(tmp_path, acqus=None, procs=None, procno=1):
    """An experiment whose 1r, 1i follow from its fid by TopSpin's rules, written out here independently."""
    acqus, procs = ACQUS | (acqus or {}), PROCS | (procs or {})
    root = tmp_path / "7"
    processed = root / "pdata" / str(procno)
    processed.mkdir(parents=True)
    pulses = "##$P= (0..3)\n0 2.5 5\n10\n##$D= (0..1) 0 1.5"
    parameters(root / "acqus", acqus, pulses)
    parameters(processed / "procs", procs)
    kind = ("f8" if acqus["DTYPA"] == 2 else "i4", ">" if acqus["BYTORDA"] else "<")
    pairs = np.stack([signal().real, signal().imag], 1).ravel()
    raw = pairs.astype(kind[1] + kind[0]).tobytes()
    (root / "fid").write_bytes(raw + bytes(-len(raw) % 1024))
    decay = signal() * np.exp(-np.pi * 30.0 * np.arange(POINTS) / WIDTH)
    decay[0] *= 0.5
    k = SIZE // 2 - np.arange(SIZE)  # point i is at +width/2 - i width/size
    t = np.arange(POINTS)
    turn = np.exp(-1j * np.radians(procs["PHC0"] + procs["PHC1"] * np.arange(SIZE) / SIZE))
    spectrum = (np.exp(-2j * np.pi * np.outer(k, t) / SIZE) @ decay) * turn
    kind = ("f8" if procs["DTYPP"] == 2 else "i4", ">" if procs["BYTORDP"] else "<")
    scale = 2.0 ** -procs["NC_proc"]
    for name, part in (("1r", spectrum.real), ("1i", -spectrum.imag)):
        (processed / name).write_bytes(np.round(scale * part).astype(kind[1] + kind[0]).tobytes())
    return root


@pytest.mark.parametrize("acqus", [{}, {"BYTORDA": 1}, {"DTYPA": 2}, {"DTYPA": 2, "BYTORDA": 1}])
@pytest.mark.parametrize("procs", [{}, {"BYTORDP": 1}, {"DTYPP": 2}])
def test_the_processed_spectrum_is_the_transform_of_the_decay(tmp_path, acqus, procs):
    root = folder(tmp_path, acqus, procs)
    spectrum, fid = read_spectrum(root), read_fid(root)
    mine = process(fid, lorentzian_hz=30.0, size=SIZE)
    # the axes share all points but the two ends, half a width above and below the carrier
    np.testing.assert_allclose(spectrum.frequency_hz[:-1], mine.frequency_hz[1:], atol=1e-6)
    np.testing.assert_allclose(spectrum.values[:-1], 0.5 * WIDTH * mine.values[1:], rtol=0, atol=3e-6 * 6e5 * 500)
    assert np.abs(np.corrcoef(spectrum.values[:-1].imag, mine.values[1:].imag)[0, 1] - 1) < 1e-8


def test_lines_lie_at_their_shifts_on_an_increasing_axis(tmp_path):
    root = folder(tmp_path)
    for spectrum in (read_spectrum(root), process(read_fid(root), size=2**15)):
        assert np.all(np.diff(spectrum.frequency_hz) > 0) and spectrum.larmor_hz == pytest.approx(SF, abs=1e-6)
        for f0, _, _ in LINES:
            near = np.abs(spectrum.frequency_hz - O1 - f0) < 3e3
            top = spectrum.ppm[near][spectrum.values.real[near].argmax()]
            assert top == pytest.approx((O1 + f0) / SF * 1e6, abs=0.4)


def test_the_decay_is_the_one_nmrglue_reads(tmp_path):
    from nmrglue.fileio import bruker

    root = folder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nmrglue misses a pulse program
        theirs = bruker.read(str(root), read_procs=False)[1]
    ours = read_fid(root)
    np.testing.assert_array_equal(ours.values, theirs[:POINTS])
    assert len(ours.values) == POINTS < len(theirs)  # nmrglue keeps the padding of the file


@pytest.mark.parametrize("place", ["", "fid", "pdata", "pdata/1", "pdata/1/1r", "pdata/1/procs", "acqus"])
def test_every_place_in_the_folder_leads_to_the_data(tmp_path, place):
    root = folder(tmp_path)
    if place == "pdata":
        with pytest.raises(ParseError, match="no TopSpin experiment"):
            read_spectrum(root / place)
        return
    read = read_spectrum(root / place)
    decay = place in ("fid", "acqus")
    assert len(read.values) == (POINTS if decay else SIZE)
    assert read.name == ("7" if decay else "7/pdata/1") and read.isotope == "29Si"


def test_processed_data_without_the_experiment_are_read(tmp_path):
    root = folder(tmp_path)
    (root / "pdata" / "1").rename(tmp_path / "alone")
    assert len(read_spectrum(tmp_path / "alone").values) == SIZE


def test_an_experiment_without_processed_data_is_transformed(tmp_path):
    root = folder(tmp_path)
    for name in ("1r", "1i", "procs"):
        (root / "pdata" / "1" / name).unlink()
    spectrum = read_spectrum(root)
    assert len(spectrum.values) == POINTS and spectrum.larmor_hz == pytest.approx(SF + 1000.0, abs=1e-6)
    # the higher line, 1 kHz further down: BF1 is 1 kHz higher than SF
    near = np.abs(spectrum.frequency_hz - (O1 - 1000 - 9e3)) < 100
    assert spectrum.values.real.argmax() in np.flatnonzero(near)


def test_a_spectrum_without_imaginary_part_is_real(tmp_path):
    root = folder(tmp_path)
    (root / "pdata" / "1" / "1i").unlink()
    assert read_spectrum(root).values.dtype == np.float64


def test_the_number_of_the_processed_data_is_chosen(tmp_path):
    root = folder(tmp_path, procno=20)
    assert read_spectrum(root).name == "7/pdata/20"  # the only one
    (root / "pdata" / "3").mkdir()
    with pytest.raises(ParseError, match=r"no processed data 1 \(there are: 3, 20\)"):
        read_spectrum(root)
    assert read_spectrum(root, procno=20).name == "7/pdata/20"


def test_the_acquisition_is_reported_in_si_units(tmp_path):
    facts = read_topspin_acquisition(folder(tmp_path))
    assert facts.pulses_s == pytest.approx((0, 2.5e-6, 5e-6, 1e-5)) and facts.delays_s == (0.0, 1.5)
    assert (facts.mas_hz, facts.scans, facts.points, facts.temperature_k) == (12500.0, 64, POINTS, 298.1)
    assert (facts.isotope, facts.pulse_program, facts.width_hz) == ("29Si", "zg", WIDTH)
    assert facts.carrier_hz == pytest.approx(O1, abs=1e-6) and facts.larmor_hz == pytest.approx(SF, abs=1e-6)
    assert facts.parameters["NS"] == 64


@pytest.mark.parametrize(
    "acqus, delay",
    [
        ({"GRPDLY": 67.984375}, 67.984375),
        # the published table of the old receivers (Westler & Abildgaard, 1996)
        ({"GRPDLY": -1, "DSPFVS": 10, "DECIM": 16}, 69.5313),
        ({"GRPDLY": None, "DSPFVS": 11, "DECIM": 16}, 72.25),
        ({"GRPDLY": -1, "DSPFVS": 10, "DECIM": 1}, 0.0),
        ({"GRPDLY": -1, "DIGMOD": 0, "DSPFVS": 10, "DECIM": 16}, 0.0),
        ({"GRPDLY": 0, "DSPFVS": 20}, 0.0),
    ],
)
def test_the_group_delay_is_given_or_looked_up(tmp_path, acqus, delay):
    assert read_fid(folder(tmp_path, acqus)).group_delay == pytest.approx(delay, abs=1e-4)


def test_an_unknown_group_delay_is_not_guessed(tmp_path):
    with pytest.raises(ParseError, match="no group delay"):
        read_fid(folder(tmp_path, {"GRPDLY": -1, "DSPFVS": 20}))


@pytest.mark.parametrize("phases", [(0.0, 0.0), (37.0, 0.0), (-140.0, 900.0)])
def test_processing_follows_the_parameters_of_topspin(tmp_path, phases):
    root = folder(tmp_path, {"DTYPA": 2}, {"PHC0": phases[0], "PHC1": phases[1]})
    spectrum, mine = read_spectrum(root), process(read_fid(root), **read_topspin_processing(root))
    difference = spectrum.values[:-1] - 0.5 * WIDTH * mine.values[1:]
    assert np.abs(difference).max() < 1.0  # rounding of 1r to whole quarters


@pytest.mark.parametrize(
    "procs, expected",
    [
        ({"WDW": 0}, {}),
        ({"WDW": 4, "SSB": 2}, {"cosine": 2}),
        ({"WDW": 3, "SSB": 2}, {"cosine": 1}),
        ({"WDW": 1, "LB": 12.0}, {"lorentzian_hz": 12.0}),
    ],
)
def test_windows_are_taken_over(tmp_path, procs, expected):
    found = read_topspin_processing(folder(tmp_path, procs=procs))
    windows = ("lorentzian_hz", "gaussian_hz", "cosine")
    assert {key: found[key] for key in windows if key in found} == expected


def test_the_window_gm_is_an_exponential_that_rises_and_a_gaussian_that_falls(tmp_path):
    root = folder(tmp_path, procs={"WDW": 2, "LB": -40.0, "GB": 0.3})
    found = read_topspin_processing(root)
    acquisition_s = POINTS / WIDTH
    t = 0.4 * acquisition_s
    a = np.pi * -40.0
    theirs = np.exp(
        -a * t + a / (2 * 0.3 * acquisition_s) * t**2
    )  # TopSpin's manual: GB is the position of the maximum
    g = found["gaussian_hz"]
    ours = np.exp(-np.pi * found["lorentzian_hz"] * t - (np.pi * g * t) ** 2 / (4 * np.log(2)))
    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    "procs, text",
    [
        ({"PH_mod": 2}, "PH_mod is 2"),
        ({"REVERSE": "yes"}, "REVERSE is yes"),
        ({"ME_mod": 1}, "ME_mod is 1"),
        ({"WDW": 9}, "window WDW 9"),
        ({"WDW": 2, "LB": 10.0}, "window WDW 2"),
    ],
)
def test_processing_that_cannot_be_followed_is_named(tmp_path, procs, text):
    with pytest.raises(ConventionError, match=text):
        read_topspin_processing(folder(tmp_path, procs=procs))


@pytest.mark.parametrize(
    "name, reader",
    [("acqus", read_fid), ("fid", read_fid), ("pdata/1/procs", read_spectrum), ("pdata/1/1r", read_spectrum)],
)
def test_a_missing_or_truncated_file_is_named(tmp_path, name, reader):
    root = folder(tmp_path)
    path = root / name
    content = path.read_bytes()
    for keep in (0, 7, len(content) // 2, len(content) - 100):  # the fid has 96 bytes of padding
        path.write_bytes(content[:keep])
        with pytest.raises(ParseError) as caught:
            reader(root)
        assert caught.value.path == path
    path.unlink()
    if name == "pdata/1/1r":
        (root / "pdata/1/1i").unlink()
        reader = lambda root: read_spectrum(root / "pdata" / "1")
    with pytest.raises(ParseError, match=r"no such file") as caught:
        reader(root)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "acqus, text",
    [
        ({"SW_h": None}, "SW_h is missing"),
        ({"SW_h": 0}, "SW_h is 0 Hz"),
        ({"SFO1": "<79>"}, "SFO1 is '79'; expected a number"),
        ({"TD": 10.5}, "TD is 10.5; expected a whole number"),
        ({"TD": 2000}, "announces 2000"),
        ({"AQ_mod": 0}, "AQ_mod 0"),
        ({"BF1": "inf"}, "BF1 is inf"),
    ],
)
def test_parameters_that_make_no_sense_are_named_with_their_line(tmp_path, acqus, text):
    with pytest.raises(ParseError, match=text):
        read_fid(folder(tmp_path, acqus))


def test_a_text_parameter_that_is_never_closed_ends(tmp_path):
    root = folder(tmp_path)
    text = (root / "acqus").read_text(encoding="latin-1")
    (root / "acqus").write_text(text.replace("<zg>", "<zg").replace("(0..3)", "(0..30)"), encoding="latin-1")
    assert read_fid(root).isotope == "29Si"


def test_two_dimensional_data_are_refused(tmp_path):
    root = folder(tmp_path)
    (root / "pdata" / "1" / "2rr").write_bytes(b"\0" * 64)
    with pytest.raises(ParseError, match="two-dimensional"):
        read_spectrum(root)
    (root / "fid").rename(root / "ser")
    with pytest.raises(ParseError, match="several decays"):
        read_fid(root)


def test_topspin_is_read_not_written_and_knows_its_own_frequency(tmp_path):
    root = folder(tmp_path)
    with pytest.raises(ConventionError, match="know their Larmor frequency"):
        read_spectrum(root, larmor_hz=79e6)
    with pytest.raises(ConventionError, match="cannot write"):
        write_spectrum(read_spectrum(root), tmp_path / "1r", format="topspin")
    with pytest.raises(ParseError, match="no TopSpin experiment"):
        read_spectrum(tmp_path)
