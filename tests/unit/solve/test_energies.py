"""An energy decides where the pattern does not: between orders of elements, and between structures that fit as well."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import Struct
from jaxnmr.energy import EnergyModel
from jaxnmr.solve.checks.bond_valence import orders_by_bond_valences
from jaxnmr.solve.checks.energies import relaxed_energy
from jaxnmr.solve.determination.progress import Clock
from jaxnmr.solve.determination.refined import Refinements, by_energy, order_by_energy

PLACE = 0.23


class Alone(Struct):
    """A plan without neighbours."""

    skin = 0.3

    def margin(self, crystal):
        return jnp.asarray(1.0)

    def renewed(self, crystal):
        return self


class Preference(Struct):
    """Lanthanum on a spring, and 0.6 eV less where the site after it holds fluorine."""

    name = "preference"
    elements = frozenset(("La", "O", "F"))

    def plan(self, crystal, *, skin=0.3):
        return Alone()

    def energy(self, crystal, plan):
        return -7.0 + 40.0 * (crystal.xyz[0, 2] - PLACE) ** 2 - (0.6 if crystal.elements[1] == "F" else 0.0)


@pytest.fixture
def lanthanum_oxide_fluoride():
    return jn.Crystal.create(
        cell=(4.091, 4.091, 5.852, 90, 90, 90), spacegroup="P 4/n m m:1", species=("La", "O", "F"), xyz=((0, 0.5, 0.222), (0, 0, 0), (0, 0, 0.5)),
    )  # fmt: skip


def test_energies_are_those_of_the_minimum_in_the_cell_per_atom(lanthanum_oxide_fluoride):
    # three sites of two atoms each; away from rest it would be 0.4 meV per atom more
    energy = relaxed_energy(lanthanum_oxide_fluoride, EnergyModel.create(Preference()))
    assert energy == pytest.approx(-7.0 / 6.0, abs=1e-6)


def test_an_energy_overrules_bond_valences_and_says_so(lanthanum_oxide_fluoride):
    orders = orders_by_bond_valences(lanthanum_oxide_fluoride, ("O", "F"))
    assert orders[0].crystal.species == ("La", "O", "F")
    crystal, words = order_by_energy(orders, EnergyModel.create(Preference()))
    assert crystal.species == ("La", "F", "O")
    assert "by 100 meV per atom" in words and "another order than bond valences prefer" in words


def test_energies_rank_only_what_the_pattern_leaves_open():
    # the third fits worse, whatever its energy is; the second has none
    assert by_energy([0.0, 3.0, 40.0], [-1.0, np.nan, -5.0]) == [0, 1, 2]
    assert by_energy([0.0, 3.0, 40.0], [-1.0, -1.2, -5.0]) == [1, 0, 2]


def test_an_energy_prefers_nothing_where_one_is_unknown_or_all_are_of_the_same_structure():
    assert by_energy([0.0, 3.0, 40.0], [np.nan, -1.2, -5.0]) == [0, 1, 2]
    # a lower symmetry lets a minimisation come a little further down
    assert by_energy([0.0, 3.0, 40.0], [-1.0, -1.0002, -5.0]) == [0, 1, 2]


def test_without_a_structure_there_is_nothing_to_calculate_energies_of():
    refinements = Refinements(None, Clock(1.0), EnergyModel.create(Preference()))
    refinements.run((), ())
    assert refinements.best is None and refinements.energies == ()
