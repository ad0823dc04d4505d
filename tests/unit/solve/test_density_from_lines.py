"""Densities from patterns: what a prior and a Le Bail fit hand to each other, atoms of densities, proposals for a search."""

from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import Crystal, SpaceGroup
from jaxnmr.density import PowderLines, superposed
from jaxnmr.density.linear import DensityCoefficients, DensityLines
from jaxnmr.density.linear.atoms import fit_atoms
from jaxnmr.density.linear.expected import moved
from jaxnmr.density.linear.symmetric import in_group
from jaxnmr.density.prior.basis import principal_basis
from jaxnmr.density.prior.data import LineNoise, LineSet, perovskite_pose
from jaxnmr.density.prior.model import DensityPrior, PredictedDensity
from jaxnmr.density.prior.network import CoefficientNetwork, features
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.waves import Sample, WaveSet, superposed_waves, vectors_of
from jaxnmr.diffraction import Instrument, Pattern
from jaxnmr.errors import ConventionError, DataError, ParameterError, SymmetryError
from jaxnmr.solve import simulated_intensities, structure
from jaxnmr.solve.density import (
    atoms_of,
    atoms_of_predicted,
    converted,
    density_of,
    known_of,
    line_areas,
    line_pattern,
    lines_of,
    predicted_density,
    require_one_phase,
    structure_from_proposals,
)
from jaxnmr.solve.extraction.records import Extraction

IDEAL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
ELEMENTS = ("Ba", "Sr", "Ti", "O")
EDGE = 4.0
LINES = LineSet.within(20)


def sample_of(k: int) -> Sample:
    rng, xyz = np.random.default_rng(k), IDEAL.copy()
    xyz[:, 0] += 0.02 * rng.normal(size=5)
    return perovskite_pose(Sample((EDGE,) * 3 + (90.0,) * 3, (("Ba", "Sr")[k % 2], "Ti", "O", "O", "O"), xyz % 1.0))


