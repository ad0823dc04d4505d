"""Energy models: predictions, ASE, and the energy as a quantity of the state."""

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

import jaxnmr as jn
from jaxnmr.energy import EnergyCalculator, EnergyModel, shipped_potentials
from jaxnmr.energy.prediction import GPA
from jaxnmr.errors import ConventionError, ParameterError

jn.enable_x64()
BKS = EnergyModel.load("bks")
QUARTZ = jn.Crystal.create(
    cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], name="quartz",
)  # fmt: skip


@pytest.fixture(scope="module")
def atoms():
    """Quartz in a turned cell without symmetry, atoms moved."""
    full = QUARTZ.expand()
    made = ase.Atoms(full.species, cell=np.asarray(full.lattice), scaled_positions=full.fractional, pbc=True)
    made.rattle(0.05, seed=1)
    made.rotate(33, (1, 2, 3), rotate_cell=True)
    made.calc = EnergyCalculator(BKS)
    return made


def test_ase_gets_the_derivatives_of_the_energy_in_its_own_axes(atoms):
    few = [0, 4]
    forces = calculate_numerical_forces(atoms, eps=1e-4, iatoms=few)
    np.testing.assert_allclose(atoms.get_forces()[few], forces, atol=1e-6)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-8)


def test_a_crystal_with_symmetry_has_the_energy_forces_and_stress_of_its_atoms():
    full = QUARTZ.expand()
    plain = ase.Atoms(full.species, cell=np.asarray(full.lattice), scaled_positions=full.fractional, pbc=True)
    plain.calc = EnergyCalculator(BKS)
    found = BKS.predict(QUARTZ)
    assert found.energy_ev == pytest.approx(plain.get_potential_energy(), abs=1e-9)
    assert found.energy_ev_atom == pytest.approx(found.energy_ev / 9)
    first = [list(full.site).index(k) for k in range(2)]
    # atoms of the cell are images of the sites by the first operation, the identity
    np.testing.assert_allclose(found.forces_ev_angstrom, plain.get_forces()[first], atol=1e-8)
    np.testing.assert_allclose(found.stress_gpa / GPA, plain.get_stress(voigt=False), atol=1e-10)


def test_atoms_that_move_little_keep_their_neighbours(atoms):
    moved = atoms.copy()
    moved.calc = EnergyCalculator(BKS)
    moved.get_potential_energy()
    before = moved.calc._known[1]
    moved.positions[0] += 0.02
    moved.get_potential_energy()
    assert moved.calc._known[1] is before
    moved.positions[0] += 0.3
    moved.get_potential_energy()
    assert moved.calc._known[1] is not before


def test_a_term_of_ones_own_reads_the_energy_and_is_differentiated():
    @jn.term("cohesion", sigma=0.5)
    def cohesion(state):
        return state.of("energy") + 174.0

    objective = jn.Objective(cohesion, crystal=QUARTZ, models=BKS)
    params = objective.parameters().free("xyz")
    (row,) = np.asarray(objective.jacobian(params))
    at = lambda xyz: float(BKS.predict(QUARTZ.replace(xyz=xyz)).energy_ev) / 0.5
    step = np.zeros((2, 3))
    step[1, 2] = 1e-5
    xyz = np.asarray(QUARTZ.xyz)
    slope = (at(xyz + step) - at(xyz - step)) / 2e-5
    assert row[params.free_names.index("xyz[O1.z]")] == pytest.approx(slope, rel=1e-6)


def test_the_term_takes_the_errors_that_the_model_states():
    model = BKS.with_errors({"": 0.01, "Si": 0.02}, displacement=0.02)
    term = jn.Objective(jn.EnergyTerm(), crystal=QUARTZ, models=model).terms[0]
    np.testing.assert_array_equal(term.error.energies, [0.02, 0.01])
    assert term.error.displacement == 0.02
    with pytest.raises(ParameterError, match="give error_ev"):
        jn.Objective(jn.EnergyTerm(), crystal=QUARTZ, models=BKS.replace(errors=()))


