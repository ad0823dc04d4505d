"""Sums over point charges, against Madelung constants, other cells of the same crystal and central differences."""

import jax
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.energy import pair
from jaxnmr.energy.pair import plan_ewald
from jaxnmr.energy.pair.ewald import COULOMB
from jaxnmr.errors import ConventionError, ShapeError

# of a program, not operation by operation
ewald_energy = jax.jit(pair.ewald_energy)
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
ONE = np.ones(4)
# D. Borwein, J. M. Borwein & K. F. Taylor, J. Math. Phys. 26, 2999 (1985), for nearest neighbours and unit charges
NACL, CSCL = 1.74756459463318219, 1.76267477307098840
# the eight corners of a cube of NaCl and CsCl together: sphalerite is half of their sum, fluorite CsCl and two of sphalerite
ZNS = (CSCL + NACL * np.sqrt(3) / 2) / 2
CRYSTALS = {
    "NaCl": (np.concatenate([FCC, FCC + np.array([0.5, 0, 0])]), np.concatenate([ONE, -ONE]), 1 / 2, 4, NACL),
    "CsCl": (np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([1.0, -1.0]), np.sqrt(3) / 2, 1, CSCL),
    "ZnS": (np.concatenate([FCC, FCC + 0.25]), np.concatenate([ONE, -ONE]), np.sqrt(3) / 4, 4, ZNS),
    "CaF2": (
        np.concatenate([FCC, FCC + 0.25, FCC + 0.75]), np.concatenate([2 * ONE, -ONE, -ONE]), np.sqrt(3) / 4, 4, CSCL + 2 * ZNS,
    ),
}  # fmt: skip


def some_cell(seed=3, n=5):
    rng = np.random.default_rng(seed)
    lattice = np.array([[6.1, 0, 0], [-2.2, 5.3, 0], [1.0, 0.7, 4.9]])
    charges = rng.normal(size=n)
    grid = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.25, 0.25, 0.25]])[:n]
    return lattice, (grid + rng.uniform(-0.05, 0.05, (n, 3))) @ lattice, charges - charges.mean()


@pytest.mark.parametrize("cutoff", [4.0, 9.0])
@pytest.mark.parametrize("name", CRYSTALS)
def test_the_energy_is_the_madelung_constant(name, cutoff):
    points, charges, nearest, formulas, constant = CRYSTALS[name]
    lattice = 5.0 * np.eye(3)
    plan = plan_ewald(lattice, points @ lattice, charges, accuracy=1e-11, cutoff=cutoff)
    energy = float(ewald_energy(plan, lattice, points @ lattice, charges))
    assert -energy * 5.0 * nearest / COULOMB / formulas == pytest.approx(constant, abs=1e-10)


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4, 1e-6])
def test_the_error_is_within_what_was_asked_for(accuracy):
    lattice, points, charges = some_cell()
    best = float(ewald_energy(plan_ewald(lattice, points, charges, accuracy=1e-12), lattice, points, charges))
    # nothing beyond the cutoff, so that what is left out is what the bound speaks of
    plan = plan_ewald(lattice, points, charges, accuracy=accuracy, cutoff=5.0, skin=0.0)
    error = abs(float(ewald_energy(plan, lattice, points, charges)) - best)
    assert 0.0 < error <= plan.error <= accuracy * len(charges)


def test_the_same_crystal_in_a_skewed_and_in_a_larger_cell():
    lattice, points, charges = some_cell()
    energy = float(ewald_energy(plan_ewald(lattice, points, charges), lattice, points, charges))
    skewed = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ lattice
    again = float(ewald_energy(plan_ewald(skewed, points, charges), skewed, points, charges))
    double, twice = np.diag([1, 2, 1]) @ lattice, np.concatenate([points, points + lattice[1]])
    both = np.tile(charges, 2)
    larger = float(ewald_energy(plan_ewald(double, twice, both), double, twice, both))
    assert again == pytest.approx(energy, abs=2e-9)
    assert larger == pytest.approx(2 * energy, abs=2e-9)


def test_a_plan_holds_while_the_cell_grows_and_shrinks():
    lattice, points, charges = some_cell()
    plan = plan_ewald(lattice, points, charges, cutoff=6.0, skin=0.3)
    for strain in (np.diag([0.03, -0.02, 0.01]), np.array([[0, 0.02, 0], [0.02, -0.03, 0], [0, 0, 0.03]])):
        moved = np.eye(3) + strain
        fresh = plan_ewald(lattice @ moved, points @ moved, charges, cutoff=6.0)
        there = [float(ewald_energy(p, lattice @ moved, points @ moved, charges)) for p in (plan, fresh)]
        assert there[0] == pytest.approx(there[1], abs=2e-9)


def test_derivatives_of_positions_and_cell():
    lattice, points, charges = some_cell(n=3)
    plan = plan_ewald(lattice, points, charges, cutoff=5.0)

    energy = lambda state: ewald_energy(plan, state["lattice"], state["points"], state["charges"])
    jn.testing.assert_gradients(energy, {"lattice": lattice, "points": points, "charges": charges})


def test_charged_cells_are_refused():
    lattice, points, charges = some_cell()
    with pytest.raises(ConventionError, match=r"the cell has the charge \+0.5 e.*infinite.*Complete the composition"):
        plan_ewald(lattice, points, charges + 0.1)
    with pytest.raises(ShapeError, match=r"charges have the shape \(4,\)"):
        plan_ewald(lattice, points, charges[:4])
    for accuracy in (0.0, np.nan):
        with pytest.raises(ConventionError, match="expected a positive energy"):
            plan_ewald(lattice, points, charges, accuracy=accuracy)
    with pytest.raises(ConventionError, match="beyond double precision"):
        plan_ewald(lattice, points, charges, accuracy=1e-40)
