"""Programs of refinements, starts, spectra and trainings are exported for accelerators on a machine without one.

Problems are planned for the accelerator, and lowered by ``jax.export`` for it. What a module asks of libraries outside XLA is
known by name: a new one is a decision. That a module lowers does not say that it was run; nothing here was.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tensor_models import LATTICE, POSITIONS, quartz

import jaxnmr as jn
from jaxnmr._struct import bare
from jaxnmr._tuning import ACCELERATOR
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import HeadConfig, NetworkConfig
from jaxnmr.models.data.batches import Batches as TrainingBatches
from jaxnmr.models.data.labels import labelled_graphs
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.tensors.recipe import Recipe
from jaxnmr.models.tensors.step import TrainingState, optimiser, step
from jaxnmr.nmr.powder.simulation import MOVES, RESHAPES, SCALES
from jaxnmr.nmr.sites import Sites
from jaxnmr.refinement.descent import Descent
from jaxnmr.refinement.loop import HISTORY, descend
from jaxnmr.refinement.subproblem import compressed, decomposed
from jaxnmr.search.batched import Batches, _Family, _program

PLATFORMS = ("cuda", "tpu")
WIDTH = 3


def custom_calls(module) -> set[str]:
    """What a module calls that is not of StableHLO, by name."""
    return set(re.findall(r"stablehlo\.custom_call @([\w.$\-]+)", module.mlir_module()))


def network() -> NetworkConfig:
    """As small as one can be that has messages and a tensor."""
    head = HeadConfig(name="efg", elements=("O",))
    return NetworkConfig(
        species=("O", "Si"), heads=(head,), hidden="4x0e+4x2e", layers=1, cutoff=3.0, radial=4, radial_hidden=(8,)
    )


@cache
def descent() -> Descent:
    """Alpha-quartz against a short pattern, a spectrum, a predicted coupling and bonds: everything planned for an accelerator."""
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
        + jn.TensorTerm("17O", [[5.2e6, 0.2]], quantity="efg", kind="cq_eta", sigma=[3e4, 0.02], name="o17").robust(
            "cauchy"
        )
        + jn.Restraint.bonds(quartz(), sigma=0.02)
    )
    model = jn.TensorModel.create(network(), key=jax.random.key(0), dtype=np.float64)
    objective = jn.Objective(terms, crystal=quartz(), models=model, device="gpu")
    free = "cell", "xyz", "xrd/scale", "xrd/background", "si/amplitude", "si/shift", "si/zeta"
    made = Descent(objective, objective.parameters().free(*free), jn.LevenbergMarquardt())
    made.begin()
    assert made.objective.terms[0].model.tiles_at_once == ACCELERATOR.tiles
    assert made.objective.terms[1].plan.chunk == ACCELERATOR.sites
    return made


def refinement():
    """One refinement: the whole loop, by Levenberg-Marquardt."""
    made = descent()
    arguments = bare((made.objective, made.course, made.point))
    return descend._program, (made.params.spec.layout, made.solver.rule, *arguments, np.int32(HISTORY))


def many():
    """Several in one program, as starts and candidates are refined."""
    made, batches = descent(), Batches(jax.devices()[:1], width=WIDTH)
    layout, rule, tree, *_ = batches.family(made)
    members = _Family(made)
    own, shared = members.split([made] * WIDTH)
    arguments = jax.tree.map(lambda a: np.stack([a] * WIDTH), (made.course, made.point, np.int32(HISTORY)))
    program, _ = _program(layout, rule, tree, tuple(members.own), batches.devices, False)
    return program, ((own, arguments), shared)


def gauss_newton():
    """The step of jaxopt, which takes the place of the other rule in the loop."""
    step = lambda *problem: jn.GaussNewton().rule(decomposed(compressed(*problem), np.ones(4, dtype=bool)), 1e-3)
    return jax.jit(step), (np.ones(9), np.ones((9, 4)))


def spectra():
    """A static spectrum of two sites with derivatives by amplitude, shift and tensor of each, and one with spinning sidebands."""
    sites = Sites.of(
        [jn.Site(isotope="27Al", shift_ppm=10.0 * k, cq_hz=2e6, zeta_ppm=20.0, gaussian_hz=600.0) for k in range(2)]
    )
    static = jn.SpectrumStatic("27Al", b0_tesla=9.4, integration_density=6, device="gpu")
    mas = jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=5e3, integration_density=6, device="gpu")
    static, mas = (made.plan(sites, points=128, width_hz=60e3, centre_ppm=0.0) for made in (static, mas))
    assert static.chunk == mas.chunk == ACCELERATOR.sites
    sites = jax.tree.map(jnp.asarray, sites)
    tangents = jax.tree.map(lambda leaf: jnp.ones((6, *leaf.shape)), sites)
    columns, reach = np.array([[0, 1, 2], [3, 4, 5]]), np.array([SCALES, MOVES, RESHAPES] * 2)
    program = jax.jit(lambda static, mas, *at: (static.value_and_jacobian(*at, columns, reach), mas.spectrum(at[0])))
    return program, (static, mas, sites, tangents)


def training():
    """A step of a training: loss, its gradient, the optimiser, averaged weights."""
    config = network()
    elements = ("Si", "O", "Si", "O", "O")
    efg = np.random.default_rng(0).normal(size=(5, 3, 3))
    efg = efg + efg.swapaxes(1, 2) - 2.0 * np.trace(efg, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    efg[[0, 2]] = np.nan
    labels = tuple(f"{e}_{k}" for k, e in enumerate(elements))
    one = Magres(
        elements=elements,
        positions=POSITIONS,
        lattice=LATTICE,
        labels=labels,
        species=elements,
        tensors={"efg": efg},
        name="one",
    )
    data = TensorData.create([one, replace(one, name="two")], "efg")
    batch = next(TrainingBatches(labelled_graphs(data, config), 2).epoch(range(2)))[1]
    made = jn.TensorModel.create(config, key=jax.random.key(0), scale={"efg": np.ones((2, 1))})
    recipe = Recipe(epochs=20)
    state = TrainingState(made.weights, made.weights, optimiser(recipe, 20).init(made.weights))
    at = bare((state, np.zeros(2, np.float32), made.replace(weights={}), batch))
    return step._program, at, dict(head=config.heads[0], recipe=recipe, steps=20)


# Singular values and QR where normal equations would not do, Cholesky, inverse cells (LU), axes of tensors (eigh). A TPU has
# no library: XLA's compiler for it expands its own, makes singular values of QR and eigenvalues, and Cholesky is an operation
LOOP = {
    "cuda": {
        "cusolver_gesvdj_ffi", "cusolver_geqrf_ffi", "cusolver_potrf_ffi", "cusolver_getrf_ffi",
        "cu_lu_pivots_to_permutation", "cusolver_syevd_ffi",
    },
    "tpu": {"Qr", "ProductOfElementaryHouseholderReflectors", "LuDecomposition", "Eigh"},
}  # fmt: skip
LINEAR = {
    "cuda": {"cusolver_gesvdj_ffi", "cusolver_geqrf_ffi", "cusolver_potrf_ffi"},
    "tpu": LOOP["tpu"] - {"LuDecomposition"},
}
AXES = {"cuda": {"cusolver_syevd_ffi"}, "tpu": {"Eigh"}}
NOTHING = {"cuda": set(), "tpu": set()}
PROGRAMS = {
    "refinement": (refinement, LOOP),
    "starts": (many, LOOP),
    "Gauss-Newton": (gauss_newton, LINEAR),
    "spectra": (spectra, AXES),
    "training": (training, NOTHING),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_exported_and_calls_what_is_known(name):
    make, expected = PROGRAMS[name]
    program, arguments, *settings = make()
    # for both at once: traced once, and the names differ
    module = jax.export.export(program, platforms=PLATFORMS)(*arguments, **(settings[0] if settings else {}))
    assert module.platforms == PLATFORMS
    assert custom_calls(module) == expected["cuda"] | expected["tpu"]


def test_what_programs_call_is_what_the_page_says():
    page = (Path(__file__).resolve().parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    for platform in PLATFORMS:
        line = next(line for line in page.splitlines() if line.startswith(f"| {platform} |"))
        assert set(re.findall(r"`(\w+)`", line)) == set().union(*(calls[platform] for _, calls in PROGRAMS.values()))


def test_a_callback_to_the_host_could_not_be_exported():
    called = jax.jit(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), x))
    with pytest.raises(ValueError, match="platform cuda"):
        jax.export.export(called, platforms=["cuda"])(1.0)
