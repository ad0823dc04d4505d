"""CSDM files: round trips through csdmpy in both directions, every encoding and numeric type, broken files."""

import json
import warnings

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, ParseError, ShapeError
from jaxnmr.io import CsdmData, CsdmDimension, read_csdm, read_fid, read_spectrum, write_csdm, write_spectrum
from jaxnmr.nmr.records import Fid, Spectrum

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
TYPES += ["float32", "float64", "complex64", "complex128"]


@pytest.fixture(scope="module")
def cp():
    with warnings.catch_warnings():
        # astropy and csdmpy warn about their own deprecations when imported
        warnings.simplefilter("ignore")
        return pytest.importorskip("csdmpy")


def numbers(dtype, *shape):
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 100, shape)
    return (values + 1j * rng.normal(size=shape)).astype(dtype) if dtype.startswith("complex") else values.astype(dtype)


def spectrum(**kwargs):
    f = np.linspace(-2000.0, 3100.0, 52)
    kwargs = {"larmor_hz": 79.45e6, "isotope": "29Si", "name": "made up"} | kwargs
    return Spectrum.create(f, numbers("complex128", 52), **kwargs)


def document(**changes):
    """A small valid file as a Python object; changes apply to the dimension and the variable by key."""
    dimension = {"type": "linear", "count": 4, "increment": "100 Hz", "origin_offset": "79.5 MHz"}
    variable = {"type": "internal", "numeric_type": "float64", "quantity_type": "scalar", "encoding": "none"}
    variable["components"] = [[1.0, 2.0, 3.0, 4.0]]
    for key, value in changes.items():
        target = (
            dimension
            if key in ("count", "increment", "origin_offset", "coordinates_offset", "coordinates")
            else variable
        )
        target = dimension if key in ("dimension_type", "complex_fft") else target
        target[key.removeprefix("dimension_")] = value
    return {"csdm": {"version": "1.0", "dimensions": [dimension], "dependent_variables": [variable]}}


