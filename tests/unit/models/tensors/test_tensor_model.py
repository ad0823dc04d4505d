"""`TensorModel`, its checkpoints and what a `Prediction` says."""

import dataclasses
import json
import struct

import jax
import numpy as np
import pytest
from small_tensor_models import components, config, model, plain_graph, quartz

from jaxnmr import Crystal
from jaxnmr.errors import ConventionError, DataError, ParameterError, ParseError, ShapeError
from jaxnmr.io import read_magres, write_magres
from jaxnmr.models import HeadConfig, ModelCard, NetworkConfig, TensorModel
from jaxnmr.nmr import ShiftReference, SpectrumStatic, quadrupolar_from_efg
from jaxnmr.nmr.tensors import isotropic

REFERENCE = ShiftReference(330.0, -1.02)
CARD = ModelCard(
    name="test",
    level_of_theory="PBE",
    training={"seed": 3, "split": "by group"},
    scores={"tensor_mae_ppm": 1.25},
    references={"Si": (330.0, -1.02)},
)


@pytest.fixture(scope="module")
def prediction():
    return model().replace(card=CARD).predict(quartz())


def edit(path, **changes):
    """Rewrite the description in the header of a checkpoint."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    description = json.loads(header["__metadata__"]["jaxnmr"]) | changes
    header["__metadata__"]["jaxnmr"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def test_a_model_read_back_is_the_model_that_was_saved(tmp_path):
    saved = model().replace(card=CARD)
    loaded = TensorModel.load(saved.save(tmp_path / "model.safetensors"))
    assert loaded.config == saved.config
    assert (loaded.card.scores, loaded.card.training) == (CARD.scores, CARD.training)
    assert tuple(loaded.card.references["Si"]) == CARD.references["Si"]
    assert jax.tree.structure(loaded.weights) == jax.tree.structure(saved.weights)
    for mine, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(saved), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.count == saved.count > 500


def test_the_same_key_makes_the_same_model_and_parameters_start_as_standard_normal_numbers():
    one, two, other = (TensorModel.create(config(), key=jax.random.key(k)) for k in (0, 0, 1))
    numbers = lambda m: np.concatenate([np.ravel(w) for w in jax.tree.leaves(m.weights)])
    np.testing.assert_array_equal(numbers(one), numbers(two))
    assert (numbers(one) != numbers(other)).all()
    assert abs(numbers(one).mean()) < 0.1 and abs(numbers(one).std() - 1.0) < 0.1


def test_scales_and_shifts_are_those_of_species_and_rank():
    graph = plain_graph()
    scale = {name: 3.0 * np.asarray(s) for name, s in model().scale.items()}
    shift = {name: np.zeros_like(np.asarray(s)) for name, s in model().shift.items()}
    before, after = components(model(), graph), components(model().replace(scale=scale, shift=shift), graph)
    offset = np.asarray(model().shift["shielding"])[graph.nodes["species"], 0]
    np.testing.assert_allclose(after["shielding"][:, 0], 3.0 * (before["shielding"][:, 0] - offset), atol=1e-10)
    np.testing.assert_allclose(after["shielding"][:, 1:], 3.0 * before["shielding"][:, 1:], atol=1e-12)
    with pytest.raises(ShapeError, match="shielding"):
        TensorModel.create(config(), key=jax.random.key(0), scale={"shielding": np.ones(3)})


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.write_bytes(b"not a model"), "damaged or no safetensors"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "damaged or no safetensors"),
        (lambda p: p.write_bytes(p.read_bytes()[:-5] + b"\x01" + p.read_bytes()[-4:]), "numbers differ"),
        (lambda p: edit(p, format=99), "format 99"),
        (lambda p: edit(p, architecture={}), "cannot be read"),
        (lambda p: edit(p, architecture=config().to_dict() | {"radial_hidden": [9]}), "has the shape"),
        (lambda p: edit(p, architecture=config().to_dict() | {"layers": 3}), "has the shape"),
    ],
)
def test_damaged_and_mismatching_checkpoints_are_refused(tmp_path, damage, words):
    path = model().save(tmp_path / "model.safetensors")
    damage(path)
    with pytest.raises(ParseError, match=words):
        TensorModel.load(path)


def test_arrays_of_somebody_else_are_no_model(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ParseError, match="no description of a model"):
        TensorModel.load(tmp_path / "other.safetensors")


def test_a_model_that_diverged_or_has_nowhere_to_go_is_not_saved(tmp_path):
    broken = model().replace(scale={name: s * np.nan for name, s in model().scale.items()})
    with pytest.raises(DataError, match="not finite"):
        broken.save(tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="cannot be written"):
        model().save(tmp_path / "missing" / "model.safetensors")
    with pytest.raises(DataError, match="JSON"):
        model().replace(card=ModelCard(scores={"x": np.nan})).save(tmp_path / "model.safetensors")


def test_elements_without_labels_and_strangers_are_no_numbers_and_errors(prediction):
    tensors = prediction.tensors
    assert np.isnan(np.asarray(tensors["efg"][0])).all() and np.isfinite(np.asarray(tensors["efg"][1])).all()
    with pytest.raises(ConventionError, match="not trained on efg of Si"):
        prediction.principal_frame("efg", "29Si")
    stranger = quartz().replace(species=("Ge", "O"))
    with pytest.raises(ConventionError, match=r"contains Ge.*knows O, Si"):
        model().predict(stranger)
    with pytest.raises(ParameterError, match="no 27Al site; it has O, Si"):
        prediction.shift("27Al")
    with pytest.raises(ConventionError, match="no shift reference of O"):
        prediction.shift("17O")


def test_what_is_derived_follows_from_the_tensors(prediction):
    sigma = np.asarray(prediction.shielding_ppm[0])
    np.testing.assert_allclose(prediction.shift("29Si"), [330.0 - 1.02 * np.trace(sigma) / 3], rtol=1e-12)
    np.testing.assert_allclose(prediction.shift("29Si", ShiftReference(1.0)), [1.0 - np.trace(sigma) / 3], rtol=1e-12)
    values = np.linalg.eigvalsh(0.5 * (sigma + sigma.T))
    iso, span, skew = (np.asarray(v)[0] for v in prediction.maryland("29Si"))
    np.testing.assert_allclose([iso, span], [values.mean(), values[2] - values[0]], rtol=1e-9)
    np.testing.assert_allclose(skew, 3 * (values.mean() - values[1]) / span, rtol=1e-6)
    haeberlen = prediction.haeberlen("29Si")
    assert abs(float(haeberlen.zeta[0])) == pytest.approx(np.abs(values - values.mean()).max())
    v = np.linalg.eigvalsh(np.asarray(prediction.efg_au[1]))
    v = v[np.argsort(np.abs(v))]
    # 234.9648 MHz per atomic unit and barn, Q(17O) = -0.02558 b
    cq, eta = prediction.quadrupolar("17O")
    assert float(cq[0]) == pytest.approx(234.9648e6 * -0.02558 * v[2], rel=2e-3)
    assert float(eta[0]) == pytest.approx((v[0] - v[1]) / v[2], abs=1e-9)
    half = prediction.quadrupolar("17O", q_barn=-0.01279).cq_hz
    assert float(half[0]) == pytest.approx(234.9648e6 * -0.01279 * v[2], rel=1e-6)
    sites = prediction.sites("17O", reference=ShiftReference(300.0), q_barn=-0.01279)
    np.testing.assert_allclose(sites.quadrupolar_hz, prediction.quadrupolar_hz("17O", q_barn=-0.01279))
    frame = prediction.principal_frame("efg", "17O")
    rebuilt = np.asarray(frame.axes[0]) @ np.diag(np.asarray(frame.values[0])) @ np.asarray(frame.axes[0]).T
    np.testing.assert_allclose(rebuilt, prediction.efg_au[1], atol=1e-12)


def test_sites_for_spectra_carry_shift_tensor_coupling_and_multiplicity(prediction):
    silicon, oxygen = prediction.sites("29Si", gaussian_hz=50.0), prediction.sites("17O", reference=REFERENCE)
    assert silicon.labels == ("Si1",) and silicon.isotope == "29Si"
    np.testing.assert_array_equal([silicon.amplitude[0], oxygen.amplitude[0], silicon.gaussian_hz[0]], [3.0, 6.0, 50.0])
    np.testing.assert_allclose(silicon.shift_ppm, prediction.shift("29Si"))
    # the shielding whose anisotropy belongs to the shift: slope -1.02
    np.testing.assert_allclose(
        silicon.shielding_ppm[0], 1.02 * np.asarray(prediction.shielding_ppm[0]) - 330.0 * np.eye(3), atol=1e-9
    )
    np.testing.assert_allclose(oxygen.quadrupolar_hz[0], quadrupolar_from_efg(prediction.efg_au[1], "17O"))
    np.testing.assert_array_equal(silicon.quadrupolar_hz, 0.0)
    with pytest.raises(ConventionError, match="unknown widths"):
        prediction.sites("29Si", fwhm=3.0)


def test_sites_can_be_differentiated_by_the_structure():
    crystal, plan = quartz(), model().plan(quartz())
    shift = lambda x: model().predict(crystal.replace(xyz=x), plan).sites("29Si", reference=REFERENCE).shift_ppm
    along = jax.jit(lambda x, t: jax.jvp(shift, (x,), (t,)))
    # oxygen moves, silicon answers
    step = np.array([[0.0, 0, 0], [0.1, 0.3, -0.2]])
    _, slope = along(crystal.xyz, step)
    ends = [along(crystal.xyz + h * step, step)[0] for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-4, rtol=1e-5)


def test_predicted_sites_make_spectra(prediction):
    sites = prediction.sites("29Si", gaussian_hz=200.0)
    spectrum = SpectrumStatic("29Si", b0_tesla=9.4).simulate(sites, points=512)
    assert np.sum(spectrum.values) == pytest.approx(3.0, rel=1e-3)
    centre = np.sum(spectrum.ppm * spectrum.values) / np.sum(spectrum.values)
    assert centre == pytest.approx(float(prediction.shift("29Si")[0]), abs=0.05)


def test_tensors_of_all_atoms_can_be_written_as_magres(tmp_path, prediction):
    path = write_magres(prediction.to_magres(), tmp_path / "quartz.magres")
    back = read_magres(path)
    assert len(back) == 9 and back.elements[:3] == ("Si",) * 3
    np.testing.assert_allclose(back.shielding_ppm, prediction.of_atoms("shielding"), atol=1e-9)
    np.testing.assert_allclose(back.efg_au[3:], prediction.of_atoms("efg")[3:], atol=1e-9)
    assert np.isnan(back.efg_au[:3]).all()


def test_a_table_names_sites_with_what_is_known_of_them(prediction):
    lines = str(prediction).splitlines()
    assert [line.split()[0] for line in lines] == ["site", "Si1", "O1"]
    assert "17O" in lines[2] and "MHz" in lines[0]
    assert f"{float(isotropic(prediction.shielding_ppm)[0]):.2f}" in lines[1]


def test_any_other_quantity_comes_as_its_components():
    head = HeadConfig(name="dipole", irreps="1o", unit="e Å", sign="towards positive charge", elements=("O",))
    network = NetworkConfig(species=("O", "Si"), heads=(head,), hidden="4x0e+2x1o", layers=1, cutoff=3.0, radial=4)
    made = TensorModel.create(network, key=jax.random.key(0), dtype=np.float64)
    out = made.predict(quartz()).tensors
    assert out["dipole"].shape == (2, 3) and np.isfinite(np.asarray(out["dipole"][1])).all()
    with pytest.raises(ConventionError, match="predicts nothing"):
        made.predict(quartz()).sites("17O")


def test_partial_occupancy_has_no_tensors():
    crystal = Crystal.create(
        cell=[4, 4, 4, 90, 90, 90],
        spacegroup="P 1",
        species=["Si", "O"],
        xyz=[[0, 0, 0], [0.4, 0.4, 0.4]],
        occupancy=[1, 0.5],
    )
    with pytest.raises(ConventionError, match=r"occupancy 0\.5"):
        model().predict(crystal)


def test_single_precision_gives_single_precision_also_where_double_is_at_hand():
    graph = jax.tree.map(lambda a: a.astype(np.float32) if a.dtype.kind == "f" else a, plain_graph())
    out = components(model(), graph)
    assert {v.dtype for v in out.values()} == {np.dtype(np.float32)}


def test_a_model_read_twice_shares_compiled_programs(tmp_path):
    path = model().save(tmp_path / "model.safetensors")
    one, two = TensorModel.load(path), TensorModel.load(path)
    assert jax.tree.structure(one) == jax.tree.structure(two) and hash(one.card) == hash(two.card)
    renamed = two.replace(card=dataclasses.replace(two.card, name="another"))
    assert jax.tree.structure(one) != jax.tree.structure(renamed)
