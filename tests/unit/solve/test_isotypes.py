"""Structure types with the elements, the cell and the pattern of another crystal."""

from dataclasses import replace
from itertools import product

import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, SpaceGroup
from jaxnmr.density import compare, superposed
from jaxnmr.errors import ConventionError, DataError, ParameterError
from jaxnmr.solve import simulated_intensities
from jaxnmr.solve.isotypes.decorations import contents_of, decorations, log_volume, wanted
from jaxnmr.solve.isotypes.fitting import EXPECTED_B, _Model, misfits, refined, site_waves
from jaxnmr.solve.isotypes.lines import Lines
from jaxnmr.solve.isotypes.mixture import Mixture, different_poses
from jaxnmr.solve.isotypes.proposals import propose, refined_proposals
from jaxnmr.solve.isotypes.types import StructureType, structure_types
from jaxnmr.units import b_to_u

U = b_to_u(EXPECTED_B)


def pyrite(a=5.418, metal="Fe", other="S", x=0.385, u_iso=U):
    return Crystal.create(
        cell=[a, a, a, 90, 90, 90],
        spacegroup="P a -3",
        species=[metal, other],
        xyz=[[0, 0, 0], [x, x, x]],
        u_iso=u_iso,
        name="pyrite",
    )


def rocksalt(a=5.64, cation="Na", anion="Cl"):
    return Crystal.create(
        cell=[a, a, a, 90, 90, 90],
        spacegroup="F m -3 m",
        species=[cation, anion],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5]],
        name="rocksalt",
    )


def fluorite(a=5.46, cation="Ca", anion="F"):
    return Crystal.create(
        cell=[a, a, a, 90, 90, 90],
        spacegroup="F m -3 m",
        species=[cation, anion],
        xyz=[[0, 0, 0], [0.25, 0.25, 0.25]],
        name="fluorite",
    )


def quartz(x=0.4135, u_iso=U):
    return Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [x, 0.2669, 0.7858]], u_iso=u_iso, name="quartz",
    )  # fmt: skip


LIBRARY = structure_types([pyrite(), rocksalt(), fluorite(), quartz(), rocksalt(4.2, "Mg", "O")])


@pytest.mark.parametrize("make", [pyrite, quartz])
def test_roots_of_areas_are_those_of_the_simulated_pattern(make):
    lines = Lines.of(simulated_intensities(make(), noise=0.0))
    one = StructureType.of(make())
    fit = refined(one, make().elements, lines, steps=0)
    assert fit.misfit < 1e-6 and fit.r_factor < 1e-6


@pytest.mark.parametrize("make", [pyrite, quartz])
def test_derivatives_are_those_of_small_differences(make):
    model = _Model(StructureType.of(make()), make().elements, Lines.of(simulated_intensities(make(), seed=3)))
    x = np.concatenate([[0.5], 0.01 * np.random.default_rng(0).normal(size=model.one.dof)])
    numeric = []
    for k in range(len(x)):
        step = 1e-6 * np.eye(len(x))[k]
        numeric.append((model.evaluate(x + step).residuals - model.evaluate(x - step).residuals) / 2e-6)
    exact = model.evaluate(x).jacobian
    np.testing.assert_allclose(exact, np.array(numeric).T, atol=2e-6 * np.abs(exact).max())


def test_crystals_of_one_type_are_one_with_all_their_elements():
    assert len(LIBRARY) == 4
    assert next(one for one in LIBRARY if one.name == "rocksalt").known == (("Na", "Cl"), ("Mg", "O"))


@pytest.mark.parametrize("known", ["CoSe2", {"Co": 1, "Se": 2}, ["Co", "Se"], {"Se": None, "Co": None}])
def test_the_coordinate_of_an_isotype_is_refined_within_its_uncertainty(known):
    true = pyrite(5.859, "Co", "Se", 0.378)
    found = propose(simulated_intensities(true, seed=1), LIBRARY, known)
    best = found.best
    assert best.crystal.name == "pyrite" and dict(zip(best.crystal.labels, best.crystal.elements, strict=True)) == {
        "Co1": "Co",
        "Se1": "Se",
    }
    assert best.weight > 0.99 and best.r_factor < 0.03
    sigma = float(np.sqrt(best.fit.covariance[0, 0]))
    assert abs(0.385 + best.fit.moves[0] - 0.378) < 4.0 * sigma < 0.01


