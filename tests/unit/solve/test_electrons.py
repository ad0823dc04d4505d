"""Numbers of electrons, an unknown element and a texture, from integrated intensities."""

import json
import re

import numpy as np
import pytest
from solved_crystals import ANGLESITE

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.crystal.cell import reciprocal_metric
from jaxnmr.diffraction.structure_factors import StructureFactors
from jaxnmr.errors import ConventionError, DataError
from jaxnmr.solve.checks.area_fit import _Model, fit_areas, without_texture
from jaxnmr.solve.checks.other_setting import areas_in_setting
from jaxnmr.solve.checks.preferred_orientation import distinct_axes

RUTILE = dict(
    cell=[4.594, 4.594, 2.959, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti", "O"], xyz=[[0, 0, 0], [0.3053, 0.3053, 0]], b_iso=0.5,
)  # fmt: skip


def textured(crystal, axis, ratio, *, d_min=1.3, noise=0.03, seed=5):
    """Intensities of grains that lie, with noise."""
    from dataclasses import replace

    areas = jn.solve.simulated_intensities(crystal, d_min=d_min, noise=0.0)
    model = _Model(crystal, without_texture(areas, axis, ratio), [], None)
    exact = model(model.start())[0]
    sigma = noise * np.hypot(exact, 0.07 * exact.max())
    area = exact + sigma * np.random.default_rng(seed).normal(size=len(exact))
    return replace(areas, area=area, covariance=np.diag(sigma**2))


def test_areas_are_those_of_the_structure_factors_of_refinements_and_slopes_are_their_derivatives():
    crystal = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(crystal, d_min=2.0, noise=0.0)
    model = _Model(crystal, areas, [], None)
    value, _ = model(model.start())
    d_star_sq = np.einsum("ni,ij,nj->n", areas.hkl, reciprocal_metric(areas.cell), areas.hkl)
    squared = StructureFactors.plan(crystal, areas.hkl, "xray", areas.instrument.wavelengths[0]).squared(
        crystal, d_star_sq
    )
    expected = np.bincount(areas.members, areas.weight * np.asarray(squared))
    np.testing.assert_allclose(value / value.max(), expected / expected.max(), atol=1e-12)

    model = _Model(crystal, areas, [[1], [2, 3, 4]], (0, 1, 1))
    x = model.start() + 0.01 * np.random.default_rng(0).normal(size=len(model.kinds))
    _, slope = model(x)
    step = 1e-6
    numeric = np.stack([(model(x + e)[0] - model(x - e)[0]) / (2 * step) for e in step * np.eye(len(x))], axis=1)
    assert (np.abs(numeric - slope).max(axis=0) < 1e-6 * np.abs(slope).max(axis=0)).all()


def test_electrons_of_sulfur_and_oxygen_are_counted_by_those_of_lead_within_their_uncertainties():
    crystal = jn.Crystal.create(**ANGLESITE)
    pulls = []
    for seed in range(8):
        counts = jn.solve.electron_counts(crystal, jn.solve.simulated_intensities(crystal, d_min=1.2, seed=seed))
        assert counts.reference == "Pb" and counts["Pb"].sigma == 0.0 and counts.notes == ()
        assert counts["S"].sigma < 0.8 and counts["O"].sigma < 0.4
        pulls += [(counts[e].z - z) / counts[e].sigma for e, z in (("S", 16), ("O", 8))]
    # of 16 pulls of unit variance the mean square is within 0.35 and 2.1 in 99.5 %
    assert 0.3 < np.mean(np.square(pulls)) < 2.1


def test_a_wrong_element_shows_in_its_electrons_and_a_right_one_is_near():
    areas = jn.solve.simulated_intensities(jn.Crystal.create(**ANGLESITE), d_min=1.2, seed=1)
    wrong = jn.Crystal.create(**{**ANGLESITE, "species": ["Pb", "Cr", "O", "O", "O"]})
    counts = jn.solve.electron_counts(wrong, areas)
    assert counts["Cr"].z == pytest.approx(16.0, abs=3 * counts["Cr"].sigma)
    (note,) = counts.notes
    assert note.startswith("Cr: the intensities want 16") and "Near are S" in note
    by_site = jn.solve.electron_counts(jn.Crystal.create(**ANGLESITE), areas, by="site")
    assert [row.name for row in by_site.rows] == ["Pb1", "S1", "O1", "O2", "O3"]
    assert all(abs(row.z - 8) < 3.5 * row.sigma for row in by_site.rows[2:])


def test_areas_go_over_to_another_setting_of_the_structure():
    crystal = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(crystal, d_min=1.5, seed=2)
    # a, b, c of Pnma are c, a, b of Pbnm
    turned = jn.Crystal.create(
        cell=[6.958, 8.478, 5.397, 90, 90, 90], spacegroup="P b n m", species=ANGLESITE["species"],
        xyz=[[z, x, y] for x, y, z in ANGLESITE["xyz"]], b_iso=0.6,
    )  # fmt: skip
    there = areas_in_setting(areas, turned)
    assert len(there) == len(areas) and len(there.hkl) == len(areas.hkl)
    assert fit_areas(turned, there).deviance == pytest.approx(fit_areas(crystal, areas).deviance, abs=0.1)
    with pytest.raises(ConventionError, match="same lattice"):
        areas_in_setting(areas, jn.Crystal.create(**RUTILE))


def test_an_unknown_element_is_named_by_its_electrons():
    crystal = jn.Crystal.create(**RUTILE)
    found = jn.solve.structure(jn.solve.simulated_intensities(crystal, d_min=0.9, seed=4), "XO2", seed=1, seconds=8.0)
    assert found.solved and set(found.best.crystal.species) <= {"Sc", "Ti", "V", "O"}
    z, sigma = map(float, re.match(r"X: Z = ([\d.]+) ± ([\d.]+) ", found.notes[0]).groups())
    assert abs(z - 22.0) < 2.5 * sigma and sigma < 2.0


def test_a_texture_is_found_where_there_is_one_and_the_structure_is_solved_with_it():
    crystal = jn.Crystal.create(**ANGLESITE)
    assert jn.solve.texture_of(crystal, jn.solve.simulated_intensities(crystal, d_min=1.3, seed=1)) is None
    texture = jn.solve.texture_of(crystal, textured(crystal, (0, 1, 1), 0.7))
    assert texture.axis == (0, 1, 1) and texture.ratio == pytest.approx(0.7, abs=0.02)
    assert texture.before > 0.12 and texture.r_factor < 0.06
    rutile = jn.Crystal.create(**RUTILE)
    found = jn.solve.structure(textured(rutile, (0, 0, 1), 0.7, d_min=0.9), "TiO2", seed=1, seconds=8.0)
    assert found.solved and found.texture.axis == (0, 0, 1) and found.texture.ratio == pytest.approx(0.7, abs=0.02)
    assert found.best.r_factor < 0.06 < found.texture.before and "preferred orientation" in found.notes[0]


def test_axes_that_the_laue_class_makes_equal_are_tried_once():
    assert distinct_axes(SpaceGroup.from_name("F m -3 m")) == ((0, 0, 1), (1, 1, 0), (1, 1, 1), (1, 0, 2))


def test_what_cannot_be_counted_is_said():
    crystal = jn.Crystal.create(**RUTILE)
    neutrons = jn.Instrument(radiation="neutron", wavelengths=(1.5,))
    with pytest.raises(ConventionError, match="neutrons do not see electrons"):
        jn.solve.electron_counts(crystal, jn.solve.simulated_intensities(crystal, neutrons))
    areas = jn.solve.simulated_intensities(crystal)
    with pytest.raises(ConventionError, match="expected one of Ti, O"):
        jn.solve.electron_counts(crystal, areas, reference="Pb")
    with pytest.raises(DataError, match="too few for"):
        jn.solve.electron_counts(crystal, jn.solve.simulated_intensities(crystal, d_min=2.3))
    with pytest.raises(ConventionError, match="nothing beside X"):
        jn.solve.structure(areas, "X")


def test_a_texture_goes_into_the_record_of_a_search_and_comes_back():
    from dataclasses import replace
    from types import SimpleNamespace

    from jaxnmr._record import plain
    from jaxnmr.solve.determination.record import attempt_record, solutions_of_record

    crystal = jn.Crystal.create(**RUTILE)
    found = jn.solve.structure(jn.solve.simulated_intensities(crystal), "TiO2", seconds=0.5)
    rung = SimpleNamespace(group=crystal.group, symbol="P - n -", probability=1.0)
    for texture in (jn.solve.Texture((0, 0, 1), 0.7, 0.01, 50.0, 0.03, 0.2), None):
        attempt = SimpleNamespace(cell=0, rung=rung, solutions=replace(found, texture=texture), bic=1.0)
        again = json.loads(json.dumps(plain(attempt_record(attempt))))
        assert solutions_of_record(again).texture == texture