@pytest.fixture(scope="module")
def prior() -> DensityPrior:
    """Functions of real crystals, and a network that always answers with one of them."""
    waves = WaveSet.within(40)
    vectors = np.stack(list(vectors_of([sample_of(k) for k in range(60)], waves)))
    basis = principal_basis([vectors], waves, 8)
    network = CoefficientNetwork(8, 2, 4, 1)
    x = features(
        *(np.zeros((1, n), np.float32) for n in (len(LINES.squares),)),
        np.zeros(1, np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros(1, np.int32),
        np.zeros(1, np.float32),
    )
    variables = jax.tree.map(lambda a: 0.0 * a, network.init(jax.random.key(0), x))
    variables["params"]["Dense_2"]["bias"] = jnp.asarray(basis.coefficients(vectors[7]), jnp.float32)
    centre, spread = np.zeros(x.shape[-1]), np.ones(x.shape[-1])
    return DensityPrior(
        basis, LINES, network, variables, centre, spread, 1.0, ELEMENTS, 5, {}, {"electrons": "valence"}
    )


def pattern_of(prior: DensityPrior, sample: Sample) -> LinePattern:
    areas = 3.0 * prior.lines.areas(
        prior.basis.waves.vector(superposed_waves(sample, prior.basis.waves)), prior.basis.waves
    )
    return LinePattern.create(EDGE, np.sqrt(LINES.squares) / EDGE, areas, LineNoise().sigma(areas))


def crystal_of(sample: Sample) -> Crystal:
    return Crystal.create(
        cell=sample.cell, spacegroup=1, species=sample.elements, xyz=sample.xyz, u_iso=0.0, name="perovskite"
    )


def extraction_of(crystal: Crystal, largest: int = 20, wavelength: float = 0.7107) -> Extraction:
    """Areas of a cubic crystal as a Le Bail fit gives them, without a profile."""
    intensities = simulated_intensities(
        crystal, Instrument(radiation="xray", wavelengths=(wavelength,)), d_min=EDGE / np.sqrt(largest) * (1 - 1e-6), noise=0.005, overlap=0.0
    )  # fmt: skip
    # every reflection by itself, as if all could be told apart
    from jaxnmr.diffraction.reflections import plan_reflections

    cubic = SpaceGroup.from_name("P m -3 m")
    hkl, copies = plan_reflections(cubic, crystal.cell, EDGE / np.sqrt(largest) * (1 - 1e-6))
    squares = (hkl**2).sum(axis=1)
    area, weight = np.zeros(len(hkl)), np.zeros(len(hkl))
    of = (intensities.hkl**2).sum(axis=1)
    per = intensities.weight / intensities.multiplicity
    for k, n in enumerate(squares):
        same = squares == n
        rows = np.flatnonzero(of == n)
        groups = np.unique(intensities.members[rows])
        area[k] = intensities.area[groups].sum() * copies[k] / copies[same].sum()
        weight[k] = copies[k] * per[rows[0]]
    angles = 2 * np.degrees(np.arcsin(wavelength * np.sqrt(squares) / (2 * EDGE)))
    order = np.argsort(angles, kind="stable")
    area = np.maximum(area, 0.0)[order]
    sigma = 0.01 * area + 0.002 * area.max()
    made = replace(
        intensities, group=cubic, hkl=hkl[order], multiplicity=copies[order], two_theta=angles[order], weight=weight[order],
        members=np.unique(squares[order], return_inverse=True)[1],
    )  # fmt: skip
    total = np.zeros((len(np.unique(squares)), len(hkl)))
    total[made.members, np.arange(len(hkl))] = 1.0
    made = replace(made, area=total @ area, covariance=total @ np.diag(sigma**2) @ total.T)
    x = np.arange(5.0, 80.0, 0.1)
    flat = np.ones(len(x))
    return Extraction(
        cell=np.asarray(crystal.cell, dtype=float), cell_esd=np.zeros(6), group=cubic, zero=0.0, displacement=0.0, values={},
        instrument=made.instrument, rwp=1.0, gof=1.0, x=x, observed=flat, sigma=flat, calculated=flat, background=flat, hkl=made.hkl,
        two_theta=made.two_theta, fwhm=0.1 * np.ones(len(hkl)), eta=np.zeros(len(hkl)), weight=made.weight, area=area,
        covariance=np.diag(sigma**2), intensities=made,
    )  # fmt: skip


def test_terms_of_a_prior_refine_to_what_the_prior_refines_to(prior):
    pattern = pattern_of(prior, sample_of(101))
    predicted = PredictedDensity(prior.basis, EDGE, 0.3 * prior.basis.scale, np.diag(prior.basis.scale**2))
    direct = prior.refine(predicted, pattern)
    known = known_of(predicted, prior)
    objective = jn.Objective(DensityLines(lines_of(pattern, prior), known) + DensityCoefficients(known))
    fit = jn.refine(objective, objective.parameters().free("density/c", "lines/log_scale"), suggest=False)
    assert fit.converged and direct.refined.steps > 1
    factor = np.linalg.cholesky(predicted.covariance)
    found = predicted.c + factor @ np.asarray(fit.parameters["density/c"])
    # in standard deviations of what is left; both end where nothing falls by more than they ask for
    off = np.linalg.solve(np.linalg.cholesky(direct.covariance), found - direct.c)
    assert np.abs(off).max() < 0.03
    covariance = factor @ fit.covariance[1:, 1:] @ factor.T
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.sqrt(np.diag(direct.covariance)), rtol=0.02)
    # the density itself: functions and waves are the same
    points = np.random.default_rng(0).random((50, 3))
    mean, sd = known.given(np.asarray(fit.parameters["density/c"]), fit.covariance[1:, 1:]).at(points)
    expected = direct.at(points)
    np.testing.assert_allclose(mean, expected[0], atol=0.05 * expected[1].max())
    np.testing.assert_allclose(sd, expected[1], rtol=0.05)


def test_atoms_of_a_prior_are_refined_to_the_lines(prior):
    sample = sample_of(102)
    pattern = pattern_of(prior, sample)
    predicted = prior.predict(EDGE, pattern)
    refined = prior.refine(predicted, pattern)
    found = atoms_of_predicted(
        (predicted, refined), Counter(sample.elements), lines_of(pattern, prior), atoms_per_cell=5, points=24
    )
    assert found.fitted.r < 0.01
    assert Counter(found.crystal.elements[k] for k in np.asarray(found.crystal.expand().site)) == Counter(
        sample.elements
    )
    with pytest.raises(ParameterError, match="cells of this prior have 5"):
        atoms_of_predicted(refined, {"Ba": 1, "Ti": 2, "O": 3}, lines_of(pattern, prior), atoms_per_cell=5)