def test_proposals_that_are_refined_later_are_those_refined_at_once():
    areas = simulated_intensities(pyrite(5.859, "Co", "Se", 0.378), seed=1)
    later = refined_proposals(propose(areas, LIBRARY, ["Co", "Se"], refine=False), areas)
    at_once = propose(areas, LIBRARY, ["Co", "Se"])
    assert [p.crystal.name for p in later] == [p.crystal.name for p in at_once]
    np.testing.assert_allclose([p.weight for p in later], [p.weight for p in at_once], atol=1e-12)


def test_a_trigonal_crystal_is_found_from_one_that_is_a_little_different():
    found = propose(simulated_intensities(quartz(), seed=2), structure_types([quartz(0.39)]), "SiO2")
    np.testing.assert_allclose(found.best.crystal.xyz, quartz().xyz, atol=4e-3)


def test_without_a_composition_elements_of_like_scattering_power_are_found():
    found = propose(simulated_intensities(rocksalt(6.60, "K", "Br"), seed=4), LIBRARY)
    assert found.best.crystal.name == "rocksalt" and found.best.r_factor < 0.03
    lighter, heavier = sorted(gemmi.Element(e).atomic_number for e in found.best.crystal.elements)
    assert abs(lighter - 19) <= 2 and abs(heavier - 35) <= 2


def test_decorations_are_all_those_that_counting_finds():
    one = StructureType.of(
        Crystal.create(
            cell=[5.8, 5.8, 5.8, 90, 90, 90], spacegroup="F m -3 m", species=["Mn", "Al", "Cu"], name="Heusler",
            xyz=[[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]],
        )
    )  # fmt: skip
    for formula, amounts in (
        ("Fe2VAl", {"Fe": 8, "V": 4, "Al": 4}),
        ("Fe3Al", {"Fe": 12, "Al": 4}),
        ("FeAl", {"Fe": 8, "Al": 8}),
    ):
        counted = {elements for elements in product(amounts, repeat=3) if contents_of(one, elements) == amounts}
        assert {d.elements for d in decorations(one, wanted(formula), 195.0)} == counted
    assert decorations(one, wanted("FeAl4"), 195.0) == []
    assert decorations(one, wanted("Fe2VAl"), 195.0)[0].log_prior > decorations(one, wanted("FeAl"), 195.0)[0].log_prior


def test_a_volume_as_of_known_crystals_is_the_most_probable():
    volumes = np.linspace(50.0, 800.0, 200)
    found = [log_volume({"Na": 4, "Cl": 4}, v) for v in volumes]
    assert abs(volumes[int(np.argmax(found))] / 179.4 - 1.0) < 0.25
    assert log_volume({"Na": 4, "Cl": 4}, 5000.0) == -np.inf


def test_lines_that_were_not_seen_speak_against_a_type():
    """Pyrite has lines that fluorite, its relative with x = 1/4, has not."""
    lines = Lines.of(simulated_intensities(fluorite(), noise=0.0))
    one = StructureType.of(pyrite(5.46, "Ca", "F"))
    of_pyrite, of_fluorite = lines.reflections(one.group), lines.reflections(fluorite().group)
    assert len(of_fluorite.summing) == len(lines) < len(of_pyrite.summing)
    squares = lambda xyz: np.abs(site_waves(one, of_pyrite, xyz).sum(axis=1)) ** 2
    unseen = of_pyrite.summing[len(lines) :]
    assert (unseen @ squares(one.xyz)).max() > 1.0
    assert (unseen @ squares(np.array([[0, 0, 0], [0.25, 0.25, 0.25]]))).max() < 1e-9
    assert misfits(lines, squares(one.xyz), of_pyrite) > 0.1


def test_a_type_suits_cells_of_its_metric_only():
    by_name = {one.name: one for one in LIBRARY}
    assert by_name["pyrite"].suits(np.array([7.0, 7, 7, 90, 90, 90]))
    assert not by_name["pyrite"].suits(np.array([7.0, 7, 7.5, 90, 90, 90]))
    assert by_name["quartz"].suits(np.array([5.2, 5.2, 5.6, 90, 90, 120]))
    assert not by_name["quartz"].suits(np.array([5.2, 5.2, 8.6, 90, 90, 120]))
    assert not by_name["quartz"].suits(np.array([7.0, 7, 7, 90, 90, 90]))


