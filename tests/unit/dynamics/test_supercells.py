"""Repeated crystals: the same neighbours, the same energy, tensors turned along, and what is refused."""

import numpy as np
import pytest
from silica_forms import silica

import jaxnmr as jn
from jaxnmr.dynamics.supercells import supercell
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.graph import plan_neighbours


def test_a_supercell_has_the_energy_of_its_cells():
    model = jn.EnergyModel.load("chik")
    parent = silica("quartz")
    large = supercell(parent, (4, 3, 2))
    assert large.cells == 24 and large.crystal.n_sites == 24 * 9
    assert large.masses.sum() == pytest.approx(24 * 3 * (28.085 + 2 * 15.999), rel=1e-4)
    assert model.predict(large.crystal).energy_ev == pytest.approx(24 * model.predict(parent).energy_ev, rel=1e-9)
    assert large.vectors[1] == pytest.approx(3 * np.asarray(parent.lattice())[1])


@pytest.mark.parametrize("form", ["quartz", "cristobalite", "coesite"])
def test_turns_take_the_surroundings_of_a_site_to_those_of_its_atoms(form):
    parent = silica(form)
    large = supercell(parent)
    positions = np.asarray(large.crystal.xyz) @ large.vectors
    pairs = plan_neighbours(large.vectors, positions, 2.9)
    vectors = pairs.vectors(large.vectors, positions)
    around = [vectors[pairs.receivers == k] for k in range(len(positions))]
    assert large.crystal.species == tuple(parent.species[s] for s in large.site)
    # of the first image of every site the turn is that of the site itself
    first = {s: int(np.flatnonzero(large.site == s)[0]) for s in range(parent.n_sites)}
    for atom in range(0, len(positions), 5):
        origin = first[large.site[atom]]
        turn = large.turn[atom] @ np.linalg.inv(large.turn[origin])
        moved = around[origin] @ turn.T
        distances = np.linalg.norm(moved[:, None] - around[atom][None], axis=-1)
        assert distances.shape[0] == distances.shape[1] >= 2
        assert distances.min(axis=1).max() < 2e-3
        assert len(set(distances.argmin(axis=1))) == len(moved)


def test_by_default_all_widths_reach_ten_angstroms():
    large = supercell(silica("quartz"))
    widths = 1.0 / np.linalg.norm(np.linalg.inv(large.vectors), axis=0)
    assert widths.min() >= 10.0
    assert large.repeats == (3, 3, 2)
    wider = supercell(silica("quartz"), width=14.0)
    assert wider.repeats == (4, 4, 3)


def test_cells_that_are_too_narrow_are_refused_or_warned_of():
    with pytest.raises(ConventionError, match=r"quartz is 4\.3 Å wide .* more repeats than \[1, 1, 1\]"):
        supercell(silica("quartz"), (1, 1, 1))
    with pytest.warns(UserWarning, match="below 9 Å atoms move together with their own images"):
        supercell(silica("quartz"), (2, 2, 2))


def test_partial_occupancy_is_refused_with_the_site():
    quartz = silica("quartz")
    with pytest.raises(ConventionError, match=r"quartz: O1 is partly occupied.*order the structure"):
        supercell(quartz.replace(occupancy=np.array([1.0, 0.9])))


@pytest.mark.parametrize("repeats", [(1, 2), (0, 2, 2), (1.5, 2, 2), "3x3x2"])
def test_repeats_that_make_no_sense_are_refused(repeats):
    with pytest.raises(ParameterError, match="three positive integers"):
        supercell(silica("quartz"), repeats)


def test_a_width_that_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="width is -3"):
        supercell(silica("quartz"), width=-3.0)


def test_a_supercell_is_not_repeated_again():
    with pytest.raises(ParameterError, match="what is repeated is a Supercell; expected a Crystal"):
        supercell(supercell(silica("quartz"), (3, 3, 2)))


def test_fingerprints_tell_structures_of_one_name_apart():
    quartz = silica("quartz")
    one = supercell(quartz, (3, 3, 2)).fingerprint
    assert supercell(quartz, (3, 3, 2)).fingerprint == one
    moved = quartz.replace(xyz=np.asarray(quartz.xyz) + np.array([[1e-3, 0, 0]] * quartz.n_sites))
    wider = quartz.replace(cell=np.asarray(quartz.cell) + np.array([0, 0, 1e-3, 0, 0, 0]))
    assert len({one, *(supercell(other, (3, 3, 2)).fingerprint for other in (moved, wider))}) == 3
