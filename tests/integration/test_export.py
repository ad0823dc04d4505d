"""Programs of refinements, starts, spectra and trainings are exported for accelerators on a machine without one.

Problems are planned for the accelerator, and lowered by ``jax.export`` for it. What a module asks of libraries outside XLA is
known by name: a new one is a decision. That a module lowers does not say that it was run; nothing here was.
"""

import re
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tensor_models import LATTICE, POSITIONS, model, quartz

import jaxnmr as jn
from jaxnmr._struct import bare
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import HeadConfig, NetworkConfig
from jaxnmr.models.data.labels import Batches as TrainingBatches
from jaxnmr.models.data.labels import labelled_graphs
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.tensors import train
from jaxnmr.nmr.powder.simulation import MOVES, RESHAPES, SCALES
from jaxnmr.nmr.sites import Sites
from jaxnmr.refinement.descent import Descent
from jaxnmr.refinement.loop import HISTORY, descend
from jaxnmr.search.batched import Batches, _Family, _program

PLATFORMS = ("cuda", "tpu")
WIDTH = 3


def exported(program, platform, *arguments, **settings):
    """The module of a program for a platform; raises where an operation has no form there."""
    return jax.export.export(program, platforms=[platform])(*arguments, **settings)


def custom_calls(module) -> set[str]:
    """What a module calls that is not of StableHLO, by name."""
    return set(re.findall(r"stablehlo\.custom_call @([\w.$\-]+)", module.mlir_module()))


@cache
def descent() -> Descent:
    """Alpha-quartz against a short pattern, a spectrum, a predicted shift and bonds: everything planned for an accelerator."""
    tube = jn.Instrument(wavelengths=(1.540593, 1.544427), radius_mm=217.5, W=20.0, shl=0.02)
    x = np.arange(20.0, 40.0, 0.1)
    pattern = jn.Pattern.create(x, np.full(x.size, 100.0), np.full(x.size, 10.0), instrument=tube)
    site = jn.Site(isotope="29Si", shift_ppm=-100.0, zeta_ppm=30.0, eta=0.3, gaussian_hz=800.0)
    mas = jn.SpectrumMAS("29Si", b0_tesla=9.4, mas_hz=2e3, integration_density=6, device="gpu")
    frequency = mas.larmor_hz * -100e-6 + (np.arange(64) - 32) * 300.0
    spectrum = jn.Spectrum.create(frequency, np.ones(64), larmor_hz=mas.larmor_hz, isotope="29Si", sigma=0.1)
    terms = (
        jn.PatternTerm(jn.PowderDiffraction(tube, jn.Background.chebyshev(2), device="gpu"), pattern, name="xrd")
        + jn.SpectrumTerm(mas, spectrum, [site], name="si")
        + jn.PeakListTerm("29Si", [-107.4], sigma=0.2, reference=jn.ShiftReference(330.0), name="shifts").robust("cauchy")
        + jn.Restraint.bonds(quartz(), sigma=0.02)
    )
    objective = jn.Objective(terms, crystal=quartz(), models=model(), device="gpu")
    free = "cell", "xyz", "xrd/scale", "xrd/background", "si/amplitude", "si/shift", "si/zeta"
    made = Descent(objective, objective.parameters().free(*free), jn.LevenbergMarquardt())
    made.begin()
    return made


def refinement():
    """One refinement: the whole loop, by Levenberg-Marquardt."""
    made = descent()
    arguments = bare((made.objective, made.course, made.point))
    return descend._program, (made.params.spec.layout, made.solver.rule, *arguments, np.int32(HISTORY))


def many(solver):
    """Several in one program, as starts and candidates are refined."""
    made, batches = descent(), Batches(jax.devices()[:1], width=WIDTH)
    layout, _, tree, *_ = batches.family(made)
    members = _Family(made)
    own, shared = members.split([made] * WIDTH)
    arguments = jax.tree.map(lambda a: np.stack([a] * WIDTH), (made.course, made.point, np.int32(HISTORY)))
    program, _ = _program(layout, solver.rule, tree, tuple(members.own), batches.devices, False)
    return program, ((own, arguments), shared)


def spectra(experiment, isotope, **kind):
    """The spectrum of two sites, with derivatives by amplitude, shift and tensor of each."""
    sites = Sites.of([jn.Site(isotope=isotope, shift_ppm=10.0 * k, gaussian_hz=600.0, **kind) for k in range(2)])
    plan = experiment.plan(sites, points=128, width_hz=60e3, centre_ppm=0.0, device="gpu")
    assert plan.chunk > 1  # the accelerator's
    sites = jax.tree.map(jnp.asarray, sites)
    tangents = jax.tree.map(lambda leaf: jnp.ones((6, *leaf.shape)), sites)
    columns, reach = np.array([[0, 1, 2], [3, 4, 5]]), np.array([SCALES, MOVES, RESHAPES] * 2)
    program = jax.jit(lambda plan, *at: (plan.spectrum(at[0]), plan.value_and_jacobian(*at, columns, reach)))
    return program, (plan, sites, tangents)


def training():
    """A step of a training: loss, its gradient, the optimiser, averaged weights."""
    head = HeadConfig(name="efg", elements=("O",))
    config = NetworkConfig(
        species=("O", "Si"), heads=(head,), hidden="4x0e+4x2e", layers=1, cutoff=3.0, radial=4, radial_hidden=(8,)
    )
    elements = ("Si", "O", "Si", "O", "O")
    efg = np.random.default_rng(0).normal(size=(5, 3, 3))
    efg = efg + efg.swapaxes(1, 2) - 2.0 * np.trace(efg, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    efg[[0, 2]] = np.nan
    labels = tuple(f"{e}_{k}" for k, e in enumerate(elements))
    one = Magres(elements=elements, positions=POSITIONS, lattice=LATTICE, labels=labels, species=elements, tensors={"efg": efg}, name="one")
    data = TensorData.create([one, replace(one, name="two")], "efg")
    batch = next(TrainingBatches(labelled_graphs(data, config), 2).epoch(range(2)))[1]
    made = jn.TensorModel.create(config, key=jax.random.key(0), scale={"efg": np.ones((2, 1))})
    recipe = train.Recipe(epochs=20)
    state = train.TrainingState(made.weights, made.weights, train._optimiser(recipe, 20).init(made.weights))
    at = bare((state, made.replace(weights={}), batch))
    return train._step._program, at, dict(head=head, recipe=recipe, steps=20)


AL = "27Al"
PROGRAMS = {
    "refinement": refinement,
    "starts": lambda: many(jn.LevenbergMarquardt()),
    "starts by Gauss-Newton": lambda: many(jn.GaussNewton()),
    "static spectrum": lambda: spectra(jn.SpectrumStatic(AL, b0_tesla=9.4, integration_density=6), AL, cq_hz=2e6, zeta_ppm=20.0),
    "MAS spectrum": lambda: spectra(jn.SpectrumMAS(AL, b0_tesla=9.4, mas_hz=5e3, integration_density=6), AL, cq_hz=2e6),
    "training": training,
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_exported_and_calls_what_is_known(name, platform):
    program, arguments, *settings = PROGRAMS[name]()
    module = exported(program, platform, *arguments, **(settings[0] if settings else {}))
    assert module.platforms == (platform,)
    print(name, platform, custom_calls(module), len(module.mlir_module()))
