"""Densities that are linear in coefficients: waves, moments, lines, terms and their refinement."""

import jax
import numpy as np
import pytest
from density_crystals import perovskite, quartz, tilted

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.density import plan_atoms, superposed
from jaxnmr.density.linear import (
    DensityCoefficients,
    DensityLines,
    IndependentWaves,
    LinearDensity,
    LineAreas,
    SuperposedDensity,
    expected_density,
    refine_density,
)
from jaxnmr.density.linear.expected import in_p1, moved
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError, SymmetryError


def lines_of(crystal, d_min, noise=0.01, atoms="all-electron", seed=0):
    """Areas of a crystal as sums of |F|² on an unknown scale."""
    hkl, multiplicity = plan_reflections(crystal.group, crystal.cell, d_min)
    f = plan_atoms(crystal, atoms).structure_factors(crystal, hkl)
    area = 7.3 * multiplicity * np.abs(f) ** 2
    sigma = noise * np.hypot(area, 0.1 * area.max())
    rng = np.random.default_rng(seed)
    return LineAreas.create(
        crystal.cell, hkl, multiplicity, np.maximum(area + sigma * rng.normal(size=len(area)), 0.0), sigma=sigma, group=crystal.group,
        atoms=atoms,
    )  # fmt: skip


@pytest.mark.parametrize("make", [perovskite, quartz, tilted])
@pytest.mark.parametrize("free", [False, True])
def test_independent_waves_make_the_density_of_the_atoms(make, free):
    crystal = make()
    group = SpaceGroup.from_name(1) if free else crystal.group
    waves = IndependentWaves.plan(crystal.cell, 1.3, group)
    plan = plan_atoms(crystal)
    f = plan.structure_factors(crystal, waves.hkl)
    np.testing.assert_allclose(waves.structure_factors(waves.numbers(f)), f, atol=1e-9)
    shape = waves.shape(2)
    density = waves.on_grid(f, float(superposed(crystal, shape).electrons()), shape)
    # only waves down to 1.3 Å are there, and these are those of the atoms
    h = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 1, 1], [1, -2, 0], [-1, 0, -1]])
    np.testing.assert_allclose(density.structure_factors(h), plan.structure_factors(crystal, h), atol=1e-8)
    assert np.abs(density.waves()).astype(bool).sum() > 0
    points = np.array([[0.1, 0.23, 0.71], [0.0, 0.5, 0.25]])
    level = float(density.electrons() / density.volume())
    every = density.waves()
    direct = [
        sum(
            every[i, j, k]
            * np.exp(-2j * np.pi * np.dot(np.array([i, j, k]) - np.round(np.array([i, j, k]) / shape) * shape, x))
            for i, j, k in np.argwhere(np.abs(every) > 1e-9)
        ).real
        / float(density.volume())
        for x in points
    ]
    np.testing.assert_allclose(level + waves.at(points) @ waves.numbers(f), direct, atol=1e-8)


def test_copies_count_the_whole_sphere():
    crystal = quartz()
    symmetric, free = IndependentWaves.plan(crystal.cell, 1.0, crystal.group), IndependentWaves.plan(crystal.cell, 1.0)
    absent = free.copies.sum() - symmetric.copies.sum()
    hkl, multiplicity = plan_reflections(crystal.group, crystal.cell, 1.0)
    assert symmetric.copies.sum() == multiplicity.sum()
    assert len(symmetric) == len(hkl)
    assert absent > 0
    assert (symmetric.find(hkl) >= 0).all()


def test_moments_of_drawn_crystals_are_those_of_the_expected_density():
    crystal = perovskite()
    plan = plan_atoms(crystal, "all-electron")
    known = expected_density(crystal, 1.0, position=0.0, displacement=0.002, deformation=0.0, samples=400)
    f = np.stack([
        plan.structure_factors(moved(crystal, np.random.default_rng(100 + k), 0.0, 0.002), known.waves.hkl)
        for k in range(400)
    ])  # fmt: skip
    spread = np.sqrt((np.abs(known.functions) ** 2).sum(axis=1))
    np.testing.assert_allclose(spread, f.std(axis=0), rtol=0.15)
    assert np.abs(known.mean - f.mean(axis=0)).max() < 0.3 * spread.max()


@pytest.mark.parametrize(("make", "symmetric", "d_min"), [(quartz, True, 0.9), (tilted, False, 1.1)])
def test_lines_bring_a_density_to_the_truth(make, symmetric, d_min):
    truth = make()
    rng = np.random.default_rng(3)
    start = moved(truth, rng, 0.06, 0.0)
    lines = lines_of(truth, d_min, noise=0.005)
    known = expected_density(
        start, d_min, position=0.06, displacement=0.004, deformation=0.01, symmetric=symmetric, samples=200
    )
    found = refine_density(known, lines)
    true = plan_atoms(truth, "all-electron").structure_factors(truth, known.waves.hkl)
    off = lambda f: np.sqrt((np.abs(f - true) ** 2).sum() / (np.abs(true) ** 2).sum())
    assert found.misfit < 0.3 * found.misfit_before and found.r < 0.5 * found.r_before
    assert off(found.after.mean) < 0.85 * off(known.mean)
    # the uncertainty falls, and the truth lies within it
    points = rng.random((200, 3))
    before, after = known.at(points)[1], found.after.at(points)[1]
    assert after.mean() < before.mean()


def term_problem():
    crystal = tilted()
    lines = lines_of(crystal, 1.4)
    known = expected_density(moved(crystal, np.random.default_rng(0), 0.05, 0.0), 1.4, position=0.05, samples=30)
    return lines, known


