"""Varian and NMRPipe data written by nmrglue; formats that are refused by name."""

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.io import read_fid, read_spectrum

LARMOR, WIDTH, POINTS, CARRIER = 100e6, 10e3, 256, 2500.0
TIMES = np.arange(POINTS) / WIDTH


def decay(offset_hz):
    """A line ``offset_hz`` from the carrier, as NMRPipe keeps it; Varian has the conjugate."""
    return np.exp(2j * np.pi * offset_hz * TIMES - 60.0 * TIMES).astype("complex64")


def highest_ppm(spectrum):
    return float(np.asarray(spectrum.ppm)[np.argmax(np.real(spectrum.values))])


def varian_folder(folder, **parameters):
    from nmrglue.fileio import fileiobase, varian

    udic = fileiobase.create_blank_udic(1)
    udic[0] |= {"size": POINTS, "complex": True}
    dic = varian.create_dic(udic)
    values = {
        "sfrq": (LARMOR + CARRIER) / 1e6,
        "sw": WIDTH,
        "tn": "C13",
        "rfl": 0.5 * WIDTH,
        "rfp": CARRIER,
    } | parameters
    for name, value in values.items():
        dic["procpar"][name] = varian.create_pdic_param(name, [repr(value) if name != "tn" else value])
        dic["procpar"][name]["basictype"] = "2" if name == "tn" else "1"
        if name == "tn":
            dic["procpar"][name]["values"] = [value]
    varian.write(str(folder), dic, np.conj(decay(1000.0)), overwrite=True)
    return folder


@pytest.mark.parametrize("place", ["", "fid", "procpar"])
def test_a_varian_decay_has_its_line_where_the_reference_line_puts_it(tmp_path, place):
    folder = varian_folder(tmp_path / "s.fid")
    fid = read_fid(folder / place)
    assert (fid.isotope, len(fid.values)) == ("13C", POINTS)
    assert fid.larmor_hz == pytest.approx(LARMOR, abs=1e-3)
    assert highest_ppm(read_spectrum(folder / place)) == pytest.approx((CARRIER + 1000.0) / 100.0, abs=0.4)


def test_a_varian_decay_is_the_one_nmrglue_converts_for_nmrpipe(tmp_path):
    from nmrglue.fileio import convert, varian

    folder = varian_folder(tmp_path / "s.fid")
    converter = convert.converter()
    dic, values = varian.read(str(folder), as_2d=True)
    udic = varian.guess_udic(dic, values[0])
    udic[0] |= {"complex": True, "encoding": "direct"}
    converter.from_varian(dic, values[0], udic)
    np.testing.assert_allclose(read_fid(folder).values, converter.to_pipe()[1], rtol=1e-6)


def test_a_varian_file_that_ends_early_is_refused(tmp_path):
    folder = varian_folder(tmp_path / "s.fid")
    (folder / "fid").write_bytes((folder / "fid").read_bytes()[:900])
    with pytest.raises(ParseError, match="truncated"):
        read_spectrum(folder)


def pipe_file(path, *, transformed):
    from nmrglue.fileio import fileiobase, pipe
    from nmrglue.process import pipe_proc

    udic = fileiobase.create_blank_udic(1)
    udic[0] |= {
        "size": POINTS, "complex": True, "sw": WIDTH, "obs": LARMOR / 1e6, "car": CARRIER, "time": True, "freq": False,
        "encoding": "direct", "label": "13C",
    }  # fmt: skip
    dic, values = pipe.create_dic(udic), decay(1000.0)
    if transformed:
        dic, values = pipe_proc.ft(dic, values)
    pipe.write(str(path), dic, values, overwrite=True)
    unit = pipe.make_uc(dic, values)
    return path, unit.ppm(int(np.argmax(values.real))) if transformed else None


def test_an_nmrpipe_spectrum_has_the_shifts_that_nmrglue_gives(tmp_path):
    path, expected = pipe_file(tmp_path / "s.ft", transformed=True)
    found = read_spectrum(path)
    assert found.larmor_hz == pytest.approx(LARMOR) and np.iscomplexobj(found.values)
    assert highest_ppm(found) == pytest.approx(expected, abs=1e-3)
    assert expected == pytest.approx((CARRIER + 1000.0) / 100.0, abs=0.4)


def test_an_nmrpipe_decay_transforms_into_nmrpipes_spectrum(tmp_path):
    path, _ = pipe_file(tmp_path / "s.fid", transformed=False)
    theirs = read_spectrum(pipe_file(tmp_path / "s.ft", transformed=True)[0])
    ours = read_spectrum(path)
    scale = np.abs(theirs.values).max() / np.abs(ours.values).max()
    places = np.searchsorted(np.asarray(ours.frequency_hz), np.asarray(theirs.frequency_hz) - 1.0)
    inside = (places > 0) & (places < POINTS)
    np.testing.assert_allclose(
        scale * np.asarray(ours.values)[places[inside]],
        np.asarray(theirs.values)[inside],
        atol=0.02 * np.abs(theirs.values).max(),
    )


def test_an_nmrpipe_file_that_ends_early_is_refused(tmp_path):
    path, _ = pipe_file(tmp_path / "s.ft", transformed=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ParseError):
        read_spectrum(path)


@pytest.mark.parametrize(
    "magic, vendor", [(b"JEOL.NMR", "JEOL Delta"), (b"RMN.LEOJ", "JEOL Delta"), (b"TNT1.008", "Tecmag")]
)
def test_vendors_that_are_not_read_are_named_with_a_way_out(tmp_path, magic, vendor):
    path = tmp_path / "s.bin"
    path.write_bytes(magic + bytes(range(256)))
    with pytest.raises(ParseError, match=rf"{vendor}.*export the spectrum as JCAMP-DX"):
        read_spectrum(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"JEOL.NMR" + bytes(99), "JEOL Delta.*in Delta, File > Export"), (b"RMN.LEOJ" + bytes(99), "JEOL Delta"),
        (b"TNT1.008" + bytes(99), "Tecmag TNMR.*in TNMR, File > Export > ASCII"), (b"UCSF NMR" + bytes(99), "Sparky"),
        (b"\x89HDF\r\n" + bytes(99), "HDF5"),
    ],
)  # fmt: skip
def test_files_of_other_vendors_are_refused_with_how_to_export_them(tmp_path, data, words):
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(ParseError, match=words):
        read_spectrum(path)
