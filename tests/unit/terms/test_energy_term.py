"""The energy as knowledge of places: model energies whose minimum and force constants are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._struct import bare
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.objective.objective import residuals_and_jacobian

jn.enable_x64()
ERROR = 0.004
REST = np.array([[0.1, 0.12, 0.2], [0.43, 0.51, 0.47], [0.8, 0.31, 0.7]])


def crystal_at(xyz, spacegroup="P -1", cell=(5.0, 6.0, 7.0, 90.0, 90.0, 90.0)):
    return jn.Crystal.create(cell=cell, spacegroup=spacegroup, species=["Si", "O", "O"], xyz=xyz, name="toy")


def springs(seed=0, least=1.0):
    """Force constants between coordinates in Å, eV/Å², with eigenvalues from ``least`` on."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    return (turn * np.linspace(least, 20.0, 9)) @ turn.T


def harmonic(matrix, images=2.0):
    """Energy of a cell in which every atom has so many images."""

    @jn.source("energy")
    def energy(crystal):
        moved = ((crystal.xyz - REST) @ crystal.lattice()).ravel()
        return images * moved @ jnp.asarray(matrix) @ moved / 2.0 - 3.0

    return energy


def objective_of(term, crystal, source):
    objective = jn.Objective(term, crystal=crystal, models=source)
    return objective, objective.parameters().free("xyz")


def moved(size, seed=1):
    return REST + size * np.random.default_rng(seed).normal(size=(3, 3)) / 6.0


def test_chi2_is_twice_the_energy_per_image_above_the_minimum_over_its_error():
    crystal = crystal_at(moved(0.1))
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal, harmonic(springs()))
    state = objective.state(params.values)
    r = np.asarray(objective.residuals(params))
    assert r.shape == (9,)
    np.testing.assert_allclose(r @ r, (float(state.of("energy")) + 3.0) / ERROR, rtol=1e-10)


def test_the_jacobian_is_that_of_the_residuals_where_the_energy_is_harmonic():
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal_at(moved(0.1)), harmonic(springs()))
    bound = objective.bind(params)
    theta = jnp.asarray(params.theta)
    at = lambda t: bound.residuals_at(
        bound.structures(params.spec.layout.unflatten(params.offset() + params.spec.transform @ t))
    )
    ours = residuals_and_jacobian(params.spec.layout, bound, params.offset(), params.spec.transform, theta)[1]
    np.testing.assert_allclose(ours, jax.jacfwd(at)(theta), rtol=1e-8, atol=1e-8)


def test_energy_alone_finds_the_minimum_and_knows_places_as_well_as_force_constants_say():
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal_at(moved(0.1)), harmonic(springs()))
    fit = jn.refine(objective, params)
    np.testing.assert_allclose(fit.crystal.xyz, REST, atol=1e-9)
    expected = ERROR * np.linalg.inv(springs())
    lattice = np.kron(np.eye(3), np.asarray(fit.crystal.lattice()).T)
    places = params.spec.layout.unflatten(np.arange(len(params.labels)))["xyz"].ravel()
    in_angstrom = lattice @ np.asarray(fit.covariance)[np.ix_(places, places)] @ lattice.T
    np.testing.assert_allclose(in_angstrom, expected, rtol=1e-6, atol=1e-9)


def test_images_do_not_make_a_place_better_known():
    # four atoms of the cell move at once, and their energy is four times that of one
    crystal = crystal_at(moved(0.05), "P 21 21 21")
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal, harmonic(springs(), images=4.0))
    r = np.asarray(objective.residuals(params))
    energy = float(objective.state(params.values).of("energy")) + 3.0
    np.testing.assert_allclose(r @ r, 2.0 * energy / (4.0 * ERROR), rtol=1e-10)


def test_an_element_that_the_model_knows_badly_is_held_less():
    # separate springs of 5 eV/Å² for every atom
    source = harmonic(5.0 * np.eye(9))
    objective, params = objective_of(
        jn.EnergyTerm(error_ev={"": ERROR, "O": 9 * ERROR}), crystal_at(moved(0.02)), source
    )
    fit = jn.refine(objective, params)
    esd = np.asarray(fit.esds["xyz"]) @ np.diag([5.0, 6.0, 7.0])
    np.testing.assert_allclose(esd[0], np.sqrt(ERROR / 5.0), rtol=1e-6)
    np.testing.assert_allclose(esd[1:], 3.0 * np.sqrt(ERROR / 5.0), rtol=1e-6)


def test_thermal_motion_keeps_stiff_bonds_from_being_known_too_well():
    spread = 0.01
    term = jn.EnergyTerm(error_ev=ERROR, displacement=spread)
    objective, params = objective_of(term, crystal_at(moved(0.02)), harmonic(springs()))
    fit = jn.refine(objective, params)
    lattice = np.kron(np.eye(3), np.asarray(fit.crystal.lattice()).T)
    places = params.spec.layout.unflatten(np.arange(len(params.labels)))["xyz"].ravel()
    in_angstrom = lattice @ np.asarray(fit.covariance)[np.ix_(places, places)] @ lattice.T
    expected = ERROR * np.linalg.inv(springs()) + spread**2 * np.eye(9)
    np.testing.assert_allclose(in_angstrom, expected, rtol=1e-6, atol=1e-9)


