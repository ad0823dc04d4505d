"""Geometries that a prior has learned, with the elements of a crystal on their sites."""

from itertools import permutations

import numpy as np
import pytest

from jaxnmr.density.intervals import Intervals
from jaxnmr.density.prior.basis import principal_basis
from jaxnmr.density.prior.data import LineNoise, LineSet, centred, perovskite_pose
from jaxnmr.density.prior.geometries import geometries_of
from jaxnmr.density.prior.isotypes import Isotypes
from jaxnmr.density.prior.modes import Mode, modes_of, refine_modes, spread_of
from jaxnmr.density.prior.refine import LineModel, refine_coefficients
from jaxnmr.density.prior.waves import Sample, WaveSet, in_batches, superposed_waves, vectors_of
from jaxnmr.errors import DataError, ParameterError, ShapeError

IDEAL = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.5, 0.5]])
ELEMENTS = ("Ba", "Ca", "K", "Na", "Nb", "O", "Pb", "Sr", "Ti", "Zr")
PAIRS = [("Ca", "Ti"), ("Sr", "Ti"), ("Ba", "Ti"), ("Pb", "Ti"), ("K", "Nb"), ("Na", "Nb"), ("Ba", "Zr"), ("Sr", "Zr")]
LINES, WAVES = LineSet.within(30), WaveSet.within(30)


def perovskites(count: int, seed: int, pairs=PAIRS) -> list[Sample]:
    rng, found = np.random.default_rng(seed), []
    for k in range(count):
        a, b = pairs[k % len(pairs)]
        xyz = IDEAL.copy()
        xyz[:, 0] += 0.03 * rng.normal(size=5)
        found.append(perovskite_pose(Sample((rng.uniform(3.9, 4.2),) * 3 + (90.0,) * 3, (a, "O", "O", "O", b), xyz % 1.0)))  # fmt: skip
    return found


@pytest.fixture(scope="module")
def kept() -> list[Sample]:
    return perovskites(160, 0)


@pytest.fixture(scope="module")
def isotypes(kept) -> Isotypes:
    return Isotypes.of(kept, ELEMENTS, LINES)


@pytest.fixture(scope="module")
def basis(kept):
    return principal_basis(in_batches(kept, WAVES), WAVES, 40)


