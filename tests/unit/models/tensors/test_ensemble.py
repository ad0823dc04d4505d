"""Ensembles: mean and spread of the members, symmetry, derivatives, files, models by name."""

import json
import struct
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, config, model, plain_graph, quartz

from jaxnmr.errors import ConventionError, ParseError
from jaxnmr.models import ModelCard, TensorModel
from jaxnmr.models.networks.irreps import cartesian
from jaxnmr.models.tensors import checkpoint
from jaxnmr.models.tensors.ensemble import compiled_outputs

CALIBRATION = {"efg": {"O": {"atoms": 30, "a": [0.1], "b": [2.0], "nu": [3.0], "quantiles": {"vzz": [1.0] * 5}}}}


def members():
    of = lambda k: TensorModel.create(config(), key=jax.random.key(k), dtype=np.float64)
    return [model(), *(of(k).replace(scale=model().scale, shift=model().shift) for k in (1, 2))]


@pytest.fixture(scope="module")
def ensemble():
    """Three members with environments and a calibration, made up."""
    made = TensorModel.ensemble(members(), card=ModelCard(name="three", calibration=CALIBRATION))
    rng = np.random.default_rng(0)
    parts = {"mean": (12,), "projection": (12, 3), "points": (7, 3)}
    numbers = {name: rng.normal(size=shape).astype(np.float16) for name, shape in parts.items()}
    return made.replace(environments={"O": numbers})


def outputs(of, *structure):
    return compiled_outputs(of, plain_graph(*structure))


