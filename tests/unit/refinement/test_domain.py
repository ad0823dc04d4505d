"""A refinement says when it passes through structures unlike those that its models were trained on."""

import jax
import jax.numpy as jnp
import numpy as np
from small_tensor_models import model, quartz

import jaxnmr as jn
from jaxnmr.refinement.domain import DomainLog

TARGET = np.asarray(quartz().xyz)[1]


@jn.term("pull", sigma=0.001)
def pull(state):
    return state.values["xyz"][1] - TARGET


def knowing_only_quartz():
    """The small model, told that an oxygen atom of quartz is the only one it knows, and every silicon atom."""
    plain = model()
    of = lambda mean, scale: {"mean": mean, "projection": jnp.eye(4) / scale, "points": jnp.zeros((1, 4))}
    plan = plain.plan(quartz())
    scalars = np.asarray(jax.jit(lambda m, p, c: m.outputs(p.graph(c)).scalars)(plain, plan, quartz()))[plan.sites]
    return plain.replace(environments={"Si": of(jnp.zeros(4), 1e6), "O": of(jnp.asarray(scalars[1]), 0.002)})


def test_structures_outside_the_domain_are_noted_at_every_step_and_in_the_result():
    start = quartz().replace(xyz=np.add(quartz().xyz, [[0, 0, 0], [0.02, -0.01, 0.015]]))
    objective = jn.Objective(pull, crystal=start, models=knowing_only_quartz())
    # strongly damped: it gets there in small steps
    solver = jn.LevenbergMarquardt(initial_damping=3.0)
    fit = jn.refine(objective, objective.parameters().free("xyz[O1*]"), solver=solver, suggest=False)
    noted = [info.step for info in fit.steps if "outside the domain of model: O1 (" in info.note]
    assert noted and noted == list(range(1, len(noted) + 1)) and len(noted) < len(fit.steps)
    sentences = [s for s in fit.warnings if s.startswith("On the way, after step")]
    assert len(sentences) == 1 and "O1 of quartz was unlike anything the model 'model' has seen" in sentences[0]
    assert not any("has seen nothing like" in s for s in fit.warnings)
    # without a record of the training there is nothing to say
    plain = jn.Objective(pull, crystal=start, models=model())
    assert plain.replan(plain.parameters()).outside == {}
    outside = objective.replan(objective.parameters()).outside
    assert list(outside) == [("model", "quartz", "O1")] and outside["model", "quartz", "O1"] > 1.0


def test_sites_that_end_outside_are_left_to_the_warning_about_the_end():
    log, key = DomainLog(), ("m", "q", "O1")
    assert log.visit(0, {key: 3.0}) == "outside the domain of m: O1 (3.0)"
    assert log.sentences() == ()
    log.visit(1, {key: 2.0})
    assert log.sentences() == ()
    assert log.visit(2, {}) == ""
    (sentence,) = log.sentences()
    assert sentence.startswith("On the way, after step 1, O1 of q") and "novelty up to 3.0" in sentence