def test_the_mean_of_a_mixture_lays_equal_densities_over_each_other():
    areas = simulated_intensities(rocksalt(), seed=0)
    found = propose(areas, LIBRARY, ["Na", "Cl"])
    first = found.best
    moved = Crystal.create(
        cell=first.crystal.cell, spacegroup=1, name="moved", species=["Na"] * 4 + ["Cl"] * 4,
        xyz=[[x, y, z] for s in (0.25, 0.75) for x, y, z in [(s, 0, 0), (s, 0.5, 0.5), (s + 0.5, 0, 0.5), (s + 0.5, 0.5, 0)]],
    )  # fmt: skip
    two = replace(
        found,
        every=(first._replace(weight=0.5), first._replace(weight=0.5, crystal=moved, type=StructureType.of(moved))),
    )
    mixture = Mixture(two, points=24)
    single = superposed(first.crystal, (24,) * 3, at_rest=True)
    np.testing.assert_allclose(mixture.mean().values, single.values, atol=1e-9 * float(single.values.max()))
    assert mixture.mean().electrons() == pytest.approx(4 * (9 + 7))


def test_poses_that_rotations_make_of_one_another_are_tried_once():
    names = ("P 1", "P m -3 m", "F -4 3 m", "P m -3", "P -3")
    groups = {name: SpaceGroup.from_name(name) for name in names}
    assert len(different_poses(groups["P 1"])) == 48
    assert len(different_poses(groups["P m -3 m"])) == 1
    assert len(different_poses(groups["F -4 3 m"], groups["F -4 3 m"])) == 2
    assert len(different_poses(groups["P m -3"], groups["P m -3"])) == 2
    # of a trigonal group only the inversion is a signed permutation of its axes
    assert len(different_poses(groups["P -3"])) == 24


def test_samples_of_a_mixture_spread_as_coordinates_do():
    areas = simulated_intensities(pyrite(5.859, "Co", "Se", 0.378), seed=1)
    found = propose(areas, LIBRARY, "CoSe2")
    mixture = Mixture(found, points=16)
    drawn, mean = mixture.draw(60, seed=0), mixture.mean().values
    assert compare(mean, drawn.mean(axis=0), poses="one").ssim > 0.99
    point = np.unravel_index(int(drawn.std(axis=0).argmax()), mean.shape)
    covariance = mixture.covariance(np.array([point]) / 16.0, count=60, seed=0)
    assert covariance.shape == (1, 1) and covariance[0, 0] == pytest.approx(drawn[(slice(None), *point)].var(ddof=1))
    best, slopes = found.best, []
    for step in (-1e-3, 1e-3):
        x = best.type.xyz + best.type.basis @ (best.fit.moves + step)
        slopes.append(
            superposed(best.type.decorated(("Co", "Se"), best.crystal.cell, x, 0.01), (16,) * 3, at_rest=True).values[
                point
            ]
        )
    expected = abs(slopes[1] - slopes[0]) / 2e-3 * np.sqrt(best.fit.covariance[0, 0])
    assert np.sqrt(covariance[0, 0]) == pytest.approx(expected, rel=0.35)


def test_what_makes_no_sense_is_refused():
    areas = simulated_intensities(rocksalt(), seed=0)
    with pytest.raises(ConventionError, match="amounts are given for some elements, not for Cl"):
        propose(areas, LIBRARY, {"Na": 1, "Cl": None})
    with pytest.raises(ConventionError, match="no element"):
        propose(areas, LIBRARY, ["Na", "Xy"])
    with pytest.raises(DataError, match="none of 4 structure types suits"):
        propose(areas, LIBRARY, "Na7Cl3")
    with pytest.raises(ParameterError, match="most is 0"):
        propose(areas, LIBRARY, "NaCl", most=0)
    with pytest.raises(DataError, match="negative by more than five"):
        propose(replace(areas, area=areas.area - 0.9 * areas.area.max()), LIBRARY, "NaCl")
    with pytest.raises(ParameterError, match="points is 4"):
        Mixture(propose(areas, LIBRARY, "NaCl"), points=4)
    shared = Crystal.create(
        cell=[5, 5, 5, 90, 90, 90], spacegroup="P m -3 m", species=["Na"], xyz=[[0, 0, 0]], occupancy=[0.5], name="half"
    )
    with pytest.raises(ConventionError, match=r"Na1 of half has an occupancy of 0\.5"):
        StructureType.of(shared)
    assert structure_types([shared]) == ()
