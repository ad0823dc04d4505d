"""Restraints and priors: what they measure, how they are built, how they are refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import monoclinic, rutile, trigonal, values_of

import jaxnmr as jn
from jaxnmr.crystal import distances, plan_bonds
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.objective.objective import residuals_and_jacobian


def residual_of(term, crystal, change=lambda p: p):
    objective = jn.Objective(term, crystal=crystal)
    return np.asarray(objective.residuals(change(objective.parameters())))


def test_a_bond_restraint_is_the_distance_in_standard_uncertainties():
    crystal = rutile()
    # O at (u, u, 0): the distance to Ti at the origin is u a sqrt(2)
    restraint = jn.Restraint.bond(crystal, ("Ti1", "O1"), 1.95, 0.01)
    shortest = min(0.305 * 4.594 * np.sqrt(2), np.hypot((0.5 - 0.305) * 4.594 * np.sqrt(2), 2.959 / 2))
    assert residual_of(restraint, crystal)[0] == pytest.approx((shortest - 1.95) / 0.01)


def test_a_symmetry_code_picks_the_image():
    crystal = monoclinic()
    near = jn.Restraint.bond(crystal, ("S1", "O1"), 2.0, 1.0)
    far = jn.Restraint.bond(crystal, ("S1", "O1 1_655"), 2.0, 1.0)
    assert residual_of(far, crystal)[0] > residual_of(near, crystal)[0] + 1.0


def test_an_angle_restraint_is_in_degrees():
    crystal = jn.Crystal.create(
        cell=(10, 10, 10, 90, 90, 90), spacegroup="P 1", species=["O", "H", "H"], labels=["O1", "H1", "H2"],
        xyz=[[0.5, 0.5, 0.5], [0.6, 0.5, 0.5], [0.5, 0.6, 0.5]],
    )  # fmt: skip
    restraint = jn.Restraint.angle(crystal, ("H1", "O1", "H2"), 104.5, 2.0)
    assert residual_of(restraint, crystal)[0] == pytest.approx((90 - 104.5) / 2.0)


def test_all_bonds_are_held_near_their_present_lengths_each_once():
    crystal = rutile()
    restraint = jn.Restraint.bonds(crystal, sigma=0.02)
    assert len(restraint.atoms) == len(plan_bonds(crystal).distinct())
    np.testing.assert_allclose(residual_of(restraint, crystal), 0.0, atol=1e-9)
    stretched = residual_of(restraint, crystal, lambda p: p.set("cell[c]", 3.1))
    assert np.abs(stretched).max() > 1.0


def test_bonds_of_chosen_elements_get_their_expected_length():
    crystal = trigonal()
    restraint = jn.Restraint.bonds(crystal, sigma=0.1, target={("O", "La"): 2.4}, cutoffs={("La", "O"): 3.9})
    lengths = np.asarray(distances(crystal, restraint.atoms))
    np.testing.assert_allclose(residual_of(restraint, crystal), (lengths - 2.4) / 0.1)
    with pytest.raises(ParameterError, match="no bonds to restrain between"):
        jn.Restraint.bonds(crystal, target={("Si", "O"): 1.61})


def test_a_restraint_belongs_to_its_phase():
    phases = {"one": monoclinic(), "two": monoclinic()}
    restraint = jn.Restraint.bond(monoclinic(), ("S1", "O1"), 2.0, 0.1, phase="two")
    objective = jn.Objective(restraint, crystal=phases)
    start = objective.parameters()
    before = objective.residuals(start)
    assert objective.residuals(start.set("one/cell[a]", 6.0)) == before
    assert objective.residuals(start.set("two/cell[a]", 6.0)) != before
    with pytest.raises(ParameterError, match=r"is about 'mono'; the phases are \['one', 'two'\]"):
        jn.Objective(jn.Restraint.bond(monoclinic(), ("S1", "O1"), 2.0, 0.1), crystal=phases).residuals(start)


@pytest.mark.parametrize("sigma", [0.0, -0.1, np.nan, np.inf])
def test_a_standard_uncertainty_must_be_positive(sigma):
    with pytest.raises((ParameterError, ConventionError), match=r"expected a (positive|finite) number"):
        jn.Restraint.bond(rutile(), ("Ti1", "O1"), 1.95, sigma)
    with pytest.raises((ParameterError, ConventionError), match=r"expected a (positive|finite) number"):
        jn.Prior("u_iso", 0.01, sigma)
    with pytest.raises(ParameterError, match="expected a positive number"):
        jn.term("own", sigma=sigma)


def test_a_restraint_needs_the_right_number_of_labels():
    with pytest.raises(ParameterError, match="atoms is the text 'TiO'; expected a list of text"):
        jn.Restraint.bond(rutile(), "TiO", 1.95, 0.01)
    with pytest.raises(ParameterError, match="expected 3 site labels"):
        jn.Restraint.angle(rutile(), ("Ti1", "O1"), 90, 1.0)


# -- priors ------------------------------------------------------------------------------------------------------------
def test_a_prior_reads_the_values_it_names():
    crystal = monoclinic()
    change = lambda p: p.set("u_iso[N1]", 0.025).set("u_iso[O1]", 0.02)
    np.testing.assert_allclose(residual_of(jn.Prior("u_iso[N1]", 0.01, 0.005), crystal, change), [3.0])
    # S1 is anisotropic: it has no u_iso to expect anything of
    np.testing.assert_allclose(residual_of(jn.Prior("u_iso", 0.01, 0.005), crystal, change), [2.0, 3.0])
    np.testing.assert_allclose(residual_of(jn.Prior("cell[b]", 6.0, 0.1), crystal), [8.3])


def test_a_prior_gives_the_solver_what_it_gives_the_reader():
    """Compiled code hands dictionaries over in another order than they were made in."""
    crystal = monoclinic()
    objective = jn.Objective(jn.Prior("u_iso[N1]", 0.01, 0.005) + jn.Prior("*[O1.x]", 0.4, 0.1), crystal=crystal)
    params = objective.parameters().set("u_iso[N1]", 0.03).free("u_iso[N1]", "xyz[O1.x]")
    r, jacobian = residuals_and_jacobian(
        params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)
    )
    np.testing.assert_allclose(r, [4.0, 0.3], atol=1e-12)
    np.testing.assert_allclose(r, objective.residuals_at(objective.state(values_of(params))), atol=1e-12)
    # per typical change: 0.01 of both
    np.testing.assert_allclose(
        np.asarray(jacobian)[np.ix_([0, 1], _columns(params))], [[2.0, 0.0], [0.0, 0.1]], atol=1e-12
    )


def _columns(params):
    return [params.free_names.index(n) for n in ("u_iso[N1]", "xyz[O1.x]")]


def test_a_prior_on_what_symmetry_fixes_is_refused():
    with pytest.raises(ParameterError, match="symmetry fixes everything"):
        jn.Objective(jn.Prior("xyz[Ti1]", 0.0, 0.1), crystal=rutile())
    with pytest.raises(ParameterError, match="did you mean"):
        jn.Objective(jn.Prior("uiso", 0.0, 0.1), crystal=rutile())