def test_areas_of_all_electrons_become_those_of_valence_electrons(prior):
    sample = sample_of(104)
    crystal = crystal_of(sample).replace(u_iso=np.full(5, 0.006))
    fit = extraction_of(crystal)
    with pytest.raises(ConventionError, match="needs how many atoms"):
        predicted_density(prior, fit, ["Ba", "Ti", "O"])
    found = predicted_density(prior, fit, Counter(sample.elements))
    assert any("converted" in note for note in found.notes)
    exact, measured = pattern_of(prior, sample).areas, found.pattern.areas
    raw = line_pattern(fit, LINES).areas
    share = lambda areas: np.sqrt(areas / areas.sum())
    off = lambda areas: np.abs(share(areas) - share(exact)).sum() / share(exact).sum()
    assert off(measured) < 0.4 * off(raw)
    assert found.atoms.fitted.r < 0.06


def test_a_pattern_that_ends_early_is_refused_or_filled(prior):
    sample = sample_of(104)
    fit = extraction_of(crystal_of(sample).replace(u_iso=np.full(5, 0.006)), largest=14)
    with pytest.raises(ConventionError, match="degrees of 2theta"):
        predicted_density(prior, fit, Counter(sample.elements))
    found = predicted_density(prior, fit, Counter(sample.elements), missing="expected")
    assert "were not measured" in found.notes[0]
    assert (found.pattern.sigma[LINES.squares > 14] > 0).all()


def test_other_cells_and_radiations_are_refused(prior):
    quartz = Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7855]], u_iso=0.01, name="quartz",
    )  # fmt: skip
    fit = extraction_of(crystal_of(sample_of(0)).replace(u_iso=np.full(5, 0.006)))
    with pytest.raises(ConventionError, match="cubic cells"):
        line_pattern(replace(fit, cell=np.asarray(quartz.cell)), LINES)
    neutrons = Instrument(radiation="neutron", wavelengths=(1.5,))
    with pytest.raises(ConventionError, match="nuclei"):
        line_areas(simulated_intensities(quartz, neutrons, d_min=1.2))
    lines = line_areas(simulated_intensities(quartz, d_min=1.2))
    other = converted(lines, quartz, "valence", 1.5406)
    assert (
        other.atoms == "valence"
        and (other.sigma / other.area > lines.sigma / np.maximum(lines.area, 1e-9) * 0.99).all()
    )
    with pytest.raises(ConventionError, match="already"):
        converted(other, quartz, "valence", 1.5406)


def test_atoms_of_a_density_in_a_known_group_agree_with_its_lines():
    truth = Crystal.create(
        cell=[4.6, 4.6, 2.96, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti", "O"], xyz=[[0, 0, 0], [0.305, 0.305, 0]], u_iso=0.006,
        name="rutile",
    )  # fmt: skip
    lines = converted(line_areas(simulated_intensities(truth, d_min=0.85, noise=0.01)), truth, "all-electron", 1.5406)
    start = truth.replace(xyz=np.array([[0.0, 0.0, 0.0], [0.285, 0.285, 0.0]]))
    found = atoms_of(density_of(start), {"Ti": 2, "O": 4}, lines, group=truth.group, u_iso=0.006)
    assert found.crystal.group == truth.group
    x = found.crystal.xyz[found.crystal.species.index("O"), 0]
    assert abs(min(x, 1 - x) - 0.305) < 1e-3
    assert found.fitted.r < 0.02 < found.fitted.r_before
    # elements on the wrong sites are exchanged: two atoms each
    wrong = Crystal.create(
        cell=[4.1, 4.1, 4.1, 90, 90, 90],
        spacegroup="P m -3 m",
        species=["Ti", "Ba"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5]],
        u_iso=0.0,
        name="cubic",
    )
    right = Crystal.create(
        cell=wrong.cell,
        spacegroup="P m -3 m",
        species=["Ba", "Ti", "O"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
        u_iso=0.006,
        name="BaTiO3",
    )
    areas = converted(line_areas(simulated_intensities(right, d_min=0.9, noise=0.01)), right, "all-electron", 1.5406)
    mixed = Crystal.create(
        cell=wrong.cell,
        spacegroup="P m -3 m",
        species=["Ti", "Ba", "O"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
        u_iso=0.006,
        name="mixed",
    )
    assert fit_atoms(mixed, areas, exchange=True).crystal.species == right.species
    with pytest.raises(SymmetryError, match="no equivalent"):
        in_group(truth.cell, truth.group, ("Ti", "O"), np.array([[0.0, 0, 0], [0.3, 0.1, 0.2]]), 0.0, "x")


def test_derivatives_of_the_atoms_on_lines_are_exact():
    from jaxnmr.density.linear.atoms import _Fit

    truth = Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7855]], u_iso=0.01, name="quartz",
    )  # fmt: skip
    lines = line_areas(simulated_intensities(truth, d_min=1.1))
    fit = _Fit.plan(truth, lines, True)
    xyz, u = np.asarray(truth.xyz), np.asarray(truth.u_iso)
    f, along = fit.waves(xyz, u)
    from jaxnmr.density import plan_atoms

    np.testing.assert_allclose(f, plan_atoms(truth, "all-electron").structure_factors(truth, fit.h), atol=1e-9)
    step = 1e-6
    for j in range(fit.basis.shape[1]):
        moved_by = (fit.basis[:, j] * step).reshape(-1, 3)
        slope = (fit.waves(xyz + moved_by, u)[0] - fit.waves(xyz - moved_by, u)[0]) / (2 * step)
        np.testing.assert_allclose(along[:, j], slope, atol=1e-5)