def test_energies_are_finite_and_differentiable_under_vmap():
    plan = BKS.plan(QUARTZ)
    shifts = jnp.asarray(np.random.default_rng(0).normal(scale=1e-3, size=(3, 2, 3)))
    each = jax.vmap(lambda d: BKS.energy(QUARTZ.replace(xyz=jnp.asarray(QUARTZ.xyz) + d), plan))(shifts)
    alone = [float(BKS.energy(QUARTZ.replace(xyz=QUARTZ.xyz + np.asarray(d)), plan)) for d in shifts]
    np.testing.assert_allclose(each, alone, rtol=1e-12)


@pytest.mark.parametrize("name", ["chgnet", "", "bks2"])
def test_an_unknown_model_lists_those_that_there_are(name):
    with pytest.raises(ConventionError, match=r"chgnet-r2scan, chgnet-0\.3\.0, bks, chik"):
        EnergyModel.load(name)
    assert "bks" in shipped_potentials()


def test_who_asks_one_kind_of_model_for_the_other_is_sent_there():
    with pytest.raises(ConventionError, match=r"silica-29si, are those of jn\.TensorModel\.load"):
        EnergyModel.load("silica-29si")
    with pytest.raises(ConventionError, match=r"chgnet-r2scan, are those of jn\.EnergyModel\.load"):
        jn.TensorModel.load("chgnet-r2scan")
    with pytest.raises(ParameterError, match=r"an EnergyModel; expected none.*models=model"):
        jn.EnergyTerm(BKS)


def test_a_cell_in_which_no_atoms_fit_is_questioned():
    half = QUARTZ.replace(cell=np.asarray(QUARTZ.cell) * [0.5, 0.5, 0.5, 1, 1, 1])
    with pytest.warns(
        UserWarning, match=r"Si1 and O1 of quartz are 0\.80 Å apart, 0\.45 of the sum .* \(2\.457, 2\.457, 2\.702 Å\)"
    ):
        BKS.predict(half)
    # uranyl has the shortest bonds for the size of its atoms, 1.76 Å
    uranyl = jn.Crystal.create(
        cell=[6.0] * 3 + [90] * 3, spacegroup="P m -3 m", species=["U", "O"], xyz=[[0, 0, 0], [1.76 / 6, 0, 0]]
    )
    assert jn.crystal.too_close(QUARTZ) == "" and jn.crystal.too_close(uranyl) == ""
    term = jn.EnergyTerm(error_ev=0.01)
    squeezed = QUARTZ.replace(cell=np.asarray(QUARTZ.cell) * [0.6, 0.6, 0.6, 1, 1, 1])
    objective = jn.Objective(term, crystal=squeezed, models=BKS)
    sentence = objective.warnings(objective.parameters().free("xyz"))[0]
    assert sentence.startswith("'energy': Si1 and O1 of quartz are 0.96 Å apart, 0.54 of the sum")
    with pytest.raises(ConventionError, match=r"no minimum of 'bks' near quartz.* 0\.50 of the sum"):
        jn.Objective(
            term, crystal=QUARTZ.replace(cell=np.asarray(QUARTZ.cell) * [0.55, 0.55, 0.55, 1, 1, 1]), models=BKS
        )


@pytest.mark.parametrize("errors", [0.0, -1, {"O": 0.1}, {"": float("inf")}])
def test_errors_that_are_none_are_refused(errors):
    with pytest.raises(ParameterError, match="positive energy"):
        BKS.with_errors(errors)


def test_molecules_without_a_cell_are_refused():
    water = ase.Atoms("OH2", positions=[(0, 0, 0), (0, 0.8, 0.6), (0, -0.8, 0.6)])
    water.calc = EnergyCalculator(BKS)
    with pytest.raises(ConventionError, match="pbc"):
        water.get_potential_energy()