def save(tmp_path, content, name="a.csdf"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csdf", ".csdfe"])
@pytest.mark.parametrize("dtype", TYPES)
def test_csdmpy_reads_what_we_write(tmp_path, cp, dtype, suffix):
    first = CsdmDimension(np.array([3.0, 1.0, 0.5, -4.0, -9.0]), "s")  # monotonic, falling
    second = CsdmDimension(-1.5e3 + 125.0 * np.arange(7), "Hz", 79.45e6, "shift")
    values = (numbers(dtype, 1, 5, 7), numbers(dtype, 3, 5, 7))
    path = write_csdm(
        CsdmData((first, second), values, ("a", "b"), ("V", ""), "text", ("29Si",)), tmp_path / f"x{suffix}"
    )
    theirs = cp.load(str(path))
    np.testing.assert_allclose(theirs.x[0].coordinates.to("s").value, first.coordinates, rtol=1e-15)
    np.testing.assert_allclose(theirs.x[1].coordinates.to("Hz").value, second.coordinates, rtol=1e-14)
    theirs.x[1].to("ppm", "nmr_frequency_ratio")
    np.testing.assert_allclose(theirs.x[1].coordinates.value, second.coordinates / 79.45, rtol=1e-12)
    for k in (0, 1):
        assert theirs.y[k].numeric_type == dtype
        # csdmpy puts the first dimension last
        np.testing.assert_array_equal(theirs.y[k].components, np.swapaxes(values[k], 1, 2))
    back = read_csdm(path)
    for k in (0, 1):
        assert back.values[k].dtype == dtype
        np.testing.assert_array_equal(back.values[k], values[k])
        np.testing.assert_allclose(back.dimensions[k].coordinates, (first, second)[k].coordinates, rtol=1e-14)
    assert (back.names, back.units, back.tags, back.description) == (("a", "b"), ("V", ""), ("29Si",), "text")
    assert back.dimensions[1].origin_offset == 79.45e6 and back.dimensions[1].label == "shift"


@pytest.mark.parametrize("encoding", ["base64", "none", "raw"])
@pytest.mark.parametrize("dtype", ["int16", "float32", "complex64", "complex128"])
def test_we_read_what_csdmpy_writes(tmp_path, cp, dtype, encoding):
    data = numbers(dtype, 6, 4)  # csdmpy: last axis is dimension 0
    theirs = cp.as_csdm(data)
    theirs.x[0] = cp.LinearDimension(
        count=4, increment="-0.5 kHz", coordinates_offset="1.2 kHz", origin_offset="132.3 MHz"
    )
    theirs.x[1] = cp.LinearDimension(count=6, increment="20 µs", complex_fft=True)
    theirs.y[0].encoding = encoding
    path = tmp_path / ("b.csdfe" if encoding == "raw" else "b.csdf")
    theirs.save(str(path))
    ours = read_csdm(path)
    np.testing.assert_array_equal(ours.values[0][0], data.T)
    np.testing.assert_allclose(ours.dimensions[0].coordinates, [1200.0, 700.0, 200.0, -300.0], rtol=1e-14)
    np.testing.assert_allclose(ours.dimensions[1].coordinates, 20e-6 * np.arange(-3, 3), rtol=1e-14)
    assert ours.dimensions[0].origin_offset == pytest.approx(132.3e6, rel=1e-15)


@pytest.mark.parametrize("unit, factor", [("Hz", 1.0), ("kHz", 1e3), ("MHz", 1e6), ("ppm", 79.5)])
@pytest.mark.parametrize("step", [0.25, -0.25])
def test_the_axis_comes_out_in_hertz_and_increasing_whatever_its_unit_and_sign(tmp_path, unit, factor, step):
    content = document(increment=f"{step} {unit}", coordinates_offset=f"2 {unit}")
    if unit == "ppm":
        content["csdm"]["dimensions"][0].pop("origin_offset")
    read = read_spectrum(save(tmp_path, content), larmor_hz=79.5e6 if unit == "ppm" else None)
    expected = (2.0 + step * np.arange(4)) * factor
    order = np.argsort(expected)
    np.testing.assert_allclose(read.frequency_hz, expected[order], rtol=1e-13)
    np.testing.assert_array_equal(read.values, np.arange(1.0, 5.0)[order])
    np.testing.assert_allclose(read.ppm, expected[order] / 79.5, rtol=1e-13)
    assert read.larmor_hz == pytest.approx(79.5e6)


@pytest.mark.parametrize("count", [4, 5])
def test_the_order_of_a_fourier_transform_puts_zero_at_half_the_count(tmp_path, count):
    content = document(count=count, complex_fft=True, components=[[1.0] * count])
    read = read_spectrum(save(tmp_path, content))
    np.testing.assert_array_equal(read.frequency_hz, 100.0 * (np.arange(count) - count // 2))


def test_a_spectrum_survives_its_file(tmp_path):
    for name in ("s.csdf", "s.csdfe"):
        for sigma in (None, 0.5, np.linspace(1.0, 2.0, 52)):
            before = spectrum(sigma=sigma)
            after = read_spectrum(write_spectrum(before, tmp_path / name))
            np.testing.assert_array_equal(after.values, before.values)
            np.testing.assert_allclose(after.frequency_hz, before.frequency_hz, rtol=1e-13, atol=1e-9)
            assert (after.larmor_hz, after.isotope) == (79.45e6, "29Si")
            np.testing.assert_array_equal(after.sigma, before.sigma) if sigma is not None else None
            assert (after.sigma is None) == (sigma is None)


def test_a_real_spectrum_stays_real(tmp_path):
    before = spectrum().replace(values=spectrum().values.real)
    assert read_spectrum(write_spectrum(before, tmp_path / "r.csdf")).values.dtype == np.float64


def test_a_decay_survives_its_file_with_carrier_and_group_delay(tmp_path):
    before = Fid.create(
        numbers("complex128", 64),
        dwell_s=2e-6,
        larmor_hz=282.4e6,
        carrier_hz=-22e3,
        group_delay=7.984375,
        isotope="19F",
    )
    after = read_fid(write_spectrum(before, tmp_path / "f.csdf"))
    np.testing.assert_array_equal(after.values, before.values)
    assert after.dwell_s == pytest.approx(2e-6, rel=1e-12)
    assert after.group_delay == pytest.approx(7.984375, abs=1e-9)
    assert (after.carrier_hz, after.larmor_hz, after.isotope) == (-22e3, 282.4e6, "19F")
    transformed = read_spectrum(tmp_path / "f.csdf")
    assert np.iscomplexobj(transformed.values) and transformed.larmor_hz == 282.4e6


def test_a_dependent_variable_is_chosen_by_its_index(tmp_path):
    content = document()
    second = dict(content["csdm"]["dependent_variables"][0], components=[[5.0, 6.0, 7.0, 8.0]])
    content["csdm"]["dependent_variables"].append(second)
    path = save(tmp_path, content)
    np.testing.assert_array_equal(read_spectrum(path, variable=1).values, [5, 6, 7, 8])
    with pytest.raises(ConventionError, match="no dependent variable 2"):
        read_spectrum(path, variable=2)


def test_the_length_of_a_component_follows_from_its_quantity_type(tmp_path):
    rows = [[float(k)] * 4 for k in range(6)]
    for quantity, count in (("vector_3", 3), ("pixel_2", 2), ("matrix_2_3", 6), ("symmetric_matrix_3", 6)):
        path = save(tmp_path, document(quantity_type=quantity, components=rows[:count]))
        assert read_csdm(path).values[0].shape == (count, 4)
        with pytest.raises(ParseError, match="components"):
            read_csdm(save(tmp_path, document(quantity_type=quantity, components=rows[: count - 1])))


def test_a_file_cut_at_any_place_is_refused_with_its_line(tmp_path):
    write_spectrum(spectrum(), tmp_path / "s.csdf")
    text = (tmp_path / "s.csdf").read_text(encoding="utf-8").rstrip()
    for keep in range(1, len(text) - 1, 97):
        with pytest.raises(ParseError, match="no valid JSON"):
            read_spectrum(save(tmp_path, text[:keep], "cut.csdf"), format="csdm")
    with pytest.raises(ParseError) as caught:
        read_csdm(save(tmp_path, text[: text.index("dependent")], "cut.csdf"))
    assert caught.value.line > 5


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"increment": "1 furlong"}, "no number with a known unit"),
        ({"increment": 3.0}, "'increment' is 3.0"),
        ({"increment": "1e999 Hz"}, "no number with a known unit"),
        ({"increment": "1 kHz", "origin_offset": "3 s"}, "origin_offset is in s"),
        ({"count": -4}, "count is -4"),
        ({"count": 5}, "4 values; the dimensions make 5"),
        ({"count": True}, "'count' is True"),
        ({"dimension_type": "labeled"}, "only linear and monotonic"),
        ({"numeric_type": "float16"}, "numeric_type 'float16'"),
        ({"quantity_type": "tensor_9"}, "quantity_type 'tensor_9'"),
        ({"quantity_type": "?"}, "quantity_type"),
        ({"encoding": "base64"}, "encoding 'base64' with list"),
        ({"encoding": "base64", "components": ["AAA"]}, "no valid base64"),
        ({"encoding": "base64", "components": ["AAAA"]}, "3 bytes are no whole number"),
        ({"components": [[1, 2, "3", 4]]}, "is no number"),
        ({"components": [[1, 2, None, 4]]}, "is no number"),
        ({"components": [[1, 2, 3]], "numeric_type": "complex64"}, "complex values are pairs"),
        ({"components": [[1, 2, 300, 4]], "numeric_type": "uint8"}, "300"),
        ({"sparse_sampling": {}}, "sparse sampling"),
        ({"type": "external", "components_url": "https://example.org/a.dat"}, "only local files"),
        ({"type": "external", "components_url": "file:./absent.dat"}, "no such file"),
    ],
)
def test_what_a_file_must_not_say_is_named(tmp_path, changes, text):
    with pytest.raises(ParseError, match=text):
        read_csdm(save(tmp_path, document(**changes)))