def lines_of(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    areas = LINES.areas(WAVES.vector(superposed_waves(sample, WAVES)), WAVES)
    return areas, LineNoise().sigma(areas)


def places(sample: Sample) -> tuple[int, ...]:
    return tuple(ELEMENTS.index(e) for e in sample.elements)


def test_sites_come_in_one_order_with_X_before_B():
    (sample,) = perovskites(1, 4)
    for order in list(permutations(range(5)))[::17]:
        shuffled = Sample(sample.cell, tuple(sample.elements[k] for k in order), sample.xyz[list(order)])
        again = perovskite_pose(shuffled)
        assert again.elements == ("Ca", "O", "O", "O", "Ti")
        np.testing.assert_allclose(again.xyz, sample.xyz, atol=1e-9)


def test_a_crystal_that_is_kept_is_found_by_its_lines_with_its_density(isotypes, kept):
    for k in (0, 5, 17):
        areas, sigma = lines_of(kept[k])
        found = isotypes.candidates(kept[k].cell[0], areas, sigma, [places(kept[k])])
        assert tuple(found.kinds[0]) == places(kept[k])
        np.testing.assert_allclose(found.xyz[0] - kept[k].xyz, np.round(found.xyz[0] - kept[k].xyz), atol=1e-6)
        assert (np.diff(found.logs) <= 0.0).all()
        (vector,) = vectors_of([kept[k]], WAVES)
        np.testing.assert_allclose(isotypes.vectors(found, kept[k].cell[0], WAVES)[0], vector, atol=1e-5)


def test_a_crystal_with_elements_that_no_kept_one_has_together_is_found_by_decoration(isotypes, kept):
    source = kept[9]
    strange = Sample(source.cell, ("K", "O", "O", "O", "Zr"), centred(source.xyz, np.array([9.0, 6.0, 6.0, 6.0, 12.0])))
    assert not any(set(strange.elements) == set(s.elements) for s in kept)
    areas, sigma = lines_of(strange)
    found = isotypes.candidates(strange.cell[0], 5.0 * areas, 5.0 * sigma, [sorted(places(strange))])
    assert tuple(found.kinds[0]) == places(strange)
    off = np.diff(found.xyz[0, :, 0]) - np.diff(source.xyz[:, 0])
    np.testing.assert_allclose(off, np.round(off), atol=5e-3)


def test_geometries_are_means_of_crystals_that_are_alike_whatever_their_shift():
    rng = np.random.default_rng(3)
    kinds = IDEAL + np.array([[[0.05, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]]) * np.arange(3)[:, None, None]
    of = rng.integers(0, 3, size=60)
    shifted = (kinds[of] + np.array([0.01, 0.0, 0.0]) * rng.normal(size=(60, 1, 1))) % 1.0
    xyz, standing = geometries_of(shifted, 60)
    assert standing.sum() == 60 and len(xyz) == 60
    # of three kinds exactly, twenty means are some of each, and every mean is one of them
    xyz, standing = geometries_of(shifted, 20, seed=1)
    assert standing.sum() == 60 and len(xyz) <= 20
    relative = lambda x: (x[:, :, 0] - x[:, :1, 0] + 0.25) % 1.0 - 0.25
    apart = np.abs(relative(xyz)[:, None] - relative(kinds)[None]).max(axis=-1).min(axis=1)
    assert apart.max() < 1e-9
    np.testing.assert_allclose(xyz[..., 1:] % 1.0, np.broadcast_to(IDEAL[:, 1:], xyz[..., 1:].shape), atol=1e-12)


def test_decorations_are_those_of_the_sites_the_most_frequent_first(isotypes):
    ways, logs = isotypes.decorations([(0, 5, 5, 5, 8)])
    # barium stands across from titanium, never elsewhere
    assert tuple(ways[0]) == (0, 5, 5, 5, 8)
    assert (np.diff(logs) <= 0.0).all()


def test_modes_lower_the_misfit_and_come_nearer_to_the_truth(isotypes, basis):
    model, off = LineModel.plan(basis, LINES), []
    for k, sample in enumerate(perovskites(16, 7)):
        areas, sigma = lines_of(sample)
        areas = LineNoise().applied(areas, np.random.default_rng(k))
        modes = modes_of(isotypes.candidates(sample.cell[0], areas, sigma, [places(sample)]), isotypes, sample.cell[0], basis)  # fmt: skip
        refined = refine_modes(model, areas, sigma, modes)
        each = [refine_coefficients(model, areas, sigma, m.c, m.covariance) for m in modes]
        best = max(each, key=lambda of: of.log_evidence)
        np.testing.assert_allclose(refined.c, best.c)
        assert refined.misfit < refined.misfit_before
        truth = basis.poses * basis.coefficients(next(vectors_of([sample], WAVES)))
        off.append([np.linalg.norm(truth - c, axis=1).min() for c in (np.zeros(basis.size), modes[0].c, refined.c)])
    mean, guessed, after = np.mean(off, axis=0)
    assert guessed < 0.5 * mean
    assert after < guessed


def test_the_spread_of_modes_is_the_second_moment_about_the_first():
    one, other = Mode(np.zeros(2), np.eye(2), 0.0), Mode(np.array([1.0, 0.0]), 2.0 * np.eye(2), 0.0)
    np.testing.assert_allclose(spread_of([one]), np.eye(2))
    np.testing.assert_allclose(spread_of([one, other]), [[2.0, 0.0], [0.0, 1.5]])


def test_intervals_hold_what_they_promise_of_deviations_with_long_tails_too():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=200_000)
    found = Intervals.of(3.0 * normal)
    assert found.one == pytest.approx(3.0, rel=0.02)
    assert found.width(0.95) == pytest.approx(3.0 * 1.96, rel=0.02)
    assert Intervals().width(0.9) == pytest.approx(1.645, abs=1e-3)
    # every crystal has a spread of its own
    long = normal * np.repeat(np.sqrt(3.0 / rng.chisquare(3.0, size=4000)), 50)
    found = Intervals.of(long)
    assert found.degrees == pytest.approx(3.0, rel=0.1)
    for probability in (0.5, 0.6827, 0.9, 0.95, 0.99):
        assert (np.abs(long) < found.width(probability)).mean() == pytest.approx(probability, abs=0.01)
    # tails that no distribution of the family has end at the last one
    assert Intervals.of(np.ones(100)).degrees > 1000.0
    assert Intervals.of(np.r_[np.ones(80), 1e6 * np.ones(20)]).degrees == pytest.approx(1.0)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        found.width(95.0)


def test_crystals_of_unlike_sites_and_none_are_no_isotypes(kept):
    with pytest.raises(DataError, match="no crystals"):
        Isotypes.of([], ELEMENTS, LINES)
    short = kept[0]._replace(elements=kept[0].elements[:4], xyz=kept[0].xyz[:4])
    with pytest.raises(ShapeError, match="same sites"):
        Isotypes.of([kept[0], short], ELEMENTS, LINES)
