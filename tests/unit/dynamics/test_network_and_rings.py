"""Bonds, species and primitive rings of silica polymorphs whose topology is known."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import transformed
from jaxnmr.dynamics.glass.network import Network, first_minimum, pair_distribution
from jaxnmr.dynamics.glass.rings import primitive_rings
from jaxnmr.errors import ConventionError, ParameterError


def quartz():
    """L. Levien, C. T. Prewitt & D. J. Weidner, Am. Mineral. 65, 920 (1980), at room pressure."""
    return jn.Crystal.create(
        cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7856]], name="quartz",
    )  # fmt: skip


def cristobalite(species=("Si", "O")):
    """The ideal cubic one: a network of diamond."""
    return jn.Crystal.create(
        cell=[7.16] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=list(species), xyz=[[1 / 8] * 3, [0, 0, 0]], name="cristobalite",
    )  # fmt: skip


def test_quartz_has_one_ring_of_six_per_silicon_and_the_vertex_symbol_of_its_net():
    # M. O'Keeffe & B. G. Hyde, Crystal Structures I (1996): the net qtz is 6.6.6(2).6(2).8(7).8(7)
    rings = primitive_rings(Network.create(quartz()))
    assert set(rings.counts) == {6, 8}
    assert rings.per_centre[6] == 1.0
    assert set(rings.shortest) == {((6, 1), (6, 1), (6, 2), (6, 2), (8, 7), (8, 7))}


def test_cristobalite_has_two_rings_of_six_per_silicon_and_no_others():
    # twelve hexagons meet at every atom of diamond
    rings = primitive_rings(Network.create(cristobalite()))
    assert rings.counts == {6: 16} and (rings.through[:, 6] == 12).all()
    assert set(rings.shortest) == {((6, 2),) * 6}
    assert rings.share(6) == 1.0 and rings.share(4) == 0.0 and rings.mean_size == 6.0


def test_rings_do_not_depend_on_the_cell_that_repeats():
    small = primitive_rings(Network.create(quartz()), most=8)
    large = primitive_rings(Network.create(transformed(quartz(), np.diag([2, 1, 2]), spacegroup="P 1")), most=8)
    assert small.per_centre == large.per_centre


def test_a_bond_that_is_cut_makes_q3_a_ligand_at_the_end_and_larger_rings():
    large = transformed(quartz(), np.diag([2, 2, 2]), spacegroup="P 1")
    whole = Network.create(large)
    # an oxygen atom moved along one of its bonds, away from the other silicon atom
    xyz, lattice = np.array(large.xyz), np.asarray(large.lattice())
    oxygen = int(whole.ligand[0])
    xyz[oxygen] += whole.vectors[0] @ np.linalg.inv(lattice) * 0.45
    cut = Network.create(large.replace(xyz=xyz), cutoff=2.1)
    assert whole.q4 == 1.0 and (whole.q == 4).all() and (whole.linkage == 2).all()
    assert np.bincount(cut.linkage).tolist() == [0, 1, 47]
    # one silicon atom has three ligands, all shared, the other four of which one is not
    assert np.bincount(cut.q).tolist() == [0, 0, 0, 2, 22] and np.bincount(cut.coordination).tolist() == [
        0,
        0,
        0,
        1,
        23,
    ]
    assert cut.q4 == pytest.approx(22 / 24)
    assert np.isnan(cut.angle_of_ligand).sum() == 1 and len(cut.links[0]) == len(whole.links[0]) - 1
    before, after = (primitive_rings(of, most=8) for of in (whole, cut))
    assert after.counts[6] < before.counts[6]


def test_angles_and_lengths_are_those_of_the_structure():
    # Levien et al.: Si-O-Si 143.7°, Si-O 1.605 and 1.614 Å
    network = Network.create(quartz())
    np.testing.assert_allclose(network.angles_at_ligands, 143.7, atol=0.1)
    np.testing.assert_allclose(np.unique(np.linalg.norm(network.vectors, axis=1).round(3)), [1.605, 1.614], atol=1e-3)
    assert network.angles_at_centres.mean() == pytest.approx(109.47, abs=0.05)
    straight = Network.create(cristobalite())
    np.testing.assert_allclose(straight.angles_at_ligands, 180.0, atol=1e-5)


def test_distances_count_neighbours_and_end_in_gaps():
    crystal = cristobalite()
    r, g = pair_distribution(crystal, "Si", "O", reach=3.0, width=0.1)
    density = 16 / 7.16**3
    assert np.sum(g * density * 4 / 3 * np.pi * ((r + 0.05) ** 3 - (r - 0.05) ** 3)) == pytest.approx(4.0)
    bond = 7.16 * np.sqrt(3) / 8
    assert bond + 0.1 < first_minimum(crystal, "Si", "O") < 2.6


def test_what_is_not_there_is_said():
    with pytest.raises(ConventionError, match="has no Ge; it is made of O, Si"):
        Network.create(quartz(), "Ge")
    with pytest.raises(ParameterError, match="cutoff is -1"):
        Network.create(quartz(), cutoff=-1.0)
    with pytest.raises(ParameterError, match="most is 2"):
        primitive_rings(Network.create(quartz()), most=2)
    far = jn.Crystal.create(
        cell=[20] * 3 + [90] * 3, spacegroup="P 1", species=["Si", "O"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    with pytest.raises(ConventionError, match="closer than 4 Å"):
        Network.create(far)
