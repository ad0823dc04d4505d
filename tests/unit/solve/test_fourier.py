"""Densities against the sums that they are, difference maps against an atom that was taken away, structures completed from them."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from solved_crystals import ANGLESITE, QUARTZ

import jaxnmr as jn
from jaxnmr.crystal import lattice, plan_expansion, volume
from jaxnmr.diffraction.scattering import scattering_factors
from jaxnmr.solve.determination.after_search import missing_notes
from jaxnmr.solve.direct.assignments import Assignments
from jaxnmr.solve.direct.equivalence import atoms_of, displacement
from jaxnmr.solve.direct.heavy import heaviest, heavy_first
from jaxnmr.solve.direct.kernel import intensities
from jaxnmr.solve.direct.problem import make_problem
from jaxnmr.solve.direct.search import Search
from jaxnmr.solve.direct.wyckoff import wyckoff_positions
from jaxnmr.solve.epsilon import epsilon_factors
from jaxnmr.solve.fourier.density import Sphere, density
from jaxnmr.solve.fourier.growth import Seedling
from jaxnmr.solve.fourier.places import Places

MO_KA1 = jn.Instrument(radiation="xray", wavelengths=(0.70932,))


def without(given, *gone):
    """The crystal without some of its sites."""
    kept = [k for k in range(len(given["species"])) if k not in gone]
    return jn.Crystal.create(**given | {name: [given[name][k] for k in kept] for name in ("species", "xyz")})


def distance(crystal, one, other):
    """Å from a point to the nearest of all that symmetry makes of another."""
    images = crystal.group.rotations @ np.asarray(other) + crystal.group.translations
    delta = images - one
    return np.linalg.norm((delta - np.round(delta)) @ np.asarray(lattice(crystal.cell)), axis=1).min()


def at_rest(element, d_min):
    """e/Å³ in the middle of an atom of which waves to a shortest d are seen: the integral of its scattering over their sphere."""
    h = np.linspace(0.0, 1.0 / d_min, 2001)
    f = scattering_factors((element,), "xray", MO_KA1.wavelengths[0])
    s_sq = h**2 / 4.0
    wave = (f.a[0] * np.exp(-f.b[0] * s_sq[:, None])).sum(axis=1) + f.c[0] + f.f1[0]
    return np.trapezoid(4.0 * np.pi * h**2 * wave * np.exp(-0.6 * s_sq), h)


@pytest.mark.parametrize("given", [QUARTZ, ANGLESITE], ids=["screw axes, no centre", "glide planes"])
def test_a_density_is_the_sum_over_all_reflections_and_has_their_energy_and_the_symmetry_of_the_group(given):
    crystal = jn.Crystal.create(**given)
    cell, group = np.asarray(crystal.cell, dtype=float), crystal.group
    atoms = np.asarray(plan_expansion(crystal).cell_of(crystal).fractional)
    areas = jn.solve.simulated_intensities(crystal, noise=0.0, d_min=1.5)
    hkl = np.concatenate([[[0, 0, 0]], areas.hkl])
    # atoms of one Gaussian electron each: F(000) is their number
    width = np.exp(-2.0 * np.concatenate([[0.0], np.sum((areas.hkl @ np.linalg.inv(lattice(cell)).T) ** 2, axis=1)]))
    f = width * np.exp(2j * np.pi * hkl @ atoms.T).sum(axis=1)
    sphere = Sphere.of(group, hkl)
    every = sphere.values(f)
    # what symmetry makes of a class is what the atoms themselves give
    s_sq = np.sum((sphere.hkl @ np.linalg.inv(lattice(cell)).T) ** 2, axis=1)
    direct = np.exp(-2.0 * s_sq) * np.exp(2j * np.pi * sphere.hkl @ atoms.T).sum(axis=1)
    np.testing.assert_allclose(every, direct, atol=1e-9)
    made = density(sphere, cell, f)
    space = float(volume(cell))
    assert made.grid.mean() * space == pytest.approx(len(atoms), rel=1e-9)
    # Parseval's theorem
    assert np.mean(made.grid**2) == pytest.approx(np.sum(np.abs(every) ** 2) / space**2, rel=1e-9)
    points = np.random.default_rng(0).random((5, 3))
    turned = (group.rotations @ points[:, None, :, None])[..., 0] + group.translations
    np.testing.assert_allclose(
        made.at(turned.reshape(-1, 3)).reshape(5, -1), np.tile(made.at(points), (group.order, 1)).T, atol=1e-9
    )
    shape = np.array(made.grid.shape)
    np.testing.assert_allclose(
        made.at(np.array([[1, 2, 3], [4, 0, 5]]) / shape), made.grid[[1, 4], [2, 0], [3, 5]], atol=1e-9
    )


def test_a_difference_map_has_its_highest_maximum_where_an_atom_was_taken_away():
    crystal = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(crystal, MO_KA1, noise=0.0, overlap=0.0, d_min=0.8)
    nothing = jn.solve.difference_map(crystal, areas)
    assert (
        nothing.scale == pytest.approx(1.0, rel=1e-9)
        and nothing.r_factor < 1e-6
        and np.abs(nothing.density.grid).max() < 1e-4
    )
    for gone in (1, 2, 4):
        site = crystal.sites()[gone]
        height = at_rest(ANGLESITE["species"][gone], 0.8)
        for missing in (None, {ANGLESITE["species"][gone]: site.multiplicity}):
            found = jn.solve.difference_map(without(ANGLESITE, gone), areas, missing=missing)
            peak = found.peaks[0]
            assert distance(crystal, peak.xyz, ANGLESITE["xyz"][gone]) < 0.02
            assert peak.multiplicity == site.multiplicity and peak.height > 2.5 * found.peaks[1].height
            assert peak.height == pytest.approx(height, rel=0.16)
    # where reflections overlap, their areas are shared out as the rest of the structure has it
    shared = jn.solve.simulated_intensities(crystal, MO_KA1, noise=0.0, overlap=0.06, d_min=0.8)
    assert len(shared) < 0.9 * len(areas)
    assert (
        distance(crystal, jn.solve.difference_map(without(ANGLESITE, 1), shared).peaks[0].xyz, ANGLESITE["xyz"][1])
        < 0.06
    )
    # sulfur and its oxygen
    assert jn.solve.difference_map(without(ANGLESITE, 2), areas).peaks[0].distance == pytest.approx(1.46, abs=0.1)
    assert "Å to S" in str(jn.solve.difference_map(without(ANGLESITE, 2), areas))


def test_the_mean_intensity_of_atoms_at_unknown_places_is_that_of_atoms_at_random_ones():
    crystal = jn.Crystal.create(**QUARTZ)
    areas = jn.solve.simulated_intensities(crystal, noise=0.0, d_min=1.2)
    positions = wyckoff_positions(crystal.group)
    problem = make_problem(areas, positions, ("Si", "O"), np.float64)
    line, general = next(p.number for p in positions.every if p.dof == 1), len(positions) - 1
    rng = np.random.default_rng(0)
    model, dof, _ = problem.model(((line,), (general,)))
    bare, of_silicon, _ = problem.model(((line,), ()), np.array([3.0, 6.0]))
    silicon = rng.uniform(0.0, 4.9, of_silicon)
    others = rng.uniform(0.0, 30.0, (400, dof - of_silicon))
    one = lambda u: intensities(problem.measured, model, u, False)[0]
    made = jax.vmap(one)(np.column_stack([np.tile(silicon, (400, 1)), others, np.zeros(400)]))
    total = np.asarray(made).mean(axis=0)
    expected = np.asarray(intensities(problem.measured, bare, np.append(silicon, 0.0), False)[0])
    n = len(areas.hkl)
    ratio = total[:n].sum() / expected[:n].sum()
    assert ratio == pytest.approx(1.0, abs=0.04)
    # reflections that axes leave as they are are stronger in the mean
    axial = epsilon_factors(crystal.group, areas.hkl).epsilon > 1
    assert axial.any() and total[:n][axial].sum() / expected[:n][axial].sum() == pytest.approx(1.0, abs=0.15)


def test_places_are_on_the_positions_of_the_sites_and_sites_are_read_back():
    crystal = jn.Crystal.create(**ANGLESITE)
    positions = wyckoff_positions(crystal.group)
    places = Places(positions, np.asarray(crystal.cell, dtype=float))
    for xyz, site in zip(ANGLESITE["xyz"], crystal.sites(), strict=True):
        moved = np.add(xyz, [0.0, 0.02, 0.0])
        place = places.near(moved, 0.2)[0]
        assert positions[place.number].multiplicity == site.multiplicity
        assert min(distance(crystal, atom, xyz) for atom in places.atoms(place.number, place.u)) < (
            0.01 if place.distance else 0.2
        )
        if site.multiplicity == 4:
            assert place.distance == pytest.approx(0.02 * 5.397)


def test_the_heaviest_elements_are_those_that_scatter_most():
    assert heaviest(("Pb", "S", "O"), {"Pb": 4, "S": 4, "O": 16}) == 1
    assert heaviest(("Si", "O"), {"Si": 3, "O": 6}) == 1
    assert heaviest(("Fe", "S", "O"), {"Fe": 1, "S": 8, "O": 4}) == 2
    # oxygen scatters most, and it is the lightest
    assert heaviest(("Si", "O"), {"Si": 1, "O": 9}) == 0


def test_a_seedling_gives_back_the_numbers_that_it_was_made_of():
    crystal = jn.Crystal.create(**ANGLESITE)
    problem = make_problem(
        jn.solve.simulated_intensities(crystal, d_min=2.0), wyckoff_positions(crystal.group), ("Pb", "O")
    )
    plane, general = next(p.number for p in problem.positions.every if p.dof == 2), len(problem.positions) - 1
    u = np.arange(1.0, 9.0)
    one = Seedling.of(((plane,), (plane, general)), u, problem)
    one.sites[1].reverse()
    assert one.assignment() == ((plane,), (plane, general)) and one.numbers().tolist() == u.tolist()


def test_anglesite_is_found_by_its_lead_first():
    crystal = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(crystal, d_min=1.3, seed=1)
    contents = {"Pb": 4, "S": 4, "O": 16}
    assignments = Assignments(areas.group, areas.cell, contents)
    search = Search(make_problem(areas, assignments.positions, assignments.elements), assignments, seed=1)
    # room for whole structures, so that one program serves all
    search.workshop.ready(list(islice(assignments, 8)))
    assert not search.pool
    assert heavy_first(search, contents, 5.0)
    # only complete structures take part
    assert all(assignments.contents(one.assignment) == contents for one in search.pool)
    assert search.chains[0].r < 0.07


def test_anglesite_is_completed_from_its_lead():
    crystal = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(crystal, d_min=1.3, seed=1)
    lead = without(ANGLESITE, 1, 2, 3, 4)
    found = jn.solve.complete(lead, areas, {"Pb": 4, "S": 4, "O": 16}, seed=1, seconds=2.0)
    true = atoms_of(crystal)
    assert found.solved, found.reason
    assert displacement(atoms_of(found.best.crystal), true) < 0.05 * true.spacing
    with pytest.raises(jn.errors.ParameterError, match="expected contents with more atoms"):
        jn.solve.complete(lead, areas, {"Pb": 4})
    with pytest.raises(jn.errors.ParameterError, match="has Pb"):
        jn.solve.complete(lead, areas, {"S": 4, "O": 16})
    with pytest.raises(jn.errors.ConventionError, match="give both the same"):
        jn.solve.difference_map(jn.Crystal.create(**QUARTZ), areas)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"cell": [9.4, 6.0, 7.7, 90, 90, 90]}, {}, "cell of the structure is 9.4 6 7.7"),
        ({}, {"missing": {"O": -4}}, "expected numbers of atoms"),
        ({}, {"missing": {"O": float("inf")}}, "missing"),
        ({}, {"step": 0.0}, "step is 0"),
        ({}, {"step": 1e-4}, "expected 0.02 or more"),
    ],
)
def test_a_map_of_what_does_not_belong_together_is_refused(change, options, said):
    areas = jn.solve.simulated_intensities(jn.Crystal.create(**ANGLESITE), d_min=2.5)
    with pytest.raises(jn.errors.JaxnmrError, match=said):
        jn.solve.difference_map(without(ANGLESITE | change, 1, 2, 3, 4), areas, **options)


def test_areas_that_are_no_numbers_and_contents_of_many_cells_are_refused():
    whole = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(whole, d_min=1.5)
    broken = replace(areas, area=np.where(np.arange(len(areas)) == 3, np.nan, areas.area))
    for look in (jn.solve.difference_map, jn.solve.texture_of, jn.solve.electron_counts):
        with pytest.raises(jn.errors.DataError, match="finite"):
            look(whole, broken)
    with pytest.raises(jn.errors.ParameterError, match="no more than 400"):
        jn.solve.complete(without(ANGLESITE, 2), areas, {"Pb": 4, "S": 4, "O": 4000})
    # hydrogen is left out, so that nothing is missing
    with pytest.raises(jn.errors.ParameterError, match="with more atoms"):
        jn.solve.complete(whole, areas, {"Pb": 4, "S": 4, "O": 16, "H": 8})


def test_an_atom_that_the_formula_lacks_is_missed_in_the_refined_structure():
    whole = jn.Crystal.create(**ANGLESITE)
    areas = jn.solve.simulated_intensities(whole, d_min=1.1)
    searched = SimpleNamespace(texture=None)
    (note,) = missing_notes(without(ANGLESITE, 3), areas, searched)
    assert "Å from S1: an atom may be missing (4 in the cell)" in note
    assert missing_notes(whole, areas, searched) == ()