@pytest.mark.parametrize(
    "content, text",
    [
        ("[1, 2]", "expected an object with 'csdm'"),
        ('{"csdm": 3}', "'csdm' is 3"),
        ('{"csdm": {"dimensions": []}}', "'dependent_variables' is missing"),
        ('{"csdm": {"dimensions": [7], "dependent_variables": []}}', "dimension 0 is int"),
        ("[" * 100000, "nested|no valid JSON"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, content, text):
    with pytest.raises(ParseError, match=text):
        read_csdm(save(tmp_path, content))


def test_an_external_file_of_the_wrong_length_is_refused(tmp_path):
    path = write_spectrum(spectrum(), tmp_path / "s.csdfe")
    blob = tmp_path / "s_0.dat"
    blob.write_bytes(blob.read_bytes()[:-8])
    with pytest.raises(ParseError, match="824 bytes in the external file; expected 832"):
        read_spectrum(path)


def test_a_spectrum_needs_one_dimension_a_known_axis_and_a_reference(tmp_path):
    with pytest.raises(ConventionError, match="no reference frequency"):
        read_spectrum(save(tmp_path, document(origin_offset="0 Hz")))
    with pytest.raises(ParseError, match="an axis in T"):
        read_spectrum(save(tmp_path, document(increment="1 T", origin_offset="1 T")))
    content = document()
    content["csdm"]["dimensions"] *= 2
    content["csdm"]["dependent_variables"][0]["components"] = [[1.0] * 16]
    with pytest.raises(ParseError, match="2 dimensions"):
        read_spectrum(save(tmp_path, content))
    uneven = document(dimension_type="monotonic", coordinates=["0 Hz", "1 Hz", "2 Hz", "5 Hz"])
    with pytest.raises(ParseError, match="not evenly spaced"):
        read_spectrum(save(tmp_path, uneven))


def test_shifts_are_coordinates_over_a_reference_frequency_of_either_sign_as_csdmpy_has_them(tmp_path, cp):
    path = save(tmp_path, document(increment="-125 Hz", coordinates_offset="0 Hz", origin_offset="-79.5 MHz"))
    with pytest.warns(UserWarning, match="turned round"):
        found = read_spectrum(path)
    dimension = cp.load(str(path)).x[0]
    dimension.to("ppm", "nmr_frequency_ratio")
    np.testing.assert_allclose(found.ppm, dimension.coordinates.value, rtol=1e-12)
    assert found.larmor_hz == 79.5e6
    np.testing.assert_array_equal(read_spectrum(path, larmor_hz=79.5e6).frequency_hz, [-375.0, -250.0, -125.0, 0.0])


def test_what_csdm_cannot_hold_is_not_written(tmp_path):
    axis = CsdmDimension(np.arange(4.0), "Hz")
    with pytest.raises(ShapeError, match=r"expected \(components, 4,\)"):
        write_csdm(CsdmData((axis,), (np.ones((1, 5)),)), tmp_path / "a.csdf")
    with pytest.raises(DataError, match="float16"):
        write_csdm(CsdmData((axis,), (np.ones((1, 4), np.float16),)), tmp_path / "a.csdf")
    with pytest.raises(ConventionError, match="neither rise nor fall"):
        zigzag = CsdmDimension(np.array([0.0, 2.0, 1.0, 3.0]), "Hz")
        write_csdm(CsdmData((zigzag,), (np.ones((1, 4)),)), tmp_path / "a.csdf")
    with pytest.raises(ConventionError, match="extension"):
        write_csdm(CsdmData((axis,), (np.ones((1, 4)),)), tmp_path / "a.json")
    with pytest.raises(DataError, match="cannot be written"):
        write_csdm(CsdmData((axis,), (np.ones((1, 4)),)), tmp_path / "absent" / "a.csdf")