def edit(path, **changes):
    """Rewrite the description in the header of a checkpoint."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["jaxnmr"] = json.dumps(json.loads(header["__metadata__"]["jaxnmr"]) | changes)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def test_an_ensemble_predicts_the_mean_of_its_members_and_says_how_far_they_are_apart(ensemble):
    whole, single = outputs(ensemble), [outputs(m) for m in members()]
    for head in config().heads:
        values = np.array([one.components[head.name] for one in single])
        np.testing.assert_allclose(whole.components[head.name], values.mean(axis=0), atol=1e-12)
        variance, start = values.var(axis=0, ddof=1), 0
        for k, width in enumerate(2 * np.array(head.ranks) + 1):
            expected = np.sqrt(variance[:, start : start + width].mean(axis=1))
            np.testing.assert_allclose(whole.spread[head.name][:, k], expected, atol=1e-12)
            assert expected[: len(ELEMENTS)].min() > 1e-4
            start += width
    np.testing.assert_allclose(whole.scalars[:, 4:8], single[1].scalars, atol=1e-12)


def test_a_member_is_the_model_it_was_made_of_and_ensembles_join_to_larger_ones(ensemble):
    for k, one in enumerate(members()):
        for mine, theirs in zip(jax.tree.leaves(ensemble.member(k)), jax.tree.leaves(one), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert ensemble.member(-1).members is None and ensemble.member(0).card.calibration == {}
    assert ensemble.count == model().count and ensemble.members == 3
    four = TensorModel.ensemble([ensemble, model()])
    assert four.members == 4 and four.environments == {} and four.card.calibration == {}
    np.testing.assert_array_equal(four.scale["efg"][3], model().scale["efg"])


def test_what_is_no_ensemble_is_refused(ensemble):
    with pytest.raises(ConventionError, match="at least one"):
        TensorModel.ensemble([])
    other = TensorModel.create(replace(config(), radial=5), key=jax.random.key(0))
    with pytest.raises(ConventionError, match="member 1 has another architecture"):
        TensorModel.ensemble([model(), other])
    with pytest.raises(ConventionError, match="no member 3; the model has 3"):
        ensemble.member(3)
    with pytest.raises(ConventionError, match="no member 1; the model has 1"):
        model().member(1)


def test_the_mean_turns_with_the_structure_and_the_uncertainty_does_not(ensemble):
    turn = -Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    here, there = outputs(ensemble), outputs(ensemble, LATTICE @ turn.T, POSITIONS @ turn.T)
    n = len(ELEMENTS)
    for head in config().heads:
        before, after = (np.asarray(cartesian(o.components[head.name][:n], head.irreps)) for o in (here, there))
        np.testing.assert_allclose(after, turn @ before @ turn.T, atol=1e-10)
        np.testing.assert_allclose(there.spread[head.name][:n], here.spread[head.name][:n], atol=1e-10)
    np.testing.assert_allclose(there.novelty[:n], here.novelty[:n], atol=1e-10)
    assert np.isnan(here.novelty[0]) and np.isfinite(here.novelty[1])


def test_derivatives_of_the_mean_are_right_even_where_members_agree():
    same, crystal = TensorModel.ensemble([model(), model()]), quartz()
    plan = same.plan(crystal)

    def both(x):
        found = same.predict(crystal.replace(xyz=x), plan)
        return found.tensors["shielding"].trace(axis1=1, axis2=2), found.spread["shielding"]

    step = np.array([[0.0, 0, 0], [0.1, 0.3, -0.2]])
    along = jax.jit(lambda x: jax.jvp(both, (x,), (step,)))
    (_, spread), (slope, spread_slope) = along(crystal.xyz)
    ends = [along(crystal.xyz + h * step)[0][0] for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-4, rtol=1e-5)
    np.testing.assert_allclose(spread, 0.0, atol=1e-15)
    np.testing.assert_array_equal(spread_slope, 0.0)


def test_plans_and_models_can_be_arguments_of_a_compiled_function(ensemble):
    crystal = quartz()
    plan = ensemble.plan(crystal)
    compiled = jax.jit(lambda model, plan, crystal: model.predict(crystal, plan))
    inside, outside = compiled(ensemble, plan, crystal), ensemble.predict(crystal, plan)
    for name in ("efg", "shielding"):
        np.testing.assert_allclose(inside.tensors[name], outside.tensors[name], atol=1e-9)
        np.testing.assert_allclose(inside.spread[name], outside.spread[name], atol=1e-9)
    np.testing.assert_allclose(inside.sigma("cq", "17O"), outside.sigma("cq", "17O"), rtol=1e-9)
    np.testing.assert_allclose(inside.novelty, outside.novelty, atol=1e-9)


def test_an_ensemble_read_back_is_the_one_that_was_saved(tmp_path, ensemble):
    loaded = TensorModel.load(ensemble.save(tmp_path / "three.safetensors"))
    assert (loaded.members, loaded.config) == (3, ensemble.config)
    assert loaded.card.calibration == CALIBRATION
    assert jax.tree.structure(loaded) == jax.tree.structure(ensemble)
    for mine, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(ensemble), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    single = TensorModel.load(model().save(tmp_path / "one.safetensors"))
    assert single.members is None and single.environments == {}


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-3] + b"\x01" + p.read_bytes()[-2:]), "numbers differ"),
        (lambda p: edit(p, members=2), r"has the shape .* needs"),
        (lambda p: edit(p, members=None), "shape"),
        (lambda p: edit(p, members="3"), "members is '3'"),
        (lambda p: edit(p, members=0), "members is 0"),
        (lambda p: edit(p, card={"nonsense": 1}), "nonsense"),
    ],
)
def test_damaged_and_mismatching_ensembles_are_refused(tmp_path, ensemble, damage, words):
    path = ensemble.save(tmp_path / "three.safetensors")
    damage(path)
    with pytest.raises(ParseError, match=words):
        TensorModel.load(path)


@pytest.mark.parametrize(
    "part, shape", [("mean", (11,)), ("projection", (12, 4)), ("points", (7, 2)), ("points", (7,)), ("extra", (3,))]
)
def test_environments_of_other_shapes_are_refused(tmp_path, ensemble, part, shape):
    broken = {"O": dict(ensemble.environments["O"]) | {part: np.zeros(shape)}}
    path = ensemble.replace(environments=broken).save(tmp_path / "three.safetensors")
    with pytest.raises(ParseError, match="environments/O"):
        TensorModel.load(path)


def test_models_of_the_package_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(ConventionError, match="no model 'silica' comes with jaxnmr; there are none"):
        TensorModel.load("silica")
    (tmp_path / "shipped").mkdir()
    model().save(tmp_path / "shipped" / "silica.safetensors")
    assert TensorModel.load("silica").config == config()
    with pytest.raises(ConventionError, match="no model 'slica' comes with jaxnmr; there are silica"):
        TensorModel.load("slica")
    # with a suffix or a folder it is a file
    for path in ("slica.safetensors", "folder/slica", tmp_path / "slica"):
        with pytest.raises(ParseError, match="no such file"):
            TensorModel.load(path)
    monkeypatch.chdir(tmp_path)
    TensorModel.ensemble([model()]).save("silica")
    assert TensorModel.load("silica").members == 1