def test_a_direction_without_a_force_constant_is_left_to_the_data_and_named():
    matrix = springs()
    values, vectors = np.linalg.eigh(matrix)
    flat = (vectors * np.where(np.arange(9) == 0, 1e-3, values)) @ vectors.T
    prior = jn.Prior("xyz", 0.5, 0.1)
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR) + prior, crystal_at(moved(0.02)), harmonic(flat))
    energy = objective.terms[0]
    assert np.count_nonzero(np.any(energy.changes_to_residuals, axis=1)) == 8
    (sentence,) = energy.warnings(objective.host_state(params))
    assert "does not hold 1 of 9" in sentence


def test_without_a_minimum_anywhere_near_is_an_error_that_says_what_to_do():
    matrix = springs() - 8.0 * np.eye(9)
    with pytest.raises(ConventionError, match=r"no minimum of 'energy' near toy.*jaxnmr relax"):
        objective_of(jn.EnergyTerm(error_ev=ERROR), crystal_at(moved(0.02)), harmonic(matrix))


def test_a_structure_at_odds_with_the_energy_is_said_to_be():
    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal_at(moved(0.4)), harmonic(springs()))
    (sentence,) = objective.warnings(params)
    assert "at odds" in sentence
    rows = objective.terms[0].evidence(objective.host_state(params)).rows
    far = np.linalg.norm((moved(0.4) - REST) @ np.diag([5.0, 6.0, 7.0]), axis=1)
    np.testing.assert_allclose([-row.difference for row in rows], far, rtol=1e-8)


def test_the_minimum_of_an_anharmonic_energy_is_found():
    @jn.source("energy")
    def energy(crystal):
        moved = (crystal.xyz - REST) @ crystal.lattice()
        return 2.0 * jnp.sum(2.0 * moved**2 + 6.0 * moved**3 + 20.0 * moved**4)

    objective, params = objective_of(jn.EnergyTerm(error_ev=ERROR), crystal_at(REST + 0.03), energy)
    fit = jn.refine(objective, params)
    assert fit.converged
    np.testing.assert_allclose(fit.crystal.xyz, REST, atol=1e-7)


@pytest.mark.parametrize("error", [0.0, -1.0, "small", {"O": 0.1}])
def test_an_error_that_is_none_is_refused(error):
    with pytest.raises(ParameterError, match="error_ev"):
        jn.EnergyTerm(error_ev=error)


def test_an_occupancy_or_an_element_that_no_energy_can_be_of_is_refused():
    crystal, source = crystal_at(moved(0.1)), harmonic(springs())
    objective = jn.Objective(jn.EnergyTerm(error_ev=ERROR), crystal=crystal, models=source)
    with pytest.raises(ParameterError, match="occupancy of toy is refined"):
        objective.bind(objective.parameters().free("xyz", "occupancy[O1]"))
    with pytest.raises(ConventionError, match="no element"):
        jn.EnergyTerm(error_ev={"Xx": 0.1, "others": 0.2})
    with pytest.raises(ParameterError, match="names Al, which toy does not contain"):
        objective_of(jn.EnergyTerm(error_ev={"Al": 0.1, "others": 0.2}), crystal, source)


def test_an_energy_beside_fixed_atoms_is_said_to_do_nothing():
    term = jn.EnergyTerm(error_ev=ERROR) + jn.Prior("u_iso", 0.02, 0.01)
    objective = jn.Objective(term, crystal=crystal_at(moved(0.4)), models=harmonic(springs()))
    (sentence,) = objective.bind(objective.parameters().free("u_iso")).warnings(objective.parameters())
    assert "does nothing" in sentence


def test_a_source_that_does_not_know_its_error_asks_for_one():
    with pytest.raises(ParameterError, match="give error_ev"):
        objective_of(jn.EnergyTerm(), crystal_at(moved(0.1)), harmonic(springs()))


def test_other_errors_need_no_other_program():
    source, crystal = harmonic(springs()), crystal_at(moved(0.1))
    terms = [jn.EnergyTerm(error_ev=ERROR), jn.EnergyTerm(error_ev={"Si": 0.001, "": 0.002}, displacement=0.02)]
    bound = [objective.bind(params) for objective, params in (objective_of(term, crystal, source) for term in terms)]
    first, second = (jax.tree.structure(bare(objective)) for objective in bound)
    assert first == second
    sizes = [np.abs(objective.terms[0].changes_to_residuals).max() for objective in bound]
    assert sizes[1] != pytest.approx(sizes[0], rel=0.1)