def test_refining_the_terms_is_the_refinement_of_the_density():
    lines, known = term_problem()
    direct = refine_density(known, lines)
    objective = jn.Objective(DensityLines(lines, known) + DensityCoefficients(known))
    fit = jn.refine(objective, objective.parameters().free("density/c", "lines/log_scale"), suggest=False)
    assert fit.converged
    np.testing.assert_allclose(fit.parameters["density/c"], direct.c, atol=2e-2)
    # Gauss-Newton of the terms goes on where the direct one is content: neither has the lower sum of squares by more than it asks for
    z = lambda c, scale: {"density/c": c, "lines/log_scale": scale}
    begin = float(objective.terms[0].begin)
    cost = lambda values: float((objective.residuals_at(objective.state(values)) ** 2).sum())
    assert cost(dict(fit.parameters.values)) <= cost(z(direct.c, np.log(direct.scale / begin))) * (1 + 1e-9)
    assert cost(z(direct.c, np.log(direct.scale / begin))) <= cost(dict(fit.parameters.values)) * (1 + 1e-3)
    k = known.size
    # the scale comes first
    np.testing.assert_allclose(fit.covariance[1 : k + 1, 1 : k + 1], direct.covariance, atol=0.03)


def test_derivatives_of_the_terms_are_exact():
    lines, known = term_problem()
    objective = jn.Objective(DensityLines(lines, known) + DensityCoefficients(known))
    values = dict(objective.parameters().values)
    values["density/c"] = np.random.default_rng(1).normal(size=known.size) * 0.3
    for term in objective.terms:
        jn.testing.assert_gradients(term, objective.state(values))


def test_derivatives_by_the_atoms_of_a_crystal_are_exact_and_refine_it():
    truth = quartz()
    lines = lines_of(truth, 0.9, noise=0.002)
    start = moved(truth, np.random.default_rng(4), 0.05, 0.0)
    known = expected_density(start, 0.9, samples=2)
    term = DensityLines(lines, known, coefficients="", atoms=True)
    objective = jn.Objective(term, crystal=start, models=SuperposedDensity(known.waves.hkl))
    params = objective.parameters().free("xyz", "lines/log_scale")
    jn.testing.assert_gradients(objective.terms[0], objective.state(params.values))
    fit = jn.refine(objective, params, suggest=False)
    assert fit.converged
    np.testing.assert_allclose(fit.crystals["quartz"].xyz, truth.xyz, atol=1e-3)


def test_atoms_and_functions_together():
    lines, known = term_problem()
    crystal = tilted()
    objective = jn.Objective(
        DensityLines(lines, known, atoms=True) + DensityCoefficients(known),
        crystal=crystal,
        models=SuperposedDensity(known.waves.hkl),
    )
    jn.testing.assert_gradients(objective.terms[0], objective.state(objective.parameters().values))
    assert jax.tree.leaves(objective.state(objective.parameters().values).provided)


def test_a_density_without_symmetry_gives_what_its_symmetric_one_does():
    crystal = quartz()
    lines = lines_of(crystal, 1.1, noise=0.001)
    symmetric, free = (IndependentWaves.plan(crystal.cell, 1.1, group) for group in (crystal.group, None))
    plan = plan_atoms(crystal, "all-electron")
    areas = [
        lines.summing(waves) @ np.abs(plan.structure_factors(crystal, waves.hkl)) ** 2 for waves in (symmetric, free)
    ]
    np.testing.assert_allclose(areas[0], areas[1], rtol=1e-10)
    assert np.abs(np.log(lines.area / areas[0]) - np.log(7.3)).min() < 0.02
    assert len(in_p1(crystal).xyz) == 9


def test_input_that_is_wrong_is_refused():
    crystal = tilted()
    lines, known = term_problem()
    hkl, w = [[1, 0, 0], [0, 1, 0]], [1.0, 1.0]
    make = lambda **more: LineAreas.create(crystal.cell, hkl, w, **more)
    with pytest.raises(DataError, match="not negative"):
        make(area=[1.0, -2.0], sigma=0.1)
    with pytest.raises(DataError, match="no pattern"):
        make(area=[0.0, 0.0], sigma=0.1)
    with pytest.raises(ShapeError, match="an area for each group"):
        make(area=[1.0], sigma=0.1)
    with pytest.raises(ParameterError, match="one of them"):
        make(area=[1.0, 2.0])
    with pytest.raises(DataError, match="positive"):
        make(area=[1.0, 2.0], sigma=0.0)
    with pytest.raises(ConventionError, match="valence electrons"):
        refine_density(known, lines_of(crystal, 1.4, atoms="valence"))
    with pytest.raises(ConventionError, match="smaller d_min"):
        refine_density(known, lines_of(crystal, 1.0))
    with pytest.raises(ConventionError, match="one cell"):
        refine_density(known, lines_of(quartz(), 1.4))
    with pytest.raises(ParameterError, match="nothing to refine"):
        DensityLines(lines, known, coefficients="")
    with pytest.raises(ConventionError, match="DensityCoefficients"):
        objective = jn.Objective(DensityLines(lines, known))
        objective.residuals(objective.parameters())
    with pytest.raises(SymmetryError, match="metric"):
        IndependentWaves.plan(crystal.cell, 1.0, SpaceGroup.from_name("P 4/m m m"))
    with pytest.raises(ParameterError, match="larger d_min"):
        IndependentWaves.plan([40.0, 40.0, 40.0, 90, 90, 90], 0.4)
    with pytest.raises(DataError, match="eigenvalue"):
        n = len(known.waves) + int((~known.waves.centric).sum())
        LinearDensity.create(known.waves, known.mean, -np.eye(n), 10.0)
    with pytest.raises(ParameterError, match="not all 0"):
        expected_density(crystal, 1.0, position=0.0, displacement=0.0, deformation=0.0)
