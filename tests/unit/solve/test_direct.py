"""Structures from integrated intensities: the kernel against the structure factors of refinements, and whole solutions."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from solved_crystals import ANGLESITE, QUARTZ

import jaxnmr as jn
from jaxnmr.crystal import cell_from_metric, lattice
from jaxnmr.crystal.cell import reciprocal_metric
from jaxnmr.diffraction.structure_factors import StructureFactors
from jaxnmr.errors import ConventionError, DataError, ParameterError, SymmetryError
from jaxnmr.solve.direct import directions
from jaxnmr.solve.direct.candidates import Workshop
from jaxnmr.solve.direct.equivalence import atoms_of, displacement, same_structure, worst_overlap
from jaxnmr.solve.direct.kernel import intensities, misfit, overlaps
from jaxnmr.solve.direct.problem import EXPECTED_B, make_problem, padded
from jaxnmr.solve.direct.scan import Scan
from jaxnmr.solve.direct.solutions import judged
from jaxnmr.solve.direct.wyckoff import wyckoff_positions

CORUNDUM = dict(
    cell=[4.7602, 4.7602, 12.9933, 90, 90, 120], spacegroup="R -3 c:H", species=["Al", "O"], xyz=[[0, 0, 0.3522], [0.3063, 0, 0.25]],
    b_iso=0.6,
)  # fmt: skip


def posed(crystal, dtype=np.float64, d_min=1.1):
    """A problem without noise and the true assignment of a crystal with one site per element."""
    areas = jn.solve.simulated_intensities(crystal, d_min=d_min, noise=0.0)
    positions = wyckoff_positions(crystal.group)
    return make_problem(areas, positions, tuple(dict.fromkeys(crystal.species)), dtype)


@pytest.mark.parametrize("given", [QUARTZ, CORUNDUM], ids=["without centre, screw axes", "centred lattice"])
def test_intensities_and_their_derivatives_are_those_of_the_structure_factors_of_refinements(given):
    crystal = jn.Crystal.create(**given)
    problem = posed(crystal)
    numbers = []
    for site in crystal.sites():
        free = site.xyz_basis().shape[1]
        numbers.append(
            next(p.number for p in problem.positions.every if (p.multiplicity, p.dof) == (site.multiplicity, free))
        )
    assignment = tuple((k,) for k in numbers)
    model, dof, _ = problem.model(assignment)
    room = padded(model, 16, 4, 8, np.float64)
    u = np.zeros(9)
    u[:dof] = np.random.default_rng(0).uniform(0.2, 2.0, dof)
    u[-1] = 0.4
    value, slope = jax.jit(intensities, static_argnums=3)(problem.measured, room, u, problem.centric)

    areas = problem.intensities
    d_star_sq = np.einsum("ni,ij,nj->n", areas.hkl, reciprocal_metric(areas.cell), areas.hkl)
    plan = StructureFactors.plan(crystal, areas.hkl, "xray", areas.instrument.wavelengths[0])

    def squared(u):
        x = (model.matrix @ jax.numpy.concatenate([u[:dof], u[-1:]]) + model.offset)[model.first]
        return plan.squared(
            crystal.replace(xyz=x, u_iso=jax.numpy.full(2, (EXPECTED_B + u[-1]) / (8 * np.pi**2))), d_star_sq
        )

    expected = squared(u) * areas.weight
    derivative = jax.jacfwd(squared)(u) * areas.weight[:, None]
    n, factor = len(expected), float(value[0] / expected[0])
    assert np.abs(value[:n] - factor * expected).max() < 1e-6 * factor * float(expected.max())
    assert np.abs(slope[:n] - factor * derivative).max() < 1e-6 * factor * float(np.abs(derivative).max())
    assert np.abs(slope[:n]).max() > 0 and not value[n:].any()


def test_slopes_of_misfit_and_overlaps_are_their_derivatives():
    crystal = jn.Crystal.create(**ANGLESITE)
    problem = posed(crystal, d_min=2.0)
    plane = next(p.number for p in problem.positions.every if p.dof == 2)
    general = len(problem.positions) - 1
    model, dof, _ = problem.model(((plane,), (plane,), (plane, plane, general)))
    room = padded(model, 16, 8, 20, np.float64)
    u = np.zeros(21)
    u[:dof] = np.random.default_rng(3).uniform(0.0, 5.0, dof)

    @jax.jit
    def both(measured, room, u):
        residual = lambda u: misfit(measured, room, u, True)[0]
        gap = lambda u: overlaps(measured, room, u)[0]
        given = misfit(measured, room, u, True), overlaps(measured, room, u)
        return *given, jax.jacfwd(residual)(u), jax.jacfwd(gap)(u)

    (residual, slope, _), (gap, by_gap), numeric, exact = both(problem.measured, room, u)
    # the scale follows: of its own derivative only the part that counts in the cost is taken
    assert np.abs(residual @ slope - residual @ numeric).max() < 0.02 * np.abs(residual @ numeric).max()
    assert gap.max() > 0.3
    np.testing.assert_allclose(by_gap, exact, atol=1e-5 * np.abs(exact).max())


def test_a_site_is_put_where_the_areas_want_it_when_the_others_are_right():
    crystal = jn.Crystal.create(**ANGLESITE)
    problem = posed(crystal, np.float32, d_min=1.3)
    plane = next(p.number for p in problem.positions.every if p.dof == 2)
    candidate = Workshop(problem).ready([((plane,), (plane,), (plane, plane, len(problem.positions) - 1))])[0]
    # coordinates are x and z in Å in the plane y = 1/4, all three in general
    shift = problem.positions[plane].shifts[0]
    assert shift[[0, 2]].tolist() == [0.0, 0.0] and shift[1] == 0.25
    cell = np.array(ANGLESITE["cell"][:3])
    true = [np.array(x) * cell for x in ANGLESITE["xyz"]]
    u = np.concatenate([*(x[[0, 2]] for x in true[:4]), true[4], [0.0]])
    scan = Scan(problem, np.random.default_rng(0))
    places = np.array([scan.place(candidate, u, 2) for _ in range(20)])
    off = places - true[2][[0, 2]]
    off -= np.round(off / cell[[0, 2]]) * cell[[0, 2]]
    # by chance a fiftieth of all places is that near
    assert (np.linalg.norm(off, axis=1) < 0.6).sum() >= 4


def test_quartz_and_anglesite_are_solved_from_formula_cell_and_group():
    for given, composition, units in ((QUARTZ, "SiO2", 3), (ANGLESITE, "PbSO4", 4)):
        crystal = jn.Crystal.create(**given)
        seen = []
        found = jn.solve.structure(
            jn.solve.simulated_intensities(crystal, d_min=1.3, seed=1), composition, seed=1, progress=seen.append
        )
        assert found.solved, found.reason
        true = atoms_of(crystal)
        assert displacement(atoms_of(found.best.crystal), true) < 0.05 * true.spacing
        assert found.best.r_factor < 0.06 and len(found) > 1
        assert found.contents["O"] == (2 if composition == "SiO2" else 4) * units
        assert found.best.undetermined == ()
        assert seen[-1].r_factor == pytest.approx(min(found.history)) and seen[-1].seconds_left < 100.0
        assert all(later.r_factor >= found.best.r_factor for later in found.solutions)
        assert re.search(r"solved: R is 0\.0", str(found))


def test_what_cannot_be_right_is_not_called_solved():
    crystal = jn.Crystal.create(**QUARTZ)
    areas = jn.solve.simulated_intensities(crystal, d_min=1.3)
    # no assignment reproduces areas in turned order
    turned = replace(areas, area=areas.area[::-1].copy())
    found = jn.solve.structure(turned, "SiO2", seconds=2.0)
    assert not found.solved and found.best.r_factor > 0.15 and "R is" in found.reason


def test_an_interruption_returns_what_was_found():
    def stop(progress):
        raise KeyboardInterrupt

    areas = jn.solve.simulated_intensities(jn.Crystal.create(**QUARTZ), d_min=1.3)
    found = jn.solve.structure(areas, "SiO2", progress=stop)
    assert found.interrupted and len(found.history) == 1 and found.best.r_factor < 1.0


def test_a_verdict_needs_a_good_fit_enough_areas_atoms_apart_and_no_rival():
    fine = [(0.05, 10, 0.0), (0.2, 10, 0.0)]
    assert judged(fine, 100, 0.01, False, False)[0] == ""
    assert "R is" in judged([(0.25, 10, 0.0)], 100, 0.01, False, False)[1]
    assert "too few" in judged(fine, 14, 0.01, False, False)[1]
    # a single area is met by whatever has no coordinates
    assert "too few" in judged([(0.0, 0, 0.0)], 3, 0.01, False, False)[1]
    assert "too close" in judged([(0.05, 10, 0.9)], 100, 0.01, False, False)[1]
    assert "another one" in judged([(0.05, 10, 0.0), (0.055, 10, 0.0)], 100, 0.01, False, False)[1]
    # with more coordinates anything fits, and atoms on top of each other are no structure
    assert judged([(0.05, 10, 0.0), (0.055, 14, 0.0), (0.055, 10, 1.2)], 100, 0.01, False, False)[0] == ""
    assert "another one" in judged([(0.13, 10, 0.0), (0.18, 10, 0.0)], 100, 0.01, False, False)[1]
    assert "only" in judged(fine, 100, 0.06, False, False)[1]
    assert "open" in judged(fine, 100, 0.01, True, False)[1]


def test_an_atom_where_a_higher_symmetry_has_it_is_determined_although_areas_do_not_change_in_first_order(monkeypatch):
    crystal = jn.Crystal.create(
        cell=[4.12, 4.2, 4.3, 90, 90, 90], spacegroup="P 1", species=["Cs", "Cl"], xyz=[[0, 0, 0], [0.5] * 3], b_iso=0.7
    )
    problem = make_problem(
        jn.solve.simulated_intensities(crystal, noise=0.02), wyckoff_positions(crystal.group), ("Cs", "Cl")
    )
    candidate = Workshop(problem).ready([((0,), (0,))])[0]
    u = np.array([0.0, 0.0, 0.0, 2.06, 2.1, 2.15, 0.0])
    precision, words = directions.determined(problem, candidate, u)
    assert words == () and 0.01 < precision < 0.3
    monkeypatch.setattr(directions, "_SOFT", np.inf)
    assert directions.determined(problem, candidate, u)[1] != ()


def test_the_same_structure_is_known_from_another_origin_hand_and_choice_of_axes():
    crystal = jn.Crystal.create(**ANGLESITE)
    other = jn.Crystal.create(**{**ANGLESITE, "xyz": [[0.5 - x, y + 0.5, z + 0.5] for x, y, z in ANGLESITE["xyz"]]})
    assert displacement(atoms_of(crystal), atoms_of(other)) < 1e-6
    left = jn.Crystal.create(**{**QUARTZ, "spacegroup": "P 31 2 1", "xyz": [[-x, -y, -z] for x, y, z in QUARTZ["xyz"]]})
    assert displacement(atoms_of(jn.Crystal.create(**QUARTZ)), atoms_of(left)) < 1e-6
    # a shift of one oxygen by 0.1 Å: 4 of 24 atoms
    moved = np.array(ANGLESITE["xyz"])
    moved[2, 0] += 0.1 / 8.478
    shifted = atoms_of(jn.Crystal.create(**{**ANGLESITE, "xyz": moved}))
    assert displacement(atoms_of(crystal), shifted) == pytest.approx(0.1 * np.sqrt(4 / 24), rel=0.02)
    assert same_structure(atoms_of(crystal), shifted)
    swapped = jn.Crystal.create(**{**ANGLESITE, "species": ["S", "Pb", "O", "O", "O"]})
    assert displacement(atoms_of(crystal), atoms_of(swapped)) is None


def test_overlap_sees_the_nearest_images_of_an_oblique_cell():
    cell = cell_from_metric(np.array([[9.0, 4.0, 0.0], [4.0, 9.0, 0.0], [0.0, 0.0, 25.0]]))
    crystal = jn.Crystal.create(cell=cell, spacegroup="P 1", species=["O", "O"], xyz=[[0, 0, 0], [0.5, 0.5, 0.0]])
    vectors = np.asarray(lattice(cell))
    nearest = min(np.linalg.norm(np.array([0.5 + i, 0.5 + j, 0]) @ vectors) for i in (-1, 0) for j in (-1, 0))
    assert worst_overlap(atoms_of(crystal), np.array([[2.1]])) == pytest.approx(2.1 - nearest)


def test_elements_that_have_room_one_by_one_but_not_together_are_refused():
    # a cubic double perovskite without its tetrahedral group: three kinds of four atoms, and two positions for them
    salt = jn.Crystal.create(
        cell=(8.2,) * 3 + (90,) * 3, spacegroup="F m -3 m", species=("Ba", "W"), xyz=((0, 0, 0), (0.5, 0.5, 0.5))
    )
    areas = jn.solve.simulated_intensities(salt, d_min=1.1)
    with pytest.raises(SymmetryError, match="F m -3 m has room for each of W, Eu, Ba, but not for all together"):
        jn.solve.structure(areas, {"Ba": 4, "Eu": 4, "W": 4}, contents={"Ba": 4, "Eu": 4, "W": 4}, seconds=5.0)


def test_wrong_arguments_are_named():
    areas = jn.solve.simulated_intensities(jn.Crystal.create(**QUARTZ))
    with pytest.raises(ParameterError, match="seconds is -1"):
        jn.solve.structure(areas, "SiO2", seconds=-1.0)
    with pytest.raises(ParameterError, match="expected an Intensities"):
        jn.solve.structure("areas", "SiO2")
    with pytest.raises(ParameterError, match="no more than 400"):
        jn.solve.structure(areas, "SiO2", contents={"Si": 3000, "O": 6000})
    with pytest.raises(ParameterError, match="seed is -1"):
        jn.solve.structure(areas, "SiO2", seed=-1)
    with pytest.raises(DataError, match="one area for each"):
        jn.solve.structure(replace(areas, area=areas.area[:3]), "SiO2")
    with pytest.raises(DataError, match="not finite"):
        jn.solve.structure(replace(areas, covariance=np.nan * areas.covariance), "SiO2")
    with pytest.raises(ConventionError, match="no wavelength"):
        jn.solve.simulated_intensities(jn.Crystal.create(**QUARTZ), jn.Instrument())
    with pytest.raises(ParameterError, match="expected an Extraction"):
        jn.solve.intensities_in(areas, areas.group)
    with pytest.raises(DataError, match="some above"):
        jn.solve.structure(replace(areas, area=-np.abs(areas.area)), "SiO2")