def test_proposals_are_starts_of_the_search():
    truth = Crystal.create(
        cell=[4.6, 4.6, 2.96, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti", "O"], xyz=[[0, 0, 0], [0.305, 0.305, 0]], u_iso=0.006,
        name="rutile",
    )  # fmt: skip
    areas = simulated_intensities(truth, d_min=0.9)
    start = moved(truth, np.random.default_rng(0), 0.2, 0.0)
    found = structure_from_proposals(areas, "TiO2", [start], seconds=4.0)
    assert found.best.r_factor < 0.05
    with pytest.raises(ConventionError, match="in that cell"):
        structure(areas, "TiO2", proposals=[truth.replace(cell=np.array([5.0, 5.0, 2.96, 90, 90, 90]))], seconds=1.0)


def test_a_proposal_is_put_on_the_positions_it_is_near():
    from jaxnmr.solve.direct.problem import make_problem
    from jaxnmr.solve.direct.proposals import starts_of
    from jaxnmr.solve.direct.wyckoff import wyckoff_positions

    truth = Crystal.create(
        cell=[4.6, 4.6, 2.96, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti", "O"], xyz=[[0, 0, 0], [0.305, 0.305, 0]], u_iso=0.006,
        name="rutile",
    )  # fmt: skip
    positions = wyckoff_positions(truth.group)
    problem = make_problem(simulated_intensities(truth, d_min=1.0), positions, ("Ti", "O"))
    ((assignment, u),) = starts_of([truth], problem)
    assert [[positions[k].multiplicity for k in sites] for sites in assignment] == [[2], [4]]
    # along the diagonal of the basal plane, in Å, one edge apart at most
    along = u[0] / (4.6 * np.sqrt(2.0))
    assert min(abs(along % 1.0 - x) for x in (0.305, 0.695, 0.195, 0.805)) < 1e-6
    assert u[-1] == 0.0


def test_lines_of_another_phase_are_refused(prior):
    crystal = crystal_of(sample_of(0)).replace(u_iso=np.full(5, 0.006))
    fit = extraction_of(crystal)
    x = np.arange(8.0, 60.0, 0.02)
    of = PowderLines.plan(crystal.cell, 0.7107, 60.0)
    y = 50.0 + 4000.0 * (smooth := of.pattern(superposed(crystal, (24,) * 3), x, 0.12)) / smooth.max()
    noisy = np.random.default_rng(0).poisson(y).astype(float)
    pattern = Pattern.create(x, noisy, np.sqrt(noisy), instrument=fit.instrument, name="one phase")
    fit = replace(fit, x=x)
    require_one_phase(pattern, fit)
    more = noisy + 1500.0 * np.exp(-0.5 * ((x - 19.3) / 0.06) ** 2)
    with pytest.raises(DataError, match="several phases"):
        require_one_phase(Pattern.create(x, more, np.sqrt(more), instrument=fit.instrument, name="two"), fit)
