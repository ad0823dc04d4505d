"""Learned tensors in the state: what terms can read, what they are told when it is not there, plans of neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tensor_models import model, quartz

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.models.tensors.derivatives import Backward, Everywhere, Forward, mapped
from jaxnmr.models.tensors.source import Predicted
from jaxnmr.objective import TensorRead
from jaxnmr.objective.source import plan_sources
from jaxnmr.refinement.summary import _packed


@jn.term("volume")
def volume(state):
    return state.crystal.volume() - 113.0


@jn.term("shift", sigma=2.0)
def shift(state):
    return state.shift("29Si", jn.ShiftReference(337.0)) + 107.0


@jn.term("hydrogen")
def of_hydrogen(state):
    return state.efg(nucleus="29Si").ravel()


@jn.term("volumes")
def two_volumes(state):
    return state.crystals["a"].volume() - state.crystals["b"].volume() + 1.0


def restricted(*heads: str):
    """The small model with some of its heads, an environment and references."""
    whole = model()
    keep = tuple(h for h in whole.config.heads if h.name in heads)
    weights = {k: v for k, v in whole.weights.items() if not k.startswith("head_") or k[5:] in heads}
    config = type(whole.config)(**{**vars(whole.config), "heads": keep})
    part = lambda of: {name: of[name] for name in heads}
    return whole.replace(config=config, weights=weights, scale=part(whole.scale), shift=part(whole.shift))


@pytest.fixture(scope="module")
def objective():
    return jn.Objective(volume + shift, crystal=quartz(), models=model())


@pytest.fixture(scope="module")
def state(objective):
    return objective.state(objective.parameters().values)


def test_the_state_holds_what_the_model_predicts(state):
    expected = model().predict(quartz()).tensors
    assert state.provided["quartz"]["shielding"].shape == (2, 3, 3)
    np.testing.assert_allclose(state.shielding(), expected["shielding"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.efg("quartz", nucleus="17O"), expected["efg"][1:], rtol=1e-9, atol=1e-12)
    assert np.isnan(state.efg()[0]).all()
    iso = np.trace(np.asarray(expected["shielding"]), axis1=1, axis2=2) / 3
    np.testing.assert_allclose(state.shift("29Si", jn.ShiftReference(337.0, -0.9)), 337.0 - 0.9 * iso[:1])
    assert state.sites("17O").tolist() == [1]


def test_a_custom_term_reads_shifts(objective, state):
    r = objective.residuals(objective.parameters())
    assert r[1] == pytest.approx(float((337.0 - jnp.trace(state.shielding()[0]) / 3 + 107.0) / 2.0))


def test_reading_what_nothing_provides_says_what_is_missing(objective, state):
    with pytest.raises(ParameterError, match=r"nothing predicts the shielding of 'quartz': .*models=model"):
        jn.Objective(shift, crystal=quartz())
    with pytest.raises(ParameterError, match="predicts 'j_coupling'; there is efg, shielding"):
        state.tensor("j_coupling")
    with pytest.raises(ParameterError, match=r"not trained on the efg of Si: leave Si1 of quartz out .*sites="):
        state.efg(nucleus="29Si")
    with pytest.raises(ParameterError, match="quartz has no 27Al site; it has O, Si"):
        state.shielding(nucleus="27Al")
    with pytest.raises(ConventionError, match="no shift reference of Si: give reference="):
        state.shift("29Si")
    with pytest.raises(ParameterError, match="there is no phase 'coesite'"):
        state.shielding("coesite")
    with pytest.raises(ConventionError, match="'99Xx'"):
        state.shielding(nucleus="99Xx")


def test_a_term_that_reads_untrained_elements_is_told_when_the_objective_is_made():
    with pytest.raises(ParameterError, match="not trained on the efg of Si"):
        jn.Objective(of_hydrogen, crystal=quartz(), models=model())


def test_references_of_the_model_are_used_where_none_is_given():
    card = type(model().card)(name="small", references={"Si": (330.0, -0.95)})
    objective = jn.Objective(volume, crystal=quartz(), models=model().replace(card=card))
    state = objective.state(objective.parameters().values)
    np.testing.assert_allclose(state.shift("29Si"), state.shift("29Si", jn.ShiftReference(330.0, -0.95)))


def test_models_may_be_given_by_phase_and_by_quantity():
    crystals = {"a": quartz(), "b": quartz()}
    parts = [restricted("shielding"), restricted("efg")]
    several = plan_sources({"b": parts}, crystals)
    assert [(p.phase, [of.name for of in p.provisions]) for p in several] == [("b", ["shielding"]), ("b", ["efg"])]
    assert [p.phase for p in plan_sources(model(), crystals)] == ["a", "b"]
    with pytest.raises(ParameterError, match="several models of 'a' predict efg, shielding"):
        plan_sources([model(), model()], crystals)
    with pytest.raises(ParameterError, match=r"'silica-29si' is no model; expected TensorModel\.load"):
        plan_sources("silica-29si", crystals)
    with pytest.raises(ParameterError, match="there is no phase 'c'"):
        plan_sources({"c": model()}, crystals)
    with pytest.raises(ParameterError, match="give the objective crystal="):
        jn.Objective(volume, models=model())
    with pytest.raises(ParameterError, match="memory_bytes is 0"):
        jn.Objective(volume, crystal=quartz(), models=model(), memory_bytes=0)


def test_an_objective_keeps_its_models_when_terms_are_added(objective):
    more = objective.bind(objective.parameters().free("xyz")) + 2.0 * jn.term("length")(
        lambda state: state.crystal.cell[:1] - 5.0
    )
    assert [p.way for p in more.sources] == [Everywhere()]
    assert more.sources[0].model is objective.sources[0].model and len(more.terms) == 3


def test_neighbours_are_listed_again_before_the_skin_is_used_up(objective):
    params = objective.parameters()
    near = params.set("xyz[O1.x]", 0.4135 + 0.005)  # 0.025 Å: half of the skin is not touched
    same, notes, _ = objective.replan(near)
    assert same is objective and notes == ()
    far = params.set("xyz[O1.x]", 0.4135 + 0.04)  # 0.2 Å, twice of it between two atoms: 0.1 Å of 0.5 are left
    renewed, notes, _ = objective.replan(far)
    assert notes == ("neighbours of quartz listed again",)
    assert np.isfinite(objective.residuals(far)).all()
    np.testing.assert_allclose(renewed.residuals(far), objective.residuals(far), rtol=1e-9)
    beyond = params.set("xyz[O1.x]", 0.4135 + 0.07)
    assert np.isnan(objective.residuals(beyond)[1]) and np.isfinite(objective.residuals(beyond)[0])
    assert np.isfinite(objective.bind(beyond).residuals(beyond)).all()


def test_new_neighbours_need_no_new_program(objective):
    params = objective.parameters()
    renewed = objective.replan(params.set("xyz[O1.x]", 0.4135 + 0.04)).objective
    kinds = lambda o: jax.tree.flatten(jax.tree.map(np.shape, o.sources[0].plan))
    assert kinds(renewed) == kinds(objective)
    graph = renewed.sources[0].plan.reference
    assert (np.diff(graph.receivers) >= 0).all() and len(graph.senders) % 128 == 0
    padding = (graph.senders == graph.receivers) & ~np.asarray(graph.edges["shifts"]).any(axis=1)
    assert padding.any() and graph.n_edge.tolist() == [len(graph.senders)]


def test_atoms_on_top_of_each_other_leave_the_old_neighbours(objective):
    predicted = objective.sources[0]
    xyz = np.array(quartz().xyz)
    xyz[1] = [0.4697, 0.02, 2 / 3]
    with pytest.raises(ConventionError, match="Å apart"):
        predicted.replan(quartz().replace(xyz=xyz))
    # two thirds of a thicker skin are used up: time for new neighbours, but not needed yet
    used = predicted.plan.skin - float(predicted.plan.margin(quartz().replace(xyz=xyz)))
    thick = predicted.replace(plan=predicted.plan.replace(skin=1.5 * used))
    same, note = thick.replan(quartz().replace(xyz=xyz))
    assert same is thick and note == ""


def test_columns_that_move_atoms_are_known_from_what_is_free(objective):
    params = objective.parameters().free("u_iso", "cell", "xyz[O1.y]")
    prepared = objective.bind(params)
    named = [params.free_names[k] for k in prepared.sources[0].way.columns]
    assert named == ["cell[a]", "cell[c]", "xyz[O1.y]"]
    (note,) = prepared.plan_notes()
    assert "forward mode along the 3 refined numbers that move cell or atoms, for an unknown number" in note
    nothing = objective.bind(objective.parameters().free("u_iso"))
    assert "not calculated: nothing refined moves" in nothing.plan_notes()[0]
    assert "not known which of them move atoms" in objective.plan_notes()[0]
    unread = jn.Objective(volume, crystal=quartz(), models=model()).bind(params)
    assert "not calculated: no term reads them" in unread.plan_notes()[0]


def test_every_phase_has_its_own_columns():
    objective = jn.Objective(two_volumes, crystal={"a": quartz(), "b": quartz()}, models={"b": model()})
    params = objective.parameters().free("a/cell", "b/xyz[O1.*]", "a/xyz")
    (predicted,) = objective._differentiated(params.spec)
    assert [params.free_names[k] for k in predicted.way.columns] == ["b/xyz[O1.x]", "b/xyz[O1.y]", "b/xyz[O1.z]"]
    assert predicted.way.rows == ()


def test_other_changes_of_the_structure_find_room_in_columns_that_move_it(objective):
    params = objective.parameters().free("u_iso", "cell")
    prepared, spec = objective.bind(params), params.spec
    at = lambda name: spec.along([int(np.flatnonzero(spec.pivots == spec.match(name)[0])[0])])[:, 0]
    assert prepared.columns_for(spec, at("xyz[O1.x]")).tolist() == [0, 1]
    assert prepared.columns_for(spec, at("occupancy[O1]")).tolist() == [0, 1, 2, 3]
    assert objective.columns_for(spec, at("xyz[O1.x]")).tolist() == [0, 1, 2, 3]


def test_fixed_parameters_are_tried_together_in_columns_that_may_hold_them(objective):
    params = objective.parameters().free("u_iso", "cell")
    prepared, spec = objective.bind(params), params.spec
    fixed = np.flatnonzero(~spec.free)
    batches = list(_packed(prepared, spec, fixed))
    assert sorted(k for placed in batches for k in placed.values()) == fixed.tolist()
    assert [len(placed) for placed in batches] == [4, 2]
    moves_atoms = {k for k in fixed if params.labels[spec.pivots[k]].startswith("xyz")}
    assert len(moves_atoms) == 4
    assert {column for placed in batches for column, k in placed.items() if k in moves_atoms} == {0, 1}


def test_a_term_receives_the_calibrated_uncertainty_of_the_model():
    quantiles = {"l0": [1.0] * 5, "l1": [1.0] * 5, "l2": [1.0] * 5, "iso": [0.7, 1.0, 1.3, 1.7, 2.0]}
    of_oxygen = {"a": [3.0, 1.0, 2.0], "b": [0.0, 0.0, 0.0], "quantiles": quantiles}
    card = type(model().card)(calibration={"shielding": {"O": of_oxygen}})
    reference = jn.ShiftReference(337.0)
    tensors = jn.TensorTerm("17O", np.zeros((1, 3, 3)), sigma=4.0, sigma_model="model", reference=reference)
    peaks = jn.PeakListTerm("17O", [100.0], sigma=1.0, sigma_model="model", reference=reference)
    objective = jn.Objective(tensors + peaks, crystal=quartz(), models=model().replace(card=card))
    assert objective.terms[1].assigned() == {"O1": 100.0} and objective.replan(objective.parameters()).notes == ()
    # 3 ppm of a component of l = 0 is sqrt3 ppm of the isotropic value
    assert objective.terms[1].model_sigma == pytest.approx([3.0 / np.sqrt(3.0)])
    isotropic = np.eye(3)[None] / np.sqrt(3.0)
    along = np.asarray(objective.terms[0].whitening)[0] @ np.append(isotropic[0].diagonal(), np.zeros(3))
    assert along @ along == pytest.approx(1.0 / (4.0**2 + 3.0**2))


def test_reverse_mode_is_taken_where_few_components_are_read():
    predicted = Predicted.create(model(), "quartz", quartz())
    read = (
        TensorRead("quartz", "shielding", (0,), "isotropic"),
        TensorRead("quartz", "shielding", (0, 1), "symmetric"),
    )
    few = predicted.differentiated(range(40), read)
    both = (("shielding", 0, "symmetric"), ("shielding", 1, "symmetric"))
    assert few.way == Backward(tuple(range(40)), both, 12)
    assert "reverse mode from 12 components that terms read, fewer than the 40 refined numbers" in few.note()
    many = predicted.differentiated(range(10), read)
    assert many.way == Forward(tuple(range(10)), 12) and "forward mode along the 10 refined numbers" in many.note()
    assert predicted.differentiated(range(10), ()).way.rows == ()
    assert [
        len(predicted._basis(*of)) for of in (("shielding", "all"), ("shielding", "isotropic"), ("efg", "all"))
    ] == [9, 1, 5]


def test_tangents_are_pushed_in_batches_that_fit_in_the_memory():
    predicted = Predicted.create(model(), "quartz", quartz())
    assert predicted._batch(17) == 17
    small = predicted.replace(memory_bytes=4 * predicted.tangent_bytes)
    assert small._batch(17) == 4 and small._batch(9) == 3 and small._batch(3) == 3
    assert predicted.replace(memory_bytes=1)._batch(17) == 1
    rows = (jnp.arange(17.0), jnp.ones((17, 2)))
    function = lambda row: {"x": jnp.sin(row[0]) + row[1]}
    for batch in (1, 4, 9, 17, 30):
        np.testing.assert_array_equal(mapped(function, rows, batch)["x"], jax.vmap(function)(rows)["x"])


def test_atoms_unlike_those_of_the_training_are_named_in_a_warning():
    features = 4
    # an environment at the origin of the features, with a threshold of 1e-3, is far from any atom; one of 1e3 near to all
    of = lambda scale: {
        "mean": jnp.zeros(features), "projection": jnp.eye(features) / scale, "points": jnp.zeros((1, features))
    }  # fmt: skip
    strange = model().replace(environments={"Si": of(1e3), "O": of(1e-3)})
    objective = jn.Objective(volume, crystal=quartz(), models=strange)
    (sentence,) = objective.warnings(objective.parameters())
    assert (
        sentence.startswith("The model 'model' has seen nothing like O1 (")
        and "of quartz (novelty; above 1" in sentence
    )
    assert jn.Objective(volume, crystal=quartz(), models=model()).warnings(objective.parameters()) == ()
