"""The learned prior of densities, with perovskites that are typed in: no data are needed."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.crystal import Crystal
from jaxnmr.density import plan_atoms, superposed
from jaxnmr.density.prior.basis import principal_basis
from jaxnmr.density.prior.coordinates import CoordinateNetwork, fit_coordinate_basis
from jaxnmr.density.prior.data import LineNoise, LineSet, fractions, perovskite_pose
from jaxnmr.density.prior.files import load_prior, save_prior, shipped_priors
from jaxnmr.density.prior.isotypes import Isotypes
from jaxnmr.density.prior.model import DensityPrior
from jaxnmr.density.prior.network import Normal
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.refine import LineModel, refine_coefficients
from jaxnmr.density.prior.training import Recipe, prepare, train
from jaxnmr.density.prior.waves import Sample, WaveSet, superposed_waves, vectors_of
from jaxnmr.errors import ConventionError, DataError, ParameterError, ParseError

IDEAL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
PAIRS = [("Ca", "Ti"), ("Sr", "Ti"), ("Ba", "Ti"), ("Pb", "Ti"), ("K", "Nb"), ("Na", "Nb"), ("Ba", "Zr"), ("Sr", "Zr")]
RECIPE = Recipe(size=14, waves=27, lines=14, rank=4, width=32, depth=1, epochs=12, batch=16, rate=3e-3)


def perovskites(count: int, seed: int) -> list[Sample]:
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        a, b = PAIRS[rng.integers(len(PAIRS))]
        xyz = IDEAL.copy()
        xyz[:, 0] += 0.03 * rng.normal(size=5)
        found.append(Sample((rng.uniform(3.9, 4.2),) * 3 + (90.0,) * 3, (a, b, "O", "O", "O"), xyz % 1.0))
    return found


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [perovskite_pose(sample) for sample in perovskites(128, 0)]


@pytest.fixture(scope="module")
def unseen() -> list[Sample]:
    return [perovskite_pose(sample) for sample in perovskites(24, 1)]


@pytest.fixture(scope="module")
def prior(samples, unseen) -> DensityPrior:
    trained = train(samples, unseen, RECIPE)
    held = prepare(unseen, trained.basis, LineSet.within(RECIPE.lines), trained.elements)
    return DensityPrior.of(trained, RECIPE, held, atoms=5, card={"data": "typed in"})


def lines_of(prior: DensityPrior, sample: Sample, seed: int | None = None) -> LinePattern:
    vector = prior.basis.waves.vector(superposed_waves(sample, prior.basis.waves))
    areas = 7.0 * prior.lines.areas(vector, prior.basis.waves)
    noise = LineNoise()
    if seed is not None:
        areas = noise.applied(areas, np.random.default_rng(seed))
    return LinePattern.create(sample.cell[0], np.sqrt(prior.lines.squares) / sample.cell[0], areas, noise.sigma(areas))


def test_waves_are_the_structure_factors_of_the_crystal_and_their_lengths_those_of_the_density(samples):
    sample, waves = samples[0], WaveSet.within(50)
    crystal = Crystal.create(cell=sample.cell, spacegroup=1, species=sample.elements, xyz=sample.xyz, u_iso=0.0)
    hkl = np.array([[1, 0, 0], [-2, 1, 3], [0, -4, 1], [3, -2, -5], [-1, -1, -1], [0, 0, 0]])
    rho = superposed_waves(sample, waves)
    expected = plan_atoms(crystal, "valence").structure_factors(crystal, hkl) / sample.cell[0] ** 3
    np.testing.assert_allclose(waves.at(rho, hkl), expected, atol=1e-10)
    assert waves.at(rho, np.array([[8, 0, 0], [6, 6, 6]])) == pytest.approx(0.0)
    # a grid that holds them all, beside the density of all waves up to the same sphere
    whole = superposed(crystal, (16, 16, 16))
    h = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    h = h[(h**2).sum(axis=1) <= 50]
    f = whole.structure_factors(h) / sample.cell[0] ** 3
    values = waves.on_grid(rho, (16, 16, 16))
    x = np.array([3, 7, 11]) / 16
    assert values[3, 7, 11] == pytest.approx((f * np.exp(-2j * np.pi * h @ x)).sum().real, abs=1e-9)
    assert waves.at_points(rho, x[None])[0] == pytest.approx(values[3, 7, 11], abs=1e-10)
    assert (waves.vector(rho) ** 2).sum() == pytest.approx((values**2).mean(), rel=1e-10)


def test_a_crystal_comes_to_one_pose_from_all_that_a_powder_does_not_tell_apart():
    for sample in perovskites(6, 3):
        expected = perovskite_pose(sample)
        for sign, exchange, shift in product((1, -1), (False, True), ((0.3, 0.5, 0.0), (0.71, 0.5, 0.5))):
            xyz = sample.xyz * [sign, 1, 1] + shift
            turned = perovskite_pose(sample._replace(xyz=(xyz[:, [0, 2, 1]] if exchange else xyz) % 1.0))
            apart = (turned.xyz - expected.xyz)[:, 0]
            np.testing.assert_allclose(apart - np.round(apart), 0.0, atol=1e-9)
            np.testing.assert_array_equal(turned.xyz[:, 1:], expected.xyz[:, 1:])
    with pytest.raises(ParameterError, match="no perovskite"):
        perovskite_pose(sample._replace(xyz=sample.xyz + np.array([0.0, 0.1, 0.0])))


def test_functions_are_orthonormal_hold_what_crystals_differ_by_and_know_their_poses(prior, samples):
    basis = prior.basis
    np.testing.assert_allclose(basis.vectors.T @ basis.vectors, np.eye(basis.size), atol=1e-10)
    assert 0.95 < basis.explained <= 1.0
    sample = samples[1]
    c = basis.coefficients(next(vectors_of([sample], basis.waves)))
    for row, turn in ((1, [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]), (2, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])):
        turned = sample._replace(xyz=sample.xyz @ np.array(turn) % 1.0)
        other = basis.coefficients(next(vectors_of([turned], basis.waves)))
        np.testing.assert_allclose(other, basis.poses[row] * c, atol=1e-10)


def test_structure_factors_are_linear_in_the_coefficients_and_those_of_the_density(prior):
    hkl = np.array([[1, 0, 0], [-2, 1, 1], [0, -3, 2], [1, -1, -1]])
    first, second = prior.basis.structure_factors(hkl)
    c = np.random.default_rng(0).normal(size=prior.basis.size)
    density = prior.basis.on_grid(c, (12, 12, 12), np.array([4.0] * 3 + [90.0] * 3))
    np.testing.assert_allclose(first + second @ c, density.structure_factors(hkl) / 64.0, atol=1e-10)


def test_derivatives_of_the_areas_are_exact(prior):
    model = prior.line_model
    c = np.random.default_rng(1).normal(size=prior.basis.size)
    areas, slope = model.areas_and_derivatives(c)
    # differences of a quadratic are exact
    steps = 0.5 * np.eye(len(c))
    expected = np.stack([model.areas(c + step) - model.areas(c - step) for step in steps], axis=1)
    np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(areas, prior.lines.areas(prior.basis.vector(c), prior.basis.waves), rtol=1e-10)


def test_the_likelihood_is_that_of_the_dense_covariance():
    rng = np.random.default_rng(2)
    mean, c, low, own, directions = (rng.normal(size=s) for s in ((5,), (5,), (2,), (5,), (5, 2)))
    low, own = np.exp(low), np.exp(own)
    covariance = directions @ np.diag(low**2) @ directions.T + np.diag(own**2)
    off = c - mean
    expected = 0.5 * (off @ np.linalg.solve(covariance, off) + np.linalg.slogdet(covariance)[1])
    found = Normal(*(jnp.asarray(a) for a in (mean, low, own, directions))).negative_log_likelihood(jnp.asarray(c))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_a_linear_problem_has_the_posterior_of_the_textbook_and_intervals_hold_what_they_promise():
    rng = np.random.default_rng(3)
    lines, size, draws = 6, 4, 500
    first, second = np.full(lines, 100.0), rng.normal(size=(lines, size))
    model, prior_covariance = LineModel(first, second, np.eye(lines)), np.diag([1.0, 0.5, 2.0, 0.2])
    noise, within = 0.5, np.zeros((2, size))
    for k in range(draws):
        truth = np.sqrt(np.diag(prior_covariance)) * rng.normal(size=size)
        roots = first + second @ truth + noise * rng.normal(size=lines)
        found = refine_coefficients(model, roots**2, 2.0 * roots * noise, np.zeros(size), prior_covariance, scale=1.0)
        sd = np.sqrt(np.diag(found.covariance))
        within += np.abs(found.c - truth) < np.array([[1.0], [1.96]]) * sd
        if k == 0:
            # the root of absent lines is lifted, which changes these by a thousandth
            gain = (
                prior_covariance
                @ second.T
                @ np.linalg.inv(second @ prior_covariance @ second.T + noise**2 * np.eye(lines))
            )
            np.testing.assert_allclose(found.c, gain @ (roots - first), atol=0.02)
            spread = second @ prior_covariance @ second.T / noise**2 + np.eye(lines)
            off = (roots - first) / noise
            evidence = -0.5 * (off @ np.linalg.solve(spread, off) + np.linalg.slogdet(spread)[1])
            assert found.log_evidence == pytest.approx(evidence, abs=0.05)
            expected = prior_covariance - gain @ second @ prior_covariance
            np.testing.assert_allclose(found.covariance, expected, atol=0.02 * np.abs(expected).max())
    # four standard deviations of a binomial
    np.testing.assert_allclose(within[0] / draws, 0.6827, atol=4 * np.sqrt(0.22 / draws))
    np.testing.assert_allclose(within[1] / draws, 0.95, atol=4 * np.sqrt(0.0475 / draws))


def test_refinement_lowers_the_misfit_and_moves_towards_the_truth(prior, unseen):
    before, after = [], []
    for k, sample in enumerate(unseen):
        pattern = lines_of(prior, sample, seed=k)
        guess = prior.predict(sample.cell[0], pattern, {e: sample.elements.count(e) for e in sample.elements})
        refined = prior.refine(guess, pattern, widths=(0.3, 1.0))
        each = [prior.refine(guess, pattern, widths=(w,)) for w in (0.3, 1.0)]
        evidence = np.array([of.refined.log_evidence for of in each])
        assert refined.refined.log_evidence == pytest.approx(np.log(np.exp(evidence).mean()))
        share = np.exp(evidence) / np.exp(evidence).sum()
        best = each[int(evidence.argmax())]
        np.testing.assert_allclose(refined.c, best.c, atol=1e-12)
        off = [of.c - best.c for of in each]
        expected = sum(s * (of.covariance + np.outer(o, o)) for s, of, o in zip(share, each, off, strict=True))
        np.testing.assert_allclose(refined.covariance, expected, atol=1e-12)
        assert refined.refined.misfit < refined.refined.misfit_before
        assert refined.refined.scale == pytest.approx(7.0, rel=0.5)
        truth = prior.basis.poses * prior.basis.coefficients(next(vectors_of([sample], prior.basis.waves)))
        before.append(np.linalg.norm(truth - guess.c, axis=1).min())
        after.append(np.linalg.norm(truth - refined.c, axis=1).min())
        # what was learned from the lines is no less certain
        assert np.trace(refined.covariance) < np.trace(guess.covariance)
    assert np.mean(after) < 0.9 * np.mean(before)


def test_lines_tell_more_than_the_composition_alone(prior, unseen):
    held = prepare(unseen, prior.basis, prior.lines, prior.elements)
    known = np.zeros(len(unseen), int)
    errors = []
    for pattern in (1, 0):
        means, _ = prior.distribution(
            held.areas * pattern, np.full(len(unseen), pattern), held.composition, known, held.edge
        )
        apart = prior.basis.poses[:, None] * held.coefficients - means
        errors.append((apart**2).sum(-1).min(0).mean())
    constant = ((held.coefficients - held.coefficients.mean(axis=0)) ** 2).sum(-1).mean()
    assert errors[0] < min(0.5 * constant, 0.8 * errors[1])


def test_samples_have_the_covariance_and_the_density_the_mean(prior, unseen):
    guess = prior.predict(unseen[0].cell[0], None, ["Ba", "Ti", "O"])
    drawn = guess.draw(4000, seed=1)
    sd = guess.intervals.one * np.sqrt(np.diag(guess.covariance))
    np.testing.assert_allclose(drawn.mean(axis=0), guess.c, atol=5 * sd.max() / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.06)
    density, (mean, spread) = guess.density((8, 8, 8)), guess.at(np.array([[0.25, 0.5, 0.125], [0.0, 0.0, 0.0]]))
    fine = guess.density((16, 16, 16))
    np.testing.assert_allclose(mean, [fine.values[4, 8, 2], fine.values[0, 0, 0]], atol=1e-9)
    assert density.shape == (8, 8, 8)
    assert (spread > 0.0).all()


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(samples, unseen, tmp_path):
    few = replace(RECIPE, epochs=4)
    whole = train(samples[:48], unseen[:8], few)
    train(samples[:48], unseen[:8], few, folder=tmp_path, stop_after=2)
    rest = train(samples[:48], unseen[:8], few, folder=tmp_path)
    assert rest.log == whole.log
    for a, b in zip(jax.tree.leaves(whole.variables), jax.tree.leaves(rest.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DataError, match="another recipe"):
        train(samples[:48], unseen[:8], replace(few, seed=1), folder=tmp_path)


def test_a_file_holds_a_prior_to_half_precision(prior, unseen, tmp_path):
    file = save_prior(prior, tmp_path / "prior.safetensors")
    again = load_prior(file)
    pattern = lines_of(prior, unseen[0])
    for composition in (None, ["O", "Ti", "Ba"], {"Ba": 1, "Ti": 1, "O": 3}):
        one, other = (of.predict(pattern.edge, pattern, composition) for of in (prior, again))
        np.testing.assert_allclose(other.c, one.c, atol=0.01 * np.abs(one.c).max())
        np.testing.assert_allclose(other.covariance, one.covariance, atol=0.02 * np.abs(one.covariance).max())
        assert other.intervals == one.intervals and other.after == one.after
    assert again.card["data"] == "typed in"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:100])
    for path in (damaged, tmp_path / "none.safetensors"):
        with pytest.raises(ParseError):
            load_prior(path)


def test_lines_of_another_wavelength_are_the_same_and_missing_ones_are_refused(prior, unseen):
    pattern = lines_of(prior, unseen[0])
    for wavelength in (0.7093, 1.2):
        angles = 2.0 * np.degrees(np.arcsin(wavelength * pattern.d_star / 2.0))
        t = np.radians(angles / 2.0)
        # Lorentz and polarisation factor of the textbook
        factor = (1.0 + np.cos(2.0 * t) ** 2) / (np.sin(t) ** 2 * np.cos(t))
        other = LinePattern.from_angles(pattern.edge, angles, pattern.areas * factor, wavelength)
        ratio = other.on(prior.lines)[0] / pattern.areas
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    short = LinePattern.create(pattern.edge, pattern.d_star[:6], pattern.areas[:6])
    with pytest.raises(ConventionError, match="are not in the pattern"):
        prior.predict(pattern.edge, short)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"areas": [1.0, -0.5]}, DataError),
        ({"areas": [np.nan, 1.0]}, DataError),
        ({"areas": [0.0, 0.0]}, DataError),
        ({"sigma": [0.1, 0.0]}, DataError),
        ({"edge": -4.0}, ParameterError),
    ],
)
def test_lines_that_are_none_are_refused(change, error):
    given = {"edge": 4.0, "d_star": [0.25, 0.35], "areas": [1.0, 2.0], "sigma": [0.1, 0.1], **change}
    with pytest.raises(error):
        LinePattern.create(**given)


@pytest.mark.parametrize(
    ("composition", "error", "said"),
    [
        ({"Ba": 1.0, "Ti": -1.0, "O": 3.0}, ParameterError, "not positive"),
        ({}, ParameterError, "no elements"),
        ({"Ba": 1.0, "Ti": 1.0, "O": 2.0}, ParameterError, "5 atoms"),
        ({"Ce": 1.0, "Ti": 1.0, "O": 3.0}, ConventionError, "none of the crystals"),
    ],
)
def test_compositions_that_cannot_be_are_refused(prior, composition, error, said):
    with pytest.raises(error, match=said):
        prior.predict(4.0, None, composition)


def test_charges_and_amounts_of_a_composition_do_not_matter():
    found = fractions({"Ba2+": 2.0, "Ti4+": 2.0, "O2-": 6.0}, ("Ba", "O", "Ti"), 5)
    np.testing.assert_allclose(found, [0.2, 0.6, 0.2])


def test_more_functions_than_crystals_are_refused(samples):
    waves = WaveSet.within(5)
    with pytest.raises(DataError, match="fewer functions"):
        principal_basis([np.stack(list(vectors_of(samples[:3], waves)))], waves, 4)


def test_a_network_of_coordinates_holds_nearly_what_principal_components_hold(samples):
    waves = WaveSet.within(9)
    vectors = np.stack(list(vectors_of(samples, waves)))
    best = principal_basis([vectors], waves, 3)
    network = CoordinateNetwork(3, highest=3, width=32, depth=1)
    found = fit_coordinate_basis(vectors, waves, 3, network=network, steps=300, points=128, crystals=64, rate=1e-2)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(3), atol=1e-6)
    spread = ((vectors - found.mean) ** 2).sum()
    left = ((vectors - found.vector(found.coefficients(vectors))) ** 2).sum() / spread
    least = ((vectors - best.vector(best.coefficients(vectors))) ** 2).sum() / spread
    assert left == pytest.approx(1.0 - found.explained, abs=1e-6)
    assert left < least + 0.1
    with pytest.raises(DataError, match="give more of both"):
        fit_coordinate_basis(vectors[:3], waves, 3)


def test_a_prior_with_isotypes_takes_them_where_there_is_a_pattern_and_a_file_keeps_them(
    prior, samples, unseen, tmp_path
):
    isotypes = Isotypes.of(samples, prior.elements, prior.lines)
    remembering = replace(prior, isotypes=isotypes)
    again = load_prior(save_prior(remembering, tmp_path / "prior.safetensors"))
    off = []
    for sample in unseen[:8]:
        pattern = lines_of(prior, sample)
        for known in (dict.fromkeys(sample.elements, 1.0) | {"O": 3.0}, list(sample.elements)):
            guess, other = (of.predict(pattern.edge, pattern, known) for of in (remembering, again))
            assert guess.modes
            np.testing.assert_allclose(other.c, guess.c, atol=0.02 * np.abs(guess.c).max())
            refined = remembering.refine(guess, pattern)
            assert refined.refined.misfit < refined.refined.misfit_before
        truth = prior.basis.poses * prior.basis.coefficients(next(vectors_of([sample], prior.basis.waves)))
        guess = [of.predict(pattern.edge, pattern, list(sample.elements)) for of in (prior, remembering)]
        off.append([np.linalg.norm(truth - of.c, axis=1).min() for of in guess])
        # without lines or without elements the network answers
        for lines, known in ((None, ["O"]), (pattern, None)):
            np.testing.assert_array_equal(*(of.predict(pattern.edge, lines, known).c for of in (prior, remembering)))
    by_network, by_isotypes = np.mean(off, axis=0)
    assert by_isotypes < by_network
    with pytest.raises(ParameterError, match="elements for a cell of 5 atoms"):
        remembering.predict(pattern.edge, pattern, ["Ba", "Ca", "K", "Na", "O", "Ti"])


def test_isotypes_are_calibrated_on_crystals_that_were_held_out(samples, unseen):
    trained = train(samples[:64], unseen, replace(RECIPE, epochs=1))
    lines = LineSet.within(RECIPE.lines)
    held, isotypes = (
        prepare(unseen, trained.basis, lines, trained.elements),
        Isotypes.of(samples, trained.elements, lines),
    )
    of = DensityPrior.of(trained, RECIPE, held, atoms=5, isotypes=isotypes)
    inside = []
    points = np.random.default_rng(8).random((50, 3))
    functions = of.basis.at(points)[1]
    for k, sample in enumerate(perovskites(24, 11)):
        pattern = lines_of(of, perovskite_pose(sample), seed=k)
        refined = of.refine(of.predict(pattern.edge, pattern, list(sample.elements)), pattern)
        exact = of.basis.poses * of.basis.coefficients(next(vectors_of([perovskite_pose(sample)], of.basis.waves)))
        off = functions @ (exact[((exact - refined.c) ** 2).sum(axis=1).argmin()] - refined.c)
        sd = refined.at(points)[1] / refined.intervals.one
        inside.append(np.abs(off) < np.array([[refined.intervals.width(p)] for p in (0.6827, 0.95)]) * sd)
        low, high = refined.interval(points, 0.6827)
        np.testing.assert_allclose(0.5 * (high - low), refined.at(points)[1], rtol=1e-4)
    narrow, wide = np.mean(inside, axis=(0, 2))
    # 24 crystals each judge all their points alike
    assert 0.5 < narrow < 0.85
    assert 0.88 < wide
    assert narrow < wide


def test_the_prior_that_is_shipped_predicts_a_perovskite_it_knows_by_name():
    of = load_prior("perovskites")
    assert shipped_priors() == ("perovskites",)
    assert {"script", "data", "licence of the data", "seed", "scores"} <= set(of.card)
    xyz = IDEAL.copy()
    xyz[1:, 0] += [0.02, -0.03, -0.02, -0.02]
    sample = perovskite_pose(Sample((3.99,) * 3 + (90.0,) * 3, ("Ba", "Ti", "O", "O", "O"), xyz % 1.0))
    pattern = lines_of(of, sample, seed=0)
    truth = of.basis.poses * of.basis.coefficients(next(vectors_of([sample], of.basis.waves)))
    constant = np.linalg.norm(truth[0])
    for known in ({"Ba": 1, "Ti": 1, "O": 3}, ["Ba", "Ti", "O"]):
        guess = of.predict(pattern.edge, pattern, known)
        refined = of.refine(guess, pattern)
        assert np.linalg.norm(truth - refined.c, axis=1).min() < 0.15 * constant
    with pytest.raises(ConventionError, match="there are perovskites"):
        load_prior("garnets")
