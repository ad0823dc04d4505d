"""Plans for one kind of device are made on another, give the same numbers there, and lower for their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, rutile
from small_tensor_models import model, quartz

import jaxnmr as jn
from jaxnmr._tuning import ACCELERATOR, PROCESSOR, of_platform, tuning
from jaxnmr.diffraction.linear_pattern import linear_pattern
from jaxnmr.errors import ConventionError
from jaxnmr.models.tensors.source import Predicted
from jaxnmr.nmr.sites import Sites

ALUMINIUM = [
    jn.Site(isotope="27Al", shift_ppm=float(k), cq_hz=2e6 + 1e5 * k, eta_q=0.3, gaussian_hz=600.0) for k in range(3)
]


def powder(device):
    x = np.arange(24.0, 72.0, 0.1)
    plan = jn.PowderDiffraction(DOUBLET, jn.Background.chebyshev(3), device=device).plan(rutile(), x)
    values = {name: jnp.asarray(q.value) for name, q in plan.quantities().items()}
    crystals = {"rutile": rutile()}

    def evaluate(plan, crystals, values):
        along = lambda tree: jax.tree.map(lambda leaf: jnp.zeros((1, *jnp.shape(leaf))), tree)
        tangents = along(crystals), along(values) | {"shl": jnp.ones(1)}
        write = lambda total, first, _, jacobian: jax.lax.dynamic_update_slice(total, jacobian, (first, 0))
        linear = linear_pattern(plan, crystals, values, *tangents)
        return plan.pattern(crystals, values), linear.fold(write, jnp.zeros((2048, 1)))[: x.size]

    return evaluate, (plan, crystals, values)


def spectrum(experiment, device):
    sites = Sites.of(ALUMINIUM)
    plan = experiment.plan(sites, points=256, width_hz=60e3, centre_ppm=0.0, device=device)

    def evaluate(plan, sites):
        tangent = jax.tree.map(jnp.ones_like, sites)
        return jax.jvp(plan.spectrum, (sites,), (tangent,))

    return evaluate, (plan, jax.tree.map(jnp.asarray, sites))


def static(device):
    return spectrum(jn.SpectrumStatic("27Al", b0_tesla=9.4, integration_density=12), device)


def mas(device):
    return spectrum(jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=5e3, integration_density=12), device)


# more columns of derivatives than fit in what a processor takes at once
COLUMNS = 40


def predicted(device):
    crystal, rng = quartz(), np.random.default_rng(1)
    made = Predicted.create(model(), "quartz", crystal, device=device).differentiated(range(COLUMNS), None)
    cell, xyz = rng.normal(size=(COLUMNS, 6)), rng.normal(size=(COLUMNS, *np.shape(crystal.xyz)))

    def evaluate(made, crystal, cell, xyz):
        values, moved = made.linearised(crystal, crystal.replace(cell=cell, xyz=xyz))
        # the field gradient of silicon was not trained
        return {head: (values[head][-1], moved[head][:, -1]) for head in values}

    return evaluate, (made, crystal, jnp.asarray(cell), jnp.asarray(xyz))


CASES = [powder, static, mas, predicted]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_plan_for_an_accelerator_gives_the_same_numbers_on_a_processor(case):
    here, there = (jax.jit(evaluate)(*arguments) for evaluate, arguments in (case("cpu"), case("gpu")))
    for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        assert np.isfinite(a).all() and np.abs(a).max() > 0.0
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12 * np.abs(a).max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_plan_for_an_accelerator_is_another_program_and_lowers_for_it(case):
    evaluate, arguments = case("gpu")
    text = jax.jit(evaluate).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    other, arguments = case("cpu")
    assert text and text != jax.jit(other).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def test_what_is_chosen_stays_with_the_plan():
    for device, expected in (("cpu", PROCESSOR), ("gpu", ACCELERATOR), ("tpu", ACCELERATOR)):
        (plan, crystals, values), (simulated, _) = powder(device)[1], mas(device)[1]
        assert plan.laid_out(crystals, values).tiles_at_once == expected.tiles
        assert (simulated.experiment.crystallites, simulated.chunk) == (expected.crystallites, expected.sites)
        assert predicted(device)[1][0].memory_bytes == expected.derivative_bytes


def test_a_simulation_hands_its_device_on_to_plans_and_terms():
    experiment = jn.SpectrumMAS("27Al", b0_tesla=9.4, device="gpu")
    measured = jn.SpectrumMAS("27Al", b0_tesla=9.4).simulate(ALUMINIUM, points=256, width_hz=60e3, centre_ppm=0.0)
    term = jn.SpectrumTerm(experiment, measured, ALUMINIUM, sigma=1e-3)
    assert term.plan.chunk == ACCELERATOR.sites
    assert experiment.plan(ALUMINIUM, device="cpu").chunk == PROCESSOR.sites


def test_the_default_is_the_kind_that_jax_computes_on():
    assert tuning() == of_platform(jax.default_backend())
    assert of_platform("cpu") == PROCESSOR and of_platform("METAL") == ACCELERATOR


def test_an_unknown_kind_of_device_is_refused():
    with pytest.raises(ConventionError, match="device is 'cuda'; expected one of 'cpu', 'gpu', 'tpu'"):
        tuning("cuda")
    with pytest.raises(ConventionError, match="device is 'cuda'"):
        Predicted.create(model(), "quartz", quartz(), 2**20, device="cuda")
